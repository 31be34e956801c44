"""Every schedule there is, what is due first, and the breakers they share. No clock, thread or file: time is passed in.

    feed(id, event, now)   one schedule's event --> its effects
    make_ready(now, lead)  the slots of the next instants --> those that can be claimed ahead of it
    begin_ready(now)       whatever was claimed ahead and has come due --> the runs to begin at once
    look(now)              whatever else has come due --> the effects of all, the urgent ones first
    wait(now, lead)        seconds until the next of these

Adding, pausing and removing cost the logarithm of how many there are, a look the number of those due. It is not
thread-safe: one owner calls it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from msgspec.structs import replace

from actors.policies import breaker as breakers
from actors.scheduling import core
from actors.scheduling.backlog import GRACE
from actors.scheduling.catchup import CatchUp, CatchUpRule
from actors.scheduling.guarding import guarded
from actors.scheduling.lateness import any_late, is_past, late, work_off
from actors.scheduling.plans import Every, Plan
from actors.scheduling.states import (
    NEVER,
    Effect,
    Ended,
    Entry,
    Event,
    Looked,
    Now,
    Ready,
    Run,
    Standing,
)
from actors.scheduling.usual import made_ready, usual_end, usual_step

Effects = list[tuple[str, Effect]]
"""What is to be done, each with the id of its schedule."""

_COMPACT: Final = 1_000
_LOOKED: Final = Looked()


class Engine:
    """Schedules in force and their order.

    Attributes:
        breakers: State of each breaker by key.
        catch_up: Which schedules that missed slots are worked off now, and which wait for their turn.
        changed_breakers: Keys whose state changed since somebody emptied it.
        withdrawn: Slots that were claimed ahead and are none any more (a pause, a change), until somebody empties it.
    """

    def __init__(self, catch_up: CatchUpRule | None = None) -> None:
        self.catch_up = CatchUp(catch_up)
        self._entries: dict[str, Entry] = {}
        self.breakers: dict[str, breakers.State] = {}
        self.changed_breakers: set[str] = set()
        self._wall: list[tuple[float, int, str]] = []
        self._mono: list[tuple[float, int, str]] = []
        self.withdrawn: list[tuple[str, Run]] = []
        self._soon: dict[float, list[str]] = {}
        self._ready: dict[str, Ready] = {}
        self._begun: list[tuple[str, Ready]] = []
        self._following = NEVER
        self._number = count()

    @property
    def entries(self) -> dict[str, Entry]:
        """The schedules by id. To be read; `put`, `feed` and `remove` change it."""
        if self._begun:
            self._enter_begun()
        return self._entries

    def put(
        self,
        plan: Plan,
        now: Now,
        standing: Standing | None = None,
        *,
        last_slot: float = 0.0,
        due_at: float | None = None,
        live: tuple[Run, ...] = (),
        waiting: tuple[Run, ...] = (),
        disabled: str = "",
    ) -> Entry:
        """Put a schedule in force that is not there.

        Args:
            plan: What it is.
            now: The clocks.
            standing: What it kept from before; None for a new one, whose slots count from now on.
            last_slot: Its latest slot so far.
            due_at: Its next slot where that is known, which saves working it out.
            live: Its runs between two attempts.
            waiting: Its runs that wait for their turn.
            disabled: Why nothing can be run for it, or "".
        """
        kept = standing if standing is not None else Standing(since=now.wall)
        entry = Entry(plan, kept, last_slot=last_slot, live=live, waiting=waiting, disabled=disabled)
        cursor = max(kept.since, last_slot)
        if due_at is not None and due_at > cursor and kept.paused is None and not kept.ended and not disabled:
            entry = replace(entry, due_at=due_at, fire_at=plan.fire_at(due_at))
        else:
            entry = core.scheduled(entry, now, cursor)
        self._keep(plan.schedule.id, entry)
        return entry

    def remove(self, id: str) -> Entry | None:
        """Take a schedule out of force; return it, None where there is none. What runs for it is the caller's."""
        self.catch_up.ended(id)
        ready = self._ready.pop(id, None)
        if ready is not None:
            self.withdrawn.append((id, ready.run))
        return self.entries.pop(id, None)

    def feed(self, id: str, event: Event, now: Now) -> Effects:
        """Tell one schedule what happened; return what is to be done. Nothing where there is none of that id."""
        entry = self.entries.get(id)
        if entry is None:
            return []
        if type(event) is Ended and entry.plan.schedule.breaker is None:
            usual = usual_end(entry, event)
            if usual is not None:
                self.entries[id], settled = usual
                return [(id, settled)]
        effects: Effects = []
        self._step(id, entry, event, now, effects)
        return effects

    @property
    def has_ready(self) -> bool:
        """Whether slots are claimed ahead."""
        return bool(self._ready)

    def make_ready(self, now: Now, lead: float) -> list[tuple[str, Run]]:
        """Make ready what comes due within `lead` seconds; return the runs that are to be claimed ahead.

        `kept` says once they are on disk; a slot that is not, or whose schedule stands otherwise by then, is claimed at
        its instant like any other.
        """
        heap, entries, horizon = self._wall, self.entries, now.wall + lead
        groups: dict[float, dict[str, None]] = {}
        while heap and heap[0][0] <= horizon:
            item = heapq.heappop(heap)
            if self._is_fresh(item, is_mono=False):
                groups.setdefault(item[0], {})[item[2]] = None
        claims = []
        for at, group in groups.items():
            ids = sorted(group, key=lambda id: entries[id].plan.rank)
            self._soon.setdefault(at, []).extend(ids)
            for id in ids:
                ready = made_ready(entries[id])
                if ready is not None:
                    self._ready[id] = ready
                    claims.append((id, ready.run))
        return claims

    def kept(self, claims: Iterable[tuple[str, Run]], *, is_kept: bool) -> None:
        """Take in that claims made ahead are on disk, or could not be written."""
        for id, run in claims:
            ready = self._ready.get(id)
            if ready is not None and ready.run is run:
                ready.is_kept = is_kept
                if not is_kept:
                    del self._ready[id]

    def begin_ready(self, now: Now) -> list[tuple[str, Run]]:
        """Return the runs whose instant has come and whose claim is on disk; they are under way from now on."""
        begun = []
        entries, wall, following = self.entries, now.wall, NEVER
        for at in sorted(at for at in self._soon if at <= wall):
            ids = self._soon.pop(at)
            left = []
            for id in ids:
                ready = self._ready.get(id)
                if (
                    ready is not None
                    and ready.is_kept
                    and ready.entry is entries[id]
                    and wall - at <= GRACE
                    and (fire_at := ready.begun.fire_at) > wall
                ):
                    del self._ready[id]
                    if fire_at < following:
                        following = fire_at
                    self._begun.append((id, ready))
                    begun.append((id, ready.run))
                else:
                    left.append(id)
            if left:
                self._soon[at] = left  # for `look`
        self._following = following
        return begun

    def soon(self, now: Now) -> float:
        """Return the seconds until anything is due after what has just begun; it may be too few, never too many."""
        waits = [self._following - now.wall] if self._begun else []
        waits += [heap[0][0] - at for heap, at in ((self._wall, now.wall), (self._mono, now.mono)) if heap]
        waits += [at - now.wall for at in self._soon]
        return 0.0 if self.catch_up.is_busy else min(waits, default=NEVER)

    def restore_ready(self, id: str, run: Run) -> None:
        """Take in that an earlier scheduler claimed `run` ahead of its instant, which is still to come."""
        entry = self.entries[id]
        self._ready[id] = Ready(entry, entry, run)  # not kept: it goes the long way
        if entry.due_at != run.slot_at:
            del self._ready[id]
            self.withdrawn.append((id, run))

    def look(self, now: Now) -> Effects:
        """Return what is to be done now that the clocks were read; what is more urgent comes first."""
        self._enter_begun()
        effects: Effects = []
        has_late = any_late(self._wall, self._mono, self._soon, now)
        due = self._due(now)
        if has_late or self.catch_up.is_busy:
            due = self._catch_up(due, now, effects)
        if len(due) > 1:
            entries = self.entries
            due.sort(key=lambda id: (entries[id].plan.rank, entries[id].fire_at))
        for id in due:
            entry = self.entries[id]
            usual = None if entry.plan.schedule.breaker is not None else usual_step(entry, now)
            if usual is None:
                self._step(id, entry, _LOOKED, now, effects)
            else:
                entry, made = usual
                self._ready.pop(id, None)
                self.entries[id] = entry
                heapq.heappush(self._wall, (entry.fire_at, next(self._number), id))
                effects.append((id, made[0]))
        return effects

    def wait(self, now: Now, lead: float = 0.0) -> float | None:
        """Return the seconds until something is due, or is to be made ready; 0 where it is, None where nothing is."""
        self._enter_begun()
        self._forget_stale()
        waits = []
        if self._wall:
            waits.append(self._wall[0][0] - now.wall - lead)
        if self._soon:
            waits.append(min(self._soon) - now.wall)
        if self._mono:
            waits.append(self._mono[0][0] - now.mono)
        if self.catch_up.is_busy:
            turn = self.catch_up.wait(now.mono, self._catching_up(now))
            if turn is not None:
                waits.append(turn)
        return max(0.0, min(waits)) if waits else None

    def unsettled(self) -> Iterator[tuple[str, Run]]:
        """Yield every run that is not at its end, with its schedule."""
        for id, entry in self.entries.items():
            for run in (*entry.live, *entry.waiting):
                yield id, run

    # -- inside ---------------------------------------------------------------------------------------

    def _enter_begun(self) -> None:
        """Enter what `begin_ready` began: it does not, since that is most of the work, and the runs come first."""
        begun, self._begun = self._begun, []
        for id, ready in begun:
            entry = self._entries[id] = ready.begun
            heapq.heappush(self._wall, (entry.fire_at, next(self._number), id))

    def _catch_up(self, due: list[str], now: Now, effects: Effects) -> list[str]:
        """Hold those that missed slots, and work off those whose turn it is; return what is due beside them."""
        catch_up, entries = self.catch_up, self.entries
        usual: list[str] = []
        held = []
        for id in due:
            entry = entries[id]
            if id in catch_up.held:
                continue  # its runs between two attempts, or before their delay, are looked at with its turn
            if entry.due_at is None or (now.wall - entry.fire_at <= GRACE and type(entry.plan.when) is not Every):
                usual.append(id)
            elif id in catch_up.running:
                self._work_off(id, catch_up.running[id], now, effects)
            elif id in catch_up.given_up:
                continue
            elif (found := late(id, entry, now)) is not None:
                held.append(found)
            else:
                usual.append(id)
        if held:
            catch_up.hold(held)
        for id in catch_up.next_given_up():
            self._work_off(id, 0, now, effects)
        usual += [id for id in catch_up.in_time(now.mono) if is_past(entries[id], now)]
        for turn in catch_up.admit(now.mono, self._catching_up(now)):
            self._work_off(turn.id, turn.runs, now, effects)
        self._catching_up(now)
        catch_up.settle()
        return usual

    def _work_off(self, id: str, most: int, now: Now, effects: Effects) -> None:
        """Work off what a schedule missed, at most `most` runs of it."""
        entry = self.entries[id]
        after, made = work_off(entry, now, most)
        if entry.plan.schedule.breaker is not None and made:
            after, made = guarded(self.breakers, self.changed_breakers, id, after, made, now)
        if after is not entry:
            self._keep(id, after)
        effects += [(id, effect) for effect in made]
        if id in self.catch_up.given_up and not is_past(after, now):
            self.catch_up.ended(id)

    def _catching_up(self, now: Now) -> int:
        """Return how many late runs are under way; those whose late runs have ended catch up no more."""
        live = 0
        for id in tuple(self.catch_up.running):
            entry = self.entries[id]
            if not entry.live and not entry.waiting and not is_past(entry, now):
                self.catch_up.ended(id)
            else:
                live += sum(not run.due_mono for run in entry.live)
        return live

    def _step(self, id: str, entry: Entry, event: Event, now: Now, effects: Effects) -> None:
        before = entry
        entry, made = core.step(entry, event, now)
        if entry.plan.schedule.breaker is not None and made:
            entry, made = guarded(self.breakers, self.changed_breakers, id, entry, made, now)
        if entry is not before:
            self._keep(id, entry)
        for effect in made:
            effects.append((id, effect))

    def _keep(self, id: str, entry: Entry) -> None:
        before = self.entries.get(id)
        if self._ready and (ready := self._ready.get(id)) is not None and entry.due_at != ready.run.slot_at:
            del self._ready[id]
            if entry.last_slot < ready.run.slot_at:  # it has not come, and will not
                self.withdrawn.append((id, ready.run))
        self.entries[id] = entry
        if type(entry.plan.when) is Every:
            if entry.due_at is not None and (before is None or before.due_mono != entry.due_mono):
                self._push(self._mono, entry.due_mono, id)
        elif entry.fire_at != NEVER and (before is None or before.fire_at != entry.fire_at):
            self._push(self._wall, entry.fire_at, id)
        if entry.live or entry.waiting:
            for run in (*entry.live, *entry.waiting):
                if run.due_mono and (before is None or (run not in before.live and run not in before.waiting)):
                    self._push(self._mono, run.due_mono, id)

    def _push(self, heap: list[tuple[float, int, str]], at: float, id: str) -> None:
        heapq.heappush(heap, (at, next(self._number), id))
        if len(heap) > _COMPACT and len(heap) > 3 * len(self.entries):
            heap[:] = [item for item in heap if self._is_fresh(item, heap is self._mono)]
            heapq.heapify(heap)

    def _due(self, now: Now) -> list[str]:
        found: dict[str, None] = {}
        for at in [at for at in self._soon if at <= now.wall]:
            for id in self._soon.pop(at):
                if self._is_fresh((at, 0, id), is_mono=False):
                    found[id] = None
        for heap, at, is_mono in ((self._wall, now.wall, False), (self._mono, now.mono, True)):
            while heap and heap[0][0] <= at:
                item = heapq.heappop(heap)
                if self._is_fresh(item, is_mono):
                    found[item[2]] = None
        return list(found)

    def _forget_stale(self) -> None:
        for heap, is_mono in ((self._wall, False), (self._mono, True)):
            while heap and not self._is_fresh(heap[0], is_mono):
                heapq.heappop(heap)

    def _is_fresh(self, item: tuple[float, int, str], is_mono: bool) -> bool:
        """Whether an item still says when something is due; what changed since has left one behind."""
        entry = self.entries.get(item[2])
        if entry is None:
            return False
        if not is_mono:
            return entry.fire_at == item[0]
        return entry.due_mono == item[0] or any(run.due_mono == item[0] for run in (*entry.live, *entry.waiting))
