"""What is wrong with a program's spec is found before anything starts."""

from __future__ import annotations

import pytest

from supervisors import Heartbeat
from supervisors.core import validate_tree
from supervisors.programs import Liveness, Probe, ProgramStart, Readiness, program_faults, signal_number
from supervisors.specs import ChildSpec, SupervisorSpec

SOUND = ProgramStart(
    ("redis-server", ""),
    environment={"A": ""},
    umask=0o077,
    nice=-5,
    rlimits={"nofile": 100, "core": None},
    ready=Readiness(log="ready .*"),
    alive=Liveness(Probe(http="http://localhost:80/health?full=1")),
    stop_signal="quit",
    success_exit=(0, 143),
)


def test_a_sound_program_has_no_faults():
    assert list(program_faults(SOUND)) == []


@pytest.mark.parametrize(
    ("start", "key"),
    [
        (ProgramStart(()), "command"),
        (ProgramStart(("",)), "command"),
        (ProgramStart(("a\0b",)), "command"),
        (ProgramStart(("true",), environment={"A=B": "x"}), "environment"),
        (ProgramStart(("true",), environment={"": "x"}), "environment"),
        (ProgramStart(("true",), environment={"A": "x"}, secrets={"A": None}), "secrets"),
        (ProgramStart(("true",), stop_signal="SIGTREM"), "stop_signal"),
        (ProgramStart(("true",), stop_signal="SIG_IGN"), "stop_signal"),
        (ProgramStart(("true",), success_exit=(256,)), "success_exit"),
        (ProgramStart(("true",), rlimits={"files": 1}), "rlimits"),
        (ProgramStart(("true",), rlimits={"nofile": -1}), "rlimits"),
        (ProgramStart(("true",), umask=0o1000), "umask"),
        (ProgramStart(("true",), nice=20), "nice"),
        (ProgramStart(("true",), watchdog=0.0), "watchdog"),
        (ProgramStart(("true",), pid_file="x"), "pid_file"),
        (ProgramStart(("true",), ready=Readiness(log="x", notify=True)), "ready"),
        (ProgramStart(("true",), ready=Readiness(log="(")), "ready.log"),
        (ProgramStart(("true",), ready=Readiness(delay=-1.0)), "ready.delay"),
        (ProgramStart(("true",), ready=Readiness(Probe())), "ready"),
        (ProgramStart(("true",), ready=Readiness(Probe(port=1), every=0.0)), "ready.every"),
        (ProgramStart(("true",), alive=Liveness(Probe(port=0))), "alive.port"),
        (ProgramStart(("true",), alive=Liveness(Probe(http="https://x/"))), "alive.http"),
        (ProgramStart(("true",), alive=Liveness(Probe(http="http://x:99999/"))), "alive.http"),
        (ProgramStart(("true",), alive=Liveness(Probe(port=1, http="http://x/"))), "alive"),
        (ProgramStart(("true",), alive=Liveness(Probe(port=1, timeout=0.0))), "alive.timeout"),
        (ProgramStart(("true",), alive=Liveness(Probe(port=1), failures=0)), "alive.failures"),
        (ProgramStart(("true",), alive=Liveness(Probe(port=1), every=float("inf"))), "alive.every"),
    ],
)
def test_each_fault_is_named_by_its_key(start, key):
    assert [found for found, _message, _hint in program_faults(start)] == [key]


def test_faults_of_a_program_are_faults_of_its_tree():
    child = ChildSpec("db", ProgramStart((), nice=99), runs_in="thread", heartbeat=Heartbeat(1.0))
    faults = validate_tree(SupervisorSpec(children=(child,)))

    assert {fault.key for fault in faults} >= {"command", "nice", "runs_in", "heartbeat"}
    assert {fault.path for fault in faults} == {"/db"}


def test_a_program_is_a_process_without_being_told():
    spec = ChildSpec("db", SOUND, memory_max_bytes=1)

    assert (spec.runs_in, spec.placement) == ("process", "program")
    assert validate_tree(SupervisorSpec(children=(spec,))) == []


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("term", 15), ("INT", 2), ("SIGNOPE", None), ("", None)])
def test_a_signal_is_known_with_and_without_its_prefix(name, number):
    assert signal_number(name) == number
