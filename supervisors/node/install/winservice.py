"""The program of a Windows service: `python -m supervisors.node.install.winservice NAME FOLDER ARGUMENTS`.

It joins `servicehost` to pywin32's service framework. It has not been tried on a real machine: what it decides is
`servicehost`'s, which tests drive through its ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from supervisors.node.install.servicehost import NodeProcess, ServiceHost
from supervisors.node.install.spec import STOP_SLACK
from supervisors.node.statefile import read_state

PRESHUTDOWN = 0x0000000F
ACCEPT_PRESHUTDOWN = 0x00000100


class Spawned:
    """The node as a process of this one, spoken to by `actorctl`; meets `NodeProcess`."""

    def __init__(self, directory: str, words: list[str]) -> None:
        self._base = [sys.executable, "-P", "-m", "supervisors.cli"]
        self._directory = directory
        self._home = _home_of(words, directory)
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # which Windows alone has
        self._process = subprocess.Popen([*self._base, *words], cwd=directory, creationflags=flags)

    def wait(self, timeout: float) -> int | None:
        """Wait for its end."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def is_ready(self) -> bool:
        """Whether it says so in its state file."""
        record = read_state(self._home)
        return record is not None and record.process.pid == self._process.pid and record.state == "running"

    def ask(self, command: str) -> None:
        """Have it carry out a command, without waiting for what comes of it."""
        words = {"shutdown": ["down", "--no-wait"], "pause": ["daemon", "pause"], "unpause": ["daemon", "resume"]}
        subprocess.Popen([*self._base, *words[command], "--home", str(self._home)], cwd=self._directory)

    def kill(self) -> None:
        """End it and all it started."""
        import psutil

        for process in [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]:
            process.kill()


def _home_of(words: list[str], directory: str) -> Path:
    found = words[words.index("--home") + 1] if "--home" in words else ".actors"
    return Path(directory) / found


def main() -> None:
    """Run as the service that the Service Control Manager has started."""
    servicemanager: Any = import_module("servicemanager")  # of pywin32, which Windows alone has
    win32service: Any = import_module("win32service")
    win32serviceutil: Any = import_module("win32serviceutil")

    name, directory, *words = sys.argv[1:]

    class Service(win32serviceutil.ServiceFramework):  # type: ignore[misc]  # a class found at run time
        _svc_name_ = name
        _svc_display_name_ = name

        def __init__(self, args: Any) -> None:
            super().__init__(args)

            def start() -> NodeProcess:
                return Spawned(directory, words)

            def report(state: int, *, check_point: int = 0, hint: float = 0.0, exit_code: int = 0) -> None:
                self.checkPoint = check_point
                code = win32service.SERVICE_SPECIFIC_ERROR if exit_code else 0
                self.ReportServiceStatus(state, int(hint * 1000), code, exit_code)

            self._host = ServiceHost(start, report, 30.0 + STOP_SLACK)

        def GetAcceptedControls(self) -> int:  # noqa: N802  # this and what follows are the framework's names
            accepted = super().GetAcceptedControls() | ACCEPT_PRESHUTDOWN
            return int(accepted | win32service.SERVICE_ACCEPT_PAUSE_CONTINUE)

        def SvcOther(self, control: int) -> None:  # noqa: N802
            if control == PRESHUTDOWN:
                self._host.stop()

        def SvcStop(self) -> None:  # noqa: N802
            self._host.stop()

        def SvcPause(self) -> None:  # noqa: N802
            self._host.pause()

        def SvcContinue(self) -> None:  # noqa: N802
            self._host.resume()

        def SvcDoRun(self) -> None:  # noqa: N802
            os.chdir(directory)
            self._host.run()

    servicemanager.Initialize()
    servicemanager.PrepareToHostSingle(Service)
    servicemanager.StartServiceCtrlDispatcher()


if __name__ == "__main__":
    main()
