"""A supervision tree on real threads, with its events recorded and waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors.core.outcomes import Exited, Incarnation, Outcome
from actors.core.system import ActorSystem
from actors.events import ActorStarted, Event
from actors.exits import SHUTDOWN
from supervisors.children import LocalLauncher
from supervisors.core import Hold
from supervisors.core import events as ev
from supervisors.specs import SupervisorSpec
from supervisors.supervisor import Services, Subtree
from supervisors.tree import nodes
from supervisors.views import NodeView

TIMEOUT = 60.0


class Tree:
    """One running tree; `wait_*` fail after `TIMEOUT` seconds instead of waiting for ever."""

    def __init__(self, spec: SupervisorSpec, launchers: Callable[[ActorSystem], dict[str, Any]] | None = None) -> None:
        self.system = ActorSystem("test")
        self.events: list[Event] = []
        self.outcomes: list[Outcome] = []
        self._changed = threading.Condition()
        self.system.bus.subscribe(self._note)
        local = {name: LocalLauncher(self.system, name) for name in ("pool", "thread")}  # type: ignore[arg-type]
        self.services = Services(self.system, {**local, **(launchers(self.system) if launchers else {})}, seed=1)
        self.root = Subtree(self._on_outcome)
        self.root.run(spec, "/", self.services, Incarnation())

    def _note(self, _seq: int, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _on_outcome(self, outcome: Outcome) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition()` is true, looked at after each event, and now and then; return it."""
        deadline = time.monotonic() + TIMEOUT
        with self._changed:
            while not (found := condition()) and time.monotonic() < deadline:
                self._changed.wait(0.05)  # what a supervisor publishes is no event
        assert found, f"not within {TIMEOUT} s; events: {self.events}; outcomes: {self.outcomes}"
        return found

    def wait_ready(self) -> None:
        self.wait(lambda: self.outcomes)

    def wait_event(self, kind: type[Event], path: str, count: int = 1) -> Any:
        """Wait for the `count`-th event of `kind` about `path` and return it."""
        self.wait(lambda: len(self.of(kind, path)) >= count)
        return self.of(kind, path)[count - 1]

    def wait_generation(self, path: str, generation: int) -> None:
        self.wait(lambda: any(e.generation == generation for e in self.of(ActorStarted, path)))

    def wait_end(self) -> Exited:
        """Wait for the root's end and return it."""
        end: Exited = self.wait(lambda: [o for o in self.outcomes if type(o).__name__ != "Started"])[-1]
        return end

    def of(self, kind: type[Event], path: str) -> list[Any]:
        return [event for event in list(self.events) if type(event) is kind and event.path == path]

    def node(self, path: str) -> NodeView:
        return nodes(self.services, path, 0)[0]

    def ask(self, path: str, message: Any) -> Any:
        return self.system.ref(path).ask(message, timeout=TIMEOUT)

    def tell(self, path: str, message: Any) -> None:
        self.system.ref(path).tell(message)

    def call(self, supervisor: str, make: Callable[[int, float, float], ev.Request]) -> Any:
        """Make a management call and return its result."""
        results: list[Any] = []
        done = threading.Event()

        def answer(result: Any) -> None:
            results.append(result)
            done.set()

        self.services.supervisors[supervisor].call(make, answer)
        assert done.wait(TIMEOUT), "the management call was not answered"
        return results[0]

    def hold(self, supervisor: str, id: str, why: str = "") -> Any:
        """A person's stop of one child."""
        hold = Hold("tester", why, 0.0)
        self.services.holds[f"{supervisor.rstrip('/')}/{id}"] = hold
        return self.call(supervisor, lambda n, now, c: ev.StopChild(request=n, now=now, chance=c, id=id, hold=hold))

    def close(self) -> None:
        if not any(type(o).__name__ != "Started" for o in self.outcomes):
            self.root.kill()
            self.wait_end()
        self.system.shutdown(10.0)


@contextmanager
def running(spec: SupervisorSpec, **options: Any) -> Iterator[Tree]:
    """Run a tree until the block ends."""
    tree = Tree(spec, **options)
    try:
        yield tree
    finally:
        tree.close()


__all__ = ["SHUTDOWN", "TIMEOUT", "Tree", "running"]
