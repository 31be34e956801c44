"""The rules of a schedule: which slot is due, what is skipped, what was missed. Pure.

    Registered --> waiting --slot due--> running --Ended--> waiting
                      |                     |
                      +------OwnerDown------+--> away --Registered--> waiting

A slot is (path, scheduled instant). Each has one end: sent off, skipped with a reason (`overlap`, `not running`), or
missed: when a look at the clock finds several slots past (the machine slept, the clock was set forward), the latest is
run once and those before it are missed; one later than a day is missed too. A clock set back repeats no slot: the next
one stays where it was. Intervals follow the monotonic clock and know nothing of the wall clock's steps.

Whether a run is under way is known from `Ended` and `OwnerDown` alone, so that it cannot stick after a crash.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from actors.scheduling.cron import next_after
from actors.scheduling.expression import Expression

PRIORITIES: Final = ("high", "normal", "low")
LATEST: Final = 86_400.0
"""A slot later than this many seconds is not run any more."""
_COUNTED: Final = 1_000


class Now(Struct, frozen=True):
    """The two clocks read together: `wall` seconds since the epoch, `mono` monotonic seconds."""

    wall: float
    mono: float


class Cron(Struct, frozen=True):
    """Fires by the wall clock of a zone."""

    expression: Expression
    zone: ZoneInfo


class Every(Struct, frozen=True):
    """Fires each `seconds`, by the monotonic clock."""

    seconds: float


class Plan(Struct, frozen=True):
    """What is scheduled: for whom, when, and who goes first. `priority` is one of `PRIORITIES`."""

    path: str
    name: str
    when: Cron | Every
    priority: str = "normal"
    tags: tuple[str, ...] = ()


class Entry(Struct, frozen=True):
    """One plan in force.

    Attributes:
        due_at: Wall instant of the next slot.
        due_mono: Monotonic instant of the next slot; only of meaning to `Every`.
        running: Slot of the run under way, or None.
        away_since: Monotonic instant its actor went down, or None.
    """

    plan: Plan
    due_at: float
    due_mono: float
    running: float | None = None
    away_since: float | None = None
    runs: int = 0
    skipped: int = 0
    missed: int = 0


class State(Struct, frozen=True):
    """Every entry by path."""

    entries: dict[str, Entry] = {}


class Registered(Struct, frozen=True):
    """The actor of `plan` is there; `run_now` asks for one run at once."""

    plan: Plan
    run_now: bool = False


class Unregistered(Struct, frozen=True):
    path: str


class Looked(Struct, frozen=True):
    """The clocks were read; anything due is due."""


class Ended(Struct, frozen=True):
    path: str
    slot_at: float


class OwnerDown(Struct, frozen=True):
    """The actor at `path` ended; `expected` when it was stopped rather than failed."""

    path: str
    expected: bool


class Requested(Struct, frozen=True):
    """A person wants one run now."""

    path: str


Event = Registered | Unregistered | Looked | Ended | OwnerDown | Requested


class Dispatch(Struct, frozen=True):
    path: str
    slot_at: float
    by_hand: bool = False


class Skip(Struct, frozen=True):
    path: str
    name: str
    slot_at: float
    why: str


class Miss(Struct, frozen=True):
    """`count` slots from `first_at` to `last_at` were not run; `at_least` when counting stopped there."""

    path: str
    name: str
    first_at: float
    last_at: float
    count: int
    at_least: bool = False


class Forget(Struct, frozen=True):
    """The entry was dropped: its actor stayed away too long."""

    path: str
    name: str


Effect = Dispatch | Skip | Miss | Forget
Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, now: Now, *, forget_after: float = 600.0) -> Step:
    """Return the state after `event` and what is to be done, in order.

    Args:
        state: The entries so far.
        event: What happened.
        now: The clocks at that moment.
        forget_after: Seconds an actor may be down by failure before its schedule is dropped.
    """
    match event:
        case Registered(plan, run_now):
            return _registered(state, plan, run_now, now)
        case Unregistered(path):
            return _without(state, path), ()
        case Looked():
            return _looked(state, now, forget_after)
        case Ended(path, slot_at):
            entry = state.entries.get(path)
            if entry is None or entry.running != slot_at:
                return state, ()  # a run of an earlier instance
            return _with(state, replace(entry, running=None)), ()
        case OwnerDown(path, expected):
            entry = state.entries.get(path)
            if entry is None:
                return state, ()
            if expected:
                return _without(state, path), ()
            return _with(state, replace(entry, running=None, away_since=now.mono)), ()
        case Requested(path):
            return _requested(state, path, now)
        case _:
            assert_never(event)


def why_not_now(state: State, path: str) -> str:
    """Return why a run of `path` cannot be sent off at this moment, or "" when it can."""
    entry = state.entries.get(path)
    if entry is None:
        return f"nothing is scheduled for {path}"
    if entry.away_since is not None:
        return "not running"
    if entry.running is not None:
        return f"overlap: the run of {_text(entry.running)} is still under way"
    return ""


def next_due(state: State, now: Now) -> float | None:
    """Return the seconds until the earliest slot, 0 or more; None when nothing is scheduled."""
    waits = [
        entry.due_mono - now.mono if isinstance(entry.plan.when, Every) else entry.due_at - now.wall
        for entry in state.entries.values()
    ]
    return max(0.0, min(waits)) if waits else None


def _registered(state: State, plan: Plan, run_now: bool, now: Now) -> Step:
    known = state.entries.get(plan.path)
    if known is not None and known.plan.when == plan.when:
        entry = replace(known, plan=plan, away_since=None)
    else:
        due_at, due_mono = _following(plan.when, now.wall, now.mono)
        entry = Entry(plan, due_at, due_mono)
        if known is not None:
            entry = replace(entry, running=known.running, runs=known.runs, skipped=known.skipped, missed=known.missed)
    state = _with(state, entry)
    return _requested(state, plan.path, now, by_hand=False) if run_now else (state, ())


def _requested(state: State, path: str, now: Now, *, by_hand: bool = True) -> Step:
    if why_not_now(state, path):
        return state, ()
    entry = state.entries[path]
    slot_at = now.wall
    return _with(state, replace(entry, running=slot_at, runs=entry.runs + 1)), (Dispatch(path, slot_at, by_hand),)


def _looked(state: State, now: Now, forget_after: float) -> Step:
    effects: list[Effect] = []
    entries = dict(state.entries)
    for entry in sorted(state.entries.values(), key=lambda e: (PRIORITIES.index(e.plan.priority), e.due_at)):
        path = entry.plan.path
        if entry.away_since is not None and now.mono - entry.away_since >= forget_after:
            del entries[path]
            effects.append(Forget(path, entry.plan.name))
            continue
        due = _due(entry, now)
        if due is None:
            continue
        entries[path] = _settle(entry, due, state, now, effects)
    return State(entries), tuple(effects)


class _Due(Struct, frozen=True):
    """The slots of one entry that have come: `latest`, `earlier` ones before it, and where the next one is."""

    first: float
    latest: float
    earlier: int
    before_latest: float
    at_least: bool
    next_at: float
    next_mono: float


def _settle(entry: Entry, due: _Due, state: State, now: Now, effects: list[Effect]) -> Entry:
    path, name = entry.plan.path, entry.plan.name
    entry = replace(entry, due_at=due.next_at, due_mono=due.next_mono)
    if due.earlier:
        effects.append(Miss(path, name, due.first, due.before_latest, due.earlier, due.at_least))
        entry = replace(entry, missed=entry.missed + due.earlier)
    if now.wall - due.latest > LATEST:
        effects.append(Miss(path, name, due.latest, due.latest, 1))
        return replace(entry, missed=entry.missed + 1)
    why = why_not_now(state, path)
    if why:
        effects.append(Skip(path, name, due.latest, why))
        return replace(entry, skipped=entry.skipped + 1)
    effects.append(Dispatch(path, due.latest))
    return replace(entry, running=due.latest, runs=entry.runs + 1)


def _due(entry: Entry, now: Now) -> _Due | None:
    when = entry.plan.when
    if isinstance(when, Every):
        late = now.mono - entry.due_mono
        if late < 0:
            return None
        earlier = int(late // when.seconds)
        latest_mono = entry.due_mono + earlier * when.seconds
        latest = now.wall - (now.mono - latest_mono)
        first = latest - earlier * when.seconds
        following = latest_mono + when.seconds
        return _Due(first, latest, earlier, latest - when.seconds, False, now.wall + following - now.mono, following)
    if entry.due_at > now.wall:
        return None
    first = before = latest = entry.due_at
    earlier, at_least = 0, False
    while (following := _cron_after(when, latest)) <= now.wall:
        if earlier == _COUNTED:  # a long sleep: count no further
            at_least = True
            before, latest = latest, _latest(when, now.wall, following - latest) or following
            following = _cron_after(when, now.wall)
            break
        before, latest = latest, following
        earlier += 1
    return _Due(first, latest, earlier, before, at_least, following, 0.0)


def _latest(when: Cron, wall: float, gap: float) -> float | None:
    """Return the latest slot at or before `wall`, or None when there is none within about a day before it."""
    back = gap
    while back <= 4 * LATEST:
        found: float | None = None
        slot = _cron_after(when, wall - back)
        while slot <= wall:
            found = slot
            slot = _cron_after(when, slot)
        if found is not None:
            return found
        back *= 4
    return None


def _following(when: Cron | Every, wall: float, mono: float) -> tuple[float, float]:
    if isinstance(when, Every):
        return wall + when.seconds, mono + when.seconds
    return _cron_after(when, wall), 0.0


def _cron_after(when: Cron, wall: float) -> float:
    return next_after(when.expression, when.zone, datetime.fromtimestamp(wall, UTC)).timestamp()


def _with(state: State, entry: Entry) -> State:
    return State({**state.entries, entry.plan.path: entry})


def _without(state: State, path: str) -> State:
    return State({p: e for p, e in state.entries.items() if p != path})


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
