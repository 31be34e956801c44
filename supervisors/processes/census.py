"""Finding marked processes fast: who was seen not to belong to a launcher is not looked at again.

Looking at the environment of every process of the machine takes milliseconds, and it happens between the end of a child
and its replacement. But whoever does not carry a launcher's mark never will: a mark is inherited at birth, and only the
launcher itself starts processes with one. So each process is looked at once. A process is told from a later one of the
same pid by the inode of its folder in /proc, which the kernel numbers anew for each; and after a while everything is
looked at again, should a system number them otherwise.

What cannot be read is not remembered: a process that is just loading a program shows no environment. Nor are the
processes of others; threads of the kernel, which have none, are.

Not thread-safe: for the thread that clears up after children. Where there is no /proc, every look is a whole one.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

from supervisors.processes.marks import MARK, marked

FORGET_AFTER: Final = 30.0
"""Seconds after which everything is looked at again."""

_KERNEL_THREAD: Final = 0x0020_0000  # PF_KTHREAD among the flags in /proc/PID/stat


class Census:
    """What is known of the processes of this machine."""

    def __init__(self, prefix: str) -> None:
        """Make an empty one; `prefix` is what all marks that are asked for share."""
        self._prefix = prefix.encode()
        self._strangers: dict[int, int] = {}
        self._since = time.monotonic()

    def marked(self, mark: str) -> list[int]:
        """Return the pids of the other processes whose marks hold `mark`, which begins with the prefix."""
        if not sys.platform.startswith("linux"):
            return marked(mark)
        now = time.monotonic()
        known = self._strangers if now - self._since < FORGET_AFTER else {}
        if not known:
            self._since = now
        wanted = mark.encode()
        own = os.getpid()
        found: list[int] = []
        strangers: dict[int, int] = {}
        with os.scandir("/proc") as entries:
            for entry in entries:
                if not entry.name.isdecimal():
                    continue
                pid, inode = int(entry.name), entry.inode()
                if known.get(pid) == inode:
                    strangers[pid] = inode
                    continue
                environment = _read(pid, "environ")
                marks = _marks_in(environment)
                if wanted in marks:
                    if pid != own:
                        found.append(pid)
                elif self._prefix not in marks and (environment or _is_kernel_thread(pid)):
                    strangers[pid] = inode
        self._strangers = strangers
        return found


def _marks_in(environment: bytes) -> bytes:
    entry = MARK.encode() + b"="
    return next((each[len(entry) :] for each in environment.split(b"\0") if each.startswith(entry)), b"")


def _is_kernel_thread(pid: int) -> bool:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return len(fields) > 6 and bool(int(fields[6]) & _KERNEL_THREAD)


def _read(pid: int, name: str) -> bytes:
    """Return a file of a process; b"" when it is gone, or another user's."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = b""
        while more := os.read(fd, 131_072):
            data += more
        return data
    except OSError:
        return b""
    finally:
        os.close(fd)
