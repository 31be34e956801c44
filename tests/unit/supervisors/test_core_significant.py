"""Automatic shutdown: which ends of significant children end the supervisor, and which never do."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN, ExitKind, ExitReason
from actors.policies.backoff import Backoff
from supervisors.core import RestartChild, SpawnChild, StartChild, TerminateChild
from supervisors.specs import AutoShutdown, Restart, Strategy

TR, TE = Restart.TRANSIENT, Restart.TEMPORARY
ANY, ALL_ = AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
STATIC = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]


@pytest.mark.parametrize("strategy", STATIC)
@pytest.mark.parametrize("auto_shutdown", AutoShutdown)
@pytest.mark.parametrize(
    ("restart", "reason", "stays_away"),
    [
        (TR, NORMAL, True),
        (TR, SHUTDOWN, True),
        (TR, ExitReason.shutdown("x"), True),
        (TR, crashed(), False),
        (TE, NORMAL, True),
        (TE, SHUTDOWN, True),
        (TE, crashed(), True),
    ],
)
def test_a_significant_end_that_is_not_restarted_ends_the_supervisor(
    restart: Restart, reason: ExitReason, stays_away: bool, auto_shutdown: AutoShutdown, strategy: Strategy
):
    significant = auto_shutdown is not AutoShutdown.NEVER
    spec = supervisor(
        child("a"), child("s", restart, significant=significant), auto_shutdown=auto_shutdown, strategy=strategy
    )
    world = World(spec)

    world.exited("s", reason)

    assert (world.ended is not None) is (stays_away and significant)


def test_the_rest_is_stopped_in_reverse_and_the_reason_is_a_shutdown_that_names_the_child():
    spec = supervisor(child("a"), child("s", TR, significant=True), child("c"), auto_shutdown=ANY)
    world = World(spec)

    effects = world.exited("s", NORMAL)

    assert stopped(effects) == ["c", "a"]
    assert world.ended is not None
    assert (world.ended.kind, world.ended.detail) == (ExitKind.SHUTDOWN, "auto-shutdown")
    assert [cause.path for cause in world.ended.chain()] == ["/s/s"]


def test_the_end_of_a_child_that_is_not_significant_never_ends_the_supervisor():
    world = World(supervisor(child("s", TR, significant=True), child("n", TR), auto_shutdown=ANY))

    world.exited("n", NORMAL)

    assert world.running() == ["s"]


def two(auto_shutdown: AutoShutdown = ALL_, **fields: object) -> World:
    spec = supervisor(
        child("s", TR, significant=True, **fields),
        child("t", TR, significant=True, **fields),
        child("u"),
        auto_shutdown=auto_shutdown,
    )
    return World(spec)


@pytest.mark.parametrize(("auto_shutdown", "ends"), [(ANY, True), (ALL_, False)])
def test_with_another_significant_child_running_only_any_ends(auto_shutdown: AutoShutdown, ends: bool):
    world = two(auto_shutdown)

    world.exited("s", NORMAL)

    assert (world.ended is not None) is ends


def test_all_significant_ends_with_the_last_of_them():
    world = two()
    world.exited("s", NORMAL)

    world.exited("t", NORMAL)

    assert world.ended is not None


def test_a_restarting_one_still_counts_as_present():
    world = two(backoff=Backoff(first=10.0))
    world.exited("s")

    world.exited("t", NORMAL)

    assert world.ended is None
    world.pass_time(20.0)
    world.exited("s", NORMAL)
    assert world.ended is not None


def test_one_terminated_by_hand_does_not_count_as_present():
    world = two()
    world.call(TerminateChild, "s")
    assert world.ended is None

    world.exited("t", NORMAL)

    assert world.ended is not None


def test_one_that_said_ignore_does_not_count_as_present():
    spec = supervisor(child("s", TR, significant=True), child("t", TR, significant=True), auto_shutdown=ALL_)
    world = World(spec, starts={"s": ["ignore"]})

    world.exited("t", NORMAL)

    assert world.ended is not None


def test_one_started_again_by_hand_counts_again():
    world = two()
    world.exited("s", NORMAL)
    world.call(RestartChild, "s")

    world.exited("t", NORMAL)

    assert world.ended is None


@pytest.mark.parametrize("auto_shutdown", [ANY, ALL_])
def test_being_stopped_in_a_group_restart_never_ends_the_supervisor(auto_shutdown: AutoShutdown):
    spec = supervisor(
        child("a"),
        child("s", TE, significant=True),
        strategy=Strategy.ONE_FOR_ALL,
        auto_shutdown=auto_shutdown,
    )
    world = World(spec)

    world.exited("a")

    assert world.ended is None
    assert world.words() == {"a": "running"}


def test_a_significant_child_added_at_run_time_counts():
    world = World(supervisor(child("a"), auto_shutdown=ANY))
    world.call(StartChild, child("s", TE, significant=True))

    world.exited("s", crashed())

    assert world.ended is not None


@pytest.mark.parametrize(("auto_shutdown", "after"), [(ANY, 1), (ALL_, 3)])
def test_a_dynamic_supervisor_ends_with_any_or_when_none_is_left(auto_shutdown: AutoShutdown, after: int):
    spec = supervisor(
        child("t", TE, significant=True), strategy=Strategy.SIMPLE_ONE_FOR_ONE, auto_shutdown=auto_shutdown
    )
    world = World(spec)
    for _ in range(3):
        world.call(SpawnChild)

    for n in range(1, after + 1):
        assert world.ended is None
        world.exited(f"t#{n}", NORMAL)

    assert world.ended is not None


def test_a_parent_restarts_a_permanent_supervisor_that_shut_itself_down():
    world = World(supervisor(child("p"), child("t", TR)))

    world.exited("p", ExitReason.shutdown("auto-shutdown"))
    world.exited("t", ExitReason.shutdown("auto-shutdown"))

    assert world.words() == {"p": "running", "t": "finished"}
