"""A scheduler while its clock is set and while clocks change, for real: libfaketime gives its process a wall clock.

What the wall clock says is in a file, which is read at each look at the clock; the monotonic clock is the true one.
Nothing is claimed twice and no slot is without a record, whatever the wall clock does.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.nodes import environment

TESTS = Path(__file__).resolve().parents[3]
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
PATIENCE = 60.0

pytestmark = [
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian's package faketime)"),
    pytest.mark.timeout(240),
]

Begun = tuple[str, float]


class Clocked:
    """A scheduler whose wall clock the test sets."""

    def __init__(self, home: Path, process: subprocess.Popen[str], file: Path) -> None:
        self.home = home
        self.begun: list[Begun] = []
        self._file = file
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert process.stdout is not None
        out = process.stdout
        threading.Thread(target=lambda: [self._lines.put(line) for line in out], daemon=True).start()

    def set_clock(self, ahead: float) -> None:
        """Let the wall clock be so many seconds ahead of the true one."""
        set_ahead(self._file, ahead)

    def wait(self, id: str, *, after: float = 0.0, count: int = 1, said_before: float = math.inf) -> float:
        """Return the instant of the last of the next `count` runs of `id`, of slots later than `after`.

        Runs that were begun at `said_before` or later by the wall clock do not count: they are of before it was set.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no run of {id} after {after} in {PATIENCE:g} s; begun were {self.begun[-10:]}")
            name, instant, _, said_at = line.split()
            self.begun.append((name, float(instant)))
            if name == id and float(instant) > after and float(said_at) < said_before:
                count -= 1
                if not count:
                    return float(instant)

    def wait_for(self, id: str, at: float) -> None:
        """Wait until the slot of `id` at the instant `at` has begun, where it has not yet."""
        while (id, at) not in self.begun:
            self.wait(id)

    def take(self) -> None:
        """Take in what has begun up to now."""
        while not self._lines.empty():
            name, instant, *_ = self._lines.get().split()
            self.begun.append((name, float(instant)))

    def spans(self, id: str) -> list[tuple[float, float, int, str]]:
        """Return the rows of the ledger: first and last slot, how many, and the state."""
        with closing(sqlite3.connect(f"file:{self.home / 'state.db'}?mode=ro", uri=True, timeout=30)) as file:
            query = "SELECT slot_at, last_at, count, state FROM schedule_slots WHERE schedule = ? ORDER BY slot_at"
            return [tuple(row) for row in file.execute(query, (id,))]


def set_ahead(file: Path, ahead: float) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(f"{ahead:+.3f}\n")
    fresh.replace(file)  # whole, whenever it is read


@contextmanager
def clocked(
    tmp_path: Path, schedules: list[dict[str, Any]], ahead: float = 0.0, catch_up: dict[str, Any] | None = None
) -> Iterator[Clocked]:
    """Run a scheduler on a clock that is so many seconds ahead; it is ended by kill -9."""
    file = tmp_path / "clock"
    set_ahead(file, ahead)
    process = subprocess.Popen(
        [sys.executable, "-m", "support.clock_node", str(tmp_path), json.dumps(schedules), json.dumps(catch_up or {})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
        env=environment(
            LD_PRELOAD=os.fspath(LIBRARY or ""),
            FAKETIME_TIMESTAMP_FILE=str(file),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            DONT_FAKE_MONOTONIC="1",
            TZ="UTC",
        ),
    )
    try:
        yield Clocked(tmp_path, process, file)
    finally:
        process.kill()
        process.wait(30)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def check_whole(node: Clocked, id: str) -> None:
    """Each second has exactly one record, and none was begun twice."""

    def is_whole() -> bool:
        return all(following[0] <= row[1] + 1.0 for row, following in pairwise(node.spans(id)))

    _wait_until(is_whole, f"{id} has a slot without a record")  # what is caught up late is written late
    rows = node.spans(id)
    for (_, last, _, _), (following, _, _, _) in pairwise(rows):
        assert following == last + 1.0, f"{id} has a slot without a record, or two, after {last}"
    assert all(last - first + 1 == count for first, last, count, _ in rows)
    assert [begun for begun, times in Counter(node.begun).items() if times > 1] == []


def test_clock_set_forward_and_back_loses_no_slot_and_begins_none_twice(tmp_path):
    schedules: list[dict[str, Any]] = [
        {"id": "once", "cron": "* * * * * *"},
        {"id": "all", "cron": "* * * * * *", "missed": {"policy": "all", "most": 3}},
        {"id": "beat", "every": 0.25},
    ]
    with clocked(tmp_path, schedules) as node:
        first = node.wait("once")
        node.set_clock(3600.0)
        forward = node.wait("once", after=first + 3000.0, count=2)
        node.set_clock(0.0)
        node.wait("beat", said_before=first + 1800.0)  # the scheduler knows of it
        latest = max(last for _, last, _, _ in node.spans("once"))
        node.wait("beat", count=8)  # two seconds by the true clock
        still = max(last for _, last, _, _ in node.spans("once"))
        node.set_clock(7200.0)
        node.wait("once", after=forward + 3000.0, count=2)
        node.wait("all", after=forward + 3000.0, count=2)

        assert still <= latest  # set back, nothing is begun until the clock is where it was
        check_whole(node, "once")
        check_whole(node, "all")
        merged = [count for *_, count, state in node.spans("once") if state == "merged"]
        missed = [count for *_, count, state in node.spans("all") if state == "missed"]
        assert len(merged) >= 2
        assert sum(merged) > 7000 - 60
        assert sum(missed) > 7000 - 60


def test_clocks_that_go_forward_in_a_zone_fire_the_skipped_hour_once(tmp_path):
    change = datetime(2027, 3, 14, 7, 0, tzinfo=UTC).timestamp()  # New York: 02:00 becomes 03:00
    schedules = [
        {"id": "skipped", "cron": "30 2 * * *", "timezone": "America/New_York"},
        {"id": "hourly", "cron": "0 * * * *", "timezone": "America/New_York"},
        {"id": "seconds", "cron": "* * * * * *", "timezone": "America/New_York"},
    ]
    with clocked(tmp_path, schedules, change - 3000.0 - time.time()) as node:
        node.wait("seconds")
        node.set_clock(change - 2.0 - time.time())
        node.wait("seconds", after=change + 2.0)
        node.wait_for("skipped", change)
        node.wait_for("hourly", change)

        assert [at for id, at in node.begun if id == "skipped"] == [change]
        assert [at for id, at in node.begun if id == "hourly"] == [change]
        check_whole(node, "seconds")


def test_clocks_that_go_back_in_a_zone_do_not_fire_the_repeated_hour_again(tmp_path):
    again = datetime(2027, 11, 7, 6, 0, tzinfo=UTC).timestamp()  # New York: 01:00 for the second time
    schedules = [
        {"id": "repeated", "cron": "0 1 * * *", "timezone": "America/New_York"},
        {"id": "hourly", "cron": "0 * * * *", "timezone": "America/New_York"},
        {"id": "seconds", "cron": "* * * * * *", "timezone": "America/New_York"},
    ]
    with clocked(tmp_path, schedules, again - 3600.0 - 100.0 - time.time()) as node:
        node.wait("seconds")
        node.set_clock(again - 3600.0 - 2.0 - time.time())
        node.wait("seconds", after=again - 3600.0 + 1.0)
        node.set_clock(again - 2.0 - time.time())  # to the end of the first pass
        node.wait("seconds", after=again + 2.0)
        for id, at in (("repeated", again - 3600.0), ("hourly", again - 3600.0), ("hourly", again)):
            node.wait_for(id, at)

        assert [at for id, at in node.begun if id == "repeated"] == [again - 3600.0]
        assert [at for id, at in node.begun if id == "hourly"] == [again - 3600.0, again]
        check_whole(node, "seconds")


def test_thousands_that_missed_slots_are_caught_up_within_bounds_and_go_on_after_a_kill(tmp_path):
    day = 86_400.0
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0).timestamp() - time.time()
    schedules = [{"id": f"s{number}", "cron": f"{number % 60} {number // 60} * * *"} for number in range(600)]
    known = len(schedules)
    with clocked(tmp_path, schedules, noon):  # they are known from now on; for hours none of them is due
        _wait_until(lambda: _count(tmp_path, "SELECT count(*) FROM schedules") == known, "the schedules on disk")
    bounds = {"at_once": 4, "rate": {"count": 25, "per": 60.0}, "most": 60}  # the first node leaves some to the next

    with clocked(tmp_path, schedules, noon + 2 * day, bounds) as node:
        _wait_for_runs(node, 20)
        _wait_until(lambda: _count(tmp_path, GIVEN_UP) >= known - 60, "the slots that are given up")
    node.take()
    first = list(node.begun)
    with clocked(tmp_path, schedules, noon + 2 * day, bounds) as node:
        _wait_for_runs(node, 15)

    assert _count(tmp_path, GIVEN_UP) == known - 60
    begun = Counter([*first, *node.begun])
    assert len(begun) <= 60
    assert max(begun.values()) <= 2  # those that were under way at the kill, once more
    assert sum(times - 1 for times in begun.values()) <= bounds["at_once"]


GIVEN_UP = "SELECT count(DISTINCT schedule) FROM schedule_slots WHERE why LIKE '%more were missed%'"


def _count(home: Path, query: str) -> int:
    try:
        with closing(sqlite3.connect(f"file:{home / 'state.db'}?mode=ro", uri=True, timeout=30)) as file:
            return int(file.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _wait_for_runs(node: Clocked, count: int) -> None:
    def has_begun() -> bool:
        node.take()
        return len(node.begun) >= count

    _wait_until(has_begun, f"{count} runs; there were {len(node.begun)}")
