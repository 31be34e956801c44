"""What is said to the scheduler about schedules: put there, changed, run, looked at. The loops' words are `cycles`.

anybody -- PutSchedule, RemoveSchedules, PauseSchedules, ResumeSchedules, CancelRuns --> scheduler
        -- RunSchedules, Backfill -->
        -- ListSchedules, GetSchedule, ListSlots, WhySchedule -->
"""

from __future__ import annotations

from msgspec import Struct

from actors.messages import Message
from actors.policies.overlap import Overlap
from actors.scheduling.ledger import Slot
from actors.scheduling.plans import Schedule


class Selection(Struct, frozen=True):
    """Which schedules are meant: by id (or glob over ids), by title or path, and by tag; those that match any."""

    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Touched(Struct, frozen=True):
    """What became of one schedule that was asked for.

    Attributes:
        state: `added`, `changed`, `unchanged`, `removed`, `paused`, `resumed`, `started`, `waiting`, `cancelled`,
            `refused`, `unknown`.
        why: Why not, where it was refused; what is different, where it was changed.
        run: Id of the run that was started or waits, or "".
    """

    id: str
    state: str
    why: str = ""
    run: str = ""


class PutSchedule(Message[Touched], frozen=True):
    """Put a schedule in force, or in the place of the one with its id; the same one twice changes nothing.

    Answered once it is on disk. What runs for it goes on; its slots count from now on where its times changed.

    Attributes:
        is_new: Refuse it where there is one with its id.
        is_known: Refuse it where there is none.
    """

    schedule: Schedule
    is_new: bool = False
    is_known: bool = False


class RemoveSchedules(Message[tuple[Touched, ...]], frozen=True):
    """Take schedules out of force; what runs for them goes on, or is cancelled."""

    selection: Selection
    cancel: bool = False


class PauseSchedules(Message[tuple[Touched, ...]], frozen=True):
    """Let schedules have no slots until they are resumed; those in between are no slots and are not missed."""

    selection: Selection
    note: str = ""
    by: str = ""


class ResumeSchedules(Message[tuple[Touched, ...]], frozen=True):
    """End the pause; slots count from now on."""

    selection: Selection


class CancelRuns(Message[tuple[Touched, ...]], frozen=True):
    """Cancel what runs and what waits, of these schedules."""

    selection: Selection
    why: str = "cancelled by hand"


class RunSchedules(Message[tuple[Touched, ...]], frozen=True):
    """Run schedules once, now, beside their slots; by their overlap policy, or by `overlap` this time."""

    selection: Selection
    overlap: Overlap | None = None


class BackfillAnswer(Struct, frozen=True):
    """The answer to `Backfill`.

    Attributes:
        runs: Ids of the runs, oldest first.
        left_out: Slots of that time that have run already.
        why: Why nothing is done, or "".
    """

    runs: tuple[str, ...] = ()
    left_out: int = 0
    why: str = ""


class Backfill(Message[BackfillAnswer], frozen=True):
    """Run the slots that a schedule has in a time gone by, the oldest first: one after another, or all at once.

    Attributes:
        first, last: Wall instants, both included.
        again: Also those that have run already.
        limit: Refuse more than so many.
        is_trial: Say which, and run none.
        at_once: Begin all of them, beside what runs; else each waits until those before it have ended.
    """

    id: str
    first: float
    last: float
    again: bool = False
    limit: int = 100
    is_trial: bool = False
    at_once: bool = False


class ScheduleView(Struct, frozen=True):
    """One schedule as it stands.

    Attributes:
        path: Whom it is for, or "" for a handler.
        name: Its title, or its id.
        when: The cron expression, `every 30 s`, or `at` an instant.
        next_at: Wall instant of the next slot, 0 for none.
        state: `waiting`, `running`, `retrying`, `paused`, `ended`, `away` or `disabled`.
        note: Of the pause, the end or the disabling.
        running_since: Wall instant of the slot being run, or None.
        away: Whether its actor is down at the moment.
        live, queued: Runs under way, and runs that wait for their turn.
        last_at, last_state, last_why: Of the slot that ended last; 0 and "" where none has.
        runs: Attempts sent off since the scheduler started.
        ends: Slots since then by how they ended.
        late_p50, late_p99, late_max: Seconds from due to sent off, since then; 0 where none was.
    """

    id: str
    path: str
    name: str
    when: str
    timezone: str
    priority: str
    tags: tuple[str, ...]
    next_at: float
    state: str
    note: str
    running_since: float | None
    away: bool
    live: int
    queued: int
    overlap: str
    missed_policy: str
    last_at: float
    last_state: str
    last_why: str
    runs: int
    ends: dict[str, int]
    origin: str
    late_p50: float = 0.0
    late_p99: float = 0.0
    late_max: float = 0.0

    @property
    def skipped(self) -> int:
        """Slots that were skipped."""
        return self.ends.get("skipped", 0)

    @property
    def missed(self) -> int:
        """Slots that were missed or merged into a later one."""
        return self.ends.get("missed", 0) + self.ends.get("merged", 0)


class ListSchedules(Message[tuple[ScheduleView, ...]], frozen=True):
    """Ask for schedules, ordered by next slot; those with a tag of `tags`, or all."""

    tags: tuple[str, ...] = ()


class ScheduleDetail(Struct, frozen=True):
    """One schedule whole.

    Attributes:
        schedule: Its definition.
        breaker: State of its breaker, "" where it has none.
        runs: Ids of the runs that are not at their end.
        following: Its next slots, wall instants.
    """

    view: ScheduleView
    schedule: Schedule
    breaker: str
    runs: tuple[str, ...]
    following: tuple[float, ...]


class GetSchedule(Message[ScheduleDetail | None], frozen=True):
    """Ask for one schedule; None where there is none of that id."""

    id: str


class ListSlots(Message[tuple[Slot, ...]], frozen=True):
    """Ask what became of slots, the newest first.

    Attributes:
        state: Only those in this state.
        since: Only those from this wall instant on.
        run: Only the run of this id.
    """

    selection: Selection = Selection()
    state: str = ""
    since: float = 0.0
    run: str = ""
    limit: int = 100


class WhySchedule(Message[tuple[str, ...]], frozen=True):
    """Ask, in sentences, why a schedule does not run now, and what became of it lately; empty where there is none."""

    id: str
