"""A whole node on a disk that is full while it stores and publishes: actors go on, it is said, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest
from support.disks import fill, mounted_disk
from support.nodes import Node, actorctl, node, wait_until

from actors.history.catalog import CATALOG

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="a tmpfs is mounted"),
    pytest.mark.timeout(600),
]


FULL = "disk is full"
COMMANDS = (
    (("tree",), 0, "agents"),
    (("ps",), 0, "/work/jobs"),
    (("why", "/agents/00"), 0, "/agents/00"),
    (("sql", "SELECT count(*) AS seen FROM events"), 0, "SEEN"),
    (("jobs", "list"), 0, "no such job"),
    (("cron", "list"), 0, "agents/00"),
    (("queue", "list"), 0, "task"),
    (("doctor", "disk"), 5, "failed"),
    (("stop", "/agents/13"), 1, "No space left"),
    (("jobs", "add", "hash-file", '{"path": "/etc/hostname"}'), 1, FULL),
    (("queue", "pause", "task"), 1, FULL),
    (("cron", "pause", "agents/08"), 7, FULL),
    (("backup", "copy.db"), 1, FULL),
    (("daemon", "restart"), 1, "no space left on the disk"),
)
"""Commands on a full disk, what each ends with, and what it says."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted_disk(tmp_path / "disk", "48m")


def figures(running: Node) -> dict[str, object]:
    return dict(running.items("status")[0]["history"])


def published(home: Path) -> dict[str, int]:
    """Return how often each actor started, as another tool reads it."""
    with duckdb.connect(str(home / "history-files" / CATALOG), read_only=True) as connection:
        return dict(connection.execute("SELECT path, count(*) FROM starts GROUP BY path").fetchall())


def are_ready(running: Node, paths: list[str], generation: int) -> bool:
    """Whether all are ready that often begun, or oftener: who lost what it needs begins again too."""
    return all(i["state"] == "ready" and i["generation"] >= generation for i in running.items("ps", *paths))


def all_published(running: Node, paths: list[str]) -> bool:
    """Whether another tool sees every start of `paths`."""
    seen = published(running.home)
    return all(seen[item["path"]] == item["generation"] for item in running.items("ps", *paths))


def test_actors_go_on_while_the_disk_is_full_and_what_happened_meanwhile_is_stored_after(disk: Path) -> None:
    with node(disk) as running:
        running.wait_ready()
        wait_until(lambda: (running.home / "history-files" / CATALOG).exists(), "something published")
        ready = [item["path"] for item in running.items("ps") if item["state"] == "ready"]
        workers = [path for path in ready if path.startswith(("/work/task", "/agents"))]  # no queue: it needs the disk
        wait_until(lambda: set(published(running.home)) >= set(workers), "starts that are published")

        files = fill(disk)
        for generation in (2, 3, 4):
            assert running.ctl("restart", *workers).code == 0
            wait_until(partial(are_ready, running, workers, generation), "actors that go on")
        wait_until(lambda: "disk full" in running.ctl("status").out, "a word of the full disk")
        for words, code, said in COMMANDS:
            done = running.ctl(*words)
            assert (done.code, said in f"{done.out}{done.err}") == (code, True), (words, done)
        (worker,) = running.items("ps", "/work/task#1")
        os.kill(worker["pid"], signal.SIGKILL)
        wait_until(partial(are_ready, running, ["/work/task#1"], worker["generation"] + 1), "a worker in its place")
        assert set(published(running.home)) >= set(workers)
        for file in files:
            file.unlink()

        wait_until(partial(all_published, running, workers), "all that happened meanwhile")
        wait_until(lambda: "disk full" not in running.ctl("status").out, "a history that is well again")
        wait_until(lambda: running.ctl("history", "verify").code == 0, "a history that is sound")
        assert figures(running)["lost_rows"] == 0
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def pid_of(home: Path) -> int:
    return int(json.loads((home / "run" / "node.pid").read_bytes())["pid"])


def test_a_node_starts_when_there_is_room_says_why_it_cannot_and_is_ended_on_a_full_disk(disk: Path) -> None:
    (disk / "actors.toml").write_text('version = 1\n[runtime]\nname = "small"\n')
    files = fill(disk)
    try:
        refused = actorctl("up", cwd=disk)
        assert (refused.code, "no space left on" in refused.err.lower()) == (1, True), refused
        for file in files:
            file.unlink()
        assert actorctl("up", cwd=disk).code == 0
        pid = pid_of(disk / ".actors")
        fill(disk)
        again = actorctl("daemon", "restart", cwd=disk)
        assert (again.code, "nothing was stopped" in again.err) == (1, True), again
        assert pid_of(disk / ".actors") == pid
        assert actorctl("status", cwd=disk).code == 0
    finally:
        ended = actorctl("daemon", "stop", cwd=disk)
    assert ended.code == 0, ended
    assert actorctl("status", cwd=disk).code == 4
