"""The installed service under a systemd that really runs: a machine of its own, `make trial-systemd`.

Skipped where nobody asks for it, and where such a machine cannot be had. What systemd was told its journal says.
"""

from __future__ import annotations

import json
import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine import Machine, lacking, machine
from support.nodes import ACTORCTL, Result, wait_until

from supervisors.node.statefile import read_state

UNIT = "shop.service"
FOLDER = "/srv/shop"

pytestmark = [
    pytest.mark.skipif("TRIAL_SYSTEMD" not in os.environ, reason="make trial-systemd"),
    pytest.mark.timeout(1200),
]

WORKERS = """
import re
import threading

from actors import Actor, Message, on


class Wedge(Message[None], frozen=True):
    pass


class Work(Message[None], frozen=True):
    seconds: float


class Worker(Actor):
    @on(Wedge)
    def wedge(self, message: Wedge) -> None:
        re.match(r"(a+)+$", "a" * 64 + "b")  # C code that keeps the interpreter for ever

    @on(Work)
    def work(self, message: Work) -> None:
        threading.Event().wait(message.seconds)
"""

CONFIG = """\
version = 1
[runtime]
name = "shop"
drain = "40s"
[health]
wedged_after = "0s"
[actors."/worker"]
use = "workers:Worker"
runs_in = "thread"
shutdown = "40s"
[actors."/child"]
use = "workers:Worker"
runs_in = "process"
"""

NEXT = """
[actors."/other"]
use = "workers:Worker"
"""


class Shop:
    """A node on the machine, installed as a service."""

    def __init__(self, on: Machine) -> None:
        self.on = on
        self.folder = on.root / FOLDER[1:]
        self.folder.mkdir(parents=True)
        (self.folder / "workers.py").write_text(WORKERS)
        self.configure(CONFIG)

    def configure(self, text: str) -> None:
        (self.folder / "actors.toml").write_text(text)

    def ctl(self, *args: str) -> Result:
        return self.on.run(*ACTORCTL, *args, cwd=FOLDER)

    def done(self, *args: str) -> Result:
        result = self.ctl(*args)
        assert result.code == 0, (args, result, self.on.run("journalctl", "-u", UNIT, "-n", "40").out)
        return result

    def main(self) -> int:
        return int(self.on.show(UNIT, "MainPID")["MainPID"])

    def state(self) -> str:
        found = self.on.show(UNIT, "ActiveState", "SubState")
        return f"{found['ActiveState']}/{found['SubState']}"

    def restarts(self) -> int:
        return int(self.on.show(UNIT, "NRestarts")["NRestarts"])

    def wait_state(self, wanted: str) -> None:
        wait_until(lambda: self.state() == wanted, f"{UNIT} is {wanted}")

    def wait_another(self, than: int) -> None:
        """Wait until systemd has started another process than `than`, and that one is ready."""
        wait_until(
            lambda: self.state() == "active/running" and self.main() not in {0, than}, "another process is ready"
        )

    def paths(self) -> set[str]:
        return {item["path"] for item in json.loads(self.done("ps", "-o", "json").out)["items"]}

    def drop_in(self, **settings: str) -> None:
        """Change settings of the unit, as `systemctl edit` does."""
        folder = self.on.root / "etc/systemd/system" / f"{UNIT}.d"
        folder.mkdir(exist_ok=True)
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (folder / "trial.conf").write_text(f"[Service]\n{lines}")
        self.on.ctl("daemon-reload")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    why = lacking()
    if why:
        pytest.skip(why)
    with machine(tmp_path_factory.mktemp("machine")) as running:
        yield Shop(running)
        version = running.run("systemctl", "--version").out.splitlines()[0]
    record = os.environ.get("TRIAL_RECORD")
    if record and not request.session.testsfailed:
        found = {"systemd": version, "kernel": platform.release(), "cases": request.session.testscollected, "failed": 0}
        Path(record).write_text(json.dumps(found, indent=2) + "\n")


def test_it_is_installed_enabled_and_verified_without_a_word(shop: Shop) -> None:
    shop.done("service", "install", "--system")

    path = f"/etc/systemd/system/{UNIT}"
    verified = shop.on.run("systemd-analyze", "verify", path)
    assert (verified.code, verified.err) == (0, "")
    assert shop.on.ctl("is-enabled", UNIT).strip() == "enabled"
    assert shop.state() == "inactive/dead"


def test_start_comes_back_when_the_tree_is_ready(shop: Shop) -> None:
    shop.done("service", "start")

    assert shop.state() == "active/running"
    assert {"/worker", "/child"} <= shop.paths()
    told = shop.on.notified(UNIT)
    assert any(words.get("READY") == "1" for words in told)
    assert any("EXTEND_TIMEOUT_USEC" in words for words in told)
    assert shop.on.show(UNIT, "StatusText")["StatusText"]
    status = shop.done("service", "status")
    assert "active (running)" in status.out
    assert "running" in shop.done("service", "logs").out


def test_a_second_node_by_hand_is_refused_with_7(shop: Shop) -> None:
    before = shop.main()

    assert shop.ctl("run").code == 7

    assert shop.main() == before


def test_reload_is_announced_and_its_end_too_and_touches_no_process(shop: Shop) -> None:
    before, seen = shop.main(), len(shop.on.said())
    shop.configure(CONFIG + NEXT)

    shop.on.ctl("reload", UNIT)

    wait_until(lambda: "/other" in shop.paths(), "the new actor is there")
    told = wait_until(
        lambda: (t := shop.on.notified(UNIT, seen)) and any(w.get("READY") for w in t) and t, "READY after RELOADING"
    )
    reloading = next(words for words in told if words.get("RELOADING") == "1")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert shop.main() == before
    assert shop.restarts() == 0


def test_a_bad_file_is_refused_and_the_service_goes_on(shop: Shop) -> None:
    before, seen = shop.main(), len(shop.on.said())
    shop.configure("version = 7\n")

    shop.on.ctl("reload", UNIT)

    wait_until(lambda: any(words.get("READY") for words in shop.on.notified(UNIT, seen)), "READY after RELOADING")
    shop.configure(CONFIG)
    assert shop.state() == "active/running"
    assert shop.main() == before
    assert "/other" in shop.paths()


def test_after_kill_9_it_is_started_again_and_nothing_of_the_old_one_is_left(shop: Shop) -> None:
    before = shop.main()
    old = set(shop.on.run("cat", f"/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").out.split())

    shop.on.run("kill", "-9", str(before))

    shop.wait_another(before)
    assert shop.restarts() == 1
    assert not old & set(shop.on.run("cat", f"/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").out.split())
    assert {"/worker", "/child"} <= shop.paths()


@pytest.mark.parametrize("how", ["C code keeps the interpreter", "it was stopped"])
def test_the_watchdog_ends_one_that_is_wedged_and_it_is_started_again(shop: Shop, how: str) -> None:
    shop.drop_in(WatchdogSec="4s")
    shop.done("service", "restart")
    before, count, seen = shop.main(), shop.restarts(), len(shop.on.said())
    wait_until(lambda: any(words.get("WATCHDOG") for words in shop.on.notified(UNIT, seen)), "WATCHDOG=1")

    if how == "it was stopped":
        shop.on.run("kill", f"-{signal.SIGSTOP.value}", str(before))
    else:
        shop.ctl("--timeout", "2s", "send", "/worker", "Wedge")  # it may be too late for the answer

    shop.wait_another(before)
    assert shop.restarts() == count + 1
    said = shop.on.said()[seen:]
    assert any(UNIT in line and "Watchdog timeout" in line for line in said)
    assert any(UNIT in line and "Failed with result 'watchdog'" in line for line in said)
    if how != "it was stopped":  # SIGABRT made it write the stacks of all threads, for whoever looks for the reason
        assert "workers.py" in shop.on.run("journalctl", "--no-pager", "-u", UNIT, f"_PID={before}").out


def test_a_stop_that_takes_longer_than_its_time_asks_for_more_and_is_clean(shop: Shop) -> None:
    shop.drop_in(TimeoutStopSec="3s")
    shop.done("service", "restart")
    seen = len(shop.on.said())
    shop.done("send", "/worker", "Work", '{"seconds": 8}')

    shop.done("service", "stop")

    told = shop.on.notified(UNIT, seen)
    assert any(words.get("STOPPING") == "1" for words in told)
    assert sum("EXTEND_TIMEOUT_USEC" in words for words in told) >= 2
    found = shop.on.show(UNIT, "ActiveState", "Result", "ExecMainStatus")
    assert found == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert not any("timed out" in line for line in shop.on.said()[seen:] if UNIT in line)


def test_a_faulty_configuration_ends_the_service_for_good(shop: Shop) -> None:
    shop.configure("version = 7\n")
    before = shop.restarts()

    assert shop.ctl("service", "start").code != 0

    assert shop.on.show(UNIT, "ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "8"}
    assert shop.restarts() == before
    shop.configure(CONFIG)


def test_the_service_waits_for_a_node_that_somebody_runs_and_takes_over(shop: Shop) -> None:
    shop.done("up")

    shop.on.ctl("start", "--no-block", UNIT)
    shop.wait_state("activating/start")
    wait_until(lambda: "waiting" in shop.on.show(UNIT, "StatusText")["StatusText"], "it waits for the other")
    shop.done("down")

    shop.wait_state("active/running")
    assert "/worker" in shop.paths()


def test_daemon_restart_asks_systemd_and_pause_asks_the_node(shop: Shop) -> None:
    before = shop.main()

    shop.done("daemon", "restart")

    shop.wait_another(before)
    shop.done("service", "pause")
    assert read_state(shop.folder / ".actors").state == "paused"  # type: ignore[union-attr]
    shop.done("service", "continue")
    assert read_state(shop.folder / ".actors").state == "running"  # type: ignore[union-attr]


def test_uninstalled_it_is_gone(shop: Shop) -> None:
    shop.done("service", "uninstall")

    assert shop.on.show(UNIT, "LoadState") == {"LoadState": "not-found"}
    assert not (shop.on.root / "etc/systemd/system" / UNIT).exists()
    assert shop.ctl("status").code == 4
    assert (shop.folder / ".actors").is_dir()
    assert not Path(f"{shop.folder}/.actors/service.json").exists()
