"""Why a job does not run, in a line for people."""

from __future__ import annotations

from actors.jobs.ledger import Ledger
from actors.jobs.specs import BLOCKED, DELAYED, DISABLED, RUNNING


def why(ledger: Ledger, number: int, now: float) -> str:
    """Return why an unfinished job does not run, or that it does."""
    job = ledger.jobs[number]
    queue = ledger.queues[job.queue]
    if job.state == RUNNING:
        return f"it runs on {job.worker}, try {job.attempt} of {job.attempts}" + (
            f", asked to end: {job.why or job.ending}" if job.ending else ""
        )
    if job.state == DISABLED:
        return job.why
    if job.state == BLOCKED:
        return "it waits for " + ", ".join(f"job-{n}" for n in sorted(job.after)[:10])
    if job.state == DELAYED and queue.holds(job):
        return f"the queue {job.queue} is being drained: a recurring job comes again once it is resumed"
    if job.state == DELAYED:
        said = f"it is due in {max(0.0, job.run_at - now):.3g} s"
        return f"{said}; try {job.attempt} of {job.attempts} failed: {job.why}" if job.attempt else said
    if queue.paused:
        return f"the queue {job.queue} is paused" + (f": {queue.note}" if queue.note else "")
    if queue.away and not queue.free:
        return f"workers of {job.queue} are suspended: {', '.join(sorted(queue.away)[:10])}"
    if not queue.free and not queue.running:
        return f"the queue {job.queue} has no worker that is ready"
    if queue.spec.concurrency and len(queue.running) >= queue.spec.concurrency:
        return f"{len(queue.running)} jobs of {job.queue} run, as many as its concurrency allows"
    if job.queue in ledger.throttled:
        return f"the rate {queue.spec.rate} of {job.queue} is used up"
    ahead = sum(1 for entry in queue.ready if entry < (-job.priority, number) and entry[1] in ledger.jobs)
    return f"{ahead} jobs are before it, and all {len(queue.running)} workers are busy"
