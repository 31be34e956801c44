"""Specs and management calls come out of a plan as they went in."""

import pytest
from support.process_actors import Counter

from actors.core.mailbox import MailboxSpec
from actors.exits import ExitReason
from actors.flightrecord import FlightRule
from actors.policies.backoff import Backoff
from supervisors import core
from supervisors.errors import Fault, SpecError
from supervisors.node.credentials import SecretSource
from supervisors.processes.plans import (
    Plan,
    pack_plan,
    pack_request,
    pack_result,
    unpack_plan,
    unpack_request,
    unpack_result,
)
from supervisors.programs import Liveness, Probe, ProgramStart, Readiness
from supervisors.specs import (
    AutoShutdown,
    Bounds,
    Budget,
    ChildSpec,
    ChildType,
    Heartbeat,
    ImportStart,
    LocalStart,
    OnLimit,
    Restart,
    Strategy,
    SupervisorSpec,
)
from transport.errors import MalformedFrameError

USE = ImportStart("package.module:Class", {"text": "x", "data": b"\x00", "numbers": [1, 2.5], "table": {"a": None}})
EVERY_FIELD = ChildSpec(
    "one",
    USE,
    restart=Restart.TRANSIENT,
    shutdown="brutal_kill",
    type=ChildType.WORKER,
    significant=True,
    runs_in="process",
    start_timeout=None,
    backoff=Backoff(1.0, 3.0, 9.0, 0.5, 7.0),
    budget=Budget(3, 60.0),
    restart_on_gave_up=True,
    mailbox=MailboxSpec(7, "reject", 2.0),
    heartbeat=Heartbeat(2.0, 5),
    memory_max_bytes=1_000_000,
    spares=2,
    bounds=Bounds(2_000_000, 0.5, 1.5, 3600.0, 1000),
    when_down="hold",
    held_max=5,
    flight=FlightRule(messages=7, locals=True),
    needs=("/other", "two"),
)
TREE = SupervisorSpec(
    Strategy.REST_FOR_ONE,
    7,
    8.5,
    AutoShutdown.ANY_SIGNIFICANT,
    OnLimit.PARK,
    12.0,
    None,
    (EVERY_FIELD, ChildSpec("below", SupervisorSpec(children=(ChildSpec("leaf", USE),)), runs_in="process")),
)


def crossed(spec: ChildSpec, path: str = "/far") -> ChildSpec:
    """Return `spec` as the other side finds it, as the only child of the supervisor at `path`."""
    (found,) = unpack_plan(pack_plan(Plan(SupervisorSpec(children=(spec,)), {}), path)).spec.children
    return found


def test_a_tree_comes_out_as_it_went_in() -> None:
    plan = Plan(TREE, {"/far/one": core.Hold("uid 0", "why", 12.5)})

    assert unpack_plan(pack_plan(plan, "/far")) == plan


def test_no_field_of_a_spec_has_its_default_in_these_tests() -> None:
    plain = ChildSpec("plain", USE)
    same = [name for name in plain.__struct_fields__ if getattr(EVERY_FIELD, name) == getattr(plain, name)]
    assert same == ["start", "type"], "a new field needs a value here, to see that it crosses"


def test_a_program_crosses_with_the_places_of_its_secrets() -> None:
    start = ProgramStart(
        ("redis-server", "--port", "0"),
        environment={"A": "b"},
        secrets={"TOKEN": SecretSource(env="MAIL_TOKEN")},
        rlimits={"nofile": 64},
        ready=Readiness(probe=Probe(port=80)),
        alive=Liveness(Probe(command=("true",))),
    )

    assert crossed(ChildSpec("c", start)) == ChildSpec("c", start)


def test_a_class_crosses_as_its_import_path() -> None:
    spec = ChildSpec("c", LocalStart(Counter, (), {"start": 3}))

    assert crossed(spec).start == ImportStart("support.process_actors:Counter", {"start": 3})


REQUESTS = [
    core.StartChild(request=0, now=0.0, spec=EVERY_FIELD),
    core.SpawnChild(request=0, now=0.0, args=(1, "two"), kwargs={"three": [3]}),
    core.TerminateChild(request=0, now=0.0, id="a"),
    core.RestartChild(request=0, now=0.0, id="a", stop_first=True),
    core.DeleteChild(request=0, now=0.0, id="a"),
    core.StopChild(request=0, now=0.0, id="a", hold=core.Hold("uid 0", "why", 1.5)),
    core.StartStopped(request=0, now=0.0, id="a"),
    core.SuspendChild(request=0, now=0.0, id="a"),
    core.ResumeChild(request=0, now=0.0, id="a"),
    core.KillChild(request=0, now=0.0, id="a"),
    core.ResetChild(request=0, now=0.0, id="a"),
    core.Reconfigure(request=0, now=0.0, spec=TREE, apply=True),
    core.Reconfigure(request=0, now=0.0, spec=None),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda found: type(found).__name__)
def test_a_management_call_comes_out_as_it_went_in(request_: core.Request) -> None:
    assert unpack_request(pack_request(request_, "/far")) == request_


RESULTS = [
    core.Done("a", 3, {"port": 80}),
    core.Refused("a", core.Refusal.INVALID, "no", None, (Fault("restart", "what", "hint", path="/a"),)),
]


@pytest.mark.parametrize("result", RESULTS)
def test_an_answer_comes_out_as_it_went_in(result: core.Done | core.Refused) -> None:
    assert unpack_result(pack_result(result)) == result


def test_the_reason_of_a_failed_start_keeps_its_traceback() -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        reason = ExitReason.crashed(error)
    found = unpack_result(pack_result(core.Refused("a", core.Refusal.START_FAILED, "no", reason)))

    assert isinstance(found, core.Refused)
    assert found.reason is not None
    assert found.reason.crash is not None
    assert "ValueError: boom" in found.reason.crash.traceback


def test_what_a_start_told_is_told_as_text_where_it_cannot_cross() -> None:
    assert unpack_result(pack_result(core.Done("a", 1, object))) == core.Done("a", 1, repr(object))


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (object(), "a object"),
        ({1, 2}, "a set"),
        ([lambda: None], "a function"),
        ({1: "x"}, "keys"),
        (2**64, "64 bits"),
    ],
)
def test_arguments_that_are_no_plain_data_are_named(argument: object, says: str) -> None:
    with pytest.raises(SpecError, match=says) as refused:
        crossed(ChildSpec("c", ImportStart("m:C", {"given": argument})))
    assert [(fault.path, fault.key) for fault in refused.value.faults] == [("/far/c", "start.given")]


def test_data_that_contains_itself_is_refused() -> None:
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(SpecError, match="deeply"):
        crossed(ChildSpec("c", ImportStart("m:C", {"given": ring})))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\xa1x", b"\x81\xa4kind\xa7Nothing"])
def test_bytes_that_are_none_of_these_are_refused(data: bytes) -> None:
    for unpack in (unpack_plan, unpack_request, unpack_result):
        with pytest.raises(MalformedFrameError):
            unpack(data)
