"""Calls and ends in the middle of a round: what waits for its end and what does not."""

from __future__ import annotations

from support.supervision import World, child, launched, stopped, supervisor

from actors.exits import SHUTDOWN
from supervisors.core import (
    ChildStarted,
    DeleteChild,
    Done,
    Hold,
    Refusal,
    Refused,
    StartChild,
    StopChild,
    TerminateChild,
)
from supervisors.specs import Strategy

HOLD = Hold("ann", "noisy")
ALL = Strategy.ONE_FOR_ALL


# while a round is in progress


def group_in_progress() -> World:
    """one_for_all over a, b, c: a crashed, c is being stopped, b still runs."""
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL, intensity=9), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("a")
    return world


def finish(world: World) -> None:
    for _ in range(50):
        if not world.live or all(where == "running" for where in world.live.values()):
            asked = [id for id, word in world.words().items() if word == "stopping"]
            if not asked:
                return
            world.exited(asked[0], SHUTDOWN)
        else:
            (id, generation), _ = next(item for item in world.live.items() if item[1] == "starting")
            world.feed(ChildStarted(id, generation, now=world.now))


def test_what_would_start_something_waits_until_the_round_is_done():
    world = group_in_progress()

    assert world.call(StartChild, child("d")) is None
    assert launched(world.done[-1][1]) == []
    finish(world)

    assert world.running() == ["a", "b", "c", "d"]
    assert isinstance(world.replies[1], Done)


def test_a_child_stopped_during_the_round_stays_down_and_the_round_goes_on():
    world = group_in_progress()

    assert world.call(TerminateChild, "b") is None
    finish(world)

    assert world.words() == {"a": "running", "b": "stopped", "c": "running"}
    assert isinstance(world.replies[1], Done)


def test_a_child_that_the_round_is_stopping_can_be_told_to_stay_down():
    world = group_in_progress()

    world.call(StopChild, "c", HOLD)
    finish(world)

    assert world.words() == {"a": "running", "b": "running", "c": "stopped"}


def test_a_child_that_waits_in_the_round_can_be_told_to_stay_down():
    world = group_in_progress()

    assert isinstance(world.call(TerminateChild, "a"), Done)
    finish(world)

    assert world.words() == {"a": "stopped", "b": "running", "c": "running"}


def test_a_child_that_waits_in_the_round_cannot_be_deleted():
    world = group_in_progress()

    result = world.call(DeleteChild, "a")

    assert isinstance(result, Refused)
    assert result.code is Refusal.RESTARTING


def test_a_stop_by_hand_that_was_under_way_is_answered_but_the_group_brings_the_child_back():
    world = World(supervisor(child("a"), child("b"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.started("b")
    world.call(TerminateChild, "b")

    world.exited("a")
    effects = world.exited("b", SHUTDOWN)

    assert isinstance(world.replies[1], Done)
    assert launched(effects) == ["a"]
    finish(world)
    assert world.running() == ["a", "b"]


def test_ends_of_siblings_wait_for_a_start_by_hand_where_the_strategy_binds_them():
    world = World(supervisor(child("a"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.call(StartChild, child("b"))

    assert launched(world.exited("a")) == []
    effects = world.started("b")

    assert isinstance(world.replies[1], Done)
    assert stopped(effects) == ["b"]
    finish(world)
    assert world.running() == ["a", "b"]


def test_under_one_for_one_nothing_waits_for_a_start_by_hand():
    world = World(supervisor(child("a"), intensity=9), obeys=False)
    world.started("a")
    world.call(StartChild, child("b"))

    assert launched(world.exited("a")) == ["a"]
