"""A ZeroMQ socket without pyzmq's wrappers, whose flags and checks cost more than ZeroMQ itself.

Plain numbers, and the methods of the C class below pyzmq's. Read in pyzmq 27.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import zmq

FULL: Final = "its queue is full"
"""Why ZeroMQ does not take a message just now."""

_EVENTS, _RCVMORE, _POLLIN = int(zmq.EVENTS), int(zmq.RCVMORE), int(zmq.POLLIN)
_NOBLOCK, _NOBLOCK_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


class BareSocket:
    """Sends and receives without waiting. For one thread at a time.

    Attributes:
        fd: The descriptor that becomes readable when something has changed; `is_readable` quiets it.
    """

    __slots__ = ("_get", "_recv", "_send", "_whole", "fd")

    def __init__(self, zsocket: zmq.Socket[bytes], *, frames: bool) -> None:
        """Take a socket that is open; `frames`: messages are lists of `zmq.Frame` rather than of bytes."""
        own = zmq.backend.Socket
        self._get: Callable[[int], Any] = partial(own.get, zsocket)
        self._send: Callable[[bytes, int], Any] = partial(own.send, zsocket)
        self._recv: Callable[[int], bytes] = partial(own.recv, zsocket)
        self._whole = partial(zsocket.recv_multipart, _NOBLOCK, copy=False) if frames else None
        self.fd = int(self._get(int(zmq.FD)))

    def is_readable(self) -> bool:
        """Whether a message is there."""
        return bool(self._get(_EVENTS) & _POLLIN)

    def receive(self) -> Any:
        """Return the parts of the next message, None where there is none."""
        if not self._get(_EVENTS) & _POLLIN:
            return None
        try:
            if self._whole is not None:
                return self._whole()
            parts = [self._recv(_NOBLOCK)]
            while self._get(_RCVMORE):
                parts.append(self._recv(_NOBLOCK))
        except zmq.Again:
            return None
        return parts

    def send(self, parts: Sequence[bytes]) -> str:
        """Give a message to ZeroMQ; return why it did not take it, "" where it did."""
        try:
            for part in parts[:-1]:
                self._send(part, _NOBLOCK_MORE)
            self._send(parts[-1], _NOBLOCK)
        except zmq.Again:
            return FULL
        except zmq.ZMQError as error:
            gone = error.errno == zmq.EHOSTUNREACH
            return "the peer is gone" if gone else error.strerror or str(error)
        return ""
