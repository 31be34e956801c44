"""The actors of one system by path, and why the others are not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.addresses import is_within

if TYPE_CHECKING:
    from actors.core.holding import Holding
    from actors.core.ref import ActorRef


class Registry:
    """Paths and the instances behind them. Every method may be called on any thread and never blocks.

    An instance is here from its launch until it has ended or was abandoned; it may not have started yet.
    """

    def __init__(self) -> None:
        self._cells: dict[str, ActorRef[Any]] = {}
        self._absent: dict[str, str] = {}
        self._holdings: dict[str, Holding] = {}
        self._far: dict[str, Callable[[str], Any]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, path: str) -> bool:
        return path in self._cells

    def get(self, path: str) -> ActorRef[Any] | None:
        """Return the ref of the instance at `path`, or of what holds messages for the next one; None: nobody's.

        Below a path of another process it is a ref through that process.
        """
        found = self._cells.get(path)
        if found is None and self._far:
            found = self._beyond(path)
        if self._holdings:
            holding = self._holding_of(path, is_there=found is not None)
            if holding is not None:
                return holding.at(path)  # type: ignore[return-value]  # it takes what a ref takes
        return found

    def reach(self, path: str) -> Any:
        """Return the ref of the instance at `path`, or None; what holds messages is passed over."""
        found = self._cells.get(path)
        return self._beyond(path) if found is None and self._far else found

    def hold(self, path: str, holding: Holding | None) -> None:
        """Have `holding` take messages for `path` while its actor is away; None takes that back."""
        if holding is None:
            self._holdings.pop(path, None)
        else:
            self._holdings[path] = holding

    def holding(self, path: str) -> Holding | None:
        """Return what holds messages for exactly `path`, or None."""
        return self._holdings.get(path)

    def _holding_of(self, path: str, *, is_there: bool) -> Holding | None:
        """Return what is to take a message for `path` now: its own, or that of what it is below."""
        own = self._holdings.get(path)
        if own is not None and (not is_there or not own.is_open):
            return own
        at = path.rpartition("/")[0]
        while at:
            above = self._holdings.get(at)
            if above is not None and not above.is_open:
                return above
            at = at.rpartition("/")[0]
        return None

    def route(self, path: str, ref_of: Callable[[str], Any]) -> None:
        """Have `ref_of(below)` find whoever is at a path below `path`, which another process has."""
        self._far[path] = ref_of

    def unroute(self, path: str, ref_of: Callable[[str], Any]) -> None:
        """Take `route` back, unless `path` was given to another one meanwhile."""
        with self._lock:
            if self._far.get(path) is ref_of:
                del self._far[path]

    def _beyond(self, path: str) -> Any:
        above = path.rpartition("/")[0]
        while above:
            ref_of = self._far.get(above)
            if ref_of is not None:
                return ref_of(path)
            above = above.rpartition("/")[0]
        return None

    def below(self, path: str) -> tuple[ActorRef[Any], ...]:
        """Return the refs at `path` and below it, in the order of their paths."""
        cells = self._cells.copy()
        return tuple(cells[found] for found in sorted(cells) if is_within(found, path))

    def why_absent(self, path: str) -> str:
        """Return why there is nobody at `path`: what `set_absent` said of it, or of what is above; or "not running"."""
        at = path
        while at:
            why = self._absent.get(at)
            if why is not None and at not in self._cells:
                return why
            at = at.rpartition("/")[0]
        return "not running"

    def set_absent(self, path: str, why: str | None) -> None:
        """Have dead letters for `path` say `why` ("restarting") while nobody is there; None takes it back."""
        if why is None:
            self._absent.pop(path, None)
        else:
            self._absent[path] = why

    def claim(self, path: str, cell: ActorRef[Any]) -> bool:
        """Put `cell` at `path`; return False where another one is."""
        return self._cells.setdefault(path, cell) is cell

    def release(self, path: str, cell: ActorRef[Any]) -> None:
        """Free `path` if `cell` is there."""
        with self._lock:
            if self._cells.get(path) is cell:
                del self._cells[path]
