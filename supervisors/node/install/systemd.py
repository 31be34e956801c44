"""systemd: a unit of Type=notify with a watchdog and a sandbox, for the machine or for one user. Pure.

Keys that the systemd of the machine does not know are left out: it would ignore them, and with an unknown `Type` it
would not wait for the node to be ready. Nothing is written that `systemd-analyze verify` has a word to say about.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from supervisors.node.install.spec import (
    FINAL_EXITS,
    RECOVERY,
    RemoveFile,
    Run,
    ServiceError,
    ServiceSpec,
    Step,
    WriteFile,
    run_command,
)

NOTIFY_RELOAD: Final = 253
"""The version from which on `Type=notify-reload` is known."""
RESTART_STEPS: Final = 254
"""The version from which on `RestartSteps` and `RestartMaxDelaySec` are known."""
ASSUMED: Final = 250
"""The version that is written for where none can be asked."""
WATCHDOG: Final = 60
START_SECONDS: Final = 90
SYSTEM_UNITS: Final = "/etc/systemd/system"

_SANDBOX: Final = (
    "NoNewPrivileges=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)
_SYSTEM_SANDBOX: Final = (
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "PrivateDevices=yes",
)
"""What needs the rights of the machine's own manager."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@:./=+,-]+")


class Systemd:
    """systemd of the machine, or of one user.

    Args:
        is_system: Whose.
        version: Which; its keys decide.
        config_home: The user's configuration folder.
    """

    kind = "systemd"

    def __init__(self, *, is_system: bool, version: int, config_home: Path | None = None) -> None:
        self._is_system = is_system
        self._version = version
        user = config_home or Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self._folder = Path(SYSTEM_UNITS) if is_system else user / "systemd" / "user"

    def path(self, name: str) -> str:
        """Return the unit's file."""
        return str(self._folder / f"{name}.service")

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how the unit is written and enabled."""
        return (
            WriteFile(self.path(spec.name), self.unit(spec)),
            Run(self._ctl("daemon-reload")),
            Run(self._ctl("enable", f"{spec.name}.service")),
        )

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how the unit is stopped, disabled and removed."""
        return (
            Run(self._ctl("disable", "--now", f"{name}.service"), may_fail=True),
            RemoveFile(self.path(name)),
            Run(self._ctl("daemon-reload")),
            Run(self._ctl("reset-failed", f"{name}.service"), may_fail=True),
        )

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return the command for `verb`; systemd knows no pause."""
        unit = f"{name}.service"
        match verb:
            case "start" | "stop" | "restart":
                return (Run(self._ctl(verb, unit)),)
            case "status":
                return (Run(self._ctl("status", "--no-pager", "--full", unit), is_shown=True),)
            case "logs":
                whose = () if self._is_system else ("--user",)
                return (Run(("journalctl", *whose, "--no-pager", "-n", "100", "-u", unit), is_shown=True),)
            case _:
                return ()

    def notes(self, spec: ServiceSpec) -> tuple[str, ...]:
        """Return what this systemd cannot do, and what is left to the person."""
        found = []
        first, _, last = RECOVERY
        if self._version < NOTIFY_RELOAD:
            found.append(f"systemd {self._version}: no notify-reload ({NOTIFY_RELOAD}); ExecReload sends HUP instead")
        if self._version < RESTART_STEPS:
            found.append(
                f"systemd {self._version}: no stepped restart delay ({RESTART_STEPS}); a flat {first} s "
                f"instead of {first} to {last} s"
            )
        if not self._is_system:
            found.append("it ends when you log out, unless you let it linger: loginctl enable-linger")
        return tuple(found)

    def unit(self, spec: ServiceSpec) -> str:
        """Return the text of the unit."""
        return "\n".join(self._lines(spec)) + "\n"

    def _lines(self, spec: ServiceSpec) -> Iterator[str]:
        first, _, last = RECOVERY
        yield "[Unit]"
        yield f"Description={_escaped(spec.about)}"
        if spec.after or self._is_system:
            units = [name if "." in name else f"{name}.service" for name in spec.after]
            network = ["network-online.target"] if self._is_system else []
            yield f"After={' '.join([*network, *units])}"
            yield f"Wants={' '.join([*network, *units])}"
        yield "StartLimitIntervalSec=0"
        yield ""
        yield "[Service]"
        reloads = self._version >= NOTIFY_RELOAD
        yield f"Type={'notify-reload' if reloads else 'notify'}"
        yield "NotifyAccess=main"
        yield f"ExecStart={' '.join(quoted(word) for word in spec.command)}"
        if not reloads:
            yield "ExecReload=/bin/kill -HUP $MAINPID"
        yield f"WorkingDirectory={_escaped(spec.directory)}"
        if spec.user and self._is_system:
            yield f"User={spec.user}"
        for name, value in spec.environment.items():
            yield f"Environment={quoted(f'{name}={value}', is_command=False)}"
        yield "UMask=0077"
        yield "LimitNOFILE=65536"
        yield "OOMPolicy=continue"
        yield "Restart=on-failure"
        yield f"RestartSec={first}s"
        if self._version >= RESTART_STEPS:
            yield "RestartSteps=2"
            yield f"RestartMaxDelaySec={last}s"
        yield f"RestartPreventExitStatus={' '.join(map(str, FINAL_EXITS))}"
        yield "SuccessExitStatus=6 130"
        yield f"TimeoutStartSec={START_SECONDS}s"
        yield f"TimeoutStopSec={spec.stop_seconds}s"
        yield f"WatchdogSec={WATCHDOG}s"
        yield "KillMode=mixed"
        yield f"SyslogIdentifier={spec.name}"
        yield from _SANDBOX
        if self._is_system:
            yield from _SYSTEM_SANDBOX
            yield f"ReadWritePaths={' '.join(quoted(path, is_command=False) for path in (spec.home, *spec.writable))}"
        yield ""
        yield "[Install]"
        yield f"WantedBy={'multi-user.target' if self._is_system else 'default.target'}"

    def _ctl(self, *words: str) -> tuple[str, ...]:
        return ("systemctl", *(() if self._is_system else ("--user",)), *words)


def quoted(word: str, *, is_command: bool = True) -> str:
    """Return one word as a unit has it: of a command line, in which `$` would be a variable, or of another list."""
    text = _escaped(word)
    if is_command:
        text = text.replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Return text without line ends, its percent signs no specifiers."""
    return " ".join(text.split("\n")).replace("%", "%%")


def version_of(run: Callable[[Sequence[str]], tuple[int, str]] = run_command) -> int:
    """Return the version of this machine's systemd; `ASSUMED` where there is none to ask."""
    try:
        code, said = run(("systemctl", "--version"))
    except ServiceError:
        return ASSUMED
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if code == 0 and found else ASSUMED
