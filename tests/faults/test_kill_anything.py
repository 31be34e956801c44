"""kill -9 of every kind of process in random order while commands run: no orphan, no stored event lost, tree correct.

`FAULT_ROUNDS` says how many rounds (the suite runs a few, `make faults` 100), `FAULT_SEED` which order.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.nodes import Node, wait_until

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "5"))
SEED = int(os.environ.get("FAULT_SEED", "20261121"))

CONFIG = """\
version = 1

[runtime]
name = "faults"

[defaults.child]
backoff = { first = "50ms", max = "200ms" }

[supervisors."/"]
limit = { restarts = 100, within = "10s" }

[supervisors."/sys"]
limit = { restarts = 100, within = "10s" }

[supervisors."/work"]
limit = { restarts = 100, within = "10s" }

[work]
count = "2"
runs_in = "process"
"""

READY = {
    "/sys/recorder",
    "/sys/scheduler",
    "/sys/resource-monitor",
    "/sys/watchdog",
    "/work/queue",
    "/work/task#1",
    "/work/task#2",
}


class Commands:
    """Somebody who keeps looking at the node and asking it things while it is being shot at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ending = threading.Event()
        self.unexpected: list[Any] = []
        self.count = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Commands:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        from support.nodes import actorctl

        commands = (["tree"], ["ps", "/work/*"], ["send", "/work/queue", "ForgetFiles", '{"job": "none"}'], ["status"])
        while not self._ending.is_set():
            for command in commands:
                result = actorctl(*command, cwd=self._folder)
                self.count += 1
                if result.code not in {0, 1, 2, 4, 6, 7} or "Traceback" in result.err:
                    self.unexpected.append((command, result))


@pytest.mark.faults
@pytest.mark.timeout(120 + ROUNDS * 60)
def test_the_tree_survives_kill_nine_of_anything_in_any_order(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "actors.toml").write_text(CONFIG)
    (tmp_path / "some.txt").write_text("text\n")
    stored: set[tuple[int, int]] = set()
    running = Node(tmp_path)
    try:
        running.wait_ready()
        with Commands(tmp_path) as commands:
            for number in range(ROUNDS):
                kind = chance.choice(["node", "recorder", "worker", "two"])
                running = shoot(running, kind, chance)
                wait_ready(running, f"round {number} ({kind})")
                stored |= check_history(running, stored)
        assert commands.unexpected == []
        assert commands.count > ROUNDS

        running.signal(signal.SIGINT)
        assert running.wait() == 0
        assert only_ours(tmp_path) == []
    finally:
        running.close()


def shoot(running: Node, kind: str, chance: random.Random) -> Node:
    """Kill, and return the node that then runs."""
    pids = {item["path"]: item["pid"] for item in running.items("ps", "/sys/recorder", "/work/task#1", "/work/task#2")}
    victims = {
        "node": [],
        "recorder": ["/sys/recorder"],
        "worker": [chance.choice(["/work/task#1", "/work/task#2"])],
        "two": chance.sample(sorted(pids), 2),
    }[kind]
    if kind == "node":
        below = running.processes()[1:]
        running.signal(signal.SIGKILL)
        running.wait()
        _, alive = psutil.wait_procs(below, timeout=30)
        assert not alive, f"orphans: {alive}"
        running.close()
        fresh = Node(running.folder)
        fresh.wait_ready()
        return fresh
    for path in victims:
        os.kill(pids[path], signal.SIGKILL)
    for path in victims:
        wait_until(lambda p=path: changed(running, p, pids[p]), f"another process at {path}")
    return running


def changed(running: Node, path: str, before: int) -> bool:
    (item,) = running.items("ps", path)
    return item["state"] == "ready" and item["pid"] != before


def wait_ready(running: Node, what: str) -> None:
    wait_until(lambda: ready_paths(running) == READY, f"{what}: the whole tree is ready")


def ready_paths(running: Node) -> set[str]:
    result = running.ctl("ps", "-o", "json")
    return {item["path"] for item in result.items if item["state"] == "ready"} if result.code == 0 else set()


def check_history(running: Node, stored: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return what is stored now; nothing that was stored before may be missing, and nothing is there twice."""

    def rows() -> list[dict[str, Any]] | None:
        result = running.ctl(
            "sql", "select epoch, seq from events", "--limit", "1000000", "-o", "json", "--timeout", "30s"
        )
        return result.items if result.code == 0 else None

    found = wait_until(rows, "the history answers")
    pairs = [(int(row["epoch"]), int(row["seq"])) for row in found]
    assert len(pairs) == len(set(pairs)), "events stored twice"
    missing = stored - set(pairs)
    assert not missing, f"{len(missing)} stored events are gone: {sorted(missing)[:5]}"
    return set(pairs)


def only_ours(folder: Path) -> list[psutil.Process]:
    """Processes whose working folder is the node's."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
