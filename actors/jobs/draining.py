"""What people say of a queue, as its ledger has it: paused, drained, or open again."""

from __future__ import annotations

import heapq

from actors.jobs.jobtable import QueueState
from actors.jobs.ledger import Ledger
from actors.jobs.places import Queue
from actors.jobs.specs import DELAYED


def follow(ledger: Ledger, queue: Queue, state: QueueState) -> None:
    """Have the queue be as `state` says; what it held while it was drained is looked at as time passes."""
    was_draining = queue.draining
    queue.paused, queue.draining, queue.note = state.paused, state.draining, state.note
    if not was_draining or queue.draining:
        return
    for job in ledger.jobs.values():
        if job.state == DELAYED and job.queue == queue.spec.name and (job.every or job.cron):
            heapq.heappush(ledger.later, (job.run_at, job.number))
    ledger.alarm = 0.0
