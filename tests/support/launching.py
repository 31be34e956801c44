"""Launching real process children in tests, without a supervisor."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.processes import TIMEOUT
from support.waiting import until

from actors import ActorSystem, Exited, Ignored, Incarnation, Outcome, Started, StartFailed
from supervisors.children import LaunchRequest
from supervisors.processes import states
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

    def wait_said(self, text: str) -> None:
        """Wait until `text` is among the last lines of its standard error."""
        until(lambda: self.handle._captured is not None and text in self.handle._captured.tail(), what=f"{text!r} said")

    def run_out(self) -> None:
        """Have so much time go by for what watches over it that it is late, and is given any time to write its stacks.

        A time limit that is short enough for a test would catch one that is only held up, before it came to where it
        hangs.
        """

        def run_out() -> None:
            now = time.monotonic()
            while not isinstance(self.handle._state, states.Killing):
                now += 1000.0
                self.handle.feed(states.Tick(now))

        self.handle._shared.reactor.post(run_out)

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
