"""What people ask of a scheduler: schedules put there, paused, run, backfilled, and looked at.

Functions over the scheduler's parts, called on its thread. A change is answered once it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import asdict, replace

from actors.events import ScheduleChanged
from actors.policies import breaker as breakers
from actors.policies.overlap import Overlap, Policy
from actors.scheduling import core
from actors.scheduling.differences import differences, timing_of
from actors.scheduling.figures import following, run_id, slot_id, state_of, view_of, why_lines
from actors.scheduling.ledger import Ledger, Slot
from actors.scheduling.ledger import Wanted as WantedSlots
from actors.scheduling.plans import Every, Schedule, ScheduleError, plan_of, stamp
from actors.scheduling.requests import (
    Backfill,
    BackfillAnswer,
    CancelRuns,
    ListSlots,
    PauseSchedules,
    PutSchedule,
    RemoveSchedules,
    ResumeSchedules,
    RunSchedules,
    ScheduleDetail,
    ScheduleView,
    Selection,
    Touched,
)
from actors.scheduling.states import Cancelled, Changed, Entry, Now, Paused, Resumed, Run, Settle, Standing, Wanted
from actors.texts import storable

if TYPE_CHECKING:
    from actors.scheduling.scheduler import SchedulerTick

_SHOWN: Final = 5
_MOST_SLOTS: Final = 10_000
_BESIDE: Final = Overlap(Policy.ALLOW_ALL)


def put(scheduler: SchedulerTick, message: PutSchedule) -> Touched:
    """Put a schedule in force, or change it."""
    try:
        schedule = msgspec.convert(asdict(message.schedule), Schedule)  # made in this process, no wire checked it
        id = schedule.id
        plan = plan_of(schedule, scheduler.timezone)
    except (ScheduleError, msgspec.ValidationError) as error:
        return Touched(str(message.schedule.id), "refused", str(error))
    if schedule.to and not schedule.message:
        return Touched(id, "refused", f"schedule {id!r}: message: say what the actor is asked, package.module:Class")
    entry = scheduler.engine.entries.get(id)
    if message.is_new and entry is not None:
        return Touched(id, "refused", f"there is a schedule {id!r} already")
    if message.is_known and entry is None:
        return Touched(id, "unknown", f"there is no schedule {id!r}")
    if entry is not None and entry.plan.schedule.origin == "actor":
        return Touched(id, "refused", f"{id!r} is the schedule of an actor, which registers it itself")
    before = entry.plan.schedule if entry is not None else None
    if before is not None and before == replace(schedule, origin=before.origin):
        return Touched(id, "unchanged", _unlike_waiting(scheduler.engine.entries[id]))
    why = scheduler.runner.why_not(schedule)
    if why:
        return Touched(id, "refused", f"schedule {id!r}: {why}")
    now = scheduler.now()
    has_other_slots = before is None or timing_of(before) != timing_of(schedule)
    if has_other_slots and core.scheduled(Entry(plan, Standing(since=now.wall)), now, now.wall).due_at is None:
        past = f"at: {stamp(schedule.at)} is past" if schedule.at else "it has no slot from now on"
        return Touched(id, "refused", f"schedule {id!r}: {past}")
    if before is None:
        standing = Standing(since=now.wall)
        scheduler.restore(plan, now, standing, 0.0, ())
        scheduler.books.define(schedule, standing)
        why = scheduler.commit()
        if why:  # not on disk, so not in force
            scheduler.engine.remove(id)
            return Touched(id, "refused", why)
        scheduler.publish(ScheduleChanged(now.wall, scheduler.path, id, "added"))
        scheduler.arm()
        return Touched(id, "added")
    scheduler.feed(id, Changed(plan), now=now)
    scheduler.books.define(schedule, scheduler.engine.entries[id].standing)
    why = scheduler.commit()
    return (
        Touched(id, "refused", f"in force until the end of the node, not on disk: {why}")
        if why
        else Touched(id, "changed", differences(before, schedule))
    )


def _unlike_waiting(entry: Entry) -> str:
    """Return why a schedule that is as it should be has no slots, "" where it has."""
    state, note = state_of(entry)
    return f"{state}: {note}" if state in {"paused", "ended", "disabled"} else ""


def remove(scheduler: SchedulerTick, message: RemoveSchedules) -> tuple[Touched, ...]:
    """Take schedules out of force."""
    now = scheduler.now()

    def take_out(id: str, entry: Entry) -> Touched:
        if entry.plan.schedule.origin == "actor":
            return Touched(id, "refused", f"it is its actor's own: actorctl stop {entry.plan.schedule.to}")
        if message.cancel:
            scheduler.feed(id, Cancelled("its schedule was removed"), now=now)
            entry = scheduler.engine.entries[id]
        for run in entry.waiting:
            scheduler.books.settle(id, Settle(run, "cancelled", "its schedule was removed"), now.wall)
        for run in entry.live:
            if run.due_mono:
                scheduler.books.settle(id, Settle(run, "cancelled", "its schedule was removed"), now.wall)
            else:
                scheduler.removed.add((id, run.slot_at, run.round))  # its end is still noted
        scheduler.engine.remove(id)
        scheduler.books.remove(id)
        scheduler.publish(ScheduleChanged(now.wall, scheduler.path, id, "removed"))
        return Touched(id, "removed")

    return _each(scheduler, message.selection, take_out)


def pause(scheduler: SchedulerTick, message: PauseSchedules) -> tuple[Touched, ...]:
    """Pause schedules."""

    def hold(id: str, entry: Entry) -> Touched:
        if entry.standing.paused is not None:
            return Touched(id, "unchanged", "it is paused already")
        scheduler.feed(id, Paused(storable(message.note), storable(message.by)))
        return Touched(id, "paused")

    return _each(scheduler, message.selection, hold)


def resume(scheduler: SchedulerTick, message: ResumeSchedules) -> tuple[Touched, ...]:
    """Resume schedules."""

    def let_go(id: str, entry: Entry) -> Touched:
        if entry.standing.paused is None:
            return Touched(id, "unchanged", "it is not paused")
        scheduler.feed(id, Resumed())
        return Touched(id, "resumed")

    return _each(scheduler, message.selection, let_go)


def cancel(scheduler: SchedulerTick, message: CancelRuns) -> tuple[Touched, ...]:
    """Cancel what runs and what waits."""

    def end(id: str, entry: Entry) -> Touched:
        if not entry.live and not entry.waiting:
            return Touched(id, "unchanged", "nothing of it runs or waits")
        scheduler.feed(id, Cancelled(message.why))
        return Touched(id, "cancelled")

    return _each(scheduler, message.selection, end)


def run(scheduler: SchedulerTick, message: RunSchedules) -> tuple[Touched, ...]:
    """Run schedules once, now."""
    now = scheduler.now()
    return _each(scheduler, message.selection, lambda id, _: run_once(scheduler, id, message.overlap, now))


def run_once(scheduler: SchedulerTick, id: str, overlap: Overlap | None, now: Now) -> Touched:
    """Run one schedule once, or say why it does not."""
    entry = scheduler.engine.entries[id]
    why = core.why_not_now(entry, overlap)
    if why:
        return Touched(id, "refused", why)
    slot_at = round(now.wall, 6)
    taken = {run.slot_at for run in (*entry.live, *entry.waiting)}
    while slot_at in taken or slot_at == entry.last_slot:
        slot_at = round(slot_at + 1e-6, 6)
    wanted = Run(slot_at, kind="manual")
    scheduler.feed(id, Wanted((wanted,), overlap), now=now)
    waits = any(r.slot_at == slot_at for r in scheduler.engine.entries[id].waiting)
    return Touched(id, "waiting" if waits else "started", run=run_id(id, wanted))


def backfill(scheduler: SchedulerTick, ledger: Ledger, message: Backfill) -> BackfillAnswer:
    """Run the slots of a time gone by."""
    id = _find(scheduler, message.id)
    now = scheduler.now()
    if id is None:
        return BackfillAnswer(why=f"there is no schedule {message.id!r}")
    entry = scheduler.engine.entries[id]
    if isinstance(entry.plan.when, Every):
        return BackfillAnswer(why=f"{id} is an interval, which has no slots in the past")
    if message.last >= now.wall or message.last < message.first:
        return BackfillAnswer(why="the time ends in the past, and not before it begins")
    if entry.disabled:
        return BackfillAnswer(why=entry.disabled)
    known = ledger.rounds(id, message.first, message.last)
    slots: list[Run] = []
    left_out, at = 0, entry.plan.after(message.first - 1.0)
    while at is not None and at < message.first:
        at = entry.plan.after(at)
    while at is not None and at <= message.last:
        rounds, state = known.get(at, (0, ""))
        if state in {"", "missed", "merged", "skipped", "cancelled"} or message.again:
            slots.append(Run(at, rounds, kind="backfill"))
            if len(slots) > min(message.limit, _MOST_SLOTS):
                most = min(message.limit, _MOST_SLOTS)
                return BackfillAnswer(why=f"more than {most} slots: shorten the time, or raise the limit")
        else:
            left_out += 1
        at = entry.plan.after(at)
    if slots and not message.is_trial:
        scheduler.feed(id, Wanted(tuple(slots), _BESIDE if message.at_once else None), now=now)
        why = scheduler.commit()
        if why:
            return BackfillAnswer(why=f"begun, and not on disk: {why}")
    return BackfillAnswer(tuple(run_id(id, slot) for slot in slots), left_out)


def views(scheduler: SchedulerTick, tags: tuple[str, ...]) -> tuple[ScheduleView, ...]:
    """Return how schedules stand, ordered by their next slot; those without one come last."""
    now = scheduler.now()
    places = scheduler.engine.catch_up.places()
    found = [
        view_of(id, entry, scheduler.books.figures.get(id), now, places.get(id))
        for id, entry in scheduler.engine.entries.items()
        if not tags or not set(tags).isdisjoint(entry.plan.schedule.tags)
    ]
    return tuple(sorted(found, key=lambda view: (not view.next_at, view.next_at, view.id)))


def detail(scheduler: SchedulerTick, name: str) -> ScheduleDetail | None:
    """Return one schedule whole."""
    id = _find(scheduler, name)
    if id is None:
        return None
    entry = scheduler.engine.entries[id]
    schedule, now = entry.plan.schedule, scheduler.now()
    state = ""
    if schedule.breaker is not None:
        state = breakers.word(scheduler.engine.breakers.get(schedule.breaker_key or id, breakers.Closed()))
    return ScheduleDetail(
        view=view_of(id, entry, scheduler.books.figures.get(id), now, scheduler.engine.catch_up.places().get(id)),
        schedule=schedule,
        breaker=state,
        runs=tuple(run_id(id, run) for run in (*entry.live, *entry.waiting)),
        following=following(entry, now, _SHOWN),
    )


def slots(scheduler: SchedulerTick, ledger: Ledger, message: ListSlots) -> tuple[Slot, ...]:
    """Return what became of slots, the newest first."""
    limit = min(max(message.limit, 1), _MOST_SLOTS)
    if message.run:
        id, _, instant = message.run.rpartition("@")
        found = ledger.slots(WantedSlots((id,), limit=_MOST_SLOTS))
        return tuple(slot for slot in found if slot_id(id, slot.slot_at, slot.round) == f"{id}@{instant}")
    chosen: tuple[str, ...] = ()
    if message.selection.ids or message.selection.tags:
        chosen = tuple(dict.fromkeys((*_ids(scheduler, message.selection), *message.selection.ids)))
    return tuple(ledger.slots(WantedSlots(chosen, message.state, message.since, limit=limit)))


def why(scheduler: SchedulerTick, name: str) -> tuple[str, ...]:
    """Return why a schedule does not run now, in sentences."""
    id = _find(scheduler, name)
    if id is None:
        return ()
    figures = scheduler.books.figures.get(id)
    return tuple(why_lines(id, scheduler.engine, figures, scheduler.now(), scheduler.hands.outage))


def stamp_or_none(at: float) -> str | None:
    """Return an instant in words, None for 0."""
    return stamp(at) if at else None


def _each(scheduler: SchedulerTick, selection: Selection, act: Callable[[str, Entry], Touched]) -> tuple[Touched, ...]:
    """Do something to each schedule that is meant; what is named and not there is `unknown`."""
    absent = [name for name in selection.ids if not any(_matches(scheduler, name))]
    touched = [act(id, scheduler.engine.entries[id]) for id in _ids(scheduler, selection)]
    touched += [Touched(name, "unknown", f"there is no schedule {name!r}") for name in absent]
    why = scheduler.commit()
    if why:
        touched = [Touched(t.id, "refused", f"in force until the end of the node, not on disk: {why}") for t in touched]
    scheduler.arm()
    return tuple(touched)


def _ids(scheduler: SchedulerTick, selection: Selection) -> list[str]:
    found: dict[str, None] = {}
    for name in selection.ids:
        found.update(dict.fromkeys(_matches(scheduler, name)))
    for id, entry in scheduler.engine.entries.items():
        if not set(selection.tags).isdisjoint(entry.plan.schedule.tags):
            found[id] = None
    return list(found)


def _matches(scheduler: SchedulerTick, name: str) -> Iterator[str]:
    if any(letter in name for letter in "*?["):
        pattern = name.strip("/")
        yield from (id for id in scheduler.engine.entries if fnmatchcase(id, pattern))
    elif (id := _find(scheduler, name)) is not None:
        yield id


def _find(scheduler: SchedulerTick, name: str) -> str | None:
    """Return the id that a person means: the id itself, the path of its actor, or its title."""
    entries = scheduler.engine.entries
    for id in (name, name.strip("/")):
        if id in entries:
            return id
    return next((id for id, entry in entries.items() if entry.plan.schedule.title == name), None)
