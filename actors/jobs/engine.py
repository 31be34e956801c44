"""Jobs at work: the ledger's rules, the table's rows, and what follows once those are written.

    add ----+                                                   +--> accepted: told to whoever added
    finished+--> ledger --dirty rows--> one commit at a time ---+--> begun: given to a worker
    due ----+                                                   +--> ended: told to whoever waits, and an event

All methods may be called on any thread; a lock keeps them apart, and nothing under it waits. While one commit is under
way everything else gathers for the next. A job is begun, and its end told, only once that is on disk; so after a kill
the rows say which jobs were in flight. A queue that is `relaxed` does not wait for the disk.

Where a commit fails (a full disk) the new jobs in it are refused with the reason, claims are taken back, and what ended
is written again every second until that works; meanwhile nothing new begins.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from actors.jobs import explaining
from actors.jobs.accepting import Acceptor, Draft, JobsRefusedError
from actors.jobs.flushing import Add, Answer, Flush
from actors.jobs.handlers import PayloadError, UnknownKindError
from actors.jobs.jobtable import JobTable, QueueState
from actors.jobs.ledger import Ledger, Queue
from actors.jobs.records import Begin, Effect, Ended, Job
from actors.jobs.recovering import Recovered, recover, revive, with_rate
from actors.jobs.specs import CANCELLED, DISABLED, FAILED, RUNNING, WAITING, JobSpec, QueueSpec
from actors.jobs.tables import Changes, changes_of

logger = logging.getLogger(__name__)

RETRY_WRITE = 1.0
"""Seconds between two tries to write what a full disk refused."""
CLOSE_WITHIN = 5.0
"""Longest wait for what is still to be written when an engine is closed, in seconds."""

Perform = Callable[[Sequence[Effect]], None]


class Engine:
    """See the module.

    Args:
        table: Where jobs are kept; closed with the engine.
        now: Wall seconds since the epoch.
        perform: Carries out effects, in order; called on any thread, must not block.
        alarm: Asks for a call of `pass_time` at a wall instant; called on any thread.
        chance: For jitter.

    Attributes:
        table: Where jobs are kept.
        ledger: The unfinished jobs; for reading.
        trouble: Why the last commit failed; "" where it did not.
        rates: Rates of queues as people set them, as `count/seconds`.
    """

    def __init__(
        self,
        table: JobTable,
        *,
        now: Callable[[], float],
        perform: Perform,
        alarm: Callable[[float], None],
        chance: random.Random | None = None,
    ) -> None:
        self.table = table
        self._now = now
        self._perform = perform
        self._alarm = alarm
        self._armed = float("inf")
        self._chance = chance if chance is not None else random.Random()
        self._lock = threading.Lock()
        self.ledger = Ledger()
        self._acceptor = Acceptor(self.ledger, table, self._pending)
        self._adds: list[Add] = []
        self._watchers: dict[int, list[Callable[[Job], object]]] = {}
        self._flush: Flush | None = None
        self.trouble = ""
        self.rates: dict[str, str] = {}
        self._is_closed = False
        self._is_relaxed = False

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
            self._is_closed = True
        until = time.monotonic() + CLOSE_WITHIN
        while not self.is_settled and not self.trouble and time.monotonic() < until:
            time.sleep(0.001)
        self.table.close()

    def _open_queue(self, spec: QueueSpec, state: QueueState, now: float) -> Queue:
        self.rates.pop(spec.name, None)
        if state.rate is not None:
            self.rates[spec.name] = state.rate
            spec = with_rate(spec, state.rate)
        queue = self.ledger.open_queue(spec, now)
        queue.paused, queue.draining, queue.note = state.paused, state.draining, state.note
        self._is_relaxed = self._is_relaxed or spec.relaxed
        return queue

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
                if self._is_closed:
                    raise JobsRefusedError("the queues are closed")
                if self.trouble:
                    raise JobsRefusedError(self.trouble)
                accepted, jobs = self._acceptor.accept(drafts, now)
                for name in {job.queue for job in jobs} if len(jobs) > 1 else [job.queue for job in jobs]:
                    self.ledger.claim(name, now)
                at_once = self._is_relaxed and all(self.ledger.queues[job.queue].spec.relaxed for job in jobs)
                if not at_once:
                    self._adds.append(Add(accepted, jobs, answer))
            except JobsRefusedError as error:
                refused = error
        if refused is not None:
            answer(refused)
            return
        if at_once:
            answer(accepted)
        self._go_on()

    def watch(self, number: int, ended: Callable[[Job], object]) -> bool:
        """Call `ended` with the job once its end is on disk; return False where it has ended, or never was."""
        with self._lock:
            if number not in self.ledger.jobs and self._pending(number) is None:
                return False
            self._watchers.setdefault(number, []).append(ended)
        return True

    @property
    def is_settled(self) -> bool:
        """Whether everything is written, and all that follows from it done."""
        with self._lock:
            ledger = self.ledger
            return self._flush is None and not (ledger.dirty or ledger.effects or self._adds)

    def live(self, number: int) -> Job | None:
        """Return an unfinished job; for reading one field at a time."""
        return self.ledger.jobs.get(number)

    def why(self, number: int) -> str:
        """Return why an unfinished job does not run; "" where there is none."""
        with self._lock:
            return explaining.why(self.ledger, number, self._now()) if number in self.ledger.jobs else ""

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
                if not self.trouble and not self._is_closed:
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
            touched = {job.queue}
            if drafts and job.state == RUNNING and job.attempt == attempt:
                try:
                    _, added = self._acceptor.accept(drafts, now)
                    touched |= {child.queue for child in added}
                except JobsRefusedError as error:
                    why = f"its jobs were not added: {error}"
            if why:
                self.ledger.failed(number, attempt, why, True, now, self._chance.random())
            else:
                self.ledger.succeeded(number, attempt, result, now)
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

    def worker_free(self, queue: str, path: str, places: int) -> None:
        """A worker is there for jobs of the queue."""
        with self._lock:
            self.ledger.worker_free(queue, path, places, self._now())
        self._go_on()

    def worker_lost(self, queue: str, path: str, why: str) -> None:
        """A worker ended, with whatever it had."""
        with self._lock:
            self.ledger.worker_lost(queue, path, why, self._now(), self._chance.random())
        self._go_on()

    def pass_time(self) -> None:
        """Do what is due; after a failed commit, write once more what is to be written."""
        now = self._now()
        with self._lock:
            self._armed = float("inf")
            if self.trouble:
                self.trouble = ""
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
                if self._pending(number) is None and revive(self.ledger, number, stored.get(number), now):
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

    # -- within -----------------------------------------------------------------------------------

    def _claim(self, names: Iterable[str], now: float) -> None:
        if not self.trouble and not self._is_closed:
            for name in names:
                self.ledger.claim(name, now)

    def _pending(self, number: int) -> Job | None:
        """Return a job that is not as its row is."""
        found = self.ledger.dirty.get(number)
        if found is None and self._flush is not None:
            found = next((job for job in self._flush.jobs if job.number == number), None)
        return found

    def _go_on(self) -> None:
        """Begin a commit if there is something to write and none is under way; see to the alarm.

        Without the lock where a commit is under way: what was noted before this call is seen by the one at its end.
        """
        if self._flush is not None and not self._is_relaxed and self.ledger.alarm >= self._armed:
            return
        flush: Flush | None = None
        at_once: list[Effect] = []
        alarm = 0.0
        with self._lock:
            ledger = self.ledger
            if self._is_relaxed and ledger.effects:
                at_once = self._take_relaxed()
            if self._flush is None and (ledger.dirty or ledger.effects or self._adds) and not self.trouble:
                flush = self._flush = Flush(self._take, self._flushed)
            if ledger.alarm < self._armed:
                alarm = self._armed = ledger.alarm
        if alarm:
            self._alarm(alarm)
        if flush is not None:
            self.table.submit(flush.take, flush.done)
        if at_once:
            self._carry_out(at_once)

    def _take_relaxed(self) -> list[Effect]:
        """Return the effects about jobs whose queue does not wait for the disk."""
        queues = self.ledger.queues
        found: list[Effect] = []
        others: list[Effect] = []
        for effect in self.ledger.effects:
            of_job = isinstance(effect, Begin | Ended)
            (found if of_job and queues[effect.job.queue].spec.relaxed else others).append(effect)  # type: ignore[union-attr]
        self.ledger.effects = others
        return found

    def _take(self, flush: Flush) -> Changes:
        with self._lock:
            ledger = self.ledger
            flush.jobs = list(ledger.dirty.values())
            flush.effects, flush.adds = ledger.effects, self._adds
            ledger.dirty, ledger.effects, self._adds = {}, [], []
            changes = changes_of(flush.jobs)
            if changes.inserted or changes.short:
                flush.inserted = [job for job in flush.jobs if job.is_new]
                for job in flush.inserted:
                    job.is_new = False
            return changes

    def _flushed(self, flush: Flush, error: BaseException | None) -> None:
        if error is not None:
            self._not_written(flush, error)
            return
        with self._lock:
            self._flush = None
        for add in flush.adds:
            add.answer(add.accepted)
        self._carry_out(flush.effects)
        self._go_on()

    def _not_written(self, flush: Flush, error: BaseException) -> None:
        """Refuse what was new, take claims back, and keep everything else for the next try."""
        now = self._now()
        logger.error("jobs are not written, and will be tried again: %s", error)
        with self._lock:
            ledger = self.ledger
            self._flush = None
            refused = {job.number for add in flush.adds for job in add.jobs}
            for job in flush.inserted:
                job.is_new = True
            for job in flush.jobs:
                job.row_attempt = 0
            for effect in flush.effects:
                if isinstance(effect, Begin) and effect.job.number not in refused:
                    ledger.unclaim(effect.job, now)
            for add in flush.adds:
                for job in add.jobs:
                    ledger.forget(job)
            for job in flush.jobs:
                if job.number not in refused:
                    ledger.dirty.setdefault(job.number, job)
            ledger.effects[:0] = [effect for effect in flush.effects if not isinstance(effect, Begin)]
            self.trouble = "" if self._is_closed else f"nothing can be written: {error}"
            self._armed = min(self._armed, now + RETRY_WRITE)
        for add in flush.adds:
            add.answer(JobsRefusedError(str(error)))
        if not self._is_closed:
            self._alarm(now + RETRY_WRITE)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        if not effects:
            return
        self._perform(effects)
        if not self._watchers:
            return
        for effect in effects:
            if isinstance(effect, Ended):
                for ended in self._watchers.pop(effect.job.number, ()):
                    ended(effect.job)
