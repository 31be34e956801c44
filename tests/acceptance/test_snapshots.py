"""What an actor keeps is there again: after kill -9 of its process and of the node, however often."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.nodes import Node, node, wait_until

CONFIG = """
[queues.default]
handlers = []
workers = 0

[actors."/near"]
use = "tallying:Tally"
args = { log = "near.log" }

[actors."/far"]
use = "tallying:Tally"
runs_in = "process"
args = { log = "far.log" }
"""
TALLYING = '''
"""An actor that counts, keeps the count, and only then says it outside."""

import os
from typing import Any

from actors import Actor, Message, on
from actors.state.snapshots import Keeps


class Tick(Message[None], frozen=True):
    pass


class Tally(Keeps, Actor):
    def __init__(self, log: str) -> None:
        super().__init__()
        self._log = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self.count = 0

    def on_start(self) -> None:
        self.count = self.kept(int) or 0
        os.write(self._log, f"start {self.count}\\n".encode())
        self.every(0.005, Tick())

    @on(Tick)
    def tick(self, _: Tick) -> None:
        self.count += 1
        self.keep(self.count)
        os.write(self._log, f"kept {self.count}\\n".encode())
'''


def lines(folder: Path, name: str) -> list[tuple[str, int]]:
    path = folder / f"{name}.log"
    found = path.read_text().splitlines() if path.exists() else []
    return [(word, int(count)) for word, _, count in (line.partition(" ") for line in found)]


def wait_kept(folder: Path, name: str, more: int) -> None:
    """Wait until the actor said so many more counts than before."""
    wanted = len(lines(folder, name)) + more
    wait_until(lambda: len(lines(folder, name)) >= wanted, f"{name} to keep its count")


def check(folder: Path, name: str, starts: int) -> None:
    """See that each instance began where the one before ended, or one further: kept, and killed before it said so."""
    found = lines(folder, name)
    assert sum(word == "start" for word, _ in found) == starts
    said = 0
    for word, count in found:
        assert count in ({said, said + 1} if word == "start" else {said + 1}), found
        said = count


def kept(running: Node, path: str) -> dict[str, object]:
    (description,) = running.items("describe", path)
    found: dict[str, object] = description["kept"]
    return found


def test_an_actors_state_outlives_kill_9_of_its_process_and_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text(CONFIG)
    (tmp_path / "tallying.py").write_text(TALLYING)
    with node(tmp_path) as first:
        first.wait_ready()
        for _ in range(2):
            wait_kept(tmp_path, "far", 5)
            (far,) = first.items("ps", "/far")
            os.kill(far["pid"], signal.SIGKILL)
            wait_until(
                lambda before=far["pid"]: first.items("ps", "/far")[0].get("pid") not in {None, before},
                "another process",
            )
        wait_kept(tmp_path, "near", 5)
        wait_kept(tmp_path, "far", 5)
        first.signal(signal.SIGKILL)
        first.wait()
    with node(tmp_path) as second:
        second.wait_ready()
        wait_kept(tmp_path, "near", 5)
        wait_kept(tmp_path, "far", 5)
        assert kept(second, "/near")["version"] == 1
        assert "keeps" in second.ctl("describe", "/far").out
        second.signal(signal.SIGKILL)
        second.wait()

    check(tmp_path, "near", 2)
    check(tmp_path, "far", 4)
