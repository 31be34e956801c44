"""How a scheduler begins: with what its ledger has, and what the configuration says now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from actors.events import ScheduleChanged
from actors.scheduling.books import is_ahead
from actors.scheduling.ledger import Slot, Stored
from actors.scheduling.plans import Plan, ScheduleError, plan_of
from actors.scheduling.states import Changed, Now, Run, Settle, Standing

if TYPE_CHECKING:
    from actors.scheduling.scheduler import SchedulerTick

logger = logging.getLogger(__name__)


def begin_with(scheduler: SchedulerTick, stored: Stored, plans: Mapping[str, Plan], now: Now) -> None:
    """Put in force what was stored, brought up to the configuration's `plans`; end what belongs to nothing any more."""
    for id, why in stored.unreadable.items():
        _disabled(scheduler, now, id, f"it cannot be read: {why}")
    scheduler.engine.breakers = stored.breakers
    slots: dict[str, list[Slot]] = {}
    for slot in stored.unsettled:
        slots.setdefault(slot.schedule, []).append(slot)
    for schedule, standing in stored.schedules:
        id = schedule.id
        left, cursor = slots.pop(id, []), stored.cursors.get(id, 0.0)
        if schedule.origin == "actor":
            scheduler.owners.remember(schedule, standing, cursor, left)
        elif schedule.origin == "config" and id not in plans:
            scheduler.books.remove(id)
            scheduler.publish(ScheduleChanged(now.wall, scheduler.path, id, "removed", "not configured any more"))
            slots[id] = left
        else:
            try:
                scheduler.restore(plan_of(schedule, scheduler.timezone), now, standing, cursor, left)
            except ScheduleError as error:
                _disabled(scheduler, now, id, str(error))
    for id, plan in plans.items():
        entry = scheduler.engine.entries.get(id)
        if entry is None:
            standing = Standing(since=now.wall)
            scheduler.restore(plan, now, standing, 0.0, ())
            scheduler.books.define(plan.schedule, standing)
        elif entry.plan.schedule != plan.schedule:
            scheduler.feed(id, Changed(plan), now=now)
            scheduler.books.define(plan.schedule, scheduler.engine.entries[id].standing)
    for id, orphans in slots.items():
        for slot in orphans:
            if is_ahead(slot) and slot.slot_at > now.wall:
                scheduler.books.withdraw([(id, Run(slot.slot_at, slot.round))])
                continue
            run = Run(slot.slot_at, slot.round, slot.kind, slot.attempt)
            scheduler.books.settle(id, Settle(run, "cancelled", "its schedule is gone"), now.wall)


def _disabled(scheduler: SchedulerTick, now: Now, id: str, why: str) -> None:
    logger.error("schedule %s is not in force: %s", id, why)
    scheduler.publish(ScheduleChanged(now.wall, scheduler.path, id, "disabled", why))
