"""Real processes for tests: small trees of them, and waiting for them to be gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from support.waiting import until

TIMEOUT = 60.0
"""Seconds after which a wait in a test fails; never an expectation of speed."""

SLEEPER = "import sys, time; print('up', flush=True); time.sleep(600)"

DAEMON = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)'])
    os._exit(0)
os.wait()
"""
"""Leaves a daemon behind in a session of its own, prints its pid, and ends."""


@contextlib.contextmanager
def process(code: str = SLEEPER, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python `code` until its first line is out; whatever is left of it in the end is killed."""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0, **options)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def first_line(child: subprocess.Popen[bytes]) -> str:
    """Return the first line that `child` prints."""
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def instance(pid: int) -> psutil.Process:
    """Return the process as it is now; equality and liveness of what this returns are safe against reuse of the pid."""
    return psutil.Process(pid)


def halt(pid: int) -> None:
    """Stop a process, and return once every thread of it has stopped: a kill returns before that."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: has_halted(pid), what=f"process {pid} stopped")


def has_halted(pid: int) -> bool:
    """Whether no thread of a process runs, or will before it is told to go on."""
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # that thread ended
            states.append(stat.read_text().rpartition(") ")[2][0])
    return all(state in "TtZX" for state in states)


def wait_gone(*processes: psutil.Process, timeout: float = TIMEOUT) -> list[psutil.Process]:
    """Wait until `processes` have ended, waited for by their parents or not; return those that have not."""
    deadline = time.monotonic() + timeout
    for found in processes:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(found.pid)
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if is_alive(found):
                    poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            finally:
                os.close(fd)
    return [found for found in processes if is_alive(found)]


def is_alive(process: psutil.Process) -> bool:
    """Whether the very process runs, not only its pid."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment and `more`."""
    return {**os.environ, **more}
