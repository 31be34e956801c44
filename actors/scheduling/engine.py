"""Every schedule there is, what is due first, and the breakers they share. No clock, thread or file: time is passed in.

    feed(id, event, now)   one schedule's event --> its effects
    look(now)              whatever has come due --> the effects of all, the urgent ones first
    wait(now)              seconds until the next thing is due

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
from actors.policies.breaker import Breaker
from actors.scheduling import core
from actors.scheduling.plans import Every, Plan
from actors.scheduling.states import (
    NEVER,
    Barred,
    Begin,
    Effect,
    Entry,
    Event,
    Hold,
    Looked,
    Now,
    Run,
    Settle,
    Standing,
)

Effects = list[tuple[str, Effect]]
"""What is to be done, each with the id of its schedule."""

_COMPACT: Final = 1_000
_LOOKED: Final = Looked()
_FAILED: Final = frozenset({"failed", "timed-out"})


class Engine:
    """Schedules in force and their order.

    Attributes:
        entries: By id. To be read; `put`, `feed` and `remove` change it.
        breakers: State of each breaker by key.
        changed_breakers: Keys whose state changed since somebody emptied it.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.breakers: dict[str, breakers.State] = {}
        self.changed_breakers: set[str] = set()
        self._wall: list[tuple[float, int, str]] = []
        self._mono: list[tuple[float, int, str]] = []
        self._number = count()

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
        return self.entries.pop(id, None)

    def feed(self, id: str, event: Event, now: Now) -> Effects:
        """Tell one schedule what happened; return what is to be done. Nothing where there is none of that id."""
        entry = self.entries.get(id)
        if entry is None:
            return []
        effects: Effects = []
        self._step(id, entry, event, now, effects)
        return effects

    def look(self, now: Now) -> Effects:
        """Return what is to be done now that the clocks were read; what is more urgent comes first."""
        due = self._due(now)
        if len(due) > 1:
            entries = self.entries
            due.sort(key=lambda id: (entries[id].plan.rank, entries[id].fire_at))
        effects: Effects = []
        for id in due:
            entry = self.entries[id]
            usual = None if entry.plan.schedule.breaker is not None else core.usual_step(entry, now)
            if usual is None:
                self._step(id, entry, _LOOKED, now, effects)
            else:
                entry, made = usual
                self.entries[id] = entry
                heapq.heappush(self._wall, (entry.fire_at, next(self._number), id))
                effects.append((id, made[0]))
        return effects

    def wait(self, now: Now) -> float | None:
        """Return the seconds until something is due, 0 where it is, None where nothing ever will be."""
        self._forget_stale()
        waits = []
        if self._wall:
            waits.append(self._wall[0][0] - now.wall)
        if self._mono:
            waits.append(self._mono[0][0] - now.mono)
        return max(0.0, min(waits)) if waits else None

    def unsettled(self) -> Iterator[tuple[str, Run]]:
        """Yield every run that is not at its end, with its schedule."""
        for id, entry in self.entries.items():
            for run in (*entry.live, *entry.waiting):
                yield id, run

    # -- inside ---------------------------------------------------------------------------------------

    def _step(self, id: str, entry: Entry, event: Event, now: Now, effects: Effects) -> None:
        before = entry
        entry, made = core.step(entry, event, now)
        rule = entry.plan.schedule.breaker
        if rule is not None and made:
            entry, made = self._guarded(id, rule, entry, made, now)
        if entry is not before:
            self._keep(id, entry)
        for effect in made:
            effects.append((id, effect))

    def _guarded(
        self, id: str, rule: Breaker, entry: Entry, made: Iterable[Effect], now: Now
    ) -> tuple[Entry, list[Effect]]:
        """Let the breaker see what ended, and bar what it does not let begin."""
        key = entry.plan.schedule.breaker_key or id
        waiting = list(made)
        passed: list[Effect] = []
        while waiting:
            effect: Effect | None = waiting.pop(0)
            state = before = self.breakers.get(key, breakers.Closed())
            if isinstance(effect, Begin):
                state, why = breakers.admit(state, rule, now.wall)
                if why:
                    entry, more = core.step(entry, Barred(effect.run, why), now)
                    waiting = [*more, *waiting]
                    effect = None  # barred
            elif isinstance(effect, Hold) and effect.state == "retrying":
                state = breakers.settle(state, rule, now.wall, ok=False)
            elif isinstance(effect, Settle) and effect.state == "succeeded":
                state = breakers.settle(state, rule, now.wall, ok=True)
            elif (
                isinstance(effect, Settle) and effect.state in _FAILED and not effect.why.startswith("not tried again")
            ):
                state = breakers.settle(state, rule, now.wall, ok=False)
            elif isinstance(effect, Settle) and effect.state == "cancelled":
                state = breakers.forgo(state)
            if effect is not None:
                passed.append(effect)
            if state is not before:
                self.breakers[key] = state
                if type(state) is not type(before):
                    self.changed_breakers.add(key)
        return entry, passed

    def _keep(self, id: str, entry: Entry) -> None:
        before = self.entries.get(id)
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
