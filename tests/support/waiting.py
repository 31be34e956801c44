"""Waiting for something to come true, with a limit that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT = 60.0
_pause = threading.Event()


def until(holds: Callable[[], object], timeout: float = WAIT, what: str = "it") -> None:
    """Return when `holds()` is true; fail when it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true in {timeout:g} s"
        _pause.wait(0.002)
