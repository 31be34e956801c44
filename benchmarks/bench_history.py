"""What does the history cost: an actor for each event, the recorder for each row, beside other ways to keep rows?

    source      what publishing one event costs more with the feed on the bus than with nobody on it (us of CPU)
    rows_of     what the feed's own thread spends to make the rows of one event (us)
    packing     what it spends to make them a batch (us)
    recorder    rows stored a second, and CPU us a row, through `HistoryStore.store` (one fsynced commit a batch)
    appender    the least that this way of storing costs: ready rows, DuckDB's appender and commit, nothing of ours
    executemany the same rows, batches and commits through DuckDB's executemany (a fifth of the rows)
    sqlite      the same rows into SQLite by executemany, a durable commit a batch
    json lines  the same rows as lines of JSON in a file, fsynced as often

All sides take their turn in each round. The recorder's side takes batches as the feed makes them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from measuring import Row, Spread, arguments, interleave, pin, quiet_gc, ratios, report

from actors.core.bus import EventBus
from actors.events import ActorStateChanged, Event, MetricSampled
from actors.history.feed import FeedLimits, HistoryFeed
from actors.history.migrations import migrate
from actors.history.packing import pack
from actors.history.protocol import Outcome, Store, Stored, encode_rows
from actors.history.rows import NodeRun, rows_of
from actors.history.schema import BY_NAME
from actors.history.store import HistoryStore

EVENTS = 20_000
BATCH = 4_000
BATCHES = 5
COLUMNS = BY_NAME["events"].column_names
PLACES = ", ".join("?" * len(COLUMNS))


def source_us() -> float:
    """Return what the feed adds to publishing one event, in microseconds."""
    plain = _publish_us(None)
    bus = EventBus()
    feed = HistoryFeed(
        bus,
        lambda batch: feed.stored(Stored(batch.source, batch.batch, Outcome.STORED)),
        run=NodeRun("bench", 1, os.getpid(), "0", time.time()),
        home=None,
        limits=FeedLimits(interval=600.0, batch_rows=10 * EVENTS, buffer_events=10 * EVENTS),
    )
    feed.start()
    try:
        with_feed = _publish_us(bus)
    finally:
        feed.close(30.0)
    return with_feed - plain


def _publish_us(bus: EventBus | None) -> float:
    if bus is None:
        bus = EventBus()
    event = ActorStateChanged(1.0, "/io/mail", 3, "suspended", "by a person")
    publish = bus.publish
    best = float("inf")
    for _ in range(5):
        with quiet_gc():
            began = time.thread_time()
            for _ in range(EVENTS // 5):
                publish(event)
            best = min(best, (time.thread_time() - began) / (EVENTS // 5))
    return best * 1e6


def rows_of_us() -> float:
    """Return what the rows of one event cost the feed's thread, in microseconds."""
    events: list[Event] = [
        ActorStateChanged(1.0, "/io/mail", 3, "suspended", "by a person"),
        MetricSampled(1.0, "/", "memory", 0.5, "ratio"),
    ] * (EVENTS // 2)
    began = time.thread_time()
    for seq, event in enumerate(events):
        rows_of(seq, 1, event)
    return (time.thread_time() - began) / len(events) * 1e6


def packing_us() -> float:
    """Return what a batch of rows costs the feed's thread, in microseconds a row."""
    rows = [tuple(row) for row in sample(1)]
    began = time.thread_time()
    encode_rows([pack(BY_NAME["events"], rows)])
    return (time.thread_time() - began) / BATCH * 1e6


def sample(number: int) -> list[list[Any]]:
    """Return a batch of rows of `events`."""
    return [
        [
            number * BATCH + n,
            1,
            1_750_000_000.0 + n,
            "ActorStateChanged",
            "actor.state",
            "info",
            f"/agents/{n % 50:02}",
            n % 7,
            "suspended: by a person",
            f'{{"generation":{n % 7},"state":"suspended","detail":"by a person {n}"}}',
        ]
        for n in range(BATCH)
    ]


class Side:
    """One way to keep rows: stores batches, tells rows a second and CPU microseconds a row.

    Attributes:
        cpu: Microseconds of CPU a row, of each measurement.
    """

    def __init__(self, batches: int, make: Callable[[Path], Callable[[int], None]]) -> None:
        self.cpu: list[float] = []
        self._batches = batches
        self._make = make

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
            store = self._make(Path(folder))
            store(0)
            cpu, began = time.process_time(), time.perf_counter()
            for number in range(1, self._batches + 1):
                store(number)
            seconds = time.perf_counter() - began
            self.cpu.append((time.process_time() - cpu) / (self._batches * BATCH) * 1e6)
            store(-1)
        return self._batches * BATCH / seconds


def recorder(folder: Path) -> Callable[[int], None]:
    store = HistoryStore(folder / "history.duckdb", now=time.time)
    made = [encode_rows([pack(BY_NAME["events"], sample(number))]) for number in range(BATCHES + 1)]

    def keep(number: int) -> None:
        if number < 0:
            store.close()
            return
        answer = store.store(Store("bench#1", number + 1, made[number], BATCH, number))
        assert answer.outcome is Outcome.STORED

    return keep


def appender(folder: Path) -> Callable[[int], None]:
    connection = duckdb.connect(str(folder / "history.duckdb"), config={"threads": "1"})
    migrate(connection, "bench")
    made = [[*row[:2], datetime.fromtimestamp(row[2], UTC), *row[3:]] for row in sample(0)]
    rows = connection.appender("events", columns=list(COLUMNS))

    def keep(number: int) -> None:
        if number < 0:
            connection.close()
            return
        connection.execute("BEGIN")
        rows.append_rows(made)
        rows.flush()
        connection.execute("COMMIT")

    return keep


def executemany(folder: Path) -> Callable[[int], None]:
    connection = duckdb.connect(str(folder / "history.duckdb"), config={"threads": "1"})
    migrate(connection, "bench")
    made = [[*row[:2], datetime.fromtimestamp(row[2], UTC), *row[3:]] for row in sample(0)]

    def keep(number: int) -> None:
        if number < 0:
            connection.close()
            return
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({PLACES})", made)
        connection.execute("COMMIT")

    return keep


def sqlite(folder: Path) -> Callable[[int], None]:
    connection = sqlite3.connect(folder / "history.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE events ({', '.join(COLUMNS)})")
    made = sample(0)

    def keep(number: int) -> None:
        if number < 0:
            connection.close()
            return
        connection.executemany(f"INSERT INTO events VALUES ({PLACES})", made)
        connection.commit()

    return keep


def json_lines(folder: Path) -> Callable[[int], None]:
    file = open(folder / "history.jsonl", "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    made = [dict(zip(COLUMNS, row, strict=True)) for row in sample(0)]

    def keep(number: int) -> None:
        if number < 0:
            file.close()
            return
        file.write("".join(json.dumps(row) + "\n" for row in made))
        file.flush()
        os.fsync(file.fileno())

    return keep


def main() -> None:
    options = arguments(__doc__ or "", 5)
    if not options.free:
        pin()
    ours, many, lines = Side(BATCHES, recorder), Side(1, executemany), Side(BATCHES, json_lines)
    lite = Side(BATCHES, sqlite)
    bare = Side(BATCHES, appender)
    found = interleave(
        options.rounds,
        {
            "source": source_us,
            "rows_of": rows_of_us,
            "packing": packing_us,
            "recorder": ours,
            "appender": bare,
            "executemany": many,
            "sqlite": lite,
            "json lines": lines,
        },
    )
    source, made = Spread.of(found["source"]), Spread.of(found["rows_of"])
    cpu, bare_cpu, many_cpu, lines_cpu = (Spread.of(side.cpu[1:]) for side in (ours, bare, many, lines))
    kept = Spread.of(found["recorder"])
    rows = [
        Row("source, added per event", "<= 1.5 us", source.median <= 1.5, source, None, None, "us"),
        Row("rows of an event, feed's thread", "", None, made, None, None, "us"),
        Row("a row into a batch, feed's thread", "", None, Spread.of(found["packing"]), None, None, "us"),
        Row(
            "recorder, rows a second",
            "plain = executemany",
            None,
            kept,
            Spread.of(found["executemany"]),
            ratios(found["recorder"], found["executemany"]),
            "rows/s",
        ),
        Row(
            "recorder, CPU a row",
            "<= 6 us; plain = executemany",
            cpu.median <= 6.0,
            cpu,
            many_cpu,
            ratios(ours.cpu[1:], many.cpu[1:]),
            "us",
        ),
        Row(
            "recorder, CPU a row",
            "plain = DuckDB's appender alone",
            None,
            cpu,
            bare_cpu,
            ratios(ours.cpu[1:], bare.cpu[1:]),
            "us",
        ),
        Row(
            "recorder, rows a second",
            "plain = SQLite",
            None,
            kept,
            Spread.of(found["sqlite"]),
            ratios(found["recorder"], found["sqlite"]),
            "rows/s",
        ),
        Row(
            "recorder, CPU a row",
            "plain = SQLite",
            None,
            cpu,
            Spread.of(lite.cpu[1:]),
            ratios(ours.cpu[1:], lite.cpu[1:]),
            "us",
        ),
        Row(
            "recorder, rows a second",
            "plain = JSON lines",
            None,
            kept,
            Spread.of(found["json lines"]),
            ratios(found["recorder"], found["json lines"]),
            "rows/s",
        ),
        Row(
            "recorder, CPU a row",
            "plain = JSON lines",
            None,
            cpu,
            lines_cpu,
            ratios(ours.cpu[1:], lines.cpu[1:]),
            "us",
        ),
    ]
    report("What the history costs", "history", rows, keep=not options.no_save)


if __name__ == "__main__":
    main()
