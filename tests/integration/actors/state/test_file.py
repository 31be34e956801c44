"""The file of state: shared by all who open it, brought up to date for each owner by itself."""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading

import pytest
from support.disks import break_disk, breakable_disk, fill, mounted_disk

from actors.jobs.schema import JOBS
from actors.state.file import StateError, open_state
from actors.state.migrations import FORMAT, Migrations

TIMEOUT = 60
NOTES = Migrations("notes", ("CREATE TABLE notes (text TEXT) STRICT",))
LATER = Migrations("notes", (*NOTES.steps, "ALTER TABLE notes ADD COLUMN at REAL"))


def versions(path):
    with sqlite3.connect(path) as connection:
        return dict(connection.execute("SELECT owner, version FROM migrations").fetchall())


def note(text):
    return lambda connection: connection.execute("INSERT INTO notes (text) VALUES (?)", (text,)).rowcount


def texts(file):
    return [row[0] for row in file.read(lambda reader: reader.execute("SELECT text FROM notes").fetchall())]


def test_each_owner_has_tables_and_a_version_of_its_own_in_one_file_with_one_writer(tmp_path):
    path = tmp_path / "state.db"
    first = open_state(path, NOTES)
    second = open_state(path, JOBS)

    assert first is second
    assert versions(path) == {"notes": 1, "jobs": len(JOBS.steps)}
    second.close()
    assert first.write(note("still open")).result(TIMEOUT) == 1
    first.close()
    assert isinstance(first.write(note("late")).exception(TIMEOUT), StateError)


def test_a_later_program_takes_the_steps_that_are_missing_and_an_earlier_one_is_refused(tmp_path):
    path = tmp_path / "state.db"
    file = open_state(path, NOTES)
    file.write(note("kept")).result(TIMEOUT)
    file.close()

    file = open_state(path, LATER)

    assert file.read(lambda reader: reader.execute("SELECT text, at FROM notes").fetchall()) == [("kept", None)]
    file.close()
    with pytest.raises(StateError, match="notes of version 2, this program knows up to 1"):
        open_state(path, NOTES)


def test_a_step_that_fails_leaves_the_tables_as_they_were(tmp_path):
    path = tmp_path / "state.db"
    broken = Migrations(
        "notes", (*NOTES.steps, "CREATE TABLE more (n INTEGER) STRICT; CREATE TABLE notes (again TEXT)")
    )

    with pytest.raises(StateError, match="already exists"):
        open_state(path, broken)

    file = open_state(path, NOTES)
    assert versions(path) == {"notes": 1}
    assert (
        file.read(lambda reader: reader.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchall()) == []
    )
    file.close()


def test_a_file_of_the_first_version_is_taken_over(tmp_path):
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(f"{JOBS.steps[0]} PRAGMA user_version = 1")

    file = open_state(path, JOBS)

    assert versions(path) == {"jobs": len(JOBS.steps)}
    assert file.read(lambda reader: reader.execute("PRAGMA user_version").fetchone()) == (FORMAT,)
    file.close()


def test_work_that_raises_has_its_error_and_costs_no_other(tmp_path):
    file = open_state(tmp_path / "state.db", NOTES)

    def fail(connection):
        note("half")(connection)
        raise ValueError("not like this")

    good, bad, after = file.write(note("one")), file.write(fail), file.write(note("two"))

    assert good.result(TIMEOUT) == after.result(TIMEOUT) == 1
    assert str(bad.exception(TIMEOUT)) == "not like this"
    assert texts(file) == ["one", "two"]
    file.close()


def test_a_reader_cannot_write(tmp_path):
    file = open_state(tmp_path / "state.db", NOTES)

    with pytest.raises(StateError, match="readonly"):
        file.read(note("no"))
    file.close()


def test_what_waits_alone_is_written_by_the_one_statement_that_does_the_same(tmp_path):
    file = open_state(tmp_path / "state.db", NOTES)
    ends = queue.SimpleQueue()
    entered, held = threading.Event(), threading.Event()

    def hold(_):
        entered.set()
        held.wait(TIMEOUT)

    def never():
        raise AssertionError("it does not wait alone")

    def submit(statement):
        file.submit(note("by work"), lambda error, result: ends.put((error, result)), alone=lambda: statement)
        return ends.get(timeout=TIMEOUT)

    assert submit(("INSERT INTO notes (text) VALUES (?)", ("alone",))) == (None, None)
    assert submit(None) == (None, 1)
    assert submit(("INSERT INTO nowhere VALUES (1)", ())) == (None, 1)
    file.write(hold)
    assert entered.wait(TIMEOUT)
    for _ in range(2):
        file.submit(note("together"), lambda error, result: ends.put((error, result)), alone=never)
    held.set()

    assert [ends.get(timeout=TIMEOUT) for _ in range(2)] == [(None, 1)] * 2
    assert texts(file) == ["alone", "by work", "by work", "together", "together"]
    file.close()


def test_one_statement_that_cannot_be_said_costs_no_other_write(tmp_path):
    file = open_state(tmp_path / "state.db", NOTES)
    ends = queue.SimpleQueue()

    def fail():
        raise ValueError("not like this")

    file.submit(note("never"), lambda error, result: ends.put(error), alone=fail)

    assert str(ends.get(timeout=TIMEOUT)) == "not like this"
    assert file.write(note("next")).result(TIMEOUT) == 1
    assert texts(file) == ["next"]
    file.close()


@pytest.fixture
def disk(tmp_path):
    if sys.platform != "linux":
        pytest.skip("a tmpfs is mounted")
    yield from mounted_disk(tmp_path / "disk", "4m")


def test_on_a_full_disk_what_needs_no_more_room_is_written_and_what_does_is_refused_until_there_is_some(disk):
    def change(number):
        return lambda writer: writer.execute("UPDATE notes SET text = ?", (f"{number:08}",)).rowcount

    open_state(disk / "state.db", NOTES).close()
    file = open_state(disk / "state.db", NOTES)
    for number in range(20):
        file.write(note("x" * 8) if number == 0 else change(number)).result(TIMEOUT)
    with sqlite3.connect(disk / "state.db") as other:
        other.execute("PRAGMA wal_checkpoint")  # as now and then on a node that has run for long
    file.write(change(20)).result(TIMEOUT)
    files = fill(disk)

    for number in range(100):  # five times as much as the log has room for
        file.write(change(number)).result(TIMEOUT)
    assert texts(file) == ["00000099"]
    error = file.write(note("y" * 1_000_000)).exception(TIMEOUT)
    assert isinstance(error, StateError)
    assert "full" in str(error)
    file.write(change(100)).result(TIMEOUT)
    for filler in files:
        filler.unlink()

    file.write(note("y" * 1_000_000)).result(TIMEOUT)
    assert len(texts(file)) == 2
    file.close()


@pytest.fixture
def broken_later(tmp_path):
    if sys.platform != "linux":
        pytest.skip("a file system is mounted")
    yield from breakable_disk(tmp_path / "disk")


def test_on_a_disk_that_became_read_only_what_is_there_is_read_and_a_write_is_refused(broken_later):
    file = open_state(broken_later / "state.db", NOTES)
    file.write(note("before")).result(TIMEOUT)
    break_disk(broken_later)

    assert isinstance(file.write(note("after")).exception(TIMEOUT), StateError)

    assert texts(file) == ["before"]
    file.close()
