"""What is asked of Windows for the net around a process child, by a stand-in for pywin32: no real machine is used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from supervisors.processes.jobobjects import JobObject, net_around


class Windows:
    """Jobs and processes as pywin32 shows them; a job that is set so ends its processes when its handle is closed."""

    JobObjectExtendedLimitInformation = 9
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
    PROCESS_SET_QUOTA, PROCESS_TERMINATE = 0x100, 0x1

    def __init__(self, *alive: int) -> None:
        self.alive = set(alive)
        self.members: dict[str, set[int]] = {}
        self.limits: dict[str, dict[str, Any]] = {}
        self.handles: dict[str, int | str] = {}

    def CreateJobObject(self, attributes: None, name: str) -> str:
        job = f"job {len(self.members) + 1}"
        self.members[job], self.handles[job] = set(), job
        self.limits[job] = {"BasicLimitInformation": {"LimitFlags": 0}}
        return job

    def QueryInformationJobObject(self, job: str, kind: int) -> dict[str, Any]:
        assert kind == self.JobObjectExtendedLimitInformation
        return {"BasicLimitInformation": dict(self.limits[job]["BasicLimitInformation"])}

    def SetInformationJobObject(self, job: str, kind: int, limits: dict[str, Any]) -> None:
        assert kind == self.JobObjectExtendedLimitInformation
        self.limits[job] = limits

    def OpenProcess(self, rights: int, inherits: bool, pid: int) -> str:
        assert rights == self.PROCESS_SET_QUOTA | self.PROCESS_TERMINATE
        assert not inherits
        if pid not in self.alive:
            raise RuntimeError("(87, 'OpenProcess', 'The parameter is incorrect.')")
        self.handles[f"process {pid}"] = pid
        return f"process {pid}"

    def AssignProcessToJobObject(self, job: str, process: str) -> None:
        self.members[job].add(int(self.handles[process]))

    def CloseHandle(self, handle: str) -> None:
        del self.handles[handle]
        flags = self.limits.get(handle, {}).get("BasicLimitInformation", {}).get("LimitFlags", 0)
        if flags & self.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE:
            self.alive -= self.members[handle]

    def forks(self, parent: int, pid: int) -> None:
        """A process starts another one, which is in the job of its parent."""
        self.alive.add(pid)
        for members in self.members.values():
            if parent in members:
                members.add(pid)


def around(windows: Windows, pid: int) -> JobObject:
    return JobObject(
        pid, windows, SimpleNamespace(OpenProcess=windows.OpenProcess, CloseHandle=windows.CloseHandle), windows
    )


def test_what_a_process_started_ends_with_its_job_and_nothing_else_does():
    windows = Windows(7, 8)
    job = around(windows, 7)
    windows.forks(7, 70)
    windows.forks(70, 700)

    job.close()

    assert windows.alive == {8}
    assert windows.handles == {}


def test_closing_it_again_does_nothing():
    windows = Windows(7)
    job = around(windows, 7)
    job.close()

    job.close()

    assert windows.alive == set()


def test_the_end_of_this_process_is_the_end_of_all_in_it():
    windows = Windows(7)
    job = around(windows, 7)
    assert list(windows.handles) == ["job 1"]  # the only one: the system closes it with this process

    windows.CloseHandle("job 1")

    assert windows.alive == set()
    del job


def test_a_process_that_is_gone_leaves_no_handle_behind():
    windows = Windows()

    with pytest.raises(RuntimeError, match="OpenProcess"):
        around(windows, 7)

    assert windows.handles == {}


def test_without_pywin32_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.platform", "win32")

    with pytest.raises(OSError, match=r"pip install actorctl\[windows\]"):
        net_around(1)


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.platform", "linux")

    assert net_around(1) is None
