"""What is shown of jobs, their queues, and copies of the state they are kept in."""

from __future__ import annotations

from supervisors.views.base import View


class JobView(View, frozen=True, gc=False):
    """One job; instants are seconds since the epoch.

    Attributes:
        state: `waiting`, `delayed`, `blocked`, `disabled`, `running`, `succeeded`, `failed` or `cancelled`.
        source: Who wanted it.
        attempt: Tries begun.
        attempts: Most tries; 0 where the queue has one number for all.
        repeats: How often it was in flight as the runtime was killed, and was begun again.
        progress: From 0 to 1.
        note: What its handler said last.
        worker: Path of the worker that has it, or had it last.
        why: Why its last try failed, or why it is as it is.
        key: What makes it unique.
        after: Jobs it still waits for.
        every: Of a recurring one: seconds from slot to slot.
        cron: Of a recurring one: the expression of its slots, in `timezone`.
        created_at: When it was accepted.
        run_at: When it may run.
        payload: JSON text; "" where it was not asked for.
        result: JSON text; "" where there is none.
    """

    id: str
    state: str
    source: str = ""
    attempt: int = 0
    worker: str = ""
    why: str = ""
    created_at: float = 0.0
    queue: str = ""
    kind: str = ""
    priority: int = 0
    attempts: int = 0
    repeats: int = 0
    progress: float = 0.0
    note: str = ""
    key: str = ""
    batch: str = ""
    after: tuple[str, ...] = ()
    every: float = 0.0
    cron: str = ""
    timezone: str = ""
    run_at: float = 0.0
    begun_at: float = 0.0
    changed_at: float = 0.0
    payload: str = ""
    result: str = ""


class JobWhyView(View, frozen=True, gc=False):
    """Why a job is as it is, in a line."""

    id: str
    why: str


class JobLineView(View, frozen=True, gc=False):
    """One line that the handler of a job said, or that was found in it.

    Attributes:
        line: Ascending; 0 where it is no line of a handler.
        attempt: At which try; 0 likewise.
        at: Seconds since the epoch.
        level: `debug` to `critical`; of what is no line of a handler, where it was found: `payload`, `why`, ….
    """

    id: str
    line: int
    attempt: int
    at: float
    level: str
    text: str


class BackupView(View, frozen=True, gc=False):
    """A copy of the state, or what was put back.

    Attributes:
        outcome: `written`, `verified`, or `restored`, then with where the file before is.
        size: Bytes.
        owners: Version of the tables of each owner.
        rows: Rows of each table.
    """

    path: str
    outcome: str
    size: int = 0
    owners: dict[str, int] = {}
    rows: dict[str, int] = {}


class QueueView(View, frozen=True, gc=False):
    """One queue of jobs.

    Attributes:
        state: `open`, `paused` or `draining`.
        note: Why, where a person said so.
        waiting: Unfinished jobs in this state; `delayed`, `blocked`, `disabled` and `running` likewise.
        succeeded: Finished jobs that are still kept; `failed` and `cancelled` likewise.
        workers: Places for jobs at this moment.
        concurrency: Most jobs at a time; 0 is what the workers can do.
        rate: Most jobs begun in a time, or "".
        trouble: Why nothing can be written at this moment, or "".
    """

    name: str
    state: str
    note: str = ""
    waiting: int = 0
    delayed: int = 0
    blocked: int = 0
    disabled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    workers: int = 0
    concurrency: int = 0
    rate: str = ""
    capacity: int = 0
    handlers: tuple[str, ...] = ()
    trouble: str = ""


class JobsChangedView(View, frozen=True, gc=False):
    """What became of one job: `waiting` again, `cancelled`, `promoted`, `deleted`; `would be …` in a dry run."""

    id: str
    state: str
