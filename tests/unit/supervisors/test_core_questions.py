"""The questions of OTP: which children there are, how many, and how each is started."""

from __future__ import annotations

import pytest
from support.supervision import World, child, launched, of, supervisor, world_with_b

from actors.exits import NORMAL, SHUTDOWN
from supervisors.core import (
    AskStop,
    ChildIgnored,
    Kill,
    KillChild,
    Launch,
    StartChild,
    count_children,
    get_childspec,
    which_children,
)
from supervisors.specs import ChildSpec, Restart, SupervisorSpec

# questions


def test_which_children_lists_newest_first_with_instance_or_none_or_restarting():
    world = world_with_b("restarting")
    world.call(StartChild, child("d"))
    world.feed(ChildIgnored("d", 1, "", now=world.now))

    lines = [(line.id, line.instance) for line in which_children(world.state)]

    assert lines == [("d", "none"), ("c", "running"), ("b", "restarting"), ("a", "running")]


def test_count_children_counts_records_and_what_is_alive_by_type():
    world = World(supervisor(child("a"), ChildSpec("s", SupervisorSpec()), child("t", Restart.TRANSIENT)))
    world.exited("t", NORMAL)

    counts = count_children(world.state)

    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 2, 1, 2)


@pytest.mark.parametrize(("state", "active"), [("running", 3), ("none", 2), ("restarting", 2), ("stopping", 3)])
def test_what_is_active_is_what_is_alive(state: str, active: int):
    assert count_children(world_with_b(state).state).active == active


@pytest.mark.parametrize("state", ["running", "none", "restarting"])
def test_get_childspec_gives_the_complete_spec_in_every_state(state: str):
    spec = get_childspec(world_with_b(state).state, "b")

    assert spec is not None
    assert (spec.restart, spec.start_timeout, spec.significant) == (Restart.PERMANENT, 30.0, False)


def test_get_childspec_of_an_unknown_id_is_none():
    assert get_childspec(world_with_b("unknown").state, "b") is None


def test_a_kill_does_not_change_what_was_decided():
    world = world_with_b("stopping")
    world.call(KillChild, "b")

    effects = world.exited("b", SHUTDOWN)

    assert launched(effects) == []
    assert world.words()["b"] == "stopped"
    assert Kill("b", 1) in [e for _, done in world.done for e in done]
    assert of(AskStop, effects) == []
    assert of(Launch, effects) == []
