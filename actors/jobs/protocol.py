"""What passes between a hand-out and a worker, and between those who want work done and the hand-out.

hand-out -- Task, Pause, Resume, Reload, Shutdown --> worker
worker   -- Status, TaskComplete | TaskError       --> hand-out   (as answers: no answer can come without its task)

anybody  -- Submit, ForgetFiles, QueueStatus, ListJobs, RetryJobs, DropJobs --> hand-out
"""

from __future__ import annotations

from msgspec import Struct

from actors.jobs.kinds import Job, JobResult
from actors.messages import Message


class TaskComplete(Struct, frozen=True, tag="task-complete"):
    """The task was done.

    Attributes:
        seconds: What it took.
    """

    task_id: str
    seconds: float
    result: JobResult


class TaskError(Struct, frozen=True, tag="task-error"):
    """The task was not done, and the worker lives.

    Attributes:
        error: Class and text of what went wrong.
        retryable: Whether another try may end otherwise.
        refused: Whether it was not even begun: the worker is paused, busy or stopping. Costs the job no try.
    """

    task_id: str
    seconds: float
    error: str
    retryable: bool
    refused: bool = False


class Task(Message[TaskComplete | TaskError], frozen=True):
    """Do `job`; one at a time.

    Attributes:
        attempt: Which try of the job, from 1.
        timeout: Seconds it may take; the worker ends it then and says so.
    """

    task_id: str
    attempt: int
    job: Job
    timeout: float


class Status(Struct, frozen=True):
    """How a worker is.

    Attributes:
        state: `idle`, `busy`, `paused` or `stopping`.
        task_id: What it works on, or "".
        completed, failed: Tasks ended so far.
        rss_bytes: Resident memory of its process.
        uptime: Seconds since it started.
    """

    index: int
    pid: int
    state: str
    task_id: str
    completed: int
    failed: int
    rss_bytes: int
    uptime: float


class GetStatus(Message[Status], frozen=True):
    """Ask a worker how it is."""


class Pause(Message[Status], frozen=True):
    """Hold the task at its next step and take no other, until `Resume`."""


class Resume(Message[Status], frozen=True):
    """Go on."""


class Reload(Message[Status], frozen=True):
    """Take new settings, from the next task on; None keeps one as it is."""

    chunk_bytes: int | None = None
    max_file_bytes: int | None = None


class Shutdown(Message[Status], frozen=True):
    """Finish the task, take no other, end normally."""


class Submitted(Struct, frozen=True):
    """The answer to `Submit`.

    Attributes:
        accepted: Ids of the jobs taken, in order.
        refused: How many were not; the queue was full, or they could not be written.
        why: Why not, or "".
    """

    accepted: tuple[str, ...]
    refused: int = 0
    why: str = ""


class Submit(Message[Submitted], frozen=True):
    """Queue `jobs`, in order; those beyond the queue's capacity are refused, the first ones taken.

    Answered once they are on disk. A job equal to one that waits or runs is not queued again; the answer has its id.

    Attributes:
        source: Who wants them, for events.
    """

    jobs: tuple[Job, ...]
    source: str = ""


class ForgetFiles(Message[int], frozen=True):
    """Drop the records of `paths` from the index; answers how many there were."""

    paths: tuple[str, ...]


class QueueView(Struct, frozen=True):
    """How the queue is.

    Attributes:
        busy: Task by worker path.
        idle: Paths of workers without one.
        indexed: Files in the index.
    """

    waiting: int
    capacity: int
    busy: dict[str, str]
    idle: tuple[str, ...]
    completed: int
    failed: int
    retried: int
    refused: int
    indexed: int


class QueueStatus(Message[QueueView], frozen=True):
    """Ask the queue how it is."""


class JobView(Struct, frozen=True):
    """One job that is not done.

    Attributes:
        state: `waiting`, `running`, or `failed`: a dead letter.
        job: In words.
        source: Who wanted it.
        attempt: Tries begun.
        worker: Path of the worker that has it, or "".
        why: Why its last try failed, or "".
        created_at: When it was accepted, wall seconds since the epoch.
    """

    id: str
    state: str
    job: str
    source: str
    attempt: int
    worker: str
    why: str
    created_at: float


class ListJobs(Message[tuple[JobView, ...]], frozen=True):
    """Ask for the jobs in `state`, "" for all, the oldest first, at most `limit`."""

    state: str = ""
    limit: int = 100


class RetryJobs(Message[tuple[str, ...]], frozen=True):
    """Put dead letters back in line with no try counted; all of them where `ids` is empty. Answers whose."""

    ids: tuple[str, ...] = ()


class DropJobs(Message[tuple[str, ...]], frozen=True):
    """Forget dead letters; all of them where `ids` is empty. Answers which."""

    ids: tuple[str, ...] = ()
