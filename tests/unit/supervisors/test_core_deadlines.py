"""Start deadlines: a start that takes too long is killed and handled as the failed start it is."""

from __future__ import annotations

import pytest
from support.supervision import World, child, launched, of, stopped, supervisor

from actors.exits import KILLED, SHUTDOWN, ExitReason
from supervisors.core import (
    ArmTimer,
    ChildStarted,
    Kill,
    Refusal,
    Refused,
    RestartChild,
    RestartFact,
    StartChild,
    StartFailedFact,
    TerminateChild,
    TimerKind,
)
from supervisors.specs import Strategy

TIMEOUT = ExitReason.killed("start-timeout")


def test_a_start_past_its_deadline_is_killed_and_fails_when_the_instance_is_gone():
    world = World(supervisor(child("a", start_timeout=10.0)), obeys=False)

    assert of(Kill, world.pass_time(9.9)) == []
    assert of(Kill, world.pass_time(0.1)) == [Kill("a", 1)]
    assert world.words() == {"a": "stopping"}
    effects = world.start_failed("a", KILLED)

    assert of(StartFailedFact, effects) == [StartFailedFact("a", 1, TIMEOUT, 0)]
    assert world.ended is not None
    assert world.ended.chain()[-1].reason == TIMEOUT


def test_a_thread_that_does_not_become_ready_is_abandoned_and_its_late_ready_is_fenced():
    world = World(supervisor(child("a", start_timeout=10.0), child("b"), intensity=9), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("a")
    world.pass_time(10.0)

    effects = world.abandon("a")

    assert [fact.reason for fact in of(StartFailedFact, effects)] == [TIMEOUT]
    assert [fact.attempt for fact in of(RestartFact, effects)] == [2]
    world.pass_time(0.0)
    assert world.generation("a") == 3
    assert world.feed(ChildStarted("a", 2, now=world.now)) == []


def test_a_late_ready_of_an_instance_that_is_being_killed_does_not_save_it():
    world = World(supervisor(child("a", start_timeout=10.0)), obeys=False)
    world.pass_time(10.0)

    world.started("a")
    world.exited("a", KILLED)

    assert not world.is_ready
    assert world.ended is not None


def test_no_deadline_means_no_timer():
    world = World(supervisor(child("a", start_timeout=None)), obeys=False)

    assert world.timers == {}


def test_one_timer_watches_all_starts_and_always_the_earliest():
    world = World(supervisor(), obeys=False)
    world.call(StartChild, child("slow", start_timeout=30.0))
    world.call(StartChild, child("fast", start_timeout=5.0))
    world.call(StartChild, child("middle", start_timeout=20.0))

    assert [timer.kind for timer in world.timers] == [TimerKind.START]
    assert of(Kill, world.pass_time(5.0)) == [Kill("fast", 1)]
    assert of(Kill, world.pass_time(15.0)) == [Kill("middle", 1)]
    world.started("slow")
    assert of(Kill, world.pass_time(100.0)) == []
    assert world.timers == {}


def test_quick_restarts_do_not_arm_a_timer_each():
    world = World(supervisor(child("a", start_timeout=30.0), intensity=99))

    effects = [e for _ in range(10) for e in world.exited("a")]

    assert of(ArmTimer, effects) == []


@pytest.mark.parametrize("origin", ["start_child", "restart_child"])
def test_a_start_by_hand_that_times_out_is_answered(origin: str):
    world = World(supervisor(child("a")))
    world.call(TerminateChild, "a")
    world.obeys = False
    if origin == "start_child":
        world.call(StartChild, child("n", start_timeout=5.0))
    else:
        world.call(RestartChild, "a")

    world.pass_time(30.0)
    world.start_failed("n" if origin == "start_child" else "a", KILLED)

    result = world.replies[2]
    assert isinstance(result, Refused)
    assert (result.code, result.reason) == (Refusal.START_FAILED, TIMEOUT)
    assert world.words() == ({"a": "stopped"} if origin == "start_child" else {"a": "failed"})


def test_a_terminate_during_the_kill_of_a_hanging_start_means_no_retry():
    world = World(supervisor(child("a", start_timeout=5.0), intensity=9), obeys=False)
    world.started("a")
    world.exited("a")
    world.pass_time(5.0)

    world.call(TerminateChild, "a")
    effects = world.start_failed("a", KILLED)

    assert launched(effects) == []
    assert world.words() == {"a": "stopped"}


def test_a_hanging_start_in_a_group_restart_makes_it_the_pivot():
    world = World(
        supervisor(child("a"), child("b", start_timeout=5.0), strategy=Strategy.ONE_FOR_ALL, intensity=9), obeys=False
    )
    world.started("a")
    world.started("b")
    world.exited("b")
    world.exited("a", SHUTDOWN)
    world.started("a")
    world.pass_time(5.0)

    world.start_failed("b", KILLED)
    effects = world.pass_time(0.0)

    assert stopped(effects) == ["a"]
    assert launched(world.exited("a", SHUTDOWN)) == ["a"]


def test_stop_while_a_hanging_start_is_being_killed_waits_for_it():
    world = World(supervisor(child("a", start_timeout=5.0)), obeys=False)
    world.pass_time(5.0)

    world.stop()
    assert world.ended is None
    world.start_failed("a", KILLED)

    assert world.ended == SHUTDOWN


def test_a_start_timer_that_was_replaced_is_fenced():
    world = World(supervisor(), obeys=False)
    world.call(StartChild, child("a", start_timeout=30.0))
    old = world.timer(TimerKind.START)
    world.call(StartChild, child("b", start_timeout=5.0))
    world.timers[old] = world.now

    assert world.fire(old) == []
