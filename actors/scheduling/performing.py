"""Carries out what the rules say: ends and claims to the ledger, attempts once their claim is on disk, events.

    effects --> Books --flush--> ledger --on disk--> Written --> Runner
    next instants --> ledger, ahead of them --on disk--> kept;   the instant --> Runner

Ends are gathered and written together after what waits in the scheduler's mailbox; a claim is written at once. What
cannot be written is tried again, and nothing is run for it until then. Meanwhile no further slot is taken up: when the
disk takes writes again, those whose instant has passed are missed, as if the machine had slept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.events import BreakerChanged, RunFinished, ScheduleChanged
from actors.messages import Message
from actors.policies import breaker as breakers
from actors.scheduling.backlog import GRACE
from actors.scheduling.books import Claim, row_ahead
from actors.scheduling.engine import Effects
from actors.scheduling.figures import next_at
from actors.scheduling.lateness import unrun
from actors.scheduling.ledger import Batch, Ledger
from actors.scheduling.plans import Schedule
from actors.scheduling.running import Attempt, Finished
from actors.scheduling.states import Begin, Effect, Ended, Hold, Now, Run, Settle, Stop, Tell

if TYPE_CHECKING:
    from actors.scheduling.scheduler import SchedulerTick

logger = logging.getLogger(__name__)

_PATIENCE: Final = 30.0
_MANY: Final = 50
"""Runs that begin together from which on they have the interpreter to themselves for a moment."""
_LOOK_AGAIN: Final = 0.01
_AHEAD: Final = 0.05
"""Seconds that are left at least to claim what comes next."""


class Written(Message[None], frozen=True, local=True):
    """A batch is in the ledger, or is not: `why`."""

    claim: Claim
    why: str


class Flush(Message[None], frozen=True):
    """Write what has gathered."""


class Performer:
    """Performs effects for one scheduler, on its thread.

    Attributes:
        refused: What could not be written and is tried again.
        outage: Why the ledger takes nothing, from the first refusal until all that was refused is written; else "".
    """

    def __init__(self, scheduler: SchedulerTick, ledger: Ledger) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self._flushing = False
        self._late: dict[tuple[str, float, int], float] = {}
        self._begun: list[tuple[list[tuple[str, Run]], float]] = []
        self._begun_at = float("-inf")
        self.refused: list[Claim] = []
        self.outage = ""
        self._again = 0  # of what was refused: what is being written once more

    def do(self, effects: Effects, now: Now, *, is_told: bool = False) -> None:
        """Perform what the rules say, in order; `is_told` where an actor tells of its run's end itself."""
        if not effects:
            return
        if self._begun:
            self.note_begun()
        scheduler = self._scheduler
        scheduler.books.note(effects, now)
        for id, effect in effects:
            if type(effect) is not Begin:
                self._tell(id, effect, now, is_told)
        if scheduler.engine.changed_breakers:
            for key in scheduler.books.breakers(scheduler.engine):
                state = breakers.word(scheduler.engine.breakers[key])
                scheduler.publish(BreakerChanged(now.wall, scheduler.path, key, state))
        if scheduler.books.has_begins:
            self.flush()
        elif not self._flushing and (scheduler.engine.withdrawn or not scheduler.books.is_empty):
            self._flushing = True
            scheduler.actor_ref.tell(Flush())  # after what waits in the mailbox, so that many ends share a write

    def make_ready(self, now: Now, lead: float) -> None:
        """Claim the slots of the next `lead` seconds ahead of their instant, and make ready what is to be called."""
        scheduler = self._scheduler
        is_afresh = not scheduler.engine.has_ready
        claims = scheduler.engine.make_ready(now, lead)
        if not claims:
            return
        rows = [row_ahead(id, run) for id, run in claims]
        self._write(Claim(Batch(slots=rows), [], claims))
        entries = scheduler.engine.entries
        scheduler.runner.prepare(((entries[id].plan.schedule, run) for id, run in claims), afresh=is_afresh)

    def begin_ready(self, now: Now) -> bool:
        """Begin the runs that were claimed ahead and whose instant has come; return whether there were any.

        Where there are many, `lets_run` says so for as long as they wait for their thread.
        """
        scheduler = self._scheduler
        begun = scheduler.engine.begin_ready(now)
        if not begun:
            return False
        self._begun.append((begun, now.wall))
        if len(begun) >= _MANY:
            self._begun_at = now.mono
        for id, run in scheduler.runner.begin(begun):
            entry = scheduler.engine.entries[id]
            scheduler.runner.start(entry.plan.schedule, run, next_at(entry, now), run.slot_at)
        return True

    def lets_run(self, now: Now, longest: float) -> float:
        """Return for how many seconds all else is to wait, since many runs have just begun; 0.0 where it need not.

        The interpreter goes to one thread at a time: what the scheduler does meanwhile they do not do.
        """
        scheduler = self._scheduler
        if now.mono - self._begun_at >= longest or not scheduler.runner.has_waiting:
            return 0.0
        return max(0.0, min(_LOOK_AGAIN, scheduler.engine.soon(now) - _AHEAD))

    def note_begun(self) -> None:
        """Enter into the books what `begin_ready` began: it does not, since the runs come first."""
        books = self._scheduler.books
        for begun, wall in self._begun:
            books.begun(begun, wall)
            for id, run in begun:
                if id in self._scheduler.engine.entries:
                    figures = books.figures_of(id)
                    figures.runs += 1
                    late = self._late[id, run.slot_at, run.round] = max(0.0, wall - run.slot_at)
                    figures.late.add(late)
        self._begun.clear()

    def finished(self, message: Finished) -> None:
        """Take in that an attempt ended."""
        scheduler = self._scheduler
        id, slot_at, round = message.key
        scheduler.runner.heard(message.key)
        if message.key in scheduler.removed:
            scheduler.removed.discard(message.key)
            now = scheduler.now()
            run = Run(slot_at, round)
            self.do([(id, Settle(run, message.outcome, message.detail, message.seconds))], now)
            return
        entry = scheduler.engine.entries.get(id)
        delay = None
        if entry is not None and entry.plan.schedule.retry_delay and message.outcome in {"failed", "timed-out"}:
            attempt = next((r.attempt for r in entry.live if r.slot_at == slot_at and r.round == round), 1)
            try:
                delay = scheduler.runner.custom_delay(entry.plan.schedule, attempt)
            except Exception as error:  # the user's function may do anything
                logger.warning("the delay of %s could not be had, the rule's own holds: %s", id, error)
        chance = scheduler.system.chance.random()
        ended = Ended(slot_at, round, message.outcome, message.detail, message.seconds, message.failure, chance, delay)
        now = scheduler.now()
        self.do(scheduler.engine.feed(id, ended, now), now)

    def flush(self) -> None:
        """Write what has gathered; does not wait."""
        self._flushing = False
        self._gather()
        if not self._scheduler.books.is_empty:
            self._write(self._scheduler.books.take())

    def commit(self) -> str:
        """Write what has gathered and wait until it is on disk; return why it is not, or ""."""
        self._gather()
        if self._scheduler.books.is_empty:
            return ""
        told = threading.Event()
        found: list[str] = []

        def done(why: str) -> None:
            found.append(why)
            told.set()

        self._write(self._scheduler.books.take(), done)
        return found[0] if told.wait(_PATIENCE) else "the disk does not answer"

    def written(self, claim: Claim, why: str) -> None:
        """Take in that a batch is on disk, or is not."""
        scheduler = self._scheduler
        if claim.ahead:
            scheduler.engine.kept(claim.ahead, is_kept=not why)
            return  # where it failed, they are claimed at their instant
        if claim.refused_at:
            self._again -= 1
        if not why:
            self._begin(claim.begins, claim.refused_at)
            if self.outage and not self._again and not self.refused:
                self.outage = ""
                logger.warning("slots are claimed again")
                scheduler.publish(ScheduleChanged(scheduler.now().wall, scheduler.path, "", "written"))
                scheduler.arm()
            return
        if not self.outage:
            logger.error("slots cannot be claimed and wait: %s", why)
            scheduler.publish(ScheduleChanged(scheduler.now().wall, scheduler.path, "", "unwritten", why))
        self.outage = why
        claim.refused_at = claim.refused_at or scheduler.now().mono
        batch = claim.batch
        batch.schedules = [kept for kept in batch.schedules if kept[0].id in scheduler.engine.entries]
        self.refused.append(claim)
        scheduler.arm()

    def write_again(self) -> None:
        """Try again to write what was refused."""
        refused, self.refused = self.refused, []
        self._again += len(refused)
        for claim in refused:
            self._write(claim)

    def _gather(self) -> None:
        """Enter into the books what is not there yet."""
        self.note_begun()
        engine = self._scheduler.engine
        if engine.withdrawn:
            self._scheduler.books.withdraw(engine.withdrawn)
            engine.withdrawn = []

    def _tell(self, id: str, effect: Effect, now: Now, is_told: bool) -> None:
        scheduler = self._scheduler
        match effect:
            case Settle(run, state, why, seconds, _, count):
                schedule = self._schedule(id)
                late = self._late.pop((id, run.slot_at, run.round), None)
                if not is_told or state in {"missed", "merged"}:
                    path = schedule.to if schedule is not None and schedule.to else scheduler.path
                    name = (schedule.title or id) if schedule is not None else id
                    slots = (run.slot_at, count, late, id)
                    scheduler.publish(RunFinished(now.wall, path, name, state, seconds, why, *slots))
                if schedule is not None and schedule.on_failed and state in {"failed", "timed-out"}:
                    attempt = Attempt(id, run.slot_at, run.attempt, why, 0.0)
                    scheduler.runner.call_back(schedule.on_failed, attempt)
            case Hold(run, "retrying", why, delay):
                schedule = self._schedule(id)
                if schedule is not None and schedule.on_retry:
                    attempt = Attempt(id, run.slot_at, run.attempt - 1, why, delay)
                    scheduler.runner.call_back(schedule.on_retry, attempt)
            case Stop(run, _):
                scheduler.runner.stop((id, run.slot_at, run.round))
            case Tell(state, detail):
                scheduler.publish(ScheduleChanged(now.wall, scheduler.path, id, state, detail))
            case _:
                pass  # for the ledger alone

    def _schedule(self, id: str) -> Schedule | None:
        entry = self._scheduler.engine.entries.get(id)
        return entry.plan.schedule if entry is not None else None

    def _write(self, claim: Claim, told: Callable[[str], None] | None = None) -> None:
        ref = self._scheduler.actor_ref

        def done(why: str) -> None:
            if why or claim.begins or claim.ahead or claim.refused_at:
                ref.tell(Written(claim, why))
            if told is not None:
                told(why)

        self._ledger.write(claim.batch, done)

    def _begin(self, begins: list[tuple[str, Run]], refused_at: float) -> None:
        """Start the attempts whose claim is on disk; slots that the disk kept waiting long are missed."""
        scheduler = self._scheduler
        now = scheduler.now()
        is_late = bool(refused_at) and now.mono - refused_at > GRACE
        for id, run in begins:
            entry = scheduler.engine.entries.get(id)
            current = None
            if entry is not None:
                current = next((r for r in entry.live if r.slot_at == run.slot_at and r.round == run.round), None)
            if entry is None or current is None:
                scheduler.books.settle(id, Settle(run, "cancelled", "its schedule is gone"), now.wall)
                continue
            if current.ending:
                ended = Ended(run.slot_at, run.round, "cancelled", current.ending)
                scheduler.feed(id, ended, now=now)
                continue
            if is_late and run.kind == "schedule" and run.attempt == 1 and (end := unrun(entry, run, now)) is not None:
                scheduler.feed(id, end, now=now)
                continue
            figures = scheduler.books.figures_of(id)
            figures.runs += 1
            due_at = entry.plan.fire_at(run.slot_at) if run.kind == "schedule" else 0.0
            if due_at and run.attempt == 1:
                late = max(0.0, now.wall - due_at)
                figures.late.add(late)
                if entry.plan.schedule.handler or entry.plan.schedule.message:  # of its cycles an actor tells itself
                    self._late[id, run.slot_at, run.round] = late
            scheduler.runner.start(entry.plan.schedule, run, next_at(entry, now), due_at)
        self.flush()
