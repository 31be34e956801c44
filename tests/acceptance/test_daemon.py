"""The node as a daemon, from outside: up, pause, restart, down, and what it says of itself while and after it lives."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.nodes import ACTORCTL, TIMEOUT, Result, actorctl, environment, node, wait_until

from transport.identity import ProcessIdentity

STUBBORN = """
import threading
from actors import Actor, Message, on


class Hang(Message[None], frozen=True):
    pass


class Stubborn(Actor):
    @on(Hang)
    def hang(self, message: Hang) -> None:
        threading.Event().wait()
"""

CONFIG = """\
version = 1

[runtime]
drain = "60s"

[actors."/stubborn"]
use = "stubborn:Stubborn"
runs_in = "thread"
shutdown = "60s"

[actors."/meek"]
use = "stubborn:Stubborn"
runs_in = "thread"
"""


class Folder:
    """A folder with a project; whatever node is left in it at the end is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / ".actors"

    def ctl(self, *args: str, **env: str) -> Result:
        return actorctl(*args, cwd=self.path, **env)

    def items(self, *args: str) -> list[dict[str, Any]]:
        result = self.ctl(*args, "-o", "json")
        assert result.code == 0, result
        return result.items

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "run" / "state.json").read_text())
        return found

    def close(self) -> None:
        if not (self.home / "run" / "state.json").exists():
            return
        if not ProcessIdentity(**self.state["process"]).is_alive:  # or its id is one of another namespace
            return
        with contextlib.suppress(psutil.NoSuchProcess):  # it may be on its way out
            process = psutil.Process(self.state["process"]["pid"])
            below = [process, *process.children(recursive=True)]
            process.send_signal(signal.SIGKILL)
            psutil.wait_procs(below, timeout=TIMEOUT)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "actors.toml").write_text(CONFIG)
    found = Folder(tmp_path)
    yield found
    found.close()


def test_up_returns_when_the_tree_is_ready_and_restart_and_down_act_on_the_same_node(folder: Folder) -> None:
    began = folder.ctl("up")

    assert began.code == 0, began
    assert "is ready after" in began.err
    assert {item["state"] for item in folder.items("ps")} == {"ready"}
    first = folder.state
    assert (first["state"], first["ready"], first["total"]) == ("running", 6, 6)
    assert folder.ctl("up").code == 7
    assert folder.state["process"] == first["process"]

    again = folder.ctl("daemon", "restart", "--reason", "upgrade")

    assert again.code == 0, again
    assert folder.state["process"] != first["process"]
    assert folder.state["state"] == "running"
    (said,) = folder.items("down")
    assert (said["outcome"], said["cut"]) == ("gone", [])
    assert folder.state["state"] == "stopped"
    after = folder.ctl("daemon", "status")
    assert after.code == 4
    assert "was stopped (clean)" in after.err
    states = folder.ctl(
        "sql", "select payload->>'state' as s from events where type = 'NodeChanged' order by epoch, seq", "-o", "json"
    )
    assert [row["s"] for row in states.items][:4] == ["created", "starting", "running", "draining"]


def test_up_says_why_a_node_does_not_start_and_ends_with_its_code(folder: Folder) -> None:
    (folder.path / "stubborn.py").write_text(
        STUBBORN + "    def on_start(self):\n        raise ValueError('no luck')\n"
    )

    failed = folder.ctl("up")

    assert failed.code == 1
    assert "no luck" in failed.err
    assert folder.state["state"] == "failed"
    (folder.path / "actors.toml").write_text(CONFIG.replace("shutdown", "shutdwon"))
    refused = folder.ctl("up")
    assert refused.code == 8
    assert "shutdwon" in refused.err


def test_a_paused_node_holds_messages_and_goes_on_where_it_stood(folder: Folder) -> None:
    folder.ctl("up")

    (paused,) = folder.items("daemon", "pause", "--reason", "the database moves")

    assert (paused["state"], paused["workers"]) == ("paused", 2)
    assert folder.state["state"] == "paused"
    assert folder.ctl("restart", "/meek").code == 0  # what starts meanwhile waits too
    wait_until(lambda: folder.items("ps", "/meek")[0]["state"] == "suspended", "/meek suspended again")
    assert {i["state"] for i in folder.items("ps", "/sys/**")} == {"ready"}
    (resumed,) = folder.items("daemon", "resume")
    assert (resumed["state"], resumed["workers"]) == ("running", 2)
    assert {item["state"] for item in folder.items("ps")} == {"ready"}


def test_what_had_to_be_killed_at_the_end_is_named(folder: Folder) -> None:
    (folder.path / "actors.toml").write_text(CONFIG.replace('shutdown = "60s"', 'shutdown = "200ms"'))
    folder.ctl("up")
    assert folder.ctl("send", "/stubborn", "Hang").code == 0
    wait_until(lambda: folder.items("ps", "/stubborn")[0]["handling"] == "Hang", "it hangs")

    (said,) = folder.items("down")

    assert said["cut"] == ["/stubborn (handling Hang)"]
    assert folder.state["cut"] == said["cut"]


def test_drain_returns_at_once_and_the_node_ends_by_itself(folder: Folder) -> None:
    folder.ctl("up")
    pid = folder.state["process"]["pid"]

    (said,) = folder.items("daemon", "drain")

    assert said["outcome"] in {"accepted", "gone"}
    wait_until(lambda: not psutil.pid_exists(pid), "its end")
    assert folder.state["state"] == "stopped"


def test_a_duplicate_that_a_service_manager_started_waits_and_takes_over(folder: Folder) -> None:
    assert folder.ctl("up").code == 0
    with node(folder.path, ["--service", "elsewhere:test"]) as second:
        second.wait_line("waiting for it to end")
        assert second.process.poll() is None
        os.kill(folder.state["process"]["pid"], signal.SIGKILL)

        second.wait_ready()

        assert folder.state["process"]["pid"] == second.process.pid
        refused = folder.ctl("daemon", "restart")
        assert (refused.code, "elsewhere:test" in refused.err) == (7, True)


def test_a_duplicate_that_waits_ends_when_it_is_told_to(folder: Folder) -> None:
    assert folder.ctl("up").code == 0
    with node(folder.path, ["--service", "elsewhere:test"]) as second:
        second.wait_line("waiting for it to end")

        second.signal(signal.SIGTERM)

        assert second.wait() == 0
    assert folder.state["state"] == "running"


ORPHANS = """
import subprocess
from actors import Actor


class Parent(Actor):
    def on_start(self):
        subprocess.run(["sh", "-c", "sleep 0.2 & sleep 0.1 &"], check=True)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs a process namespace of its own",
)
def test_as_process_1_it_reaps_orphans_passes_signals_on_and_ends_with_the_nodes_code(folder: Folder) -> None:
    (folder.path / "orphans.py").write_text(ORPHANS)
    (folder.path / "actors.toml").write_text(CONFIG + '\n[actors."/parent"]\nuse = "orphans:Parent"\n')
    outside = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *ACTORCTL, "run"],
        cwd=folder.path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: (folder.home / "run" / "state.json").exists() and folder.state["state"] == "running", "ready"
        )
        (first,) = psutil.Process(outside.pid).children()
        assert folder.state["process"]["pid"] != 1

        wait_until(lambda: len(first.children()) == 1, "nothing but the node below the first process")

        first.send_signal(signal.SIGTERM)
        assert outside.wait(TIMEOUT) == 0
        assert folder.state["state"] == "stopped"
    finally:
        outside.kill()
        outside.wait(TIMEOUT)


def test_a_restart_with_a_faulty_configuration_stops_nothing(folder: Folder) -> None:
    assert folder.ctl("up").code == 0
    first = folder.state["process"]

    for spoilt in (CONFIG.replace("stubborn:Stubborn", "stubborn:Missing"), CONFIG + "x = ["):
        (folder.path / "actors.toml").write_text(spoilt)
        refused = folder.ctl("daemon", "restart")

        assert refused.code == 8, refused
        assert "nothing was stopped" in refused.err
    (folder.path / "actors.toml").unlink()
    assert folder.ctl("daemon", "restart").code == 8

    assert (folder.state["process"], folder.state["state"]) == (first, "running")
    assert folder.items("status")[0]["problems"] == []


def test_a_node_that_drains_takes_no_work_and_is_not_paused_or_reloaded(folder: Folder) -> None:
    config = CONFIG.replace('"1s"', '"10m"').replace('"200ms"', '"9m"')
    (folder.path / "actors.toml").write_text(config)
    assert folder.ctl("up").code == 0
    assert folder.ctl("send", "/stubborn", "Hang").code == 0
    assert folder.ctl("daemon", "drain").code == 0
    wait_until(lambda: folder.items("ps", "/stubborn")[0]["state"] == "stopping", "/stubborn is being stopped")

    for verb in (("ask", "/stubborn", "Hang"), ("send", "/stubborn", "Hang")):
        refused = folder.ctl(*verb)
        assert refused.code == 7, refused
        assert "is being stopped" in refused.err
    for verb in (("daemon", "pause"), ("daemon", "resume"), ("reload",)):
        refused = folder.ctl(*verb)
        assert refused.code == 7, refused
        assert "the node is draining" in refused.err
    checked = folder.ctl("status", "--check")
    assert checked.code == 5, checked
    assert "the node is draining" in checked.err
    assert folder.state["state"] == "draining"
    assert folder.ctl("down", "--now").code == 0


def test_wait_waits_for_a_node_that_is_not_up_yet_unless_told_otherwise(folder: Folder) -> None:
    assert folder.ctl("wait", "--if-running").code == 4
    late = folder.ctl("wait", "--timeout", "50ms")
    assert late.code == 4
    assert "waited 50ms for it" in late.err
    assert folder.ctl("wait", "--for", "gone").code == 0
    waiting = subprocess.Popen(
        [*ACTORCTL, "wait", "/meek", "--timeout", f"{TIMEOUT:g}s"],
        cwd=folder.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert "waiting for it" in waiting.stderr.readline()

    began = folder.ctl("up")

    out, err = waiting.communicate(timeout=TIMEOUT)
    assert began.code == 0, began
    assert waiting.returncode == 0, err
    assert "state=ready after" in out
