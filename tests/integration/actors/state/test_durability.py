"""The file of state: what was acknowledged is in it, whatever happens to the process, the disk or the file."""

from __future__ import annotations

import random
import sqlite3
import sys
import threading

import pytest
from support.processes import TIMEOUT, process

from actors.state.file import StateError, open_state
from actors.state.migrations import FORMAT, Migrations

NOTES = Migrations("notes", ("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "state.db"


@pytest.fixture
def file(path):
    made = open_state(path, NOTES)
    yield made
    made.close()


def write(file, *rows):
    def work(connection):
        connection.executemany("INSERT INTO notes VALUES (?, ?)", rows)

    return file.write(work)


def numbers(file):
    return [
        row[0] for row in file.read(lambda reader: reader.execute("SELECT number FROM notes ORDER BY 1").fetchall())
    ]


def test_what_was_written_is_read_back_by_whoever_opens_the_file_next(path, file):
    write(file, (1, "ä"), (2, "")).result(TIMEOUT)
    file.close()

    again = open_state(path, NOTES)

    assert again.read(lambda reader: reader.execute("SELECT * FROM notes").fetchall()) == [(1, "ä"), (2, "")]
    again.close()


def test_each_commit_waits_for_the_disk(file):
    """With NORMAL a commit would be lost by a power cut, and no kill of a process can show it."""
    asked = ("synchronous", "journal_mode", "fullfsync")

    found = file.write(lambda connection: [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked])

    assert found.result(TIMEOUT) == [2, "wal", 1]  # FULL


def test_one_of_many_calls_that_cannot_be_written_is_undone_whole_and_nobody_elses(file):
    write(file, (1, "a")).result(TIMEOUT)
    ready = threading.Barrier(3)
    results = {}

    def call(name, *rows):
        ready.wait(TIMEOUT)
        results[name] = write(file, *rows).exception(TIMEOUT)

    calls = [("bad", (2, "b"), (1, "again")), ("good", (3, "c"))]
    threads = [threading.Thread(target=call, args=arguments) for arguments in calls]
    for thread in threads:
        thread.start()
    ready.wait(TIMEOUT)
    for thread in threads:
        thread.join(TIMEOUT)

    assert isinstance(results["bad"], StateError)
    assert results["good"] is None
    assert numbers(file) == [1, 3]


def test_the_file_is_for_its_owner_alone(path, file):
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all, and long enough to look like one" * 100)

    file = open_state(path, NOTES)

    assert file.damaged == path.with_name("state.db.damaged-1")
    assert file.damaged.read_bytes().startswith(b"this is no database")
    assert numbers(file) == []
    write(file, (1, "a")).result(TIMEOUT)
    file.close()


def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(path, file):
    file.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    before = path.read_bytes()

    with pytest.raises(StateError, match=f"version {FORMAT + 1}, this program knows up to {FORMAT}"):
        open_state(path, NOTES)

    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match=r"file/state\.db"):
        open_state(tmp_path / "file" / "state.db", NOTES)


BEGIN = f"""
import resource
from pathlib import Path
from actors.state.file import open_state
from actors.state.migrations import Migrations
file = open_state(Path({{path!r}}), Migrations("notes", {NOTES.steps!r}))

def write(number, text=""):
    return file.write(lambda connection: connection.execute("INSERT INTO notes VALUES (?, ?)", (number, text)).rowcount)

def numbers():
    return [row[0] for row in file.read(lambda reader: reader.execute("SELECT number FROM notes").fetchall())]
"""
FULL = f"""{BEGIN}
write(1).result()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
failed = write(2, "x" * 3_000_000).exception()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(3).result()
print(type(failed).__name__, numbers(), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files by rlimit")
def test_what_does_not_fit_on_the_disk_is_refused_and_what_comes_after_is_kept(path):
    with process(FULL.format(path=str(path))) as full:
        assert full.stdout is not None
        assert full.stdout.read().decode().split("\n")[0] == "StateError [1, 3]"


WRITER = f"""{BEGIN}
number = max(numbers(), default=0) // 10
while True:
    number += 1
    for future in [write(number * 10 + n) for n in range(3)]:
        future.result()
    gone = number * 10
    file.write(lambda connection: connection.execute("DELETE FROM notes WHERE number = ?", (gone,)).rowcount).result()
    print(number, flush=True)
"""


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_nothing_acknowledged_is_lost_or_comes_back_when_the_process_is_killed(path, seed):
    chance = random.Random(seed)
    acknowledged = []
    for _ in range(4):
        with process(WRITER.format(path=str(path))) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(1, 30)):
                acknowledged.append(int(writer.stdout.readline()))
            writer.kill()
            writer.wait(TIMEOUT)
            acknowledged += [int(line) for line in writer.stdout.read().split()]

    file = open_state(path, NOTES)
    found = set(numbers(file))

    assert file.damaged is None
    assert len(acknowledged) >= 4
    for number in acknowledged:
        assert {number * 10 + 1, number * 10 + 2} <= found
        assert number * 10 not in found
    file.close()


def test_many_writers_share_commits(file):
    futures = [write(file, (number, "")) for number in range(1, 2_001)]
    for future in futures:
        future.result(TIMEOUT)

    assert len(numbers(file)) == 2_000
