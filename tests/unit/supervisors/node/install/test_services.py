"""What service managers are told: golden files, systemd's own verdict, steps that leave nothing half done.

GOLDEN=write makes the golden files anew.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from supervisors.node.install.launchd import Launchd
from supervisors.node.install.servicehost import PAUSED, RUNNING, START_PENDING, STOP_PENDING, STOPPED, ServiceHost
from supervisors.node.install.spec import RemoveFile, Run, ServiceError, ServiceSpec, WriteFile, perform
from supervisors.node.install.systemd import Systemd, quoted, version_of
from supervisors.node.install.windows import Pywin32, Schtasks, Winsw

GOLDEN = Path(__file__).parent / "golden"

SPEC = ServiceSpec(
    name="openclaw",
    about="actorctl node 100% openclaw",
    command=("/opt/my venv/bin/python", "-P", "-m", "supervisors.cli", "run", "--home", "/srv/dö $x/%h"),
    directory="/srv/dö $x",
    home="/srv/dö $x/%h",
    drain=30.0,
    is_system=True,
    user="claw",
    after=("postgresql", "redis.service"),
    writable=("/var/lib/out put",),
    environment={"LANG": "C.UTF-8"},
)

WINDOWS = ServiceSpec(
    name="openclaw",
    about="actorctl node <openclaw> & co",
    command=(
        r"C:\Program Files\Py\python.exe",
        "-P",
        "-m",
        "supervisors.cli",
        "run",
        "--home",
        r"C:\Users\a b\.actors",
    ),
    directory=r"C:\Users\a b",
    home=r"C:\Users\a b\.actors",
    drain=30.0,
    after=("Tcpip", "Dnscache"),
    environment={"A": "1 < 2"},
)

TEXTS = {
    "system-252.service": lambda: Systemd(is_system=True, version=252).unit(SPEC),
    "system-255.service": lambda: Systemd(is_system=True, version=255).unit(SPEC),
    "user-252.service": lambda: Systemd(is_system=False, version=252, config_home=Path("/c")).unit(SPEC),
    "agent.plist": lambda: Launchd(is_system=False, uid=501, user_home=Path("/Users/a")).plist(SPEC),
    "winsw.xml": lambda: Winsw(WINDOWS.home).xml(WINDOWS),
    "boot.task.xml": lambda: Schtasks(WINDOWS.home, is_system=True, user="a").xml(WINDOWS),
    "logon.task.xml": lambda: Schtasks(WINDOWS.home, is_system=False, user="a").xml(WINDOWS),
    "pywin32.txt": lambda: "".join(f"{step.words}\n" for step in Pywin32().install(WINDOWS) if isinstance(step, Run)),
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_is_written_is_as_it_was_agreed(name: str) -> None:
    text = TEXTS[name]()
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_text(text, encoding="utf-8")

    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_three_delays_of_recovery_and_its_reset_are_in_each_form_as_far_as_it_can() -> None:
    newer = Systemd(is_system=True, version=254).unit(SPEC).splitlines()
    older = Systemd(is_system=True, version=253).unit(SPEC).splitlines()
    assert {"RestartSec=5s", "RestartSteps=2", "RestartMaxDelaySec=60s"} <= set(newer)
    assert "RestartSec=5s" in older
    assert not any(line.startswith(("RestartSteps", "RestartMaxDelay")) for line in older)
    assert "Type=notify-reload" in older
    xml = Xml.fromstring(Winsw("h").xml(WINDOWS))
    assert [found.get("delay") for found in xml.findall("onfailure")] == ["5 sec", "10 sec", "60 sec"]
    assert xml.findtext("resetfailure") == "1 hour"
    assert any("restart/5000/restart/10000/restart/60000" in str(step) for step in Pywin32().install(WINDOWS))
    assert plistlib.loads(Launchd(is_system=True, uid=0, user_home=Path("/")).plist(SPEC).encode())["KeepAlive"] == {
        "SuccessfulExit": False
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("is_system", [True, False], ids=["system", "user"])
def test_systemd_itself_has_nothing_to_say_about_the_unit(is_system: bool, tmp_path: Path) -> None:
    manager = Systemd(is_system=is_system, version=version_of(), config_home=tmp_path)
    folder = tmp_path / "fo lder 100%"
    folder.mkdir()
    command = (sys.executable, "-P", "-m", "supervisors.cli", "run", "--home", str(folder))
    spec = ServiceSpec(
        "verified", "a node", command, str(folder), str(folder), 30.0, is_system, writable=(str(folder),)
    )
    unit = tmp_path / "verified.service"
    unit.write_text(manager.unit(spec))

    whose = ["--system"] if is_system else ["--user"]
    done = subprocess.run(
        ["systemd-analyze", *whose, "--man=no", "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("a b", '"a b"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ('say "hi" \\', '"say \\"hi\\" \\\\"'),
        ("", '""'),
    ],
)
def test_words_of_a_command_line_mean_themselves(word: str, text: str) -> None:
    assert quoted(word) == text


def test_a_step_that_fails_leaves_files_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("before")
    steps = (
        WriteFile(str(tmp_path / "new"), "text"),
        WriteFile(str(tmp_path / "old"), "after"),
        Run(("systemctl", "enable")),
        RemoveFile(str(tmp_path / "never")),
    )

    def refuse(_words: Sequence[str]) -> tuple[int, str]:
        return 1, "no bus"

    with pytest.raises(ServiceError, match="no bus"):
        perform(steps, refuse)

    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "before"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Failed to connect to bus: No medium found", "log in as that user"),
        ("System has not been booted with systemd as init system (PID 1). Can't operate.", "actorctl up"),
        ("Interactive authentication required.", "--user"),
        ("[SC] OpenSCManager FAILED 5: Access is denied.", "administrator"),
    ],
)
def test_a_refusal_of_a_manager_comes_with_what_helps(said: str, words: str) -> None:
    with pytest.raises(ServiceError) as refused:
        perform((Run(("systemctl", "enable")),), lambda _words: (1, said))

    assert words in refused.value.hint


class FakeNode:
    """A node that ends when it is told to, or when a test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.looks = 0
        self.code: int | None = None
        self.is_killed = False

    def wait(self, timeout: float) -> int | None:
        self.looks += 1
        return self.code

    def is_ready(self) -> bool:
        return self.looks >= 3

    def ask(self, command: str) -> None:
        self.asked.append(command)

    def kill(self) -> None:
        self.is_killed, self.code = True, 1


class Script(FakeNode):
    """A node whose looks do something: what happens to a service while it runs."""

    def __init__(self, steps: dict[int, str]) -> None:
        super().__init__()
        self.steps = steps
        self.host: ServiceHost | None = None

    def wait(self, timeout: float) -> int | None:
        super().wait(timeout)
        what = self.steps.get(self.looks, "")
        if what.isdecimal():
            self.code = int(what)
        elif what:
            getattr(self.host, what)()
        return self.code


def reports_of(node: Script, stop_seconds: float = 60.0) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []

    def report(state: int, *, check_point: int = 0, hint: float = 0.0, exit_code: int = 0) -> None:
        found.append((state, check_point, exit_code))

    node.host = ServiceHost(lambda: node, report, stop_seconds)
    node.host.run()
    return found


def test_a_service_reports_its_start_until_the_tree_is_up_and_an_unasked_end_as_its_error() -> None:
    reports = reports_of(Script({6: "70"}))

    assert reports[:3] == [(START_PENDING, 1, 0), (START_PENDING, 2, 0), (START_PENDING, 3, 0)]
    assert reports[3:] == [(RUNNING, 0, 0), (STOPPED, 0, 70)]


def test_a_service_drains_when_it_is_stopped_and_whatever_the_code_that_is_no_error() -> None:
    node = Script({4: "pause", 5: "resume", 6: "stop", 9: "6"})

    reports = reports_of(node)

    assert node.asked == ["pause", "unpause", "shutdown"]
    assert [state for state, _, _ in reports][3:] == [RUNNING, PAUSED, RUNNING] + [STOP_PENDING] * 4 + [STOPPED]
    points = [point for state, point, _ in reports if state == STOP_PENDING]
    assert points[1:] == sorted(points[1:])
    assert reports[-1] == (STOPPED, 0, 0)


def test_a_service_that_does_not_end_in_its_time_is_killed() -> None:
    node = Script({4: "stop"})

    reports_of(node, stop_seconds=3.0)

    assert node.is_killed
