"""How many restarts are too many: a sliding window of restart times.

OTP's algorithm (`supervisor:add_restart/1`) with one difference: instants are not cut to whole seconds, so the answer
does not depend on the phase of the clock. The comparison stays inclusive: a restart exactly `period` ago still counts.
A restart is recorded even when it turns out to be one too many.
"""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct

LEAF = 64
"""Times in the newest leaf before it is set aside: the most that recording one restart copies."""


class RestartWindow(Struct, frozen=True):
    """The restarts of late. Immutable: `record` returns the next window.

    A restart costs the same however many are held: times lie in leaves, and a leaf that is too old goes as a whole.

    Attributes:
        size: How many restarts lay in the window at the last `record`.
        newest: The latest times, ascending.
        older: Full leaves before them, oldest first; the first may begin with times that have left the window.
    """

    size: int = 0
    newest: tuple[float, ...] = ()
    older: tuple[tuple[float, ...], ...] = ()

    def record(self, now: float, period: float) -> RestartWindow:
        """Return the window with a restart at `now` added, and what lies before `now - period` let go.

        Args:
            now: Monotonic seconds. An instant before the last one recorded is taken for that one.
            period: Length of the window, in seconds. It may differ from the last one; times let go stay gone.
        """
        newest, older = self.newest, self.older
        if not newest:
            return RestartWindow(1, (now,))
        if now < newest[-1]:
            now = newest[-1]
        bound = now - period
        if not older:
            if newest[0] < bound:
                newest = newest[bisect_left(newest, bound) :]
            size = len(newest) + 1
        else:
            if older[0][-1] < bound:
                older = older[next((i for i, leaf in enumerate(older) if leaf[-1] >= bound), len(older)) :]
            if not older:
                newest = newest[bisect_left(newest, bound) :]
            size = len(newest) + 1 + (LEAF * len(older) - bisect_left(older[0], bound) if older else 0)
        if len(newest) == LEAF:
            return RestartWindow(size, (now,), (*older, newest))
        return RestartWindow(size, (*newest, now), older)

    def count(self, now: float, period: float) -> int:
        """Return how many restarts lie in the window at `now`: those at or after `now - period`."""
        bound = now - period
        return sum(len(leaf) - bisect_left(leaf, bound) for leaf in (*self.older, self.newest))


EMPTY = RestartWindow()
