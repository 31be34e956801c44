"""After an absence: what all schedules together catch up is bounded, in order, spread, and counted to the slot."""

from __future__ import annotations

import pytest

from actors.policies.ratelimit import RateLimit
from actors.policies.retry import Retry
from actors.scheduling.catchup import CatchUpRule
from actors.scheduling.engine import Engine
from actors.scheduling.lateness import GIVEN_UP
from actors.scheduling.plans import Missed, MissedPolicy, Schedule, plan_of
from actors.scheduling.states import Begin, Ended, Now, Paused, Settle, Standing

BEGIN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
DAY = 86_400.0


class World:
    """Schedules, a clock that is moved by hand, and what has become of slots."""

    def __init__(self, rule: CatchUpRule, schedules: list[Schedule], *, away: float) -> None:
        self.engine = Engine(rule)
        self.now = Now(BEGIN + away, 0.0)
        self.begun: list[tuple[str, float, float]] = []
        self.live: list[tuple[str, float, int]] = []
        self.ends: list[tuple[str, Settle]] = []
        self.told: list[tuple[str, str]] = []
        for schedule in schedules:
            self.engine.put(plan_of(schedule), self.now, Standing(since=BEGIN))

    def take(self, effects) -> None:
        for id, effect in effects:
            if isinstance(effect, Begin):
                self.begun.append((id, effect.run.slot_at, self.now.mono))
                self.live.append((id, effect.run.slot_at, effect.run.round))
            elif isinstance(effect, Settle):
                self.ends.append((id, effect))

    def look(self) -> None:
        while self.engine.wait(self.now) == 0.0:
            self.take(self.engine.look(self.now))
        self.told += self.engine.catch_up.told
        self.engine.catch_up.told = []

    def end(self, count: int = 1) -> None:
        """The oldest of the runs under way succeed."""
        for id, slot_at, round in self.live[:count]:
            self.live.pop(0)
            self.take(self.engine.feed(id, Ended(slot_at, round, "succeeded"), self.now))
        self.look()

    def move(self, seconds: float) -> None:
        self.now = Now(self.now.wall + seconds, self.now.mono + seconds)
        self.look()

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for _, settle in self.ends:
            found[settle.state] = found.get(settle.state, 0) + settle.count
        return found

    @property
    def ids(self) -> list[str]:
        return [id for id, _, _ in self.begun]


def daily(number: int, **more) -> Schedule:
    """Return a schedule of each day, so many minutes after midnight."""
    more = {"missed": Missed(window=400 * DAY)} | more
    return Schedule(id=f"s{number}", cron=f"{number % 60} {number // 60} * * *", handler="os:getpid", **more)


def quick(at_once: int = 1_000, most: int = 10_000) -> CatchUpRule:
    return CatchUpRule(at_once, RateLimit(10_000, 1.0), most)


def test_no_more_catch_up_at_once_than_allowed_and_the_oldest_go_first():
    world = World(quick(at_once=3), [daily(number) for number in (5, 1, 4, 2, 3)], away=DAY - 60.0)
    world.look()

    assert world.ids == ["s1", "s2", "s3"]
    assert world.engine.catch_up.places() == {"s4": 0, "s5": 1}
    assert world.told == [("catching-up", "2 schedules wait for their turn: 3 at once, 10000/1s")]
    world.end()
    assert world.ids == ["s1", "s2", "s3", "s4"]
    world.end(4)
    world.end()
    assert world.ids == ["s1", "s2", "s3", "s4", "s5"]
    assert world.told[1:] == [("caught-up", "5 runs made up for what was missed")]
    assert world.counts() == {"succeeded": 5}


def test_they_begin_at_the_rate_not_in_a_burst():
    world = World(CatchUpRule(100, RateLimit(2, 1.0)), [daily(number) for number in range(1, 9)], away=DAY - 60.0)
    world.look()
    for _ in range(6):
        wait = world.engine.wait(world.now)
        assert 0.0 < wait <= 0.5
        world.move(wait + 1e-9)

    assert [round(mono, 3) for _, _, mono in world.begun] == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_priority_goes_before_age():
    schedules = [daily(1, priority="low"), daily(2), daily(3, priority="high")]
    world = World(quick(at_once=1), schedules, away=DAY - 60.0)
    for _ in range(3):
        world.look()
        world.end()

    assert world.ids == ["s3", "s2", "s1"]


def test_of_too_many_those_go_unrun_that_come_again_soonest_and_each_is_counted():
    schedules = [daily(number) for number in range(1, 61)]
    long = Missed(window=400 * DAY)
    yearly = [Schedule(id=f"y{n}", cron=f"{n} 0 3 1 *", handler="os:getpid", missed=long) for n in range(10)]
    world = World(quick(most=30), [*schedules, *yearly], away=10 * DAY + 7_200.0)
    world.look()
    while world.live:
        world.end()

    assert len(world.begun) == 30
    assert sorted(id for id in world.ids if id.startswith("y")) == [f"y{n}" for n in range(10)]
    assert sorted(id for id in world.ids if id.startswith("s")) == sorted(f"s{n}" for n in range(41, 61))
    assert world.told[0] == (
        "given-up",
        "what 40 schedules missed is not run: more than the 30 runs that are caught up at most",
    )
    unrun = [settle for _, settle in world.ends if GIVEN_UP in settle.why]
    assert {settle.state for settle in unrun} == {"missed"}
    assert sum(settle.count for settle in unrun) == 40 * 11
    assert world.counts() == {"missed": 40 * 11, "merged": 20 * 10, "succeeded": 30}
    assert world.engine.catch_up.dropped == 40


def test_one_that_may_catch_up_several_is_cut_to_what_is_left():
    every = Missed(MissedPolicy.ALL, window=400 * DAY, most=8)
    world = World(quick(most=10), [daily(1, missed=every), daily(2, missed=every)], away=20 * DAY - 60.0)
    world.look()
    while world.live:
        world.end()

    assert len(world.begun) == 10
    assert sorted(world.counts().items()) == [("missed", 30), ("succeeded", 10)]
    for id in ("s1", "s2"):
        slots = [slot for name, slot, _ in world.begun if name == id]
        assert slots == sorted(slots)
        assert slots[-1] > BEGIN + 19 * DAY  # the latest are run, the oldest of them first


def test_a_slot_that_comes_meanwhile_is_run_in_time_and_takes_the_missed_ones_along():
    world = World(quick(at_once=1), [daily(1), daily(121)], away=DAY + 60.0 * 100)
    world.look()
    assert world.ids == ["s1"]

    world.move(60.0 * 21)  # 02:01 comes, and the first still runs

    assert world.begun[-1][:2] == ("s121", BEGIN + DAY + 121 * 60.0)
    assert [settle.state for id, settle in world.ends if id == "s121"] == ["merged"]
    world.end(2)
    assert world.told[-1][0] == "caught-up"


def test_intervals_take_their_turn_too_and_keep_their_rhythm():
    schedules = [Schedule(id=f"e{n}", every=100.0 + n, handler="os:getpid") for n in range(4)]
    world = World(CatchUpRule(), [], away=0.0)
    for schedule in schedules:
        world.engine.put(plan_of(schedule), world.now, Standing(since=world.now.wall))
    world.engine.catch_up.rule = quick(at_once=1)
    world.move(1_000.0)

    assert len(world.begun) == 1
    world.move(110.0)  # each has had its own next slot by now

    assert sorted(world.ids) == ["e0", "e1", "e2", "e3"]
    assert world.engine.catch_up.held == {}


def test_schedules_that_skip_or_are_on_time_do_not_wait_for_those_that_catch_up():
    skipping = daily(3, missed=Missed(MissedPolicy.SKIP, window=400 * DAY))
    on_time = Schedule(id="now", cron="0 2 * * *", handler="os:getpid")
    world = World(quick(at_once=1), [daily(1), daily(2), skipping], away=DAY - 60.0)
    world.engine.put(plan_of(on_time), world.now, Standing(since=world.now.wall))
    world.look()

    assert world.ids == ["s1"]
    assert [id for id, settle in world.ends if settle.state == "missed"] == ["s3"]
    world.move(2 * 3600.0 + 60.0)
    assert "now" in world.ids


@pytest.mark.parametrize("away", ["removed", "paused"])
def test_one_that_goes_while_it_waits_takes_no_turn(away):
    world = World(quick(at_once=1), [daily(1), daily(2), daily(3)], away=DAY - 60.0)
    world.look()
    if away == "removed":
        world.engine.remove("s2")
    else:
        world.take(world.engine.feed("s2", Paused("wait"), world.now))
    world.end()
    world.end()

    assert world.ids == ["s1", "s3"]
    assert not world.engine.catch_up.is_busy


def test_a_run_between_two_attempts_does_not_hold_up_the_others():
    slow = Retry(attempts=2, first=3_600.0, max=3_600.0)
    world = World(quick(at_once=1), [daily(1, retry=slow), daily(2)], away=DAY - 60.0)
    world.look()
    (id, slot_at, round) = world.live.pop()
    world.take(world.engine.feed(id, Ended(slot_at, round, "failed", "no"), world.now))
    world.look()

    assert world.ids == ["s1", "s2"]


def test_given_up_slots_are_settled_in_pieces_and_none_twice():
    world = World(quick(most=0), [daily(number) for number in range(1, 1_300)], away=DAY - 1.0)
    effects = world.engine.look(world.now)
    assert len(effects) == 500
    world.take(effects)
    world.look()

    assert world.begun == []
    assert world.counts() == {"missed": 1_299}
    assert len({id for id, _ in world.ends}) == 1_299


@pytest.mark.parametrize(("at_once", "most"), [(0, 1), (1, -1)])
def test_bounds_out_of_range_are_refused(at_once, most):
    with pytest.raises(ValueError, match="at_once is 1 or more"):
        CatchUpRule(at_once, most=most)
