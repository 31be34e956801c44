"""A flood of log lines stays under the cap of the files, is followed over rotations, and holds up no other actor.

The suite floods for a few seconds; `make trial-logs` for ten minutes, and keeps what it saw.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from support.nodes import node, wait_until

SECONDS = float(os.environ.get("FLOOD_SECONDS", "3"))
RECORD = os.environ.get("FLOOD_RECORD", "")
SIZE, TOTAL = 200_000, 1_000_000
SLACK = 2 * SIZE
"""Above the total: the file being written, and one that is being compressed, which is there twice."""

FLOODS = ("/flood#1", "/flood#2", "/flood-apart")

CONFIG = f"""\
version = 1

[log]
max_size = "{SIZE}B"
total = "{TOTAL}B"

[actors."/flood"]
use = "flooding:Flood"
count = 2
runs_in = "thread"

[actors."/flood-apart"]
use = "flooding:Flood"
runs_in = "process"

[actors."/calm"]
use = "flooding:Calm"
"""

FLOODING = """
import logging
import random
import time

from actors import Actor, Message, on

logger = logging.getLogger("flooding")


class Go(Message[None], frozen=True):
    pass


class Beat(Message[None], frozen=True):
    pass


class Flood(Actor):
    def on_start(self) -> None:
        self.written = 0
        self.actor_ref.tell(Go())

    @on(Go)
    def go(self, message: Go) -> None:
        for _ in range(100):
            self.written += 1
            logger.info("line %d %s", self.written, random.randbytes(20).hex())
        self.actor_ref.tell(Go())

    def state_view(self) -> dict[str, object]:
        return {"written": self.written}


class Calm(Actor):
    def on_start(self) -> None:
        self.beats = 0
        self.longest = 0.0
        self.at = time.monotonic()
        self.every(0.05, Beat())

    @on(Beat)
    def beat(self, message: Beat) -> None:
        now = time.monotonic()
        self.beats, self.longest, self.at = self.beats + 1, max(self.longest, now - self.at), now

    def state_view(self) -> dict[str, object]:
        return {"beats": self.beats, "longest": self.longest}
"""


def size_of(folder: Path, name: str) -> int:
    total = 0
    for path in folder.glob(f"{name}*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # rotated away between the two looks
    return total


@pytest.mark.faults
@pytest.mark.timeout(SECONDS + 300)
def test_a_flood_of_lines_stays_under_the_cap_and_stops_no_actor(tmp_path: Path) -> None:
    (tmp_path / "flooding.py").write_text(FLOODING)
    (tmp_path / "actors.toml").write_text(CONFIG)
    with node(tmp_path) as running:
        running.wait_ready()
        logs = running.home / "logs"
        begun = time.monotonic()
        largest = 0

        def state(path: str) -> dict[str, float]:
            def told() -> dict[str, float] | None:
                return running.items("describe", path, "--state")[0]["state"]

            found: dict[str, float] = wait_until(told, f"the state of {path}")
            return found

        before = state("/calm")
        looks = 0
        until = begun + SECONDS
        while time.monotonic() < until or looks < 3:
            looks += 1
            largest = max(largest, *[size_of(logs, "node") for _ in range(50) if not time.sleep(0.005)])
        wait_until(lambda: len(list(logs.glob("node-*.log.gz"))) > 1, "files that were rotated")
        wait_until(lambda: state("/calm")["beats"] > before["beats"], "the calm actor beats on")
        seconds = time.monotonic() - begun
        calm = state("/calm")
        written = (
            {path: state(path).get("written") for path in FLOODS} if RECORD else {}
        )  # None: it was too busy to say
        kept = wait_until(lambda: running.items("logs", "/flood#1", "-n", "1"), "a line of /flood#1 among those kept")

    assert largest <= TOTAL + SLACK
    assert kept
    if RECORD:
        result = {
            "seconds": seconds,
            "lines_written_by_actors": written,
            "largest_bytes": largest,
            "total_bytes": TOTAL,
            "calm_beats": calm["beats"],
            "calm_longest_gap_seconds": calm["longest"],
            "load": os.getloadavg(),
        }
        Path(RECORD).write_text(json.dumps(result, indent=1) + "\n")
