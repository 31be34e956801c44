"""The operating system's own scheduler sees to it that the node runs: systemd timers, tasks of Windows. Pure.

    boot, log-on, daily, each so often, after waking --> `actorctl up` --> the node, if none runs

`actorctl up` ends with 7 where a node runs already, which is as good as having started one. Two of them never run side
by side: a systemd unit is one, and a task is told to ignore a second start. One that fails is tried again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Final
from xml.etree import ElementTree as Xml

from msgspec import Struct

from supervisors.node.install.spec import RemoveFile, Run, Step, WriteFile
from supervisors.node.install.systemd import SYSTEM_UNITS, quoted
from supervisors.node.install.windows import TASKS

RUNS_ALREADY: Final = 7
"""Exit code of `actorctl up` where a node runs."""
SHORTEST: Final = 60.0
"""Least seconds between two looks: what both systems can do."""


class Ensuring(Struct, frozen=True):
    """What is ensured, and when it is looked after.

    Attributes:
        name: Of the node; that of the unit or task is `NAME-ensure`.
        command: `actorctl up` with its arguments, the program absolute.
        directory: Folder it is executed in.
        at_boot: When the machine starts.
        at_logon: When the user logs on.
        daily: Times of day, `HH:MM`, local time.
        every: Seconds between two looks; 0 for none.
        wake: Whether the machine is woken for `daily`, and looked after once it woke.
        is_system: For the machine, or for the user.
        user: Who it runs as on Windows, where it is the user's.

    Raises:
        ValueError: Nothing says when, or a time is none.
    """

    name: str
    command: tuple[str, ...]
    directory: str
    at_boot: bool = True
    at_logon: bool = False
    daily: tuple[str, ...] = ()
    every: float = 300.0
    wake: bool = False
    is_system: bool = False
    user: str = ""

    def __post_init__(self) -> None:
        if not (self.at_boot or self.at_logon or self.daily or self.every):
            raise ValueError("say when: at boot, at log-on, daily, or each so often")
        if self.every and not SHORTEST <= self.every <= 31 * 86_400:
            raise ValueError(f"each so often is from a minute to 31 days, got {self.every:g} s")
        for text in self.daily:
            hour, _, minute = text.partition(":")
            if not (len(text) == 5 and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
                raise ValueError(f"{text[:40]!r} is no time of day; write 02:00")

    @property
    def unit(self) -> str:
        """Name of the unit or task."""
        return f"{self.name}-ensure"


def systemd_service(wanted: Ensuring) -> str:
    """Return the text of the service unit."""
    lines = [
        "[Unit]",
        f"Description=Ensure that the node {wanted.name} runs",
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={' '.join(quoted(word) for word in wanted.command)}",
        f"WorkingDirectory={wanted.directory.replace('%', '%%')}",
        f"SuccessExitStatus={RUNS_ALREADY}",
        "KillMode=process",  # the node that it started lives on
        "TimeoutStartSec=180",
        "Restart=on-failure",
        "RestartSec=60s",
    ]
    return "\n".join(lines) + "\n"


def systemd_timer(wanted: Ensuring) -> str:
    """Return the text of the timer unit."""
    when = []
    if wanted.at_boot and wanted.is_system:
        when.append("OnBootSec=5s")
    if wanted.at_logon or (wanted.at_boot and not wanted.is_system):
        when.append("OnStartupSec=5s")  # of the user's own manager: its first log-on, or boot where it lingers
    when += [f"OnCalendar=*-*-* {text}:00" for text in wanted.daily]
    if wanted.every:
        when += [f"OnActiveSec={wanted.every:g}s", f"OnUnitActiveSec={wanted.every:g}s"]
    lines = [
        "[Unit]",
        f"Description=Ensure that the node {wanted.name} runs",
        "",
        "[Timer]",
        *when,
        "AccuracySec=1s",
        *(["Persistent=true"] if wanted.daily else []),
        *(["WakeSystem=true"] if wanted.wake else []),
        f"Unit={wanted.unit}.service",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def task_xml(wanted: Ensuring) -> str:
    """Return the XML of the Task Scheduler; elements stand in the order of its schema."""
    Xml.register_namespace("", TASKS)
    root = Xml.Element(f"{{{TASKS}}}Task", version="1.3")

    def add(above: Xml.Element, tag: str, text: str = "", **attributes: str) -> Xml.Element:
        found = Xml.SubElement(above, f"{{{TASKS}}}{tag}", attributes)
        found.text = text or None
        return found

    add(add(root, "RegistrationInfo"), "Description", f"Ensure that the node {wanted.name} runs")
    triggers = add(root, "Triggers")
    if wanted.at_boot:
        add(add(triggers, "BootTrigger"), "Enabled", "true")
    if wanted.at_logon:
        trigger = add(triggers, "LogonTrigger")
        add(trigger, "Enabled", "true")
        if wanted.user:
            add(trigger, "UserId", wanted.user)
    for text in wanted.daily:
        trigger = add(triggers, "CalendarTrigger")
        add(trigger, "StartBoundary", f"2026-01-01T{text}:00")
        add(trigger, "Enabled", "true")
        add(add(trigger, "ScheduleByDay"), "DaysInterval", "1")
    if wanted.every:
        trigger = add(triggers, "TimeTrigger")
        repetition = add(trigger, "Repetition")
        add(repetition, "Interval", f"PT{round(wanted.every / 60)}M")
        add(repetition, "StopAtDurationEnd", "false")
        add(trigger, "StartBoundary", "2026-01-01T00:00:00")
        add(trigger, "Enabled", "true")
    if wanted.wake:
        trigger = add(triggers, "EventTrigger")
        add(trigger, "Enabled", "true")
        add(trigger, "Subscription", _WOKE)
    principal = add(add(root, "Principals"), "Principal", id="Author")
    add(principal, "UserId", "S-1-5-18" if wanted.is_system else wanted.user)
    if not wanted.is_system:
        add(principal, "LogonType", "InteractiveToken")
    add(principal, "RunLevel", "LeastPrivilege")
    settings = add(root, "Settings")
    add(settings, "MultipleInstancesPolicy", "IgnoreNew")
    add(settings, "DisallowStartIfOnBatteries", "false")
    add(settings, "StopIfGoingOnBatteries", "false")
    add(settings, "StartWhenAvailable", "true")
    add(settings, "WakeToRun", "true" if wanted.wake else "false")
    add(settings, "ExecutionTimeLimit", "PT5M")
    restart = add(settings, "RestartOnFailure")
    add(restart, "Interval", "PT1M")
    add(restart, "Count", "3")
    action = add(add(root, "Actions", Context="Author"), "Exec")
    add(action, "Command", wanted.command[0])
    add(action, "Arguments", subprocess.list2cmdline(wanted.command[1:]))
    add(action, "WorkingDirectory", wanted.directory)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-16"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def steps_of(wanted: Ensuring, kind: str, folder: Path, *, remove: bool = False) -> Sequence[Step]:
    """Return what is written and run to have it ensured, or no longer.

    Args:
        wanted: What and when.
        kind: `systemd` or `schtasks`.
        folder: The node's home, which keeps a task's XML; the user's configuration folder for a user's units.
        remove: Take it back.
    """
    unit = wanted.unit
    if kind == "schtasks":
        path = str(PureWindowsPath(str(folder)) / f"{unit}.task.xml")
        if remove:
            return (Run(("schtasks.exe", "/Delete", "/TN", unit, "/F")), RemoveFile(path))
        return (
            WriteFile(path, task_xml(wanted), encoding="utf-16"),
            Run(("schtasks.exe", "/Create", "/TN", unit, "/XML", path, "/F")),
        )
    units = Path(SYSTEM_UNITS) if wanted.is_system else folder / "systemd" / "user"
    ctl = ("systemctl",) if wanted.is_system else ("systemctl", "--user")
    files = [str(units / f"{unit}.service"), str(units / f"{unit}.timer")]
    if remove:
        return (
            Run((*ctl, "disable", "--now", f"{unit}.timer"), may_fail=True),
            *(RemoveFile(file) for file in files),
            Run((*ctl, "daemon-reload")),
        )
    return (
        WriteFile(files[0], systemd_service(wanted)),
        WriteFile(files[1], systemd_timer(wanted)),
        Run((*ctl, "daemon-reload")),
        Run((*ctl, "enable", "--now", f"{unit}.timer")),
    )


_WOKE: Final = (
    '<QueryList><Query Id="0" Path="System"><Select Path="System">*[System[Provider[@Name='
    "'Microsoft-Windows-Power-Troubleshooter'] and EventID=1]]</Select></Query></QueryList>"
)
"""The event that Windows writes when it has come back from sleep."""
