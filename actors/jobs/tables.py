"""Jobs as rows of the file of state: what is written of one, and how the unfinished ones are read back.

The table is `jobs_all`; people and `--where` see it as the view `jobs_view`, whose columns are in the reference.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.jobs.records import Job
from actors.jobs.specs import UNFINISHED
from actors.policies.backoff import Backoff

STEP: Final = """
CREATE TABLE jobs_all (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    queue TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    timeout REAL NOT NULL,
    backoff TEXT,
    key TEXT NOT NULL,
    window_at REAL NOT NULL,
    even_if INTEGER NOT NULL,
    every REAL NOT NULL,
    slot_at REAL NOT NULL,
    batch TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at REAL NOT NULL,
    run_at REAL NOT NULL,
    attempt INTEGER NOT NULL,
    after TEXT NOT NULL,
    begun_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    progress REAL NOT NULL,
    note TEXT NOT NULL,
    why TEXT NOT NULL,
    worker TEXT NOT NULL,
    repeats INTEGER NOT NULL,
    ending TEXT NOT NULL,
    result TEXT
) STRICT;
CREATE TABLE jobs_last (number INTEGER NOT NULL) STRICT;
INSERT INTO jobs_last VALUES (0);
CREATE INDEX jobs_windows ON jobs_all (window_at) WHERE window_at > 0;
CREATE TABLE jobs_queues (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,
    draining INTEGER NOT NULL,
    note TEXT NOT NULL,
    rate TEXT
) STRICT;
CREATE VIEW jobs_view AS SELECT
    'job-' || number AS id, number, queue, kind, state, payload, result, priority, attempt, attempts, timeout, key,
    batch, source, progress, note, why, worker, repeats, every, created_at, run_at, begun_at, changed_at,
    strftime('%s', 'now') - created_at AS age
    FROM jobs_all;
"""

FIXED: Final = (
    "number", "queue", "kind", "payload", "priority", "attempts", "timeout", "backoff", "key", "window_at", "even_if",
    "every", "slot_at", "batch", "source", "created_at",
)  # fmt: skip
MOVING: Final = (
    "state", "run_at", "attempt", "after", "begun_at", "changed_at", "progress", "note", "why", "worker", "repeats",
    "ending", "result",
)  # fmt: skip
COLUMNS: Final = ", ".join((*FIXED, *MOVING))
INSERT: Final = f"INSERT INTO jobs_all ({COLUMNS}) VALUES ({', '.join('?' * (len(FIXED) + len(MOVING)))})"
UPDATE: Final = f"UPDATE jobs_all SET {', '.join(f'{name} = ?' for name in MOVING)}, attempts = ? WHERE number = ?"

_backoff: Final = msgspec.json.Decoder(Backoff)

Row = tuple[Any, ...]


class Changes(Struct, frozen=True):
    """Rows to be written together."""

    inserted: list[Row]
    updated: list[Row]


def changes_of(jobs: Iterable[Job]) -> Changes:
    """Return the rows of `jobs` as they are now."""
    inserted: list[Row] = []
    updated: list[Row] = []
    for job in jobs:
        moving = (
            job.state, job.run_at, job.attempt, ",".join(map(str, job.after)) if job.after else "", job.begun_at,
            job.changed_at, job.progress, job.note, job.why, job.worker, job.repeats, job.ending, job.result,
        )  # fmt: skip
        if job.is_new:
            inserted.append(
                (
                    job.number, job.queue, job.kind, job.payload, job.priority, job.attempts, job.timeout,
                    msgspec.json.encode(job.backoff).decode() if job.backoff is not None else None, job.key,
                    job.window_at, job.even_if, job.every, job.slot_at, job.batch, job.source, job.created_at,
                    *moving,
                )
            )  # fmt: skip
        else:
            updated.append((*moving, job.attempts, job.number))
    return Changes(inserted, updated)


def write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write rows."""
    if changes.inserted:
        connection.executemany(INSERT, changes.inserted)
        connection.execute("UPDATE jobs_last SET number = max(number, ?)", (max(row[0] for row in changes.inserted),))
    if changes.updated:
        connection.executemany(UPDATE, changes.updated)


def job_of(row: Row) -> Job:
    """Return the job of a row with the columns `COLUMNS`."""
    fixed, moving = row[: len(FIXED)], row[len(FIXED) :]
    values = dict(zip((*FIXED, *MOVING), (*fixed, *moving), strict=True))
    backoff, after = values.pop("backoff"), values.pop("after")
    return Job(
        **values | {"even_if": bool(values["even_if"])},
        backoff=_backoff.decode(backoff) if backoff is not None else None,
        after=frozenset(map(int, after.split(","))) if after else frozenset(),
        is_new=False,
    )


def read_unfinished(connection: sqlite3.Connection) -> list[Job]:
    """Return the jobs that have not ended, in the order they were added."""
    states = ", ".join(f"'{state}'" for state in UNFINISHED)
    rows = connection.execute(f"SELECT {COLUMNS} FROM jobs_all WHERE state IN ({states}) ORDER BY number")
    return [job_of(row) for row in rows]


def read_windows(connection: sqlite3.Connection, now: float) -> list[Row]:
    """Return queue, key, end and number of the windows of keys that are still open."""
    return connection.execute(
        "SELECT queue, key, window_at, number FROM jobs_all WHERE window_at > ? ORDER BY number", (now,)
    ).fetchall()


def read_jobs(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[Job]:
    """Return the jobs with these numbers, those that there are, in the order of their numbers."""
    found: list[Job] = []
    wanted = sorted(numbers)
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        marks = ", ".join("?" * len(part))
        rows = connection.execute(f"SELECT {COLUMNS} FROM jobs_all WHERE number IN ({marks}) ORDER BY number", part)
        found += [job_of(row) for row in rows]
    return found


def last_number(connection: sqlite3.Connection) -> int:
    """Return the highest number ever given, 0 for none."""
    return int(connection.execute("SELECT number FROM jobs_last").fetchone()[0])
