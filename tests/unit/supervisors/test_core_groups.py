"""Restarts by strategy: what stops and starts, in which order, and two ends at once."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN
from supervisors.core import (
    AskStop,
    ChildExited,
    ExitedFact,
    Hold,
    RestartFact,
    StartChild,
    StopChild,
    TerminateChild,
    describe,
)
from supervisors.specs import Restart, Strategy

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
TR, TE = Restart.TRANSIENT, Restart.TEMPORARY


def family(strategy: Strategy, **fields: object) -> World:
    return World(supervisor(*(child(id) for id in "abcd"), strategy=strategy, intensity=9, **fields))


@pytest.mark.parametrize(
    ("strategy", "ended", "stops", "starts"),
    [
        (ONE, "b", "", "b"),
        (ALL, "a", "dcb", "abcd"),
        (ALL, "b", "dca", "abcd"),
        (ALL, "d", "cba", "abcd"),
        (REST, "a", "dcb", "abcd"),
        (REST, "b", "dc", "bcd"),
        (REST, "d", "", "d"),
    ],
)
def test_the_strategy_decides_what_stops_and_starts_and_in_which_order(
    strategy: Strategy, ended: str, stops: str, starts: str
):
    world = family(strategy)

    effects = world.exited(ended)

    assert stopped(effects) == list(stops)
    assert launched(effects) == list(starts)
    assert world.running() == list("abcd")


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_group_restart_is_one_restart_for_intensity(strategy: Strategy):
    world = family(strategy)

    (fact,) = of(RestartFact, world.exited("a"))

    assert fact.group == ("a", "b", "c", "d")
    assert describe(world.state, world.now).restarts == 1


def test_nothing_starts_before_everything_of_the_group_has_ended_one_after_another():
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL), obeys=False)
    for id in "abc":
        world.started(id)

    assert stopped(world.exited("b")) == ["c"]
    assert world.words() == {"a": "running", "b": "waiting", "c": "stopping"}
    assert stopped(world.exited("c", SHUTDOWN)) == ["a"]
    assert launched(world.exited("a", SHUTDOWN)) == ["a"]
    assert launched(world.started("a")) == ["b"]
    assert launched(world.started("b")) == ["c"]


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_temporary_sibling_is_stopped_and_does_not_come_back(strategy: Strategy):
    world = World(supervisor(child("a"), child("t", TE), child("c"), strategy=strategy))

    effects = world.exited("a")

    assert stopped(effects) == ["c", "t"]
    assert world.words() == {"a": "running", "c": "running"}


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_every_remaining_record_is_started_also_what_had_finished_ignored_or_was_terminated(strategy: Strategy):
    spec = supervisor(child("a"), child("f", TR), child("i"), child("t"), strategy=strategy)
    world = World(spec, starts={"i": ["ignore"]})
    world.exited("f", NORMAL)
    world.call(TerminateChild, "t")
    assert world.running() == ["a"]

    effects = world.exited("a")

    assert launched(effects) == ["a", "f", "i", "t"]
    assert world.running() == ["a", "f", "i", "t"]


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_what_a_person_stopped_stays_stopped_through_a_group_restart(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), strategy=strategy))
    world.call(StopChild, "b", Hold("ann", "noisy"))

    assert launched(world.exited("a")) == ["a"]
    assert world.words() == {"a": "running", "b": "stopped"}


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_children_added_at_run_time_belong_to_the_group(strategy: Strategy):
    world = World(supervisor(child("a"), strategy=strategy))
    world.call(StartChild, child("late"))

    effects = world.exited("a")

    assert stopped(effects) == ["late"]
    assert launched(effects) == ["a", "late"]


def test_a_transient_sibling_stopped_by_its_group_is_started_again():
    world = World(supervisor(child("a"), child("b", TR), strategy=ALL))

    world.exited("a")

    assert world.running() == ["a", "b"]


def test_one_for_one_keeps_the_place_in_the_order():
    world = World(supervisor(child("a"), child("b"), child("c")))
    world.exited("a")

    world.obeys = True
    effects = world.stop()

    assert stopped(effects) == ["c", "b", "a"]


def crash_together(world: World, *ids: str) -> list[object]:
    events = [ChildExited(id, world.generation(id), crashed(id), now=world.now) for id in ids]
    return list(world.feed_all(events))


def test_two_ends_at_once_are_two_restarts_in_notice_order_under_one_for_one():
    world = family(ONE)

    effects = crash_together(world, "c", "a")

    assert launched(effects) == ["c", "a"]
    assert describe(world.state, world.now).restarts == 2


def test_two_ends_at_once_are_one_restart_under_one_for_all_the_second_notice_is_consumed():
    world = family(ALL)

    effects = crash_together(world, "b", "c")

    assert launched(effects) == list("abcd")
    assert describe(world.state, world.now).restarts == 1
    (fact,) = [fact for fact in of(ExitedFact, effects) if fact.id == "c"]
    assert (fact.phase, fact.expected) == ("stopping", False)


def test_rest_for_one_with_the_earlier_notice_first_is_one_restart():
    world = family(REST)

    effects = crash_together(world, "b", "c")

    assert launched(effects) == ["b", "c", "d"]
    assert describe(world.state, world.now).restarts == 1


def test_rest_for_one_with_the_later_notice_first_is_two_restarts():
    world = World(supervisor(*(child(id) for id in "abcd"), strategy=REST, intensity=9), blocks=True)

    effects = crash_together(world, "c", "b")

    assert launched(effects) == ["c", "d", "b", "c", "d"]
    assert describe(world.state, world.now).restarts == 2


def test_the_end_of_a_sibling_that_is_about_to_be_stopped_is_not_asked_for_again():
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("a")  # asks c first

    world.exited("b")
    effects = world.exited("c", SHUTDOWN)

    assert of(AskStop, effects) == []
    assert launched(effects) == ["a"]


def test_an_instance_that_ends_again_while_its_group_restarts_is_a_fresh_end_afterwards():
    world = World(supervisor(child("a"), child("b"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("a")
    world.exited("b", SHUTDOWN)
    world.started("a")

    assert launched(world.exited("a")) == []
    effects = world.started("b")

    assert stopped(effects) == ["b"]
    assert describe(world.state, world.now).restarts == 2


def test_stop_in_the_middle_of_a_group_restart_is_obeyed_at_once():
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("b")
    world.exited("c", SHUTDOWN)

    world.stop()
    effects = world.exited("a", SHUTDOWN)

    assert launched(effects) == []
    assert world.ended == SHUTDOWN
