"""launchd: an agent of one user, or a daemon of the machine, as a property list. Pure.

launchd tells no exit codes apart but 0 from others, and waits the same time before each restart: `KeepAlive` asks for a
restart after every end but a clean one, `ThrottleInterval` for the second of the three delays.
"""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

from supervisors.node.install.spec import RECOVERY, RemoveFile, Run, ServiceSpec, Step, WriteFile


class Launchd:
    """launchd of the machine, or of the user `uid`."""

    kind = "launchd"

    def __init__(self, *, is_system: bool, uid: int, user_home: Path) -> None:
        self._is_system = is_system
        self._domain = "system" if is_system else f"gui/{uid}"
        self._folder = Path("/Library/LaunchDaemons") if is_system else user_home / "Library" / "LaunchAgents"

    def path(self, name: str) -> str:
        """Return the property list's file."""
        return str(self._folder / f"{name}.plist")

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how the list is written and loaded; what was loaded under the name goes first."""
        return (
            WriteFile(self.path(spec.name), self.plist(spec)),
            Run(("launchctl", "bootout", f"{self._domain}/{spec.name}"), may_fail=True),
            Run(("launchctl", "bootstrap", self._domain, self.path(spec.name))),
            Run(("launchctl", "enable", f"{self._domain}/{spec.name}")),
        )

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how it is ended, unloaded and removed."""
        return (
            Run(("launchctl", "bootout", f"{self._domain}/{name}"), may_fail=True),
            RemoveFile(self.path(name)),
        )

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return the commands for `verb`; launchd knows no pause, and its logs are the node's own."""
        target = f"{self._domain}/{name}"
        match verb:
            case "start":
                load = Run(("launchctl", "bootstrap", self._domain, self.path(name)), may_fail=True)
                return (load, Run(("launchctl", "kickstart", target)))
            case "stop":  # one that is only killed would be started again
                return (Run(("launchctl", "bootout", target)),)
            case "restart":
                return (Run(("launchctl", "kickstart", "-k", target)),)
            case "status":
                return (Run(("launchctl", "print", target), is_shown=True),)
            case _:
                return ()

    def notes(self, _spec: ServiceSpec) -> tuple[str, ...]:
        """Return what launchd cannot do."""
        return (
            f"launchd waits {RECOVERY[1]} s before every restart, and restarts after every exit code but 0",
            "this has not been tried on a real machine",
        )

    def plist(self, spec: ServiceSpec) -> str:
        """Return the property list."""
        found: dict[str, Any] = {
            "Label": spec.name,
            "ProgramArguments": list(spec.command),
            "WorkingDirectory": spec.directory,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RECOVERY[1],
            "ExitTimeOut": spec.stop_seconds,
            "ProcessType": "Standard",
            "Umask": 0o077,
            "SoftResourceLimits": {"NumberOfFiles": 65536},
            "StandardOutPath": "/dev/null",
            "StandardErrorPath": f"{spec.home}/launchd.log",
        }
        if spec.environment:
            found["EnvironmentVariables"] = dict(spec.environment)
        if spec.user and self._is_system:
            found["UserName"] = spec.user
        return plistlib.dumps(found, sort_keys=False).decode()
