"""What does a history cost under load, and how fresh is it? A recorder in its own process, fed four times a second.

    recorder's processor   share of a core at 5,000 rows a second, publishing included (nobody asks)
    staleness              now less the newest event's instant, by the recorder's SQL, and by another tool (DuckDB over
                           the published catalog, opened anew each time, from this process)
    light query            from asking to the answer while 20,000 rows a second come in
    sustained              rows a second, and processor a row, while batches of 4,000 rows come as fast as they are
                           stored, publishing included; beside it the same rows by DuckDB's executemany, into SQLite
                           and as lines of JSON, a durable commit for each 4,000
    plain                  the same rows as lines of JSON, written and fsynced four times a second: its processor

The rows' instants are those of an even stream, so that the newest is as old as the feed's interval lets it be.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import duckdb
import msgspec
import psutil
from measuring import Row, Spread, percentile, report

from actors.core.system import ActorSystem
from actors.history.catalog import CATALOG, folder_of
from actors.history.migrations import migrate
from actors.history.packing import pack
from actors.history.protocol import Outcome, Query, QueryResult, Store, Stored, encode_rows
from actors.history.recorder import Recorder
from actors.history.schema import BY_NAME

COLUMNS = BY_NAME["events"].column_names
PLACES = ", ".join("?" * len(COLUMNS))
INTERVAL = 0.25
BATCH = 4_000
IN_FLIGHT = 4
NEWEST = "SELECT epoch(max(happened_at)) FROM events"
_frames = msgspec.msgpack.Decoder(tuple[int, Store | None, Query | None])
_answers = msgspec.msgpack.Decoder(tuple[int, Stored | None, QueryResult | None])


def serve(address: str, folder: str) -> None:
    """Be the recorder's process until the connection ends."""
    connection = Client(address, "AF_UNIX")
    system = ActorSystem("bench")
    path = "/sys/recorder"
    system.spawn(
        partial(Recorder, str(Path(folder) / "history.duckdb")),
        path=path,
        placement="thread",
        on_outcome=lambda _: None,
    )
    lock = threading.Lock()

    def answer(number: int, future: object) -> None:
        found = future.get(timeout=0)  # type: ignore[attr-defined]
        stored, result = (found, None) if isinstance(found, Stored) else (None, found)
        with lock:
            connection.send_bytes(msgspec.msgpack.encode((number, stored, result)))

    while True:
        try:
            number, batch, query = _frames.decode(connection.recv_bytes())
        except EOFError:
            break
        if batch is None and query is None:
            break
        future = system.ref(path).ask(batch if batch is not None else query, block=False)  # type: ignore[arg-type]
        future.add_done_callback(lambda number=number, future=future: answer(number, future))
    system.shutdown(30.0)


class Peer:
    """The recorder's process, as this one asks it."""

    def __init__(self, folder: Path) -> None:
        address = str(folder / "recorder.sock")
        with Listener(address, "AF_UNIX") as listener:
            command = [sys.executable, __file__, "--serve", address, str(folder)]
            self._process = subprocess.Popen(command)
            self._connection: Connection = listener.accept()
        self.process = psutil.Process(self._process.pid)
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, Callable[[Stored | QueryResult | None], object]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: Store | Query, then: Callable[[Stored | QueryResult | None], object]) -> None:
        with self._lock:
            self._number += 1
            self._waiting[self._number] = then
            pair = (message, None) if isinstance(message, Store) else (None, message)
            self._connection.send_bytes(msgspec.msgpack.encode((self._number, *pair)))

    def ask(self, sql: str) -> QueryResult:
        there, found = threading.Event(), []
        self.send(Query(sql), lambda answer: (found.append(answer), there.set()))
        if not there.wait(60.0) or not isinstance(found[0], QueryResult):
            raise RuntimeError("the recorder does not answer")
        return found[0]

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def close(self) -> None:
        self._connection.send_bytes(msgspec.msgpack.encode((0, None, None)))
        self._process.wait(60.0)
        self._connection.close()

    def _read(self) -> None:
        while True:
            try:
                number, stored, result = _answers.decode(self._connection.recv_bytes())
            except (EOFError, OSError):
                return
            self._waiting.pop(number)(stored if stored is not None else result)


class Stream:
    """Rows of `events`, so many a second, until it is ended."""

    def __init__(self, peer: Peer, rows_a_second: int, first: int) -> None:
        self.seq = self.stored = first
        self._peer, self._rate, self._first = peer, rows_a_second, first
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        size = int(self._rate * INTERVAL)
        due = time.monotonic()
        while not self._ended.is_set():
            due += INTERVAL
            self._ended.wait(max(0.0, due - time.monotonic()))
            rows = rows_of(self.seq, size, time.time())
            for at in range(0, size, 4_000):
                number += 1
                part = rows[at : at + 4_000]
                self.seq += len(part)
                data = encode_rows([pack(BY_NAME["events"], part)])
                batch = Store(f"bench#{self._first}", number, data, len(part), 0)
                self._peer.send(batch, lambda answer, seq=self.seq: self._done(answer, seq))

    def _done(self, answer: object, seq: int) -> None:
        if isinstance(answer, Stored) and answer.outcome.value == "stored":
            self.stored = max(self.stored, seq)


def rows_of(first: int, count: int, until: float) -> list[list[object]]:
    """Return rows whose instants are spread over the interval that ends at `until`."""
    return [
        [
            first + n, 1, until - INTERVAL * (count - 1 - n) / count, "ActorStateChanged", "actor.state", "info",
            f"/agents/{n % 50:02}", n % 7, "suspended: by a person",
            f'{{"generation":{n % 7},"state":"suspended","detail":"by a person {n}"}}',
        ]
        for n in range(count)
    ]  # fmt: skip


def lines_share(folder: Path, rows_a_second: int, seconds: float) -> float:
    """Return the share of a core that the same rows take as lines of JSON."""
    size = int(rows_a_second * INTERVAL)
    spent = 0.0
    with open(folder / "history.jsonl", "w", encoding="utf-8") as file:
        for number in range(int(seconds / INTERVAL)):
            made = [dict(zip(COLUMNS, row, strict=True)) for row in rows_of(number * size, size, time.time())]
            began = time.process_time()
            file.write("".join(json.dumps(row) + "\n" for row in made))
            file.flush()
            os.fsync(file.fileno())
            spent += time.process_time() - began
    return spent / seconds * 100


def wait_published(catalog: Path) -> None:
    """Wait until another tool sees events: what a first start has to do besides is done then."""
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        if catalog.exists():
            with duckdb.connect(str(catalog), read_only=True) as connection:
                if connection.execute("SELECT 1 FROM events LIMIT 1").fetchall():
                    return
        time.sleep(0.1)
    raise RuntimeError("nothing is published")


def share_of_core(peer: Peer, stream: Stream, seconds: float) -> tuple[float, float]:
    """Return the share of a core the recorder takes (percent), and its microseconds a row."""
    cpu, rows, began = peer.cpu(), stream.stored, time.monotonic()
    time.sleep(seconds)
    used, elapsed = peer.cpu() - cpu, time.monotonic() - began
    return used / elapsed * 100, used / max(1, stream.stored - rows) * 1e6


def staleness(peer: Peer, catalog: Path, seconds: float) -> tuple[list[float], list[float]]:
    """Return how old the newest event is, by the recorder and by another tool, in seconds."""
    ours: list[float] = []
    others: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        newest = peer.ask(NEWEST).rows[0][0]
        ours.append(time.time() - newest)
        with duckdb.connect(str(catalog), read_only=True) as connection:
            row = connection.execute(NEWEST).fetchone()
            assert row is not None
            others.append(time.time() - row[0])
        time.sleep(0.037)
    return ours, others


def light(peer: Peer, stream: Stream, seconds: float) -> list[float]:
    """Return how long a light query takes, in milliseconds."""
    found: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        if len(peer.ask(f"SELECT summary FROM events WHERE seq = {stream.stored - 1}").rows) != 1:
            raise RuntimeError("a row that was acknowledged is not there")
        found.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.01)
    return found


def sustained(peer: Peer, seconds: float) -> tuple[float, float]:
    """Return the rows a second that are stored when they come as fast as that, and microseconds of processor a row."""
    made = [
        encode_rows([pack(BY_NAME["events"], rows_of(1 + n * BATCH, BATCH, 1_750_000_000.0 + n))]) for n in range(20)
    ]
    places = threading.Semaphore(IN_FLIGHT)
    stored = [0]

    def done(answer: object) -> None:
        if isinstance(answer, Stored) and answer.outcome is Outcome.STORED:
            stored[0] += BATCH
        places.release()

    number = 0
    cpu, began = peer.cpu(), time.monotonic()
    while time.monotonic() < began + seconds:
        if not places.acquire(timeout=60.0):
            raise RuntimeError("the recorder does not answer")
        number += 1
        peer.send(Store("bench#sustained", number, made[number % len(made)], BATCH, 0), done)
    for _ in range(IN_FLIGHT):
        places.acquire(timeout=60.0)
    elapsed, used = time.monotonic() - began, peer.cpu() - cpu
    if stored[0] != number * BATCH:
        raise RuntimeError(f"{stored[0]} of {number * BATCH} rows are stored")
    return stored[0] / elapsed, used / stored[0] * 1e6


def kept_by(keep: Callable[[list[list[object]]], object], seconds: float) -> tuple[float, float]:
    """Return the rows a second that `keep` keeps, and microseconds of processor a row."""
    rows = rows_of(1, BATCH, 1_750_000_000.0)
    keep(rows)
    count = 0
    cpu, began = time.process_time(), time.monotonic()
    while time.monotonic() < began + seconds:
        keep(rows)
        count += BATCH
    return count / (time.monotonic() - began), (time.process_time() - cpu) / count * 1e6


def peers_sustained(folder: Path, seconds: float) -> dict[str, tuple[float, float]]:
    """Return rows a second and microseconds a row of other ways to keep the same rows."""
    many = duckdb.connect(str(folder / "many.duckdb"), config={"threads": "1"})
    migrate(many, "bench")
    lite = sqlite3.connect(folder / "rows.sqlite")
    lite.execute("PRAGMA journal_mode = WAL")
    lite.execute("PRAGMA synchronous = FULL")
    lite.execute(f"CREATE TABLE events ({', '.join(COLUMNS)})")

    def by_executemany(rows: list[list[object]]) -> None:
        few = [[*row[:2], datetime.fromtimestamp(row[2], UTC), *row[3:]] for row in rows[: BATCH // 10]]  # type: ignore[arg-type]
        many.execute("BEGIN")
        many.executemany(f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({PLACES})", few)
        many.execute("COMMIT")

    def by_sqlite(rows: list[list[object]]) -> None:
        lite.executemany(f"INSERT INTO events VALUES ({PLACES})", rows)
        lite.commit()

    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:

        def by_lines(rows: list[list[object]]) -> None:
            file.write("".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

        a_second, a_row = kept_by(by_executemany, seconds)
        found = {
            "executemany": (a_second / 10, a_row * 10),
            "SQLite": kept_by(by_sqlite, seconds),
            "JSON lines": kept_by(by_lines, seconds),
        }
    many.close()
    lite.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--no-save", action="store_true", help="keep no results file")
    parser.add_argument("--serve", nargs=2, metavar=("SOCKET", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    with tempfile.TemporaryDirectory(prefix="bench-live-") as name:
        folder = Path(name)
        peer = Peer(folder)
        stream = Stream(peer, 5_000, 1_000_000)
        wait_published(folder_of(folder / "history.duckdb") / CATALOG)
        time.sleep(2.0)
        share, a_row = share_of_core(peer, stream, options.seconds)
        lines = lines_share(folder, 5_000, min(5.0, options.seconds))
        ours, others = staleness(peer, folder_of(folder / "history.duckdb") / CATALOG, options.seconds)
        stream.end()
        stream = Stream(peer, 20_000, 100_000_000)
        time.sleep(2.0)
        waits = light(peer, stream, options.seconds)
        stream.end()
        a_second, sustained_row = sustained(peer, min(10.0, options.seconds))
        others_sustained = peers_sustained(folder, min(3.0, options.seconds))
        peer.close()

    def row(what: str, target: str, found: list[float], limit: float, unit: str, plain: float | None = None) -> Row:
        spread = Spread.of(found)
        beside = Spread.of([plain]) if plain is not None else None
        ratio = Spread.of([spread.median / plain]) if plain else None
        return Row(what, target, spread.median <= limit, spread, beside, ratio, unit)

    rows = [
        row("recorder at 5,000 rows/s", "<= 3 %; plain = JSON lines", [share], 3.0, "% of a core", lines),
        row("recorder at 5,000 rows/s, a row", "<= 6 us", [a_row], 6.0, "us"),
        row("staleness, sql, p50", "", [percentile(ours, 0.5)], 0.5, "s"),
        row("staleness, sql, p99", "<= 0.5 s", [percentile(ours, 0.99)], 0.5, "s"),
        row("staleness, another tool, p50", "", [percentile(others, 0.5)], 2.0, "s"),
        row("staleness, another tool, p99", "<= 2 s", [percentile(others, 0.99)], 2.0, "s"),
        row("light query at 20,000 rows/s, p50", "", [percentile(waits, 0.5)], 50.0, "ms"),
        row("light query at 20,000 rows/s, p99", "<= 50 ms", [percentile(waits, 0.99)], 50.0, "ms"),
        *(
            Row(
                f"sustained, beside {name}",
                ">= 150,000 rows/s" if name == "JSON lines" else "",
                a_second >= 150_000 if name == "JSON lines" else None,
                Spread.of([a_second]),
                Spread.of([its]),
                Spread.of([a_second / its]),
                "rows/s",
            )
            for name, (its, _) in others_sustained.items()
        ),
        *(
            Row(
                f"sustained, a row, beside {name}",
                "<= 6 us" if name == "JSON lines" else "",
                sustained_row <= 6.0 if name == "JSON lines" else None,
                Spread.of([sustained_row]),
                Spread.of([its]),
                Spread.of([sustained_row / its]),
                "us",
            )
            for name, (_, its) in others_sustained.items()
        ),
    ]
    report("A history under load", "live", rows, keep=not options.no_save)


if __name__ == "__main__":
    main()
