"""Which process is meant: its id and its start, so that neither a reused id nor a dying process is taken for it.

A process id is used again; a process id together with the start of the process is not. The start is a number that
stays the same for as long as the process lives, whatever is done to the clock: on Linux ticks since the machine's
boot, as the kernel keeps them (an instant of the wall clock would move with each step of it, and the living would
look dead). An identity that is kept in a file names the boot as well, for ticks begin anew with it.

A process that has been killed and has not yet gone is as good as dead: none of its code will run again. Linux shows
that from the moment in which the signal was sent.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

_HAS_PROC: Final = sys.platform.startswith("linux")
_SLACK_MS: Final = 0 if _HAS_PROC else 1000  # elsewhere the start is an instant, which psutil rounds
_EXITING: Final = 0x4  # PF_EXITING in include/linux/sched.h: it has begun to exit
_KILL_BIT: Final = 1 << 8  # signal 9 in a mask that counts from 1


class Sighting(Enum):
    """What the operating system says of a process."""

    ALIVE = "alive"
    GONE = "gone"
    """It ended (waited for or not), it is ending, or its id has another process now."""
    HIDDEN = "hidden"
    """There is one of that id, and this user may not look at it."""


class ProcessIdentity(Struct, frozen=True, gc=False):
    """One process, never another one of the same id.

    Attributes:
        pid: Its id.
        start: When it started: ticks since boot on Linux, elsewhere milliseconds since the epoch.
        boot: Which boot of the machine `start` counts from; "" where no boot can lie between.
    """

    pid: int
    start: int
    boot: str = ""

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the process that has the id `pid` now.

        Raises:
            ProcessLookupError: There is none.
            PermissionError: This user may not look at it.
        """
        return cls(pid, _look(pid)[0], this_boot())

    def look(self) -> Sighting:
        """Return what has become of it; costs two small reads on Linux, elsewhere the import of psutil."""
        if self.boot and self.boot != this_boot():
            return Sighting.GONE
        try:
            start, is_ending = _look(self.pid)
        except ProcessLookupError:
            return Sighting.GONE
        except PermissionError:
            return Sighting.HIDDEN
        return Sighting.GONE if is_ending or abs(start - self.start) > _SLACK_MS else Sighting.ALIVE

    @property
    def is_alive(self) -> bool:
        """Whether it may still do something; one that cannot be looked at may."""
        return self.look() is not Sighting.GONE


@cache
def this_boot() -> str:
    """Return what tells this boot of the machine from others, "" where the start of a process is an instant."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip() if _HAS_PROC else ""
    except OSError:  # no such file in a container that hides it
        return ""


def read_stat(stat: bytes) -> tuple[int, bool]:
    """Return the start, and whether the process has ended or begun to, from `/proc/PID/stat` (proc(5))."""
    fields = stat[stat.rindex(b")") + 2 :].split()  # from the third on: the second, its name, can hold anything
    return int(fields[19]), fields[0] in (b"Z", b"X", b"x") or bool(int(fields[6]) & _EXITING)


def kill_is_pending(status: bytes) -> bool:
    """Return whether a KILL is under way to the process, from `/proc/PID/status` (proc(5))."""
    masks = (line.partition(b":")[2] for line in status.splitlines() if line.startswith((b"SigPnd:", b"ShdPnd:")))
    return any(int(mask, 16) & _KILL_BIT for mask in masks)


def _look(pid: int) -> tuple[int, bool]:
    """Return (start, whether it has ended or will without doing anything more) of the process with the id `pid`."""
    if _HAS_PROC:
        try:
            start, is_ending = read_stat(Path(f"/proc/{pid}/stat").read_bytes())
            return start, is_ending or kill_is_pending(Path(f"/proc/{pid}/status").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            _see_whether_hidden(pid)
            raise ProcessLookupError(f"no process {pid}") from None
    import psutil  # only where there is no /proc

    try:
        process = psutil.Process(pid)
        return round(process.create_time() * 1000), process.status() == psutil.STATUS_ZOMBIE
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from None
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        raise ProcessLookupError(f"no process {pid}") from None


def _see_whether_hidden(pid: int) -> None:
    """Raise PermissionError where `/proc` hides the processes of others (`hidepid`) and `pid` is one of them."""
    if pid > 0:
        with suppress(ProcessLookupError, OverflowError):
            os.kill(pid, 0)
