"""The jobs that are not done, on disk: what was accepted is there after kill -9 and power loss.

    write(operations) --> queue of the writer --> one transaction for all that wait --> COMMIT (fsync) --> the futures

One SQLite file, `state.db` in the runtime's home, in write-ahead mode with synchronous FULL; one thread writes it. Many
writers share a commit: the more wait, the cheaper each. A job is in the file from its acceptance until it is done or
dropped; one that failed for good stays, as a dead letter. Which jobs exist and what is done with them is the queue's.

A damaged file is moved aside whole (`state.db.damaged-1`) and a new one begun; a file of a newer program is refused.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, assert_never

import msgspec
from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.jobs.kinds import Job

VERSION: Final = 1
"""Version of the file's schema, kept in its `user_version`."""

_BATCH: Final = 1_000
_SCHEMA: Final = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'failed')),
    job BLOB NOT NULL,
    source TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    why TEXT NOT NULL,
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL
) STRICT;
CREATE INDEX jobs_failed ON jobs (number) WHERE state = 'failed';
"""
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Job)


class JobStoreError(ActorRuntimeError, OSError):
    """The file of jobs cannot be used, or something could not be written to it.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"jobs in {path}: {why}")
        self.path = path


class StoredJob(Struct, frozen=True):
    """One job as the file has it.

    Attributes:
        number: Unique for the life of the file, ascending; never given twice.
        state: `waiting`, `running` (handed out when the file was last written) or `failed`.
        attempt: Tries begun.
        why: Of a failed one: why; of another: why its last try failed, or "".
        created_at, changed_at: Wall instants, seconds since the epoch.
    """

    number: int
    state: str
    job: Job
    source: str
    attempt: int
    why: str
    created_at: float
    changed_at: float


class Added(Struct, frozen=True):
    """A new job."""

    number: int
    job: Job
    source: str


class Moved(Struct, frozen=True):
    """The job is `waiting`, `running` or `failed` now, after so many tries."""

    number: int
    state: str
    attempt: int
    why: str = ""


class Removed(Struct, frozen=True):
    """The job is done, or nobody wants it any more."""

    number: int


Operation = Added | Moved | Removed
_Entry = tuple[Sequence[Operation], "Future[None]"]


class JobStore:
    """Reads and writes the file at `path`. All methods may be called on any thread.

    Attributes:
        damaged: Where a damaged file was moved to, or None.

    Raises:
        JobStoreError: The file cannot be opened, another process writes it, or a newer program made it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged: Path | None = None
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._open()
        except (sqlite3.Error, OSError) as error:
            raise JobStoreError(path, str(error)) from error
        self._writer = threading.Thread(target=self._write_all, name="job-store", daemon=True)
        self._writer.start()

    def read(self, *, failed: bool) -> list[StoredJob]:
        """Return the jobs that failed for good, or all others, in the order of their acceptance; blocks.

        What was handed to `write` before is in it, unless it could not be written.

        Raises:
            JobStoreError: The file cannot be read.
        """
        self.write([]).exception()  # its turn comes after theirs
        test = "=" if failed else "!="
        columns = "number, state, job, source, attempt, why, created_at, changed_at"
        try:
            with contextlib.closing(self._connect()) as reader:
                rows = reader.execute(
                    f"SELECT {columns} FROM jobs WHERE state {test} 'failed' ORDER BY number"
                ).fetchall()
        except sqlite3.Error as error:
            raise JobStoreError(self._path, str(error)) from error
        return [StoredJob(row[0], row[1], _DECODER.decode(row[2]), *row[3:]) for row in rows]

    def last_number(self) -> int:
        """Return the highest number ever given, 0 for none."""
        with contextlib.closing(self._connect()) as reader:
            found = reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
        return int(found[0]) if found is not None else 0

    def write(self, operations: Sequence[Operation]) -> Future[None]:
        """Write `operations`, all or none; the future is done once they are on disk.

        It fails with a `JobStoreError` where they could not be written (a full disk): then none of them was.
        """
        done: Future[None] = Future()
        with self._lock:
            if self._closed:
                done.set_exception(JobStoreError(self._path, "the store is closed"))
            else:
                self._waiting.put((operations, done))
        return done

    def close(self) -> None:
        """Write what waits, and close the file; idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._writer.join()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, unwritable, full: not damage
                raise
            self.damaged = self._move_aside()
            return self._prepare()

    def _prepare(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the file is damaged")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise JobStoreError(self._path, f"is of version {version}, this program knows up to {VERSION}")
            if version < VERSION:
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
        self._path.chmod(0o600)
        return connection

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        return aside

    def _write_all(self) -> None:
        """The writer's thread: whatever waits goes into one transaction."""
        open_for_more = True
        while open_for_more:
            batch = [self._waiting.get()]
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            open_for_more = None not in batch
            self._settle([entry for entry in batch if entry is not None])
        self._connection.close()

    def _settle(self, entries: list[_Entry]) -> None:
        """Write `entries` together; where that fails, each by itself, so that one cannot cost the others theirs."""
        error = self._commit(entries)
        if error is not None and len(entries) > 1:
            for entry in entries:
                self._settle([entry])
            return
        for _, done in entries:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(JobStoreError(self._path, f"not written: {error}"))

    def _commit(self, entries: list[_Entry]) -> sqlite3.Error | None:
        now = time.time()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for operations, _ in entries:
                for operation in operations:
                    self._apply(operation, now)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
                self._connection.execute("ROLLBACK")
            return error
        return None

    def _apply(self, operation: Operation, now: float) -> None:
        execute = self._connection.execute
        match operation:
            case Added(number, job, source):
                execute(
                    "INSERT INTO jobs VALUES (?, 'waiting', ?, ?, 0, '', ?, ?)",
                    (number, _ENCODER.encode(job), source, now, now),
                )
            case Moved(number, state, attempt, why):
                execute(
                    "UPDATE jobs SET state = ?, attempt = ?, why = ?, changed_at = ? WHERE number = ?",
                    (state, attempt, why, now, number),
                )
            case Removed(number):
                execute("DELETE FROM jobs WHERE number = ?", (number,))
            case _:
                assert_never(operation)
