"""Windows: a service of its own (pywin32), one kept by WinSW, or a task of the Task Scheduler. Pure.

    pywin32    the node's own host (`winservice`), known to the Service Control Manager; needs the extra `windows`
    winsw      an XML file for WinSW's executable, which is not ours and has to be beside it
    schtasks   a task that starts with the machine or at log-on; needs no administrator for one's own user

The three delays of recovery are the Service Control Manager's own; the Task Scheduler waits at least a minute.
"""

from __future__ import annotations

import subprocess
from pathlib import PureWindowsPath
from xml.etree import ElementTree as Xml

from supervisors.node.install.spec import (
    RECOVERY,
    RECOVERY_RESET,
    RemoveFile,
    Run,
    ServiceSpec,
    Step,
    WriteFile,
)

UNTRIED = "this has not been tried on a real machine"
HOST_MODULE = "supervisors.node.install.winservice"
TASKS = "http://schemas.microsoft.com/windows/2004/02/mit/task"


class Pywin32:
    """The Service Control Manager, by `sc.exe`; the service runs in the node's own host."""

    kind = "pywin32"

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how the service is made, with its recovery, its dependencies and its time to stop."""
        host = (
            *spec.command[: spec.command.index("-m")],
            "-m",
            HOST_MODULE,
            spec.name,
            spec.directory,
            *_after_module(spec),
        )
        actions = "/".join(f"restart/{seconds * 1000}" for seconds in RECOVERY)
        depend = ("depend=", "/".join(spec.after)) if spec.after else ()
        name = spec.name
        return (
            Run(
                ("sc.exe", "create", name, "binPath=", subprocess.list2cmdline(host), "start=", "delayed-auto", *depend)
            ),
            Run(("sc.exe", "description", name, spec.about)),
            Run(("sc.exe", "failure", name, "reset=", str(RECOVERY_RESET), "actions=", actions)),
            Run(("sc.exe", "failureflag", name, "1")),  # for an end with an error too, not for a crash alone
        )

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how the service is ended and forgotten."""
        return (Run(("sc.exe", "stop", name), may_fail=True), Run(("sc.exe", "delete", name)))

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return the commands for `verb`; its logs are the node's own."""
        match verb:
            case "start" | "stop" | "pause" | "continue":
                return (Run(("sc.exe", verb, name)),)
            case "restart":
                return (Run(("net.exe", "stop", name), may_fail=True), Run(("net.exe", "start", name)))
            case "status":
                return (Run(("sc.exe", "queryex", name), is_shown=True),)
            case _:
                return ()

    def notes(self, _spec: ServiceSpec) -> tuple[str, ...]:
        """Return what it needs."""
        return ("it needs administrator rights, and: pip install actorctl[windows]", UNTRIED)


class Winsw:
    """WinSW, by an XML file of version 2 and 3."""

    kind = "winsw"

    def path(self, name: str, home: str) -> str:
        """Return the XML file; WinSW's executable has to be beside it under the same name."""
        return str(PureWindowsPath(home) / f"{name}.xml")

    def __init__(self, home: str) -> None:
        self._home = home

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how the XML file is written and WinSW told to take it."""
        return (WriteFile(self.path(spec.name, self._home), self.xml(spec)), Run((self._program(spec.name), "install")))

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how the service is ended and forgotten."""
        program = self._program(name)
        return (
            Run((program, "stop"), may_fail=True),
            Run((program, "uninstall")),
            RemoveFile(self.path(name, self._home)),
        )

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return the command for `verb`; WinSW knows no pause."""
        if verb in {"start", "stop", "restart"}:
            return (Run((self._program(name), verb)),)
        return (Run((self._program(name), "status"), is_shown=True),) if verb == "status" else ()

    def notes(self, spec: ServiceSpec) -> tuple[str, ...]:
        """Return what it needs."""
        return (f"WinSW's executable has to be there as {self._program(spec.name)}", UNTRIED)

    def xml(self, spec: ServiceSpec) -> str:
        """Return the XML file."""
        root = Xml.Element("service")

        def add(tag: str, text: str = "", **attributes: str) -> None:
            Xml.SubElement(root, tag, attributes).text = text or None

        add("id", spec.name)
        add("name", spec.name)
        add("description", spec.about)
        add("executable", spec.command[0])
        add("arguments", subprocess.list2cmdline(spec.command[1:]))
        add("workingdirectory", spec.directory)
        for name, value in spec.environment.items():
            add("env", name=name, value=value)
        add("startmode", "Automatic")
        add("delayedAutoStart", "true")
        for name in spec.after:
            add("depend", name)
        for seconds in RECOVERY:
            add("onfailure", action="restart", delay=f"{seconds} sec")
        add("resetfailure", f"{RECOVERY_RESET // 3600} hour")
        add("stoptimeout", f"{spec.stop_seconds} sec")
        add("stopparentprocessfirst", "true")  # its children are its own to stop
        add("log", mode="none")  # the node keeps its own
        return _text(root)

    def _program(self, name: str) -> str:
        return str(PureWindowsPath(self._home) / f"{name}.exe")


class Schtasks:
    """The Task Scheduler, by `schtasks.exe` and an XML file.

    Args:
        home: Where the XML file is kept.
        is_system: At the start of the machine, as its system account, or at the user's log-on.
        user: Whose log-on.
    """

    kind = "schtasks"

    def __init__(self, home: str, *, is_system: bool, user: str) -> None:
        self._home = home
        self._is_system = is_system
        self._user = user

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how the task is written and registered."""
        path = self._path(spec.name)
        return (
            WriteFile(path, self.xml(spec), encoding="utf-16"),
            Run(("schtasks.exe", "/Create", "/TN", spec.name, "/XML", path, "/F")),
        )

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how the task is ended and forgotten."""
        return (
            Run(("schtasks.exe", "/End", "/TN", name), may_fail=True),
            Run(("schtasks.exe", "/Delete", "/TN", name, "/F")),
            RemoveFile(self._path(name)),
        )

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return the commands for `verb`; the Task Scheduler ends without asking, so `stop` is the node's own."""
        match verb:
            case "start":
                return (Run(("schtasks.exe", "/Run", "/TN", name)),)
            case "status":
                return (Run(("schtasks.exe", "/Query", "/TN", name, "/V", "/FO", "LIST"), is_shown=True),)
            case _:
                return ()

    def notes(self, _spec: ServiceSpec) -> tuple[str, ...]:
        """Return what it cannot do."""
        return ("the Task Scheduler waits a minute before each restart, and knows no services to wait for", UNTRIED)

    def xml(self, spec: ServiceSpec) -> str:
        """Return the task's XML."""
        Xml.register_namespace("", TASKS)
        root = Xml.Element(f"{{{TASKS}}}Task", version="1.3")

        def add(above: Xml.Element, tag: str, text: str = "", **attributes: str) -> Xml.Element:
            found = Xml.SubElement(above, f"{{{TASKS}}}{tag}", attributes)
            found.text = text or None
            return found

        add(add(root, "RegistrationInfo"), "Description", spec.about)
        trigger = add(add(root, "Triggers"), "BootTrigger" if self._is_system else "LogonTrigger")
        add(trigger, "Enabled", "true")
        if not self._is_system and self._user:
            add(trigger, "UserId", self._user)
        principal = add(add(root, "Principals"), "Principal", id="Author")
        add(principal, "UserId", "S-1-5-18" if self._is_system else self._user)
        if not self._is_system:
            add(principal, "LogonType", "InteractiveToken")
        add(principal, "RunLevel", "LeastPrivilege")
        settings = add(root, "Settings")
        add(settings, "MultipleInstancesPolicy", "IgnoreNew")
        add(settings, "DisallowStartIfOnBatteries", "false")
        add(settings, "StopIfGoingOnBatteries", "false")
        add(settings, "StartWhenAvailable", "true")
        add(settings, "ExecutionTimeLimit", "PT0S")
        restart = add(settings, "RestartOnFailure")
        add(restart, "Interval", "PT1M")
        add(restart, "Count", "999")
        action = add(add(root, "Actions", Context="Author"), "Exec")
        add(action, "Command", spec.command[0])
        add(action, "Arguments", subprocess.list2cmdline(spec.command[1:]))
        add(action, "WorkingDirectory", spec.directory)
        return _text(root, "UTF-16")

    def _path(self, name: str) -> str:
        return str(PureWindowsPath(self._home) / f"{name}.task.xml")


def _after_module(spec: ServiceSpec) -> tuple[str, ...]:
    """Return the arguments of `actorctl` in the command of `spec`."""
    return spec.command[spec.command.index("-m") + 2 :]


def _text(root: Xml.Element, encoding: str = "UTF-8") -> str:
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="{encoding}"?>\n{Xml.tostring(root, encoding="unicode")}\n'
