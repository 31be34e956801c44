"""kill -9 of a scheduler under load, at any moment: each slot has exactly one end, and none is begun twice unmarked.

SCHEDULE_KILLS=500 is the long trial (`make trial-schedules`); SCHEDULE_RECORD names a file for what it went through.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from support.nodes import environment
from support.scheduling_node import COUNT

from actors.scheduling.ledger import ENDS

ROUNDS = int(os.environ.get("SCHEDULE_KILLS", "4"))
TESTS = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600 + 10 * ROUNDS)]


def start(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "support.scheduling_node", str(home)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begun(home: Path) -> int:
    path = home / "begun"
    return path.read_text().count("\n") if path.exists() else 0


def test_each_slot_has_exactly_one_end_whatever_is_killed_when(tmp_path):
    chance = random.Random(7)
    for _ in range(ROUNDS):
        process = start(tmp_path)
        before, deadline = begun(tmp_path), time.monotonic() + 60
        while begun(tmp_path) <= before:  # something of this round has been begun
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.random() * 1.2)  # any moment between two slots
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
    killed_at = time.time()
    process = start(tmp_path)
    deadline = time.monotonic() + 120
    while left(tmp_path, killed_at):  # what was cut short comes to its end
        assert time.monotonic() < deadline, left(tmp_path, killed_at)
        time.sleep(0.05)
    process.kill()
    process.wait(60)
    process.stdout.close()

    rows = read(tmp_path, "SELECT schedule, slot_at, state, is_repeat, last_at, count, began_at FROM schedule_slots")
    for id in {row[0] for row in rows}:
        spans = sorted((row[1], row[4], row[5]) for row in rows if row[0] == id)
        for (_, last, _), (following, _, _) in pairwise(spans):
            assert following == last + 1.0, f"{id} has a slot without a record, or two, after {last}"
        assert all(last - first + 1 == count for first, last, count in spans)
    assert len({row[0] for row in rows}) == COUNT
    marks = Counter(tuple(line.split()) for line in (tmp_path / "begun").read_text().splitlines())
    assert [mark for mark, times in marks.items() if times > 1] == []  # a repeat differs by its mark
    record = {"rounds": ROUNDS, "slots": sum(row[5] for row in rows), "repeated": sum(row[3] for row in rows)}
    record["ends"] = Counter(row[2] for row in rows)
    if "SCHEDULE_RECORD" in os.environ:
        Path(os.environ["SCHEDULE_RECORD"]).write_text(json.dumps(record, indent=1) + "\n")


def left(home: Path, before: float) -> list[tuple[object, ...]]:
    """Return the slots from before that instant which have no end: this process has to bring them to one."""
    ends = ", ".join(f"'{end}'" for end in ENDS)
    query = f"SELECT schedule, slot_at, state FROM schedule_slots WHERE state NOT IN ({ends}) AND slot_at < {before}"
    return read(home, query)


def read(home: Path, query: str) -> list[tuple[object, ...]]:
    file = sqlite3.connect(f"file:{home / 'state.db'}?mode=ro", uri=True, timeout=60)
    try:
        return file.execute(query).fetchall()
    finally:
        file.close()
