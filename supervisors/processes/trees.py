"""Ending a process with everything it started: its group, its descendants, and those that slipped away from both.

Three nets, because each has holes. The process *group* dies in one call, but `setsid` leaves it. The *descendants* are
read from the process table before the kill, with their starts so that a reused pid is never hit, but a double fork
leaves the table's tree. The *mark* (`supervisors.processes.marks`) finds the rest. Only a program that cleaned its
environment, left the group and left the tree has left all three.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

import psutil
from msgspec import Struct

from supervisors.processes.marks import KILL, MARK, marked, read_mark, sweep
from transport.identity import ProcessIdentity, Sighting, this_boot

SWEEP_TIMEOUT = 5.0
"""Seconds spent on ending what a child left behind."""


def descendants(pid: int) -> list[ProcessIdentity]:
    """Return the processes below `pid` as the process table shows them now, parents before children."""
    found: list[ProcessIdentity] = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                found.append(ProcessIdentity.of(process.pid))
    return found


def kill_member(member: ProcessIdentity) -> None:
    """Send KILL to the process `member`, unless its pid belongs to another one by now."""
    with contextlib.suppress(OSError):
        if not hasattr(os, "pidfd_open"):
            if member.look() is Sighting.ALIVE:
                os.kill(member.pid, KILL)
            return
        fd = os.pidfd_open(member.pid)  # holds the process while it is looked at
        try:
            if member.look() is Sighting.ALIVE:
                signal.pidfd_send_signal(fd, KILL)
        finally:
            os.close(fd)


def signal_group(pid: int, number: int) -> None:
    """Send signal `number` to the process group that `pid` leads; on Windows, which has none, to the process.

    The leader must not have been waited for yet: only until then is the number surely its own.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def kill_group(pid: int) -> None:
    """Send KILL to the process group that `pid` leads, as `signal_group` does."""
    signal_group(pid, KILL)


def signal_process(pid: int, number: int) -> None:
    """Send signal `number` to the process `pid`, which must not have been waited for yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_tree(pid: int) -> list[ProcessIdentity]:
    """Send KILL to `pid`, its group and its descendants; return the descendants that were found.

    `pid` must not have been waited for yet.
    """
    below = descendants(pid)
    kill_group(pid)
    signal_process(pid, KILL)
    for member in below:
        kill_member(member)
    return below


def sweep_remains(mark: str, below: list[ProcessIdentity], look: Callable[[str], list[int]] = marked) -> list[int]:
    """End what a process left behind once it is gone; return the pids that could not be ended.

    Args:
        mark: The mark of its launch.
        below: The descendants that were known of it.
        look: Finds the processes with a mark.
    """
    for member in below:
        kill_member(member)
    return sweep(mark, timeout=SWEEP_TIMEOUT, look=look)[1]


# --- marks ------------------------------------------------------------------------------------------------------------


class Owner(Struct, frozen=True):
    """The launcher a mark belongs to, so that a later one can tell whether it still lives.

    Attributes:
        home: Name of the home that it works for; letters and digits.
        process: Its process.
        nonce: Tells launchers of one process apart.
    """

    home: str
    process: ProcessIdentity
    nonce: str

    @property
    def mark(self) -> str:
        """What the marks of all its launches share."""
        return f"{self.home}.{self.process.pid}.{self.process.start}.{self.nonce}."

    @classmethod
    def of_mark(cls, mark: str) -> Owner | None:
        """Return the owner that `mark` names, None where it is no mark."""
        parts = mark.split(".")
        if len(parts) != 5 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], ProcessIdentity(int(parts[1]), int(parts[2]), this_boot()), parts[3])


def sweep_leftovers(home: str) -> list[int]:
    """End the processes that dead launchers of `home` left behind; return their pids.

    They exist only if a launcher and its warden were both killed. A living launcher's children are left alone.
    """
    dead: set[str] = set()
    leftovers: list[int] = []
    for pid in marked(f"{home}."):
        for mark in read_mark(pid).split(";"):
            owner = Owner.of_mark(mark)
            if owner is not None and owner.home == home and not owner.process.is_alive:
                dead.add(owner.mark)
                leftovers.append(pid)
                break
    for mark in sorted(dead):
        sweep(mark, timeout=SWEEP_TIMEOUT)
    return leftovers


def environment_with(mark: str, environment: dict[str, str]) -> dict[str, str]:
    """Return `environment` with `mark` added inside the marks it already has."""
    return {**environment, MARK: f"{environment.get(MARK, '')}{mark};"}
