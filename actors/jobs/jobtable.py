"""Where jobs are kept: the port that the engine writes to, and its two stores, the file of state and memory.

Both behave alike but for what their names say; one suite of tests runs on both.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from actors.jobs import tables
from actors.jobs.lines import PER_JOB
from actors.jobs.records import Job
from actors.jobs.schema import JOBS
from actors.jobs.selecting import Selection, SelectionError, check, numbers
from actors.jobs.specs import FAILED, SUCCEEDED, UNFINISHED, Keep
from actors.jobs.tables import Changes
from actors.state.file import StateError, open_state

CLEANED_AT_ONCE = 10_000
"""Old jobs that are looked for at a time: to look is a pass over all rows."""
DELETED_AT_ONCE = 500
"""Of them, those that are deleted in one transaction: other writes wait meanwhile."""


class QueueState(Struct, frozen=True):
    """What people said of a queue, which outlasts the program: `rate` is None where the configuration's holds."""

    paused: bool = False
    draining: bool = False
    note: str = ""
    rate: str | None = None


class JobTable(Protocol):
    """Keeps jobs. Reading blocks; any thread may call."""

    damaged: Path | None

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        """Write what `take` returns, all or none, and call `done`; both are called on the writer's thread.

        `take` may be called more than once, and returns the same each time.
        """
        ...

    def probe(self, done: Callable[[BaseException | None], None]) -> None:
        """Write something small that changes nothing, and call `done`, on the writer's thread."""
        ...

    def unfinished(self) -> list[Job]: ...
    def windows(self, now: float) -> list[tables.Row]: ...
    def last_number(self) -> int: ...
    def queue_states(self) -> dict[str, QueueState]: ...
    def set_queue(self, name: str, state: QueueState) -> None: ...

    def find(self, numbers: Iterable[int]) -> list[Job]:
        """Return jobs as they are on disk at this moment, without waiting."""
        ...

    def select(self, selection: Selection) -> list[Job]:
        """Return the jobs meant; what was submitted before is seen."""
        ...

    def lines(self, numbers: Iterable[int], text: str = "", after: int = 0, limit: int = 1_000) -> list[tables.Row]:
        """Return what jobs said; see `tables.read_lines`."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many jobs of each queue have ended in each way."""
        ...

    def delete(self, numbers: Sequence[int]) -> list[int]:
        """Forget jobs that have ended; return their numbers."""
        ...

    def expire(self, queue: str, keep: Keep, now: float) -> int:
        """Forget what is older than `keep` says, a bounded number at once; return how many."""
        ...

    def close(self) -> None: ...


class FileTable:
    """Jobs in the file of state at `path`; blocks while it is opened.

    Raises:
        StateError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_state(path, JOBS)
        self.damaged = self._file.damaged

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        self._file.submit(
            lambda connection: tables.write(connection, take()),
            lambda error, _: done(error),
            alone=lambda: tables.statement_of(take()),
        )

    def probe(self, done: Callable[[BaseException | None], None]) -> None:
        self._file.submit(
            lambda connection: connection.execute("UPDATE jobs_last SET number = number").rowcount,
            lambda error, _: done(error),
        )

    def unfinished(self) -> list[Job]:
        return self._file.read(tables.read_unfinished)

    def windows(self, now: float) -> list[tables.Row]:
        return self._file.read(lambda reader: tables.read_windows(reader, now))

    def last_number(self) -> int:
        return self._file.read(tables.last_number)

    def queue_states(self) -> dict[str, QueueState]:
        rows = self._file.read(lambda reader: reader.execute("SELECT * FROM jobs_queues").fetchall())
        return {row[0]: QueueState(bool(row[1]), bool(row[2]), row[3], row[4]) for row in rows}

    def set_queue(self, name: str, state: QueueState) -> None:
        row = (name, state.paused, state.draining, state.note, state.rate)
        sql = "INSERT OR REPLACE INTO jobs_queues VALUES (?, ?, ?, ?, ?)"
        self._file.write(lambda writer: writer.execute(sql, row).rowcount).result()

    def find(self, numbers: Iterable[int]) -> list[Job]:
        return self._file.read(lambda reader: tables.read_jobs(reader, numbers), settled=False)

    def select(self, selection: Selection) -> list[Job]:
        def query(reader: sqlite3.Connection) -> list[Job]:
            wanted = numbers(reader, selection)
            return tables.read_jobs(reader, wanted)

        found = self._file.read(query)
        return found[::-1] if selection.newest else found

    def lines(self, numbers: Iterable[int], text: str = "", after: int = 0, limit: int = 1_000) -> list[tables.Row]:
        return self._file.read(lambda reader: tables.read_lines(reader, numbers, text, after, limit))

    def counts(self) -> dict[str, dict[str, int]]:
        marks = ", ".join(f"'{state}'" for state in UNFINISHED)
        sql = f"SELECT queue, state, count(*) FROM jobs_all WHERE state NOT IN ({marks}) GROUP BY queue, state"
        found: dict[str, dict[str, int]] = {}
        for queue, state, count in self._file.read(lambda reader: reader.execute(sql).fetchall()):
            found.setdefault(queue, {})[state] = count
        return found

    def delete(self, numbers: Sequence[int]) -> list[int]:
        def work(writer: sqlite3.Connection) -> list[int]:
            found = [job.number for job in tables.read_jobs(writer, numbers) if job.state not in UNFINISHED]
            writer.executemany("DELETE FROM jobs_all WHERE number = ?", [(number,) for number in found])
            return found

        return self._file.write(work).result()

    def expire(self, queue: str, keep: Keep, now: float) -> int:
        ended = ", ".join(f"'{state}'" for state in UNFINISHED)
        old = (
            "SELECT number FROM jobs_all WHERE queue = ? AND window_at < ? AND changed_at < CASE state "
            f"WHEN 'succeeded' THEN ? WHEN 'failed' THEN ? ELSE ? END AND state NOT IN ({ended}) LIMIT ?"
        )
        values = (
            queue, now, now - keep.succeeded, now - keep.failed, now - keep.cancelled, CLEANED_AT_ONCE,
        )  # fmt: skip
        many = (
            f"SELECT number FROM jobs_all WHERE queue = ? AND state NOT IN ({ended}, 'failed') AND window_at < ? "
            "ORDER BY number DESC LIMIT ? OFFSET ?"
        )

        def query(reader: sqlite3.Connection) -> list[tuple[int]]:  # not on the writer's thread: it looks at all rows
            found: list[tuple[int]] = reader.execute(old, values).fetchall()
            found += reader.execute(many, (queue, now, CLEANED_AT_ONCE, keep.most)).fetchall()
            return found

        found = [number for (number,) in self._file.read(query)]
        for start in range(0, len(found), DELETED_AT_ONCE):
            self.delete(found[start : start + DELETED_AT_ONCE])
        return len(found)

    def close(self) -> None:
        self._file.close()


class MemoryTable:
    """Jobs in memory, for tests: nothing outlasts the object, and no condition in SQL is understood.

    Attributes:
        fails: Why the next writes fail, or None.
        room: Most characters of payloads and results that one write may have; None: any number.
    """

    def __init__(self) -> None:
        self.damaged: Path | None = None
        self.fails: str | None = None
        self.room: int | None = None
        self._rows: dict[int, tables.Row] = {}
        self._lines: list[tables.Row] = []
        self._said = 0
        self._last = 0
        self._queues: dict[str, QueueState] = {}
        self._lock = threading.RLock()

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        changes = take()
        if self.fails is not None:
            done(StateError(Path("memory"), self.fails))
            return
        if self.room is not None and _characters(changes) > self.room:
            done(StateError(Path("memory"), "no room for so much"))
            return
        with self._lock:
            fixed = len(tables.FIXED)
            for row in changes.whole:
                self._rows[row[0]] = row
                self._last = max(self._last, row[0])
            for row in changes.updated:
                found = self._rows.get(row[-1])
                if found is not None:
                    kept = list(found[:fixed])
                    kept[tables.FIXED.index("attempts")] = row[-2]
                    self._rows[row[-1]] = (*kept, *row[:-2])
            for line in changes.lines:
                self._said += 1
                if line[0] in self._rows:
                    mine = [kept for kept in self._lines if kept[1] == line[0]]
                    if len(mine) >= PER_JOB:
                        self._lines.remove(mine[0])
                    self._lines.append((self._said, *line))
        done(None)

    def probe(self, done: Callable[[BaseException | None], None]) -> None:
        done(StateError(Path("memory"), self.fails) if self.fails is not None else None)

    def lines(self, numbers: Iterable[int], text: str = "", after: int = 0, limit: int = 1_000) -> list[tables.Row]:
        wanted = set(numbers)
        with self._lock:
            found = [
                line
                for line in self._lines
                if line[0] > after and line[1] in wanted and line[1] in self._rows and text.lower() in line[5].lower()
            ]
        return found[-limit:]

    def unfinished(self) -> list[Job]:
        return [job for job in self._all() if job.state in UNFINISHED]

    def windows(self, now: float) -> list[tables.Row]:
        return [(job.queue, job.key, job.window_at, job.number) for job in self._all() if job.window_at > now]

    def last_number(self) -> int:
        return self._last

    def queue_states(self) -> dict[str, QueueState]:
        return dict(self._queues)

    def set_queue(self, name: str, state: QueueState) -> None:
        self._queues[name] = state

    def find(self, numbers: Iterable[int]) -> list[Job]:
        wanted = set(numbers)
        return [job for job in self._all() if job.number in wanted]

    def select(self, selection: Selection) -> list[Job]:
        check(selection)
        if selection.where:
            raise SelectionError("jobs in memory are not selected by a condition in SQL")
        found = [
            job
            for job in self._all()
            if (not selection.ids or f"job-{job.number}" in selection.ids)
            and selection.queue in {"", job.queue}
            and (not selection.states or job.state in selection.states)
            and selection.kind in {"", job.kind}
            and selection.batch in {"", job.batch}
        ]
        return (found[::-1] if selection.newest else found)[: selection.limit]

    def counts(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for job in self._all():
            if job.state not in UNFINISHED:
                states = found.setdefault(job.queue, {})
                states[job.state] = states.get(job.state, 0) + 1
        return found

    def delete(self, numbers: Sequence[int]) -> list[int]:
        ended = [job.number for job in self.find(numbers) if job.state not in UNFINISHED]
        for number in ended:
            del self._rows[number]
        return ended

    def expire(self, queue: str, keep: Keep, now: float) -> int:
        ages: dict[str, float] = {SUCCEEDED: keep.succeeded, FAILED: keep.failed}
        ended = [
            job for job in self._all() if job.queue == queue and job.state not in UNFINISHED and job.window_at < now
        ]
        old = {job.number for job in ended if job.changed_at < now - ages.get(job.state, keep.cancelled)}
        others = [job.number for job in ended if job.state != FAILED and job.number not in old]
        old.update(others[: max(0, len(others) - keep.most)])
        for number in old:
            del self._rows[number]
        return len(old)

    def close(self) -> None:
        """Nothing to do."""

    def _all(self) -> list[Job]:
        with self._lock:
            rows: list[tuple[int, Any]] = sorted(self._rows.items())
        return [tables.job_of(row) for _, row in rows]


def _characters(changes: Changes) -> int:
    """Return how long the texts of all rows are together."""
    rows = (*changes.inserted, *changes.short, *changes.updated)
    return sum(len(value) for row in rows for value in row if isinstance(value, str))
