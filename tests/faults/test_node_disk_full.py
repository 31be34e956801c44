"""A whole node on a disk that is full while it stores and publishes: actors go on, it is said, and nothing is lost."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest
from support.disks import fill, mounted_disk
from support.nodes import Node, node, wait_until

from actors.history.catalog import CATALOG

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="a tmpfs is mounted"),
    pytest.mark.timeout(600),
]


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
            for path in workers:
                assert running.ctl("restart", path).code == 0
            wait_until(partial(are_ready, running, workers, generation), "actors that go on")
        wait_until(lambda: "disk full" in running.ctl("status").out, "a word of the full disk")
        assert running.ctl("doctor", "disk").code == 5
        assert set(published(running.home)) >= set(workers)
        for file in files:
            file.unlink()

        wait_until(partial(all_published, running, workers), "all that happened meanwhile")
        wait_until(lambda: "disk full" not in running.ctl("status").out, "a history that is well again")
        wait_until(lambda: running.ctl("history", "verify").code == 0, "a history that is sound")
        assert figures(running)["lost_rows"] == 0
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
