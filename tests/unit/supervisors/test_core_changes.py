"""A new spec while running: OTP's rule, and the difference carried out."""

from __future__ import annotations

import pytest
from support.supervision import World, child, launched, make, of, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.core import (
    AskStop,
    Change,
    DeleteChild,
    Done,
    Hold,
    Reconfigure,
    Refusal,
    Refused,
    RestartChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopChild,
    TerminateChild,
    get_childspec,
    plan_change,
)
from supervisors.specs import Budget, ChildSpec, LocalStart, Restart, Strategy

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
static = pytest.mark.parametrize("strategy", [ONE, ALL, REST])


@static
def test_known_ids_get_their_new_spec_and_keep_running(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), strategy=strategy))

    new = supervisor(child("a", shutdown=1.0), child("b"), strategy=strategy)
    assert world.call(Reconfigure, new) == Done("")

    assert world.running() == ["a", "b"]
    assert world.generation("a") == 1
    spec = get_childspec(world.state, "a")
    assert spec is not None
    assert spec.shutdown == 1.0
    assert launched(world.exited("a"))[0] == "a"


def test_flags_are_replaced():
    world = World(supervisor(child("a"), intensity=0))

    world.call(Reconfigure, supervisor(child("a"), intensity=3))
    world.exited("a")

    assert world.running() == ["a"]


def test_new_ids_are_added_and_not_started():
    world = World(supervisor(child("a")))

    world.call(Reconfigure, supervisor(child("new"), child("a")))

    assert world.words() == {"new": "not started", "a": "running"}
    assert isinstance(world.call(RestartChild, "new"), Done)
    assert world.running() == ["new", "a"]


def test_ids_no_longer_listed_keep_running_and_stand_last():
    world = World(supervisor(child("a"), child("b"), child("c")))

    world.call(Reconfigure, supervisor(child("c")))

    assert list(world.words()) == ["c", "a", "b"]
    assert world.running() == ["c", "a", "b"]
    assert stopped(world.stop()) == ["b", "a", "c"]


def test_the_new_order_counts():
    world = World(supervisor(child("a"), child("b"), strategy=REST, intensity=9))

    world.call(Reconfigure, supervisor(child("b"), child("a"), strategy=REST, intensity=9))

    assert launched(world.exited("a")) == ["a"]
    assert launched(world.exited("b")) == ["b", "a"]


@pytest.mark.parametrize("apply", [False, True])
def test_a_spec_with_faults_is_refused_and_nothing_changes(apply: bool):
    world = World(supervisor(child("a")))
    before = world.state

    result = world.call(Reconfigure, supervisor(child("a"), child("a"), intensity=-1), apply=apply)

    assert isinstance(result, Refused)
    assert result.code is Refusal.INVALID
    assert len(result.faults) == 2
    assert world.state == before


def test_ignore_changes_nothing():
    world = World(supervisor(child("a")))
    before = world.state

    assert world.call(Reconfigure, None) == Done("")
    assert world.state == before


@pytest.mark.parametrize(
    ("old", "new"),
    [(ONE, Strategy.SIMPLE_ONE_FOR_ONE), (Strategy.SIMPLE_ONE_FOR_ONE, ONE)],
)
def test_a_supervisor_cannot_become_dynamic_or_cease_to_be_so(old: Strategy, new: Strategy):
    world = World(supervisor(child("a"), strategy=old))

    result = world.call(Reconfigure, supervisor(child("a"), strategy=new))

    assert isinstance(result, Refused)
    assert result.code is Refusal.INVALID


def test_a_dynamic_supervisor_must_keep_exactly_one_template():
    world = World(supervisor(child("a"), strategy=Strategy.SIMPLE_ONE_FOR_ONE))

    result = world.call(Reconfigure, supervisor(child("a"), child("b"), strategy=Strategy.SIMPLE_ONE_FOR_ONE))

    assert isinstance(result, Refused)
    assert result.code is Refusal.INVALID


@pytest.mark.parametrize("apply", [False, True])
def test_a_new_template_is_for_the_children_to_come(apply: bool):
    world = World(supervisor(child("t"), strategy=Strategy.SIMPLE_ONE_FOR_ONE))
    world.call(SpawnChild)

    template = ChildSpec("t", LocalStart(make, (7,)))
    world.call(Reconfigure, supervisor(template, strategy=Strategy.SIMPLE_ONE_FOR_ONE), apply=apply)
    world.call(SpawnChild)

    assert world.running() == ["t#1", "t#2"]
    assert get_childspec(world.state, "t#2") == template
    assert get_childspec(world.state, "t#1") == child("t")


def test_a_child_made_temporary_while_it_waits_for_its_restart_stays_down():
    world = World(supervisor(child("a", backoff=Backoff(first=5.0)), child("b"), strategy=ALL))
    world.exited("a")
    assert world.words() == {"a": "restarting", "b": "waiting"}

    world.call(Reconfigure, supervisor(child("a", Restart.TEMPORARY), child("b"), strategy=ALL))

    assert world.words() == {"a": "stopped", "b": "stopped"}
    assert not world.timers or all(timer.kind.value == "start" for timer in world.timers)


def test_what_a_new_strategy_does_not_bind_any_more_waits_no_longer():
    world = World(supervisor(child("a", backoff=Backoff(first=5.0)), child("b"), strategy=ALL))
    world.exited("a")

    world.call(Reconfigure, supervisor(child("a", backoff=Backoff(first=5.0)), child("b"), strategy=ONE))
    world.pass_time(10.0)

    assert world.words() == {"a": "running", "b": "stopped"}


# the difference carried out


def test_the_plan_names_what_is_added_replaced_updated_removed_and_kept():
    world = World(supervisor(child("keep"), child("gone"), child("changed"), child("down"), intensity=1))
    world.call(TerminateChild, "down")
    world.call(StartChild, child("late"))

    change = plan_change(
        world.state,
        supervisor(
            child("new"), child("keep"), child("changed", shutdown=1.0), child("down", shutdown=2.0), intensity=7
        ),
    )

    assert change == Change(
        flags=("intensity",),
        add=("new",),
        replace=("changed",),
        update=("down",),
        remove=("gone",),
        keep=("keep", "late"),
    )
    assert not change.is_empty


def test_the_same_spec_is_no_change():
    spec = supervisor(child("a"), child("t", Restart.TEMPORARY))
    world = World(spec)
    world.exited("t", NORMAL)

    assert plan_change(world.state, spec).is_empty


def test_a_new_template_is_a_change_of_a_dynamic_supervisor():
    spec = supervisor(child("t"), strategy=Strategy.SIMPLE_ONE_FOR_ONE)
    world = World(spec)

    assert plan_change(world.state, spec).is_empty
    assert plan_change(world.state, supervisor(child("u"), strategy=Strategy.SIMPLE_ONE_FOR_ONE)).update == ("u",)


@static
def test_applied_the_removed_are_stopped_the_changed_replaced_and_the_new_started_in_order(strategy: Strategy):
    world = World(supervisor(*(child(id) for id in "abcd"), strategy=strategy))
    new = supervisor(child("x"), child("a"), child("c", shutdown=1.0), child("y"), strategy=strategy)

    number = len(world.requests) + 1
    before = len(world.done)
    assert world.call(Reconfigure, new, apply=True) == Done("")
    effects = [e for _, done in world.done[before:] for e in done]

    assert number in world.replies
    assert stopped(effects) == ["d", "b", "c"]
    assert launched(effects) == ["x", "c", "y"]
    assert list(world.words()) == ["x", "a", "c", "y"]
    assert world.running() == ["x", "a", "c", "y"]
    assert world.generation("a") == 1


def test_applied_with_no_difference_nothing_is_touched():
    spec = supervisor(child("a"), child("b"))
    world = World(spec)
    before = len(world.done)

    assert world.call(Reconfigure, spec, apply=True) == Done("")

    effects = [e for _, done in world.done[before:] for e in done]
    assert (stopped(effects), launched(effects)) == ([], [])


def test_applied_an_instance_is_stopped_by_its_new_rule_before_its_replacement_starts():
    world = World(supervisor(child("a")), obeys=False)
    world.started("a")

    assert world.call(Reconfigure, supervisor(child("a", shutdown=9.0)), apply=True) is None
    assert of(AskStop, world.done[-1][1]) == [AskStop("a", 1, SHUTDOWN)]
    assert launched(world.exited("a", SHUTDOWN)) == ["a"]
    world.started("a")

    assert world.replies[1] == Done("")


def test_applied_a_child_that_fails_to_start_is_told_and_stays_down():
    world = World(supervisor(child("a")), starts={"new": ["fail"]})

    result = world.call(Reconfigure, supervisor(child("a"), child("new"), child("z")), apply=True)

    assert isinstance(result, Refused)
    assert (result.code, result.id) == (Refusal.START_FAILED, "new")
    assert world.words() == {"a": "running", "new": "failed", "z": "running"}


def test_applied_what_a_person_stopped_stays_stopped_with_its_new_spec():
    world = World(supervisor(child("a")))
    world.call(StopChild, "a", Hold("ann"))

    world.call(Reconfigure, supervisor(child("a", shutdown=1.0)), apply=True)
    assert world.words() == {"a": "stopped"}
    world.call(StartStopped, "a")

    spec = get_childspec(world.state, "a")
    assert spec is not None
    assert spec.shutdown == 1.0
    assert world.running() == ["a"]


def test_applied_a_waiting_or_quarantined_child_with_a_new_spec_is_started_at_once():
    world = World(supervisor(child("w", backoff=Backoff(first=99.0)), child("q", budget=Budget(0, 9.0)), intensity=9))
    world.exited("w")
    world.exited("q")

    world.call(Reconfigure, supervisor(child("w"), child("q", budget=Budget(1, 9.0)), intensity=9), apply=True)

    assert world.running() == ["w", "q"]


def test_applied_removed_children_that_do_not_run_are_dropped():
    world = World(supervisor(child("w", backoff=Backoff(first=99.0)), child("d"), child("k")))
    world.exited("w")
    world.call(TerminateChild, "d")

    world.call(Reconfigure, supervisor(child("k")), apply=True)

    assert world.words() == {"k": "running"}


@pytest.mark.parametrize(
    ("call", "answer"),
    [((StopChild, "a", Hold("ann")), Done), ((TerminateChild, "a"), Done), ((RestartChild, "a", True), Refused)],
)
def test_applied_a_child_that_is_being_stopped_is_dropped_when_removed_and_waited_for(
    call: tuple[object, ...], answer: type
):
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.started("b")
    world.call(*call)  # type: ignore[arg-type]

    assert world.call(Reconfigure, supervisor(child("b")), apply=True) is None
    world.exited("a", SHUTDOWN)

    assert world.words() == {"b": "running"}
    assert isinstance(world.replies[1], answer)
    assert world.replies[2] == Done("")


def test_applied_a_deleted_child_whose_spec_stays_the_same_does_not_come_back():
    spec = supervisor(child("a"), child("b"))
    world = World(spec)
    world.call(TerminateChild, "b")
    world.call(DeleteChild, "b")

    world.call(Reconfigure, spec, apply=True)

    assert world.words() == {"a": "running"}


def test_a_change_waits_for_a_group_restart_and_stop_interrupts_a_change():
    world = World(supervisor(child("a"), child("b"), strategy=ALL), obeys=False)
    world.started("a")
    world.started("b")
    world.exited("a")
    assert world.call(Reconfigure, supervisor(child("b", shutdown=1.0), strategy=ALL), apply=True) is None
    world.exited("b", SHUTDOWN)
    world.started("a")
    world.started("b")
    assert world.words() == {"b": "running", "a": "stopping"}, "the change has begun"

    world.stop()
    world.exited("a", SHUTDOWN)
    world.exited("b", SHUTDOWN)

    assert world.ended == SHUTDOWN
    result = world.replies[1]
    assert isinstance(result, Refused)
    assert result.code is Refusal.SHUTTING_DOWN


def test_ends_during_a_change_wait_for_it():
    world = World(supervisor(child("a"), child("b")), obeys=False)
    world.started("a")
    world.started("b")
    world.call(Reconfigure, supervisor(child("a"), child("b", shutdown=1.0)), apply=True)

    assert launched(world.exited("a")) == []
    world.exited("b", SHUTDOWN)
    effects = world.started("b")

    assert launched(effects) == ["a"]
    assert isinstance(world.replies[1], Done)


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_what_waited_for_a_replaced_child_comes_back_with_it(strategy: Strategy):
    world = World(supervisor(child("a", backoff=Backoff(first=5.0)), child("b"), strategy=strategy))
    world.exited("a")
    assert world.words() == {"a": "restarting", "b": "waiting"}

    world.call(Reconfigure, supervisor(child("a", shutdown=1.0), child("b"), strategy=strategy), apply=True)

    assert world.words() == {"a": "running", "b": "running"}


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_what_waited_for_a_removed_child_comes_back_without_it(strategy: Strategy):
    world = World(supervisor(child("a", backoff=Backoff(first=5.0)), child("b"), strategy=strategy))
    world.exited("a")

    world.call(Reconfigure, supervisor(child("b"), strategy=strategy), apply=True)

    assert world.words() == {"b": "running"}
