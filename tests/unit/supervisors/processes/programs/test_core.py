"""The rules for programs: which end becomes which reason, and when failed probes are one too many."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import KILLED, SHUTDOWN, ExitKind, ExitReason
from supervisors.processes.programs.core import End, Health, answered, end_of, with_last_lines
from supervisors.processes.programs.keeping import start_error
from supervisors.processes.states import Ending, Killing, Running, Spawning, Starting, Stopping, Terminating
from supervisors.programs import Liveness, Probe, ProgramStart

TERM = int(signal.SIGTERM)
DEPLOY = ExitReason.shutdown("deploy")
RULE = Liveness(Probe(port=1), failures=3)
STATES = [
    Spawning(1.0),
    Starting(1.0, True),
    Running(0.0, 0.0),
    Stopping(DEPLOY, True),
    Stopping(DEPLOY, False),
    Terminating(1.0, True),
    Killing(KILLED, 1.0, True),
    Ending(SHUTDOWN, 1.0, True),
]


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (0, End(0)),
        (3 << 8, End(3)),
        (9, End(137, 9)),
        (11 | 0x80, End(139, 11, core=True)),
        (-1, End(-1)),
    ],
)
def test_a_wait_status_says_code_signal_and_core(status, end):
    assert End.of_status(status) == end


@pytest.mark.parametrize(
    ("end", "state", "kind", "detail"),
    [
        (End(0), Running(0, 0), ExitKind.NORMAL, ""),
        (End(0, left=1), Running(0, 0), ExitKind.NORMAL, "left 1 process behind"),
        (End(3, left=2), Running(0, 0), ExitKind.CRASHED, "exit code 3, left 2 processes behind"),
        (End(139, 11, core=True), Running(0, 0), ExitKind.KILLED, "signal SIGSEGV, core dumped"),
        (End(-1), Running(0, 0), ExitKind.CRASHED, "exit code unknown"),
        (End(0), Starting(1.0, True), ExitKind.CRASHED, "exit code 0"),
        (End(3), Starting(1.0, True), ExitKind.CRASHED, "exit code 3"),
        (End(0), Stopping(DEPLOY, True), ExitKind.SHUTDOWN, "deploy"),
        (End(143, TERM), Stopping(DEPLOY, True), ExitKind.SHUTDOWN, "deploy"),
        (End(9), Stopping(DEPLOY, True), ExitKind.CRASHED, "exit code 9"),
        (End(137, 9), Stopping(DEPLOY, True), ExitKind.KILLED, "signal SIGKILL"),
        (End(9), Stopping(DEPLOY, False), ExitKind.SHUTDOWN, "deploy"),
        (End(143, TERM), Terminating(1.0, True), ExitKind.KILLED, "stop-timeout"),
        (End(0), Terminating(1.0, True), ExitKind.KILLED, "stop-timeout"),
    ],
)
def test_an_end_becomes_the_reason_that_it_means_in_its_state(end, state, kind, detail):
    reason = end_of(end, state, (0,), TERM)

    assert (reason.kind, reason.detail) == (kind, detail)


@given(st.integers(0, 255), st.sets(st.integers(0, 255)), st.sampled_from(STATES))
def test_an_expected_code_is_abnormal_only_before_it_was_ready_or_after_its_stop_was_overrun(code, success, state):
    reason = end_of(End(code), state, tuple(success), TERM)

    if code in success:
        early = isinstance(state, Spawning | Starting)
        assert reason.is_abnormal == (early or isinstance(state, Terminating))
    elif isinstance(state, Running):
        assert reason.is_abnormal


@given(st.lists(st.booleans(), max_size=30))
def test_only_failures_in_a_row_of_a_ready_program_end_it(answers):
    health, row = Health(), 0
    for is_well in answers:
        was_ready = health.ready
        health, hung = answered(health, "" if is_well else "no answer", RULE)
        row = 0 if is_well or not was_ready else row + 1
        assert (hung is not None) == (row >= RULE.failures)
        assert health.ready == (was_ready or is_well)
        if hung is not None:
            assert (hung.kind, hung.detail) == (ExitKind.KILLED, "probe-failed")
            return


def test_the_last_lines_explain_only_where_nothing_else_does():
    told = with_last_lines(ExitReason.crashed(ValueError("bad port"), "start-failed"), "one\ntwo\n")
    silent = with_last_lines(ExitReason.killed("signal SIGKILL"), "one\ntwo\n")

    assert (told.crash.message, told.crash.traceback) == ("bad port", "one\ntwo")
    assert (silent.crash.message, silent.crash.traceback) == ("its last line was: two", "one\ntwo")
    assert with_last_lines(KILLED, " \n") is KILLED


def test_what_a_keeper_could_not_do_is_said_with_the_program_and_the_thing():
    start = ProgramStart(("true",), user="root", group="wheel")

    assert str(start_error(start, "user 1")) == "cannot run true as user 'root' group 'wheel': Operation not permitted"
    assert str(start_error(start, "rlimits.nofile 1")) == "cannot run true: rlimits.nofile: Operation not permitted"
    assert start_error(start, "nice 13").errno == 13
