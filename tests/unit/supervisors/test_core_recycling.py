"""Replacing a running child: because it asked for it, which counts, or because its spec says so, which does not."""

from __future__ import annotations

import pytest
from support.supervision import World, child, launched, of, stopped, supervisor

from actors.exits import ExitReason
from actors.policies.backoff import Backoff
from supervisors.core import ChildAsksRestart, ExitedFact, Hold, RestartFact, StateFact, StopChild, budget_left
from supervisors.core.effects import AskStop
from supervisors.specs import Restart, Strategy


def asks(world: World, id: str, *, counts: bool, generation: int | None = None) -> list:
    found = world.generation(id) if generation is None else generation
    return world.feed(ChildAsksRestart(id, found, "leaks", counts, now=world.now, chance=0.5))


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
def test_a_recycled_child_is_stopped_and_started_again_and_that_counts_for_nothing(restart: Restart):
    world = World(supervisor(child("a", restart), child("b"), intensity=0))

    effects = asks(world, "a", counts=False)

    assert of(AskStop, effects) == [AskStop("a", 1, ExitReason.shutdown("recycled: leaks"))]
    assert launched(effects) == ["a"]
    assert of(RestartFact, effects) == []
    assert of(StateFact, effects)[0] == StateFact("a", 1, "recycled", "leaks")
    assert all(fact.expected for fact in of(ExitedFact, effects))
    assert world.running() == ["a", "b"]
    assert world.generation("a") == 2
    assert world.ended is None


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
def test_a_restart_that_a_child_asks_for_counts_and_backs_off(restart: Restart):
    world = World(supervisor(child("a", restart, backoff=Backoff(first=2.0, jitter=0.0)), intensity=2, period=60.0))

    effects = asks(world, "a", counts=True)

    assert stopped(effects) == ["a"]
    (fact,) = of(RestartFact, effects)
    assert (fact.delay, fact.restarts, fact.reason.detail) == (2.0, 1, "restart-requested: leaks")
    assert launched(effects) == []
    assert budget_left(world.state, world.now) == 1
    assert launched(world.pass_time(2.0)) == ["a"]


def test_asking_again_and_again_reaches_the_limit():
    world = World(supervisor(child("a"), intensity=2))

    for _ in range(3):
        asks(world, "a", counts=True)

    assert world.ended is not None


@pytest.mark.parametrize("counts", [True, False])
def test_a_temporary_child_is_stopped_and_stays_away(counts: bool):
    world = World(supervisor(child("a", Restart.TEMPORARY)))

    effects = asks(world, "a", counts=counts)

    assert stopped(effects) == ["a"]
    assert launched(effects) == []
    assert "a" not in world.state.children


def test_only_the_running_instance_is_heard():
    world = World(supervisor(child("a")))
    world.exited("a")

    assert asks(world, "a", counts=False, generation=1) == []


@pytest.mark.parametrize("counts", [True, False])
def test_a_persons_stop_overrides_a_replacement_under_way(counts: bool):
    world = World(supervisor(child("a")), obeys=False)
    world.started("a")
    asks(world, "a", counts=counts)

    world.call(StopChild, "a", Hold("uid 0"))
    world.exited("a", ExitReason.shutdown())

    assert world.words()["a"] == "stopped"
    assert not world.live


@pytest.mark.parametrize("counts", [True, False])
def test_a_supervisor_that_ends_starts_nothing_again(counts: bool):
    world = World(supervisor(child("a")), obeys=False)
    world.started("a")
    asks(world, "a", counts=counts)

    world.stop()
    world.exited("a", ExitReason.shutdown())

    assert world.ended is not None


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_recycling_leaves_siblings_alone_under_every_strategy(strategy: Strategy):
    world = World(supervisor(child("a"), child("b"), strategy=strategy, intensity=0))

    effects = asks(world, "a", counts=False)

    assert stopped(effects) == ["a"]
    assert world.running() == ["a", "b"]


def test_a_recycled_child_that_does_not_come_up_is_restarted_as_any_other():
    world = World(supervisor(child("a"), intensity=1), starts={"a": ["ok", "fail", "ok"]})

    effects = asks(world, "a", counts=False)

    assert len(of(RestartFact, effects)) == 1
    assert launched(world.pass_time(0.0)) == ["a"]
