"""Trees whose supervisors run in processes of their own, with their events recorded and waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from support.processes import is_alive
from support.waiting import until

from actors.events import Event
from supervisors.running import RunningTree, start_tree
from supervisors.specs import ChildSpec, ImportStart, Strategy, SupervisorSpec
from supervisors.views import NodeState, NodeView

TIMEOUT = 60.0
"""Seconds after which a wait in a test fails; never an expectation of speed."""


def worker(id: str, use: str = "Counter", **options: Any) -> ChildSpec:
    """An actor of `support.process_actors`."""
    kwargs = options.pop("kwargs", {})
    spec = {"start_timeout": TIMEOUT, "shutdown": TIMEOUT, **options}
    return ChildSpec(id, ImportStart(f"support.process_actors:{use}", kwargs), **spec)


def apart(id: str, *children: ChildSpec, intensity: int = 100, **options: Any) -> ChildSpec:
    """A supervisor in a process of its own."""
    strategy = options.pop("strategy", Strategy.ONE_FOR_ONE)
    spec = SupervisorSpec(strategy=strategy, intensity=intensity, period=60.0, children=children)
    return ChildSpec(id, spec, runs_in="process", **options)


def near(id: str, *children: ChildSpec, intensity: int = 100, **options: Any) -> ChildSpec:
    """A supervisor in its parent's process."""
    spec = SupervisorSpec(intensity=intensity, period=60.0, children=children)
    return ChildSpec(id, spec, **options)


def two_levels(**options: Any) -> tuple[ChildSpec, ...]:
    """/main here; /far in a process, with /far/a, /far/b and, in a process below it, /far/deep/x and /far/deep/y."""
    return (
        worker("main"),
        apart("far", worker("a"), worker("b"), apart("deep", worker("x"), worker("y")), **options),
    )


class Watched:
    """A running tree and what it published."""

    def __init__(self, tree: RunningTree) -> None:
        self.tree = tree
        self.events: list[Event] = []
        self._changed = threading.Condition()
        tree.system.bus.subscribe(self._note)

    def _note(self, _seq: int, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def forget(self) -> None:
        """Begin the record of events anew."""
        with self._changed:
            self.events.clear()

    def ask(self, path: str, message: Any) -> Any:
        return self.tree.ref(path).ask(message, timeout=TIMEOUT)

    def node(self, path: str) -> NodeView:
        found = self.nodes()
        assert path in found, f"no {path} in {sorted(found)}"
        return found[path]

    def nodes(self) -> dict[str, NodeView]:
        return {node.path: node for node in self.tree.nodes()}

    def process(self, path: str) -> psutil.Process:
        pid = self.node(path).pid
        assert pid is not None
        return psutil.Process(pid)

    def of(self, kind: type[Event], path: str) -> list[Any]:
        with self._changed:
            return [event for event in self.events if type(event) is kind and event.path == path]

    def wait_event(self, kind: type[Event], path: str, holds: Callable[[Any], bool] = lambda _: True) -> Any:
        """Wait for an event of `kind` about `path` for which `holds`, and return it."""

        def found() -> list[Any]:
            return [event for event in self.events if type(event) is kind and event.path == path and holds(event)]

        with self._changed:
            events = self._changed.wait_for(found, TIMEOUT)
        assert events, f"no {kind.__name__} of {path} in {[(type(e).__name__, e.path) for e in self.events]}"
        return events[0]

    def wait_nodes(self, holds: Callable[[dict[str, NodeView]], object]) -> dict[str, NodeView]:
        """Wait until `holds(nodes)` of one reading of the tree, and return that reading.

        A process that is held up for long is shown as `unknown` until it speaks again.
        """
        found: dict[str, NodeView] = {}

        def has_come() -> object:
            nonlocal found
            found = self.nodes()
            return holds(found)

        until(has_come, TIMEOUT, what="such a tree")
        return found

    def wait_state(self, path: str, state: str) -> NodeView:
        """Wait until the node at `path` is in `state`, and return its view."""
        return self.wait_nodes(lambda nodes: path in nodes and nodes[path].state.value == state)[path]

    def wait_ready(self, count: int) -> dict[str, NodeView]:
        """Wait until the tree has `count` nodes and all of them are ready, and return them."""
        return self.wait_nodes(
            lambda nodes: len(nodes) == count and all(node.state is NodeState.READY for node in nodes.values())
        )


@contextmanager
def running(*children: ChildSpec, run: Path | None = None, intensity: int = 100) -> Iterator[Watched]:
    """Run a tree until the block ends; then none of its processes may be left."""
    spec = SupervisorSpec(intensity=intensity, period=60.0, children=children)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    tree = start_tree(spec, run=run)
    try:
        yield Watched(tree)
    finally:
        tree.stop()
        left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
        until(lambda: not any(map(is_alive, left)), TIMEOUT, what="no process left behind")
