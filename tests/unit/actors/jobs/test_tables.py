"""Rows of jobs: whatever way one is written, what is read back is the job as it was."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from msgspec.structs import asdict

from actors.jobs import tables
from actors.jobs.jobtable import FileTable, MemoryTable
from actors.jobs.records import Job
from actors.jobs.selecting import Selection
from actors.jobs.specs import RUNNING, SUCCEEDED, Keep
from actors.policies.backoff import Backoff

ODD: dict[str, dict[str, Any]] = {
    "plain": {},
    "key": {"key": "k", "window_at": 9.0},
    "backoff": {"backoff": Backoff(first=2.0)},
    "every": {"every": 5.0},
    "cron": {"cron": "@daily", "timezone": "Europe/Berlin"},
    "batch": {"batch": "b"},
    "source": {"source": "s"},
    "after": {"after": {1, 2}, "even_if": True},
    "told": {"note": "n", "why": "w", "progress": 0.5},
    "repeated": {"repeats": 2, "ending": "cancel"},
    "done": {"state": SUCCEEDED, "result": "7", "progress": 1.0},
}


def a_job(number: int, **fields: Any) -> Job:
    values: dict[str, Any] = {
        "priority": 3, "attempt": 1, "attempts": 5, "timeout": 60.0, "created_at": 1.5, "run_at": 2.5, "slot_at": 3.5,
        "begun_at": 4.5, "changed_at": 5.5, "worker": "/work/a#1", "state": RUNNING,
    }  # fmt: skip
    return Job(number, "mail", "mail.send", '{"to":"you"}', **values | fields)


def written(connection: sqlite3.Connection, memory: MemoryTable, jobs: list[Job]) -> list[Job]:
    """Write jobs to both stores and return what is in the file, which must be what is in memory."""
    changes = tables.changes_of(jobs)
    for job in jobs:
        job.is_new = False
    tables.write(connection, changes)
    memory.submit(lambda: changes, lambda error: None)
    found = tables.read_jobs(connection, range(1_000))
    assert [asdict(job) for job in memory.find(range(1_000))] == [asdict(job) for job in found]
    return found


@pytest.fixture
def connection() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.executescript(tables.STEP + tables.LINES_STEP + tables.CRON_STEP + tables.LAST_STEP)
    yield connection
    connection.close()


def same(job: Job) -> dict[str, Any]:
    return asdict(job)


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_a_new_row_is_the_job(connection: sqlite3.Connection, fields: dict[str, Any]) -> None:
    job = a_job(7, **fields)

    assert [asdict(found) for found in written(connection, MemoryTable(), [job])] == [same(job)]


@pytest.mark.parametrize("count", [1, 3, 4, 15, 16, 17, 84, 300])
def test_a_batch_of_any_size_is_written_whole(connection: sqlite3.Connection, count: int) -> None:
    memory = MemoryTable()
    jobs = [a_job(number, **list(ODD.values())[number % len(ODD)]) for number in range(1, count + 1)]

    assert [asdict(found) for found in written(connection, memory, jobs)] == [same(job) for job in jobs]

    for job in jobs:
        job.state, job.changed_at, job.result, job.progress = SUCCEEDED, 9.5, "8", 1.0
        job.note, job.why, job.ending = "done", "", ""
    assert [asdict(found) for found in written(connection, memory, jobs)] == [same(job) for job in jobs]
    assert tables.last_number(connection) == count


def test_plain_jobs_are_written_and_changed_by_one_statement(connection: sqlite3.Connection) -> None:
    jobs = [a_job(number) for number in range(1, 12)]
    for changed in ({}, {"state": SUCCEEDED, "result": "8", "progress": 1.0, "note": "done", "changed_at": 9.5}):
        for job in jobs:
            for name, value in changed.items():
                setattr(job, name, value)
        statement = tables.statement_of(tables.changes_of(jobs))
        for job in jobs:
            job.is_new = False
        assert statement is not None
        connection.execute(*statement)

        assert [asdict(found) for found in tables.read_jobs(connection, range(20))] == [same(job) for job in jobs]


@pytest.mark.parametrize("changed", [{"why": "w"}, {"ending": "cancel"}, {"repeats": 1}, {"after": {3}}], ids=str)
def test_a_row_that_was_out_of_the_ordinary_once_is_rewritten_in_all_its_columns(
    connection: sqlite3.Connection, changed: dict[str, Any]
) -> None:
    job = a_job(7)
    memory = MemoryTable()
    for values in ({}, changed, {name: getattr(job, name) for name in changed}):
        for name, value in values.items():
            setattr(job, name, value)
        assert [asdict(found) for found in written(connection, memory, [job])] == [same(job)]


def test_the_number_of_a_job_that_was_deleted_is_not_given_again(tmp_path):
    table = FileTable(tmp_path / "state.db")
    table.submit(lambda: tables.changes_of([a_job(4), a_job(9, state=SUCCEEDED)]), lambda error: None)
    assert table.delete([9]) == [9]
    table.close()

    table = FileTable(tmp_path / "state.db")

    assert [job.number for job in table.unfinished()] == [4]
    assert table.last_number() == 9
    table.close()


def test_what_changed_since_the_row_said_running_is_written_with_the_end(connection: sqlite3.Connection) -> None:
    job = a_job(7)
    written(connection, MemoryTable(), [job])

    job.attempt, job.worker, job.begun_at = 2, "/work/b#1", 8.5  # tried again, and no commit in between
    job.state, job.result, job.progress = SUCCEEDED, "8", 1.0
    changes = tables.changes_of([job])
    tables.write(connection, changes)

    assert [asdict(found) for found in tables.read_jobs(connection, [7])] == [same(job)]


def test_thousands_of_old_jobs_go_at_once_in_transactions_of_some_hundred(tmp_path, monkeypatch):
    table = FileTable(tmp_path / "state.db")
    ended = [a_job(number, state=SUCCEEDED, changed_at=5.0) for number in range(1, 1_301)]
    table.submit(lambda: tables.changes_of(ended), lambda error: None)
    deleted: list[int] = []
    monkeypatch.setattr(table, "delete", lambda numbers: deleted.append(len(numbers)))
    assert table.expire("mail", Keep(succeeded=10.0), 100.0) == 1_300
    assert deleted == [500, 500, 300]
    monkeypatch.undo()

    assert table.expire("mail", Keep(succeeded=1_000.0, most=100), 100.0) == 1_200

    assert [job.number for job in table.select(Selection())] == list(range(1_201, 1_301))
    table.close()
