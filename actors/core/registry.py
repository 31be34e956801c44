"""The actors of one system by path, and why the others are not there."""

from __future__ import annotations

import threading
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
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, path: str) -> bool:
        return path in self._cells

    def get(self, path: str) -> ActorRef[Any] | None:
        """Return the ref of the instance at `path`, or None."""
        return self._cells.get(path)

    def below(self, path: str) -> tuple[ActorRef[Any], ...]:
        """Return the refs at `path` and below it, in the order of their paths."""
        cells = self._cells.copy()
        return tuple(cells[found] for found in sorted(cells) if is_within(found, path))

    def why_absent(self, path: str) -> str:
        """Return why there is nobody at `path`: what `set_absent` said, else "not running"."""
        return self._absent.get(path, "not running")

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
