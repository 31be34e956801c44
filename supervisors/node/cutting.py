"""Who had to be killed while the node ended: noted from the events of the drain, for those who ask what was cut."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from actors.events import ActorExited, ActorStateChanged, Event
from actors.exits import ExitKind
from supervisors.views import NodeKind, NodeState, NodeView

KINDS = (ActorExited, ActorStateChanged)
_BUSY = frozenset({NodeState.READY, NodeState.SUSPENDED, NodeState.STARTING, NodeState.STOPPING})


def is_last(tree: Sequence[NodeView], path: str) -> bool:
    """Whether the worker at `path` is at work or ending, and no other."""
    return {node.path for node in tree if node.kind is NodeKind.WORKER and node.state in _BUSY} == {path}


class Cuts:
    """Collects paths on any thread; `take` is a bus subscriber."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doing: dict[str, str] = {}
        self._cut: dict[str, None] = {}

    def begin(self, tree: Sequence[NodeView]) -> None:
        """Remember what each worker is doing now; called when the drain begins and before the rest is killed."""
        with self._lock:
            for node in tree:
                if node.kind is NodeKind.WORKER and node.state in _BUSY:
                    self._doing[node.path] = f"handling {node.handling}" if node.handling else ""

    def take(self, _seq: int, event: Event) -> None:
        """Note a worker that was killed, or abandoned, instead of ending by itself."""
        if isinstance(event, ActorExited):
            is_cut = event.reason.kind is ExitKind.KILLED
        else:
            assert isinstance(event, ActorStateChanged)
            is_cut = event.state == "abandoned"
        if is_cut:
            with self._lock:
                if event.path in self._doing:
                    self._cut[event.path] = None

    def found(self) -> tuple[str, ...]:
        """Return them as they were cut, but those first of whom it is known what they were doing."""
        with self._lock:
            found = sorted(self._cut, key=lambda path: not self._doing[path])
            return tuple(f"{path} ({doing})" if (doing := self._doing[path]) else path for path in found)
