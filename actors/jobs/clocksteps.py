"""What the ledger of jobs does where the wall clock was set, or the machine slept."""

from __future__ import annotations

import heapq
from typing import Final

from actors.jobs.ledger import Ledger
from actors.jobs.specs import DELAYED
from actors.policies.ratelimit import Bucket

LEAST: Final = 1.0
"""Seconds by which the wall clock departs from the monotonic one before it counts as set."""


def clock_set(ledger: Ledger, by: float) -> None:
    """Have times that are counted from an instant count on as before, though the wall clock is `by` seconds ahead.

    Those are how long a try may take, how long it may take to end, and the rates of queues. Instants at which jobs are
    to run stay; but a clock set back makes no delay, no back-off and no interval longer.
    """
    for queue in ledger.queues.values():
        for job in queue.running.values():
            job.timed_at += by
            job.halted_at += by
        if queue.bucket is not None:
            queue.bucket = Bucket(queue.bucket.tokens, queue.bucket.at + by)
    ledger.throttled = {name: at + by for name, at in ledger.throttled.items()}
    if by < 0:
        for job in ledger.jobs.values():
            if job.state == DELAYED and (job.attempt or job.is_delay or (job.every and not job.cron)):
                job.run_at += by
                job.slot_at += by
                ledger.dirty[job.number] = job
                heapq.heappush(ledger.later, (job.run_at, job.number))
    ledger.alarm = 0.0  # all of it is looked at anew
