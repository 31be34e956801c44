"""Commits of the engine: all that was noted while one was under way goes into the next, and what follows comes after.

    noted under the lock --go_on--> Flush --the table's writer--> written: answers, effects, watchers
                                                            +--> not written: new jobs refused, claims taken back

Where a commit fails (a full disk) new jobs in it are refused, and the rest is tried again without them at once. Where
that fails too, what ended is kept and written again every second; until then nothing new begins. A large end that would
hold up all others is given up: after `HOLD` seconds in which something small could be written and it could not.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from actors.jobs import oversize
from actors.jobs.accepting import JobsNotWrittenError
from actors.jobs.flushing import Add, Flush
from actors.jobs.jobtable import JobTable
from actors.jobs.ledger import Ledger
from actors.jobs.records import Begin, Effect, Ended, Job
from actors.jobs.tables import Changes, Row, changes_of

logger = logging.getLogger(__name__)

RETRY_WRITE = 1.0
"""Seconds between two tries to write what a full disk refused."""

HOLD = 5.0
"""Seconds that a large end holds up all others, for there may be room soon."""
TIGHT = 60.0
"""Seconds after one was given up in which none is waited for: the disk has room for small ones alone."""

LINES_MAX = 10_000

Perform = Callable[[Sequence[Effect]], None]


class Commits:
    """See the module.

    Args:
        table: Where rows go.
        ledger: Whose dirty rows and effects are taken.
        now: Wall seconds since the epoch.
        perform: Carries out effects, in order; called on any thread, must not block.
        alarm: Asks for a call of the engine at a wall instant; called on any thread.

    Attributes:
        lock: Held by whoever reads or changes the ledger or what is below; nothing under it waits.
        adds: Jobs that were added since the last commit began.
        lines: What handlers said since then; of more than `LINES_MAX` that cannot be written the newest.
        watchers: Whom to tell of the end of a job, by number.
        trouble: Why the last commit failed; "" where it did not.
        armed: Wall instant of the alarm that was asked for.
        is_relaxed: Whether there is a queue that does not wait for the disk.
        is_closed: Whether nothing more is begun.
    """

    def __init__(
        self,
        table: JobTable,
        ledger: Ledger,
        *,
        now: Callable[[], float],
        perform: Perform,
        alarm: Callable[[float], None],
    ) -> None:
        self._table = table
        self.ledger = ledger
        self._now = now
        self._perform = perform
        self._alarm = alarm
        self._flush: Flush | None = None
        self.lock = threading.Lock()
        self.adds: list[Add] = []
        self.lines: deque[Row] = deque(maxlen=LINES_MAX)
        self.watchers: dict[int, list[Callable[[Job], object]]] = {}
        self.trouble = ""
        self.armed = float("inf")
        self.is_relaxed = False
        self.is_closed = False
        self._stuck_at = 0.0  # since when commits fail; 0: they do not
        self._tight_until = 0.0
        self._has_given_up = False  # since the last commit that worked

    @property
    def is_settled(self) -> bool:
        """Whether everything is written, and all that follows from it done."""
        with self.lock:
            ledger = self.ledger
            return self._flush is None and not (ledger.dirty or ledger.effects or self.adds or self.lines)

    def pending(self, number: int) -> Job | None:
        """Return a job that is not as its row is."""
        found = self.ledger.dirty.get(number)
        if found is None and self._flush is not None:
            found = next((job for job in self._flush.jobs if job.number == number), None)
        return found

    def watch(self, number: int, ended: Callable[[Job], object]) -> bool:
        """Call `ended` with the job once its end is told of; return False where that was, or the job never was."""
        with self.lock:
            job = self.ledger.jobs.get(number) or self.pending(number)
            if job is None:
                return False
            is_told = number not in self.ledger.jobs and self.ledger.queues[job.queue].spec.relaxed
            if not is_told:
                self.watchers.setdefault(number, []).append(ended)
        if is_told:  # though its end is not on disk
            ended(job)
        return True

    def unwatch(self, number: int, ended: Callable[[Job], object]) -> None:
        """Nobody waits for that call any more; nothing where it was made already."""
        with self.lock:
            left = [watcher for watcher in self.watchers.get(number, ()) if watcher is not ended]
            if left:
                self.watchers[number] = left
            else:
                self.watchers.pop(number, None)

    def go_on(self) -> None:
        """Begin a commit if there is something to write and none is under way; see to the alarm.

        Without the lock where a commit is under way: what was noted before this call is seen by the one at its end.
        """
        if self._flush is not None and not self.is_relaxed and self.ledger.alarm >= self.armed:
            return
        flush: Flush | None = None
        at_once: list[Effect] = []
        alarm: float | None = None
        with self.lock:
            ledger = self.ledger
            if self.is_relaxed and ledger.effects:
                at_once = self._take_relaxed()
            if self._flush is None and (ledger.dirty or ledger.effects or self.adds or self.lines) and not self.trouble:
                flush = self._flush = Flush(self._take, self._flushed)
            if ledger.alarm < self.armed:
                alarm = self.armed = ledger.alarm
        if alarm is not None:  # 0 is one: all is to be looked at at once
            self._alarm(alarm)
        if flush is not None:
            self._table.submit(flush.take, flush.done)
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
        with self.lock:
            ledger = self.ledger
            flush.jobs = list(ledger.dirty.values())
            flush.effects, flush.adds, flush.lines = ledger.effects, self.adds, list(self.lines)
            self.lines.clear()
            ledger.dirty, ledger.effects, self.adds = {}, [], []
            changes = changes_of(flush.jobs, flush.lines)
            if changes.inserted or changes.short:
                flush.inserted = [job for job in flush.jobs if job.is_new]
                for job in flush.inserted:
                    job.is_new = False
            return changes

    def _flushed(self, flush: Flush, error: BaseException | None) -> None:
        if error is not None:
            self._not_written(flush, error)
            return
        with self.lock:
            self._flush = None
            if self._stuck_at:
                self._stuck_at = 0.0
                self._tight_until = self._now() + TIGHT * self._has_given_up
                self._has_given_up = False
                logger.warning("jobs are written again")
        for add in flush.adds:
            add.answer(add.accepted)
        self._carry_out(flush.effects)
        self.go_on()

    def _not_written(self, flush: Flush, error: BaseException) -> None:
        """Refuse what was new, take claims back, and keep everything else for the next try."""
        now = self._now()
        with self.lock:
            ledger = self.ledger
            self._flush = None
            refused = {job.number for add in flush.adds for job in add.jobs}
            for job in flush.inserted:
                job.is_new = True
            for job in flush.jobs:
                job.is_plain = False
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
            self.lines = deque([*flush.lines, *self.lines], maxlen=LINES_MAX)
            has_refused = bool(flush.adds) and not self.is_closed
            if has_refused:  # that may be all that there was no room for
                self._claim_all(now)
            else:
                self.trouble = "" if self.is_closed else f"nothing can be written: {error}"
                self.armed = min(self.armed, now + RETRY_WRITE)
                if not self._stuck_at:
                    self._stuck_at = now
                    logger.error("jobs are not written, and will be tried again: %s", error)
            is_held_up = now >= self._stuck_at + HOLD or now < self._tight_until
        for add in flush.adds:
            add.answer(JobsNotWrittenError(str(error)))
        if has_refused:
            self.go_on()
        elif not self.is_closed:
            self._alarm(now + RETRY_WRITE)
            if is_held_up:
                self._table.probe(lambda probed: self._probed(probed, error))

    def _probed(self, probed: BaseException | None, error: BaseException) -> None:
        """Give up the largest end where the disk takes what is small; without the lock."""
        now = self._now()
        with self.lock:
            job = oversize.largest(self.ledger) if probed is None and not self.is_closed else None
            if job is None:
                return
            why = f"its end has {oversize.size_of(self.ledger, job):,} characters, for which there was no room: {error}"
            logger.error("job-%d has failed: %s", job.number, why)
            oversize.fail(self.ledger, job, why, now)
            self._has_given_up = True
            self._stuck_at = now
            self.trouble = ""
            self._claim_all(now)
        self.go_on()

    def _claim_all(self, now: float) -> None:
        """Let jobs begin whose claims were taken back; under the lock."""
        for name in tuple(self.ledger.queues):
            self.ledger.claim(name, now)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        if not effects:
            return
        self._perform(effects)
        if not self.watchers:
            return
        for effect in effects:
            if isinstance(effect, Ended):
                for ended in self.watchers.pop(effect.job.number, ()):
                    ended(effect.job)
