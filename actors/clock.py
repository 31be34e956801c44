"""Time as an argument: a monotonic clock to compare, a wall clock to store. `actors.testing` has the manual one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the runtime asks of time. Every method may be called on any thread."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, UTC; may step."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
