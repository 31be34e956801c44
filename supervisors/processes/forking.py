"""Forking a sibling: a copy of this process whose parent is this process's parent. Linux alone.

An ordinary fork makes a child of the process that forks. Here the parent of the nursery is to be the parent of what the
nursery makes (`CLONE_PARENT`): the launcher then waits for the copy, gets its exit status and is the one whose end the
kernel tells it of (`PR_SET_PDEATHSIG`), exactly as for a process that it started itself; and the end of the nursery
concerns nobody.

The C library does not know of such a fork, so what its own `fork` would do is done here: Python is told before and
after (`PyOS_BeforeFork`, read in CPython 3.11), and the kernel writes the copy's thread id where the library keeps it
(its place is asked of the kernel, `PR_GET_TID_ADDRESS`). Handlers of `pthread_atfork` are not called: whoever forks
this way has one thread, and has loaded nothing but this runtime.

A copy also has the memory from which the kernel answers `/proc/PID/environ` and `/proc/PID/cmdline`. `Identity` writes
there, so that every copy carries a mark of its own (`supervisors.processes.marks`) and `ps` tells it from the others.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Any, Final

from supervisors.processes.marks import MARK

_CLONE3: Final = 435  # on every architecture but alpha
_CLONE_PARENT: Final = 0x0000_8000
_CLONE_CHILD_CLEARTID: Final = 0x0020_0000
_CLONE_CHILD_SETTID: Final = 0x0100_0000
_PR_GET_TID_ADDRESS: Final = 40

TITLE_BYTES: Final = 300
"""Room that a process which will be copied keeps for the arguments of its copies."""


class Forker:
    """Makes copies of this process, which has one thread.

    Raises:
        OSError: The kernel does not say what is needed, or this is not Linux.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("copies with another parent are made on Linux alone")
        self._libc: Any = ctypes.PyDLL(None, use_errno=True)  # one that keeps the interpreter: Python must not run on
        self._libc.syscall.restype = ctypes.c_long
        place = ctypes.c_void_p()
        if self._libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(place), 0, 0, 0) != 0 or not place.value:
            raise OSError(ctypes.get_errno(), "prctl(PR_GET_TID_ADDRESS) was refused")
        flags = _CLONE_PARENT | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID
        self._arguments = struct.pack("=11Q", flags, 0, place.value, 0, 0, 0, 0, 0, 0, 0, 0)

    def fork(self) -> int:
        """Return 0 in the copy, and its pid in this process.

        Raises:
            OSError: There can be no further process, or the kernel knows no such call.
        """
        python = ctypes.pythonapi
        arguments = ctypes.create_string_buffer(self._arguments, len(self._arguments))
        python.PyOS_BeforeFork()
        pid = int(self._libc.syscall(_CLONE3, arguments, ctypes.c_size_t(len(self._arguments))))
        if pid == 0:
            python.PyOS_AfterFork_Child()
            return 0
        error = ctypes.get_errno()
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(error, os.strerror(error))
        return pid


class Identity:
    """Where the kernel reads this process's mark and arguments from, to be written anew.

    Raises:
        OSError: The kernel does not say where that is, or this process carries no mark.
    """

    def __init__(self) -> None:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        self._title_at, title_end, env_at, env_end = (int(field) for field in fields[45:49])
        self._title_size = title_end - self._title_at
        entry = MARK.encode() + b"="
        environment = b"\0" + ctypes.string_at(env_at, env_end - env_at)
        found = environment.find(b"\0" + entry)
        if env_at == 0 or found < 0:
            raise OSError("this process carries no mark that could be changed")
        self._mark_at = env_at + found + len(entry)
        self.mark = environment[found + 1 + len(entry) :].partition(b"\0")[0].decode()
        """The marks as they were, each ended by `;`."""

    def take(self, mark: str) -> None:
        """Carry `mark` from now on, in what is read from outside and in what is handed to processes started here.

        Raises:
            ValueError: It is not as long as the mark there was.
        """
        data = mark.encode()
        if len(data) != len(self.mark.encode()):
            raise ValueError(f"{mark!r} is not as long as {self.mark!r}")
        ctypes.memmove(self._mark_at, data, len(data))
        os.environ[MARK] = mark

    def show(self, *arguments: str) -> None:
        """Show `arguments` in process listings, cut where there is no room for them."""
        data = b" ".join(os.fsencode(argument) for argument in arguments)[: self._title_size - 2]
        ctypes.memset(self._title_at, 0, self._title_size)
        ctypes.memmove(self._title_at, data, len(data))
        ctypes.memmove(self._title_at + self._title_size - 1, b".", 1)  # not NUL: the kernel shows it up to the first
