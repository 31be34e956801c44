"""Where two things meet: calls and ends in the middle of rounds and stops, numbers that must never be used twice."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.core import (
    ChildExited,
    DeleteChild,
    Done,
    Hold,
    IgnoredFact,
    Reconfigure,
    Refusal,
    Refused,
    ResetChild,
    RestartChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopChild,
    TerminateChild,
    describe,
    new,
    replay,
    view_children,
)
from supervisors.core.draft import RETIRED_LIMIT
from supervisors.specs import AutoShutdown, Restart, Strategy

ALL, REST = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


def up(*ids: str, **fields: object) -> World:
    world = World(supervisor(*(child(id) for id in ids), intensity=9, **fields), obeys=False)
    for id in ids:
        world.started(id)
    return world


def test_two_ends_during_the_start_of_a_bound_family_are_one_restart():
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("a")
    world.exited("b")
    assert world.words() == {"a": "restarting", "b": "restarting", "c": "starting"}

    world.started("c")
    effects = world.exited("c", SHUTDOWN)

    assert launched(effects) == ["a"]
    assert describe(world.state, world.now).restarts == 1


@pytest.mark.parametrize(("call", "word"), [((TerminateChild,), "stopped"), ((StopChild, Hold("ann")), "stopped")])
def test_a_child_whose_end_waits_for_a_decision_can_be_told_to_stay_down(call: tuple[object, ...], word: str):
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.exited("a")

    assert isinstance(world.call(call[0], "a", *call[1:]), Done)  # type: ignore[arg-type]
    world.started("b")

    assert world.words() == {"a": word, "b": "running"}
    assert describe(world.state, world.now).restarts == 0


def test_a_child_whose_end_waits_for_a_decision_runs_for_otp():
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.exited("a")

    for call in (RestartChild, StartStopped, DeleteChild):
        result = world.call(call, "a")
        assert isinstance(result, Refused)
        assert result.code is Refusal.RUNNING


def test_a_restart_by_a_person_of_a_child_whose_end_waits_comes_after_the_rules_have_decided():
    world = World(supervisor(child("a", Restart.TRANSIENT), child("b")), obeys=False)
    world.started("a")
    world.exited("a", NORMAL)
    assert world.call(RestartChild, "a", stop_first=True) is None

    effects = world.started("b")

    assert launched(effects) == ["a"]
    world.started("a")
    assert world.replies[1] == Done("a", 2)


def test_calls_that_waited_for_a_start_that_failed_are_refused():
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.call(StartChild, child("c"))
    world.exited("a")

    world.start_failed("b")

    result = world.replies[1]
    assert isinstance(result, Refused)
    assert result.code is Refusal.SHUTTING_DOWN


def test_a_retry_called_for_during_a_round_comes_right_after_it():
    slow = child("a", backoff=Backoff(first=50.0))
    world = World(supervisor(slow, child("b"), child("c"), strategy=REST, intensity=9), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("b")
    assert world.words()["c"] == "stopping"
    world.exited("a")

    world.exited("c", SHUTDOWN)
    world.started("b")
    world.started("c")
    assert world.words()["c"] == "stopping", "now the end of a is dealt with"
    assert isinstance(world.call(ResetChild, "a"), Done)
    world.exited("c", SHUTDOWN)
    world.exited("b", SHUTDOWN)

    assert launched(world.pass_time(0.0)) == ["a"]


def test_a_child_that_says_ignore_while_it_is_being_stopped_is_gone():
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.call(TerminateChild, "a")

    effects = world.ignored("a")

    assert of(IgnoredFact, effects)
    assert world.replies[1] == Done("a")
    assert launched(effects) == ["b"]


def test_a_child_being_restarted_by_a_person_when_the_supervisor_goes_down_stays_down():
    world = up("a", "b")
    world.call(RestartChild, "b", stop_first=True)

    world.stop()
    effects = world.exited("b", SHUTDOWN)

    assert stopped(effects) == ["a"]
    assert launched(effects) == []
    result = world.replies[1]
    assert isinstance(result, Refused)
    assert result.code is Refusal.SHUTTING_DOWN
    world.exited("a", SHUTDOWN)
    assert world.ended == SHUTDOWN


def test_a_dynamic_child_that_is_stopped_before_it_is_ready_leaves_nothing():
    world = World(supervisor(child("t"), strategy=Strategy.SIMPLE_ONE_FOR_ONE), obeys=False)
    world.call(SpawnChild)
    world.call(TerminateChild, "t#1")
    world.start_failed("t#1", SHUTDOWN)

    assert world.words() == {}
    start, stop = world.replies[1], world.replies[2]
    assert isinstance(start, Refused)
    assert start.code is Refusal.START_FAILED
    assert stop == Done("t#1")


def test_a_new_child_that_becomes_ready_while_it_is_being_stopped_leaves_nothing_either():
    world = up("a")
    world.call(StartChild, child("n"))
    world.call(TerminateChild, "n")
    world.started("n")
    world.exited("n", SHUTDOWN)

    assert world.words() == {"a": "running"}
    assert isinstance(world.replies[1], Refused)


def test_the_end_of_a_group_member_that_is_being_restarted_by_a_person_joins_the_group():
    world = up("a", "b", strategy=ALL)
    world.call(RestartChild, "b", stop_first=True)

    world.exited("a")
    effects = world.exited("b", SHUTDOWN)

    assert launched(effects) == ["a"]
    world.started("a")
    world.started("b")
    assert world.running() == ["a", "b"]
    assert world.replies[1] == Done("b")


def test_generations_go_on_when_an_id_comes_again_and_when_the_list_of_used_ones_overflows():
    world = World(supervisor())
    world.call(StartChild, child("x", Restart.TEMPORARY))
    for _ in range(3):
        world.exited("x")
        world.call(StartChild, child("x", Restart.TEMPORARY))
    assert world.generation("x") == 4
    world.exited("x")

    for n in range(RETIRED_LIMIT + 1):
        world.call(StartChild, child(f"n{n}", Restart.TEMPORARY))
        world.exited(f"n{n}")
    world.call(StartChild, child("x", Restart.TEMPORARY))

    assert world.generation("x") > 4
    assert len(world.state.ledger.retired) <= RETIRED_LIMIT
    assert world.feed(ChildExited("x", 4, crashed(), now=world.now)) == []


def test_views_count_the_abandoned_instances_of_each_child():
    world = up("a", "b")
    for _ in range(2):
        world.abandon("a")
        world.started("a")

    assert {view.id: view.abandoned for view in view_children(world.state)} == {"a": 2, "b": 0}


def test_a_child_made_insignificant_ground_to_shut_down_is_no_ground_any_more():
    significant = child("s", Restart.TRANSIENT, significant=True)
    world = World(supervisor(significant, child("a"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT))
    world.call(Reconfigure, supervisor(child("s", Restart.TRANSIENT), child("a")))

    world.exited("s", NORMAL)

    assert world.ended is None


def test_a_run_time_significant_child_under_a_supervisor_that_never_shuts_down_any_more():
    world = World(supervisor(child("a"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT))
    world.call(StartChild, child("s", Restart.TRANSIENT, significant=True))
    world.call(Reconfigure, supervisor(child("a")))

    world.exited("s", NORMAL)

    assert world.ended is None
    assert world.words() == {"a": "running", "s": "finished"}


def test_a_recorded_sequence_replays_exactly():
    world = up("a", "b", "c", strategy=REST)
    world.exited("b")
    world.exited("c", SHUTDOWN)
    world.call(StopChild, "a", Hold("ann"))
    world.stop()

    again = list(replay(new(world.first.spec, "/s"), [event for event, _ in world.done]))

    assert [effects for _, effects in again] == [effects for _, effects in world.done]
    assert again[-1][0] == world.state
