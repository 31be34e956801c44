"""Views of schedules: how each stands, what was changed, what became of its slots."""

from __future__ import annotations

from typing import Any, Final

from supervisors.views.base import View


class ScheduleView(View, frozen=True, gc=False):
    """One schedule as it stands.

    Attributes:
        path: The actor it is for, or "" for a function.
        when: The cron expression, `every 30 s`, or `at` an instant.
        next_at: Next slot, seconds since the epoch; 0 for none.
        state: `waiting`, `running`, `retrying`, `paused`, `ended`, `away` or `disabled`.
        note: Of the pause, the end or the disabling.
        running_since: Slot of the run under way, seconds since the epoch; None for none.
        away: Whether its actor is down.
        live: Runs under way.
        queued: Runs that wait for their turn.
        last_at: Slot that ended last, since the scheduler started; 0 for none.
        runs: Attempts sent off since then.
        ends: Slots since then by how they ended.
        origin: `config`, `api` or `actor`.
        late_p50: Seconds from due to sent off, as are `late_p99` and `late_max`.
    """

    id: str
    path: str = ""
    name: str = ""
    when: str = ""
    timezone: str = ""
    priority: str = "normal"
    tags: tuple[str, ...] = ()
    next_at: float = 0.0
    state: str = "waiting"
    note: str = ""
    running_since: float | None = None
    away: bool = False
    live: int = 0
    queued: int = 0
    overlap: str = "skip"
    missed_policy: str = "once"
    last_at: float = 0.0
    last_state: str = ""
    last_why: str = ""
    runs: int = 0
    ends: dict[str, int] = {}
    origin: str = "api"
    late_p50: float = 0.0
    late_p99: float = 0.0
    late_max: float = 0.0


class ScheduleDetailView(View, frozen=True):
    """One schedule whole.

    Attributes:
        schedule: Its definition: the fields that are not at their default.
        breaker: `closed`, `open`, `half-open`, or "" where it has none.
        runs: Ids of the runs that are not at their end.
        following: Its next slots, seconds since the epoch.
    """

    view: ScheduleView
    schedule: dict[str, Any] = {}
    breaker: str = ""
    runs: tuple[str, ...] = ()
    following: tuple[float, ...] = ()


class ScheduleChangeView(View, frozen=True, gc=False):
    """What became of one schedule that was named.

    Attributes:
        state: `added`, `changed`, `unchanged`, `removed`, `paused`, `resumed`, `started`, `waiting`, `cancelled`,
            `refused` or `unknown`; of a run that was waited for, how it ended.
        why: Why not, or what the run said.
        run: Id of the run, or "".
    """

    id: str
    state: str
    why: str = ""
    run: str = ""


class SlotView(View, frozen=True, gc=False):
    """What became of one slot, or of several in a row.

    Attributes:
        slot_at: The scheduled instant, seconds since the epoch.
        round: Counts runs of the same instant, from 0.
        kind: `schedule`, `manual`, `backfill` or `start`.
        state: `succeeded`, `failed`, `timed-out`, `cancelled`, `skipped`, `missed`, `merged`; before its end `claimed`,
            `waiting` or `retrying`.
        why: The result's summary, the error, or the reason.
        attempt: Attempts begun.
        is_repeat: Whether it was begun once more after the end of the node had cut it short.
        due_at: When it is tried again.
        seconds: How long the last attempt took.
        last_at: Of several in a row, the last one.
        count: How many.
    """

    schedule: str
    slot_at: float
    round: int = 0
    kind: str = "schedule"
    state: str = "claimed"
    why: str = ""
    attempt: int = 1
    is_repeat: bool = False
    began_at: float | None = None
    due_at: float | None = None
    ended_at: float | None = None
    seconds: float = 0.0
    last_at: float = 0.0
    count: int = 1


class ReasonView(View, frozen=True, gc=False):
    """One sentence about why a schedule does not run."""

    text: str


SCHEDULE_DOCUMENTS: Final[dict[str, type]] = {
    "ScheduleList": ScheduleView,
    "ScheduleDetail": ScheduleDetailView,
    "ScheduleChanges": ScheduleChangeView,
    "ScheduleWhy": ReasonView,
    "SlotList": SlotView,
}
"""The item type of the documents about schedules."""
