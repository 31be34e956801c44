"""Between the rules and the ledger: what the effects mean for the rows, and how a scheduler begins with what was left.

`Books` gathers what is to be written until it is flushed: the claims of slots with the attempts that wait for them, the
ends of others, definitions, standings. It writes nothing and starts nothing by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from actors.scheduling.calling import Key
from actors.scheduling.engine import Effects, Engine
from actors.scheduling.figures import Figures
from actors.scheduling.ledger import Batch, Row, Slot
from actors.scheduling.plans import Plan, Schedule
from actors.scheduling.states import Begin, Hold, Keep, Now, Run, Settle, Standing
from actors.texts import storable


class Claim(Struct):
    """What is written together, the attempts that begin once it is, and those that are claimed ahead by it.

    Attributes:
        refused_at: Monotonic instant at which it could not be written, the first time; 0.0: that never happened.
    """

    batch: Batch
    begins: list[tuple[str, Run]]
    ahead: list[tuple[str, Run]] = []
    refused_at: float = 0.0


class Books:
    """What waits to be written, and the figures of each schedule."""

    def __init__(self) -> None:
        self.figures: dict[str, Figures] = {}
        self._next = Claim(Batch(), [])
        self._begun: dict[Key, tuple[Run, float]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        batch = self._next.batch
        return not (
            batch.slots
            or batch.schedules
            or batch.standings
            or batch.removed
            or batch.breakers
            or batch.withdrawn
            or self._begun
        )

    @property
    def has_begins(self) -> bool:
        """Whether an attempt waits for its claim to be written."""
        return bool(self._next.begins)

    def take(self) -> Claim:
        """Return what waits to be written, and wait for more."""
        taken, self._next = self._next, Claim(Batch(), [])
        if self._begun:
            taken.batch.slots += [
                _row(key[0], run, "claimed", "", began_at=began_at) for key, (run, began_at) in self._begun.items()
            ]
            self._begun = {}
        return taken

    def begun(self, begun: list[tuple[str, Run]], wall: float) -> None:
        """Note that runs began which were claimed ahead: written with their end, or with whatever comes next."""
        kept = self._begun
        for id, run in begun:
            kept[id, run.slot_at, run.round] = run, wall

    def withdraw(self, withdrawn: list[tuple[str, Run]]) -> None:
        """Note slots that were claimed ahead and are none any more."""
        self._next.batch.withdrawn += [(id, run.slot_at, run.round) for id, run in withdrawn]

    def note(self, effects: Effects, now: Now) -> None:
        """Note what `effects` mean for the ledger."""
        rows, begins = self._next.batch.slots, self._next.begins
        wall = now.wall
        for id, effect in effects:
            kind = type(effect)
            if kind is Begin:
                run = effect.run  # type: ignore[union-attr]
                rows.append(_row(id, run, "claimed", "", began_at=wall))
                begins.append((id, run))
            elif kind is Settle:
                assert isinstance(effect, Settle)
                self.settle(id, effect, wall)
            elif kind is Hold:
                assert isinstance(effect, Hold)
                due_at = wall + effect.delay if effect.state == "retrying" else None
                began_at = self._began_at(id, effect.run)
                rows.append(_row(id, effect.run, effect.state, effect.why, began_at=began_at, due_at=due_at))
            elif kind is Keep:
                assert isinstance(effect, Keep)
                self._next.batch.standings.append((id, effect.standing))

    def settle(self, id: str, effect: Settle, wall: float) -> None:
        """Note a slot's end."""
        run = effect.run
        began_at = self._began_at(id, run) if self._begun else None
        row = _row(id, run, effect.state, effect.why, began_at=began_at, ended_at=wall, seconds=effect.seconds)
        if effect.count > 1:
            row = (*row[:12], effect.last_at, effect.count)
        self._next.batch.slots.append(row)
        self.figures_of(id).settled(effect, wall)

    def define(self, schedule: Schedule, standing: Standing) -> None:
        """Note a definition."""
        self._next.batch.schedules.append((schedule, standing))

    def remove(self, id: str) -> None:
        """Note that a schedule is out of force; its slots are kept."""
        self._next.batch.removed.append(id)
        self.figures.pop(id, None)

    def breakers(self, engine: Engine) -> list[str]:
        """Note the breakers that changed; return their keys."""
        changed = sorted(engine.changed_breakers)
        engine.changed_breakers.clear()
        self._next.batch.breakers += [(key, engine.breakers[key]) for key in changed]
        return changed

    def figures_of(self, id: str) -> Figures:
        """Return the figures of a schedule."""
        figures = self.figures.get(id)
        if figures is None:
            figures = self.figures[id] = Figures()
        return figures

    def restore(
        self,
        engine: Engine,
        plan: Plan,
        now: Now,
        standing: Standing,
        cursor: float,
        slots: Sequence[Slot],
        underway: frozenset[Key],
        disabled: str = "",
    ) -> None:
        """Put a schedule in force with what was left of it.

        A run that the end of the runtime cut short is done once more, marked, or fails: by `Schedule.repeat`, and never
        a second time. A slot that was claimed ahead counts as such once its instant has passed; before, it is as if it
        were not claimed. A run that goes on, because the scheduler alone ended, does so. One that waited for its turn
        or its retry waits on.
        """
        schedule = plan.schedule
        live: list[Run] = []
        waiting: list[Run] = []
        ahead: list[Run] = []
        for slot in slots:
            if is_ahead(slot):
                if slot.slot_at > now.wall:
                    ahead.append(Run(slot.slot_at))
                    continue
                cursor = max(cursor, slot.slot_at)
            run = Run(slot.slot_at, slot.round, slot.kind, max(1, slot.attempt), is_repeat=slot.is_repeat)
            if (schedule.id, slot.slot_at, slot.round) in underway:
                live.append(run)
            elif disabled:
                self.settle(schedule.id, Settle(run, "failed", f"disabled: {disabled}"), now.wall)
            elif slot.state == "retrying":
                delay = max(0.001, (slot.due_at or 0.0) - now.wall)
                live.append(_with(run, due_mono=now.mono + min(delay, schedule.retry.max * 2 + 1)))
            elif slot.state == "waiting":
                waiting.append(run)
            elif slot.is_repeat or not schedule.repeat:
                why = "the runtime ended during the run" + (", for the second time" if slot.is_repeat else "")
                self.settle(schedule.id, Settle(run, "failed", why), now.wall)
            else:
                again = _with(run, is_repeat=True)
                why = "done once more: the runtime ended during the run"
                if is_ahead(slot):
                    why = "the runtime ended about its instant: whether it had begun is not known"
                self._next.batch.slots.append(_row(schedule.id, again, "waiting", why))
                waiting.append(again)
        engine.put(
            plan,
            now,
            standing,
            last_slot=cursor,
            live=tuple(live),
            waiting=tuple(waiting),
            disabled=disabled,
        )
        for run in ahead:
            engine.restore_ready(schedule.id, run)

    def _began_at(self, id: str, run: Run) -> float | None:
        """Return when a run began that was claimed ahead, once."""
        found = self._begun.pop((id, run.slot_at, run.round), None)
        return found[1] if found is not None else None


def row_ahead(id: str, run: Run) -> Row:
    """Return the row of a slot that is claimed ahead of its instant."""
    return _row(id, run, "claimed", "")


def is_ahead(slot: Slot) -> bool:
    """Return whether a slot without its end was claimed ahead of its instant and is not known to have begun."""
    return slot.state == "claimed" and slot.began_at is None


def _row(
    id: str,
    run: Run,
    state: str,
    why: str,
    *,
    began_at: float | None = None,
    due_at: float | None = None,
    ended_at: float | None = None,
    seconds: float = 0.0,
) -> Row:
    return (
        id,
        run.slot_at,
        run.round,
        run.kind,
        state,
        storable(why),
        run.attempt,
        run.is_repeat,
        began_at,
        due_at,
        ended_at,
        seconds,
        run.slot_at,
        1,
    )


def _with(run: Run, *, due_mono: float = 0.0, is_repeat: bool | None = None) -> Run:
    repeat = run.is_repeat if is_repeat is None else is_repeat
    return Run(run.slot_at, run.round, run.kind, run.attempt, due_mono, is_repeat=repeat)
