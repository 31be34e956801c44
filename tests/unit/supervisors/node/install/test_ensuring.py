"""What the system's scheduler is told, to ensure that the node runs: systemd's verdict, the order of the schema."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from supervisors.node.install.ensuring import Ensuring, steps_of, systemd_service, systemd_timer, task_xml
from supervisors.node.install.spec import RemoveFile, Run, WriteFile
from supervisors.node.install.windows import TASKS

WANTED = Ensuring(
    name="openclaw",
    command=(sys.executable, "-P", "-m", "supervisors.cli", "up", "--config", "/srv/dö $x/100%/actors.toml"),
    directory="/",
    at_logon=True,
    daily=("02:00", "14:30"),
    every=600.0,
    wake=True,
    user="claw",
)
ORDER = {
    "Task": ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"],
    "LogonTrigger": ["Enabled", "UserId"],
    "CalendarTrigger": ["StartBoundary", "Enabled", "ScheduleByDay"],
    "TimeTrigger": ["Repetition", "StartBoundary", "Enabled"],
    "Repetition": ["Interval", "Duration", "StopAtDurationEnd"],
    "EventTrigger": ["Enabled", "Subscription"],
    "Exec": ["Command", "Arguments", "WorkingDirectory"],
    "RestartOnFailure": ["Interval", "Count"],
}
"""Children of the elements whose order the schema of tasks (version 1.3) prescribes; of Settings any will do."""


@pytest.mark.parametrize("is_system", [True, False])
def test_systemd_takes_the_units_without_a_word(tmp_path, is_system):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    wanted = Ensuring(**{name: getattr(WANTED, name) for name in WANTED.__struct_fields__} | {"is_system": is_system})
    (tmp_path / "openclaw-ensure.service").write_text(systemd_service(wanted))
    timer = tmp_path / "openclaw-ensure.timer"
    timer.write_text(systemd_timer(wanted))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(timer)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_timer_says_every_time_that_was_asked_for():
    text = systemd_timer(WANTED)

    for line in ("OnStartupSec=5s", "OnCalendar=*-*-* 02:00:00", "OnCalendar=*-*-* 14:30:00", "OnUnitActiveSec=600s"):
        assert line in text.splitlines()
    assert "WakeSystem=true" in text
    assert "SuccessExitStatus=7" in systemd_service(WANTED)


def test_the_elements_of_the_task_stand_in_the_order_of_its_schema():
    root = Xml.fromstring(task_xml(WANTED).partition("?>")[2])
    seen = set()

    for element in root.iter():
        tag = element.tag.removeprefix(f"{{{TASKS}}}")
        seen.add(tag)
        if tag in ORDER:
            children = [child.tag.removeprefix(f"{{{TASKS}}}") for child in element]
            assert set(children) <= set(ORDER[tag])
            assert children == sorted(children, key=ORDER[tag].index), tag
    assert set(ORDER) <= seen
    assert {"BootTrigger", "WakeToRun", "MultipleInstancesPolicy"} <= seen
    assert root.find(f".//{{{TASKS}}}Arguments").text.endswith('"/srv/dö $x/100%/actors.toml"')


@pytest.mark.parametrize("kind", ["systemd", "schtasks"])
def test_what_is_taken_back_is_what_was_written(kind):
    written = [step.path for step in steps_of(WANTED, kind, Path("/home/x")) if isinstance(step, WriteFile)]
    back = steps_of(WANTED, kind, Path("/home/x"), remove=True)

    assert [step.path for step in back if isinstance(step, RemoveFile)] == written
    assert any(isinstance(step, Run) for step in back)


@pytest.mark.parametrize(
    "changes",
    [{"daily": ("2am",)}, {"daily": ("24:00",)}, {"every": 5.0}, {"at_boot": False, "every": 0.0}],
    ids=["word", "hour", "too often", "never"],
)
def test_a_time_that_is_none_is_refused(changes):
    with pytest.raises(ValueError, match=r"time of day|say when|from a minute"):
        Ensuring(name="n", command=("/x",), directory="/", **changes)
