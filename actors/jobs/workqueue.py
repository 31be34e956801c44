"""The hand-out of jobs: keeps what waits, gives each idle worker one, keeps the index of what they found.

    Submit --> on disk --> waiting --> Task --> a worker --> TaskComplete: into <home>/index.jsonl, then off the disk
                              ^                    |------> TaskError, or the worker ended: tried again
                              +--------------------+------> failed for good after `attempts` tries: a dead letter, kept

Rules are `handout`'s, the file is `keeping`'s; here are the messages and the effects. A job ends in one `RunFinished`.

`Submit` is answered once the jobs are on disk. From then on they are done at least once: those that wait when this
actor or the node ends, kill -9 included, are handed out again by the next one, those that were begun are done again
from the start (`JobsRecovered` says how many of each). A job leaves the disk after its findings are in the index. A job
that equals one that waits or runs is that one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from actors import Actor, AskTimeoutError, Down, MailboxSpec, on
from actors.addresses import ROOT, check_path, matches
from actors.events import ActorStarted, Event, JobsRecovered, RunFinished
from actors.exits import said
from actors.jobs import handout, index
from actors.jobs.files import FileRecord
from actors.jobs.handout import Assign, GiveUp, Refuse, Retry, Ticket
from actors.jobs.keeping import Keeping, number_of
from actors.jobs.kinds import Job, describe, summarise
from actors.jobs.offload import Offload
from actors.jobs.protocol import (
    DropJobs,
    ForgetFiles,
    GetStatus,
    JobView,
    ListJobs,
    QueueStatus,
    QueueView,
    RetryJobs,
    Submit,
    Submitted,
    Task,
    TaskComplete,
    TaskError,
)
from actors.jobs.store import Moved, Operation, Removed
from actors.messages import Message

logger = logging.getLogger(__name__)

_GRACE = 10.0
_LOOK = 2.0
_WRITE_AFTER = 2.0


class Look(Message[None], frozen=True):
    """See which workers are there."""


class WorkerStarted(Message[None], frozen=True):
    """A worker became ready."""

    path: str


class Hand(Message[None], frozen=True):
    """Give the worker at `path` the ticket it was assigned and wait for the answer."""

    path: str
    ticket_id: str


class Write(Message[None], frozen=True):
    """Write the index, where it has changed."""


class WorkQueue(Actor):
    """Hands jobs to workers; see the module.

    Args:
        workers: Paths of workers, or globs (`/work/task*`).
        home: The runtime's directory; the jobs are in `state.db`, the index is `index.jsonl` in it.
        capacity: Most jobs waiting at once; further ones are refused.
        attempts: Most tries of one job.
        job_timeout: Seconds one try may take.

    Raises:
        ValueError: A number is out of range.
        AddressError: A worker's path is none.
    """

    # Waiting for one worker's answer holds up nothing else. Every handler is a coroutine, so that all of them run on
    # the event loop's one thread and share the state without a lock.
    reentrant = True
    mailbox = MailboxSpec(capacity=10_000, full="reject")  # never block whoever submits, or the bus

    def __init__(
        self,
        workers: list[str] | None = None,
        home: str = ".actors",
        capacity: int = 1000,
        attempts: int = 3,
        job_timeout: float = 300.0,
    ) -> None:
        super().__init__()
        if capacity < 1 or attempts < 1 or job_timeout <= 0:
            raise ValueError("capacity and attempts are 1 or more, job_timeout is positive seconds")
        self._globs = tuple(workers) if workers is not None else ("/work/task*",)
        for glob in self._globs:
            if "*" not in glob and "?" not in glob:
                check_path(glob)
        self._rules = handout.Rules(capacity, attempts)
        self._job_timeout = job_timeout
        self._index_path = Path(home) / "index.jsonl"
        self._state = handout.State()
        self._records: dict[str, FileRecord] = {}
        self._announced: set[str] = set()
        self._watched: dict[int, str] = {}
        self._found: list[int] = []
        self._completed = self._failed = self._retried = self._refused = 0
        self._write_due = False
        self._offload = Offload("work-queue", limit=1)
        self._keeping = Keeping(Path(home) / "state.db", self._offload)

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        self._records, damaged = await self._offload.run(index.load, self._index_path)
        if damaged:
            logger.warning("%d damaged lines of %s were left out", damaged, self._index_path)
        left = await self._keeping.open()
        if left.tickets:
            self._state = handout.State(waiting=left.tickets)
            waiting = len(left.tickets) - left.begun
            self.system.bus.publish(JobsRecovered(self.system.clock.time(), self.path, waiting, left.begun))
        self._subscription = self.system.bus.subscribe(self._on_event, (ActorStarted,))
        self.actor_ref.tell(Look())

    def on_stop(self) -> None:
        self._close()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def state_view(self) -> dict[str, object]:
        view = self._view()
        return {
            "waiting": view.waiting,
            "busy": view.busy,
            "idle": list(view.idle),
            "completed": view.completed,
            "failed": view.failed,
            "retried": view.retried,
            "refused": view.refused,
            "indexed": view.indexed,
        }

    @on(Submit)
    async def submit(self, message: Submit) -> Submitted:
        arriving = self._keeping.arriving
        known = arriving | {ticket.job: ticket.id for ticket in (*self._state.waiting, *self._state.busy.values())}
        room = self._rules.capacity - len(self._state.waiting) - len(arriving)
        new: list[Ticket] = []
        refused: list[Job] = []
        for job in message.jobs:
            if job not in known and len(new) < room:
                new.append(self._keeping.ticket(job, message.source))
                known[job] = new[-1].id
            elif job not in known:
                refused.append(job)
        why = "the queue is full" if refused else ""
        failure = await self._keeping.add(new) if new else ""
        if failure:
            refused, why = [job for job in message.jobs if job in {*refused, *(ticket.job for ticket in new)}], failure
        else:
            self._step(handout.Submitted(tuple(new)))
        self._refuse(refused, message.source, why)
        if why and not failure:
            why = f"the queue holds {self._rules.capacity} waiting jobs at most"
        return Submitted(tuple(known[job] for job in message.jobs if job not in refused), len(refused), why)

    @on(ListJobs)
    async def list_jobs(self, message: ListJobs) -> tuple[JobView, ...]:
        busy = {ticket.id: path for path, ticket in self._state.busy.items()}
        return await self._keeping.views(busy, message.state, message.limit)

    @on(RetryJobs)
    async def retry_jobs(self, message: RetryJobs) -> tuple[str, ...]:
        room = max(0, self._rules.capacity - len(self._state.waiting) - len(self._keeping.arriving))
        tickets = await self._keeping.revive(message.ids, room)
        self._step(handout.Submitted(tickets))
        return tuple(ticket.id for ticket in tickets)

    @on(DropJobs)
    async def drop_jobs(self, message: DropJobs) -> tuple[str, ...]:
        return await self._keeping.drop(message.ids)

    @on(ForgetFiles)
    async def forget(self, message: ForgetFiles) -> int:
        known = [path for path in message.paths if self._records.pop(path, None) is not None]
        if known:
            self._plan_write()
        return len(known)

    @on(QueueStatus)
    async def status(self, _: QueueStatus) -> QueueView:
        return self._view()

    @on(WorkerStarted)
    async def worker_started(self, message: WorkerStarted) -> None:
        self._announced.add(message.path)
        if message.path not in self._state.busy:
            self._seen(message.path)

    @on(Down)
    async def worker_down(self, down: Down) -> None:
        path = self._watched.pop(down.monitor, None)
        if path is not None and path in self._state.idle:  # one that was busy is told of by its answer
            self._step(handout.WorkerLost(path, f"{path} ended: {down.reason}"))

    @on(Look)
    async def look(self, _: Look) -> None:
        """See which workers answer; again in a while, for those that could not announce themselves."""
        known = {*self._state.idle, *self._state.busy}
        for path in self._candidates():
            if path in known:
                continue
            try:
                status = await self.system.ref(path).ask_async(GetStatus(), timeout=_GRACE)
            except Exception as error:  # whoever is there is no worker, or one in trouble: not one to give jobs to
                logger.debug("%s is not ready for jobs: %s", path, error)
                continue
            if status.state == "idle":
                self._seen(path)
        self.after(_LOOK, Look())

    @on(Hand)
    async def hand(self, message: Hand) -> None:
        """Hand one ticket over and feed what comes back to the rules."""
        path, ticket = message.path, self._state.busy.get(message.path)
        if ticket is None or ticket.id != message.ticket_id:
            return
        task = Task(ticket.id, ticket.attempt, ticket.job, self._job_timeout)
        try:
            answer = await self.system.ref(path).ask_async(task, timeout=self._job_timeout + _GRACE)
        except AskTimeoutError:
            self._step(handout.WorkerLost(path, f"{path} gave no answer within {self._job_timeout + _GRACE:g} s"))
            return
        except Exception as error:  # the worker ended, by whatever: its job is the rules' matter
            self._step(handout.WorkerLost(path, f"{path} ended: {said(error)}"))
            return
        match answer:
            case TaskComplete():
                self._complete(path, ticket, answer)
            case TaskError(refused=True):
                self._step(handout.Refused(path, ticket.id))
            case TaskError():
                self._step(handout.Failed(path, ticket.id, answer.error, answer.retryable))
            case _:  # whoever is at that path, it is no worker
                self._step(handout.WorkerLost(path, f"{path} answered with a {type(answer).__name__}"))

    @on(Write)
    async def write(self, _: Write) -> None:
        self._write_due = False
        records, found = list(self._records.values()), self._found
        self._found = []
        try:
            await self._offload.run(index.save, self._index_path, records)
        except OSError as error:  # a full disk: what was found is kept in memory, and the jobs on disk
            logger.warning("the index is not written, and will be tried again: %s", error)
            self._found = found + self._found
            self._plan_write()
            return
        self._keeping.note([Removed(number) for number in found])

    def _on_event(self, _: int, event: Event) -> None:
        if self._is_worker(event.path):
            self.actor_ref.tell(WorkerStarted(event.path))

    def _close(self) -> None:
        """Keep what is known of files and of jobs; blocks for a commit or two."""
        self._subscription.cancel()
        try:
            if self._write_due:
                index.save(self._index_path, self._records.values())
            self._keeping.note([Removed(number) for number in self._found])
        except OSError as error:
            logger.warning("the index is not written, its jobs will be done again: %s", error)
        self._keeping.close()

    def _refuse(self, jobs: Sequence[Job], source: str, why: str) -> None:
        self._refused += len(jobs)
        for job in jobs:
            self._report(self.path, Ticket("refused", job, source), "skipped", 0.0, why)

    def _seen(self, path: str) -> None:
        """Take the worker at `path` as ready, and learn of its end."""
        for number in [number for number, watched in self._watched.items() if watched == path]:
            del self._watched[number]
        self._watched[self.monitor(self.system.ref(path)).number] = path
        self._step(handout.WorkerSeen(path))

    def _candidates(self) -> list[str]:
        """Return the paths that may be workers: those named, those here and those that announced themselves."""
        found = dict.fromkeys(path for path in self._globs if "*" not in path and "?" not in path)
        here = (ref.path for ref in self.system.registry.below(ROOT))
        found.update(dict.fromkeys(path for path in (*here, *self._announced) if self._is_worker(path)))
        return list(found)

    def _is_worker(self, path: str) -> bool:
        return path != self.path and any(matches(path, glob) for glob in self._globs)

    def _step(self, event: handout.Event) -> None:
        """Feed `event` to the rules and perform what they say."""
        self._state, effects = handout.step(self._state, event, self._rules)
        changes: list[Operation] = []
        for effect in effects:
            match effect:
                case Assign(path, ticket):
                    changes.append(Moved(number_of(ticket), "running", ticket.attempt))
                    self.actor_ref.tell(Hand(path, ticket.id))
                case Retry(ticket, path, why):
                    self._retried += 1
                    changes.append(Moved(number_of(ticket), "waiting", ticket.attempt, why))
                    logger.warning("%s is tried again after try %d: %s", ticket.id, ticket.attempt, why)
                case GiveUp(ticket, path, why):
                    self._failed += 1
                    changes.append(Moved(number_of(ticket), "failed", ticket.attempt, why))
                    self._report(path, ticket, "failed", 0.0, f"{why} (try {ticket.attempt})")
                case Refuse(tickets):  # those that were tried again took the room: they are on disk, and told of
                    changes += [Removed(number_of(ticket)) for ticket in tickets]
                    for ticket in tickets:
                        self._refuse([ticket.job], ticket.source, "the queue is full")
        self._keeping.note(changes)

    def _complete(self, path: str, ticket: Ticket, answer: TaskComplete) -> None:
        for record in answer.result.files:
            self._records[record.path] = record
        self._found.append(number_of(ticket))
        self._plan_write()
        self._completed += 1
        self._report(path, ticket, "succeeded", answer.seconds, summarise(answer.result))
        self._step(handout.Done(path, ticket.id))

    def _report(self, path: str, ticket: Ticket, outcome: str, seconds: float, detail: str) -> None:
        run = f"{ticket.id} {describe(ticket.job)}" + (f" for {ticket.source}" if ticket.source else "")
        self.system.bus.publish(RunFinished(self.system.clock.time(), path, run, outcome, seconds, detail))

    def _plan_write(self) -> None:
        if not self._write_due:
            self._write_due = True
            self.after(_WRITE_AFTER, Write())

    def _view(self) -> QueueView:
        state = self._state
        return QueueView(
            waiting=len(state.waiting),
            capacity=self._rules.capacity,
            busy={path: ticket.id for path, ticket in state.busy.items()},
            idle=state.idle,
            completed=self._completed,
            failed=self._failed,
            retried=self._retried,
            refused=self._refused,
            indexed=len(self._records),
        )
