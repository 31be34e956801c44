"""Management calls: every call in every state, its answer and what it leaves; none counts, none binds siblings."""

from __future__ import annotations

from typing import Any

import pytest
from support.supervision import World, child, supervisor, world_with_b

from actors.exits import SHUTDOWN, ExitReason
from supervisors.core import (
    DeleteChild,
    Done,
    Hold,
    KillChild,
    Refusal,
    Refused,
    Reread,
    RereadChild,
    ResetChild,
    RestartChild,
    ResumeChild,
    StartChild,
    StartStopped,
    StateFact,
    StopChild,
    SuspendChild,
    TerminateChild,
    describe,
)
from supervisors.programs import ProgramStart
from supervisors.specs import AutoShutdown, ChildSpec, Restart, Strategy

HOLD = Hold("ann", "noisy")
ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


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


def test_a_running_program_that_says_how_reads_its_configuration_again():
    start = ProgramStart(("nginx",), reload_signal="HUP")
    world = World(supervisor(ChildSpec("a", start, runs_in="process"), child("b")))

    answer = world.call(RereadChild, "a")
    _, effects = world.done[-1]
    refused = world.call(RereadChild, "b")
    missing = world.call(RereadChild, "c")

    assert effects[:2] == (Reread("a", 1), StateFact("a", 1, "reread"))
    assert isinstance(answer, Done)
    assert isinstance(refused, Refused)
    assert (refused.code, missing.code) == (Refusal.INVALID, Refusal.NOT_FOUND)
