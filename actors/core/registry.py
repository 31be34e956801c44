"""The actors of one system by path, and why the others are not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.addresses import is_within

if TYPE_CHECKING:
    from actors.core.ref import ActorRef


class Registry:
    """Paths and the instances behind them. Every method may be called on any thread and never blocks.

    An instance is here from its launch until it has ended or was abandoned; it may not have started yet.
    """

    def __init__(self) -> None:
        self._cells: dict[str, ActorRef[Any]] = {}
        self._absent: dict[str, str] = {}
        self._far: dict[str, Callable[[str], Any]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, path: str) -> bool:
        return path in self._cells

    def get(self, path: str) -> ActorRef[Any] | None:
        """Return the ref of the instance at `path`, or None; below a path of another process, that process's ref."""
        found = self._cells.get(path)
        return self._beyond(path) if found is None and self._far else found

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
