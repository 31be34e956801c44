"""How the end of an operating system process becomes an exit reason, when the child itself could not say why; and the
reasons for which its launcher ends it.

    exit code 0                 normal
    another exit code           crashed, detail "exit code 3"
    ended by a signal           killed, detail "signal SIGSEGV"

What the process last wrote to stderr goes along as the crash's traceback: there is the Python traceback of a failed
interpreter start, the stacks that `faulthandler` writes on a segmentation fault, or a library's last words. The last
line is the message; of what `faulthandler` wrote it is the first.
"""

from __future__ import annotations

import re
import signal
from typing import Final

from actors.exits import KILLED, TRACEBACK_LIMIT, Crash, CrashRecord, ExitKind, ExitReason
from supervisors.processes.states import Limits

PROCESS_EXIT: Final = "ProcessExit"
"""The class of error that stands for a process that said nothing itself: its last output is the text."""

_FATAL: Final = re.compile(r"^(?:Fatal Python error|Windows fatal exception): .*$", re.MULTILINE)
"""How `faulthandler` begins; it ends with the stacks of other threads, or a list of extension modules."""


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9; a number without a name is `SIG40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def reason_of_status(returncode: int, stderr: str = "") -> ExitReason:
    """Return the reason for a process that ended without the child saying why.

    Args:
        returncode: Exit code, or the negative number of the signal that ended it (as `subprocess` gives it).
        stderr: The last lines it wrote there.
    """
    if returncode == 0:
        return ExitReason(ExitKind.NORMAL)
    if returncode < 0:
        return with_evidence(ExitReason.killed(f"signal {signal_name(-returncode)}"), stderr)
    return with_evidence(ExitReason(ExitKind.CRASHED, f"exit code {returncode}"), stderr)


def with_evidence(reason: ExitReason, stderr: str) -> ExitReason:
    """Return `reason` with the last lines of stderr as its traceback, unless it has one already."""
    text = stderr.strip()
    if not text or (reason.crash is not None and reason.crash.traceback):
        return reason
    fatal = _FATAL.search(text)
    said = fatal.group() if fatal is not None else text.rpartition("\n")[2]
    text = text[-TRACEBACK_LIMIT:]
    if reason.crash is not None:
        record = CrashRecord(reason.crash.type_name, reason.crash.message, text)
    else:
        record = CrashRecord(PROCESS_EXIT, said, text)
    return ExitReason(reason.kind, reason.detail, Crash(record=record), reason.cause)


def no_hello(limits: Limits) -> ExitReason:
    """The process was made and did not say that it runs."""
    text = f"its process did not say hello within {limits.hello_timeout:g} s"
    record = CrashRecord("actors.errors.StartTimeoutError", text)
    return ExitReason(KILLED.kind, "start-timeout", Crash(record=record))


def start_timeout() -> ExitReason:
    """The child was not ready in time."""
    record = CrashRecord("actors.errors.StartTimeoutError", "the child was not ready before its start deadline")
    return ExitReason(KILLED.kind, "start-timeout", Crash(record=record))


def heartbeat_missed(silent: float, limits: Limits) -> ExitReason:
    """The child was silent for `silent` seconds."""
    text = f"no heartbeat for {silent:.3g} s (one every {limits.heartbeat:g} s, {limits.misses} may be missed)"
    return ExitReason(KILLED.kind, "heartbeat-missed", Crash(record=CrashRecord("HeartbeatMissed", text)))


def memory_limit(rss_bytes: int, limits: Limits) -> ExitReason:
    """The process grew to `rss_bytes`."""
    text = f"resident size {rss_bytes} bytes is over the limit of {limits.memory_max_bytes} bytes"
    return ExitReason(KILLED.kind, "memory-limit", Crash(record=CrashRecord("MemoryLimit", text)))
