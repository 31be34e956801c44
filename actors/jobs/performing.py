"""Carrying out what the engine wants done: jobs to workers, their answers back, and word of what became of each.

A worker of the same process gets the engine with the job and tells it how the try ended; one in another process is
asked, and its answer is the end of the try.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from actors.core.system import ActorSystem
from actors.core.tracing import Trace, deriving, tracing
from actors.errors import ActorExitedError
from actors.events import JobRetried
from actors.exits import said
from actors.jobs import viewing
from actors.jobs.engine import Engine
from actors.jobs.handlers import Token, UnknownKindError, handler_of
from actors.jobs.orders import BrokenJob, DoJob, DoneJob, EndJob
from actors.jobs.records import Again, Begin, Effect, Ended, Halt, Job, Stop
from actors.jobs.running import AsyncJob, LocalJob
from actors.jobs.specs import FAILED, SUCCEEDED

logger = logging.getLogger(__name__)


class Performer:
    """Carries out effects of the queues at `path`. Any thread; never blocks.

    Attributes:
        engine: Whose effects they are; set before the first.
        figures: Jobs that succeeded and failed, and tries repeated, since the start.
    """

    engine: Engine

    def __init__(self, system: ActorSystem, path: str) -> None:
        self._system = system
        self._path = path
        self._trace_id = deriving(system.name, path)
        self._tokens: dict[int, Token] = {}
        self._cells: dict[str, Any] = {}
        self._local: set[str] = set()
        self.figures = {SUCCEEDED: 0, FAILED: 0, "retried": 0}

    def know(self, path: str) -> Any:
        """Take the worker that is at `path` now as the one to give jobs to; return its ref."""
        ref = self._system.ref(path)
        cell = self._cells[path] = self._system.registry.get(path) or ref
        is_local = hasattr(cell, "_queue") and hasattr(cell, "_actor")  # an instance of this process
        (self._local.add if is_local else self._local.discard)(path)
        return ref

    def halt_all(self, why: str) -> None:
        """Ask every job that runs in this process to end."""
        for token in tuple(self._tokens.values()):
            token.set(why)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Carry out what the engine wants done."""
        for effect in effects:
            try:
                match effect:
                    case Begin():
                        self._begin(effect)
                    case Ended(job):
                        self._ended(job)
                    case Halt(number, path, why):
                        self._halt(number, path, why)
                    case Stop(_, path, why):
                        self._stop_worker(path, why)
                    case Again():
                        self.figures["retried"] += 1
                        self._system.bus.publish(
                            JobRetried(
                                self._system.clock.time(), effect.path or self._path, f"job-{effect.number}",
                                effect.kind, effect.queue, effect.attempt, effect.delay, effect.why,
                            )
                        )  # fmt: skip
            except Exception:  # one effect must not cost the others theirs
                logger.exception("an effect of the queues failed: %s", effect)

    def _begin(self, begin: Begin) -> None:
        job, path = begin.job, begin.path
        engine = self.engine
        cell = self._cells[path]
        try:
            handler = handler_of(job.kind)
        except UnknownKindError as error:
            engine.failed(job.number, begin.attempt, str(error), False)
            return
        if path in self._local:
            token = self._tokens[job.number] = Token()
            make = AsyncJob if handler.is_async else LocalJob
            with tracing(self._trace_of(job)):
                cell.tell(make(engine, handler, job.number, job.payload, begin.attempt, job.repeats, token))
            return
        with tracing(self._trace_of(job)):
            future = cell.ask(DoJob(job.number, job.kind, job.payload, begin.attempt, job.repeats), block=False)
        future.add_done_callback(lambda: self._answered(begin, future))

    def _trace_of(self, job: Job) -> Trace:
        """Return the trace of `job`, one and the same for all its tries."""
        name = f"job-{job.number}"
        return Trace(self._trace_id(name), "", name)

    def _answered(self, begin: Begin, future: Any) -> None:
        """A worker in another process said how a try ended, or ended itself; on any thread."""
        engine, job = self.engine, begin.job
        try:
            answer = future.get(timeout=0)
        except ActorExitedError as error:
            engine.worker_lost(job.queue, begin.path, f"{begin.path} ended: {error}")
            return
        except Exception as error:  # the message did not get there, or the answer is none
            engine.failed(job.number, begin.attempt, said(error), True)
            return
        match answer:
            case DoneJob(result, children):
                engine.finished(job.number, begin.attempt, result, children)
            case BrokenJob(_, _, True):
                engine.refused(job.number, begin.attempt)
            case BrokenJob(why, retryable):
                engine.failed(job.number, begin.attempt, why, retryable)
            case _:
                engine.failed(job.number, begin.attempt, f"{begin.path} answered {type(answer).__name__}", False)

    def _ended(self, job: Job) -> None:
        self._tokens.pop(job.number, None)
        if job.state in self.figures:
            self.figures[job.state] += 1
        self._system.bus.publish(viewing.end_of(job, self._path))

    def _halt(self, number: int, path: str, why: str) -> None:
        token = self._tokens.get(number)
        if token is not None:
            token.set(why)
            return
        job = self.engine.live(number)
        if job is not None:
            self._cells[path].tell(EndJob(number, job.attempt, why))

    def _stop_worker(self, path: str, why: str) -> None:
        restarter = self._system.restarter
        if restarter is None:
            logger.warning("%s is to be ended, and no supervisor is there for that: %s", path, why)
            return
        restarter(path, why)
