"""Copies of the file of state: whole and verified, made while it is written, put back without losing what was there."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from actors.state.backup import backup, inspect, restore
from actors.state.file import StateError, open_state
from actors.state.migrations import Migrations

TIMEOUT = 60
NOTES = Migrations("notes", ("CREATE TABLE notes (number INTEGER, twin INTEGER) STRICT",))


def note(number):
    def work(connection):
        connection.execute("INSERT INTO notes VALUES (?, 0)", (number,))
        connection.execute("UPDATE notes SET twin = number WHERE number = ?", (number,))

    return work


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "state.db"


def numbers(path):
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM notes ORDER BY number")]


def test_a_backup_made_under_writes_is_what_was_there_between_two_commits(tmp_path, path):
    file = open_state(path, NOTES)
    for number in range(100):
        written = file.write(note(number))
    written.result(TIMEOUT)
    ended = threading.Event()

    def write():
        number = 100
        while not ended.is_set():
            file.write(note(number)).result(TIMEOUT)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = backup(path, tmp_path / "copy.db")
    finally:
        ended.set()
        writer.join(TIMEOUT)
        file.close()

    assert found == inspect(tmp_path / "copy.db")
    assert found.owners == {"notes": 1}
    copied = numbers(tmp_path / "copy.db")
    assert copied == list(range(len(copied)))
    assert len(copied) >= 100
    with sqlite3.connect(tmp_path / "copy.db") as connection:
        assert connection.execute("SELECT count(*) FROM notes WHERE twin != number").fetchone() == (0,)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["copy.db", "home"]


def test_a_backup_overwrites_nothing_and_needs_something_to_copy(tmp_path, path):
    (tmp_path / "mine").write_text("precious")

    with pytest.raises(StateError, match="there is no such file"):
        backup(path, tmp_path / "copy.db")
    open_state(path, NOTES).close()
    with pytest.raises(StateError, match="is not overwritten"):
        backup(path, tmp_path / "mine")

    assert (tmp_path / "mine").read_text() == "precious"


def test_a_restored_file_has_what_was_copied_and_the_one_before_is_kept(tmp_path, path):
    file = open_state(path, NOTES)
    file.write(note(1)).result(TIMEOUT)
    backup(path, tmp_path / "copy.db")
    file.write(note(2)).result(TIMEOUT)
    file.close()

    _, aside = restore(tmp_path / "copy.db", path)

    assert numbers(path) == [1]
    assert aside is not None
    assert numbers(aside) == [1, 2]
    file = open_state(path, NOTES)
    file.write(note(3)).result(TIMEOUT)
    file.close()
    assert numbers(path) == [1, 3]


@pytest.mark.parametrize("harm", ["truncated", "flipped", "no database"])
def test_a_damaged_copy_is_not_put_back(tmp_path, path, harm):
    file = open_state(path, NOTES)
    for number in range(2_000):
        file.write(note(number))
    file.close()
    copy = tmp_path / "copy.db"
    backup(path, copy)
    content = bytearray(copy.read_bytes())
    if harm == "truncated":
        content = content[: len(content) // 2]
    elif harm == "flipped":
        content[8192:8292] = b"\xff" * 100
    else:
        content = bytearray(b"no database at all" * 1000)
    copy.write_bytes(content)
    before = path.read_bytes()

    with pytest.raises(StateError, match="damaged"):
        restore(copy, path)

    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["state.db"]
