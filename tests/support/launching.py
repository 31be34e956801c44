"""Launching real process children in tests, without a supervisor."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.processes import TIMEOUT

from actors import ActorSystem, Exited, Ignored, Incarnation, Outcome, Started, StartFailed
from supervisors.children import LaunchRequest
from supervisors.processes.handle import ProcessChild
from supervisors.processes.host import ProcessLauncher
from supervisors.specs import ChildSpec, ImportStart

ACTORS = "support.process_actors"


class Launched:
    """A child and what became of it so far."""

    def __init__(self, launcher: ProcessLauncher, request: LaunchRequest) -> None:
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.handle: ProcessChild = launcher.launch(request, self.outcomes.put)

    def outcome(self) -> Any:
        """Wait for the next outcome."""
        return self.outcomes.get(timeout=TIMEOUT)

    def started(self) -> Any:
        """Wait until it is ready; return its ref."""
        outcome = self.outcome()
        assert isinstance(outcome, Started), outcome
        assert outcome.pid == self.handle.pid
        return outcome.ref

    def exited(self) -> Any:
        """Wait for its end; return the reason. Nothing may follow it."""
        outcome = self.outcome()
        assert isinstance(outcome, Exited), outcome
        assert self.outcomes.empty()
        return outcome.reason

    def start_failed(self) -> Any:
        """Wait for the failed start; return the reason. Nothing may follow it."""
        outcome = self.outcome()
        assert isinstance(outcome, StartFailed), outcome
        assert self.outcomes.empty()
        return outcome.reason

    def ignored(self) -> str:
        """Wait for the ignored start; return why. Nothing may follow it."""
        outcome = self.outcome()
        assert isinstance(outcome, Ignored), outcome
        assert self.outcomes.empty()
        return outcome.why


class Launching:
    """A system with a launcher of process children."""

    def __init__(self, run: Path, **options: Any) -> None:
        self.system = ActorSystem("node")
        self.launcher = ProcessLauncher(self.system, run, **options)

    def start(
        self,
        target: str,
        path: str = "/work/one",
        incarnation: Incarnation | None = None,
        kwargs: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Launched:
        """Launch the test actor `target` (or a whole import path) at `path`."""
        found = target if ":" in target else f"{ACTORS}:{target}"
        child = ChildSpec(path.rpartition("/")[2], ImportStart(found, kwargs or {}), runs_in="process", **spec)
        return Launched(self.launcher, LaunchRequest(path, child, incarnation or Incarnation()))

    def launch(self, spec: ChildSpec, path: str = "/work/one") -> Launched:
        """Launch `spec` at `path`."""
        return Launched(self.launcher, LaunchRequest(path, spec, Incarnation()))

    def wait_event(self, kind: type) -> Any:
        """Return a function that waits for the next event of class `kind` on the bus."""
        found: queue.Queue[Any] = queue.Queue()
        self.system.bus.subscribe(lambda _number, event: found.put(event), (kind,))
        return lambda: found.get(timeout=TIMEOUT)


@contextmanager
def launching(run: Path, **options: Any) -> Iterator[Launching]:
    """Provide a launcher whose run directory is `run`; in the end nothing of it is left."""
    made = Launching(run, **options)
    try:
        yield made
    finally:
        closed = made.launcher.close(TIMEOUT)
        made.system.shutdown(TIMEOUT)
        left = [t.name for t in threading.enumerate() if t.name.startswith("processes")]
        assert closed
        assert left == []
