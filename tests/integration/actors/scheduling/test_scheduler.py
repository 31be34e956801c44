"""The tick with a clock moved by hand: who is sent what at which instant, through steps of the clock and restarts."""

from __future__ import annotations

import pytest
from support.working import Stage

from actors import Actor, on
from actors.agents.loop import AgentLoop, GetLoop
from actors.events import RunFinished, ScheduleChanged
from actors.exits import SHUTDOWN, ExitKind, ExitReason
from actors.jobs.cycles import Cycle, CycleDone, Register, RunNow, Unregister
from actors.scheduling.requests import ListSchedules, ScheduleView
from actors.scheduling.scheduler import SchedulerTick
from actors.testing import PATIENCE, ManualClock

PATH = "/sys/scheduler"
NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC


class Sleeper(Actor):
    """Takes cycles and keeps them; ends when a cycle says so."""

    def __init__(self, log: list[tuple[str, Cycle]]) -> None:
        super().__init__()
        self._log = log

    @on(Cycle)
    def cycle(self, message: Cycle) -> None:
        self._log.append((self.path, message))


class Bench:
    """A scheduler on a stage with a manual clock that begins at noon."""

    def __init__(self, stage: Stage, clock: ManualClock) -> None:
        self.stage, self.clock = stage, clock
        self.log: list[tuple[str, Cycle]] = []

    def start(self, **arguments):
        return self.stage.start(PATH, SchedulerTick, **arguments)

    @property
    def scheduler(self):
        return self.stage.system.ref(PATH)

    def sleeper(self, path: str, *, generation: int = 1, placement: str = "thread", **schedule) -> None:
        self.stage.start(path, Sleeper, log=self.log, generation=generation, placement=placement)
        request = Register(path, f"loop-{path[-1]}", generation=generation, **schedule)
        answer = self.scheduler.ask(request, timeout=PATIENCE)
        assert answer.accepted, answer.why

    def advance(self, seconds: float) -> list[tuple[str, float]]:
        """Move on and return the slots that were sent off meanwhile, once the scheduler and the sleepers are done."""
        self.settle()  # its timer is set by the clock as it is now
        self.clock.advance(seconds, settle=self.settle)
        self.settle()
        slots = [(path, message.slot_at - NOON) for path, message in self.log]
        self.log.clear()
        return slots

    def settle(self) -> None:
        for view in self.schedules():  # handled after the look at the clock
            if not view.away:
                self.stage.system.ref(view.path).ask(Cycle(0.0), timeout=PATIENCE)  # handled after what it was sent
        self.log[:] = [entry for entry in self.log if entry[1].slot_at]

    def schedules(self) -> tuple[ScheduleView, ...]:
        return self.scheduler.ask(ListSchedules(), timeout=PATIENCE)

    def done(self, path: str, slot: float) -> None:
        self.scheduler.tell(CycleDone(path, NOON + slot))

    def skips(self) -> list[str]:
        return [event.detail for event in self.stage.found(RunFinished, outcome="skipped")]

    def merged(self) -> list[tuple[float, int]]:
        events = self.stage.found(RunFinished, outcome="merged")
        return [(event.slot_at - NOON, event.slots) for event in events]


@pytest.fixture
def bench():
    clock = ManualClock(time=NOON)
    with Stage(clock=clock) as stage:
        yield Bench(stage, clock)


def test_a_cycle_is_sent_at_each_slot(bench):
    bench.start()
    bench.sleeper("/a/1", cron="*/30 * * * * *")

    assert bench.advance(29.9) == []
    assert bench.advance(0.2) == [("/a/1", 30.0)]
    bench.done("/a/1", 30.0)
    assert bench.advance(30.0) == [("/a/1", 60.0)]


def test_an_interval_runs_from_its_registration_on(bench):
    bench.start()
    bench.advance(7.0)
    bench.sleeper("/a/1", every=20.0)

    assert bench.advance(20.0) == [("/a/1", 27.0)]


def test_of_several_due_at_once_the_high_priority_is_sent_first(bench):
    bench.start()
    bench.stage.system.pool._spares = 0  # one thread for all three: they take what they are sent in its order
    for path, priority in (("/a/1", "low"), ("/a/2", "high"), ("/a/3", "normal")):
        bench.sleeper(path, cron="* * * * *", priority=priority, placement="pool")

    assert [path for path, _ in bench.advance(60.0)] == ["/a/2", "/a/3", "/a/1"]


def test_a_slot_during_a_run_is_skipped_with_the_reason_on_the_bus(bench):
    bench.start()
    bench.sleeper("/a/1", cron="* * * * *")
    bench.advance(60.0)

    assert bench.advance(60.0) == []

    (event,) = bench.stage.found(RunFinished, outcome="skipped")
    assert (event.path, event.run, event.at) == ("/a/1", "loop-1", NOON + 120)
    assert event.slot_at == NOON + 120
    assert event.detail == "overlap: the run before it is still under way, of 2023-11-15T12:01:00Z"


def test_a_time_zone_is_that_of_the_schedule_or_else_the_scheduler_s(bench):
    bench.start(timezone="America/New_York")
    bench.sleeper("/a/1", cron="30 7 * * *")
    bench.sleeper("/a/2", cron="30 13 * * *", timezone="Europe/Berlin")

    assert [(view.path, view.next_at - NOON, view.timezone) for view in bench.schedules()] == [
        ("/a/1", 1_800.0, "America/New_York"),
        ("/a/2", 1_800.0, "Europe/Berlin"),
    ]


@pytest.mark.parametrize(
    ("schedule", "part"),
    [
        ({"cron": "61 * * * *"}, "out of range 0-59"),
        ({"cron": "0 0 30 2 *"}, "never fires"),
        ({"cron": "* * * * *", "timezone": "Mars/Base"}, "no time zone"),
        ({}, "one of the three"),
        ({"cron": "* * * * *", "every": 5.0}, "one of the three"),
        ({"every": 5.0, "priority": "urgent"}, "priority is one of"),
    ],
)
def test_a_wrong_schedule_is_refused_and_the_scheduler_lives(bench, schedule, part):
    scheduler = bench.start()

    answer = scheduler.ask(Register("/a/1", "loop", **schedule), timeout=PATIENCE)

    assert not answer.accepted
    assert part in answer.why
    assert bench.schedules() == ()


def test_a_clock_set_forward_is_noticed_in_time_and_the_latest_slot_run_once(bench):
    bench.start(wall_check=30.0)
    bench.sleeper("/a/1", cron="0 * * * *")
    bench.clock.step_wall(3 * 3600 + 60)

    assert bench.advance(30.0) == [("/a/1", 3 * 3600.0)]
    assert bench.merged() == [(3_600.0, 2)]


def test_a_clock_set_back_repeats_no_slot(bench):
    bench.start()
    bench.sleeper("/a/1", cron="*/10 * * * *")
    assert bench.advance(600.0) == [("/a/1", 600.0)]
    bench.done("/a/1", 600.0)

    bench.clock.step_wall(-900.0)

    assert bench.advance(1499.0) == []
    assert bench.advance(2.0) == [("/a/1", 1200.0)]


def test_an_interval_does_not_care_about_a_clock_that_is_set(bench):
    bench.start()
    bench.sleeper("/a/1", every=60.0)
    bench.clock.step_wall(-7_200.0)

    assert [path for path, _ in bench.advance(60.0)] == ["/a/1"]


def test_a_run_of_an_actor_that_crashed_is_over_and_its_slots_are_skipped_until_it_is_back(bench):
    bench.start()
    bench.sleeper("/a/1", cron="* * * * *")
    bench.advance(60.0)
    bench.stage.stop("/a/1", ExitReason(ExitKind.CRASHED))
    bench.stage.wait(lambda: bench.schedules()[0].away or None, "the end to be noticed")

    assert bench.advance(60.0) == []
    assert bench.skips() == ["not running"]

    bench.sleeper("/a/1", cron="* * * * *", generation=2)
    assert bench.advance(60.0) == [("/a/1", 180.0)]


def test_an_actor_that_was_stopped_has_no_schedule_any_more(bench):
    bench.start()
    bench.sleeper("/a/1", cron="* * * * *")

    bench.stage.stop("/a/1", SHUTDOWN)

    bench.stage.wait(lambda: bench.schedules() == () or None, "the schedule to go")


def test_a_schedule_whose_actor_stays_away_is_dropped_and_told(bench):
    bench.start(forget_after=100.0)
    bench.sleeper("/a/1", cron="0 0 1 1 *")
    bench.stage.stop("/a/1", ExitReason(ExitKind.CRASHED))
    bench.stage.wait(lambda: bench.schedules()[0].away or None, "the end to be noticed")

    for _ in range(4):
        bench.advance(30.0)

    assert bench.schedules() == ()
    (event,) = bench.stage.found(ScheduleChanged, schedule="a/1", state="removed")
    assert event.detail == "its actor was down for 100 s"


def test_a_new_instance_ends_the_run_of_the_one_before_even_when_its_end_is_told_late(bench):
    bench.start()
    bench.sleeper("/a/1", cron="* * * * *")
    bench.advance(60.0)

    answer = bench.scheduler.ask(Register("/a/1", "loop-1", cron="* * * * *", generation=2), timeout=PATIENCE)

    assert answer.accepted
    assert bench.schedules()[0].running_since is None


def test_a_run_by_hand_is_started_once(bench):
    bench.start()
    bench.sleeper("/a/1", cron="0 0 1 1 *")

    first = bench.scheduler.ask(RunNow("/a/1"), timeout=PATIENCE)
    second = bench.scheduler.ask(RunNow("/a/1"), timeout=PATIENCE)
    unknown = bench.scheduler.ask(RunNow("/a/9"), timeout=PATIENCE)

    assert (first.started, second.started, unknown.started) == (True, False, False)
    assert "still under way" in second.why
    assert unknown.why == "nothing is scheduled for /a/9"
    bench.settle()
    assert [(path, message.by_hand) for path, message in bench.log] == [("/a/1", True)]


def test_what_is_unregistered_is_sent_nothing(bench):
    bench.start()
    bench.sleeper("/a/1", cron="* * * * *")
    bench.scheduler.tell(Unregister("/a/1"))

    assert bench.advance(120.0) == []


# -- with real loops ------------------------------------------------------------------------------------


def loop(bench, tmp_path, **changes):
    arguments = {
        "index": 0,
        "name": "loop-heartbeat",
        "task": "heartbeat",
        "schedule": "*/30 * * * * *",
        "home": str(tmp_path),
        "root": str(tmp_path),
        **changes,
    }
    return bench.stage.start("/agents/00", AgentLoop, **arguments)


def beats(bench) -> list[RunFinished]:
    return bench.stage.found(RunFinished, path="/agents/00", outcome="succeeded")


def test_a_loop_runs_slot_after_slot(bench, tmp_path):
    bench.start()
    ref = loop(bench, tmp_path)
    for number in (1, 2, 3):
        if number < 3:
            bench.clock.advance(30.0)
        else:
            bench.scheduler.target.suspend()  # it looks at the clock late
            bench.clock.advance(34.5)
            bench.scheduler.target.resume()
        bench.stage.wait(lambda number=number: len(beats(bench)) == number or None, f"beat {number}")
        bench.stage.wait(lambda: bench.schedules()[0].running_since is None or None, "the slot to be settled")

    view = ref.ask(GetLoop(), timeout=PATIENCE)
    assert (view.state, view.next_at, view.runs) == ("resting", NOON + 120.0, {"succeeded": 3})
    assert [(e.slot_at - NOON, e.waited, e.schedule) for e in beats(bench)] == [
        (30.0, 0.0, "agents/00"),
        (60.0, 0.0, "agents/00"),
        (90.0, 4.5, "agents/00"),
    ]


def test_a_loop_runs_at_its_start_where_it_is_told_so_and_only_its_first_instance(bench, tmp_path):
    bench.start()
    loop(bench, tmp_path, run_at_start=True)
    bench.stage.wait(lambda: beats(bench) or None, "the first beat")

    bench.stage.stop("/agents/00", ExitReason(ExitKind.CRASHED))
    loop(bench, tmp_path, run_at_start=True, generation=2)

    bench.clock.advance(1.0)
    assert (bench.schedules()[0].runs, len(beats(bench))) == (1, 1)
    assert beats(bench)[0].waited is None  # no slot was due


def test_a_loop_registers_again_with_a_restarted_scheduler(bench, tmp_path):
    bench.start()
    loop(bench, tmp_path)
    bench.stage.stop(PATH, ExitReason(ExitKind.CRASHED))
    bench.start(generation=2)

    def registered() -> bool | None:
        bench.clock.advance(1.0)
        return bool(bench.schedules()) or None

    bench.stage.wait(registered, "the loop to register again")
    assert bench.schedules()[0].path == "/agents/00"


def test_a_loop_started_before_its_scheduler_registers_when_that_is_there(bench, tmp_path):
    ref = loop(bench, tmp_path)
    assert ref.ask(GetLoop(), timeout=PATIENCE).state == "waiting"
    bench.start()

    def registered() -> bool | None:
        bench.clock.advance(1.0)
        return bool(bench.schedules()) or None

    bench.stage.wait(registered, "the loop to register")


def test_a_loop_with_a_wrong_schedule_does_not_start(bench, tmp_path):
    bench.start()
    arguments = {"index": 0, "name": "x", "task": "heartbeat", "schedule": "0 25 * * *", "home": str(tmp_path)}

    assert "out of range 0-23" in bench.stage.failed("/agents/00", AgentLoop, **arguments).crash.message


def test_a_loop_that_is_stopped_takes_its_schedule_along(bench, tmp_path):
    bench.start()
    loop(bench, tmp_path)

    bench.stage.stop("/agents/00")

    bench.stage.wait(lambda: bench.schedules() == () or None, "the schedule to go")
