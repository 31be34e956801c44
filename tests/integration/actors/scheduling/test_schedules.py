"""Schedules put there, run, changed and kept by a real scheduler with a file, under a clock moved by hand."""

from __future__ import annotations

import sqlite3
import sys

import pytest
from support import schedule_work
from support.disks import fill, mounted_disk
from support.schedule_work import Greeter
from support.working import Stage

from actors.events import BreakerChanged, RunFinished, ScheduleChanged
from actors.policies.breaker import Breaker
from actors.policies.overlap import Overlap, Policy
from actors.policies.retry import Retry, Strategy
from actors.scheduling.plans import Missed, MissedPolicy, Schedule
from actors.scheduling.requests import (
    Backfill,
    CancelRuns,
    GetSchedule,
    ListSchedules,
    ListSlots,
    PauseSchedules,
    PutSchedule,
    RemoveSchedules,
    ResumeSchedules,
    RunSchedules,
    Selection,
    Touched,
    WhySchedule,
)
from actors.scheduling.scheduler import SchedulerTick
from actors.testing import PATIENCE, ManualClock

PATH = "/sys/scheduler"
NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC
WORK = "support.schedule_work"
HAIR = 1e-6
"""Seconds by which a move goes beyond the instant that is meant: a wall clock is a float of steps of 0.2 µs."""


class Bench:
    """A scheduler with a file in `home`, on a stage with a manual clock that begins at noon."""

    def __init__(self, stage: Stage, clock: ManualClock, home) -> None:
        self.stage, self.clock, self.home = stage, clock, home
        self.generation = 0

    def start(self, **arguments) -> None:
        self.generation += 1
        self.stage.start(PATH, SchedulerTick, generation=self.generation, home=str(self.home), **arguments)

    def ask(self, message):
        return self.stage.system.ref(PATH).ask(message, timeout=PATIENCE)

    def put(self, id: str = "s", **fields) -> Touched:
        schedule = {"cron": "* * * * *", "handler": f"{WORK}:note", **fields}
        return self.ask(PutSchedule(Schedule(id=id, **schedule)))

    def advance(self, seconds: float) -> None:
        self.settle()  # its timer is set by the clock as it is now
        self.clock.advance(seconds + HAIR, settle=self.settle)
        self.settle()

    def advance_unseen(self, seconds: float) -> None:
        """Move on while the scheduler cannot look at the clock: it comes late."""
        scheduler = self.stage.system.ref(PATH).target
        scheduler.suspend()
        self.clock.advance(seconds)
        scheduler.resume()
        self.settle()

    def settle(self) -> None:
        self.ask(ListSchedules())  # handled after the look at the clock

    def ends(self, count: int, id: str = "s") -> list[tuple[float, str, int]]:
        """Wait until so many slots have their end, and return them, the oldest first."""

        def found():
            slots = [s for s in self.ask(ListSlots(Selection((id,)))) if s.ended_at is not None]
            return slots if len(slots) >= count else None

        slots = self.stage.wait(found, f"{count} ends of {id}")
        return [(round(slot.slot_at - NOON, 3), slot.state, slot.count) for slot in reversed(slots)]

    def crash(self) -> None:
        """End the scheduler at once: none of its hooks runs."""
        self.stage.kill(PATH)


@pytest.fixture
def bench(tmp_path):
    schedule_work.reset()
    clock = ManualClock(time=NOON)
    with Stage(clock=clock) as stage:
        yield Bench(stage, clock, tmp_path)
    schedule_work.gate.set()


def test_a_function_is_run_at_each_slot_and_the_slots_are_kept(bench):
    bench.start()
    assert bench.put(payload='{"a": 1}') == Touched("s", "added")
    bench.advance(60.0)
    bench.ends(1)
    bench.advance_unseen(62.5)

    assert bench.ends(2) == [(60.0, "succeeded", 1), (120.0, "succeeded", 1)]
    ran = bench.stage.found(RunFinished, schedule="s")
    assert [event.slot_at - NOON for event in ran] == [60.0, 120.0]
    assert [event.waited for event in ran] == pytest.approx([0.0, 2.5], abs=1e-3)
    assert [call[1] - NOON for call in schedule_work.calls] == [60.0, 120.0]
    assert bench.ask(ListSlots())[0].why == "noted {'a': 1}"


def test_an_actor_is_asked_and_its_answer_or_error_is_the_end(bench):
    bench.start()
    bench.stage.start("/greeter", Greeter)
    bench.put("kind", handler="", to="/greeter", message=f"{WORK}:Greet", payload='{"name": "ada"}')
    bench.put("rude", handler="", to="/greeter", message=f"{WORK}:Greet", payload='{"name": "nobody"}')
    bench.advance(60.0)

    assert bench.ends(1, "kind") == [(60.0, "succeeded", 1)]
    assert bench.ends(1, "rude") == [(60.0, "failed", 1)]
    assert bench.stage.event(RunFinished, run="kind").detail == "hello ada"
    assert "whom?" in bench.stage.event(RunFinished, run="rude").detail


def test_the_same_schedule_twice_changes_nothing_and_another_one_takes_its_place(bench):
    bench.start()
    bench.put()

    assert bench.put().state == "unchanged"
    assert bench.put(cron="*/5 * * * *").state == "changed"
    assert [view.when for view in bench.ask(ListSchedules())] == ["*/5 * * * *"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"cron": "61 * * * *"}, "out of range 0-59"),
        ({"handler": "no.such:thing"}, "ModuleNotFoundError"),
        ({"handler": f"{WORK}:calls"}, "not a function"),
        ({"handler": "", "to": "/x", "message": f"{WORK}:Greet", "payload": "{}"}, "missing required field `name`"),
        ({"handler": "", "to": "/x"}, "say what the actor is asked"),
    ],
    ids=["cron", "module", "kind", "payload", "no message"],
)
def test_what_cannot_be_is_refused_and_leaves_nothing_behind(bench, fields, part):
    bench.start()

    answer = bench.put(**fields)

    assert answer.state == "refused"
    assert part in answer.why
    assert bench.ask(ListSchedules()) == ()


def test_a_run_that_fails_is_tried_again_and_told(bench):
    bench.start()
    bench.put(
        handler=f"{WORK}:fails",
        retry=Retry(2, Strategy.FIXED, first=10.0),
        on_retry=f"{WORK}:keep",
        on_failed=f"{WORK}:keep",
    )
    bench.advance(60.0)
    bench.stage.wait(lambda: bench.ask(GetSchedule("s")).view.state == "retrying" or None, "the retry")
    bench.advance(10.0)

    assert bench.ends(1) == [(60.0, "failed", 1)]
    assert [call[2] for call in schedule_work.calls] == [1, 2]
    kept = bench.stage.wait(lambda: schedule_work.attempts if len(schedule_work.attempts) == 2 else None, "call-backs")
    assert sorted((a.attempt, a.delay) for a in kept) == [(1, 10.0), (2, 0.0)]


def test_a_function_can_say_the_delay(bench):
    bench.start()
    bench.put(handler=f"{WORK}:fails", retry=Retry(2, max=1_000.0), retry_delay=f"{WORK}:long_delay")
    bench.advance(60.0)
    bench.stage.wait(lambda: bench.ask(GetSchedule("s")).view.state == "retrying" or None, "the retry")

    assert "comes in 100 s" in bench.ask(WhySchedule("s"))[0]


def test_a_retry_survives_the_end_of_the_node(bench):
    bench.start()
    bench.put(handler=f"{WORK}:fails", cron="0 * * * *", retry=Retry(2, Strategy.FIXED, first=100.0, max=100.0))
    bench.ask(RunSchedules(Selection(("s",))))
    bench.stage.wait(lambda: bench.ask(ListSlots())[0].state == "retrying" or None, "the retry to be on disk")
    bench.crash()
    bench.start()
    assert bench.ask(GetSchedule("s")).view.state == "retrying"

    bench.advance(100.0)

    assert bench.ends(1)[0][1] == "failed"
    assert [call[2] for call in schedule_work.calls] == [1, 2]


def test_a_retry_that_is_due_together_with_the_slot_that_replaces_it_is_not_begun(bench):
    bench.start()
    bench.put(handler=f"{WORK}:fails", overlap=Overlap(Policy.CANCEL_OTHER), retry=Retry(2, Strategy.FIXED, first=50.0))
    bench.advance(60.0)
    bench.stage.wait(lambda: bench.ask(GetSchedule("s")).view.state == "retrying" or None, "the retry")
    bench.advance_unseen(60.0)  # both are due at the next look

    assert bench.ends(1)[0] == (60.0, "cancelled", 1)
    bench.stage.wait(lambda: len(schedule_work.calls) == 2 or None, "the run of the slot")
    assert [(at - NOON, attempt) for _, at, attempt, _ in schedule_work.calls] == [(60.0, 1), (120.0, 1)]


def test_an_open_breaker_skips_slots_and_is_kept(bench):
    bench.start()
    bench.put(handler=f"{WORK}:fails", breaker=Breaker(failures=1, open_for=500.0))
    bench.advance(60.0)
    bench.ends(1)
    assert bench.stage.event(BreakerChanged, state="open").breaker == "s"
    bench.crash()
    bench.start()

    bench.advance(60.0)

    assert bench.ends(2)[1] == (120.0, "skipped", 1)
    assert len(schedule_work.calls) == 1
    assert any("breaker open" in line for line in bench.ask(WhySchedule("s")))


def test_a_run_cut_short_by_the_end_of_the_node_is_done_once_more_and_marked(bench):
    with sqlite_row(bench, is_repeat=0):
        bench.start()

    assert bench.ends(1) == [(-60.0, "succeeded", 1)]
    assert schedule_work.calls == [("s", NOON - 60.0, 1, True)]


def test_a_run_cut_short_twice_fails_and_so_does_one_that_is_not_to_be_repeated(bench):
    with sqlite_row(bench, is_repeat=1):
        bench.start()

    assert bench.ends(1) == [(-60.0, "failed", 1)]
    assert "for the second time" in bench.ask(ListSlots())[0].why
    assert schedule_work.calls == []


def test_slots_of_a_time_when_nothing_ran_are_merged_into_the_latest(bench):
    bench.start()
    bench.put()
    bench.crash()
    bench.clock.advance(310.0)
    bench.start()
    bench.advance(0.1)

    assert bench.ends(2) == [(60.0, "merged", 4), (300.0, "succeeded", 1)]


def test_a_run_that_outlives_its_scheduler_is_not_begun_twice(bench):
    bench.start()
    bench.put(handler=f"{WORK}:waits")
    bench.advance(60.0)
    assert schedule_work.entered.wait(PATIENCE)
    bench.crash()
    bench.start()

    assert bench.ask(GetSchedule("s")).view.state == "running"
    schedule_work.gate.set()
    assert bench.ends(1) == [(60.0, "succeeded", 1)]


def test_an_end_that_no_scheduler_heard_of_is_taken_in_by_the_next_one(bench):
    bench.start()
    bench.put(handler=f"{WORK}:waits")
    bench.advance(60.0)
    assert schedule_work.entered.wait(PATIENCE)
    bench.crash()
    schedule_work.gate.set()
    bench.start()

    assert bench.ends(1) == [(60.0, "succeeded", 1)]


@pytest.mark.parametrize("handler", ["waits", "sleeps"])
def test_a_run_is_cancelled_for_real(bench, handler):
    bench.start()
    bench.put(handler=f"{WORK}:{handler}")
    bench.advance(60.0)
    assert schedule_work.entered.wait(PATIENCE)
    bench.stage.wait(lambda: bench.ask(GetSchedule("s")).view.state == "running" or None, "the run")

    assert bench.ask(CancelRuns(Selection(("s",)), "enough"))[0].state == "cancelled"
    assert bench.ends(1) == [(60.0, "cancelled", 1)]


def test_many_runs_that_wait_for_a_thread_hold_up_nothing_else(bench):
    many = [f"m{number}" for number in range(60)]

    def ended(id: str) -> list[tuple[float, str]]:
        def found():  # ends wait a moment of the clock to be taken in, while runs wait for a thread
            bench.advance(0.05)
            slots = [slot for slot in bench.ask(ListSlots(Selection((id,)))) if slot.ended_at is not None]
            return [(round(slot.slot_at - NOON, 3), slot.state) for slot in slots] or None

        return bench.stage.wait(found, f"the end of {id}")

    bench.start(threads=2)
    bench.stage.start("/greeter", Greeter)
    for id in many:
        bench.put(id, handler=f"{WORK}:waits")
    greet = {"handler": "", "to": "/greeter", "message": f"{WORK}:Greet", "payload": '{"name": "ada"}'}
    bench.put("next", cron="", at=NOON + 60.1, **greet)
    bench.advance(59.95)
    assert {slot.state for slot in bench.ask(ListSlots())} == {"claimed"}  # ahead; the scheduler hears of it by then
    bench.advance(0.05)
    assert schedule_work.entered.wait(PATIENCE)

    assert bench.ask(GetSchedule("m59")).view.state == "running"
    bench.advance(0.1)
    assert bench.stage.event(ScheduleChanged, schedule="next", state="ended").at == pytest.approx(NOON + 60.1, abs=1e-3)
    assert bench.ask(CancelRuns(Selection(("m58",)), "enough"))[0].state == "cancelled"
    assert ended("next") == [(60.1, "succeeded")]
    assert schedule_work.gate.is_set() is False
    schedule_work.gate.set()
    assert ended("m58") == [(60.0, "cancelled")]
    assert {tuple(ended(id)) for id in many if id != "m58"} == {((60.0, "succeeded"),)}


@pytest.mark.parametrize("handler", ["waits", "sleeps"])
def test_a_run_that_takes_too_long_is_ended(bench, handler):
    bench.start()
    bench.put(handler=f"{WORK}:{handler}", timeout=20.0)
    bench.advance(60.0)
    assert schedule_work.entered.wait(PATIENCE)
    bench.advance(20.0)

    assert bench.ends(1) == [(60.0, "timed-out", 1)]


def test_schedules_are_paused_resumed_and_removed_by_tag_and_stay_so(bench):
    bench.start()
    bench.put("a", tags=("x",))
    bench.put("b", tags=("x",))
    bench.put("c")
    chosen = Selection(tags=("x",))
    touched = bench.ask(PauseSchedules(chosen, note="moving", by="ada"))
    assert [(t.id, t.state) for t in touched] == [("a", "paused"), ("b", "paused")]
    bench.crash()
    bench.start()
    bench.advance(600.0)

    assert {view.id: view.state for view in bench.ask(ListSchedules(("x",)))} == {"a": "paused", "b": "paused"}
    assert bench.ask(WhySchedule("a"))[0] == "paused: moving (by ada)"
    bench.ask(ResumeSchedules(chosen))
    assert bench.ask(GetSchedule("a")).view.next_at == NOON + 660.0
    bench.ask(RemoveSchedules(chosen))
    bench.crash()
    bench.start()
    assert [view.id for view in bench.ask(ListSchedules())] == ["c"]


def test_what_is_named_and_not_there_is_unknown(bench):
    bench.start()
    bench.put()

    touched = bench.ask(RemoveSchedules(Selection(("s", "zz"))))

    assert [(t.id, t.state) for t in touched] == [("s", "removed"), ("zz", "unknown")]


def test_a_run_by_hand_obeys_the_policy_or_another_one_this_time(bench):
    bench.start()
    bench.put(handler=f"{WORK}:waits", cron="0 0 1 1 *")
    (first,) = bench.ask(RunSchedules(Selection(("s",))))
    (second,) = bench.ask(RunSchedules(Selection(("s",))))
    (third,) = bench.ask(RunSchedules(Selection(("s",)), Overlap(Policy.QUEUE)))

    assert (first.state, second.state, third.state) == ("started", "refused", "waiting")
    assert first.run == "s@2023-11-15T12:00:00Z"
    assert "still under way" in second.why
    schedule_work.gate.set()
    bench.ends(2)
    assert bench.ask(ListSlots(run=first.run))[0].state == "succeeded"


def test_a_backfill_runs_what_has_not_run_and_nothing_twice(bench):
    bench.start()
    bench.put(cron="0 * * * *")
    bench.advance(3_601.0)
    bench.ends(1)
    span = {"first": NOON - 7_200.0, "last": NOON + 3_600.0}
    trial = bench.ask(Backfill("s", **span, is_trial=True))
    answer = bench.ask(Backfill("s", **span))

    assert trial == answer
    assert answer.left_out == 1
    assert [run.partition("@")[2] for run in answer.runs] == [
        "2023-11-15T10:00:00Z",
        "2023-11-15T11:00:00Z",
        "2023-11-15T12:00:00Z",
    ]
    bench.ends(4)
    assert [call[1] - NOON for call in schedule_work.calls] == [3_600.0, -7_200.0, -3_600.0, 0.0]
    assert bench.ask(Backfill("s", **span)).runs == ()
    assert bench.ask(Backfill("s", **span, again=True)).runs[-1] == "s@2023-11-15T13:00:00Z#1"
    assert "more than 2 slots" in bench.ask(Backfill("s", **span, again=True, limit=2)).why


def test_schedules_of_the_configuration_come_change_and_go_with_it(bench):
    fields = {"id": "s", "cron": "* * * * *", "handler": f"{WORK}:note"}
    bench.start(schedules=[fields])
    bench.ask(PauseSchedules(Selection(("s",))))
    bench.crash()
    bench.start(schedules=[{**fields, "title": "other"}])
    assert [(v.name, v.state) for v in bench.ask(ListSchedules())] == [("other", "paused")]
    bench.crash()
    bench.start()

    assert bench.ask(ListSchedules()) == ()
    assert bench.stage.event(ScheduleChanged, state="removed").detail == "not configured any more"


def test_a_function_that_is_gone_disables_its_schedule_with_the_reason_and_the_scheduler_lives(bench):
    bench.start(schedules=[{"id": "s", "cron": "* * * * *", "handler": "no.such:thing"}])
    bench.put("other")
    bench.advance(60.0)

    assert bench.ask(GetSchedule("s")).view.state == "disabled"
    assert "no.such" in bench.stage.event(ScheduleChanged, schedule="s", state="disabled").detail
    assert bench.ends(1, "other") == [(60.0, "succeeded", 1)]
    assert bench.ask(RunSchedules(Selection(("s",))))[0].state == "refused"


def test_nothing_is_run_before_its_claim_is_on_disk_and_nothing_is_lost_by_a_disk_that_refuses(bench):
    bench.start()
    bench.put()
    blocker = sqlite3.connect(bench.home / "state.db", isolation_level=None)
    blocker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON schedule_slots BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    )
    bench.advance(60.0)
    assert "disk is full" in bench.stage.event(ScheduleChanged, state="unwritten").detail
    assert schedule_work.calls == []
    assert bench.put("new").state == "added"  # definitions are another table

    blocker.execute("DROP TRIGGER full")
    blocker.close()
    bench.advance(1.0)

    assert bench.ends(1) == [(60.0, "succeeded", 1)]


@pytest.fixture
def small_bench(tmp_path):
    """A bench on a disk of its own."""
    if sys.platform != "linux":
        pytest.skip("a tmpfs is mounted")
    disks = mounted_disk(tmp_path / "disk", "4m")
    home = next(disks)
    schedule_work.reset()
    clock = ManualClock(time=NOON)
    with Stage(clock=clock) as stage:
        yield Bench(stage, clock, home)
    for _ in disks:
        pytest.fail("one disk is mounted")


def test_slots_of_a_time_when_the_disk_was_full_have_one_end_each_by_the_policy_of_missed_slots(small_bench):
    bench, stage = small_bench, small_bench.stage
    bench.start()
    for policy in MissedPolicy:
        bench.put(policy.value, missed=Missed(policy), breaker=Breaker(failures=1))
    files = fill(bench.home)
    bench.advance(60.0)
    assert "full" in stage.event(ScheduleChanged, state="unwritten").detail
    for _ in range(3):
        bench.advance(60.0)
    bench.advance(26.0)
    (why, *_) = bench.ask(WhySchedule("once"))
    assert "its slots cannot be claimed, and wait until the disk takes writes again" in why
    assert "full" in why
    assert bench.put("new").state == "refused"
    assert schedule_work.calls == []

    for file in files:
        file.unlink()
    bench.advance(1.0)
    stage.event(ScheduleChanged, state="written")
    bench.advance(1.0)

    assert bench.ends(3, "skip") == [(60.0, "missed", 1), (120.0, "missed", 2), (240.0, "succeeded", 1)]
    assert bench.ends(3, "once") == [(60.0, "merged", 1), (120.0, "merged", 2), (240.0, "succeeded", 1)]
    assert bench.ends(4, "all") == [(at, "succeeded", 1) for at in (60.0, 120.0, 180.0, 240.0)]
    assert len(stage.found(ScheduleChanged, state="unwritten")) == 1
    bench.advance(60.0)  # it goes on as before
    assert bench.ends(4, "skip")[3] == (300.0, "succeeded", 1)


def sqlite_row(bench, *, is_repeat):
    """Lay a slot into the file that was claimed a minute before noon, by a node that was killed."""
    from contextlib import contextmanager

    @contextmanager
    def laid():
        bench.start()
        bench.put(cron="0 0 1 1 *")
        bench.crash()
        file = sqlite3.connect(bench.home / "state.db", isolation_level=None)
        row = (
            "s",
            NOON - 60.0,
            0,
            "schedule",
            "claimed",
            "",
            1,
            is_repeat,
            NOON - 60.0,
            None,
            None,
            0.0,
            NOON - 60.0,
            1,
        )
        file.execute(f"INSERT INTO schedule_slots VALUES ({', '.join('?' * 14)})", row)
        file.close()
        yield

    return laid()
