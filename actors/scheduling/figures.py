"""What people see of a schedule: its view, why it does not run, how late it was sent off."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.policies import breaker as breakers
from actors.scheduling import core
from actors.scheduling.engine import Engine
from actors.scheduling.plans import Cron, Every, stamp
from actors.scheduling.requests import ScheduleView
from actors.scheduling.states import Entry, Now, Run, Settle

_BOUNDS: Final = tuple(0.0001 * 2.0**n for n in range(24))  # 0.1 ms to 14 minutes


class Lateness:
    """A histogram of seconds from due to sent off, doubling from 0.1 ms."""

    __slots__ = ("_counts", "largest", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.largest = 0.0
        self.total = 0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += 1
        self.largest = max(self.largest, seconds)

    def quantile(self, share: float) -> float:
        """Return an upper bound of the quantile, 0 where nothing was added."""
        wanted, seen = share * self.total, 0
        for bound, count in zip((*_BOUNDS, self.largest), self._counts, strict=True):
            seen += count
            if seen >= wanted and count:
                return min(bound, self.largest)
        return 0.0


class Figures:
    """Counters of one schedule since the scheduler started."""

    __slots__ = ("ends", "last", "last_at", "late", "runs")

    def __init__(self) -> None:
        self.runs = 0
        self.ends: dict[str, int] = {}
        self.late = Lateness()
        self.last: Settle | None = None
        self.last_at = 0.0

    def settled(self, effect: Settle, at: float) -> None:
        """Count an end."""
        self.ends[effect.state] = self.ends.get(effect.state, 0) + effect.count
        self.last, self.last_at = effect, at


class Known(Struct):
    """What the scheduler knows beside the rules: where its actor is in its life, and its figures."""

    generation: int = 0
    figures: Figures | None = None


def run_id(id: str, run: Run) -> str:
    """Return the name of a run: its schedule, its instant, and its round after the first."""
    return slot_id(id, run.slot_at, run.round)


def slot_id(id: str, slot_at: float, round: int) -> str:
    """Return the name of a slot's run."""
    return f"{id}@{stamp(slot_at)}" + (f"#{round}" if round else "")


def when_of(entry: Entry) -> str:
    """Return when it runs, as its owner wrote it."""
    when = entry.plan.when
    if isinstance(when, Cron):
        return when.times.expression.text
    if isinstance(when, Every):
        return f"every {when.seconds:g} s"
    return f"at {stamp(when.at)}"


def state_of(entry: Entry) -> tuple[str, str]:
    """Return the word for how it stands, and the note to it."""
    standing = entry.standing
    if entry.disabled:
        return "disabled", entry.disabled
    if entry.away_since is not None:
        return "away", "its actor is not running"
    if any(not run.due_mono for run in entry.live):
        return "running", standing.paused or standing.ended
    if entry.live:
        return "retrying", ""
    if standing.paused is not None:
        return "paused", standing.paused + (f" (by {standing.paused_by})" if standing.paused_by else "")
    if standing.ended:
        return "ended", standing.ended
    if entry.due_at is None and not entry.waiting:
        return "ended", "no further slot"
    return "waiting", ""


def next_at(entry: Entry, now: Now) -> float:
    """Return the instant of the next slot as the clocks stand, 0 for none."""
    if entry.due_at is None:
        return 0.0
    if isinstance(entry.plan.when, Every):
        return now.wall + entry.due_mono - now.mono
    return entry.due_at


def view_of(id: str, entry: Entry, figures: Figures | None, now: Now, place: int | None = None) -> ScheduleView:
    """Return how the schedule stands; `place` is how many catch up before it, None where it has nothing to catch up."""
    schedule = entry.plan.schedule
    state, note = state_of(entry)
    if place is not None and state == "waiting":
        state, note = "catching-up", f"{place} schedules catch up before it"
    running = next((run for run in entry.live if not run.due_mono), None)
    last = figures.last if figures is not None else None
    late = figures.late if figures is not None else None
    return ScheduleView(
        id=id,
        path=schedule.to,
        name=schedule.title or id,
        when=when_of(entry),
        timezone=entry.plan.timezone if schedule.cron else "",
        priority=schedule.priority,
        tags=schedule.tags,
        next_at=next_at(entry, now),
        state=state,
        note=note,
        running_since=running.slot_at if running is not None else None,
        away=entry.away_since is not None,
        live=len(entry.live),
        queued=len(entry.waiting),
        overlap=schedule.overlap.policy.value,
        missed_policy=schedule.missed.policy.value,
        last_at=last.last_at or last.run.slot_at if last is not None else 0.0,
        last_state=last.state if last is not None else "",
        last_why=last.why if last is not None else "",
        runs=figures.runs if figures is not None else 0,
        ends=dict(figures.ends) if figures is not None else {},
        origin=schedule.origin,
        late_p50=late.quantile(0.5) if late is not None else 0.0,
        late_p99=late.quantile(0.99) if late is not None else 0.0,
        late_max=late.largest if late is not None else 0.0,
    )


def following(entry: Entry, now: Now, count: int) -> tuple[float, ...]:
    """Return its next `count` slots."""
    found: list[float] = []
    at = next_at(entry, now)
    while at and len(found) < count:
        found.append(at)
        if isinstance(entry.plan.when, Every):
            at += entry.plan.when.seconds
        else:
            at = entry.plan.after(at) or 0.0
    return tuple(found)


def why_lines(id: str, engine: Engine, figures: Figures | None, now: Now, unwritten: str = "") -> Iterator[str]:
    """Yield, in sentences, why a schedule does not run now, the weightiest first, and what became of it lately.

    `unwritten` is why its slots cannot be claimed on disk, "" where they can.
    """
    entry = engine.entries[id]
    schedule = entry.plan.schedule
    state, note = state_of(entry)
    match state:
        case "disabled":
            yield f"disabled: {note}"
        case "away":
            yield "its actor is down; its slots are skipped until it is back"
        case "paused":
            yield f"paused: {note}" if note else "paused"
        case "ended":
            yield f"ended: {note}"
    if unwritten:
        yield f"its slots cannot be claimed, and wait until the disk takes writes again: {unwritten}"
    place = engine.catch_up.places().get(id)
    if place is not None:
        yield f"it missed slots; {place} schedules that did wait their turn before it"
    elif id in engine.catch_up.running:
        yield "it catches up on slots it missed"
    for run in entry.live:
        if run.due_mono:
            wait = max(0.0, run.due_mono - now.mono)
            yield f"attempt {run.attempt} at {stamp(run.slot_at)} comes in {wait:.0f} s"
        else:
            how = f"being cancelled ({run.ending})" if run.ending else "under way"
            yield f"the run of {stamp(run.slot_at)} is {how}, attempt {run.attempt}"
    if entry.live and (why := core.why_not_now(entry)):
        yield f"a slot that came now would be skipped: {why}"
    for run in entry.waiting:
        yield f"the run of {stamp(run.slot_at)} waits for its turn"
    if schedule.breaker is not None:
        key = schedule.breaker_key or id
        state_now = engine.breakers.get(key, breakers.Closed())
        _, why = breakers.admit(state_now, schedule.breaker, now.wall)
        if why:
            yield f"{why} (breaker {key})"
    due = next_at(replace(entry, away_since=None), now)
    if due and place is None:
        yield f"the next slot is {stamp(due)}, in {max(0.0, due - now.wall):.0f} s"
    elif not due and state not in {"disabled", "paused", "ended"}:
        yield "there is no further slot"
    if figures is not None and figures.last is not None:
        last = figures.last
        tail = f": {last.why}" if last.why else ""
        yield f"the slot of {stamp(last.last_at or last.run.slot_at)} {_past(last.state)}{tail}"


def _past(state: str) -> str:
    return state if state in {"succeeded", "failed"} else f"was {state}" if state != "timed-out" else "timed out"
