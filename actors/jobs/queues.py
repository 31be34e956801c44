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
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from actors import Actor, Down, MailboxSpec, on
from actors.addresses import ROOT, matches
from actors.events import ActorStarted, ActorStateChanged, Event, JobsDisabled, JobsRecovered, QueueChanged
from actors.jobs import viewing
from actors.jobs.accepting import Accepted, JobsNotWrittenError, JobsRefusedError
from actors.jobs.engine import Engine
from actors.jobs.handlers import load_handlers
from actors.jobs.jobtable import FileTable, QueueState
from actors.jobs.locating import forget_engine, remember_engine
from actors.jobs.offload import Offload
from actors.jobs.orders import (
    AddedJobs,
    AddJobs,
    Announce,
    ChangedJobs,
    ChangeJobs,
    ChangeQueue,
    FindJobs,
    FoundJobs,
    FoundLines,
    FoundQueues,
    GrepJobs,
    JobSaid,
    ListQueues,
    Progress,
    ReadLines,
    WaitJob,
    WhyJob,
    WorkerReady,
)
from actors.jobs.performing import Performer
from actors.jobs.records import Job
from actors.jobs.selecting import Selection, SelectionError, number_of
from actors.jobs.specs import QueueSpec
from actors.messages import Message
from actors.state.file import StateError

logger = logging.getLogger(__name__)

LONGEST_WAIT = 30.0
"""Seconds after which the wall clock is read again, whatever is due: it may have been set."""
CLEAN_EVERY = 60.0
SUSPENSIONS = ("suspended", "resumed")
ASKED_WRONG = (SelectionError, StateError)
"""What is answered in words: the queues go on."""


class Clean(Message[None], frozen=True):
    """Forget jobs that ended long ago."""


class Due(Message[None], frozen=True):
    """Do what is due."""


class WorkerSuspended(Message[None], frozen=True):
    """The worker at `path` was suspended, or resumed."""

    path: str
    is_suspended: bool


class JobQueues(Actor):
    """Keeps queues of jobs; see the module.

    Args:
        home: The runtime's directory; jobs are in `state.db` in it.
        queues: The rules of each queue: fields of `QueueSpec` by name.
        slots: Where the `NextSlot` of recurring jobs is, as `package.module:function`; "": no expressions are taken.
        timezone: Whose wall clock an expression means where the job does not say.

    Raises:
        ValueError: A rule is none.
    """

    # Every handler is a coroutine, so that all of them run on the event loop's one thread; the engine has its lock.
    reentrant = True
    mailbox = MailboxSpec(capacity=10_000, full="reject")

    def __init__(
        self, home: str = ".actors", queues: Sequence[dict[str, Any]] = (), slots: str = "", timezone: str = "UTC"
    ) -> None:
        super().__init__()
        self._home = Path(home)
        try:
            specs = [msgspec.convert(queue, QueueSpec) for queue in queues]
        except msgspec.ValidationError as error:
            raise ValueError(f"a queue: {error}") from None
        self._specs = {spec.name: spec for spec in specs} or {"default": QueueSpec(name="default")}
        self._slots = slots
        self._timezone = timezone
        self._offload = Offload("jobs", limit=2)
        self._engine: Engine | None = None
        self._watched: dict[int, tuple[str, str]] = {}
        self._instances: dict[str, str] = {}

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        faults: dict[str, str] = {}
        for spec in self._specs.values():
            faults |= await self._offload.run(load_handlers, spec.handlers)
        for module, fault in faults.items():
            logger.error("the handlers of %s are not there: %s", module, fault)
        table = await self._offload.run(FileTable, self._home / "state.db")
        if table.damaged is not None:
            logger.error("state.db was damaged; it is %s now, and its jobs are not known", table.damaged)
        slots = await self._offload.run(_function_at, self._slots) if self._slots else None
        system = self.system
        performer = self._performer = Performer(system, self.path)
        engine = self._engine = performer.engine = Engine(
            table,
            now=system.clock.time,
            steady=system.clock.monotonic,
            perform=performer.perform,
            alarm=self._alarm,
            chance=system.chance,
            next_slot=slots,
            timezone=self._timezone,
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
        self._subscription = system.bus.subscribe(self._on_event, (ActorStarted, ActorStateChanged))
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
        return {"queues": queues, **self._performer.figures, "trouble": engine.trouble}

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
            return AddedJobs((), why=str(found), is_unwritten=isinstance(found, JobsNotWrittenError))
        return AddedJobs(found.ids, found.found)

    @on(FindJobs)
    async def find(self, message: FindJobs) -> FoundJobs:
        try:
            found = viewing.find, self._running, message.selection, message.full, message.text_max
            return FoundJobs(await self._offload.run(*found))
        except ASKED_WRONG as error:
            return FoundJobs(why=str(error))

    @on(WaitJob)
    async def wait(self, message: WaitJob) -> FoundJobs:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def told(_: Job) -> None:
            loop.call_soon_threadsafe(ended.set)

        try:
            number = number_of(message.id)
            if self._running.watch(number, told):
                try:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), max(0.0, message.timeout))
                finally:
                    self._running.unwatch(number, told)
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

    @on(ReadLines)
    async def read_lines(self, message: ReadLines) -> FoundLines:
        try:
            return await self._offload.run(viewing.lines, self._running, message)
        except ASKED_WRONG as error:
            return FoundLines(why=str(error))

    @on(GrepJobs)
    async def grep(self, message: GrepJobs) -> FoundLines:
        try:
            return FoundLines(await self._offload.run(viewing.grep, self._running, message))
        except ASKED_WRONG as error:
            return FoundLines(why=str(error))

    @on(ChangeJobs)
    async def change(self, message: ChangeJobs) -> ChangedJobs:
        try:
            changed = await self._offload.run(viewing.change, self._running, message)
        except ASKED_WRONG as error:
            return ChangedJobs(why=str(error), is_unwritten=isinstance(error, StateError))
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
            return FoundQueues(why=str(error), is_unwritten=isinstance(error, StateError))

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
        ref = self._performer.know(message.path)
        self._watched[self.monitor(ref).number] = (message.path, message.queue)
        engine.worker_free(message.queue, message.path, message.places)

    @on(Down)
    async def worker_down(self, down: Down) -> None:
        path, queue = self._watched.pop(down.monitor, ("", ""))
        if path:
            self._instances.pop(path, None)
            self._running.worker_lost(queue, path, f"{path} ended: {down.reason}")

    @on(WorkerSuspended)
    async def worker_suspended(self, message: WorkerSuspended) -> None:
        """What a suspended worker is given would wait in its mailbox: others get it."""
        for path, queue in tuple(self._watched.values()):
            if path == message.path:
                self._running.worker_suspended(queue, path, message.is_suspended)

    @on(Progress)
    async def progress(self, message: Progress) -> None:
        self._running.reported(message.number, message.attempt, message.progress, message.note)

    @on(JobSaid)
    async def said(self, message: JobSaid) -> None:
        self._running.logged(message.number, message.attempt, message.at, message.level, message.text)

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

    def _alarm(self, at: float) -> None:
        """Have time passed at a wall instant, or a bit earlier; on any thread."""
        delay = min(LONGEST_WAIT, max(0.0, at - self.system.clock.time()))
        self.system.schedule(delay, lambda: self.actor_ref.tell(Due()))

    def _on_event(self, _: int, event: Event) -> None:
        if not isinstance(event, ActorStateChanged):
            self._ask_worker(event.path)
        elif event.state in SUSPENSIONS and self._is_worker(event.path):
            self.actor_ref.tell(WorkerSuspended(event.path, event.state == "suspended"))

    def _is_worker(self, path: str) -> bool:
        return any(matches(path, glob) for spec in self._specs.values() for glob in spec.workers)

    def _ask_worker(self, path: str) -> None:
        """Have the actor at `path` say that it is ready, if it is a worker."""
        if self._is_worker(path):
            self.system.ref(path).tell(Announce())

    def _close(self, why: str) -> None:
        """Ask what runs to end, and close the file; blocks for a commit or two."""
        engine = self._engine
        if engine is None:
            return
        self._subscription.cancel()
        forget_engine(self.system, self.path)
        self._performer.halt_all(why)
        engine.close()

    @property
    def _running(self) -> Engine:
        assert self._engine is not None  # `on_start` comes first
        return self._engine


def _function_at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _settle(answer: asyncio.Future[Any], found: Any) -> None:
    if not answer.done():
        answer.set_result(found)
