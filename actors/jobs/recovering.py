"""What becomes of jobs that an earlier runtime left, and of those that are sent round again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from actors.jobs.handlers import UnknownKindError, handler_of
from actors.jobs.ledger import Ledger
from actors.jobs.records import CANCEL, Job
from actors.jobs.specs import DISABLED, FAILED, RUNNING, WAITING, QueueSpec
from actors.policies.ratelimit import RateLimit


class Recovered(Struct, frozen=True):
    """What an earlier engine left: jobs that wait, were in flight and are done again, failed for that, and disabled."""

    waiting: int = 0
    repeated: int = 0
    failed: int = 0
    disabled: int = 0


def recover(ledger: Ledger, job: Job, now: float, later: list[Callable[[], object]]) -> str:
    """Take a job from the disk; return what it counts as.

    What ends it goes into `later`, to be done once all jobs are there: others may come after it.
    """
    spec = ledger.queues[job.queue].spec
    was = job.state
    if was in {WAITING, RUNNING}:
        job.run_at = min(job.run_at, now)  # it was due, though the clock may have been set back since
    ending, job.ending = job.ending, ""
    try:
        handler_of(job.kind)
    except UnknownKindError as error:
        job.state, job.why = DISABLED, str(error)
        if was == RUNNING:
            job.attempt -= 1
            job.repeats += 1
        ledger.add(job, now)
        return DISABLED
    if was == DISABLED:
        job.state, job.why = WAITING, ""
        ledger.add(job, now)
        return WAITING
    if was != RUNNING:
        ledger.load(job, now)
        return WAITING
    job.attempt -= 1  # a try that the end of the runtime cut short was not the job's fault
    job.repeats += 1
    job.why = f"in flight on {job.worker} as the runtime ended"
    job.state = WAITING
    ledger.add(job, now)
    if ending == CANCEL:
        later.append(partial(ledger.cancel, job.number, "cancelled, and in flight as the runtime ended", now))
        return FAILED
    if spec.in_flight == "fail" or job.repeats > spec.repeats:
        later.append(partial(ledger.give_up, job.number, job.why, now))
        return FAILED
    return RUNNING


def revive(ledger: Ledger, number: int, job: Job | None, now: float) -> bool:
    """Send a job round again, `job` as it is on disk; return whether that could be done."""
    live = ledger.jobs.get(number)
    if live is not None:
        if live.state != DISABLED:
            return False
        job = live
        ledger.jobs.pop(number)
        ledger.queues[job.queue].count -= 1
    if job is None or job.queue not in ledger.queues or (job.key and (job.queue, job.key) in ledger.keys):
        return False
    try:
        handler_of(job.kind)
    except UnknownKindError:
        if live is not None:
            ledger.load(job, now)
        return False
    if job.state == FAILED:
        job.every, job.cron = 0.0, ""  # a recurring one: the next was added as it failed
    job.state, job.attempt, job.why, job.result, job.ending = WAITING, 0, "", None, ""
    job.run_at, job.changed_at, job.after = now, now, set()
    ledger.add(job, now)
    return True


def with_rate(spec: QueueSpec, rate: str) -> QueueSpec:
    """Return `spec` with the rate `count/seconds`, or "" for none."""
    count, _, per = rate.partition("/")
    limit = RateLimit(int(count), float(per)) if rate else None
    return replace(spec, rate=limit)
