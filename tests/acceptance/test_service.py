"""`actorctl service` from outside, with a stand-in for systemctl that writes down what it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.nodes import Result, actorctl

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1" in --version) echo "systemd 252 (252.1)";; esac
case "$2" in status) echo "active (running)"; exit 3;; enable) exit ${ENABLE:-0};; esac
"""


class Machine:
    """A user's machine with systemd."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = path / "calls"
        (path / "bin").mkdir()
        (path / "bin" / "systemctl").write_text(SYSTEMCTL)
        (path / "bin" / "systemctl").chmod(0o755)
        (path / "project").mkdir()
        (path / "project" / "actors.toml").write_text('version = 1\n[runtime]\nname = "shop"\n')

    def ctl(self, *args: str, **env: str) -> Result:
        folder = {"HOME": str(self.path), "XDG_CONFIG_HOME": str(self.path / "config"), "CALLS": str(self.calls)}
        path = f"{self.path / 'bin'}:/usr/bin:/bin"
        return actorctl(*args, cwd=self.path / "project", **folder, PATH=path, **env)

    @property
    def unit(self) -> Path:
        return self.path / "config" / "systemd" / "user" / "shop.service"

    def told(self) -> list[str]:
        found = [line for line in self.calls.read_text().splitlines() if line != "--version"]
        self.calls.write_text("")
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is Linux's")
def test_a_service_is_shown_installed_started_asked_and_uninstalled(machine: Machine) -> None:
    shown = machine.ctl("service", "install", "--user", "--dry-run")
    assert shown.code == 0, shown
    assert "--service systemd:shop" in shown.out
    assert "# run systemctl --user enable shop.service" in shown.out
    assert not machine.unit.exists()
    assert not (machine.path / "project" / ".actors").exists()
    machine.told()

    installed = machine.ctl("service", "install", "--user")

    assert installed.code == 0, installed
    assert "linger" in installed.err
    assert machine.unit.read_text() in shown.out
    assert machine.told() == ["--user daemon-reload", "--user enable shop.service"]
    for verb in ("start", "stop", "restart"):
        assert machine.ctl("service", verb).code == 0
    assert machine.told() == [f"--user {verb} shop.service" for verb in ("start", "stop", "restart")]
    status = machine.ctl("service", "status")
    assert (status.code, status.out) == (3, "active (running)\n")
    assert machine.ctl("service", "pause").code == 4  # systemd knows no pause, and no node runs
    assert machine.ctl("service", "uninstall").code == 0
    assert not machine.unit.exists()
    assert machine.ctl("service", "start").code == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is Linux's")
def test_what_cannot_be_installed_leaves_nothing_behind(machine: Machine) -> None:
    refused = machine.ctl("service", "install", "--user", ENABLE="1")

    assert refused.code == 1
    assert "enable shop.service ended with 1" in refused.err
    assert not machine.unit.exists()
    assert not (machine.path / "project" / ".actors" / "service.json").exists()
    (machine.path / "project" / "actors.toml").write_text("version = 2\n")
    assert machine.ctl("service", "install", "--user").code == 8
    assert machine.ctl("service", "install", "--name", "a b", "-c", "/nowhere.toml").code == 8
