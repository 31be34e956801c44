"""The queues of jobs: one actor that has the engine, its workers, and what people may do.

    AddJobs --> on disk --> a worker of the queue --> done or failed, on disk --> RunFinished
                                  |
                                  +--> ended: the try failed, tried again

Rules are the ledger's, the file is `jobtable`'s, commits are the engine's; here are messages, workers and events. A
worker's hold on a job lasts as long as the worker: its supervisor watches it, by heartbeats where it is a process, and
no busy handler has to renew anything. `Jobs` (`actors.jobs.client`) is what Python code adds jobs with.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from actors import Actor, Down, MailboxSpec, on
from actors.addresses import ROOT, matches
from actors.errors import ActorExitedError
from actors.events import ActorStarted, Event, JobRetried, JobsDisabled, JobsRecovered, QueueChanged, RunFinished
from actors.jobs import viewing
from actors.jobs.accepting import Accepted, JobsRefusedError
from actors.jobs.engine import Engine
from actors.jobs.handlers import Token, UnknownKindError, handler_of, load_handlers
from actors.jobs.jobtable import FileTable, QueueState
from actors.jobs.locating import forget_engine, remember_engine
from actors.jobs.offload import Offload
from actors.jobs.orders import (
    AddedJobs,
    AddJobs,
    Announce,
    BrokenJob,
    ChangedJobs,
    ChangeJobs,
    ChangeQueue,
    DoJob,
    DoneJob,
    EndJob,
    FindJobs,
    FoundJobs,
    FoundQueues,
    ListQueues,
    Progress,
    WaitJob,
    WhyJob,
    WorkerReady,
)
from actors.jobs.records import Again, Begin, Effect, Ended, Halt, Job, Stop
from actors.jobs.running import AsyncJob, LocalJob
from actors.jobs.selecting import Selection, SelectionError, number_of
from actors.jobs.specs import FAILED, SUCCEEDED, QueueSpec
from actors.messages import Message
from actors.state.file import StateError

logger = logging.getLogger(__name__)

LONGEST_WAIT = 30.0
"""Seconds after which the wall clock is read again, whatever is due: it may have been set."""
CLEAN_EVERY = 60.0
ASKED_WRONG = (SelectionError, StateError)
"""What is answered in words: the queues go on."""


class Clean(Message[None], frozen=True):
    """Forget jobs that ended long ago."""


class Due(Message[None], frozen=True):
    """Do what is due."""


class JobQueues(Actor):
    """Keeps queues of jobs; see the module.

    Args:
        home: The runtime's directory; jobs are in `state.db` in it.
        queues: The rules of each queue: fields of `QueueSpec` by name.

    Raises:
        ValueError: A rule is none.
    """

    # Every handler is a coroutine, so that all of them run on the event loop's one thread; the engine has its lock.
    reentrant = True
    mailbox = MailboxSpec(capacity=10_000, full="reject")

    def __init__(self, home: str = ".actors", queues: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self._home = Path(home)
        try:
            specs = [msgspec.convert(queue, QueueSpec) for queue in queues]
        except msgspec.ValidationError as error:
            raise ValueError(f"a queue: {error}") from None
        self._specs = {spec.name: spec for spec in specs} or {"default": QueueSpec(name="default")}
        self._offload = Offload("jobs", limit=2)
        self._engine: Engine | None = None
        self._tokens: dict[int, Token] = {}
        self._cells: dict[str, Any] = {}
        self._local: set[str] = set()
        self._watched: dict[int, tuple[str, str]] = {}
        self._instances: dict[str, str] = {}
        self._figures = {SUCCEEDED: 0, FAILED: 0, "retried": 0}

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        faults: dict[str, str] = {}
        for spec in self._specs.values():
            faults |= await self._offload.run(load_handlers, spec.handlers)
        for module, fault in faults.items():
            logger.error("the handlers of %s are not there: %s", module, fault)
        table = await self._offload.run(FileTable, self._home / "state.db")
        if table.damaged is not None:
            logger.error("state.db was damaged; it is %s now, and its jobs are not known", table.damaged)
        system = self.system
        engine = self._engine = Engine(
            table, now=system.clock.time, perform=self._perform, alarm=self._alarm, chance=system.chance
        )
        left = await self._offload.run(engine.open, self._specs.values())
        remember_engine(system, self.path, engine)
        if left.waiting or left.repeated or left.failed or left.disabled:
            system.bus.publish(
                JobsRecovered(system.clock.time(), self.path, left.waiting, left.repeated, left.failed, left.disabled)
            )
        if left.disabled:
            missing = "; ".join(f"{module}: {fault}" for module, fault in faults.items())
            why = missing or "no handler module registers their kinds"
            system.bus.publish(JobsDisabled(system.clock.time(), self.path, left.disabled, why))
        self.actor_ref.tell(Clean())
        self._subscription = system.bus.subscribe(self._on_event, (ActorStarted,))
        for ref in system.registry.below(ROOT):
            self._ask_worker(ref.path)

    def on_stop(self) -> None:
        self._close("the runtime is stopping")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close("the queues ended")

    def state_view(self) -> dict[str, object]:
        engine = self._running
        queues = {
            name: {"unfinished": queue.count, "running": len(queue.running), "free": len(queue.free)}
            for name, queue in engine.ledger.queues.items()
        }
        return {"queues": queues, **self._figures, "trouble": engine.trouble}

    # -- jobs -------------------------------------------------------------------------------------

    @on(AddJobs)
    async def add(self, message: AddJobs) -> AddedJobs:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Accepted | JobsRefusedError] = loop.create_future()

        def answered(found: Accepted | JobsRefusedError) -> None:
            loop.call_soon_threadsafe(_settle, answer, found)

        self._running.add(message.jobs, answered)
        found = await answer
        if isinstance(found, JobsRefusedError):
            return AddedJobs((), why=str(found))
        return AddedJobs(found.ids, found.found)

    @on(FindJobs)
    async def find(self, message: FindJobs) -> FoundJobs:
        try:
            return FoundJobs(await self._offload.run(viewing.find, self._running, message.selection, message.full))
        except ASKED_WRONG as error:
            return FoundJobs(why=str(error))

    @on(WaitJob)
    async def wait(self, message: WaitJob) -> FoundJobs:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        try:
            if self._running.watch(number_of(message.id), lambda _: loop.call_soon_threadsafe(ended.set)):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), max(0.0, message.timeout))
            selection = Selection(ids=(message.id,), limit=1)
            return FoundJobs(await self._offload.run(viewing.find, self._running, selection, True))
        except ASKED_WRONG as error:
            return FoundJobs(why=str(error))

    @on(WhyJob)
    async def why(self, message: WhyJob) -> str:
        try:
            return await self._offload.run(viewing.why, self._running, message.id)
        except ASKED_WRONG as error:
            return str(error)

    @on(ChangeJobs)
    async def change(self, message: ChangeJobs) -> ChangedJobs:
        try:
            changed = await self._offload.run(viewing.change, self._running, message)
        except ASKED_WRONG as error:
            return ChangedJobs(why=str(error))
        return ChangedJobs(tuple(f"job-{number}" for number in changed))

    # -- queues -----------------------------------------------------------------------------------

    @on(ListQueues)
    async def list_queues(self, message: ListQueues) -> FoundQueues:
        try:
            return FoundQueues(await self._offload.run(viewing.queues, self._running, message.name))
        except ASKED_WRONG as error:
            return FoundQueues(why=str(error))

    @on(ChangeQueue)
    async def change_queue(self, message: ChangeQueue) -> FoundQueues:
        engine = self._running
        queue = engine.ledger.queues.get(message.name)
        if queue is None:
            return FoundQueues()
        now = QueueState(queue.paused, queue.draining, queue.note, engine.rates.get(message.name))
        try:
            state = viewing.changed_queue(now, message)
            spec = self._specs.get(message.name, queue.spec)
            await self._offload.run(engine.set_queue, spec, state)
            said = "draining" if state.draining else "paused" if state.paused else "open"
            detail = f"rate {state.rate or 'unbounded'}" if message.action == "rate" and state.rate is not None else ""
            self.system.bus.publish(
                QueueChanged(self.system.clock.time(), self.path, message.name, said, detail or state.note)
            )
            return FoundQueues(await self._offload.run(viewing.queues, engine, message.name))
        except ASKED_WRONG as error:
            return FoundQueues(why=str(error))

    # -- workers ----------------------------------------------------------------------------------

    @on(WorkerReady)
    async def worker_ready(self, message: WorkerReady) -> None:
        engine = self._running
        if message.queue not in engine.ledger.queues:
            logger.warning("%s wants jobs of %s, which is no queue", message.path, message.queue)
            return
        if self._instances.get(message.path) == message.instance:
            return  # it was asked twice
        self._instances[message.path] = message.instance
        for number in [number for number, (path, _) in self._watched.items() if path == message.path]:
            del self._watched[number]
            engine.worker_lost(message.queue, message.path, f"{message.path} began anew")
        ref = self.system.ref(message.path)
        cell = self._cells[message.path] = self.system.registry.get(message.path) or ref
        if hasattr(cell, "_queue") and hasattr(cell, "_actor"):  # an instance of this process
            self._local.add(message.path)
        else:
            self._local.discard(message.path)
        self._watched[self.monitor(ref).number] = (message.path, message.queue)
        engine.worker_free(message.queue, message.path, message.places)

    @on(Down)
    async def worker_down(self, down: Down) -> None:
        path, queue = self._watched.pop(down.monitor, ("", ""))
        if path:
            self._instances.pop(path, None)
            self._running.worker_lost(queue, path, f"{path} ended: {down.reason}")

    @on(Progress)
    async def progress(self, message: Progress) -> None:
        self._running.reported(message.number, message.attempt, message.progress, message.note)

    @on(Due)
    async def due(self, _: Due) -> None:
        self._running.pass_time()

    @on(Clean)
    async def clean(self, _: Clean) -> None:
        more = False
        try:
            more = await self._offload.run(viewing.expire, self._running, self.system.clock.time())
        except StateError as error:
            logger.warning("old jobs are not forgotten, and will be later: %s", error)
        self.after(1.0 if more else CLEAN_EVERY, Clean())

    def _perform(self, effects: Sequence[Effect]) -> None:
        """Carry out what the engine wants done; on any thread."""
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
                        self._figures["retried"] += 1
                        self.system.bus.publish(
                            JobRetried(
                                self.system.clock.time(), effect.path or self.path, f"job-{effect.number}", effect.kind,
                                effect.queue, effect.attempt, effect.delay, effect.why,
                            )
                        )  # fmt: skip
            except Exception:  # one effect must not cost the others theirs
                logger.exception("an effect of the queues failed: %s", effect)

    def _begin(self, begin: Begin) -> None:
        job, path = begin.job, begin.path
        engine = self._running
        cell = self._cells[path]
        try:
            handler = handler_of(job.kind)
        except UnknownKindError as error:
            engine.failed(job.number, begin.attempt, str(error), False)
            return
        if path in self._local:
            token = self._tokens[job.number] = Token()
            make = AsyncJob if handler.is_async else LocalJob
            cell.tell(make(engine, handler, job.number, job.payload, begin.attempt, job.repeats, token))
            return
        future = cell.ask(DoJob(job.number, job.kind, job.payload, begin.attempt, job.repeats), block=False)
        future.add_done_callback(lambda: self._answered(begin, future))

    def _answered(self, begin: Begin, future: Any) -> None:
        """A worker in another process said how a try ended, or ended itself; on any thread."""
        engine, job = self._running, begin.job
        try:
            answer = future.get(timeout=0)
        except ActorExitedError as error:
            engine.worker_lost(job.queue, begin.path, f"{begin.path} ended: {error}")
            return
        except Exception as error:  # the message did not get there, or the answer is none
            engine.failed(job.number, begin.attempt, f"{type(error).__name__}: {error}", True)
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
        if job.state in self._figures:
            self._figures[job.state] += 1
        seconds = job.changed_at - job.begun_at if job.begun_at else 0.0
        run = f"job-{job.number} {job.kind}" + (f" for {job.source}" if job.source else "")
        why = f"{job.why} (try {job.attempt})" if job.state == FAILED else job.why
        self.system.bus.publish(RunFinished(job.changed_at, job.worker or self.path, run, job.state, seconds, why))

    def _halt(self, number: int, path: str, why: str) -> None:
        token = self._tokens.get(number)
        if token is not None:
            token.set(why)
            return
        job = self._running.live(number)
        if job is not None:
            self._cells[path].tell(EndJob(number, job.attempt, why))

    def _stop_worker(self, path: str, why: str) -> None:
        restarter = self.system.restarter
        if restarter is None:
            logger.warning("%s is to be ended, and no supervisor is there for that: %s", path, why)
            return
        restarter(path, why)

    def _alarm(self, at: float) -> None:
        """Have time passed at a wall instant, or a bit earlier; on any thread."""
        delay = min(LONGEST_WAIT, max(0.0, at - self.system.clock.time()))
        self.system.schedule(delay, lambda: self.actor_ref.tell(Due()))

    def _on_event(self, _: int, event: Event) -> None:
        self._ask_worker(event.path)

    def _ask_worker(self, path: str) -> None:
        """Have the actor at `path` say that it is ready, if it is a worker."""
        if any(matches(path, glob) for spec in self._specs.values() for glob in spec.workers):
            self.system.ref(path).tell(Announce())

    def _close(self, why: str) -> None:
        """Ask what runs to end, and close the file; blocks for a commit or two."""
        engine = self._engine
        if engine is None:
            return
        self._subscription.cancel()
        forget_engine(self.system, self.path)
        for token in tuple(self._tokens.values()):
            token.set(why)
        engine.close()

    @property
    def _running(self) -> Engine:
        assert self._engine is not None  # `on_start` comes first
        return self._engine


def _settle(answer: asyncio.Future[Any], found: Any) -> None:
    if not answer.done():
        answer.set_result(found)
