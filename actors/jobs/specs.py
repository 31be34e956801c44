"""A job's states, what is asked of a job, and the rules of a queue. Plain values.

    blocked --its dependencies succeeded--> waiting <--due-- delayed <--failed, tries left--+
       |                                       |                                            |
       |                                       +--a worker is free--> running --------------+--> succeeded
       +--one of them failed--> failed <---- failed for good -----------+------------------------> cancelled

`succeeded`, `failed` (a dead letter) and `cancelled` are the end: a job reaches one of them once. A person may send a
dead letter or a cancelled job round again. `disabled` waits too, for a program that has a handler for its kind.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.policies.backoff import Backoff
from actors.policies.ratelimit import RateLimit

WAITING: Final = "waiting"
DELAYED: Final = "delayed"
BLOCKED: Final = "blocked"
DISABLED: Final = "disabled"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
UNFINISHED: Final = (WAITING, DELAYED, BLOCKED, DISABLED, RUNNING)
STATES: Final = (*UNFINISHED, SUCCEEDED, FAILED, CANCELLED)

PRIORITY_MAX: Final = 1_000_000
DEPENDENCIES_MAX: Final = 10_000


class JobSpec(Struct, frozen=True, kw_only=True):
    """One job that somebody wants done; what is None or empty is as the queue or the kind says.

    Attributes:
        kind: Which handler does it.
        payload: JSON text, checked against the handler's type as the job is added.
        queue: Its queue; "" for the kind's own.
        priority: Higher goes first, from -1,000,000 to 1,000,000; equal ones in the order they were added.
        delay: Seconds before it may run.
        run_at: Wall instant before which it does not run, seconds since the epoch; not together with `delay`.
        attempts: Most tries.
        timeout: Seconds one try may take.
        backoff: Delay between tries.
        key: While a job of this queue with the same key is unfinished, this one is that one.
        window: Seconds after its acceptance for which the key is held even if the job has finished.
        after: Ids of jobs that must have succeeded before.
        even_if: Whether it runs too once one of `after` failed or was cancelled; else it fails then.
        every: It is added again so many seconds after the slot before, whatever became of that one; 0: once.
        cron: It is added again at each slot of this expression; not together with `every`.
        timezone: Whose wall clock `cron` means; "" for the node's.
        batch: A name it shares with others.
        source: Who wants it.
    """

    kind: str
    payload: str = "null"
    queue: str = ""
    priority: int = 0
    delay: float = 0.0
    run_at: float | None = None
    attempts: int | None = None
    timeout: float | None = None
    backoff: Backoff | None = None
    key: str = ""
    window: float = 0.0
    after: tuple[str, ...] = ()
    even_if: bool = False
    every: float = 0.0
    cron: str = ""
    timezone: str = ""
    batch: str = ""
    source: str = ""


class Keep(Struct, frozen=True):
    """How long finished jobs stay to be looked at, in seconds; the oldest go first where there are more than `most`."""

    succeeded: float = 86_400.0
    failed: float = 30 * 86_400.0
    cancelled: float = 86_400.0
    most: int = 100_000


class QueueSpec(Struct, frozen=True, kw_only=True):
    """The rules of one queue.

    Attributes:
        name: Unique; one segment of a path.
        concurrency: Most jobs running at once; 0 is as many as there are workers.
        rate: Most jobs begun in a time; None for no bound.
        attempts, timeout, backoff: Of jobs that do not say.
        grace: Seconds between asking a running job to end and ending its worker.
        capacity: Most unfinished jobs; further ones are refused.
        payload_max_bytes: Largest payload, and largest result.
        keep: How long finished jobs stay.
        in_flight: What becomes of a job that ran as the node was killed: `retry` or `fail`.
        repeats: How often one job may be found in flight before it fails all the same.
        relaxed: Whether a job is accepted, begun and finished before that is on disk: quicker; power loss and kill -9
            may cost the last of them.
        handlers: Modules that have the handlers.
        workers: Globs of the workers' paths.
    """

    name: str
    concurrency: int = 0
    rate: RateLimit | None = None
    attempts: int = 3
    timeout: float = 300.0
    backoff: Backoff = Backoff(first=1.0, factor=2.0, max=30.0, jitter=0.2)
    grace: float = 5.0
    capacity: int = 100_000
    payload_max_bytes: int = 1 << 20
    keep: Keep = Keep()
    in_flight: Literal["retry", "fail"] = "retry"
    repeats: int = 5
    relaxed: bool = False
    handlers: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
