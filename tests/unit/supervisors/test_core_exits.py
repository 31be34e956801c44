"""Ends of children by themselves: restart type against reason, each cell, and what it counts."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitReason
from supervisors.core import (
    ChildExited,
    ChildStarted,
    ExitedFact,
    Launch,
    RestartFact,
    describe,
)
from supervisors.specs import Restart, Strategy

P, TR, TE = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
REASONS = {
    "normal": NORMAL,
    "shutdown": SHUTDOWN,
    "shutdown with detail": ExitReason.shutdown("done"),
    "crash": crashed(),
    "killed": KILLED,
}
RESTART, KEEP, DROP = "restart", "keep the record", "drop the record"
TABLE = [
    (P, "normal", RESTART, False),
    (P, "shutdown", RESTART, False),
    (P, "shutdown with detail", RESTART, False),
    (P, "crash", RESTART, False),
    (P, "killed", RESTART, False),
    (TR, "normal", KEEP, True),
    (TR, "shutdown", KEEP, True),
    (TR, "shutdown with detail", KEEP, True),
    (TR, "crash", RESTART, False),
    (TR, "killed", RESTART, False),
    (TE, "normal", DROP, True),
    (TE, "shutdown", DROP, True),
    (TE, "shutdown with detail", DROP, True),
    (TE, "crash", DROP, False),
    (TE, "killed", DROP, False),
]


@pytest.mark.parametrize("strategy", [s for s in Strategy if s is not Strategy.SIMPLE_ONE_FOR_ONE])
@pytest.mark.parametrize(("restart", "reason", "outcome", "expected"), TABLE)
def test_an_end_is_answered_as_the_restart_type_says(
    restart: Restart, reason: str, outcome: str, expected: bool, strategy: Strategy
):
    world = World(supervisor(child("a"), child("b", restart), child("c"), strategy=strategy))
    before = dict(world.generations)

    effects = world.exited("b", REASONS[reason])

    (fact,) = [fact for fact in of(ExitedFact, effects) if fact.id == "b"]
    assert (fact.phase, fact.expected) == ("running", expected)
    counted = describe(world.state, world.now).restarts
    match outcome:
        case "restart":
            assert "b" in launched(effects)
            assert counted == 1
        case "keep the record":
            assert world.words() == {"a": "running", "b": "finished", "c": "running"}
        case "drop the record":
            assert world.words() == {"a": "running", "c": "running"}
    if outcome != RESTART:
        assert (launched(effects), stopped(effects), counted) == ([], [], 0)
        assert world.generations == before


def test_the_next_instance_learns_its_generation_the_attempt_and_how_the_last_one_ended():
    world = World(supervisor(child("a"), intensity=9))
    reason = crashed("again")

    (first,) = of(Launch, world.exited("a"))
    (second,) = of(Launch, world.exited("a", reason))

    assert (first.generation, first.attempt) == (2, 1)
    assert (second.generation, second.attempt, second.last_exit) == (3, 2, reason)


def test_a_restart_without_delay_is_launched_in_the_same_step_and_announced_before():
    world = World(supervisor(child("a")), obeys=False)
    world.started("a")
    world.now += 2.5
    reason = crashed()

    effects = world.exited("a", reason)

    assert effects[:2] == [
        ExitedFact("a", 1, reason, 2.5, "running", False),
        RestartFact("a", 1, 1, 0.0, ("a",), 1, False, reason),
    ]
    assert isinstance(effects[2], Launch)
    assert len(effects) == 3


@pytest.mark.parametrize("generation", [0, 1, 3, 99])
def test_a_notice_of_another_generation_changes_nothing(generation: int):
    world = World(supervisor(child("a")))
    world.exited("a")
    state = world.state

    assert world.feed(ChildExited("a", generation, crashed(), now=world.now)) == []
    assert world.feed(ChildStarted("a", generation, now=world.now)) == []
    assert world.state is state


def test_a_notice_of_an_unknown_child_changes_nothing():
    world = World(supervisor(child("a")))

    assert world.feed(ChildExited("x", 1, crashed(), now=world.now)) == []


def test_a_second_notice_of_the_same_end_changes_nothing():
    world = World(supervisor(child("a", TR)))
    world.exited("a", NORMAL)

    assert world.exited("a") == []


@pytest.mark.parametrize(("flag", "outcome"), [(False, "finished"), (True, "running")])
def test_a_transient_child_that_gave_up_stays_down_as_in_otp_unless_its_spec_says_otherwise(flag: bool, outcome: str):
    world = World(supervisor(child("a", TR, restart_on_gave_up=flag)))

    effects = world.exited("a", ExitReason.shutdown("gave-up"))

    assert world.words() == {"a": outcome}
    assert of(ExitedFact, effects)[0].expected is False, "giving up never looks like a normal end"


def test_other_shutdowns_do_not_count_as_giving_up():
    world = World(supervisor(child("a", TR, restart_on_gave_up=True)))

    world.exited("a", ExitReason.shutdown("auto-shutdown"))

    assert world.words() == {"a": "finished"}
