"""Handshakes that never came to a key: a peer that holds another server's key, or none, or speaks no CURVE at all.

ZeroMQ asks the gatekeeper about keys it could read. A peer whose greeting it cannot even open is dropped in silence and
tries again and again; only the socket's monitor tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final

import zmq

from transport.opening import SocketSpec

ADMISSION: Final = 1.5
"""Seconds within which a client learns whether it is let in: by then it is admitted, refused, or nobody is there."""

_numbers: Final = count(1)


def watch_handshakes(open: Callable[..., object], zsocket: zmq.Socket[bytes], tell: Callable[[], object]) -> None:
    """Have `tell` called for each handshake at `zsocket` that could not be understood.

    Args:
        open: `Reactor.open` of the reactor that the socket belongs to, on whose thread this is called.
        zsocket: The socket, not bound yet.
        tell: Called on that thread.
    """
    endpoint = f"inproc://handshakes-{next(_numbers)}"
    zsocket.monitor(endpoint, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)

    def failed(_socket: Any, _frames: list[bytes]) -> None:
        tell()

    open(SocketSpec(zmq.PAIR, connect=endpoint, name="handshakes"), failed)
