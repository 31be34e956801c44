"""Finding every process that a launcher's children left behind, by the mark they inherit; and the warden that does it.

A mark is an environment variable that every descendant of a child inherits. A process keeps the environment it was
started with whoever its parent is now, so a double fork into another session, which leaves the process group and the
process tree, still carries it. It is no secret: it says which launch a process belongs to, to operators too (`ps e`).

Run as a program, this module is the *warden*: a small process that does nothing until the launcher that started it is
gone, however it went (its end of a pipe closes), and then ends every process that carries the launcher's mark. It is
what makes "no orphan" hold after `kill -9` of the launcher for a child hung in C code, whose own watch cannot run, and
for what the children started. Standard library alone, so that it starts in milliseconds and stays small.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable

MARK = "ACTORS_INSTANCE"
"""The environment variable: marks from the outermost launch inwards, each ended by `;`."""

KEEPER = "ACTORS_KEEPER"
"""The environment variable that says of a process that it ends by itself once its launcher is gone, and all below it
before: a keeper of a program. What it keeps may have lost every mark, so it must not be killed before it has done that.
"""

KEEPER_GRACE = 10.0
"""Seconds a sweep leaves keepers to do so, at most."""

KEEPER_SHARE = 0.6
"""The share of a sweep's time that it leaves them: then it has to end them itself."""

WARDEN_TIMEOUT = 30.0
"""Seconds a warden tries to end what a launcher left."""

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""What ends a process whatever it does; on Windows TERM is that."""

_HAS_PROC = sys.platform.startswith("linux")
_PREFIX = MARK.encode() + b"="


def read_mark(pid: int) -> str:
    """Return the marks of the process `pid`, "" when it has none, is gone, or is another user's."""
    if _HAS_PROC:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            for entry in file.read().split(b"\0"):
                if entry.startswith(_PREFIX):
                    return entry[len(_PREFIX) :].decode(errors="replace")
        return ""
    import psutil  # not on Linux: the warden there runs without site-packages

    with contextlib.suppress(psutil.Error, OSError):
        return str(psutil.Process(pid).environ().get(MARK, ""))
    return ""


def is_keeper(pid: int) -> bool:
    """Whether the process `pid` is the keeper of a program; False where that cannot be read."""
    if _HAS_PROC:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            return any(entry.startswith(KEEPER.encode() + b"=") for entry in file.read().split(b"\0"))
        return False
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return KEEPER in psutil.Process(pid).environ()
    return False


def pids() -> list[int]:
    """Return the pids of all processes but this one."""
    if _HAS_PROC:
        found = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    else:
        import psutil

        found = psutil.pids()
    own = os.getpid()
    return [pid for pid in found if pid != own]


def marked(mark: str) -> list[int]:
    """Return the pids of the other processes whose marks hold `mark`. Costs about 10 us per process of the machine."""
    return [pid for pid in pids() if mark in read_mark(pid)]


def sweep(mark: str, *, timeout: float, look: Callable[[str], list[int]] = marked) -> tuple[int, list[int]]:
    """Kill every other process whose marks hold `mark`, until a look finds none.

    Args:
        mark: A whole mark, or the part that a launcher's marks share; not "".
        timeout: Seconds after which those that do not go (stuck in the kernel, another user's) are given up.
        look: Finds them.

    Returns:
        How many were killed, and the pids of those still there.

    Raises:
        ValueError: `mark` is empty, which every process would match.
    """
    if not mark:
        raise ValueError("an empty mark would select every process")
    begun = time.monotonic()
    until = begun + timeout
    killed: set[int] = set()
    while found := look(mark):
        if time.monotonic() >= until:
            return len(killed), found
        left = begun + min(KEEPER_GRACE, KEEPER_SHARE * timeout) - time.monotonic()
        keepers = [pid for pid in found if is_keeper(pid)] if left > 0 else []
        for pid in found:
            if pid in keepers:
                _let_end(pid, mark)
            else:
                _kill(pid, mark)
                killed.add(pid)
        for pid in found:
            limit = left if pid in keepers else until - time.monotonic()
            _wait_gone(pid, max(0.0, limit))
    return len(killed), []


def _let_end(pid: int, mark: str) -> None:
    """Have a keeper go on, should it be stopped: it can end what it keeps only if it runs."""
    if hasattr(signal, "SIGCONT"):
        _kill(pid, mark, signal.SIGCONT)


def _kill(pid: int, mark: str, number: int = KILL) -> None:
    """Signal `pid` if it still is a marked process: where there are pidfds, one holds it while that is looked at."""
    with contextlib.suppress(OSError):
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, number)
            return
        fd = os.pidfd_open(pid)
        try:
            if mark in read_mark(pid):
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def _wait_gone(pid: int, timeout: float) -> None:
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(pid)
            try:
                gone = select.poll()
                gone.register(fd, select.POLLIN)
                gone.poll(timeout * 1000)
            finally:
                os.close(fd)
        return
    import psutil

    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).wait(timeout)


def watch_launcher(mark: str) -> None:
    """Be the warden: block until standard input ends, then sweep `mark`."""
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)  # a group's TERM or Ctrl-C is the launcher's to answer
    while os.read(0, 4096):
        continue
    sweep(mark, timeout=WARDEN_TIMEOUT)


if __name__ == "__main__":
    watch_launcher(sys.argv[1])
