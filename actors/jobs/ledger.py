"""The unfinished jobs of all queues, and every rule about them. Pure but for its own memory: time and chance come in.

Each call changes the ledger and notes what is to be done about it:

- `dirty`: jobs whose row on disk is not as they are now;
- `effects`: what to do once those rows are written, in order (`Begin`, `Halt`, `Stop`, `Ended`, `Again`).

Whoever writes the rows takes both together. A job that has ended is in the ledger no more; its row has it.
"""

from __future__ import annotations

import heapq
from collections import deque

from actors.jobs.places import Queue
from actors.jobs.records import CANCEL, INFINITE, TIMEOUT, Again, Begin, Effect, Ended, Halt, Job, Stop
from actors.jobs.recurring import NextSlot, following
from actors.jobs.specs import (
    BLOCKED,
    CANCELLED,
    DELAYED,
    DISABLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    WAITING,
    QueueSpec,
)
from actors.policies.backoff import delay_of
from actors.policies.ratelimit import full, take, wait


class Ledger:
    """See the module. One thread at a time.

    Attributes:
        jobs: The unfinished jobs by number.
        last: The highest number given.
        later: Heap of what is delayed: (instant, number); entries of jobs that run at another one are skipped.
        throttled: Queues whose rate is used up, and until when.
        next_slot: Slots of recurring jobs by cron expression; None: none are taken.
        alarm: Wall instant at which `pass_time` has something to do; it may be early, never late.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.queues: dict[str, Queue] = {}
        self.keys: dict[tuple[str, str], int] = {}
        self.windows: dict[tuple[str, str], tuple[float, int]] = {}
        self.dirty: dict[int, Job] = {}
        self.effects: list[Effect] = []
        self.last = 0
        self.alarm = INFINITE
        self.later: list[tuple[float, int]] = []
        self._dependents: dict[int, list[int]] = {}
        self.throttled: dict[str, float] = {}
        self.next_slot: NextSlot | None = None
        self._settling: deque[Job] | None = None  # jobs that ended, while what came after them is settled

    # -- queues and workers -----------------------------------------------------------------------

    def open_queue(self, spec: QueueSpec, now: float) -> Queue:
        """Take up a queue, or new rules for it."""
        queue = self.queues.get(spec.name)
        if queue is None:
            queue = self.queues[spec.name] = Queue(spec, now)
        elif queue.spec.rate != spec.rate:
            queue.bucket = full(spec.rate, now) if spec.rate is not None else None
        queue.spec = spec
        self.throttled.pop(spec.name, None)
        return queue

    def worker_free(self, name: str, path: str, places: int, now: float) -> None:
        """The worker at `path` has room for `places` more jobs of the queue."""
        queue = self.queues[name]
        for _ in range(places):
            queue.give_back(path)
        self.claim(name, now)

    def worker_away(self, name: str, path: str) -> None:
        """The worker at `path` takes nothing new for the time being; what it has goes on."""
        self.queues[name].send_away(path)

    def worker_back(self, name: str, path: str, now: float) -> None:
        """The worker at `path` takes jobs again."""
        self.worker_free(name, path, self.queues[name].away.pop(path, 0), now)

    def worker_lost(self, name: str, path: str, why: str, now: float, chance: float) -> None:
        """The worker at `path` ended, with whatever it had."""
        queue = self.queues[name]
        queue.drop(path)
        for job in [job for job in queue.running.values() if job.worker == path]:
            self._tried(queue, job, why, True, now, chance)
        self.claim(name, now)

    # -- jobs -------------------------------------------------------------------------------------

    def add(self, job: Job, now: float) -> None:
        """Take a job whose `after` has the unfinished ones alone, and whose key is free."""
        queue = self.queues[job.queue]
        self.jobs[job.number] = job
        self.dirty[job.number] = job
        queue.count += 1
        if job.key:
            self.keys[job.queue, job.key] = job.number
        self._place(queue, job, now)

    def load(self, job: Job, now: float) -> None:
        """Take a job from the disk, whose row is as it is."""
        was = job.state
        self.add(job, now)
        if job.state == was:
            self.dirty.pop(job.number, None)

    def _place(self, queue: Queue, job: Job, now: float) -> None:
        """Put an unfinished job where it belongs."""
        if job.state == DISABLED:
            return
        if job.after:
            job.state = BLOCKED
            for number in job.after:
                self._dependents.setdefault(number, []).append(job.number)
        elif job.run_at > now or (job.state == DELAYED and queue.holds(job)):
            job.state = DELAYED
            heapq.heappush(self.later, (job.run_at, job.number))
            self._wake(job.run_at)
        else:
            job.state = WAITING
            heapq.heappush(queue.ready, (-job.priority, job.number))

    def holder(self, queue: str, key: str, now: float) -> int:
        """Return the number of the job that holds `key` in `queue`, 0 for none."""
        number = self.keys.get((queue, key), 0)
        if number:
            return number
        until, number = self.windows.get((queue, key), (0.0, 0))
        return number if until > now else 0

    def claim(self, name: str, now: float) -> None:
        """Let jobs of the queue begin, as far as its rules and its workers allow."""
        queue = self.queues[name]
        ready, free = queue.ready, queue.free
        if not ready or not free or queue.paused:
            return
        limit = queue.spec.concurrency or len(self.jobs) + 1
        running = queue.running
        while ready and free and len(running) < limit:
            number = ready[0][1]
            job = self.jobs.get(number)
            if job is None or job.state != WAITING or -ready[0][0] != job.priority:
                heapq.heappop(ready)
                continue
            if queue.bucket is not None and queue.spec.rate is not None:
                queue.bucket, may = take(queue.spec.rate, queue.bucket, now)
                if not may:
                    self.throttled[name] = now + wait(queue.spec.rate, queue.bucket)
                    self._wake(self.throttled[name])
                    return
            heapq.heappop(ready)
            path = free.popleft()
            job.state = RUNNING
            job.attempt += 1
            job.worker = path
            job.begun_at = job.timed_at = job.changed_at = now
            job.progress = 0.0
            running[number] = job
            self.dirty[number] = job
            if now + job.timeout < self.alarm:
                self.alarm = now + job.timeout
            self.effects.append(Begin(job, path, job.attempt))

    def unclaim(self, job: Job, now: float) -> None:
        """A claim could not be written: the job waits as before, and its worker is free."""
        queue = self.queues[job.queue]
        if queue.running.pop(job.number, None) is None:
            return
        job.attempt -= 1
        job.state = WAITING
        heapq.heappush(queue.ready, (-job.priority, job.number))
        queue.give_back(job.worker)
        job.worker = ""

    def forget(self, job: Job) -> None:
        """A new job could not be written: it never was."""
        queue = self.queues[job.queue]
        if self.jobs.pop(job.number, None) is None:
            return
        if queue.running.pop(job.number, None) is not None:
            queue.give_back(job.worker)
        queue.count -= 1
        self._dependents.pop(job.number, None)
        self.dirty.pop(job.number, None)
        if job.key and self.keys.get((job.queue, job.key)) == job.number:
            del self.keys[job.queue, job.key]

    def succeeded(self, number: int, attempt: int, result: str | None, now: float) -> bool:
        """The try ended well; return whether it was one under way. Does not claim: the caller does."""
        job = self.jobs.get(number)
        if job is None or job.state != RUNNING or job.attempt != attempt:
            return False
        queue = self.queues[job.queue]
        self._release(queue, job)
        job.result = result
        job.progress = 1.0
        job.why = f"done before the {job.ending} took hold" if job.ending else ""
        self._end(queue, job, SUCCEEDED, now)
        return True

    def failed(self, number: int, attempt: int, why: str, retryable: bool, now: float, chance: float) -> bool:
        """The try went wrong; return whether it was one under way. Does not claim: the caller does."""
        job = self.jobs.get(number)
        if job is None or job.state != RUNNING or job.attempt != attempt:
            return False
        queue = self.queues[job.queue]
        self._release(queue, job)
        self._tried(queue, job, why, retryable, now, chance)
        return True

    def refused(self, number: int, attempt: int, now: float) -> bool:
        """The worker did not take the job; the try does not count."""
        job = self.jobs.get(number)
        if job is None or job.state != RUNNING or job.attempt != attempt:
            return False
        queue = self.queues[job.queue]
        del queue.running[number]
        job.attempt -= 1
        job.worker = ""
        self.dirty[number] = job
        self._place(queue, job, now)
        return True

    def reported(self, number: int, attempt: int, progress: float, note: str) -> bool:
        """A running job says how far it is."""
        job = self.jobs.get(number)
        if job is None or job.state != RUNNING or job.attempt != attempt:
            return False
        job.progress, job.note = progress, note
        self.dirty[number] = job
        return True

    def cancel(self, number: int, why: str, now: float) -> bool:
        """End a job: at once where it does not run, else it is asked to; return whether there was one to cancel."""
        job = self.jobs.get(number)
        if job is None or job.ending == CANCEL:
            return False
        queue = self.queues[job.queue]
        if job.state == RUNNING:
            job.ending, job.why, job.halted_at = CANCEL, why, now
            self.dirty[number] = job
            self._wake(now + queue.spec.grace)
            self.effects.append(Halt(number, job.worker, why))
        else:
            job.why = why
            self._end(queue, job, CANCELLED, now)
        return True

    def give_up(self, number: int, why: str, now: float) -> None:
        """Fail a job that does not run."""
        job = self.jobs[number]
        job.why = why
        self._end(self.queues[job.queue], job, FAILED, now)

    def promote(self, number: int, now: float) -> bool:
        """Let a delayed job run now; return whether it was one."""
        job = self.jobs.get(number)
        if job is None or job.state != DELAYED:
            return False
        job.state, job.run_at, job.changed_at = WAITING, now, now
        self.dirty[number] = job
        self._place(self.queues[job.queue], job, now)
        self.claim(job.queue, now)
        return True

    def pass_time(self, now: float) -> None:
        """Do what is due, and set the alarm to what comes next."""
        touched: set[str] = set()
        while self.later and self.later[0][0] <= now:
            run_at, number = heapq.heappop(self.later)
            job = self.jobs.get(number)
            if job is None or job.state != DELAYED or job.run_at != run_at or self.queues[job.queue].holds(job):
                continue
            job.state = WAITING
            self.dirty[number] = job
            heapq.heappush(self.queues[job.queue].ready, (-job.priority, number))
            touched.add(job.queue)
        for name, at in tuple(self.throttled.items()):
            if at <= now:
                del self.throttled[name]
                touched.add(name)
        for key in [key for key, (until, _) in self.windows.items() if until <= now]:
            del self.windows[key]
        self.alarm = min([*(heap[0] for heap in self.later[:1]), *self.throttled.values()], default=INFINITE)
        for queue in self.queues.values():
            for job in queue.running.values():
                self._watch(job, queue.spec.grace, now)
        for name in touched:
            self.claim(name, now)

    # -- within -----------------------------------------------------------------------------------

    def _release(self, queue: Queue, job: Job) -> None:
        del queue.running[job.number]
        queue.give_back(job.worker)

    def _tried(self, queue: Queue, job: Job, why: str, retryable: bool, now: float, chance: float) -> None:
        """A try went wrong, whoever's fault it was."""
        queue.running.pop(job.number, None)
        if job.ending == CANCEL:
            self._end(queue, job, CANCELLED, now)
            return
        if job.ending == TIMEOUT:
            why = f"not done within {job.timeout:g} s: {why}"
        job.ending, job.why = "", why
        if not retryable or job.attempt >= job.attempts:
            self._end(queue, job, FAILED, now)
            return
        delay = delay_of(job.backoff or queue.spec.backoff, job.attempt, chance)
        job.run_at, job.changed_at = now + delay, now
        self.dirty[job.number] = job
        self.effects.append(Again(job.number, job.queue, job.kind, job.worker, job.attempt, delay, why))
        self._place(queue, job, now)

    def _end(self, queue: Queue, job: Job, state: str, now: float) -> None:
        number = job.number
        job.state, job.changed_at, job.ending = state, now, ""
        del self.jobs[number]
        queue.count -= 1
        self.dirty[number] = job
        if job.key:
            self.keys.pop((job.queue, job.key), None)
            if job.window_at > now:
                self.windows[job.queue, job.key] = (job.window_at, number)
        self.effects.append(Ended(job))
        if number in self._dependents:
            self._settle_dependents(job, now)
        if (job.every or job.cron) and state != CANCELLED:
            self._repeat(job, now)

    def _repeat(self, job: Job, now: float) -> None:
        """Add the next of a recurring job."""
        try:
            self.add(following(job, self.last + 1, now, self.next_slot), now)
        except ValueError as error:
            job.why = f"{job.why}; " * bool(job.why) + f"it does not come again: {error}"
            return
        self.last += 1

    def _settle_dependents(self, ended: Job, now: float) -> None:
        """Let go on, or fail, what came after a job, and what came after that, however long the chain is.

        Claims come last, so that of all these the most urgent goes.
        """
        if self._settling is not None:
            self._settling.append(ended)  # it failed for one that is being settled: its turn comes
            return
        settling = self._settling = deque([ended])
        woken: set[str] = set()
        try:
            while settling:
                self._settle(settling.popleft(), woken, now)
        finally:
            self._settling = None
        for name in woken:
            self.claim(name, now)

    def _settle(self, ended: Job, woken: set[str], now: float) -> None:
        """Let go on, or fail, what came straight after a job; its queue goes into `woken` where it may run."""
        has_succeeded = ended.state == SUCCEEDED
        ended.released = self._dependents.pop(ended.number, ())
        for number in ended.released:
            job = self.jobs.get(number)
            if job is None or ended.number not in job.after:
                continue
            queue = self.queues[job.queue]
            if not has_succeeded and not job.even_if:
                job.why = f"job-{ended.number}, which it comes after, {ended.state}"
                self._end(queue, job, FAILED, now)
                continue
            job.after.discard(ended.number)
            if job.after and has_succeeded:
                continue  # its row may name it for as long as it waits: one that succeeded is not waited for again
            self.dirty[number] = job
            if not job.after and job.state == BLOCKED:
                job.run_at = max(job.run_at, now)  # what it came after is no waiting for a worker
                self._place(queue, job, now)
                woken.add(job.queue)

    def _watch(self, job: Job, grace: float, now: float) -> None:
        """Ask a job that takes too long to end, and have the worker ended of one that does not."""
        if not job.ending and now >= job.timed_at + job.timeout:
            job.ending, job.halted_at = TIMEOUT, now
            self.effects.append(Halt(job.number, job.worker, f"not done within {job.timeout:g} s"))
        elif job.ending and now >= job.halted_at + grace:
            job.halted_at = INFINITE
            self.effects.append(Stop(job.number, job.worker, f"its job did not end {grace:g} s after it was asked to"))
        self._wake(job.halted_at + grace if job.ending else job.timed_at + job.timeout)

    def _wake(self, at: float) -> None:
        self.alarm = min(self.alarm, at)
