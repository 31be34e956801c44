"""The net around a process child on Windows: a Job Object, which ends together with everything that was put into it.

A process is put into a job of its own as soon as it is made; what it starts is in the job from birth and cannot leave.
The job ends its processes when its only handle is closed: when the process they belong to was waited for, and when this
one dies, however it dies. That is what group, mark and parent-death signal do together elsewhere.

What is asked of Windows is tested against a stand-in; it has not been tried on a real machine.
Source: the Job Objects chapter of the Win32 documentation; pywin32's `win32job`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Protocol


class Net(Protocol):
    """What holds a process and everything it started. Any thread, one at a time."""

    def close(self) -> None:
        """End what is left, and let go. More than once does nothing."""
        ...


class JobObject:
    """One job with one process and all that it starts.

    Args:
        pid: The process.
        win32job, win32api, win32con: pywin32's modules, or what stands in for them.

    Raises:
        Exception: `pywintypes.error`: the process is gone, or cannot be put into a job.
    """

    def __init__(self, pid: int, win32job: Any, win32api: Any, win32con: Any) -> None:
        self._close_handle = win32api.CloseHandle
        self._job: Any = win32job.CreateJobObject(None, "")
        try:
            limits = win32job.QueryInformationJobObject(self._job, win32job.JobObjectExtendedLimitInformation)
            limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
            win32job.SetInformationJobObject(self._job, win32job.JobObjectExtendedLimitInformation, limits)
            rights = win32con.PROCESS_SET_QUOTA | win32con.PROCESS_TERMINATE
            process = win32api.OpenProcess(rights, False, pid)
            try:
                win32job.AssignProcessToJobObject(self._job, process)
            finally:
                win32api.CloseHandle(process)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what is left in it, and let go of it."""
        job, self._job = self._job, None
        if job is not None:
            self._close_handle(job)


def net_around(pid: int) -> Net | None:
    """Return a net around the process `pid`, which was just made; None where the system has no such thing.

    Raises:
        OSError: pywin32, which asks the system, is not installed.
        Exception: As `JobObject`.
    """
    if sys.platform != "win32":
        return None
    try:
        modules = [import_module(name) for name in ("win32job", "win32api", "win32con")]
    except ImportError as error:
        raise OSError(f"{error}: pip install actorctl[windows]") from None
    return JobObject(pid, *modules)
