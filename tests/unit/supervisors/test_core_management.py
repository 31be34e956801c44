"""Management calls: every call in every state, its answer and what it leaves; none counts, none binds siblings."""

from __future__ import annotations

from typing import Any

import pytest
from support.supervision import World, child, launched, of, stopped, supervisor

from actors.exits import NORMAL, SHUTDOWN, ExitReason
from actors.policies.backoff import Backoff
from supervisors.core import (
    AskStop,
    ChildIgnored,
    ChildStarted,
    DeleteChild,
    Done,
    Hold,
    Kill,
    KillChild,
    Launch,
    Refusal,
    Refused,
    ResetChild,
    RestartChild,
    Resume,
    ResumeChild,
    StartChild,
    StartStopped,
    StateFact,
    StopChild,
    Suspend,
    SuspendChild,
    TerminateChild,
    count_children,
    describe,
    get_childspec,
    view_child,
    which_children,
)
from supervisors.specs import AutoShutdown, Budget, ChildSpec, Restart, Strategy, SupervisorSpec

HOLD = Hold("ann", "noisy")
ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


def world_with_b(state: str, strategy: Strategy = ONE) -> World:
    """Children a, b, c; a and c run, b is in `state`."""
    budget = Budget(0, 10.0) if state == "quarantined" else None
    b = child("b", backoff=Backoff(first=10.0), budget=budget, shutdown="infinity")
    world = World(supervisor(child("a"), b, child("c"), strategy=strategy, intensity=9))
    world.obeys = False
    match state:
        case "running":
            pass
        case "suspended":
            world.call(SuspendChild, "b")
        case "none":
            world.obeys = True
            world.call(TerminateChild, "b")
            world.obeys = False
        case "held":
            world.obeys = True
            world.call(StopChild, "b", HOLD)
            world.obeys = False
        case "restarting":
            world.exited("b")
        case "starting":
            world.exited("b")
            world.pass_time(20.0)
        case "stopping":
            world.call(TerminateChild, "b")
        case "quarantined":
            world.exited("b")
        case "unknown":
            world.obeys = True
            world.call(TerminateChild, "b")
            world.call(DeleteChild, "b")
            world.obeys = False
        case _:
            raise AssertionError(state)
    return world


CALLS: dict[str, tuple[Any, ...]] = {
    "start_child": (StartChild, child("b")),
    "terminate": (TerminateChild, "b"),
    "stop": (StopChild, "b", HOLD),
    "restart": (RestartChild, "b"),
    "start": (StartStopped, "b"),
    "delete": (DeleteChild, "b"),
    "suspend": (SuspendChild, "b"),
    "resume": (ResumeChild, "b"),
    "kill": (KillChild, "b"),
    "reset": (ResetChild, "b"),
}
WAITS = None  # the answer comes later
# call -> state of the child -> its answer, and the child's state afterwards
TABLE: dict[str, dict[str, tuple[str | None, str | None]]] = {
    "start_child": {
        "running": ("already_started", "running"),
        "starting": ("already_started", "starting"),
        "stopping": ("already_started", "stopping"),
        "none": ("already_present", "stopped"),
        "held": ("already_present", "stopped"),
        "quarantined": ("already_present", "quarantined"),
        "restarting": ("already_present", "restarting"),
        "unknown": (WAITS, "starting"),
    },
    "terminate": {
        "running": (WAITS, "stopping"),
        "starting": (WAITS, "stopping"),
        "stopping": (WAITS, "stopping"),
        "none": ("ok", "stopped"),
        "held": ("ok", "stopped"),
        "quarantined": ("ok", "quarantined"),
        "restarting": ("ok", "stopped"),
        "unknown": ("not_found", None),
    },
    "stop": {
        "running": (WAITS, "stopping"),
        "starting": (WAITS, "stopping"),
        "stopping": (WAITS, "stopping"),
        "none": ("ok", "stopped"),
        "held": ("ok", "stopped"),
        "quarantined": ("ok", "stopped"),
        "restarting": ("ok", "stopped"),
        "unknown": ("not_found", None),
    },
    "restart": {
        "running": ("running", "running"),
        "starting": ("running", "starting"),
        "stopping": ("stopping", "stopping"),
        "none": (WAITS, "starting"),
        "held": (WAITS, "starting"),
        "quarantined": (WAITS, "starting"),
        "restarting": ("restarting", "restarting"),
        "unknown": ("not_found", None),
    },
    "start": {
        "running": ("running", "running"),
        "starting": ("running", "starting"),
        "stopping": ("stopping", "stopping"),
        "none": (WAITS, "starting"),
        "held": (WAITS, "starting"),
        "quarantined": (WAITS, "starting"),
        "restarting": ("ok", "starting"),
        "unknown": ("not_found", None),
    },
    "delete": {
        "running": ("running", "running"),
        "starting": ("running", "starting"),
        "stopping": ("running", "stopping"),
        "none": ("ok", None),
        "held": ("ok", None),
        "quarantined": ("ok", None),
        "restarting": ("restarting", "restarting"),
        "unknown": ("not_found", None),
    },
    "suspend": {
        "running": ("ok", "suspended"),
        "suspended": ("ok", "suspended"),
        "starting": ("not_running", "starting"),
        "stopping": ("not_running", "stopping"),
        "none": ("not_running", "stopped"),
        "held": ("not_running", "stopped"),
        "quarantined": ("not_running", "quarantined"),
        "restarting": ("not_running", "restarting"),
        "unknown": ("not_found", None),
    },
    "resume": {
        "running": ("ok", "running"),
        "suspended": ("ok", "running"),
        "starting": ("not_running", "starting"),
        "none": ("not_running", "stopped"),
        "unknown": ("not_found", None),
    },
    "kill": {
        "running": ("ok", "running"),
        "starting": ("ok", "starting"),
        "stopping": ("ok", "stopping"),
        "none": ("not_running", "stopped"),
        "held": ("not_running", "stopped"),
        "quarantined": ("not_running", "quarantined"),
        "restarting": ("not_running", "restarting"),
        "unknown": ("not_found", None),
    },
    "reset": {
        "running": ("ok", "running"),
        "starting": ("ok", "starting"),
        "stopping": ("ok", "stopping"),
        "none": ("ok", "stopped"),
        "held": ("ok", "stopped"),
        "quarantined": (WAITS, "starting"),
        "restarting": ("ok", "starting"),
        "unknown": ("not_found", None),
    },
}
CELLS = [(call, state, *cell) for call, row in TABLE.items() for state, cell in row.items()]


@pytest.mark.parametrize(("call", "state", "answer", "after"), CELLS, ids=[f"{c}-{s}" for c, s, *_ in CELLS])
def test_a_call_in_a_state_has_its_answer_and_its_outcome(call: str, state: str, answer: str | None, after: str | None):
    world = world_with_b(state)
    counted = describe(world.state, world.now).restarts

    result = world.call(*CALLS[call])

    code = "ok" if isinstance(result, Done) else result.code.value if isinstance(result, Refused) else None
    assert code == answer
    assert world.words().get("b") == after
    assert world.words()["a"] == world.words()["c"] == "running"
    assert describe(world.state, world.now).restarts == counted


@pytest.mark.parametrize(
    ("call", "state", "outcome", "answer", "after"),
    [
        ("start_child", "unknown", "ok", "ok", "running"),
        ("start_child", "unknown", "fail", "start_failed", None),
        ("start_child", "unknown", "ignore", "ok", "ignored"),
        ("restart", "none", "ok", "ok", "running"),
        ("restart", "none", "fail", "start_failed", "failed"),
        ("restart", "none", "ignore", "ok", "ignored"),
        ("start", "held", "ok", "ok", "running"),
        ("start", "held", "fail", "start_failed", "failed"),
        ("start", "quarantined", "ok", "ok", "running"),
        ("reset", "quarantined", "ok", "ok", "running"),
        ("reset", "quarantined", "fail", "start_failed", "failed"),
    ],
)
@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
def test_a_start_by_hand_is_answered_when_its_outcome_is_known_and_not_tried_again(
    call: str, state: str, outcome: str, answer: str, after: str | None, strategy: Strategy
):
    world = world_with_b(state, strategy)
    assert world.call(*CALLS[call]) is None

    match outcome:
        case "ok":
            world.started("b", info={"port": 7})
        case "fail":
            world.start_failed("b")
        case "ignore":
            world.ignored("b")

    result = world.replies[max(world.replies)]
    assert ("ok" if isinstance(result, Done) else result.code.value) == answer
    assert world.words().get("b") == after
    assert world.words()["a"] == world.words()["c"] == "running"
    if outcome == "ok":
        assert isinstance(result, Done)
        assert (result.generation, result.info) == (world.generation("b"), {"port": 7})
    if outcome == "fail":
        assert isinstance(result, Refused)
        assert result.reason is not None


def test_start_child_appends_last_and_delete_plus_start_moves_a_child_to_the_end():
    world = World(supervisor(child("a"), child("b")))
    world.call(StartChild, child("c"))
    assert list(world.words()) == ["a", "b", "c"]

    world.call(TerminateChild, "a")
    world.call(DeleteChild, "a")
    world.call(StartChild, child("a"))

    assert list(world.words()) == ["b", "c", "a"]
    assert world.generation("a") == 2, "no generation is used twice"


def test_terminate_plus_restart_keeps_the_place():
    world = World(supervisor(child("a"), child("b")))

    world.call(TerminateChild, "a")
    world.call(RestartChild, "a")

    assert list(world.words()) == ["a", "b"]


def test_a_temporary_child_is_dropped_when_terminated_and_when_its_start_says_ignore():
    world = World(supervisor(child("a")), starts={"u": ["ignore"]})
    world.call(StartChild, child("t", Restart.TEMPORARY))
    world.call(StartChild, child("u", Restart.TEMPORARY))

    world.call(TerminateChild, "t")

    assert world.words() == {"a": "running"}


def test_terminate_answers_when_the_child_has_ended():
    world = world_with_b("running")
    assert world.call(TerminateChild, "b") is None
    assert world.call(TerminateChild, "b") is None

    world.exited("b", SHUTDOWN)

    assert [world.replies[n] for n in sorted(world.replies)][-2:] == [Done("b"), Done("b")]


def test_a_spec_with_faults_is_refused_with_all_of_them():
    world = World(supervisor(child("a")))

    result = world.call(StartChild, child("x", significant=True, shutdown=-1))

    assert isinstance(result, Refused)
    assert result.code is Refusal.INVALID
    assert {fault.key for fault in result.faults} == {"shutdown", "significant"}
    assert world.words() == {"a": "running"}


def test_a_significant_child_can_be_added_where_the_supervisor_shuts_down():
    world = World(supervisor(child("a"), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT))

    world.call(StartChild, child("x", Restart.TRANSIENT, significant=True))

    assert world.running() == ["a", "x"]


def test_a_start_that_says_it_runs_already_is_passed_on():
    world = world_with_b("unknown")
    world.call(StartChild, child("b"))

    world.start_failed("b", ExitReason.shutdown("already-started"))

    result = world.replies[max(world.replies)]
    assert isinstance(result, Refused)
    assert result.code is Refusal.ALREADY_STARTED


@pytest.mark.parametrize("strategy", [ONE, ALL, REST])
def test_calls_apply_no_strategy_and_trigger_no_auto_shutdown(strategy: Strategy):
    spec = supervisor(
        child("a"),
        child("b", Restart.TRANSIENT, significant=True),
        child("c"),
        strategy=strategy,
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
    )
    world = World(spec)

    world.call(TerminateChild, "b")
    world.call(RestartChild, "b")
    world.call(StopChild, "b", HOLD)
    world.call(StartStopped, "b")

    assert world.running() == ["a", "b", "c"]
    assert {world.generation("a"), world.generation("c")} == {1}


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


def test_a_persons_stop_is_announced_with_its_reason():
    world = World(supervisor(child("b")))

    world.call(StopChild, "b", HOLD)

    assert StateFact("b", 1, "stopped", "noisy") in [e for _, done in world.done for e in done]


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


# while a round is in progress


def group_in_progress() -> World:
    """one_for_all over a, b, c: a crashed, c is being stopped, b still runs."""
    world = World(supervisor(child("a"), child("b"), child("c"), strategy=ALL, intensity=9), obeys=False)
    for id in "abc":
        world.started(id)
    world.exited("a")
    return world


def finish(world: World) -> None:
    for _ in range(50):
        if not world.live or all(where == "running" for where in world.live.values()):
            asked = [id for id, word in world.words().items() if word == "stopping"]
            if not asked:
                return
            world.exited(asked[0], SHUTDOWN)
        else:
            (id, generation), _ = next(item for item in world.live.items() if item[1] == "starting")
            world.feed(ChildStarted(id, generation, now=world.now))


def test_what_would_start_something_waits_until_the_round_is_done():
    world = group_in_progress()

    assert world.call(StartChild, child("d")) is None
    assert launched(world.done[-1][1]) == []
    finish(world)

    assert world.running() == ["a", "b", "c", "d"]
    assert isinstance(world.replies[1], Done)


def test_a_child_stopped_during_the_round_stays_down_and_the_round_goes_on():
    world = group_in_progress()

    assert world.call(TerminateChild, "b") is None
    finish(world)

    assert world.words() == {"a": "running", "b": "stopped", "c": "running"}
    assert isinstance(world.replies[1], Done)


def test_a_child_that_the_round_is_stopping_can_be_told_to_stay_down():
    world = group_in_progress()

    world.call(StopChild, "c", HOLD)
    finish(world)

    assert world.words() == {"a": "running", "b": "running", "c": "stopped"}


def test_a_child_that_waits_in_the_round_can_be_told_to_stay_down():
    world = group_in_progress()

    assert isinstance(world.call(TerminateChild, "a"), Done)
    finish(world)

    assert world.words() == {"a": "stopped", "b": "running", "c": "running"}


def test_a_child_that_waits_in_the_round_cannot_be_deleted():
    world = group_in_progress()

    result = world.call(DeleteChild, "a")

    assert isinstance(result, Refused)
    assert result.code is Refusal.RESTARTING


def test_a_stop_by_hand_that_was_under_way_is_answered_but_the_group_brings_the_child_back():
    world = World(supervisor(child("a"), child("b"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.started("b")
    world.call(TerminateChild, "b")

    world.exited("a")
    effects = world.exited("b", SHUTDOWN)

    assert isinstance(world.replies[1], Done)
    assert launched(effects) == ["a"]
    finish(world)
    assert world.running() == ["a", "b"]


def test_ends_of_siblings_wait_for_a_start_by_hand_where_the_strategy_binds_them():
    world = World(supervisor(child("a"), strategy=ALL, intensity=9), obeys=False)
    world.started("a")
    world.call(StartChild, child("b"))

    assert launched(world.exited("a")) == []
    effects = world.started("b")

    assert isinstance(world.replies[1], Done)
    assert stopped(effects) == ["b"]
    finish(world)
    assert world.running() == ["a", "b"]


def test_under_one_for_one_nothing_waits_for_a_start_by_hand():
    world = World(supervisor(child("a"), intensity=9), obeys=False)
    world.started("a")
    world.call(StartChild, child("b"))

    assert launched(world.exited("a")) == ["a"]


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
