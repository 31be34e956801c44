"""The jobs of the index that are not done, in the file of state: what was accepted is there after a kill.

A job is in the file from its acceptance until it is done or dropped; one that failed for good stays, as a dead letter.
Which jobs exist and what is done with them is the queue's; how the file is written is `actors.state`'s.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, assert_never

import msgspec
from msgspec import Struct

from actors.jobs.kinds import Job
from actors.jobs.tables import CRON_STEP, LINES_STEP, STEP
from actors.state.file import StateError, open_state
from actors.state.migrations import Migrations

JOBS: Final = Migrations(
    "jobs",
    (
        """
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
        """,
        STEP,
        LINES_STEP,
        CRON_STEP,
    ),
)
"""The tables of jobs in the file."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Job)


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


class JobStore:
    """Reads and writes the jobs in the file at `path`. All methods may be called on any thread.

    Attributes:
        damaged: Where a damaged file was moved to, or None.

    Raises:
        StateError: The file cannot be opened, another process writes it, or a newer program made it.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_state(path, JOBS)
        self._closed = False
        self.damaged = self._file.damaged

    def read(self, *, failed: bool) -> list[StoredJob]:
        """Return the jobs that failed for good, or all others, in the order of their acceptance; blocks.

        What was handed to `write` before is in it, unless it could not be written.

        Raises:
            StateError: The file cannot be read.
        """
        test = "=" if failed else "!="
        columns = "number, state, job, source, attempt, why, created_at, changed_at"
        query = f"SELECT {columns} FROM jobs WHERE state {test} 'failed' ORDER BY number"
        rows = self._file.read(lambda reader: reader.execute(query).fetchall())
        return [StoredJob(row[0], row[1], _DECODER.decode(row[2]), *row[3:]) for row in rows]

    def last_number(self) -> int:
        """Return the highest number ever given, 0 for none."""
        found = self._file.read(
            lambda reader: reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
        )
        return int(found[0]) if found is not None else 0

    def write(self, operations: Sequence[Operation]) -> Future[None]:
        """Write `operations`, all or none; the future is done once they are on disk.

        It fails with a `StateError` where they could not be written (a full disk): then none of them was.
        """
        if self._closed:
            done: Future[None] = Future()
            done.set_exception(StateError(self._file.path, "the store is closed"))
            return done
        now = time.time()

        def work(connection: sqlite3.Connection) -> None:
            for operation in operations:
                _apply(connection, operation, now)

        return self._file.write(work)

    def close(self) -> None:
        """Write what waits, and close the file; idempotent."""
        if not self._closed:
            self._closed = True
            self._file.close()


def _apply(connection: sqlite3.Connection, operation: Operation, now: float) -> None:
    match operation:
        case Added(number, job, source):
            connection.execute(
                "INSERT INTO jobs VALUES (?, 'waiting', ?, ?, 0, '', ?, ?)",
                (number, _ENCODER.encode(job), source, now, now),
            )
        case Moved(number, state, attempt, why):
            connection.execute(
                "UPDATE jobs SET state = ?, attempt = ?, why = ?, changed_at = ? WHERE number = ?",
                (state, attempt, why, now, number),
            )
        case Removed(number):
            connection.execute("DELETE FROM jobs WHERE number = ?", (number,))
        case _:
            assert_never(operation)
