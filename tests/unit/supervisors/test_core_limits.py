"""Restart limits: the window, giving up, parking, and a child's own budget."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, launched, of, stopped, supervisor

from actors.exits import NORMAL, Cause, ExitKind
from actors.policies.backoff import Backoff
from supervisors.core import (
    Done,
    ExitedFact,
    LimitFact,
    Reconfigure,
    ResetChild,
    RestartChild,
    RestartFact,
    StartChild,
    StartStopped,
    StateFact,
    TerminateChild,
    budget_left,
    describe,
    view_child,
)
from supervisors.specs import AutoShutdown, Budget, OnLimit, Restart, Strategy

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


@pytest.mark.parametrize("intensity", [0, 1, 3])
def test_intensity_n_allows_n_restarts_and_not_one_more(intensity: int):
    world = World(supervisor(child("a"), intensity=intensity))

    for n in range(intensity):
        world.exited("a")
        assert world.running() == ["a"]
        assert budget_left(world.state, world.now) == intensity - n - 1
    world.exited("a")

    assert world.ended is not None


@pytest.mark.parametrize(("gap", "ends"), [(4.9, True), (5.0, True), (5.001, False), (6.0, False)])
def test_restarts_count_together_up_to_exactly_one_period(gap: float, ends: bool):
    world = World(supervisor(child("a"), intensity=1, period=5.0))
    world.exited("a")
    world.pass_time(gap)

    world.exited("a")

    assert (world.ended is not None) is ends


def test_one_window_is_shared_by_all_children_and_normal_ends_of_permanent_ones_count():
    world = World(supervisor(child("a"), child("b"), intensity=1))

    world.exited("a", NORMAL)
    world.exited("b", NORMAL)

    assert world.ended is not None


def test_calls_by_hand_never_count():
    world = World(supervisor(child("a"), intensity=0))

    world.call(StartChild, child("b"))
    world.call(TerminateChild, "a")
    world.call(RestartChild, "a")
    world.call(RestartChild, "a", stop_first=True)

    assert describe(world.state, world.now).restarts == 0
    assert world.running() == ["a", "b"]


@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
def test_giving_up_stops_every_child_in_reverse_order_earlier_ones_too(strategy: Strategy):
    world = World(supervisor(*(child(id) for id in "abcd"), strategy=strategy, intensity=0))

    effects = world.exited("c")

    assert launched(effects) == []
    assert stopped(effects) == ["d", "b", "a"]
    assert world.ended is not None


def test_the_reason_of_giving_up_is_a_shutdown_that_says_so_with_the_chain_to_the_leaf():
    leaf = crashed("disk full")
    inner = World(supervisor(child("w"), intensity=0), path="/s/inner")
    inner.exited("w", leaf)
    assert inner.ended is not None
    outer = World(supervisor(child("inner"), intensity=0), path="/s")
    outer.exited("inner", inner.ended)

    reason = outer.ended

    assert reason is not None
    assert (reason.kind, reason.detail, reason.is_abnormal) == (ExitKind.SHUTDOWN, "gave-up", False)
    assert [cause.path for cause in reason.chain()] == ["/s/inner", "/s/inner/w"]
    assert reason.chain()[-1] == Cause("/s/inner/w", leaf)


def test_the_limit_is_announced_once_with_what_tripped_it():
    world = World(supervisor(child("a"), intensity=1, period=7.0))
    world.exited("a")
    reason = crashed("second")

    effects = world.exited("a", reason)

    assert of(LimitFact, effects) == [LimitFact("a", 2, "supervisor", "escalate", 2, 1, 7.0, reason)]
    assert of(RestartFact, effects) == []


@pytest.mark.parametrize(
    ("restart", "outcome"),
    [
        (Restart.PERMANENT, {"s": "running"}),
        (Restart.TRANSIENT, {"s": "finished"}),
        (Restart.TEMPORARY, {}),
    ],
)
def test_a_parent_sees_giving_up_as_a_shutdown(restart: Restart, outcome: dict[str, str]):
    inner = World(supervisor(child("w"), intensity=0))
    inner.exited("w")
    assert inner.ended is not None
    world = World(supervisor(child("s", restart)))

    world.exited("s", inner.ended)

    assert world.words() == outcome


# parking


def parked_world(strategy: Strategy = ONE, **fields: object) -> World:
    spec = supervisor(
        child("a", **fields),
        child("b"),
        strategy=strategy,
        intensity=1,
        on_limit=OnLimit.PARK,
        park_every=60.0,
    )
    world = World(spec)
    world.exited("a")
    return world


def test_parking_keeps_the_offender_away_and_the_siblings_running():
    world = parked_world()
    reason = crashed()

    effects = world.exited("a", reason)

    assert of(LimitFact, effects) == [LimitFact("a", 2, "supervisor", "park", 2, 1, 5.0, reason)]
    assert [(fact.delay, fact.parked) for fact in of(RestartFact, effects)] == [(60.0, True)]
    assert world.running() == ["b"]
    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.parked) == ("restarting", True)


def test_a_supervisor_that_parks_starts_without_a_child_whose_first_start_fails_and_retries_it():
    backoff = Backoff(first=2.0, jitter=0.0)
    spec = supervisor(child("a", backoff=backoff), child("b"), intensity=3, on_limit=OnLimit.PARK)

    world = World(spec, starts={"a": ["fail", "ok"]})

    assert (world.is_ready, world.ended, world.running()) == (True, None, ["b"])
    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.parked) == ("restarting", False)
    assert launched(world.pass_time(2.0)) == ["a"]
    assert world.running() == ["a", "b"]


def test_a_first_start_that_fails_counts_against_the_limit_and_is_parked_beyond_it():
    spec = supervisor(child("a"), child("b"), intensity=2, on_limit=OnLimit.PARK, park_every=60.0)

    world = World(spec, starts={"a": ["fail"] * 9})
    world.pass_time(0.0)

    assert (world.ended, world.running()) == (None, ["b"])
    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.parked) == ("restarting", True)


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_where_siblings_are_bound_a_failing_first_start_ends_the_start_of_a_supervisor_that_parks(strategy):
    spec = supervisor(child("a"), child("b"), strategy=strategy, on_limit=OnLimit.PARK)

    world = World(spec, starts={"b": ["fail"]})

    assert (world.is_ready, world.ended is not None, world.running()) == (False, True, [])


def test_a_parked_child_is_tried_for_ever_slowly_and_is_not_announced_or_counted_again():
    world = parked_world()
    world.exited("a")

    for _ in range(5):
        assert launched(world.pass_time(59.0)) == []
        assert launched(world.pass_time(1.0)) == ["a"]
        effects = world.exited("a")
        assert of(LimitFact, effects) == []
    assert describe(world.state, world.now).restarts == 0


@pytest.mark.parametrize(("park_every", "delay"), [(60.0, 50.0), (200.0, 100.0)])
def test_a_parked_childs_delay_has_jitter_and_is_never_shorter_than_its_back_off(park_every: float, delay: float):
    slow = child("a", backoff=Backoff(first=100.0, factor=1.0, jitter=0.5))
    world = World(supervisor(slow, intensity=0, on_limit=OnLimit.PARK, park_every=park_every))
    world.chance = 0.0

    (fact,) = of(RestartFact, world.exited("a"))

    assert (fact.parked, fact.delay) == (True, delay)


def test_a_parked_child_that_ran_quietly_is_free_again():
    world = parked_world(backoff=Backoff(reset_after=30.0))
    world.exited("a")
    world.pass_time(60.0)
    world.pass_time(30.0)

    (fact,) = of(RestartFact, world.exited("a"))

    assert (fact.parked, fact.delay, fact.attempt) == (False, 0.0, 1)


def test_a_reset_unparks():
    world = parked_world()
    world.exited("a")

    world.call(ResetChild, "a")

    assert world.running() == ["a", "b"]
    view = view_child(world.state, "a")
    assert view is not None
    assert not view.parked


def test_a_restart_by_a_person_unparks_a_running_child():
    world = parked_world()
    world.exited("a")
    world.pass_time(60.0)

    world.call(RestartChild, "a", stop_first=True)

    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.parked, view.attempt) == ("running", False, 0)


def test_a_new_spec_unparks_a_waiting_child():
    world = parked_world()
    world.exited("a")

    spec = supervisor(child("a", shutdown=1.0), child("b"), intensity=1, on_limit=OnLimit.PARK)
    world.call(Reconfigure, spec, apply=True)

    view = view_child(world.state, "a")
    assert view is not None
    assert (view.state, view.parked) == ("running", False)


def test_resetting_the_supervisor_forgets_its_window():
    world = parked_world()

    world.call(ResetChild, "")
    world.exited("a")

    assert world.running() == ["a", "b"]


def test_what_the_strategy_binds_to_a_parked_child_waits_with_it():
    world = parked_world(ALL)

    effects = world.exited("a")

    assert stopped(effects) == ["b"]
    assert world.words() == {"a": "restarting", "b": "waiting"}
    assert launched(world.pass_time(60.0)) == ["a", "b"]


# a child's own budget


def budget_world(strategy: Strategy = ONE, **fields: object) -> World:
    return World(supervisor(child("a", budget=Budget(1, 10.0)), child("b"), strategy=strategy, intensity=9, **fields))


@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
def test_a_child_over_its_own_budget_is_quarantined_and_its_siblings_live(strategy: Strategy):
    world = budget_world(strategy)
    world.exited("a")
    reason = crashed()

    effects = world.exited("a", reason)

    assert of(LimitFact, effects) == [LimitFact("a", 2, "child", "quarantine", 2, 1, 10.0, reason)]
    assert StateFact("a", 2, "quarantined", "crashed") in effects
    assert (stopped(effects), launched(effects)) == ([], [])
    assert world.words() == {"a": "quarantined", "b": "running"}


def test_a_refused_restart_does_not_count_against_the_supervisor():
    world = budget_world()
    world.exited("a")

    world.exited("a")

    assert describe(world.state, world.now).restarts == 1


def test_the_budget_has_its_own_period():
    world = budget_world()
    world.exited("a")
    world.pass_time(10.1)

    world.exited("a")

    assert world.running() == ["a", "b"]


def test_failed_starts_count_in_the_budget():
    world = World(supervisor(child("a", budget=Budget(2, 10.0)), intensity=9), starts={"a": ["ok", "fail", "fail"]})

    world.exited("a")
    world.pass_time(1.0)

    assert world.words() == {"a": "quarantined"}


def test_a_quarantine_in_the_middle_of_a_group_restart_lets_the_others_start():
    world = World(
        supervisor(child("a"), child("b", budget=Budget(0, 10.0)), child("c"), strategy=ALL, intensity=9),
        starts={"b": ["ok", "fail"]},
    )

    world.exited("a")

    assert world.words() == {"a": "running", "b": "quarantined", "c": "running"}


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_group_restart_does_not_end_a_quarantine(strategy: Strategy):
    world = World(supervisor(child("x"), child("a", budget=Budget(0, 10.0)), strategy=strategy, intensity=9))
    world.exited("a")

    world.exited("x")

    assert world.words() == {"x": "running", "a": "quarantined"}


@pytest.mark.parametrize("call", [ResetChild, StartStopped, RestartChild])
def test_a_reset_or_a_start_by_hand_ends_a_quarantine_with_a_clean_slate(call: type):
    world = budget_world()
    world.exited("a")
    world.exited("a")

    assert isinstance(world.call(call, "a"), Done)

    assert world.running() == ["a", "b"]
    world.exited("a")
    assert world.running() == ["a", "b"], "its budget is whole again"


def test_a_quarantined_child_that_is_terminated_stays_quarantined():
    world = budget_world()
    world.exited("a")
    world.exited("a")

    world.call(TerminateChild, "a")

    assert world.words()["a"] == "quarantined"


def test_the_quarantine_of_a_significant_child_is_an_end_that_is_not_restarted():
    spec = supervisor(
        child("a", Restart.TRANSIENT, significant=True, budget=Budget(0, 10.0)),
        child("b"),
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )
    world = World(spec)

    world.exited("a")

    assert world.ended is not None
    assert world.ended.detail == "auto-shutdown"


def test_the_budget_comes_before_the_supervisors_limit():
    world = World(supervisor(child("a", budget=Budget(0, 10.0)), intensity=0))

    world.exited("a")

    assert world.ended is None
    assert world.words() == {"a": "quarantined"}


def test_an_end_within_the_budget_can_still_trip_the_supervisors_limit():
    world = World(supervisor(child("a", budget=Budget(9, 10.0)), intensity=0))

    effects = world.exited("a")

    assert [fact.scope for fact in of(LimitFact, effects)] == ["supervisor"]
    assert of(ExitedFact, effects)
    assert world.ended is not None
