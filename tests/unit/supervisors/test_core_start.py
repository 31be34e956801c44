"""Starting: left to right, each fully; a failure ends it all; `ignore` counts as success."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN, ExitKind, ExitReason
from supervisors.core import (
    Begin,
    ChildStarted,
    ChildStartFailed,
    End,
    Hold,
    IgnoredFact,
    Launch,
    Ready,
    Refused,
    StartedFact,
    StartFailedFact,
    StartStopped,
    TerminateChild,
    describe,
    new,
    step,
)
from supervisors.errors import SpecError
from supervisors.specs import Restart, Strategy

STATIC = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]
static = pytest.mark.parametrize("strategy", STATIC)


@static
def test_children_start_left_to_right_each_only_when_the_one_before_is_ready(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=strategy), obeys=False, begins=False)

    assert launched(world.feed(Begin(now=100.0))) == ["a"]
    assert launched(world.started("a")) == ["b"]
    assert not world.is_ready
    assert launched(world.started("b")) == ["c"]
    assert of(Ready, world.started("c")) == [Ready()]
    assert world.running() == ["a", "b", "c"]


def test_a_launch_says_all_that_an_instance_wants_to_know():
    spec = child("a", start_timeout=12.0)
    world = World(supervisor(spec))

    (launch,) = of(Launch, world.done[0][1])

    assert launch == Launch("a", 1, 0, None, 12.0, spec)


def test_a_start_is_announced_with_the_time_it_took():
    world = World(supervisor(child("a")), obeys=False)
    world.now += 1.5

    assert of(StartedFact, world.started("a")) == [StartedFact("a", 1, 0, 1.5)]


def test_a_supervisor_without_children_is_ready_at_once():
    assert World(supervisor()).is_ready


@pytest.mark.parametrize("restart", Restart)
@static
def test_a_failing_child_ends_the_start_without_a_second_try(strategy: Strategy, restart: Restart):
    spec = supervisor(child("a"), child("b"), child("c", restart), child("d"), strategy=strategy, intensity=9)
    world = World(spec, starts={"c": ["fail"]})

    effects = [effect for _, done in world.done for effect in done]

    assert launched(effects) == ["a", "b", "c"]
    assert stopped(effects) == ["b", "a"]
    assert not world.is_ready
    assert world.ended is not None
    assert (world.ended.kind, world.ended.detail) == (ExitKind.SHUTDOWN, "failed-to-start")


def test_what_was_never_attempted_is_not_shown_as_waiting_for_ever():
    world = World(supervisor(child("a"), child("b"), child("c")), starts={"b": ["fail"]})

    assert world.words() == {"a": "stopped", "b": "failed", "c": "not started"}


def test_the_reason_of_a_failed_start_names_the_child_and_its_reason_at_each_level():
    inner = World(supervisor(child("y")), starts={"y": ["fail"]}, path="/s/inner")
    assert inner.ended is not None
    outer = World(supervisor(child("inner")), obeys=False, path="/s")

    outer.start_failed("inner", inner.ended)

    assert outer.ended is not None
    assert [cause.path for cause in outer.ended.chain()] == ["/s/inner", "/s/inner/y"]
    leaf = outer.ended.chain()[-1].reason
    assert leaf.crash is not None
    assert leaf.crash.message == "no start"


def test_a_failed_first_start_is_announced_with_attempt_0():
    world = World(supervisor(child("a")), obeys=False)

    (fact,) = of(StartFailedFact, world.start_failed("a"))

    assert fact.attempt == 0


@pytest.mark.parametrize(
    ("restart", "words"),
    [
        (Restart.PERMANENT, {"a": "ignored", "b": "running"}),
        (Restart.TRANSIENT, {"a": "ignored", "b": "running"}),
        (Restart.TEMPORARY, {"b": "running"}),
    ],
)
def test_ignore_counts_as_success_and_keeps_the_record_of_a_lasting_child(restart: Restart, words: dict[str, str]):
    world = World(supervisor(child("a", restart), child("b")), starts={"a": ["ignore"]})

    assert world.is_ready
    assert world.words() == words


def test_an_ignored_start_says_why():
    world = World(supervisor(child("a")), obeys=False)

    assert of(IgnoredFact, world.ignored("a", "set io.gmail.host")) == [IgnoredFact("a", 1, "set io.gmail.host")]


def test_a_spec_with_faults_starts_nothing():
    with pytest.raises(SpecError):
        new(supervisor(child("a"), child("a")))


@static
def test_stop_during_the_start_cancels_it(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=strategy), obeys=False)
    world.started("a")

    effects = world.stop(ExitReason.shutdown("asked"))
    assert stopped(effects) == ["b"]
    effects = world.start_failed("b", SHUTDOWN)
    assert stopped(effects) == ["a"]
    effects = world.exited("a", SHUTDOWN)

    assert of(End, effects) == [End(ExitReason.shutdown("asked"))]
    assert not world.is_ready
    assert launched(e for _, done in world.done for e in done) == ["a", "b"]


def test_an_instance_that_becomes_ready_while_it_is_being_stopped_is_still_waited_for():
    world = World(supervisor(child("a")), obeys=False)
    world.stop()
    world.now += 1.5

    assert of(StartedFact, world.started("a")) == [StartedFact("a", 1, 0, 1.5)]
    assert world.ended is None
    world.exited("a", SHUTDOWN)

    assert world.ended == SHUTDOWN


def test_stop_before_the_beginning_just_ends():
    world = World(supervisor(child("a")), begins=False)

    effects = world.stop(NORMAL)

    assert effects == [End(NORMAL)]


def test_calls_before_the_beginning_are_refused():
    world = World(supervisor(child("a")), begins=False)

    assert isinstance(world.call(TerminateChild, "a"), Refused)


def test_beginning_twice_changes_nothing():
    world = World(supervisor(child("a")))

    assert world.feed(Begin(now=200.0)) == []


def test_a_child_terminated_while_it_starts_counts_as_started_without_an_instance():
    world = World(supervisor(child("a"), child("b")), obeys=False)

    world.call(TerminateChild, "a")
    effects = world.start_failed("a", SHUTDOWN)

    assert launched(effects) == ["b"]
    world.started("b")
    assert world.is_ready
    assert world.words() == {"a": "stopped", "b": "running"}


def test_a_child_that_waits_for_its_turn_can_be_terminated_and_is_passed_over():
    world = World(supervisor(child("a"), child("b"), child("c")), obeys=False)

    assert world.call(TerminateChild, "b")
    assert launched(world.started("a")) == ["c"]


@static
def test_an_end_during_the_start_waits_until_all_are_started(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), strategy=strategy), obeys=False)
    world.started("a")

    assert launched(world.exited("a")) == []
    assert world.words()["a"] == "restarting"
    effects = world.started("b")

    assert effects.index(Ready()) < min(i for i, e in enumerate(effects) if not isinstance(e, Ready | StartedFact))
    assert world.done[-1][1] != ()
    assert describe(world.state, world.now).restarts == 1


def test_an_end_before_a_failing_start_is_not_restarted():
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.exited("a")

    effects = world.start_failed("b")

    assert launched(effects) == []
    assert world.ended is not None
    assert world.ended.detail == "failed-to-start"


def test_children_that_a_person_stopped_in_an_earlier_life_are_not_started():
    world = World(supervisor(child("a"), child("b")), holds={"a": Hold("ann", "noisy"), "zz": Hold("bob")})

    assert world.is_ready
    assert world.words() == {"a": "stopped", "b": "running"}
    world.call(StartStopped, "a")
    assert world.running() == ["a", "b"]


def test_a_child_that_dies_before_it_is_ready_is_one_failed_start_however_it_is_told():
    for event in (ChildStartFailed("a", 1, crashed(), now=1.0),):
        world = World(supervisor(child("a")), obeys=False)
        world.feed(event)
        assert world.ended is not None
        state, effects = step(world.state, event)
        assert (state, effects) == (world.state, ())


def test_a_second_ready_of_the_same_instance_changes_nothing():
    world = World(supervisor(child("a")))

    assert world.feed(ChildStarted("a", 1, now=world.now)) == []
