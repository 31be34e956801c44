"""What nobody closed is closed when the interpreter exits, so that its processes end in order."""

from __future__ import annotations

import atexit
import logging
from typing import Protocol
from weakref import WeakSet

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

CLOSE_TIMEOUT = 5.0
"""Seconds that each may take."""


class Closable(Protocol):
    """What owns processes."""

    def close(self, timeout: float) -> bool:
        """End them within `timeout` seconds; return whether they did."""
        ...


_open: WeakSet[Closable] = WeakSet()


def closed_at_exit(owner: Closable) -> None:
    """Close `owner` at the interpreter's exit, unless it was closed before."""
    _open.add(owner)


def was_closed(owner: Closable) -> None:
    """Forget `owner`: it is closed."""
    _open.discard(owner)


def _close_forgotten() -> None:
    for owner in tuple(_open):
        logger.warning("the launcher of process children was not closed before exit")
        owner.close(CLOSE_TIMEOUT)


atexit.register(_close_forgotten)
