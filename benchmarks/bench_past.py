"""What does looking back cost in a history of a week? A file of events made for it, and the questions of `actorctl`.

    tree --at      the tree an hour before the end, read from the file and folded, as while no node runs
    why            why an actor of that tree was as it was: its ends, events and last flight record
    reopen         opening the file for writing after kill -9, its write-ahead log just short of a checkpoint
    a sealed day   bytes an event, sealed Parquet; plain: the same rows in SQLite, and as lines of JSON

A fiftieth of the events are of the kind a tree is made of: fifty supervisors with twenty children each, restarts, and
each supervisor's whole list told again every hour, as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from measuring import Row, Spread, report

from actors.events import TreeChanged
from actors.history.catalog import folder_of
from actors.history.files import size_of, wal_of
from actors.history.folder import sealed_files
from actors.history.payloads import payload_of
from actors.history.protocol import Outcome, Query, Store, TableRows, encode_rows
from actors.history.publishing import Publisher
from actors.history.schema import BY_NAME
from actors.history.sql import query_file
from actors.history.store import HistoryStore
from actors.treeevents import ChildRecord
from supervisors.past.causes import explain_past
from supervisors.past.reading import Reach, read_past

COLUMNS = BY_NAME["events"].column_names
WEEK = 7 * 86_400.0
END = 1_750_000_000.0
SUPERVISORS, CHILDREN = 50, 20


class File:
    """A history file, as commands ask it while no node runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self, sql: str, parameters: dict[str, Any], limit: int) -> tuple[list[tuple[Any, ...]], bool]:
        used = {name: value for name, value in parameters.items() if f"${name}" in sql}
        result = query_file(self._path, Query(sql, used, limit_rows=limit))
        return [tuple(row) for row in result.rows], result.truncated


def make(path: Path, events: int) -> None:
    """Make a file with a week of `events`."""
    store = HistoryStore(path, now=time.time)
    step = WEEK / events
    store.execute(
        f"""
        INSERT INTO runs_of_node (node, epoch, started_at, pid, version, seg)
        VALUES ('bench', 1, to_timestamp({END - WEEK - 60}), 1, '0', 0)
        """
    )
    statement = f"""
        INSERT INTO events (seq, epoch, happened_at, type, topic, severity, path, generation, summary, payload, seg)
        SELECT r, 1, to_timestamp({END - WEEK} + r * {step}),
               CASE WHEN r % 50 = 0 THEN 'ActorStarted' WHEN r % 5000 = 7 THEN 'CrashRecorded' ELSE 'AskFailed' END,
               CASE WHEN r % 50 = 0 THEN 'actor.state' WHEN r % 5000 = 7 THEN 'actor.crash' ELSE 'ask' END, 'info',
               '/s/' || (r // 50) % {SUPERVISORS} || '/c' || (r // 7) % {CHILDREN}, r % 7, 'what happened, no. ' || r,
               CASE WHEN r % 50 = 0
                    THEN '{{"generation":1,"placement":"pool","pid":1,"seconds":0.001}}'
                    WHEN r % 5000 = 7
                    THEN '{{"generation":1,"reason":"crashed","record":{{"handled":' || r || '}}}}'
                    ELSE '{{"message_type":"Fetch","error":"late no. ' || r || '","seconds":' || (r % 977) / 100 || '}}'
               END, 0
        FROM range(FIRST, LAST) t(r)
    """
    piece = 500_000
    for first in range(1, events + 1, piece):
        store.execute(statement.replace("FIRST", str(first)).replace("LAST", str(min(first + piece, events + 1))))
    for hour in range(int(WEEK / 3_600)):
        _tell(store, END - WEEK + hour * 3_600.0, max(1, int(hour * 3_600.0 / step)))
    state = '{"state":"ready","detail":""}'
    store.execute(
        "INSERT INTO events (seq, epoch, happened_at, type, topic, severity, path, generation, summary, payload, seg) "
        f"VALUES (2, 1, to_timestamp({END - WEEK}), 'NodeChanged', 'daemon', 'info', '/', 0, 'ready', '{state}', 0)"
    )
    store.checkpoint()
    store.close()


def _tell(store: HistoryStore, at: float, seq: int) -> None:
    tops = tuple(
        ChildRecord(str(n), n, "ready", 1, kind="supervisor", strategy="one_for_one", pid=1) for n in range(SUPERVISORS)
    )
    lower = tuple(ChildRecord(f"c{n}", n, "ready", 1, placement="pool", pid=1) for n in range(CHILDREN))
    told = [("/", (ChildRecord("s", 1, "ready", 1, kind="supervisor", strategy="one_for_one", pid=1),)), ("/s", tops)]
    told += [(f"/s/{n}", lower) for n in range(SUPERVISORS)]
    rows: list[list[Any]] = []
    for path, children in told:
        event = TreeChanged(at, path, "ready", 1, 1, "one_for_one", 5, 60.0, children, True, ())
        rows.append([seq, 1, at, "TreeChanged", "supervisor.tree", "info", path, 1, "has", payload_of(event)])
    number = int(at) + 1
    batch = Store(f"bench#{number}", 1, encode_rows([TableRows("events", COLUMNS, rows)]), len(rows), 0)
    if store.store(batch).outcome is not Outcome.STORED:
        raise RuntimeError("the file cannot be made")


def tree_at(path: Path, at: float) -> tuple[float, float, float]:
    """Return the seconds that the tree at `at` takes, of the processor too, and then why an actor was as it was."""
    began, cpu = time.perf_counter(), time.process_time()
    past = read_past(File(path), at, running_epoch=1)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if past.reach is not Reach.KNOWN or len(past.nodes) < SUPERVISORS * CHILDREN:
        raise RuntimeError(f"no tree: {past.reach} {past.why}")
    began = time.perf_counter()
    if not explain_past(File(path), past, "/s/7/c3").events:
        raise RuntimeError("nothing is known of an actor")
    return seconds, cpu, time.perf_counter() - began


def some_rows(first: int, count: int) -> list[list[Any]]:
    """Return rows of `events` as the feed makes them, each with some text of its own."""
    chance = random.Random(first)
    return [
        [
            first + n, 1, END + n / 50, "ActorStateChanged", "actor.state", "info", f"/agents/{n % 50:02}", n % 7,
            "suspended: by a person", f'{{"generation":{n % 7},"state":"suspended","detail":"{chance.random():.9f}"}}',
        ]
        for n in range(count)
    ]  # fmt: skip


def fill(path: Path, share: float) -> None:
    """Fill the write-ahead log to `share` of what makes a checkpoint due, say so, and wait to be killed."""
    store = HistoryStore(path, now=time.time)
    number = 0
    while size_of(wal_of(path)) < share * store.settings.wal_bytes:
        number += 1
        rows = encode_rows([TableRows("events", COLUMNS, some_rows(number * 4_000, 4_000))])
        store.store(Store("bench#1", number, rows, 4_000, 0))
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
    time.sleep(3_600.0)


def reopen(folder: Path, share: float) -> float:
    """Return the seconds from opening a file with a full log, left by kill -9, to its being ready to store."""
    path = folder / "killed.duckdb"
    child = subprocess.Popen(
        [sys.executable, __file__, "--fill", str(path), "--share", str(share)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    batches = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    began = time.perf_counter()
    store = HistoryStore(path, now=time.time)
    seconds = time.perf_counter() - began
    if store.execute("SELECT count(*) FROM main.events") != [(batches * 4_000,)]:
        raise RuntimeError("rows that were acknowledged are gone")
    store.close()
    return seconds


def sealed_bytes_an_event(folder: Path, events: int) -> tuple[float, float, float]:
    """Return the bytes of an event in a sealed day, in SQLite, and as a line of JSON."""
    path = folder / "day.duckdb"
    now = [time.time() - 2 * 86_400.0]
    store = HistoryStore(path, now=lambda: now[0])
    publisher = Publisher(folder_of(path), lambda work: work(store), now=lambda: now[0])
    lite = sqlite3.connect(folder / "day.sqlite")
    lite.execute(f"CREATE TABLE events ({', '.join(COLUMNS)})")
    lines = 0
    for number in range(1, events // 4_000 + 1):
        rows = some_rows(number * 4_000, 4_000)
        lite.executemany(f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        lines += sum(len(json.dumps(dict(zip(COLUMNS, row, strict=True)))) + 1 for row in rows)
        store.store(Store("bench#1", number, encode_rows([TableRows("events", COLUMNS, rows)]), 4_000, 0))
        if number % 10 == 0:
            publisher.turn()
    lite.commit()
    lite.close()
    publisher.turn()
    now[0] = time.time()
    deadline = time.monotonic() + 60.0
    while not sealed_files(publisher.folder, "events") or time.monotonic() < deadline - 50.0:
        publisher.turn()
        time.sleep(0.2)
        if time.monotonic() > deadline:
            raise RuntimeError("the day is not sealed")
    store.close()
    count = events // 4_000 * 4_000
    files = [found for found in sealed_files(publisher.folder, "events") if "empty" not in str(found)]
    sealed = sum(size_of(Path(found)) for found in files)
    held = sum(duckdb.sql(f"SELECT count(*) FROM '{found}'").fetchall()[0][0] for found in files)
    if held != count:
        raise RuntimeError(f"{held} of {count} events are sealed")
    return sealed / count, size_of(folder / "day.sqlite") / count, lines / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the week")
    parser.add_argument("--rounds", type=int, default=3, help="of each question")
    parser.add_argument("--no-save", action="store_true", help="keep no results file")
    parser.add_argument("--share", type=float, default=0.95, help="how full the log is, of what makes a checkpoint due")
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(Path(options.fill), options.share)
        return
    with tempfile.TemporaryDirectory(prefix="bench-past-", dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        path = folder / "history.duckdb"
        make(path, options.events)
        trees, cpus, whys = zip(*(tree_at(path, END - 3_610.0) for _ in range(options.rounds)), strict=True)
        path.unlink()
        opened = [
            reopen(folder / str(number), options.share)
            for number in range(options.rounds)
            if not (folder / str(number)).mkdir()
        ]
        sealed, lite, lines = sealed_bytes_an_event(folder, 200_000)
    rows = [
        Row(f"tree --at, {options.events:,} events", "< 2 s", max(trees) < 2.0, Spread.of(trees), None, None, "s"),
        Row("tree --at, its processor", "", None, Spread.of(cpus), None, None, "s"),
        Row(f"why, {options.events:,} events", "< 1 s", max(whys) < 1.0, Spread.of(whys), None, None, "s"),
        Row("reopen after kill -9, full log", "<= 1 s", max(opened) <= 1.0, Spread.of(opened), None, None, "s"),
        Row("a sealed event", "<= 60 B; plain = SQLite", sealed <= 60.0, *map(_one, (sealed, lite)), None, "B"),
        Row("a sealed event", "plain = JSON lines", None, *map(_one, (sealed, lines)), None, "B"),
    ]
    report("Looking back over a week", "past", rows, keep=not options.no_save)


def _one(figure: float) -> Spread:
    return Spread.of([figure])


if __name__ == "__main__":
    main()
