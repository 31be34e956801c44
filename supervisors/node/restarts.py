"""How many restarts were decided: since the node started, and within the last 24 hours.

Counted by the minute, so that asking costs the same after ten restarts and after ten million.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from actors.events import Event, RestartScheduled

DAY_MINUTES: Final = 24 * 60


class RestartCount:
    """A bus subscriber that counts restarts. `take` runs under the bus's lock; any thread reads.

    Attributes:
        total: Since the node started.
    """

    kinds = (RestartScheduled,)

    def __init__(self) -> None:
        self.total = 0
        self._minutes: deque[tuple[int, int]] = deque(maxlen=DAY_MINUTES + 1)
        """The minutes in which there were any, and how many; the oldest first."""

    def take(self, _seq: int, event: Event) -> None:
        """Count one restart."""
        self.total += 1
        minutes = self._minutes
        minute, count = int(event.at // 60.0), 1
        if minutes and minutes[-1][0] >= minute:  # the wall clock may have been set back
            minute, count = minutes[-1][0], minutes.pop()[1] + 1
        minutes.append((minute, count))

    def within_day(self, now: float) -> int:
        """Return how many there were in the 24 hours before the wall-clock instant `now`, to the minute."""
        since = int(now // 60.0) - DAY_MINUTES
        return sum(count for minute, count in self._minutes.copy() if minute > since)
