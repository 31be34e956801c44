"""The hand-out of jobs: holds what waits, gives each idle worker one, keeps the index of what they found.

    Submit --> waiting --> Task --> a worker --> TaskComplete: into <home>/index.jsonl
                  ^                    |------> TaskError, or the worker ended: tried again, at most `attempts` times
                  +--------------------+

Rules are `handout`'s; here are the messages and the effects. Each job ends in exactly one `RunFinished` on the bus.

The queue is in memory: jobs that wait or run when this actor ends are not done and not kept; each is told of as
`cancelled`. Whoever submits is told what was accepted; the built-in loops submit again, at their next run, whatever is
still missing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType

from actors import Actor, AskTimeoutError, Down, MailboxSpec, on
from actors.addresses import ROOT, check_path, matches
from actors.events import ActorStarted, Event, RunFinished
from actors.jobs import handout, index
from actors.jobs.files import FileRecord
from actors.jobs.handout import Assign, GiveUp, Refuse, Retry, Ticket
from actors.jobs.kinds import describe, summarise
from actors.jobs.offload import Offload
from actors.jobs.protocol import (
    ForgetFiles,
    GetStatus,
    QueueStatus,
    QueueView,
    Submit,
    Submitted,
    Task,
    TaskComplete,
    TaskError,
)
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
        home: The runtime's directory; the index is `index.jsonl` in it.
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
        self._number = 0
        self._completed = self._failed = self._retried = self._refused = 0
        self._write_due = False
        self._offload = Offload("work-queue", limit=1)

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        self._records, damaged = await self._offload.run(index.load, self._index_path)
        if damaged:
            logger.warning("%d damaged lines of %s were left out", damaged, self._index_path)
        self._subscription = self.system.bus.subscribe(self._on_event, (ActorStarted,))
        self.actor_ref.tell(Look())

    def on_stop(self) -> None:
        self._close("the queue was stopped")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close(f"the queue crashed: {exception_type.__name__ if exception_type is not None else 'unknown'}")

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
            "durable": False,
        }

    @on(Submit)
    async def submit(self, message: Submit) -> Submitted:
        tickets = []
        for job in message.jobs:
            self._number += 1
            tickets.append(Ticket(f"job-{self.incarnation.generation}-{self._number}", job, message.source))
        refused = self._step(handout.Submitted(tuple(tickets)))
        accepted = tuple(ticket.id for ticket in tickets[: len(tickets) - refused])
        why = f"the queue holds {self._rules.capacity} waiting jobs at most" if refused else ""
        return Submitted(accepted, refused, why)

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
            self._step(handout.WorkerLost(path, f"{path} ended: {type(error).__name__}: {error}"))
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
        records = list(self._records.values())
        await self._offload.run(index.save, self._index_path, records)

    def _on_event(self, _: int, event: Event) -> None:
        if self._is_worker(event.path):
            self.actor_ref.tell(WorkerStarted(event.path))

    def _close(self, why: str) -> None:
        """Tell of every job that is not done and now never will be; keep what is known of files."""
        self._subscription.cancel()
        for path, ticket in self._state.busy.items():
            self._report(path, ticket, "cancelled", 0.0, why)
        for ticket in self._state.waiting:
            self._report(self.path, ticket, "cancelled", 0.0, why)
        if self._write_due:
            index.save(self._index_path, self._records.values())

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

    def _step(self, event: handout.Event) -> int:
        """Feed `event` to the rules, perform what they say; return how many jobs found no room."""
        self._state, effects = handout.step(self._state, event, self._rules)
        refused = 0
        for effect in effects:
            match effect:
                case Assign(path, ticket):
                    self.actor_ref.tell(Hand(path, ticket.id))
                case Retry(ticket, path, why):
                    self._retried += 1
                    logger.warning("job %s is tried again after try %d: %s", ticket.id, ticket.attempt, why)
                case GiveUp(ticket, path, why):
                    self._failed += 1
                    self._report(path, ticket, "failed", 0.0, f"{why} (try {ticket.attempt})")
                case Refuse(tickets):
                    refused = len(tickets)
                    self._refused += refused
                    for ticket in tickets:
                        self._report(self.path, ticket, "skipped", 0.0, "the queue is full")
        return refused

    def _complete(self, path: str, ticket: Ticket, answer: TaskComplete) -> None:
        for record in answer.result.files:
            self._records[record.path] = record
        if answer.result.files:
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
