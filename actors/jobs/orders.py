"""What passes between the queues and everybody else: those who want jobs done, people, and the workers."""

from __future__ import annotations

from msgspec import Struct

from actors.jobs.selecting import Selection
from actors.jobs.specs import JobSpec
from actors.messages import Message


class JobView(Struct, frozen=True):
    """One job as people see it; instants are wall seconds since the epoch.

    Attributes:
        state: `waiting`, `delayed`, `blocked`, `disabled`, `running`, `succeeded`, `failed` (a dead letter) or
            `cancelled`.
        attempt, attempts: Tries begun, and how many there are at most.
        repeats: How often it was in flight as the runtime was killed, and was begun again.
        progress: From 0 to 1.
        note: What its handler said last.
        why: Why its last try failed, or why it is as it is; "" where all is well.
        worker: Path of the worker that has it, or had it last.
        run_at: When it may run.
        payload, result: JSON text; "" where it was not asked for, or there is none.
    """

    id: str
    queue: str
    kind: str
    state: str
    priority: int
    attempt: int
    attempts: int
    repeats: int
    progress: float
    note: str
    why: str
    worker: str
    source: str
    key: str
    batch: str
    after: tuple[str, ...]
    every: float
    cron: str
    timezone: str
    created_at: float
    run_at: float
    begun_at: float
    changed_at: float
    payload: str = ""
    result: str = ""


class QueueView(Struct, frozen=True):
    """How one queue is.

    Attributes:
        state: `open`, `paused` or `draining`.
        note: Why, where a person said so.
        waiting, delayed, blocked, disabled, running: Unfinished jobs in that state.
        succeeded, failed, cancelled: Finished jobs that are still kept.
        workers: Places for jobs at this moment, free and taken.
        rate: Bound of jobs begun, `100/1s`, or "".
        trouble: Why nothing can be written at this moment, or "".
    """

    name: str
    state: str
    note: str
    waiting: int
    delayed: int
    blocked: int
    disabled: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    workers: int
    concurrency: int
    rate: str
    capacity: int
    handlers: tuple[str, ...]
    trouble: str


class AddedJobs(Struct, frozen=True):
    """The answer to `AddJobs`.

    Attributes:
        ids: In the order of the jobs; of one whose key is held, that of the holder.
        found: How many of them were there before.
        why: Why none was taken, or "".
        is_unwritten: Whether that is because nothing could be written.
    """

    ids: tuple[str, ...]
    found: int = 0
    why: str = ""
    is_unwritten: bool = False


class AddJobs(Message[AddedJobs], frozen=True):
    """Take jobs, all or none; answered once they are on disk."""

    jobs: tuple[JobSpec, ...]


class FoundJobs(Struct, frozen=True):
    """The answer to a question about jobs; `why` says what is wrong with it."""

    items: tuple[JobView, ...] = ()
    why: str = ""


class FindJobs(Message[FoundJobs], frozen=True):
    """Ask for jobs, with what they carry if `full`.

    Attributes:
        text_max: Characters of a payload or result that are answered; how many more stands at its end. 0: all.
    """

    selection: Selection = Selection()
    full: bool = False
    text_max: int = 0


class WaitJob(Message[FoundJobs], frozen=True):
    """Ask for a job once it has ended, or as it is after `timeout` seconds; none where there is none."""

    id: str
    timeout: float = 30.0


class WhyJob(Message[str], frozen=True):
    """Ask why a job does not run, or how it ended, in a line; "" where there is none."""

    id: str


class JobLine(Struct, frozen=True):
    """One line that the handler of a job said, or that was found in it.

    Attributes:
        line: Ascending; 0 where it is no line of a handler.
        attempt: At which try; 0 likewise.
        at: When, wall seconds since the epoch.
        level: Of a handler's line `debug` to `critical`; else where it was found: `payload`, `result`, `why`, `note`,
            `kind`, `key`, `batch` or `source`.
    """

    id: str
    line: int
    attempt: int
    at: float
    level: str
    text: str


class FoundLines(Struct, frozen=True):
    """Lines of jobs, the oldest first; `why` says what is wrong with the question.

    Attributes:
        state: Of the job asked for by `ReadLines`.
    """

    items: tuple[JobLine, ...] = ()
    state: str = ""
    why: str = ""


class ReadLines(Message[FoundLines], frozen=True):
    """Ask what the handler of a job said: the newest `limit` lines, those after line `after`."""

    id: str
    after: int = 0
    limit: int = 1_000


class GrepJobs(Message[FoundLines], frozen=True):
    """Ask where `text` is in jobs, in whatever case: in what they carry, and in what their handlers said."""

    text: str
    selection: Selection = Selection()
    limit: int = 1_000


class JobSaid(Message[None], frozen=True):
    """A worker in another process says what a handler said."""

    number: int
    attempt: int
    at: float
    level: str
    text: str


class ChangedJobs(Struct, frozen=True):
    """Which jobs were changed; `why` says why none was, `is_unwritten` whether because nothing could be written."""

    ids: tuple[str, ...] = ()
    why: str = ""
    is_unwritten: bool = False


class ChangeJobs(Message[ChangedJobs], frozen=True):
    """Do something to the jobs with `ids`; answers which it was done to.

    Attributes:
        action: `retry` (failed, cancelled, disabled), `cancel` (unfinished), `promote` (delayed) or `delete` (ended).
        why: For what, in a line.
    """

    action: str
    ids: tuple[str, ...]
    why: str = ""


class FoundQueues(Struct, frozen=True):
    """Queues; `why` says what is wrong with the question, or with `is_unwritten` why a change was not written."""

    items: tuple[QueueView, ...] = ()
    why: str = ""
    is_unwritten: bool = False


class ListQueues(Message[FoundQueues], frozen=True):
    """Ask how the queues are; `name` for one."""

    name: str = ""


class ChangeQueue(Message[FoundQueues], frozen=True):
    """Do something to a queue; answers how it is then, with none where there is none.

    Attributes:
        action: `pause`, `resume`, `drain` (take no jobs until resumed) or `rate`.
        rate: With `rate`: most jobs begun, and in how many seconds, as `100/1`; "" as the configuration says; `none`.
    """

    name: str
    action: str
    note: str = ""
    rate: str = ""


class WorkerReady(Message[None], frozen=True):
    """A worker is there for jobs of the queue, `places` of them at a time; `instance` tells it from the one before."""

    path: str
    queue: str
    instance: str
    places: int = 1


class Announce(Message[None], frozen=True):
    """Asks a worker to say that it is ready, once it has room for a job."""


class DoneJob(Struct, frozen=True, tag="done"):
    """A try ended well.

    Attributes:
        result: JSON text.
        children: Jobs to be added with its end.
    """

    result: str
    children: tuple[JobSpec, ...] = ()


class BrokenJob(Struct, frozen=True, tag="broken"):
    """A try went wrong, or was `refused`: then it does not count."""

    why: str
    retryable: bool = True
    refused: bool = False


class DoJob(Message[DoneJob | BrokenJob], frozen=True):
    """Do one try of a job; for a worker in another process."""

    number: int
    kind: str
    payload: str
    attempt: int
    repeats: int


class EndJob(Message[None], frozen=True):
    """End a try: it was cancelled, or took too long."""

    number: int
    attempt: int
    why: str


class Progress(Message[None], frozen=True):
    """How far a job is, from 0 to 1."""

    number: int
    attempt: int
    progress: float
    note: str
