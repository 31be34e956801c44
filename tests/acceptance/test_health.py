"""What a real node says of itself over HTTP, in files and to a service manager, and what it does when it is wedged."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.nodes import TIMEOUT, Node, node, wait_until

ACTORS = """
import re
import threading
from actors import Actor, Message, on
from actors.events import ActorStarted


class Boom(Message[None], frozen=True):
    pass


class Wedge(Message[None], frozen=True):
    pass


class Hog(Message[None], frozen=True):
    pass


class Slow(Message[None], frozen=True):
    pass


class Bad(Actor):
    @on(Boom)
    def boom(self, message: Boom) -> None:
        raise ValueError("boom")

    @on(Wedge)
    def wedge(self, message: Wedge) -> None:
        def wait(seq: int, event: object) -> None:
            threading.Event().wait()  # on the thread of the supervisor that starts something next

        self.system.bus.subscribe(wait, (ActorStarted,))

    @on(Hog)
    def hog(self, message: Hog) -> None:
        re.match(r"(a+)+$", "a" * 64 + "b")  # keeps the interpreter's lock for good

    @on(Slow)
    def slow(self, message: Slow) -> None:
        threading.Event().wait()
"""

CONFIG = """\
version = 1

[health]
probe = "200ms"
wedged_after = "WEDGED"
heartbeat = "200ms"

[supervisors."/app"]

[actors."/app/bad"]
use = "badly:Bad"
runs_in = "thread"
backoff = { first = "1h", max = "1h" }
shutdown = "1h"

[actors."/app/other"]
use = "badly:Bad"
"""


def write(folder: Path, wedged: str = "1h") -> None:
    (folder / "badly.py").write_text(ACTORS)
    (folder / "actors.toml").write_text(CONFIG.replace("WEDGED", wedged))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Node]:
    write(tmp_path)
    with node(tmp_path) as started:
        started.wait_ready()
        yield started


def state(running: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((running.home / "run" / "state.json").read_text())
    return found


def get(running: Node, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{state(running)['http']}{page}", timeout=TIMEOUT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def health(running: Node) -> tuple[int, dict[str, Any]]:
    code, text = get(running, "/health")
    found: dict[str, Any] = json.loads(text)
    return code, found


def wait_health(running: Node, holds: Callable[[dict[str, Any]], bool], what: str) -> tuple[int, dict[str, Any]]:
    """Wait until what the node says of itself is so, and return just that."""

    def told() -> tuple[int, dict[str, Any]] | None:
        code, found = health(running)
        return (code, found) if holds(found) else None

    found: tuple[int, dict[str, Any]] = wait_until(told, what)
    return found


def make_busy(running: Node) -> None:
    """Give an actor a message that it handles until the node ends."""
    running.ctl("send", "/app/bad", "Slow")
    wait_until(lambda: running.items("ps", "/app/bad")[0]["handling"] == "Slow", "/app/bad is busy")


def is_down(running: Node) -> bool:
    """Whether the node says that it is down, or says nothing any more."""
    try:
        return health(running)[0] == 503
    except OSError:
        return running.process.poll() is not None


def test_health_and_metrics_tell_well_degraded_and_going_apart(running: Node) -> None:
    code, found = wait_health(running, lambda found: found["status"] == "healthy", "the supervisors answer")
    assert (code, found["status"], found["state"]) == (200, "healthy", "running")
    assert found["components"] == {"/sys": True, "/app": True, "history": True}
    assert get(running, "/ready")[0] == 200
    beat = (running.home / "run" / "heartbeat").read_text()
    assert beat.split()[1] == str(running.process.pid)
    wait_until(lambda: (running.home / "run" / "heartbeat").read_text() != beat, "another heartbeat")

    running.ctl("send", "/app/bad", "Boom")
    code, found = wait_health(running, lambda found: found["components"]["/app"] is False, "what is restarted shows")

    assert (code, found["status"]) == (200, "degraded")
    assert any("boom" in problem for problem in found["problems"])
    assert (get(running, "/ready")[0], get(running, "/live")[0]) == (503, 200)
    families = {family.name: family for family in text_string_to_metric_families(get(running, "/metrics")[1])}
    workers = {sample.labels["state"]: sample.value for sample in families["actorctl_workers"].samples}
    assert (workers["ready"], workers["restarting"]) == (5, 1)
    ready = {sample.labels["path"]: sample.value for sample in families["actorctl_actor_ready"].samples}
    assert (ready["/app/bad"], ready["/app/other"]) == (0, 1)
    assert families["actorctl_restarts"].samples[0].value == 1
    assert get(running, "/nothing")[0] == 404
    assert f"{state(running)['http']}/health" in running.ctl("status").out


def test_a_draining_node_is_down_for_those_who_ask(running: Node) -> None:
    make_busy(running)
    running.signal(signal.SIGTERM)
    running.wait_line("NodeChanged: draining")

    code, found = wait_health(running, lambda found: found["state"] == "draining", "it says that it drains")

    assert (code, found["status"], found["state"]) == (503, "down", "draining")


def test_a_port_that_is_taken_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write(tmp_path)
        port = taken.getsockname()[1]
        with node(tmp_path, ACTORS_HEALTH__LISTEN=f"127.0.0.1:{port}") as refused:
            assert refused.wait() == 1
            refused.wait_line(f"health.listen: 127.0.0.1:{port}")
            refused.wait_line(f"(process {os.getpid()})")
        write(tmp_path)
        with node(tmp_path, ACTORS_RUNTIME__TRANSPORT="tcp", ACTORS_RUNTIME__CONTROL=f"127.0.0.1:{port}") as refused:
            assert refused.wait() == 1
            refused.wait_line(f"(process {os.getpid()})")


def test_a_node_whose_supervisors_do_not_answer_says_so_and_ends_itself_with_70(tmp_path: Path) -> None:
    write(tmp_path, wedged="10s")
    with node(tmp_path) as wedged:
        wedged.wait_ready()
        assert wedged.ctl("send", "/app/bad", "Wedge").code == 0
        wedged.ctl("restart", "/app/other", "--no-wait")

        wait_until(lambda: is_down(wedged), "it says that it is wedged")

        assert wedged.wait() == 70
        assert "/app" in wedged.wait_line("wedged: no answer")
        log = (wedged.home / "logs" / "wedged.log").read_text()
        assert "badly.py" in log  # the stack that shows who waits
        assert state(wedged)["state"] == "failed"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs POSIX timers")
def test_a_node_whose_interpreter_is_held_ends_with_70_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, wedged="10s")
    with node(tmp_path) as held:
        held.wait_ready()
        held.ctl("send", "/app/bad", "Hog", "--timeout", "40s")  # there may be nobody left to answer

        assert held.wait() == 70
        held.wait_line("badly.py")


class Manager:
    """Plays systemd: a socket that takes what a service says."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(TIMEOUT)
        self.said: list[dict[str, str]] = []

    def wait(self, word: str) -> dict[str, str]:
        """Return the next datagram that has `word`."""
        while True:
            said = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())
            self.said.append(said)
            if word in said:
                return said


def test_a_service_manager_hears_ready_watchdog_reloading_and_stopping(tmp_path: Path) -> None:
    write(tmp_path)
    manager = Manager(tmp_path / "notify")
    with node(
        tmp_path,
        ["--service", "systemd:test"],
        NOTIFY_SOCKET=str(tmp_path / "notify"),
        WATCHDOG_USEC="1000000",
        WATCHDOG_PID="",
    ) as started:
        assert manager.wait("READY")["MAINPID"] == str(started.process.pid)
        assert any("EXTEND_TIMEOUT_USEC" in said for said in manager.said)
        for _ in range(3):
            manager.wait("WATCHDOG")
        before = time.monotonic_ns() // 1000
        started.signal(signal.SIGHUP)
        reloading = manager.wait("RELOADING")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        manager.wait("READY")
        make_busy(started)
        started.signal(signal.SIGTERM)
        stopping = manager.wait("STOPPING")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 0
        for _ in range(2):
            manager.wait("WATCHDOG")  # it lives while it drains
        started.signal(signal.SIGTERM)
        assert started.wait() == 130
    manager.socket.close()


LATE = """
import os
import time
from actors import Actor


class Late(Actor):
    def on_start(self) -> None:
        while not os.path.exists("go"):
            time.sleep(0.02)
"""


def test_hup_while_the_tree_starts_is_answered_when_it_is_ready_and_does_not_pass_for_ready(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "actors.toml").write_text(
        'version = 1\n[actors."/late"]\nuse = "late:Late"\nruns_in = "thread"\nstart_timeout = "1h"\n'
    )
    manager = Manager(tmp_path / "notify")
    with node(tmp_path, ["--service", "systemd:test"], NOTIFY_SOCKET=str(tmp_path / "notify")) as started:
        manager.wait("EXTEND_TIMEOUT_USEC")
        started.signal(signal.SIGHUP)
        for _ in range(3):
            manager.wait("EXTEND_TIMEOUT_USEC")  # once for each second that the start goes on
        assert not any("READY" in said or "RELOADING" in said for said in manager.said)
        (tmp_path / "go").touch()
        manager.wait("READY")
        manager.wait("RELOADING")
        manager.wait("READY")
    manager.socket.close()
