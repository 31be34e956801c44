"""Jobs that come again: which slot is next, and the job that stands for it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.jobs.records import Job

NextSlot = Callable[[str, str, float], float]
"""Returns the first slot of an expression in a zone after a wall instant; pure; raises `ValueError`."""
MISSED_MAX: Final = 1_000
"""Slots that passed are counted up to this."""


def following(job: Job, number: int, now: float, next_slot: NextSlot | None) -> Job:
    """Return the next of a recurring job: at its first slot that is not past; those in between are merged into it.

    Raises:
        ValueError: Its expression has no further slot, or none can be worked out here.
    """
    slot, missed = _slot_after(job, now, next_slot)
    return Job(
        number, job.queue, job.kind, job.payload, priority=job.priority, run_at=slot, slot_at=slot,
        attempts=job.attempts, timeout=job.timeout, backoff=job.backoff, key=job.key, every=job.every, cron=job.cron,
        timezone=job.timezone, batch=job.batch, source=job.source, created_at=now, changed_at=now,
        note=f"{missed} slots before it passed while job-{job.number} was not done" if missed else "",
    )  # fmt: skip


def _slot_after(job: Job, now: float, next_slot: NextSlot | None) -> tuple[float, int]:
    """Return the next slot, and how many before it passed."""
    if not job.cron:
        missed = max(0, int((now - job.slot_at) // job.every))
        return job.slot_at + (missed + 1) * job.every, missed
    if next_slot is None:
        raise ValueError("these queues know no cron expressions")
    slot, missed = next_slot(job.cron, job.timezone, job.slot_at), 0
    while slot <= now:
        missed += 1
        slot = next_slot(job.cron, job.timezone, slot if missed < MISSED_MAX else now)
    return slot, missed
