"""kill -9 of every kind of process in random order while commands run: no orphan, no stored event lost, tree correct.

`FAULT_ROUNDS` says how many rounds (the suite runs a few, `make faults` 100), `FAULT_SEED` which order, `FAULT_RECORD`
the file that a clean trial is written to.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.nodes import Node, wait_until

from supervisors.processes.marks import read_mark

logger = logging.getLogger(__name__)

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "5"))
SEED = int(os.environ.get("FAULT_SEED", "20261121"))

RECORD = os.environ.get("FAULT_RECORD", "")

KINDS = ("node", "recorder", "worker", "warden", "two")
"""What a round kills; "two" are two children of the node at once."""

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
    "/work/jobs",
    "/work/index",
    "/work/task#1",
    "/work/task#2",
}


class Commands:
    """Somebody who keeps looking at the node and asking it things while it is being shot at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ending = threading.Event()
        self._starting = threading.Event()
        self._starts = 0
        self.unexpected: list[Any] = []
        self.count = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Commands:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    @contextmanager
    def starting(self) -> Iterator[None]:
        """A node starts until the block ends: what has not been started yet is not found."""
        self._starts += 1
        self._starting.set()
        yield
        self._starting.clear()

    def _run(self) -> None:
        from support.nodes import actorctl

        forget = ["send", "/work/index", "ForgetFiles", '{"paths": ["/none"]}']
        commands = (["tree"], ["ps", "/work/*"], forget, ["status"])
        while not self._ending.is_set():
            for command in commands:
                starts, was_starting = self._starts, self._starting.is_set()
                result = actorctl(*command, cwd=self._folder)
                self.count += 1
                expected = {0, 1, 2, 4, 6, 7} | ({3} if was_starting or starts != self._starts else set())
                if result.code not in expected or "Traceback" in result.err:
                    self.unexpected.append((command, result))


@pytest.mark.faults
@pytest.mark.timeout(300 + ROUNDS * 120)
def test_the_tree_survives_kill_nine_of_anything_in_any_order(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "actors.toml").write_text(CONFIG)
    (tmp_path / "some.txt").write_text("text\n")
    stored: set[tuple[int, int]] = set()
    kills: Counter[str] = Counter()
    began = time.monotonic()
    running = Node(tmp_path)
    try:
        running.wait_ready()
        with Commands(tmp_path) as commands:
            for number in range(ROUNDS):
                kind = chance.choice(KINDS)
                logger.info("%.0f s, round %d of %d: %s", time.monotonic() - began, number + 1, ROUNDS, kind)
                with commands.starting() if kind == "node" else nullcontext():
                    running = shoot(running, kind, chance)
                    kills[kind] += 1
                    wait_ready(running, f"round {number} ({kind})")
                wait_no_strays(running)
                stored |= check_history(running, stored)
        assert not commands.unexpected, commands.unexpected
        assert commands.count > ROUNDS

        running.signal(signal.SIGINT)
        assert running.wait() == 0
        wait_until(lambda: only_ours(tmp_path) == [], "no process is left in the folder")
    finally:
        running.close()
    if RECORD:
        record(kills, commands=commands.count, events=len(stored), seconds=time.monotonic() - began)


def record(kills: Counter[str], *, commands: int, events: int, seconds: float) -> None:
    """Keep what a clean trial went through in the file `FAULT_RECORD`, with the code that it was of."""
    at = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty"]
    found = {
        "question": "kill -9 of every kind of process in random order while commands run: does anything get lost?",
        "commit": subprocess.run(at, capture_output=True, text=True, check=True).stdout.strip(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "seed": SEED,
        "rounds": ROUNDS,
        "kills": dict(sorted(kills.items())),
        "commands": commands,
        "stored_events": events,
        "seconds": round(seconds, 1),
        "lost_events": 0,
        "orphans": 0,
    }
    Path(RECORD).write_text(json.dumps(found, indent=1) + "\n")


def shoot(running: Node, kind: str, chance: random.Random) -> Node:
    """Kill, and return the node that then runs."""
    pids = {item["path"]: item["pid"] for item in running.items("ps", "/sys/recorder", "/work/task#1", "/work/task#2")}
    victims = {
        "node": [],
        "recorder": ["/sys/recorder"],
        "worker": [chance.choice(["/work/task#1", "/work/task#2"])],
        "warden": [],
        "two": chance.sample(sorted(pids), 2),
    }[kind]
    if kind == "node":
        below = running.processes()[1:]
        running.signal(signal.SIGKILL)
        running.wait()
        _, alive = psutil.wait_procs(below, timeout=60)
        assert not alive, f"orphans: {alive}"
        running.close()
        fresh = Node(running.folder)
        fresh.wait_ready()
        return fresh
    if kind == "warden":
        (before,) = wait_until(lambda: wardens(running), "a warden")
        before.kill()
        wait_until(lambda: wardens(running) not in ([], [before]), "another warden")
        return running
    for path in victims:
        with suppress(ProcessLookupError):  # it has ended by itself: that is the same to the tree
            os.kill(pids[path], signal.SIGKILL)
    for path in victims:
        wait_until(lambda p=path: changed(running, p, pids[p]), f"another process at {path}")
    return running


def wardens(running: Node) -> list[psutil.Process]:
    """The processes that watch over the node's launcher."""
    found = []
    for process in running.processes()[1:]:
        try:
            if any("marks" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def strays(running: Node) -> list[psutil.Process]:
    """Children of a node in this folder that are not below the running one."""
    below = running.processes()
    return [found for found in only_ours(running.folder) if read_mark(found.pid) and found not in below]


def wait_no_strays(running: Node) -> None:
    wait_until(lambda: strays(running) == [], "no process is left that is not the node's")


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
