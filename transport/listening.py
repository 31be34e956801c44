"""Waiting for the answer to an ask by reading the socket on the asking thread.

Asleep, the asker would be woken by the reactor, which is woken by ZeroMQ: a change of threads, with a hand-over of the
interpreter, that costs as much as the wire. So while nobody reads, the asker borrows the reading. It takes answers
only: anything else goes to the reactor, and the reading with it, so that what a peer says is heard in its order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from actors.core.context import here
from transport.calls import RemoteAsk
from transport.interrupts import can_be_torn
from transport.sockets import Socket


class Listener:
    """Waits for answers of one peer. Any thread may use it; one at a time really reads."""

    def __init__(self, socket: Socket, take: Callable[[Any], bool]) -> None:
        """Make the listener.

        Args:
            socket: Where the peer's frames arrive.
            take: Takes a message if it is an answer of the peer; False: it is for the reactor.
        """
        self._socket = socket
        self._take = take

    def __call__(self, ask: RemoteAsk, timeout: float | None) -> None:
        """Wait until `ask` is answered, for `timeout` seconds at most, or until somebody else is to read."""
        if can_be_torn() or not self._socket.borrow():
            return
        worker = here.worker
        if worker is None:
            self._listen(ask, timeout)
            return
        try:
            worker.blocks()
        except BaseException:
            self._socket.give_back()
            raise
        try:
            self._listen(ask, timeout)
        finally:
            worker.goes_on()

    def _listen(self, ask: RemoteAsk, timeout: float | None) -> None:
        socket, own = self._socket, threading.get_ident()
        until = None if timeout is None else monotonic() + timeout
        left = timeout
        try:
            ask.add_done_callback(lambda: None if threading.get_ident() == own else socket.wake_borrower())
            while not ask.done and not socket.is_closed:
                message = socket.receive_here(left)
                if message is not None and not self._take(message):
                    socket.forward(message)
                    return
                if until is not None:
                    left = until - monotonic()
                    if left <= 0:
                        return
        finally:
            socket.give_back()
