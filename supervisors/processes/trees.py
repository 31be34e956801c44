"""Ending a process with everything it started: its group, its descendants, and those that slipped away from both.

Three nets, because each has holes. The process *group* dies in one call, but `setsid` leaves it. The *descendants* are
read from the process table before the kill, with their creation times so that a reused pid is never hit, but a double
fork leaves the table's tree. The *mark* (`supervisors.processes.marks`) finds the rest. Only a program that cleaned its
environment, left the group and left the tree has left all three.
"""

from __future__ import annotations

import contextlib
import os

import psutil
from msgspec import Struct

from supervisors.processes.marks import KILL, MARK, marked, read_mark, sweep

SWEEP_TIMEOUT = 5.0
"""Seconds spent on ending what a child left behind."""


class Member(Struct, frozen=True, gc=False):
    """One process, safe against the reuse of its pid."""

    pid: int
    create_time: float


def descendants(pid: int) -> list[Member]:
    """Return the processes below `pid` as the process table shows them now, parents before children."""
    found: list[Member] = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.append(Member(process.pid, process.create_time()))
    return found


def kill_member(member: Member) -> None:
    """Send KILL to the process that `member` names, unless its pid belongs to another one by now."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(member.pid)
        if process.create_time() == member.create_time:
            process.kill()


def signal_group(pid: int, number: int) -> None:
    """Send signal `number` to the process group that `pid` leads; on Windows, which has none, to the process.

    The leader must not have been waited for yet: only until then is the number surely its own.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def signal_process(pid: int, number: int) -> None:
    """Send signal `number` to the process `pid`, which must not have been waited for yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_tree(pid: int) -> list[Member]:
    """Send KILL to `pid`, its group and its descendants; return the descendants that were found.

    `pid` must not have been waited for yet.
    """
    below = descendants(pid)
    signal_group(pid, KILL)
    signal_process(pid, KILL)
    for member in below:
        kill_member(member)
    return below


def sweep_remains(mark: str, below: list[Member]) -> list[int]:
    """End what a process left behind once it is gone; return the pids that could not be ended.

    Args:
        mark: The mark of its launch.
        below: The descendants that were known of it.
    """
    for member in below:
        kill_member(member)
    return sweep(mark, timeout=SWEEP_TIMEOUT)[1]


# --- marks ------------------------------------------------------------------------------------------------------------


class Owner(Struct, frozen=True):
    """The launcher a mark belongs to, so that a later one can tell whether it still lives.

    Attributes:
        home: Name of the home that it works for; letters and digits.
        pid: Its process.
        started: When that process was created, in whole milliseconds since the epoch.
        nonce: Tells launchers of one process apart.
    """

    home: str
    pid: int
    started: int
    nonce: str

    @property
    def mark(self) -> str:
        """What the marks of all its launches share."""
        return f"{self.home}.{self.pid}.{self.started}.{self.nonce}."

    @property
    def is_alive(self) -> bool:
        """Whether the launcher's process still runs; one that ended and was not waited for does not."""
        try:
            if psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(create_time_ms(self.pid) - self.started) <= 10
        except psutil.Error:
            return False

    @classmethod
    def of_mark(cls, mark: str) -> Owner | None:
        """Return the owner that `mark` names, None where it is no mark."""
        parts = mark.split(".")
        if len(parts) != 5 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])


def create_time_ms(pid: int) -> int:
    """Return when the process `pid` was created, in whole milliseconds since the epoch.

    Raises:
        psutil.Error: It is gone.
    """
    return round(float(psutil.Process(pid).create_time()) * 1000)


def sweep_leftovers(home: str) -> list[int]:
    """End the processes that dead launchers of `home` left behind; return their pids.

    They exist only if a launcher and its warden were both killed. A living launcher's children are left alone.
    """
    dead: set[str] = set()
    leftovers: list[int] = []
    for pid in marked(f"{home}."):
        for mark in read_mark(pid).split(";"):
            owner = Owner.of_mark(mark)
            if owner is not None and owner.home == home and not owner.is_alive:
                dead.add(owner.mark)
                leftovers.append(pid)
                break
    for mark in sorted(dead):
        sweep(mark, timeout=SWEEP_TIMEOUT)
    return leftovers


def environment_with(mark: str, environment: dict[str, str]) -> dict[str, str]:
    """Return `environment` with `mark` added inside the marks it already has."""
    return {**environment, MARK: f"{environment.get(MARK, '')}{mark};"}
