"""Carries out what the rules say: ends and claims to the ledger, attempts once their claim is on disk, events.

    effects --> Books --flush--> ledger --on disk--> Written --> Runner

Ends are gathered and written together after what waits in the scheduler's mailbox; a claim is written at once. What
cannot be written is tried again, and nothing is run for it until then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.events import BreakerChanged, RunFinished, ScheduleChanged
from actors.messages import Message
from actors.policies import breaker as breakers
from actors.scheduling.books import Claim
from actors.scheduling.engine import Effects
from actors.scheduling.figures import next_at
from actors.scheduling.ledger import Ledger
from actors.scheduling.plans import Schedule
from actors.scheduling.running import Attempt
from actors.scheduling.states import Begin, Effect, Ended, Hold, Now, Run, Settle, Stop, Tell

if TYPE_CHECKING:
    from actors.scheduling.scheduler import SchedulerTick

logger = logging.getLogger(__name__)

_PATIENCE: Final = 30.0


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
    """

    def __init__(self, scheduler: SchedulerTick, ledger: Ledger) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self._flushing = False
        self._late: dict[tuple[str, float, int], float] = {}
        self.refused: list[Claim] = []

    def do(self, effects: Effects, now: Now, *, is_told: bool = False) -> None:
        """Perform what the rules say, in order; `is_told` where an actor tells of its run's end itself."""
        if not effects:
            return
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
        elif not self._flushing and not scheduler.books.is_empty:
            self._flushing = True
            scheduler.actor_ref.tell(Flush())  # after what waits in the mailbox, so that many ends share a write

    def flush(self) -> None:
        """Write what has gathered; does not wait."""
        self._flushing = False
        if not self._scheduler.books.is_empty:
            self._write(self._scheduler.books.take())

    def commit(self) -> str:
        """Write what has gathered and wait until it is on disk; return why it is not, or ""."""
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
        if not why:
            self._begin(claim.begins)
            return
        if not self.refused:
            logger.error("slots cannot be claimed and wait: %s", why)
            scheduler.publish(ScheduleChanged(scheduler.now().wall, scheduler.path, "", "unwritten", why))
        batch = claim.batch
        batch.schedules = [kept for kept in batch.schedules if kept[0].id in scheduler.engine.entries]
        self.refused.append(claim)
        scheduler.arm()

    def write_again(self) -> None:
        """Try again to write what was refused."""
        refused, self.refused = self.refused, []
        for claim in refused:
            self._write(claim)

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
            if why or claim.begins:
                ref.tell(Written(claim, why))
            if told is not None:
                told(why)

        self._ledger.write(claim.batch, done)

    def _begin(self, begins: list[tuple[str, Run]]) -> None:
        """Start the attempts whose claim is on disk."""
        scheduler = self._scheduler
        now = scheduler.now()
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
