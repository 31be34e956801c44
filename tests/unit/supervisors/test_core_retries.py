"""A start that fails during a restart, and back-off: attempts, delays, cancelling, resetting."""

from __future__ import annotations

from collections import deque

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.core import (
    ArmTimer,
    CancelTimer,
    Done,
    Hold,
    IgnoredFact,
    Launch,
    LimitFact,
    ResetChild,
    RestartChild,
    RestartFact,
    StartFailedFact,
    StartStopped,
    StopChild,
    TerminateChild,
    TimerKind,
    describe,
    view_child,
)
from supervisors.specs import Strategy

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
SLOW = Backoff(first=2.0, factor=3.0, max=50.0, jitter=0.5, reset_after=100.0)


def retry(world: World, id: str) -> list[object]:
    return list(world.fire(world.timer(TimerKind.RETRY, id)))


def test_a_failed_restart_is_tried_again_from_the_end_of_the_mailbox_without_delay():
    world = World(supervisor(child("a"), intensity=9))
    world.starts["a"] = deque(["fail"])

    effects = world.exited("a")

    assert world.words() == {"a": "restarting"}
    assert of(ArmTimer, effects)[-1].delay == 0.0
    assert launched(retry(world, "a")) == ["a"]
    assert world.running() == ["a"]


@pytest.mark.parametrize("intensity", [0, 1, 2, 5])
def test_a_child_that_never_starts_is_tried_exactly_intensity_times(intensity: int):
    world = World(supervisor(child("a"), intensity=intensity), starts={"a": ["ok", *["fail"] * 20]})

    world.exited("a")
    world.pass_time(1.0)

    assert launched(e for _, done in world.done for e in done) == ["a"] * (1 + intensity)
    assert world.ended is not None
    assert world.ended.detail == "gave-up"


def test_each_attempt_is_announced_with_its_number():
    world = World(supervisor(child("a"), intensity=9), starts={"a": ["ok", "fail", "fail", "ok"]})

    effects = world.exited("a") + world.pass_time(0.0)

    assert [fact.attempt for fact in of(RestartFact, effects)] == [1, 2, 3]
    assert [fact.attempt for fact in of(StartFailedFact, effects)] == [1, 2]
    assert [launch.attempt for launch in of(Launch, effects)] == [1, 2, 3]


def test_stop_and_calls_are_served_between_two_tries():
    world = World(supervisor(child("a"), intensity=9), starts={"a": ["ok", "fail"]})
    world.exited("a")

    assert isinstance(world.call(TerminateChild, "a"), Done)

    assert world.words() == {"a": "stopped"}
    assert not [timer for timer in world.timers if timer.kind is TimerKind.RETRY]


def test_under_one_for_all_those_that_came_up_are_stopped_at_the_retry_and_all_start_again():
    world = World(
        supervisor(child("a"), child("b"), child("c"), strategy=ALL, intensity=9), starts={"b": ["ok", "fail", "ok"]}
    )

    effects = world.exited("c")
    assert launched(effects) == ["a", "b"]
    assert world.words() == {"a": "running", "b": "restarting", "c": "waiting"}
    effects = retry(world, "b")

    assert stopped(effects) == ["a"]
    assert launched(effects) == ["a", "b", "c"]


def test_under_rest_for_one_the_retry_pivots_on_the_failing_child():
    world = World(
        supervisor(child("a"), child("b"), child("c"), child("d"), strategy=REST, intensity=9),
        starts={"c": ["ok", "fail", "ok"]},
    )

    effects = world.exited("b")
    assert launched(effects) == ["b", "c"]
    assert world.words() == {"a": "running", "b": "running", "c": "restarting", "d": "waiting"}
    effects = retry(world, "c")

    assert stopped(effects) == []
    assert launched(effects) == ["c", "d"]


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_cancelling_the_retry_leaves_the_later_siblings_down(strategy: Strategy):
    world = World(
        supervisor(child("a"), child("b"), child("c"), strategy=strategy, intensity=9), starts={"b": ["ok", "fail"]}
    )
    world.exited("a" if strategy is REST else "c")

    world.call(TerminateChild, "b")

    assert world.words() == {"a": "running", "b": "stopped", "c": "stopped"}
    assert isinstance(world.call(RestartChild, "c"), Done)
    assert world.running() == ["a", "c"]
    world.exited("a")
    assert world.running() == ["a", "b", "c"], "a later group restart brings all of them back"


@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
def test_a_restart_that_says_ignore_ends_the_retries_without_error(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), strategy=strategy), starts={"a": ["ok", "ignore"]})

    effects = world.exited("a")

    assert of(IgnoredFact, effects)
    assert world.words() == {"a": "ignored", "b": "running"}
    assert world.running() == ["b"]


# back-off


@pytest.mark.parametrize(
    ("chance", "delays"),
    [(0.5, [2.0, 6.0, 18.0, 50.0, 50.0]), (0.0, [1.0, 3.0, 9.0, 25.0, 25.0]), (0.75, [2.5, 7.5, 22.5, 62.5, 62.5])],
)
def test_delays_grow_from_end_to_end_with_jitter_from_the_events_chance(chance: float, delays: list[float]):
    world = World(supervisor(child("a", backoff=SLOW), intensity=99))
    world.chance = chance

    seen = []
    for _ in delays:
        (fact,) = of(RestartFact, world.exited("a"))
        seen.append(fact.delay)
        world.pass_time(fact.delay)

    assert seen == pytest.approx(delays)


def test_a_waiting_child_is_restarting_with_its_attempt_and_next_try():
    world = World(supervisor(child("a", backoff=SLOW), child("b")))

    world.exited("a")

    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.attempt, view.next_at) == ("restarting", 1, world.now + 2.0)
    assert world.running() == ["b"]


def test_attempts_count_from_1_again_after_a_quiet_time():
    world = World(supervisor(child("a", backoff=SLOW), intensity=99))
    world.exited("a")
    world.pass_time(2.0)
    world.pass_time(99.0)
    (still,) = of(RestartFact, world.exited("a"))
    world.pass_time(6.0)
    world.pass_time(100.0)

    (fresh,) = of(RestartFact, world.exited("a"))

    assert (still.attempt, still.delay) == (2, 6.0)
    assert (fresh.attempt, fresh.delay) == (1, 2.0)


def test_stop_interrupts_a_wait():
    world = World(supervisor(child("a", backoff=SLOW)))
    world.exited("a")
    timer = world.timer(TimerKind.RETRY, "a")

    effects = world.stop()

    assert CancelTimer(timer) in effects
    assert world.ended == SHUTDOWN


def test_a_timer_that_was_cancelled_and_fires_all_the_same_is_fenced():
    world = World(supervisor(child("a", backoff=SLOW)))
    world.exited("a")
    timer = world.timer(TimerKind.RETRY, "a")
    world.call(TerminateChild, "a")

    world.timers[timer] = world.now

    assert world.fire(timer) == []
    assert world.words() == {"a": "stopped"}


@pytest.mark.parametrize("call", [StartStopped, ResetChild])
def test_a_start_by_hand_or_a_reset_ends_the_wait_at_once(call: type):
    world = World(supervisor(child("a", backoff=SLOW)))
    world.exited("a")

    assert isinstance(world.call(call, "a"), Done)

    assert world.running() == ["a"]
    assert not [timer for timer in world.timers if timer.kind is TimerKind.RETRY]


def test_a_reset_lets_the_delays_begin_again():
    world = World(supervisor(child("a", backoff=SLOW), intensity=99))
    world.exited("a")
    world.pass_time(2.0)
    world.call(ResetChild, "a")

    (fact,) = of(RestartFact, world.exited("a"))

    assert (fact.attempt, fact.delay) == (1, 2.0)


def test_a_reset_lets_the_counts_begin_again():
    world = World(supervisor(child("a"), intensity=99))
    world.exited("a")

    world.call(ResetChild, "a")

    view = view_child(world.state, "a")
    assert view is not None
    assert (view.attempt, view.restarts) == (0, 0)


def test_a_start_by_hand_counts_attempts_from_0():
    world = World(supervisor(child("a", backoff=SLOW), intensity=99))
    world.exited("a")
    world.call(TerminateChild, "a")

    world.call(RestartChild, "a")

    (launch,) = of(Launch, world.done[-2][1])
    assert launch.attempt == 0


def test_a_hold_during_the_wait_keeps_the_child_away():
    world = World(supervisor(child("a", backoff=SLOW)))
    world.exited("a")

    world.call(StopChild, "a", Hold("ann"))
    world.pass_time(100.0)

    assert world.words() == {"a": "stopped"}


def test_a_group_stops_at_once_and_waits_together():
    world = World(supervisor(child("a"), child("b", backoff=SLOW), child("c"), strategy=ALL))

    effects = world.exited("b")

    assert stopped(effects) == ["c", "a"]
    assert launched(effects) == []
    assert world.words() == {"a": "waiting", "b": "restarting", "c": "waiting"}
    assert launched(world.pass_time(2.0)) == ["a", "b", "c"]


def test_a_group_shares_the_longest_wait_of_its_members():
    world = World(
        supervisor(child("a", backoff=Backoff(first=1.0)), child("b", backoff=SLOW), strategy=REST, intensity=9)
    )
    world.exited("b")  # waits until +2
    world.now += 0.5

    (fact,) = of(RestartFact, world.exited("a"))

    assert fact.delay == 1.5
    assert launched(world.pass_time(1.4)) == []
    assert launched(world.pass_time(0.2)) == ["a", "b"]


def test_a_retry_is_put_off_while_a_member_has_longer_to_wait():
    world = World(
        supervisor(
            child("a", backoff=Backoff(first=5.0, jitter=0.0)),
            child("b", backoff=Backoff(first=20.0, jitter=0.0)),
            strategy=REST,
            intensity=9,
        )
    )
    world.exited("a")
    world.call(RestartChild, "b")
    world.now += 1.0
    world.exited("b")  # until +21

    assert launched(world.pass_time(10.0)) == []
    assert world.words() == {"a": "restarting", "b": "restarting"}
    assert launched(world.pass_time(15.0)) == ["b", "a", "b"], "each keeps its own time; the group comes second"


def test_in_a_delayed_group_stop_and_end_are_the_supervisors():
    world = World(supervisor(child("a"), child("b", backoff=SLOW), strategy=ALL), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("b")

    world.stop()
    world.exited("a", SHUTDOWN)

    assert world.ended == SHUTDOWN


def test_the_timer_of_a_wait_that_ends_while_the_group_still_stops_is_handled_afterwards():
    world = World(supervisor(child("a", shutdown="infinity"), child("b", backoff=SLOW), strategy=ALL), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("b")
    world.now += 2.0

    assert world.fire(world.timer(TimerKind.RETRY, "b")) == []
    effects = world.exited("a", SHUTDOWN)

    assert launched(effects) == ["a"]


def test_back_off_does_not_replace_the_budget():
    world = World(supervisor(child("a", backoff=SLOW), intensity=1, period=10.0))
    world.exited("a")
    world.pass_time(2.0)

    effects = world.exited("a", crashed())

    assert [fact.action for fact in of(LimitFact, effects)] == ["escalate"]
    assert describe(world.state, world.now).restarts == 2


def test_cancelling_a_wait_while_its_group_still_stops_leaves_all_of_it_down():
    world = World(supervisor(child("a", backoff=SLOW), child("b"), child("c"), strategy=ALL), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("a")

    world.call(TerminateChild, "a")
    world.exited("c", SHUTDOWN)
    world.exited("b", SHUTDOWN)

    assert world.words() == {"a": "stopped", "b": "stopped", "c": "stopped"}


def test_cancelling_a_wait_leaves_what_another_round_is_about_to_start():
    world = World(supervisor(child("a", backoff=SLOW), child("b"), child("c"), strategy=REST, intensity=9))
    world.exited("a")
    world.call(RestartChild, "b")
    world.call(RestartChild, "c")
    world.obeys = False
    world.exited("b")
    assert world.words() == {"a": "restarting", "b": "waiting", "c": "stopping"}

    world.call(TerminateChild, "a")
    world.exited("c", SHUTDOWN)
    world.started("b")
    world.started("c")

    assert world.words() == {"a": "stopped", "b": "running", "c": "running"}
