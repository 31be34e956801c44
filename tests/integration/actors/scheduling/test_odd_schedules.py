"""Schedules at the edge of what there is, and functions that return no good text: no scheduler ends by them."""

from __future__ import annotations

import math

import pytest
from support import schedule_work
from support.working import Stage

from actors.policies.breaker import Breaker
from actors.policies.overlap import Overlap
from actors.scheduling.plans import Schedule
from actors.scheduling.requests import (
    Backfill,
    CancelRuns,
    GetSchedule,
    ListSchedules,
    ListSlots,
    PauseSchedules,
    PutSchedule,
    RunSchedules,
    Selection,
    WhySchedule,
)
from actors.scheduling.scheduler import SchedulerTick
from actors.testing import PATIENCE, ManualClock

PATH = "/sys/scheduler"
NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC
LAST = 253_402_300_799.0  # the last second of the year 9999
LONE = "\ud800"
MEANT = Selection(("s",))
ODD = "support.odd_work"
WORK = "support.schedule_work"


@pytest.fixture
def clock():
    return ManualClock(time=NOON)


@pytest.fixture
def stage(clock, tmp_path):
    schedule_work.reset()
    with Stage(clock=clock) as stage:
        stage.start(PATH, SchedulerTick, home=str(tmp_path))
        yield stage
    schedule_work.gate.set()


@pytest.fixture
def ask(stage):
    return lambda message: stage.system.ref(PATH).ask(message, timeout=PATIENCE)


def put(ask, id="s", **fields):
    return ask(PutSchedule(Schedule(**{"id": id, "cron": "* * * * *", "handler": f"{WORK}:note", **fields})))


def look_at_it(ask):
    """Ask everything there is to ask about `s`."""
    for message in (GetSchedule("s"), ListSchedules(), WhySchedule("s"), RunSchedules(MEANT), ListSlots(MEANT)):
        ask(message)


def ends(stage, ask, clock, id="s"):
    """Let the next slot come, and return those that have ended."""
    ask(ListSchedules())  # its timer is set by the clock as it is now
    clock.advance(60.0 + 1e-6, settle=lambda: ask(ListSchedules()))

    def found():
        return [slot for slot in ask(ListSlots(Selection((id,)))) if slot.ended_at is not None] or None

    return stage.wait(found, f"the end of a slot of {id}")


@pytest.mark.parametrize(
    "fields",
    [
        {"exclude": ("9999-12-31",)}, {"exclude": ("0001-01-01",)}, {"every": LAST, "cron": ""},
        {"at": LAST, "cron": "", "jitter": LAST}, {"every": 3e9, "cron": ""}, {"start_at": LAST}, {"timeout": 1e308},
        {"jitter": LAST}, {"every": 30.0, "cron": "", "jitter": LAST}, {"every": math.inf, "cron": ""},
        {"every": math.nan, "cron": ""}, {"max_runs": 1.5}, {"max_runs": True}, {"tags": (5,)}, {"tags": (LONE,)},
        {"cron": 5}, {"cron": LONE}, {"overlap": 5}, {"timeout": "5"}, {"exclude": (5,)}, {"payload": 5},
        {"payload": f'"{LONE}"'}, {"title": LONE}, {"id": 5}, {"id": LONE}, {"retry": None}, {"repeat": 5},
        {"breaker": Breaker(), "breaker_key": LONE}, {"overlap": Overlap(delay=True)},
    ],
    ids=str,
)  # fmt: skip
def test_no_definition_ends_the_scheduler(stage, ask, clock, fields):
    put(ask, **fields)

    look_at_it(ask)
    put(ask, "plain")
    assert ends(stage, ask, clock, "plain")[0].state == "succeeded"


def test_notes_and_reasons_are_kept_as_text(stage, ask, clock):
    put(ask)

    ask(PauseSchedules(MEANT, note=LONE, by=LONE))
    ask(CancelRuns(MEANT, why=LONE))
    assert ask(ListSchedules())[0].note == "\\ud800 (by \\ud800)"
    put(ask, "plain")
    assert ends(stage, ask, clock, "plain")[0].state == "succeeded"


@pytest.mark.parametrize(
    ("handler", "state", "why"),
    [
        ("returns_name", "succeeded", "caf\\udce9"),
        ("raises_name", "failed", "FileNotFoundError: [Errno 2] no such file: 'caf\\udce9'"),
        ("exits_from_a_schedule", "failed", "SystemExit: 3"),
        ("returns_silence", "succeeded", "a Silent, whose text could not be made: RuntimeError"),
        ("raises_silence", "failed", "SilentError: <str() of the error failed: RuntimeError>"),
    ],
)
def test_whatever_a_function_returns_or_raises_its_slot_has_its_end_on_disk(stage, ask, clock, handler, state, why):
    put(ask, handler=f"{ODD}:{handler}")

    (slot,) = ends(stage, ask, clock)

    assert (slot.state, slot.why) == (state, why)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"cron": "", "at": NOON - 1.0}, "at: 2023-11-15T11:59:59Z is past"),
        ({"end_at": NOON}, "no slot from now on"),
        ({"cron": "", "every": 60.0, "end_at": NOON - 1.0}, "no slot from now on"),
        ({"cron": "", "every": 4e9}, "to a hundred years"),
    ],
    ids=["at", "cron", "every", "long"],
)
def test_a_schedule_that_never_comes_is_refused(ask, fields, part):
    answer = put(ask, **fields)

    assert answer.state == "refused"
    assert part in answer.why
    assert ask(ListSchedules()) == ()


def test_what_another_definition_changes_is_said_and_the_same_one_again_says_why_it_has_no_slots(ask):
    put(ask, payload="1", tags=("a",))

    assert put(ask, payload="1", tags=("a",)).state == "unchanged"
    changed = put(ask, payload="2", cron="*/5 * * * *", overlap=Overlap(limit=3), tags=())
    assert changed.state == "changed"
    assert changed.why == "cron */5 * * * *, was * * * * *; payload; tags none, was a; overlap.limit 3, was 1"
    ask(PauseSchedules(MEANT, note="disk"))
    again = put(ask, payload="2", cron="*/5 * * * *", overlap=Overlap(limit=3))
    assert (again.state, again.why) == ("unchanged", "paused: disk")


@pytest.mark.parametrize("at_once", [False, True])
def test_a_backfill_begins_its_slots_one_by_one_or_all_at_once(stage, ask, at_once):
    put(ask, handler=f"{WORK}:waits")

    answer = ask(Backfill("s", NOON - 180.0, NOON - 60.0, at_once=at_once))

    assert len(answer.runs) == 3
    assert ask(ListSchedules())[0].live == (3 if at_once else 1)
    schedule_work.gate.set()
    stage.wait(lambda: ask(ListSchedules())[0].ends.get("succeeded") == 3 or None, "the end of all three")


def test_a_schedule_that_has_ended_does_not_begin_anew_because_its_title_changes(stage, ask, clock):
    put(ask, max_runs=1)
    ends(stage, ask, clock)

    assert put(ask, max_runs=1, title="other").state == "changed"
    assert ask(ListSchedules())[0].state == "ended"
    assert put(ask, max_runs=2, title="other").state == "changed"
    assert ask(ListSchedules())[0].state == "waiting"
