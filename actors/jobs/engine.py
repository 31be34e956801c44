"""Jobs at work: the ledger's rules, the table's rows, and what follows once those are written.

    add ----+                                                   +--> accepted: told to whoever added
    finished+--> ledger --dirty rows--> one commit at a time ---+--> begun: given to a worker
    due ----+                                                   +--> ended: told to whoever waits, and an event

All methods may be called on any thread; a lock keeps them apart, and nothing under it waits. While one commit is under
way everything else gathers for the next. A job is begun, and its end told, only once that is on disk; so after a kill
the rows say which jobs were in flight. A queue that is `relaxed` does not wait for the disk.

Where a commit fails (a full disk) the new jobs in it are refused with the reason, claims are taken back, and the rest
is tried again at once; where that fails too, what ended is written again every second until that works, and meanwhile
nothing new begins. A large end that the disk does not take while it takes others is given up: the job has failed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence

from actors.jobs import explaining
from actors.jobs.accepting import Acceptor, Draft, JobsNotWrittenError, JobsRefusedError
from actors.jobs.clocksteps import LEAST, clock_set
from actors.jobs.committing import Commits, Perform
from actors.jobs.draining import follow
from actors.jobs.flushing import Add, Answer
from actors.jobs.handlers import PayloadError, UnknownKindError
from actors.jobs.jobtable import JobTable, QueueState
from actors.jobs.ledger import Ledger
from actors.jobs.records import Job
from actors.jobs.recovering import Recovered, recover, revive, with_rate
from actors.jobs.recurring import NextSlot
from actors.jobs.specs import CANCELLED, DISABLED, FAILED, RUNNING, WAITING, JobSpec, QueueSpec

CLOSE_WITHIN = 5.0
"""Longest wait for what is still to be written when an engine is closed, in seconds."""


class Engine:
    """See the module.

    Args:
        table: Where jobs are kept; closed with the engine.
        now: Wall seconds since the epoch.
        steady: Monotonic seconds; beside them the wall clock is seen to be set.
        perform: Carries out effects, in order; called on any thread, must not block.
        alarm: Asks for a call of `pass_time` at a wall instant; called on any thread.
        chance: For jitter.
        next_slot: Slots of recurring jobs by cron expression; None: none are taken.
        timezone: Whose wall clock they mean where they do not say.

    Attributes:
        table: Where jobs are kept.
        ledger: The unfinished jobs; for reading.
        rates: Rates of queues as people set them, as `count/seconds`.
    """

    def __init__(
        self,
        table: JobTable,
        *,
        now: Callable[[], float],
        steady: Callable[[], float],
        perform: Perform,
        alarm: Callable[[float], None],
        chance: random.Random | None = None,
        next_slot: NextSlot | None = None,
        timezone: str = "UTC",
    ) -> None:
        self.table = table
        self._wall = now
        self._steady = steady
        self._ahead = now() - steady()
        self._chance = chance if chance is not None else random.Random()
        self.ledger = Ledger()
        commits = self._commits = Commits(table, self.ledger, now=self._now, perform=perform, alarm=alarm)
        self._lock = commits.lock
        self._go_on = commits.go_on
        self.watch, self.unwatch = commits.watch, commits.unwatch
        self._acceptor = Acceptor(self.ledger, table, commits.pending)
        self._acceptor.timezone = timezone
        self.ledger.next_slot = next_slot
        self.rates: dict[str, str] = {}

    # -- opening and closing ----------------------------------------------------------------------

    def open(self, specs: Iterable[QueueSpec]) -> Recovered:
        """Take up the queues and the jobs that an earlier engine left; blocks."""
        states = self.table.queue_states()
        left = self.table.unfinished()
        now = self._now()
        with self._lock:
            ledger = self.ledger
            ledger.last = self.table.last_number()
            for spec in specs:
                self._open_queue(spec, states.get(spec.name, QueueState()), now)
            for name in {job.queue for job in left} - set(ledger.queues):
                self._open_queue(QueueSpec(name=name), QueueState(paused=True, note="it is in no configuration"), now)
            for queue, key, until, number in self.table.windows(now):
                ledger.windows[queue, key] = (until, number)
            counts = {WAITING: 0, RUNNING: 0, FAILED: 0, DISABLED: 0}
            unfinished = {job.number for job in left}
            later: list[Callable[[], object]] = []
            for job in left:
                job.after &= unfinished
                counts[recover(ledger, job, now, later)] += 1
            for end in later:
                end()
            for name in ledger.queues:
                ledger.claim(name, now)
        self._go_on()
        return Recovered(counts[WAITING], counts[RUNNING], counts[FAILED], counts[DISABLED])

    def close(self) -> None:
        """Write what waits and close the table; blocks. Jobs that run are found in flight by the next engine."""
        with self._lock:
            self._commits.is_closed = True
        until = time.monotonic() + CLOSE_WITHIN
        while not self.is_settled and not self.trouble and time.monotonic() < until:
            time.sleep(0.001)
        self.table.close()

    def _open_queue(self, spec: QueueSpec, state: QueueState, now: float) -> None:
        self.rates.pop(spec.name, None)
        if state.rate is not None:
            self.rates[spec.name] = state.rate
            spec = with_rate(spec, state.rate)
        queue = self.ledger.open_queue(spec, now)
        follow(self.ledger, queue, state)
        self._commits.is_relaxed = self._commits.is_relaxed or spec.relaxed

    # -- adding and looking -----------------------------------------------------------------------

    def add(self, specs: Sequence[JobSpec], answer: Answer) -> None:
        """Take jobs, all or none, and call `answer` once they are on disk, on any thread; it must not block."""
        try:
            drafts = self._acceptor.drafts(specs)
        except (UnknownKindError, PayloadError, JobsRefusedError) as error:
            answer(error if isinstance(error, JobsRefusedError) else JobsRefusedError(str(error)))
            return
        now = self._now()
        refused: JobsRefusedError | None = None
        at_once = False
        with self._lock:
            try:
                if self._commits.is_closed:
                    raise JobsRefusedError("the queues are closed")
                if self.trouble:
                    raise JobsNotWrittenError(self.trouble)
                accepted, jobs = self._acceptor.accept(drafts, now)
                for name in {job.queue for job in jobs} if len(jobs) > 1 else [job.queue for job in jobs]:
                    self.ledger.claim(name, now)
                at_once = self._commits.is_relaxed and all(self.ledger.queues[job.queue].spec.relaxed for job in jobs)
                if not at_once:
                    self._commits.adds.append(Add(accepted, jobs, answer))
            except JobsRefusedError as error:
                refused = error
        if refused is not None:
            answer(refused)
            return
        if at_once:
            answer(accepted)
        self._go_on()

    @property
    def is_settled(self) -> bool:
        """Whether everything is written, and all that follows from it done."""
        return self._commits.is_settled

    @property
    def trouble(self) -> str:
        """Why the last commit failed; "" where it did not."""
        return self._commits.trouble

    def live(self, number: int) -> Job | None:
        """Return an unfinished job; for reading one field at a time."""
        return self.ledger.jobs.get(number)

    def why(self, number: int) -> str:
        """Return why an unfinished job does not run; "" where there is none."""
        now = self._now()
        with self._lock:
            return explaining.why(self.ledger, number, now) if number in self.ledger.jobs else ""

    def overlay(self, jobs: Iterable[Job]) -> list[Job]:
        """Return jobs that were read from disk as they are now."""
        with self._lock:
            known = self.ledger.jobs
            return [known.get(job.number, job) for job in jobs]

    # -- what becomes of jobs ---------------------------------------------------------------------

    def finished(self, number: int, attempt: int, result: str | None, children: Sequence[JobSpec] = ()) -> None:
        """A try ended well: its end, its result and the jobs it added are written together."""
        job = self.ledger.jobs.get(number)
        if job is None:
            return
        limit = self.ledger.queues[job.queue].spec.payload_max_bytes
        if result is not None and len(result) > limit:
            self.failed(number, attempt, f"its result has {len(result)} characters, {limit} bytes are allowed", False)
            return
        now = self._now()
        if not children:
            with self._lock:
                self.ledger.succeeded(number, attempt, result, now)
                if not self.trouble and not self._commits.is_closed:
                    self.ledger.claim(job.queue, now)
            self._go_on()
            return
        why = ""
        drafts: list[Draft] = []
        try:
            drafts = self._acceptor.drafts(children)
        except (UnknownKindError, PayloadError, JobsRefusedError) as error:
            why = f"its jobs were not added: {error}"
        with self._lock:
            touched, added = {job.queue}, list[Job]()
            if drafts and job.state == RUNNING and job.attempt == attempt:
                try:
                    _, added = self._acceptor.accept(drafts, now, is_child=True)
                    touched |= {child.queue for child in added}
                except JobsRefusedError as error:
                    why = f"its jobs were not added: {error}"
            if why:
                self.ledger.failed(number, attempt, why, True, now, self._chance.random())
            elif self.ledger.succeeded(number, attempt, result, now):
                job.children = tuple(child.number for child in added)
            self._claim(touched, now)
        self._go_on()

    def failed(self, number: int, attempt: int, why: str, retryable: bool) -> None:
        """A try went wrong."""
        now = self._now()
        with self._lock:
            job = self.ledger.jobs.get(number)
            if job is None:
                return
            self.ledger.failed(number, attempt, why, retryable, now, self._chance.random())
            self._claim((job.queue,), now)
        self._go_on()

    def refused(self, number: int, attempt: int) -> None:
        """The worker did not take the job; it is given to the next that is free."""
        now = self._now()
        with self._lock:
            job = self.ledger.jobs.get(number)
            if job is not None and self.ledger.refused(number, attempt, now):
                self._claim((job.queue,), now)
        self._go_on()

    def reported(self, number: int, attempt: int, progress: float, note: str) -> None:
        """A running job says how far it is."""
        with self._lock:
            self.ledger.reported(number, attempt, progress, note)
        self._go_on()

    def logged(self, number: int, attempt: int, at: float, level: str, text: str) -> None:
        """A try says something, to be kept with the job."""
        with self._lock:
            self._commits.lines.append((number, attempt, at, level, text))
        self._go_on()

    def worker_free(self, queue: str, path: str, places: int) -> None:
        """A worker is there for jobs of the queue."""
        now = self._now()
        with self._lock:
            self.ledger.worker_free(queue, path, places, now)
        self._go_on()

    def worker_suspended(self, queue: str, path: str, is_suspended: bool) -> None:
        """A worker takes nothing new for the time being, or takes jobs again."""
        now = self._now()
        with self._lock:
            if is_suspended:
                self.ledger.worker_away(queue, path)
            else:
                self.ledger.worker_back(queue, path, now)
        self._go_on()

    def worker_lost(self, queue: str, path: str, why: str) -> None:
        """A worker ended, with whatever it had."""
        now = self._now()
        with self._lock:
            self.ledger.worker_lost(queue, path, why, now, self._chance.random())
        self._go_on()

    def pass_time(self) -> None:
        """Do what is due; after a failed commit, write once more what is to be written."""
        now = self._now()
        with self._lock:
            self._commits.armed = float("inf")
            if self.trouble:
                self._commits.trouble = ""
                self._claim(tuple(self.ledger.queues), now)
            self.ledger.pass_time(now)
        self._go_on()

    # -- what people do ---------------------------------------------------------------------------

    def cancel(self, numbers: Iterable[int], why: str) -> list[int]:
        """End jobs; return those that there were to end."""
        now = self._now()
        with self._lock:
            changed = [number for number in numbers if self.ledger.cancel(number, why, now)]
        self._go_on()
        return changed

    def promote(self, numbers: Iterable[int]) -> list[int]:
        """Let delayed jobs run now; return which."""
        now = self._now()
        with self._lock:
            changed = [number for number in numbers if self.ledger.promote(number, now)]
        self._go_on()
        return changed

    def retry(self, numbers: Sequence[int]) -> list[int]:
        """Send jobs that failed, were cancelled or are disabled round again, with all their tries; blocks to read."""
        stored = {job.number: job for job in self.table.find(numbers) if job.state in {FAILED, CANCELLED}}
        now = self._now()
        changed: list[int] = []
        with self._lock:
            for number in numbers:
                if self._commits.pending(number) is None and revive(self.ledger, number, stored.get(number), now):
                    changed.append(number)
            self._claim({self.ledger.jobs[number].queue for number in changed if number in self.ledger.jobs}, now)
        self._go_on()
        return changed

    def set_queue(self, spec: QueueSpec, state: QueueState) -> None:
        """Pause, resume, drain or throttle the queue of `spec`, for good; blocks.

        Raises:
            StateError: It could not be written; then nothing changed.
        """
        self.table.set_queue(spec.name, state)
        now = self._now()
        with self._lock:
            self._open_queue(spec, state, now)
            self._claim((spec.name,), now)
        self._go_on()

    def count_states(self) -> dict[str, dict[str, int]]:
        """Return how many unfinished jobs of each queue are in which state."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for job in self.ledger.jobs.values():
                states = found.setdefault(job.queue, {})
                states[job.state] = states.get(job.state, 0) + 1
        return found

    def delete(self, numbers: Sequence[int]) -> list[int]:
        """Forget jobs that have ended, and their hold on a key; return which; blocks.

        Raises:
            StateError: It could not be written; then they are there.
        """
        gone = self.table.delete(numbers)
        forgotten = set(gone)
        with self._lock:
            windows = self.ledger.windows
            for key in [key for key, (_, number) in windows.items() if number in forgotten]:
                del windows[key]
        return gone

    # -- within -----------------------------------------------------------------------------------

    def _now(self) -> float:
        """Return the wall clock, and see to it where it was set; without the lock."""
        wall = self._wall()
        ahead = wall - self._steady()
        if abs(ahead - self._ahead) >= LEAST:
            with self._lock:
                by, self._ahead = ahead - self._ahead, ahead
                if abs(by) >= LEAST:  # else another thread was quicker
                    clock_set(self.ledger, by)
        return wall

    def _claim(self, names: Iterable[str], now: float) -> None:
        if not self.trouble and not self._commits.is_closed:
            for name in names:
                self.ledger.claim(name, now)
