"""Jobs as rows of the file of state: what is written of one, and how the unfinished ones are read back.

The table is `jobs_all`; people and `--where` see it as the view `jobs_view`, whose columns are in the reference.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.jobs.lines import PER_JOB
from actors.jobs.records import Job
from actors.jobs.specs import UNFINISHED
from actors.policies.backoff import Backoff

logger = logging.getLogger(__name__)

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

LINES_STEP: Final = """
CREATE TABLE jobs_lines (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at REAL NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_lines_number ON jobs_lines (number);
CREATE TRIGGER jobs_lines_forget AFTER DELETE ON jobs_all BEGIN DELETE FROM jobs_lines WHERE number = old.number; END;
DROP VIEW jobs_view;
CREATE VIEW jobs_view AS SELECT
    'job-' || number AS id, number, queue, kind, state, payload, result, priority, attempt, attempts, timeout, key,
    batch, source, progress, note, why, worker, repeats, every, created_at, run_at, begun_at, changed_at,
    strftime('%s', 'now') - created_at AS age,
    (SELECT group_concat(text, char(10)) FROM jobs_lines WHERE jobs_lines.number = jobs_all.number) AS log
    FROM jobs_all;
"""
CRON_STEP: Final = """
ALTER TABLE jobs_all ADD COLUMN cron TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs_all ADD COLUMN timezone TEXT NOT NULL DEFAULT '';
DROP VIEW jobs_view;
CREATE VIEW jobs_view AS SELECT
    'job-' || number AS id, number, queue, kind, state, payload, result, priority, attempt, attempts, timeout, key,
    batch, source, progress, note, why, worker, repeats, every, cron, timezone, created_at, run_at, begun_at,
    changed_at, strftime('%s', 'now') - created_at AS age,
    (SELECT group_concat(text, char(10)) FROM jobs_lines WHERE jobs_lines.number = jobs_all.number) AS log
    FROM jobs_all;
"""

LAST_STEP: Final = """
CREATE TRIGGER jobs_last_deleted AFTER DELETE ON jobs_all
WHEN old.number > (SELECT number FROM jobs_last)
BEGIN UPDATE jobs_last SET number = old.number; END;
"""
"""No number is given twice: the highest is that of a row, or was kept as the row went."""

FIXED: Final = (
    "number", "queue", "kind", "payload", "priority", "attempts", "timeout", "backoff", "key", "window_at", "even_if",
    "slot_at", "batch", "source", "created_at",
)  # fmt: skip
MOVING: Final = (
    "state", "run_at", "attempt", "after", "begun_at", "changed_at", "progress", "note", "why", "worker", "repeats",
    "ending", "result", "every", "cron", "timezone",
)  # fmt: skip
COLUMNS: Final = ", ".join((*FIXED, *MOVING))

SHORT: Final = (
    "number", "queue", "kind", "payload", "priority", "attempts", "timeout", "created_at", "state", "run_at", "slot_at",
    "attempt", "begun_at", "changed_at", "worker", "progress", "note", "result",
)  # fmt: skip
PLAIN: Final[dict[str, Any]] = {
    "backoff": None, "key": "", "window_at": 0.0, "even_if": 0, "every": 0.0, "cron": "", "timezone": "", "batch": "",
    "source": "", "after": "", "why": "", "repeats": 0, "ending": "",
}  # fmt: skip
"""The columns that a plain job leaves empty, and what is in them: half the cost of writing one is binding values."""
_PLAIN_MOVING: Final = ("attempts", *(name for name in MOVING if name in SHORT))
_CHANGED: Final = (*MOVING, "attempts", "number")
_ROWS_AT_ONCE: Final = (64, 16, 4, 1)
"""Rows of one statement: a batch is cut into these, so that few statements are prepared and kept."""
_SHORT_AT_ONCE: Final = (1, 2, 4, *range(8, 129, 8))
"""The same of plain ones, of which the last is repeated until there are as many: one statement can be a commit."""


def _marks(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def _insert(rows: int) -> str:
    return f"INSERT INTO jobs_all ({COLUMNS}) VALUES {_marks(len(FIXED) + len(MOVING), rows)}"


def _upsert_short(rows: int) -> str:
    constants = ", ".join("NULL" if value is None else repr(value) for value in PLAIN.values())
    row = f"({', '.join('?' * len(SHORT))}, {constants})"
    return (
        f"INSERT INTO jobs_all ({', '.join((*SHORT, *PLAIN))}) VALUES {', '.join([row] * rows)} "
        f"ON CONFLICT (number) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _PLAIN_MOVING)}"
    )


def _update(rows: int) -> str:
    news = ", ".join(f"{name} = news.{name}" for name in _CHANGED[:-1])
    return (
        f"WITH news({', '.join(_CHANGED)}) AS (VALUES {_marks(len(_CHANGED), rows)}) "
        f"UPDATE jobs_all SET {news} FROM news WHERE jobs_all.number = news.number"
    )


INSERTS, UPDATES = ({rows: statement(rows) for rows in _ROWS_AT_ONCE} for statement in (_insert, _update))
UPSERTS: Final = {rows: _upsert_short(rows) for rows in _SHORT_AT_ONCE}

_backoff: Final = msgspec.json.Decoder(Backoff)

Row = tuple[Any, ...]


class Changes(Struct, frozen=True):
    """Rows to be written together.

    Attributes:
        inserted: New ones, whole: the columns `COLUMNS`.
        short: Ones with nothing out of the ordinary, new or changed: the columns `SHORT`; the others are, and were
            before, as `PLAIN` says.
        updated: Changed ones: the columns `MOVING`, attempts and number.
        lines: What handlers said: number, attempt, instant, level and text.
    """

    inserted: list[Row]
    short: list[Row]
    updated: list[Row]
    lines: list[Row]

    @property
    def whole(self) -> Iterator[Row]:
        """The new rows and the plain ones, all of them whole."""
        yield from self.inserted
        for row in self.short:
            values = PLAIN | dict(zip(SHORT, row, strict=True))
            yield tuple(values[name] for name in (*FIXED, *MOVING))


def changes_of(jobs: Iterable[Job], lines: Iterable[Row] = ()) -> Changes:
    """Return the rows of `jobs` as they are now, and `lines`; what is in them is what their rows say from then on."""
    changes = Changes([], [], [], list(lines))
    for job in jobs:
        is_new, was_plain = job.is_new, job.is_plain
        job.is_plain = _is_plain(job)
        if job.is_plain and (is_new or was_plain):
            changes.short.append(
                (
                    job.number, job.queue, job.kind, job.payload, job.priority, job.attempts, job.timeout,
                    job.created_at, job.state, job.run_at, job.slot_at, job.attempt, job.begun_at, job.changed_at,
                    job.worker, job.progress, job.note, job.result,
                )
            )  # fmt: skip
            continue
        moving = (
            job.state, job.run_at, job.attempt, ",".join(map(str, job.after)) if job.after else "", job.begun_at,
            job.changed_at, job.progress, job.note, job.why, job.worker, job.repeats, job.ending, job.result,
            job.every, job.cron, job.timezone,
        )  # fmt: skip
        if is_new:
            changes.inserted.append(
                (
                    job.number, job.queue, job.kind, job.payload, job.priority, job.attempts, job.timeout,
                    msgspec.json.encode(job.backoff).decode() if job.backoff is not None else None, job.key,
                    job.window_at, job.even_if, job.slot_at, job.batch, job.source, job.created_at,
                    *moving,
                )
            )  # fmt: skip
        else:
            changes.updated.append((*moving, job.attempts, job.number))
    return changes


def _is_plain(job: Job) -> bool:
    """Whether the columns `PLAIN` of a job are as it says."""
    return not (
        job.backoff is not None or job.key or job.every or job.cron or job.batch or job.source or job.after
        or job.why or job.repeats or job.ending or job.even_if or job.window_at
    )  # fmt: skip


def write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Write rows, many with one statement: while SQLite carries one out, other threads of the program go on."""
    _write_rows(connection, INSERTS, changes.inserted)
    for at in range(0, len(changes.short), _SHORT_AT_ONCE[-1]):
        connection.execute(*_upsert(changes.short[at : at + _SHORT_AT_ONCE[-1]]))
    _write_rows(connection, UPDATES, changes.updated)
    if changes.lines:
        _write_lines(connection, changes.lines)


def statement_of(changes: Changes) -> tuple[str, Row] | None:
    """Return the one statement, and its values, that writes `changes`; None where it takes more than one."""
    if changes.inserted or changes.updated or changes.lines or not 0 < len(changes.short) <= _SHORT_AT_ONCE[-1]:
        return None
    return _upsert(changes.short)


def _upsert(rows: list[Row]) -> tuple[str, Row]:
    size = next(size for size in _SHORT_AT_ONCE if size >= len(rows))
    return UPSERTS[size], tuple(chain.from_iterable((*rows, *rows[-1:] * (size - len(rows)))))


def _write_rows(connection: sqlite3.Connection, statements: dict[int, str], rows: list[Row]) -> None:
    at = 0
    while at < len(rows):
        size = next(size for size in _ROWS_AT_ONCE if size <= len(rows) - at)
        connection.execute(statements[size], tuple(chain.from_iterable(rows[at : at + size])))
        at += size


def _write_lines(connection: sqlite3.Connection, lines: list[Row]) -> None:
    """Write what jobs said that are still there, and forget their oldest lines where there are too many."""
    connection.executemany(
        "INSERT INTO jobs_lines (number, attempt, at, level, text) "
        "SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM jobs_all WHERE number = ?1)",
        lines,
    )
    connection.executemany(
        "DELETE FROM jobs_lines WHERE number = ?1 AND id <= "
        "(SELECT id FROM jobs_lines WHERE number = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        [(number, PER_JOB) for number in {line[0] for line in lines}],
    )


def read_lines(connection: sqlite3.Connection, numbers: Iterable[int], text: str, after: int, limit: int) -> list[Row]:
    """Return id, number, attempt, instant, level and text of what these jobs said, the oldest first.

    Args:
        connection: For reading.
        numbers: Whose.
        text: Only lines with this in them, in whatever case; "" for all.
        after: Only lines with a higher id.
        limit: The newest so many.
    """
    wanted = "[" + ",".join(map(str, numbers)) + "]"
    found = connection.execute(
        "SELECT id, number, attempt, at, level, text FROM jobs_lines WHERE number IN (SELECT value FROM json_each(?)) "
        "AND id > ? AND (? = '' OR instr(lower(text), lower(?)) > 0) ORDER BY id DESC LIMIT ?",
        (wanted, after, text, text, limit),
    ).fetchall()
    return found[::-1]


def job_of(row: Row) -> Job:
    """Return the job of a row with the columns `COLUMNS`."""
    fixed, moving = row[: len(FIXED)], row[len(FIXED) :]
    values = dict(zip((*FIXED, *MOVING), (*fixed, *moving), strict=True))
    backoff, after = values.pop("backoff"), values.pop("after")
    job = Job(
        **values | {"even_if": bool(values["even_if"])},
        backoff=_backoff_of(values["number"], backoff) if backoff is not None else None,
        after=set(map(int, after.split(","))) if after else set(),
        is_new=False,
    )
    job.is_plain = _is_plain(job)
    return job


def _backoff_of(number: int, text: str) -> Backoff | None:
    """Return what a row says of the back-off; None, which is the queue's own, where it cannot be read."""
    try:
        return _backoff.decode(text)
    except msgspec.MsgspecError as error:  # one such row must not keep the queues from beginning
        logger.warning("the back-off of job-%d cannot be read, so its queue's holds: %s", number, error)
        return None


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
    query = "SELECT max(number, (SELECT coalesce(max(number), 0) FROM jobs_all)) FROM jobs_last"
    return int(connection.execute(query).fetchone()[0])
