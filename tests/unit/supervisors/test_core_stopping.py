"""Stopping: one child by its shutdown rule, all in order, what is reported, what cannot be killed."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, of, stopped, supervisor

from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitReason
from supervisors.core import (
    ArmTimer,
    AskStop,
    CancelTimer,
    ChildExited,
    ChildStarted,
    Done,
    Effect,
    End,
    ExitedFact,
    Kill,
    KillAsked,
    KillChild,
    Refusal,
    Refused,
    StartChild,
    StateFact,
    StopAsked,
    TerminateChild,
    TimerKind,
    view_child,
    view_children,
)
from supervisors.specs import Restart, Strategy

P, TR, TE = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY


def running(*specs: object, **fields: object) -> World:
    world = World(supervisor(*specs, **fields), obeys=False)
    while not world.is_ready:
        (key,) = [key for key, where in world.live.items() if where == "starting"]
        world.started(key[0])
    return world


def acts(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if isinstance(e, AskStop | Kill) or (isinstance(e, ArmTimer) and e.delay > 0)]


def test_brutal_kill_kills_at_once_and_waits_without_limit():
    world = running(child("a", shutdown="brutal_kill"))

    effects = world.stop()

    assert acts(effects) == [Kill("a", 1)]
    world.exited("a", KILLED)
    assert world.ended == SHUTDOWN


def test_seconds_ask_then_kill_when_they_are_over():
    world = running(child("a", shutdown=5.0))

    effects = world.stop()
    timer = world.timer(TimerKind.STOP, "a")
    assert acts(effects) == [AskStop("a", 1, SHUTDOWN), ArmTimer(timer, 5.0)]

    assert acts(world.pass_time(4.9)) == []
    assert acts(world.pass_time(0.1)) == [Kill("a", 1)]
    assert world.ended is None
    world.exited("a", KILLED)
    assert world.ended == SHUTDOWN


def test_an_end_in_time_cancels_the_timer():
    world = running(child("a", shutdown=5.0))
    world.stop()
    timer = world.timer(TimerKind.STOP, "a")

    effects = world.exited("a", SHUTDOWN)

    assert CancelTimer(timer) in effects
    assert world.ended == SHUTDOWN


def test_0_seconds_ask_and_kill_at_once():
    world = running(child("a", shutdown=0))

    assert acts(world.stop()) == [AskStop("a", 1, SHUTDOWN), Kill("a", 1)]


def test_infinity_asks_and_waits_for_ever():
    world = running(child("a", shutdown="infinity"))

    assert acts(world.stop()) == [AskStop("a", 1, SHUTDOWN)]
    assert acts(world.pass_time(10**6)) == []
    assert world.ended is None


REPORTED = [
    # rule, restart, reason, expected
    (5.0, P, SHUTDOWN, True),
    (5.0, P, ExitReason.shutdown("x"), False),
    (5.0, P, NORMAL, False),
    (5.0, P, KILLED, False),
    (5.0, P, crashed(), False),
    (5.0, TR, SHUTDOWN, True),
    (5.0, TR, ExitReason.shutdown("x"), True),
    (5.0, TR, NORMAL, True),
    (5.0, TR, KILLED, False),
    (5.0, TR, crashed(), False),
    (5.0, TE, NORMAL, True),
    (5.0, TE, crashed(), False),
    ("infinity", P, SHUTDOWN, True),
    ("infinity", P, NORMAL, False),
    (0, P, KILLED, False),
    (0, P, SHUTDOWN, True),
    ("brutal_kill", P, KILLED, True),
    ("brutal_kill", P, SHUTDOWN, False),
    ("brutal_kill", P, NORMAL, False),
    ("brutal_kill", P, crashed(), False),
    ("brutal_kill", TR, KILLED, True),
    ("brutal_kill", TR, SHUTDOWN, True),
    ("brutal_kill", TR, NORMAL, True),
    ("brutal_kill", TR, crashed(), False),
]


@pytest.mark.parametrize(("rule", "restart", "reason", "expected"), REPORTED)
def test_any_other_end_while_being_stopped_is_reported_and_never_a_restart(
    rule: object, restart: Restart, reason: ExitReason, expected: bool
):
    world = running(child("a", restart, shutdown=rule), child("b"))

    world.call(TerminateChild, "a")
    effects = world.exited("a", reason)

    (fact,) = of(ExitedFact, effects)
    assert (fact.phase, fact.expected) == ("stopping", expected)
    assert world.running() == ["b"]
    assert not world.is_live("a")


def test_static_children_are_stopped_strictly_one_after_another_in_reverse():
    world = running(child("a"), child("b"), child("c"))

    assert stopped(world.stop()) == ["c"]
    assert stopped(world.exited("c", SHUTDOWN)) == ["b"]
    assert stopped(world.pass_time(5.0)) == ["b"]  # killed
    assert stopped(world.exited("b", KILLED)) == ["a"]
    assert of(End, world.exited("a", SHUTDOWN)) == [End(SHUTDOWN)]


def test_the_supervisor_ends_with_the_reason_it_was_asked_for():
    world = running(child("a"))
    reason = ExitReason.shutdown("drain")
    world.stop(reason)

    world.exited("a", SHUTDOWN)

    assert world.ended == reason


def test_children_that_do_not_run_or_wait_are_skipped():
    world = running(child("a"), child("b", TR), child("c"))
    world.exited("b", NORMAL)

    assert stopped(world.stop()) == ["c"]
    assert stopped(world.exited("c", SHUTDOWN)) == ["a"]


def test_a_child_that_ends_by_itself_before_its_turn_is_not_restarted_and_not_asked():
    world = running(child("a"), child("b"))
    world.stop()

    (fact,) = of(ExitedFact, world.exited("a"))
    assert (fact.phase, fact.expected) == ("stopping", False)
    effects = world.exited("b", SHUTDOWN)

    assert stopped(effects) == []
    assert world.ended == SHUTDOWN


def test_being_asked_twice_changes_nothing():
    world = running(child("a"))
    world.stop()

    assert world.stop(NORMAL) == []
    world.exited("a", SHUTDOWN)
    assert world.ended == SHUTDOWN
    assert world.stop() == []


def test_calls_are_refused_while_it_stops_and_afterwards():
    world = running(child("a"))
    world.stop()

    first = world.call(StartChild, child("b"))
    world.exited("a", SHUTDOWN)
    second = world.call(TerminateChild, "a")

    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert (first.code, second.code) == (Refusal.SHUTTING_DOWN, Refusal.SHUTTING_DOWN)


def test_a_call_that_waits_is_answered_when_the_supervisor_goes_down():
    world = running(child("a"))
    assert world.call(StartChild, child("b")) is None
    assert world.call(TerminateChild, "a") is None

    world.stop()
    world.start_failed("b", SHUTDOWN)
    world.exited("a", SHUTDOWN)

    start, stop = world.replies[1], world.replies[2]
    assert isinstance(start, Refused)
    assert start.code is Refusal.START_FAILED
    assert isinstance(stop, Done)


def test_a_killed_supervisor_kills_all_its_children_at_once_and_ends_with_killed():
    world = running(child("a"), child("b", shutdown="infinity"))

    effects = world.feed(KillAsked(now=world.now))

    assert acts(effects) == [Kill("b", 1), Kill("a", 1)]
    world.exited("a", KILLED)
    world.exited("b", KILLED)
    assert world.ended == KILLED


def test_a_kill_hurries_a_supervisor_that_is_stopping_already():
    world = running(child("a"), child("b", shutdown="infinity"))
    world.stop()

    effects = world.feed(KillAsked(now=world.now))

    assert acts(effects) == [Kill("b", 1), Kill("a", 1)]
    world.exited("b", KILLED)
    world.exited("a", KILLED)
    assert world.ended == KILLED


def test_a_kill_reaches_instances_that_are_still_starting():
    world = World(supervisor(child("a"), child("b")), obeys=False)

    effects = world.feed(KillAsked(now=world.now))

    assert acts(effects) == [Kill("a", 1)]
    world.start_failed("a", KILLED)
    assert world.ended == KILLED


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_kill_when_there_is_nothing_to_kill(phase: str):
    world = World(supervisor(), begins=phase == "after")

    world.feed(KillAsked(now=world.now))

    assert world.ended == KILLED
    assert world.feed(KillAsked(now=world.now)) == []


# kill by hand


def test_a_killed_child_is_restarted_by_the_rules():
    world = running(child("a"))

    assert isinstance(world.call(KillChild, "a"), Done)
    effects = world.exited("a", KILLED)

    assert world.generation("a") == 2
    assert of(ExitedFact, effects)[0].phase == "running"


def test_a_kill_hurries_a_child_that_is_being_stopped():
    world = running(child("a"))
    world.call(TerminateChild, "a")
    timer = world.timer(TimerKind.STOP, "a")

    assert isinstance(world.call(KillChild, "a"), Done)

    effects = world.done[-1][1]
    assert Kill("a", 1) in effects
    assert CancelTimer(timer) in effects


def test_a_child_can_be_killed_while_the_supervisor_goes_down():
    world = running(child("a", shutdown="infinity"))
    world.stop()

    assert isinstance(world.call(KillChild, "a"), Done)

    assert Kill("a", 1) in world.done[-1][1]


# what cannot be killed


def test_an_abandoned_thread_counts_as_gone_is_shown_and_its_notices_are_fenced():
    world = running(child("a", shutdown=1.0), child("b"))
    world.call(TerminateChild, "a")
    world.pass_time(1.0)

    effects = world.abandon("a")

    assert StateFact("a", 1, "abandoned") in effects
    assert world.words() == {"a": "abandoned", "b": "running"}
    assert isinstance(world.replies[1], Done)
    view = view_child(world.state, "a")
    assert view is not None
    assert view.abandoned == 1
    assert world.feed(ChildStarted("a", 1, now=world.now)) == []


def test_an_abandoned_instance_that_ends_after_all_only_ends_the_count():
    world = running(child("a", shutdown=0))
    world.call(TerminateChild, "a")
    world.abandon("a")

    effects = world.exited("a", NORMAL)

    assert effects == [StateFact("a", 1, "abandoned-ended")]
    assert [view.abandoned for view in view_children(world.state)] == [0]
    assert world.feed(ChildExited("a", 1, NORMAL, now=world.now)) == []


def test_a_running_thread_killed_by_hand_is_abandoned_and_its_successor_started():
    world = running(child("a"))
    world.call(KillChild, "a")

    effects = world.abandon("a")

    (fact,) = of(ExitedFact, effects)
    assert fact.reason == ExitReason.killed("abandoned")
    assert world.generation("a") == 2
    world.started("a")
    assert world.feed(ChildExited("a", 1, crashed(), now=world.now)) == [StateFact("a", 1, "abandoned-ended")]
    assert world.running() == ["a"]


def test_a_supervisor_ends_although_a_thread_was_abandoned():
    world = running(child("a", shutdown=0))
    world.stop()

    world.abandon("a")

    assert world.ended == SHUTDOWN


def test_the_id_of_an_abandoned_child_can_be_used_again_and_generations_go_on():
    world = running(child("a", TE, shutdown=0), strategy=Strategy.ONE_FOR_ONE)
    world.call(TerminateChild, "a")
    world.abandon("a")
    assert world.words() == {}

    world.call(StartChild, child("a"))

    assert world.generation("a") == 2
    assert world.feed(ChildExited("a", 1, crashed(), now=world.now)) == [StateFact("a", 1, "abandoned-ended")]


def test_a_late_stop_timer_is_fenced():
    world = running(child("a", shutdown=5.0))
    world.call(TerminateChild, "a")
    timer = world.timer(TimerKind.STOP, "a")
    world.exited("a", SHUTDOWN)
    world.timers[timer] = world.now

    assert world.fire(timer) == []


def test_the_end_is_the_last_word():
    world = running()
    world.stop()

    assert world.feed(StopAsked(NORMAL, now=world.now)) == []
    assert world.ended == SHUTDOWN
