"""What a person does to one child: restart it while it runs, stop it for good, suspend and resume it."""

from __future__ import annotations

import pytest
from support.supervision import World, child, launched, of, stopped, supervisor, world_with_b

from actors.exits import SHUTDOWN
from supervisors.core import (
    Done,
    Hold,
    Refusal,
    Refused,
    RestartChild,
    Resume,
    ResumeChild,
    StateFact,
    StopChild,
    Suspend,
    SuspendChild,
    TerminateChild,
    describe,
    view_child,
)

HOLD = Hold("ann", "noisy")


# restart of a running child


def test_restart_with_stop_first_stops_by_its_rule_and_starts_the_same_record():
    world = world_with_b("running")

    assert world.call(RestartChild, "b", stop_first=True) is None
    assert stopped(world.done[-1][1]) == ["b"]
    effects = world.exited("b", SHUTDOWN)
    assert launched(effects) == ["b"]
    world.started("b")

    assert world.replies[max(world.replies)] == Done("b", 2)
    assert describe(world.state, world.now).restarts == 0


@pytest.mark.parametrize("state", ["none", "held", "quarantined", "restarting", "starting"])
def test_restart_with_stop_first_brings_up_what_does_not_run(state: str):
    world = world_with_b(state)
    world.obeys = True

    result = world.call(RestartChild, "b", stop_first=True)

    assert isinstance(result, Done)
    assert world.running() == ["a", "b", "c"]


def test_restart_with_stop_first_of_one_that_is_being_stopped_is_refused():
    world = world_with_b("stopping")

    result = world.call(RestartChild, "b", stop_first=True)

    assert isinstance(result, Refused)
    assert result.code is Refusal.STOPPING


def test_a_stop_overrides_a_restart_that_is_on_its_way():
    world = world_with_b("running")
    world.call(RestartChild, "b", stop_first=True)

    world.call(StopChild, "b", HOLD)
    world.exited("b", SHUTDOWN)

    assert world.words()["b"] == "stopped"
    codes = [result.code.value if isinstance(result, Refused) else "ok" for result in world.replies.values()]
    assert codes == ["stopping", "ok"]


def test_a_hanging_start_can_be_restarted():
    world = World(supervisor(child("a"), child("b")), obeys=False)

    world.call(RestartChild, "a", stop_first=True)
    effects = world.start_failed("a", SHUTDOWN)

    assert launched(effects) == ["a"]
    world.started("a")
    world.started("b")
    assert world.is_ready


# a person's stop


def test_a_persons_stop_says_who_and_why_and_outlives_terminate():
    world = world_with_b("held")

    world.call(TerminateChild, "b")

    view = view_child(world.state, "b")
    assert view is not None
    assert (view.state, view.detail, view.held) == ("stopped", "by ann: noisy", True)


@pytest.mark.parametrize("state", ["running", "none", "held", "quarantined", "restarting"])
def test_a_persons_stop_is_announced_with_its_reason(state: str):
    world = world_with_b(state)
    world.obeys = True
    before = len(world.done)

    world.call(StopChild, "b", HOLD)

    effects = [effect for _, done in world.done[before:] for effect in done]
    assert StateFact("b", 1, "stopped", "noisy") in effects


def test_a_persons_stop_of_a_child_that_is_being_terminated_holds_it():
    world = world_with_b("stopping")

    world.call(StopChild, "b", HOLD)
    world.exited("b", SHUTDOWN)

    view = view_child(world.state, "b")
    assert view is not None
    assert view.held


def test_terminate_of_a_child_that_a_person_is_stopping_leaves_the_hold():
    world = world_with_b("running")
    world.call(StopChild, "b", HOLD)

    world.call(TerminateChild, "b")
    world.exited("b", SHUTDOWN)

    view = view_child(world.state, "b")
    assert view is not None
    assert view.held


# suspend and resume


def test_suspend_and_resume_act_once_and_may_be_asked_twice():
    world = world_with_b("running")

    for call in (SuspendChild, SuspendChild, ResumeChild, ResumeChild):
        assert isinstance(world.call(call, "b"), Done)

    effects = [e for _, done in world.done for e in done]
    assert of(Suspend, effects) == [Suspend("b", 1)]
    assert of(Resume, effects) == [Resume("b", 1)]


def test_a_suspended_child_that_ends_is_restarted_awake():
    world = World(supervisor(child("b")))
    world.call(SuspendChild, "b")

    world.exited("b")

    assert world.words() == {"b": "running"}
