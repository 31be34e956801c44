"""Many nodes started at once in one home: one wins, the others end with 7, and kill -9 leaves nothing in the way.

The suite does a few; `make starts` does 20 rounds of 50, and 200 rounds of start, kill -9, start, or as many of each as
fit into `START_SECONDS`. What was really run is written down after each round, so that a trial that is broken off, or a
machine that is slow, leaves a true figure; the next sitting runs the rounds that are left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from support.nodes import ACTORCTL, TIMEOUT, actorctl, environment, node, wait_until

from supervisors.node.statefile import read_state

ROUNDS = int(os.environ.get("START_ROUNDS", "1"))
STARTS = int(os.environ.get("STARTS_AT_ONCE", "8"))
KILLS = int(os.environ.get("KILL_ROUNDS", "2"))
SECONDS = float(os.environ.get("START_SECONDS", "inf"))
"""Seconds after which no further round of a trial begins."""
RECORD = os.environ.get("STARTS_RECORD", "")
"""File that gets what was really run, after each round."""


PATIENCE: Final = 0 if RECORD else 900
"""Seconds that a test may take; a trial waits by round (`NODE_TIMEOUT`) and has no limit of its own."""


def rounds(count: int, figure: str) -> Iterator[int]:
    """Yield the numbers of the rounds to `count` that no earlier sitting kept as `figure`; fewer where time is over."""
    until = time.monotonic() + SECONDS
    first = kept().get(figure, 0)
    for number in range(first, count):
        if number > first and time.monotonic() >= until:
            return
        yield number


def kept() -> dict[str, int]:
    """Return what is kept of a trial: nothing where this is none, or the first sitting of one."""
    if not RECORD or not Path(RECORD).exists():
        return {}
    figures: dict[str, int] = json.loads(Path(RECORD).read_text())
    return figures


def record(**figures: int) -> None:
    """Keep figures beside those that are kept already."""
    if RECORD:
        Path(RECORD).write_text(json.dumps(kept() | figures, indent=2) + "\n")


def all_but_one_ended(started: list[subprocess.Popen[str]]) -> bool:
    return sum(process.poll() is not None for process in started) >= len(started) - 1


@pytest.mark.timeout(PATIENCE)
def test_of_many_starts_at_once_one_wins_and_the_others_end_with_7(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text("version = 1\n")
    for round_number in rounds(ROUNDS, "rounds_with_one_winner"):
        started = [
            subprocess.Popen(
                [*ACTORCTL, "run"],
                cwd=tmp_path,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(STARTS)
        ]
        try:
            wait_until(partial(all_but_one_ended, started), "all but one have ended", timeout=TIMEOUT * 5)
            (winner,) = [process for process in started if process.poll() is None]
            wait_until(lambda: (s := read_state(tmp_path / ".actors")) and s.state == "running", "the winner is ready")
            codes = {process.poll() for process in started if process is not winner}
            assert codes == {7}, round_number
            losers = [process for process in started if process is not winner]
            assert all("already running" in process.stderr.read() for process in losers if process.stderr)
            state = read_state(tmp_path / ".actors")
            assert state is not None
            assert state.process.pid == winner.pid
            assert actorctl("status", cwd=tmp_path).code == 0
            winner.send_signal(signal.SIGKILL)
            record(starts_at_once=STARTS, rounds_with_one_winner=round_number + 1)
        finally:
            for process in started:
                process.kill()
                process.wait(TIMEOUT)
                if process.stderr is not None:
                    process.stderr.close()


@pytest.mark.timeout(PATIENCE)
def test_a_node_starts_again_right_after_kill_9(tmp_path: Path) -> None:
    (tmp_path / "actors.toml").write_text("version = 1\n")
    for round_number in rounds(KILLS, "rounds_of_start_and_kill_9"):
        with node(tmp_path) as running:
            running.wait_ready()
            assert {item["state"] for item in running.items("ps")} == {"ready"}
            running.signal(signal.SIGKILL)
            assert running.wait() == -signal.SIGKILL
        record(rounds_of_start_and_kill_9=round_number + 1)
