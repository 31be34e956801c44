"""What a process uses: resident memory, processor time, threads. Cheap enough for every heartbeat."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable

from supervisors.usage import Usage

CPU_WINDOW = 10.0
"""Seconds over which the use of processors is averaged before a bound is held against it."""

_HAS_PROC = sys.platform.startswith("linux")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def rss_bytes(pid: int | None = None) -> int | None:
    """Return the resident size of the process `pid` (None: this one), or None when it is gone.

    On Linux one small read of /proc that waits for nobody, whatever the process does: some 5 us.
    """
    if _HAS_PROC:
        try:
            with open(f"/proc/{'self' if pid is None else pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return None
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def own_bytes(pid: int) -> int:
    """Return the memory that the process `pid` shares with no other; its resident size where that is not known.

    Takes the time of a walk over its pages, and its memory lock meanwhile: not for every heartbeat. 0 when it is gone.
    """
    if _HAS_PROC:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                lines = [line.split() for line in file if line.startswith(b"Private_")]
            return sum(int(line[1]) for line in lines) * 1024
        except (OSError, IndexError, ValueError):
            return rss_bytes(pid) or 0
    return rss_bytes(pid) or 0


def usage_of(pids: Iterable[int]) -> Usage | None:
    """Return what the processes `pids` use together; None where none of them is there.

    On Linux three reads of /proc for each, some 30 us.
    """
    found = [one for pid in pids if (one := _usage(pid)) is not None]
    if not found:
        return None
    files = [one.open_files for one in found if one.open_files is not None]
    return Usage(
        sum(one.rss_bytes for one in found),
        sum(one.cpu_seconds for one in found),
        sum(one.threads for one in found),
        sum(files) if files else None,
    )


def _usage(pid: int) -> Usage | None:
    if not _HAS_PROC:
        return _usage_elsewhere(pid)
    size = rss_bytes(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read().rpartition(b")")[2].split()
        seconds, threads = (int(stat[11]) + int(stat[12])) / _TICKS, int(stat[17])
    except (OSError, IndexError):
        return None
    try:
        files: int | None = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # another user's
        files = None
    return Usage(size or 0, seconds, threads, files)


def _usage_elsewhere(pid: int) -> Usage | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            files = process.num_fds() if hasattr(process, "num_fds") else None
            return Usage(process.memory_info().rss, times.user + times.system, process.num_threads(), files)
    except psutil.Error:
        return None


def cpu_seconds() -> float:
    """Return the processor time this process used so far, user and system."""
    return time.process_time()


def thread_count() -> int:
    """Return how many threads of Python this process has."""
    return threading.active_count()
