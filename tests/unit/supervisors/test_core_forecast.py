"""Dry run: what would happen if a child ended now; asked of the same rules, changing nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.supervision import World, child, crashed, launched, stopped, supervisor
from support.supervision_strategies import Chaos, supervisor_specs

from actors.exits import NORMAL
from actors.policies.backoff import Backoff
from supervisors.core import (
    Hold,
    KillChild,
    Refusal,
    RestartChild,
    StartStopped,
    StopChild,
    TerminateChild,
    what_if,
    what_would,
)
from supervisors.specs import AutoShutdown, Budget, OnLimit, Restart, Strategy, SupervisorSpec

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


@pytest.mark.parametrize(
    ("strategy", "stops", "starts"),
    [(ONE, "", "b"), (ALL, "ca", "abc"), (REST, "c", "bc")],
)
def test_it_tells_what_stops_and_starts_and_in_which_order(strategy: Strategy, stops: str, starts: str):
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=strategy, intensity=3))
    world.exited("b")
    before = world.state

    forecast = what_if(world.state, "b", crashed(), world.now)

    assert forecast is not None
    assert (forecast.stops, forecast.starts) == (tuple(stops), tuple(starts))
    assert (forecast.restarts, forecast.budget_left, forecast.delay) == (1, 1, 0.0)
    assert (forecast.limit, forecast.ends_with, forecast.removed) == ("", None, ())
    assert world.state is before


def test_it_tells_the_delay_without_jitter():
    world = World(supervisor(child("a", backoff=Backoff(first=2.0, jitter=0.9)), child("b"), strategy=ALL))

    forecast = what_if(world.state, "a", crashed(), world.now)

    assert forecast is not None
    assert (forecast.delay, forecast.stops, forecast.starts) == (2.0, ("b",), ("a", "b"))


def test_it_tells_when_the_supervisor_would_give_up():
    world = World(supervisor(child("a"), child("b"), intensity=0))

    forecast = what_if(world.state, "a", crashed(), world.now)

    assert forecast is not None
    assert (forecast.limit, forecast.stops, forecast.starts) == ("escalate", ("b",), ())
    assert forecast.ends_with is not None
    assert forecast.ends_with.detail == "gave-up"
    assert forecast.budget_left == 0


def test_it_tells_quarantine_and_parking():
    quarantined = World(supervisor(child("a", budget=Budget(0, 9.0))))
    parked = World(supervisor(child("a"), intensity=0, on_limit=OnLimit.PARK, park_every=30.0))

    first = what_if(quarantined.state, "a", crashed(), quarantined.now)
    second = what_if(parked.state, "a", crashed(), parked.now)

    assert first is not None
    assert second is not None
    assert (first.limit, first.starts) == ("quarantine", ())
    assert (second.limit, second.starts, second.delay) == ("park", ("a",), 30.0)


def test_it_tells_which_records_would_go():
    world = World(supervisor(child("a"), child("t", Restart.TEMPORARY, shutdown="brutal_kill"), strategy=ALL))

    forecast = what_if(world.state, "a", crashed(), world.now)

    assert forecast is not None
    assert (forecast.removed, forecast.stops) == (("t",), ("t",))


def test_it_tells_an_automatic_shutdown():
    spec = supervisor(
        child("s", Restart.TRANSIENT, significant=True), child("b"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT
    )
    world = World(spec)

    forecast = what_if(world.state, "s", NORMAL, world.now)

    assert forecast is not None
    assert forecast.ends_with is not None
    assert (forecast.ends_with.detail, forecast.stops) == ("auto-shutdown", ("b",))


def test_what_does_not_run_cannot_end():
    world = World(supervisor(child("a")))
    world.call(TerminateChild, "a")

    assert what_if(world.state, "a", crashed(), world.now) is None
    assert what_if(world.state, "x", crashed(), world.now) is None


@given(supervisor_specs(), st.data())
def test_what_was_foretold_is_what_happens(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, blocks=True)
    Chaos(world, data, calls=False).run(data.draw(st.integers(0, 5)))
    running = world.running()
    if world.ended is not None or not running:
        return
    id = data.draw(st.sampled_from(running))
    world.chance = 0.5
    forecast = what_if(world.state, id, crashed(), world.now)
    assert forecast is not None

    before = len(world.done)
    world.exited(id, crashed())
    if forecast.delay and (timers := [t for t in world.timers if t.id == id]):
        world.now = max(world.now, world.timers[timers[0]])
        world.fire(timers[0])
    effects = [effect for _, done in world.done[before:] for effect in done]

    assert tuple(stopped(effects)) == forecast.stops
    assert tuple(launched(effects)) == forecast.starts
    assert world.ended == forecast.ends_with


@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
@pytest.mark.parametrize(
    ("make", "stops", "starts", "restarts"),
    [
        (lambda now: StopChild(request=1, now=now, id="b", hold=Hold("me", "", 0.0)), "b", "", 0),
        (lambda now: RestartChild(request=1, now=now, id="b", stop_first=True), "b", "b", 0),
    ],
)
def test_a_persons_stop_and_restart_would_touch_that_child_alone_and_count_for_nothing(
    strategy, make, stops, starts, restarts
):
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=strategy, intensity=3))
    world.exited("a")
    before = world.state

    forecast = what_would(world.state, make(world.now), "b")

    assert (forecast.stops, forecast.starts, forecast.restarts) == (tuple(stops), tuple(starts), restarts)
    assert (forecast.budget_left, forecast.limit, forecast.refusal, forecast.reason) == (2, "", None, None)
    assert world.state is before


def test_a_kill_would_count_and_may_end_the_supervisor():
    world = World(supervisor(child("a"), child("b"), intensity=0))

    forecast = what_would(world.state, KillChild(request=1, now=world.now, id="a"), "a")

    assert (forecast.stops, forecast.starts, forecast.limit) == (("a", "b"), (), "escalate")
    assert forecast.ends_with is not None


def test_a_call_that_would_be_refused_says_why():
    world = World(supervisor(child("a")))

    forecast = what_would(world.state, StartStopped(request=1, now=world.now, id="a"), "a")

    assert forecast.refusal is not None
    assert forecast.refusal.code in {Refusal.RUNNING, Refusal.ALREADY_STARTED}
    assert (forecast.stops, forecast.starts) == ((), ())
