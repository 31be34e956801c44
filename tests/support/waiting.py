"""Waiting for something to come true, with a limit that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from actors import ActorRef

WAIT = 60.0
"""Seconds after which a wait in a test fails; never an expectation of speed."""
_pause = threading.Event()


def until(holds: Callable[[], object], timeout: float = WAIT, what: str = "it") -> None:
    """Return when `holds()` is true; fail when it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout:g} s"
        _pause.wait(0.002)


def until_idle(ref: ActorRef[Any]) -> None:
    """Return when the actor of `ref` rests: whoever comes next, an asker too, may take its turn.

    That it has started is told within its first turn, and that it is idle a moment before the turn is given back.
    """
    until(lambda: ref._idle and hasattr(ref, "_turn"), what=f"the rest of {ref}")
