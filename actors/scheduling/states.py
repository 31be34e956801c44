"""What the rules of a schedule work on: an entry with its runs, what happens to it, and what is to be done. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.policies.overlap import Overlap
from actors.policies.retry import Failure
from actors.scheduling.plans import Plan

NEVER: Final = float("inf")


class Now(Struct, frozen=True):
    """The two clocks read together: `wall` seconds since the epoch, `mono` monotonic seconds."""

    wall: float
    mono: float


class Run(Struct, frozen=True):
    """A slot that is not at its end: waiting for its turn, running, or between two attempts.

    Attributes:
        slot_at: Its instant.
        round: Counts runs of the same instant, from 0.
        kind: `schedule`, `manual` or `backfill`.
        attempt: Which attempt it is at, counted from 1.
        due_mono: While it waits for an instant: which; else 0.
        is_delayed: Whether it waits by the overlap policy `delay`.
        ending: Why it is being cancelled, or "".
        is_repeat: Whether the end of the runtime cut it short before.
    """

    slot_at: float
    round: int = 0
    kind: str = "schedule"
    attempt: int = 1
    due_mono: float = 0.0
    is_delayed: bool = False
    ending: str = ""
    is_repeat: bool = False


class Standing(Struct, frozen=True):
    """What a schedule keeps across restarts beside its slots.

    Attributes:
        since: Wall instant from which slots count: of its registration, its last change, its last resume.
        paused: Note of the pause, None while it is not paused.
        paused_by: Who paused it.
        ended: Why there will be no further slot, or "".
        runs: Scheduled runs begun.
        failures: Failed runs in a row.
    """

    since: float = 0.0
    paused: str | None = None
    paused_by: str = ""
    ended: str = ""
    runs: int = 0
    failures: int = 0


class Entry(Struct, frozen=True):
    """One schedule in force.

    Attributes:
        due_at: Instant of the next slot, None for none.
        fire_at: When it is fired.
        due_mono: Its monotonic instant, for intervals.
        last_slot: Instant of the latest slot that came.
        live: Runs under way, those between two attempts included.
        waiting: Runs that wait for their turn.
        streak: Overlaps in a row.
        away_since: Monotonic instant since which the actor that owns it is down by failure, or None.
        disabled: Why nothing can be run for it, or "".
    """

    plan: Plan
    standing: Standing
    due_at: float | None = None
    fire_at: float = NEVER
    due_mono: float = 0.0
    last_slot: float = 0.0
    live: tuple[Run, ...] = ()
    waiting: tuple[Run, ...] = ()
    streak: int = 0
    away_since: float | None = None
    disabled: str = ""


class Ready(Struct):
    """A slot that was claimed ahead of its instant.

    Attributes:
        entry: The entry as it stood then; where it stands otherwise at the instant, the slot goes the long way.
        begun: The entry once the slot has begun.
        run: The slot's run.
        is_kept: Whether the claim is on disk.
    """

    entry: Entry
    begun: Entry
    run: Run
    is_kept: bool = False


class Looked(Struct, frozen=True):
    """The clocks were read; anything due is due."""


class Ended(Struct, frozen=True):
    """An attempt ended.

    Attributes:
        outcome: `succeeded`, `failed`, `timed-out`, `cancelled` or `skipped`.
        detail: One line.
        seconds: How long it took.
        failure: What the filters of retries see of it.
        chance: A random number in [0, 1) for the jitter of the delay.
        delay: What the custom strategy says, None to go by the rule's own.
    """

    slot_at: float
    round: int
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    failure: Failure = Failure()
    chance: float = 0.5
    delay: float | None = None


class Barred(Struct, frozen=True):
    """The breaker does not let the attempt through that `Begin` asked for."""

    run: Run
    why: str


class Wanted(Struct, frozen=True):
    """Runs beside the schedule: one by hand, or those of a backfill, oldest first; `overlap` overrides the policy."""

    runs: tuple[Run, ...]
    overlap: Overlap | None = None


class Paused(Struct, frozen=True):
    note: str
    by: str = ""


class Resumed(Struct, frozen=True):
    pass


class Cancelled(Struct, frozen=True):
    """End what runs and what waits."""

    why: str


class Changed(Struct, frozen=True):
    """Its owner put another definition, or the same, in its place."""

    plan: Plan


class Went(Struct, frozen=True):
    """The actor that owns it is down by failure."""


class Came(Struct, frozen=True):
    """The actor that owns it is there (again)."""


Event = Looked | Ended | Barred | Wanted | Paused | Resumed | Cancelled | Changed | Went | Came


class Begin(Struct, frozen=True):
    """Claim the slot durably, then run the attempt."""

    run: Run


class Settle(Struct, frozen=True):
    """The slot, or `count` of them up to `last_at`, came to its end.

    Attributes:
        state: `succeeded`, `failed`, `timed-out`, `cancelled`, `skipped`, `missed` or `merged`.
    """

    run: Run
    state: str
    why: str
    seconds: float = 0.0
    last_at: float = 0.0
    count: int = 1


class Hold(Struct, frozen=True):
    """The slot is not at its end: `waiting` for its turn, or `retrying` in `delay` seconds because of `why`."""

    run: Run
    state: str
    why: str
    delay: float = 0.0


class Stop(Struct, frozen=True):
    """Cancel the running attempt; its end comes as `Ended`."""

    run: Run
    why: str


class Keep(Struct, frozen=True):
    """The standing changed in a way that must survive a restart."""

    standing: Standing


class Tell(Struct, frozen=True):
    """People should know: the schedule is `paused`, `resumed`, `ended`, `changed`."""

    state: str
    detail: str


Effect = Begin | Settle | Hold | Stop | Keep | Tell
Step = tuple[Entry, list[Effect]]
