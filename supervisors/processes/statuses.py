"""How the end of an operating system process becomes an exit reason, when the child itself could not say why.

    exit code 0                 normal
    another exit code           crashed, detail "exit code 3"
    ended by a signal           killed, detail "signal SIGSEGV"

What the process last wrote to stderr goes along as the crash's traceback: there is the Python traceback of a failed
interpreter start, the stacks that `faulthandler` writes on a segmentation fault, or a library's last words.
"""

from __future__ import annotations

import signal

from actors.exits import TRACEBACK_LIMIT, Crash, CrashRecord, ExitKind, ExitReason


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
    text = text[-TRACEBACK_LIMIT:]
    if reason.crash is not None:
        record = CrashRecord(reason.crash.type_name, reason.crash.message, text)
    else:
        record = CrashRecord("ProcessExit", text.rpartition("\n")[2], text)
    return ExitReason(reason.kind, reason.detail, Crash(record=record), reason.cause)
