"""Schedules that actors register for themselves: in force while their actor is there, remembered while it is not.

The scheduler watches each actor. One that failed keeps its place, its slots skipped, for a while; one that was stopped
takes its schedule out of force. What became of its slots is known after a restart of the node, so that slots from the
time when nothing ran are dealt with as the schedule says when the actor registers again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from actors.core.links import Down
from actors.events import ScheduleChanged
from actors.jobs.cycles import Register
from actors.scheduling import core
from actors.scheduling.differences import timing_of
from actors.scheduling.ledger import Slot
from actors.scheduling.plans import Plan, Schedule
from actors.scheduling.states import Came, Changed, Ended, Now, Run, Settle, Standing, Wanted, Went

if TYPE_CHECKING:
    from actors.scheduling.scheduler import SchedulerTick

logger = logging.getLogger(__name__)


class _Left(Struct):
    """A schedule of an actor that is not there: what was left of it."""

    schedule: Schedule
    standing: Standing
    cursor: float
    slots: Sequence[Slot] = ()


class Owners:
    """The actors that registered with one scheduler; used on its thread."""

    def __init__(self, scheduler: SchedulerTick) -> None:
        self._scheduler = scheduler
        self._left: dict[str, _Left] = {}
        self._generations: dict[str, int] = {}
        self._watched: dict[int, str] = {}
        self._away: dict[str, float] = {}

    def remember(self, schedule: Schedule, standing: Standing, cursor: float, slots: Sequence[Slot]) -> None:
        """Keep what an earlier scheduler left until the actor registers."""
        self._left[schedule.id] = _Left(schedule, standing, cursor, slots)

    def registered(self, plan: Plan, message: Register, now: Now) -> None:
        """Put an actor's schedule in force, or confirm it."""
        scheduler, id = self._scheduler, plan.schedule.id
        engine = scheduler.engine
        if id in engine.entries:
            if self._generations.get(id) not in (None, message.generation):
                scheduler.feed(id, Went(), is_told=True, now=now)  # its `Down` may still be on its way
            before = engine.entries[id].plan.schedule
            scheduler.feed(id, Changed(plan), now=now)
            scheduler.feed(id, Came(), now=now)
            if before != plan.schedule:
                scheduler.books.define(plan.schedule, engine.entries[id].standing)
        else:
            self._put(plan, now)
        self._watch(id, message.path, message.generation)
        self._away.pop(id, None)
        for run in engine.entries[id].live:
            if not run.due_mono and run.slot_at != message.busy_with:
                ended = Ended(run.slot_at, run.round, "failed", "its end was not told")
                scheduler.feed(id, ended, is_told=True, now=now)
        if message.run_now and not core.why_not_now(engine.entries[id]):
            scheduler.feed(id, Wanted((Run(now.wall, kind="start"),)), now=now)

    def gone(self, path: str) -> None:
        """Take the schedule of an actor that was stopped out of force; remember it."""
        scheduler, id = self._scheduler, path.strip("/")
        entry = scheduler.engine.entries.get(id)
        if entry is None or entry.plan.schedule.origin != "actor":
            return
        now = scheduler.now()
        for run in (*entry.live, *entry.waiting):
            scheduler.books.settle(id, Settle(run, "cancelled", "its actor was stopped"), now.wall)
            scheduler.runner.heard((id, run.slot_at, run.round))
        scheduler.engine.remove(id)
        standing = replace(entry.standing, since=now.wall)  # what a person stopped misses nothing
        self._left[id] = _Left(entry.plan.schedule, standing, entry.last_slot)
        self._generations.pop(id, None)
        self._away.pop(id, None)

    def down(self, down: Down, now: Now) -> None:
        """Take in that a watched actor ended."""
        id = self._watched.pop(down.monitor, None)
        if id is None or id not in self._scheduler.engine.entries:
            return
        if not down.reason.is_abnormal:
            self.gone(id)
            return
        for run in self._scheduler.engine.entries[id].live:
            self._scheduler.runner.heard((id, run.slot_at, run.round))
        self._scheduler.feed(id, Went(), is_told=True, now=now)
        self._away[id] = now.mono

    def forget(self, now: Now, after: float) -> None:
        """Take schedules out of force whose actor has stayed down for `after` seconds."""
        for id, since in list(self._away.items()):
            if now.mono - since >= after:
                self.gone(id)
                why = f"its actor was down for {after:g} s"
                self._scheduler.publish(ScheduleChanged(now.wall, self._scheduler.path, id, "removed", why))
                logger.warning("the schedule of %s is out of force: it stayed away", id)

    def _put(self, plan: Plan, now: Now) -> None:
        scheduler, schedule = self._scheduler, plan.schedule
        left = self._left.pop(schedule.id, None)
        if left is None:
            standing = Standing(since=now.wall)
            scheduler.restore(plan, now, standing, 0.0, ())
            scheduler.books.define(schedule, standing)
            return
        standing, cursor, slots = left.standing, left.cursor, left.slots
        if timing_of(left.schedule) != timing_of(schedule):
            standing = replace(standing, since=now.wall)
        if left.schedule != schedule or standing is not left.standing:
            scheduler.books.define(schedule, standing)
        scheduler.restore(plan, now, standing, cursor, slots)

    def _watch(self, id: str, path: str, generation: int) -> None:
        """Monitor the instance that is at `path` now, in place of the one before."""
        if self._generations.get(id) == generation and id in self._watched.values():
            return
        self._generations[id] = generation
        self._watched = {number: known for number, known in self._watched.items() if known != id}
        self._watched[self._scheduler.monitor(self._scheduler.system.ref(path)).number] = id
