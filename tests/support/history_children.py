"""Processes that keep a history, for tests that kill them.

python -m support.history_children keep FOLDER FIRST     stores batches from FIRST on, one line a stored batch
python -m support.history_children publish FOLDER FIRST  the same, and publishes: `published N` for what is in files
python -m support.history_children runtime FOLDER EPOCH  a bus, its feed and a store that publishes: `stored ROWS`
python -m support.history_children serve FOLDER          answers framed `Store`s on stdin with `Stored`s on stdout
"""

from __future__ import annotations

import os
import queue
import random
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import msgspec
from support.history import NOW, batch_of, metric_rows, open_store

from actors.core.bus import EventBus
from actors.events import MetricSampled
from actors.history.feed import HistoryFeed
from actors.history.figures import FeedLimits
from actors.history.protocol import Outcome, Store, Stored
from actors.history.pruning import prune
from actors.history.publishing import Publisher
from actors.history.retention import DAY, Retention
from actors.history.rows import NodeRun

FIRST_EPOCH = 100
"""Runs of `runtime` have this number and greater ones: those of the others is 7."""

_LENGTH = struct.Struct("<I")


def rows_in(number: int) -> int:
    """Return how many rows the batch `number` has: few and many, in an order that repeats."""
    return 1 + number * 37 % 400


def keep(folder: Path, first: int) -> None:
    """Store one batch after the other, for ever; print the number of each that is stored."""
    store = open_store(folder)
    chance = random.Random(first)
    number = first
    while True:
        count = rows_in(number)
        answer = store.store(batch_of(number, metric_rows(count, number * 1_000), acknowledged=number - 1))
        if answer.outcome is Outcome.REFUSED:
            raise SystemExit(answer.why)
        for notice in answer.notices:
            tell(f"notice {notice.why}")
        tell(str(number))
        number += 1
        if chance.random() < 0.1:
            store.checkpoint()
        elif chance.random() < 0.05:
            prune(store, Retention(metrics_age=100_000 * DAY), time.time() + 7_200.0)


def publish(folder: Path, first: int) -> None:
    """Store one batch after the other and publish now and then; print what is stored and what is published."""
    store = open_store(folder)
    publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
    chance = random.Random(first)
    number = first
    while True:
        answer = store.store(batch_of(number, metric_rows(rows_in(number), number * 1_000), acknowledged=number - 1))
        if answer.outcome is Outcome.REFUSED:
            raise SystemExit(answer.why)
        tell(f"stored {number}")
        if chance.random() < 0.15 and publisher.turn():
            tell(f"published {number}")
        if chance.random() < 0.02:
            store.checkpoint()
        number += 1


def runtime(folder: Path, epoch: int) -> None:
    """Publish events on a bus as fast as they are stored, in one run of a node; print how many are acknowledged."""
    bus = EventBus()
    store = open_store(folder)
    publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
    run = NodeRun("node", epoch, os.getpid(), "0.1.0", NOW)
    waiting: queue.Queue[Store] = queue.Queue()
    limits = FeedLimits(interval=0.005, batch_rows=100)
    feed = HistoryFeed(bus, waiting.put, run=run, home=folder, limits=limits)
    feed.start()
    chance = random.Random(epoch)
    number = 0
    while True:
        for _ in range(chance.randrange(50, 200)):
            bus.publish(MetricSampled(NOW + number, "/", "n", float(number), "count"))
            number += 1
        batch = waiting.get(timeout=60.0)
        feed.stored(store.store(batch))
        while not waiting.empty():
            feed.stored(store.store(waiting.get()))
        tell(f"stored {max(0, feed.statistics().acknowledged_rows - 1)}")  # one row is the run's own
        if chance.random() < 0.2 and publisher.turn():
            tell(f"published {number}")


def tell(line: str) -> None:
    """Write one line to the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def serve(folder: Path) -> None:
    """Answer each `Store` that comes in."""
    store = open_store(folder)
    decode = msgspec.msgpack.Decoder(Store).decode
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        write_frame(sys.stdout.buffer, msgspec.msgpack.encode(store.store(decode(frame))))


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the next frame, or None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Write one frame."""
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def start(*arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
    """Start this module in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-m", "support.history_children", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        env=environment,
    )


class ServedRecorder:
    """A recorder in a process that can be killed and started again: what a feed sends to.

    Attributes:
        answer: Gets the answers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self.answer = lambda stored: None

    def start(self) -> None:
        process = self._process = start("serve", str(self._folder), stdin=subprocess.PIPE)
        reader = threading.Thread(target=self._read, args=(process,))
        self._readers.append(reader)
        reader.start()

    def send(self, batch: Store) -> None:
        """Send a batch; raises `OSError` where the process is gone."""
        process = self._process
        if process is None or process.stdin is None:
            raise ConnectionError("no recorder")
        try:
            write_frame(process.stdin, msgspec.msgpack.encode(batch))
        except ValueError as error:  # `kill` has closed it since
            raise ConnectionError("the recorder was killed") from error

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        process = self._process
        assert process is not None
        self._process = None
        process.kill()
        process.wait(60.0)
        try:
            assert process.stdin is not None
            process.stdin.close()
        except BrokenPipeError:
            return

    def close(self) -> None:
        if self._process is not None:
            self.kill()
        for reader in self._readers:
            reader.join(60.0)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        decode = msgspec.msgpack.Decoder(Stored).decode
        while (frame := read_frame(process.stdout)) is not None:
            self.answer(decode(frame))
        process.stdout.close()


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command in {"keep", "publish", "runtime"}:
        {"keep": keep, "publish": publish, "runtime": runtime}[command](Path(folder), int(rest[0]))
    else:
        serve(Path(folder))
