"""A stage for working actors: a real system whose outcomes and events a test can wait for, with a time limit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from actors import Actor, ActorSystem, Incarnation, Launch, PathRef
from actors.core.outcomes import Exited, Ignored, Outcome, Started, StartFailed
from actors.events import ActorStarted, Event
from actors.exits import SHUTDOWN, ExitReason

T = TypeVar("T")

LIMIT = 60.0
"""Seconds after which a wait in a test fails; never an expectation of speed."""


class Stage:
    """Launches actors at paths and records what happens. Use as a context manager."""

    def __init__(self, **options: Any) -> None:
        self.system = ActorSystem("stage", **options)
        self.events: list[Event] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self._launches: dict[str, Launch] = {}
        self._changed = threading.Condition()
        self.system.bus.subscribe(self._on_event)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for path, launch in reversed(self._launches.items()):  # as a supervisor does: one after another, last first
                launch.stop(SHUTDOWN)
                self.wait(lambda launch=launch: launch.is_finished or None, f"the end of {path}")
        finally:
            self.system.shutdown(LIMIT)

    def launch(
        self,
        path: str,
        factory: Callable[..., Actor],
        *,
        generation: int = 1,
        placement: str = "thread",
        **arguments: Any,
    ) -> Outcome:
        """Start an actor at `path` and return the first outcome: started, ignored or failed."""
        with self._changed:
            before = len(self.outcomes.get(path, ()))
        self._launches[path] = self.system.spawn(
            lambda: factory(**arguments),
            path=path,
            placement=placement,  # type: ignore[arg-type]
            incarnation=Incarnation(generation),
            on_outcome=lambda outcome: self._on_outcome(path, generation, placement, outcome),
        )
        return self.wait(lambda: self._nth(path, before), f"the start of {path}")

    def start(self, path: str, factory: Callable[..., Actor], **arguments: Any) -> PathRef:
        """Start an actor that must become ready; return its stable ref."""
        outcome = self.launch(path, factory, **arguments)
        assert isinstance(outcome, Started), outcome
        return self.system.ref(path)

    def ignored(self, path: str, factory: Callable[..., Actor], **arguments: Any) -> str:
        """Start an actor that must ignore its start; return why."""
        outcome = self.launch(path, factory, **arguments)
        assert isinstance(outcome, Ignored), outcome
        return outcome.why

    def failed(self, path: str, factory: Callable[..., Actor], **arguments: Any) -> ExitReason:
        """Start an actor whose start must fail; return the reason."""
        outcome = self.launch(path, factory, **arguments)
        assert isinstance(outcome, StartFailed), outcome
        return outcome.reason

    def stop(self, path: str, reason: ExitReason = SHUTDOWN) -> ExitReason:
        """End the actor at `path` and wait for it."""
        self._launches[path].stop(reason)
        return self.exit_of(path)

    def kill(self, path: str) -> None:
        """End the actor at `path` at once, as nothing but the end of its process would: none of its hooks runs."""
        launch = self._launches.pop(path)
        self.wait(lambda: launch.abandon() or None, f"the end of {path}")

    def exit_of(self, path: str) -> ExitReason:
        """Wait for the actor at `path` to end; return the reason."""

        def find() -> ExitReason | None:
            latest = self.outcomes[path][-1]
            return latest.reason if isinstance(latest, Exited) else None

        return self.wait(find, f"the end of {path}")

    def event(self, kind: type[Event], **fields: Any) -> Any:
        """Wait for an event of class `kind` with these fields, and return it."""
        return self.wait(lambda: next(iter(self.found(kind, **fields)), None), f"{kind.__name__} with {fields}")

    def found(self, kind: type[Event], **fields: Any) -> list[Any]:
        """Return the events of class `kind` with these fields, so far."""
        return [
            event
            for event in tuple(self.events)
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def wait(self, find: Callable[[], T | None], what: str) -> T:
        """Return what `find` finds, as soon as it does; it is tried at each event and outcome, and now and then."""
        deadline = time.monotonic() + LIMIT
        while (found := find()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited {LIMIT:g} s in vain for {what}; last events: {self.events[-5:]}")
            with self._changed:
                self._changed.wait(min(left, 0.02))
        return found

    def _nth(self, path: str, number: int) -> Outcome | None:
        found = self.outcomes.get(path, ())
        return found[number] if len(found) > number else None

    def _on_event(self, _: int, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _on_outcome(self, path: str, generation: int, placement: str, outcome: Outcome) -> None:
        if isinstance(outcome, Started):  # as a supervisor tells it
            at = self.system.clock.time()
            self.system.bus.publish(ActorStarted(at, path, generation, placement, os.getpid(), 0.0))
        with self._changed:
            self.outcomes.setdefault(path, []).append(outcome)
            self._changed.notify_all()
