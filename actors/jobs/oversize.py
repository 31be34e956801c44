"""An end that the disk does not take, though it takes others: what a success is turned into, so that those go on.

A job ends, its result and the jobs it added are written, and what came after it goes on, all in one commit. Where the
disk has room for small commits and none for this one, the job has failed after all: nothing of what followed from its
success is on disk, so nothing of it has been begun, and all of it can be taken back. It is a dead letter then, and can
be sent round again when there is room. Pure, but for the ledger.
"""

from __future__ import annotations

from typing import Final

from actors.jobs.ledger import Ledger
from actors.jobs.records import Begin, Job
from actors.jobs.specs import FAILED, RUNNING, SUCCEEDED

LARGE: Final = 16_384
"""Characters of results and payloads above which an end is held to be what the disk has no room for."""


def size_of(ledger: Ledger, job: Job) -> int:
    """Return how many characters the end of a job has to write: its result, and the payloads of the jobs it added."""
    added = (ledger.jobs.get(number) for number in job.children)
    return len(job.result or "") + sum(len(child.payload) for child in added if child is not None and child.is_new)


def largest(ledger: Ledger) -> Job | None:
    """Return the job with the largest end of those that are not written; None where none is large."""
    ended = [(size_of(ledger, job), job.number) for job in ledger.dirty.values() if job.state == SUCCEEDED]
    size, number = max(ended, default=(0, 0))
    return ledger.dirty[number] if size > LARGE else None


def fail(ledger: Ledger, job: Job, why: str, now: float) -> None:
    """Let a job whose success is not on disk have failed, and take back what followed; the caller claims.

    One of a relaxed queue was told of already: it loses its result alone.
    """
    job.result, job.is_plain = None, False
    job.why = why
    if ledger.queues[job.queue].spec.relaxed:
        return
    job.state = FAILED
    for number in job.children:
        child = ledger.jobs.get(number)
        if child is not None and child.is_new and not _is_at_work(ledger, child):
            ledger.forget(child)
    for number in job.released:
        later = ledger.jobs.get(number)
        if later is None or later.even_if or _is_at_work(ledger, later):
            continue
        if later.state == RUNNING:
            ledger.unclaim(later, now)
        ledger.give_up(number, f"job-{job.number}, which it comes after, {job.state}", now)
    ledger.effects = [
        effect for effect in ledger.effects if not isinstance(effect, Begin) or _is_claimed(ledger, effect)
    ]


def _is_at_work(ledger: Ledger, job: Job) -> bool:
    """Whether a job has begun though its claim may not be on disk."""
    return job.state == RUNNING and ledger.queues[job.queue].spec.relaxed


def _is_claimed(ledger: Ledger, begin: Begin) -> bool:
    return begin.job.number in ledger.jobs and begin.job.state == RUNNING and begin.job.attempt == begin.attempt
