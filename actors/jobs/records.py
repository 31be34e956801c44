"""One job as it is kept, and what the ledger wants done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from actors.jobs.specs import WAITING
from actors.policies.backoff import Backoff

CANCEL: Final = "cancel"
TIMEOUT: Final = "timeout"
INFINITE: Final = float("inf")


class Job(Struct, eq=False, gc=False):
    """One job; the ledger's own, nobody else changes it. Instants are wall seconds since the epoch.

    Attributes:
        number: Unique for the life of the file, ascending.
        window_at: Until when its key is held, finished or not.
        after: Numbers of the jobs it still waits for; its row may have some more, which have succeeded.
        timed_at: Since when its try takes time: when it began, moved along where the wall clock is set.
        slot_at: Of a recurring one: the instant it stands for.
        ending: Why a running one was asked to end: `cancel`, `timeout` or "".
        halted_at: When it was.
        attempt: Tries begun that count.
        repeats: How often it was found in flight after a kill.
        why: Why its last try failed, or why it is as it is.
        worker: Path of the worker that has it, or had it last.
        children: Numbers of the jobs that were added with its success.
        released: Numbers of the jobs that came after it, once it has ended.
        is_delay: Whether `run_at` was said in seconds from then; known as long as the engine is the same.
        is_new: It has no row yet.
        is_plain: What its row has beside the columns that plain jobs share (`tables.SHORT`) is as for all of these.
    """

    number: int
    queue: str
    kind: str
    payload: str
    state: str = WAITING
    priority: int = 0
    run_at: float = 0.0
    attempt: int = 0
    attempts: int = 3
    timeout: float = 300.0
    backoff: Backoff | None = None
    key: str = ""
    window_at: float = 0.0
    after: set[int] = set()
    even_if: bool = False
    every: float = 0.0
    cron: str = ""
    timezone: str = ""
    slot_at: float = 0.0
    batch: str = ""
    source: str = ""
    created_at: float = 0.0
    begun_at: float = 0.0
    timed_at: float = 0.0
    changed_at: float = 0.0
    progress: float = 0.0
    note: str = ""
    why: str = ""
    worker: str = ""
    repeats: int = 0
    ending: str = ""
    halted_at: float = 0.0
    result: str | None = None
    children: tuple[int, ...] = ()
    released: Sequence[int] = ()
    is_delay: bool = False
    is_new: bool = True
    is_plain: bool = False


class Begin(Struct, gc=False):
    """Give `job` to the worker at `path`; its state is that of this moment: `attempt` says which try."""

    job: Job
    path: str
    attempt: int


class Halt(Struct, frozen=True):
    """Ask the worker at `path` to end its try of the job."""

    number: int
    path: str
    why: str


class Stop(Struct, frozen=True):
    """End the worker at `path`: its try of the job did not end when asked."""

    number: int
    path: str
    why: str


class Ended(Struct, gc=False):
    """`job` is over: `succeeded`, `failed` or `cancelled`."""

    job: Job


class Again(Struct, frozen=True):
    """The job failed and is tried again in `delay` seconds."""

    number: int
    queue: str
    kind: str
    path: str
    attempt: int
    delay: float
    why: str


Effect = Begin | Halt | Stop | Ended | Again
