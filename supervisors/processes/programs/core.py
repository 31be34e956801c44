"""What a program's ends and answers mean: pure rules, beside the machine of every process child.

    wait status, what was asked of it --end_of--> exit reason
    answers to probes ---------------answered---> ready, alive, hung

An exit code among the expected ones is `normal`; another is `crashed (exit code 3)`; a signal is `killed (signal
SIGSEGV, core dumped)`. A program that its supervisor asked to end, and that ends as expected or by the very signal it
was asked with, ended as it was asked to. One that had to be terminated is `killed (stop-timeout)`. An end before it was
ready is a failed start, whatever the code.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct

from actors.exits import TRACEBACK_LIMIT, Crash, CrashRecord, ExitKind, ExitReason
from supervisors.processes.states import (
    Ended,
    Ending,
    Killing,
    Running,
    Spawning,
    Starting,
    State,
    Stopping,
    Terminating,
)
from supervisors.processes.statuses import signal_name
from supervisors.programs import Liveness

_LINE_SHOWN = 200
"""Characters of a last line that stand in a reason."""


class End(Struct, frozen=True):
    """How a program ended.

    Attributes:
        code: Its exit code; 128 and the signal's number where one ended it; -1 where only its parent knows.
        signal: The signal that ended it, or None.
        core: Whether it left a core.
        left: How many processes it left behind; they were ended.
    """

    code: int
    signal: int | None = None
    core: bool = False
    left: int = 0

    @classmethod
    def of_status(cls, status: int, left: int = 0) -> End:
        """Return the end that a wait status of `waitpid(2)` says; -1 is an end that another process waited for."""
        if status < 0:
            return cls(status, left=left)
        number = status & 0x7F
        if number:
            return cls(128 + number, number, bool(status & 0x80), left)
        return cls(status >> 8 & 0xFF, left=left)


def end_of(end: End, state: State, success: tuple[int, ...], stop_signal: int) -> ExitReason:
    """Return the reason for a program that ended while its machine was in `state`.

    Args:
        end: How it ended.
        state: What was being done with it.
        success: Exit codes that are no failure.
        stop_signal: What it is asked to end with.
    """
    match state:
        case Stopping(reason=asked, started=started):
            obeyed = end.code in success or end.signal == stop_signal
            return asked if obeyed or not started else _by_status(end, success)
        case Terminating():
            return ExitReason.killed("stop-timeout")
        case Running():
            return _by_status(end, success)
        case Spawning() | Starting():
            return _before_ready(end, success)
        case Killing() | Ending() | Ended():  # why is known already
            return _by_status(end, success)
        case _:
            assert_never(state)


def _by_status(end: End, success: tuple[int, ...]) -> ExitReason:
    left = f"left {end.left} process{'es' if end.left != 1 else ''} behind" if end.left else ""
    if end.code in success:
        return ExitReason(ExitKind.NORMAL, left)
    if end.signal is not None:
        core = "core dumped" if end.core else ""
        return ExitReason.killed(_joined(f"signal {signal_name(end.signal)}", core, left))
    told = f"exit code {end.code}" if end.code >= 0 else "exit code unknown"
    return ExitReason(ExitKind.CRASHED, _joined(told, left))


def _before_ready(end: End, success: tuple[int, ...]) -> ExitReason:
    reason = _by_status(end, success)
    if reason.kind is not ExitKind.NORMAL:
        return reason
    hint = "; if it goes on in the background, say forks = true" if end.left else ""
    record = CrashRecord("ProcessExit", f"the program ended before it was ready{hint}")
    return ExitReason(ExitKind.CRASHED, _joined(f"exit code {end.code}", reason.detail), Crash(record=record))


def with_last_lines(reason: ExitReason, tail: str) -> ExitReason:
    """Return `reason` with what the program last wrote as its traceback, and its last line where nothing else says why.

    A program writes its log where an interpreter writes its traceback, so its last line is shown as just that.
    """
    text = tail.strip()[-TRACEBACK_LIMIT:]
    if not text:
        return reason
    if reason.crash is not None:
        record = CrashRecord(reason.crash.type_name, reason.crash.message, text)
    else:
        last = text.rpartition("\n")[2]
        record = CrashRecord("ProcessExit", f"its last line was: {last[:_LINE_SHOWN]}", text)
    return ExitReason(reason.kind, reason.detail, Crash(record=record), reason.cause)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


# --- readiness and liveness -------------------------------------------------------------------------------------------


class Health(Struct, frozen=True, gc=False):
    """What the probes said so far.

    Attributes:
        ready: Whether the program is ready: from then on an answer is about its life.
        failures: Failed probes in a row since.
    """

    ready: bool = False
    failures: int = 0


def answered(health: Health, problem: str, alive: Liveness | None) -> tuple[Health, ExitReason | None]:
    """Return the health after an answer, and the reason to end the program where it counts as hung.

    Args:
        health: What it was.
        problem: Why the probe failed, "" where it succeeded.
        alive: The rule.
    """
    if not problem:
        return Health(True), None
    if not health.ready:
        return health, None  # not ready yet: asked again, until the start deadline
    failures = health.failures + 1
    if alive is None or failures < alive.failures:
        return Health(True, failures), None
    record = CrashRecord("ProbeFailed", f"{failures} probes in a row failed, the last one: {problem}")
    return Health(True, failures), ExitReason(ExitKind.KILLED, "probe-failed", Crash(record=record))
