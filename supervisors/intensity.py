"""How many restarts are too many: a sliding window of restart times.

OTP's algorithm (`supervisor:add_restart/1`) with one difference: instants are not cut to whole seconds, so the answer
does not depend on the phase of the clock. The comparison stays inclusive: a restart exactly `period` ago still counts.
A restart is recorded even when it turns out to be one too many.
"""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct

LEAF = 16
"""Times in the newest leaf before it is set aside: the most that recording one restart copies."""


class RestartWindow(Struct, frozen=True):
    """The restarts of late. Immutable: `record` returns the next window.

    A restart costs the same however many are held: times lie in leaves, and a leaf that is too old goes as a whole.

    Attributes:
        size: How many restarts lay in the window at the last `record`.
        newest: The latest times, ascending.
        older: Full leaves before them, oldest first.
        gone: How many times at the start of the first leaf have left the window.
    """

    size: int = 0
    newest: tuple[float, ...] = ()
    older: tuple[tuple[float, ...], ...] = ()
    gone: int = 0

    def record(self, now: float, period: float) -> RestartWindow:
        """Return the window with a restart at `now` added, and what lies before `now - period` let go.

        Args:
            now: Monotonic seconds. An instant before the last one recorded is taken for that one.
            period: Length of the window, in seconds. It may differ from the last one; times let go stay gone.
        """
        newest, older, gone = self.newest, self.older, self.gone
        if newest and now < newest[-1]:
            now = newest[-1]
        bound = now - period
        if older and older[0][-1] >= bound:
            oldest = older[0]
            while oldest[gone] < bound:  # one step a restart in the long run
                gone += 1
        elif older or (newest and newest[0] < bound):
            newest, older, gone = _let_go(newest, older, bound)
        size = LEAF * len(older) - gone + len(newest) + 1
        if len(newest) == LEAF:
            return RestartWindow(size, (now,), (*older, newest), gone)
        return RestartWindow(size, (*newest, now), older, gone)

    def count(self, now: float, period: float) -> int:
        """Return how many restarts lie in the window at `now`: those at or after `now - period`."""
        bound = now - period
        older = (self.older[0][self.gone :], *self.older[1:]) if self.older else ()
        return sum(len(leaf) - bisect_left(leaf, bound) for leaf in (*older, self.newest))

    def instants(self) -> tuple[float, ...]:
        """Return the times held, ascending; the oldest may have left the window since the last `record`."""
        if not self.older:
            return self.newest
        later = [at for leaf in self.older[1:] for at in leaf]
        return (*self.older[0][self.gone :], *later, *self.newest)


EMPTY = RestartWindow()


def _let_go(
    newest: tuple[float, ...], older: tuple[tuple[float, ...], ...], bound: float
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...], int]:
    """Return the two without what lies before `bound`: the newest leaf, the older ones, and how much of the first
    of these is gone."""
    if older and older[0][-1] < bound:
        older = older[next((i for i, leaf in enumerate(older) if leaf[-1] >= bound), len(older)) :]
    if older:
        return newest, older, bisect_left(older[0], bound)
    return newest[bisect_left(newest, bound) :], (), 0
