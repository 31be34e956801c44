"""The first process of a container: it reaps what others leave behind and passes signals on.

A process with id 1 inherits every orphan of its namespace, and has to wait for each or they stay as zombies. A node
waits for its own children one by one and must not take their exit statuses away from itself. So the first process stays
what it is, a loop around `wait`, and the node runs in a child of it: signals reach it there, and its exit code is the
container's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Final

FORWARDED: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH")
"""Signals that are the node's to answer."""


def is_first() -> bool:
    """Whether this process inherits the orphans of its namespace."""
    return os.getpid() == 1


def become_init() -> None:
    """Return in a child that is to be the node; the first process itself never returns, and ends as the child does.

    Call it before any thread is started. On a terminal the child's group gets the foreground, so that Ctrl-C reaches
    it once and not twice.
    """
    waited = {signal.SIGCHLD, *(getattr(signal, name) for name in FORWARDED if hasattr(signal, name))}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        _take_terminal(os.getpid())
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # whichever of the two comes first
    os._exit(_serve(child, waited))


def _serve(child: int, waited: set[signal.Signals]) -> int:
    """Reap and forward until `child` has ended; return the exit code that says how."""
    while True:
        number = signal.sigwait(waited)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        while True:  # one signal may stand for many children
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _take_terminal(group: int) -> None:
    """Make `group` the foreground group of the terminal on standard input, where there is one."""
    try:
        if not sys.stdin or not os.isatty(0):
            return
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, group)
        finally:
            signal.signal(signal.SIGTTOU, before)
    except OSError:
        return
