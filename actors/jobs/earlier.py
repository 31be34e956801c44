"""Jobs of the index that an earlier version kept in a table of their own: they become jobs of the queue `task`.

The table had what was not done: jobs that waited, jobs a worker had, and dead letters. `bring_over` is a step of the
migrations, so it happens once and in one transaction with the end of that table: after a kill either the old table is
there, whole, or the new rows are. A job keeps its id where no other job can have had it; else its note says which it
had. One that a worker had is found in flight, as after any end of a node. A row that cannot be read becomes a dead
letter that carries what was in it.
"""

from __future__ import annotations

import base64
import sqlite3
from typing import Any, Final

import msgspec

QUEUE: Final = "task"
FIRST_STEP: Final = """
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
_KINDS: Final = {"hash-file": "path", "index-files": "paths"}
_UNREAD: Final = "index-files"
_ATTEMPTS: Final = 3
_TIMEOUT: Final = 300.0


def bring_over(connection: sqlite3.Connection) -> None:
    """Make the rows of the table `jobs` jobs of the queue `task`, and drop the table; within a transaction."""
    given = connection.execute("SELECT number FROM jobs_last").fetchone()[0]
    ever = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
    last = max(given, ever[0] if ever is not None else 0)
    query = "SELECT number, state, job, source, attempt, why, created_at, changed_at FROM jobs ORDER BY number"
    for number, state, job, source, attempt, why, created_at, changed_at in connection.execute(query).fetchall():
        kind, payload, fault = _read(job)
        if fault:
            state, why = "failed", f"{fault}; {why}" if why else fault
        known = number
        if number <= given:
            last += 1
            known = last
        row: dict[str, Any] = {
            "number": known, "state": state, "queue": QUEUE, "kind": kind, "payload": payload, "priority": 0,
            "attempts": max(_ATTEMPTS, attempt), "timeout": _TIMEOUT, "key": "", "window_at": 0.0, "even_if": 0,
            "every": 0.0, "slot_at": 0.0, "batch": "", "source": source, "created_at": created_at,
            "run_at": created_at, "attempt": attempt, "after": "",
            "begun_at": changed_at if state != "waiting" else 0.0, "changed_at": changed_at, "progress": 0.0,
            "note": f"from /work/queue of an earlier version, job-{number} there", "why": why,
            "worker": "a worker of an earlier version" if state == "running" else "", "repeats": 0, "ending": "",
        }  # fmt: skip
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO jobs_all ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    connection.execute("UPDATE jobs_last SET number = ?", (last,))
    connection.execute("DROP TABLE jobs")


def _read(job: bytes) -> tuple[str, str, str]:
    """Return kind, payload as JSON and what is wrong with it, of a job as it was written."""
    try:
        found = msgspec.msgpack.decode(job)
        kind = found["type"]
        field = _KINDS[kind]
        return kind, msgspec.json.encode({field: found[field]}).decode(), ""
    except (msgspec.MsgspecError, TypeError, KeyError, ValueError) as error:
        kept = msgspec.json.encode({"unread": base64.b64encode(job).decode()}).decode()
        return _UNREAD, kept, f"what an earlier version wrote cannot be read: {type(error).__name__}: {error}"
