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
        newest: The latest times, ascending.
        older: Full leaves before them, oldest first; the first may hold times that have left the window.
    """

    newest: tuple[float, ...] = ()
    older: tuple[tuple[float, ...], ...] = ()

    def record(self, now: float, period: float) -> RestartWindow:
        """Return the window with a restart at `now` added, and what lies before `now - period` let go.

        Args:
            now: Monotonic seconds. An instant before the last one recorded is taken for that one.
            period: Length of the window, in seconds.
        """
        newest, older = self.newest, self.older
        if newest and now < newest[-1]:
            now = newest[-1]
        bound = now - period
        if newest and newest[0] < bound:
            newest = newest[bisect_left(newest, bound) :]
            older = ()
        elif older and older[0][-1] < bound:
            older = older[next(i for i, leaf in enumerate((*older, newest)) if leaf[-1] >= bound) :]
        if len(newest) == LEAF:
            return RestartWindow((now,), (*older, newest))
        return RestartWindow((*newest, now), older)

    def count(self, now: float, period: float) -> int:
        """Return how many restarts lie in the window at `now`: those at or after `now - period`."""
        bound = now - period
        newest, older = self.newest, self.older
        if not older:
            return len(newest) if not newest or newest[0] >= bound else len(newest) - bisect_left(newest, bound)
        return sum(len(leaf) for leaf in (*older, newest)) - sum(bisect_left(leaf, bound) for leaf in (*older, newest))


EMPTY = RestartWindow()
