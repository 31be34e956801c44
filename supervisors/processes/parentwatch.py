"""The child's side of "no orphan": it ends, with what it started, when its parent process is gone.

Two watches. On Linux the kernel itself sends KILL when the parent's thread that made this process ends
(`PR_SET_PDEATHSIG`), which also works while C code holds the interpreter. On every system a thread blocks on the pipe
whose other end only the parent holds. Whichever comes first; what both leave behind is the warden's
(`supervisors.processes.marks`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def arm(parent_pid: int) -> None:
    """Ask the kernel to end this process with its parent, and end it now if the parent is gone already.

    Args:
        parent_pid: The process that started this one, as it said itself. Not 1 and not what `getppid` said a moment
            ago: an orphan's new parent can be any process that adopts orphans.
    """
    if sys.platform.startswith("linux"):
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent_pid:
        end_group()


def watch_pipe(fd: int, gone: Callable[[], None]) -> threading.Thread:
    """Call `gone` on a thread of its own once the other end of the pipe `fd` is closed."""

    def block() -> None:
        try:
            while os.read(fd, 4096):
                continue
        except OSError:
            return  # closed by this process itself on its way out
        gone()

    thread = threading.Thread(target=block, name="parent-watch", daemon=True)
    thread.start()
    return thread


def end_group() -> None:
    """End this process and its group at once; does not return."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
