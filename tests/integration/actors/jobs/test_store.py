"""The file of jobs: what was acknowledged is in it, whatever happens to the process, the disk or the file."""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
from pathlib import Path

import pytest
from support.processes import TIMEOUT, process

from actors.jobs.kinds import HashFile, IndexFiles
from actors.jobs.store import Added, JobStore, Moved, Removed
from actors.state.file import StateError
from actors.state.migrations import FORMAT


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "state.db"


@pytest.fixture
def store(path):
    made = JobStore(path)
    yield made
    made.close()


def numbers(store, *, failed=False):
    return [job.number for job in store.read(failed=failed)]


def test_what_was_written_is_read_back_by_the_next_store(path, store):
    store.write([Added(1, HashFile("/a"), "loop"), Added(2, IndexFiles(("/b", "/ü")), "")]).result(TIMEOUT)
    store.write([Moved(1, "running", 1)]).result(TIMEOUT)
    store.close()

    again = JobStore(path)

    first, second = again.read(failed=False)
    assert (first.number, first.state, first.job, first.source, first.attempt) == (
        1,
        "running",
        HashFile("/a"),
        "loop",
        1,
    )
    assert (second.state, second.job) == ("waiting", IndexFiles(("/b", "/ü")))
    assert first.changed_at >= first.created_at
    again.close()


def test_a_job_leaves_when_done_and_stays_as_a_dead_letter_when_failed(store):
    store.write([Added(n, HashFile(f"/{n}"), "") for n in (1, 2, 3)]).result(TIMEOUT)

    store.write([Removed(1), Moved(2, "failed", 3, "it broke")]).result(TIMEOUT)

    assert numbers(store) == [3]
    assert numbers(store, failed=True) == [2]
    assert store.read(failed=True)[0].why == "it broke"


def test_a_number_is_never_given_twice_not_even_after_its_job_is_gone(path, store):
    assert store.last_number() == 0
    store.write([Added(7, HashFile("/a"), "")]).result(TIMEOUT)
    store.write([Removed(7)]).result(TIMEOUT)
    store.close()

    again = JobStore(path)

    assert again.last_number() == 7
    again.close()


def test_one_of_many_operations_that_cannot_be_written_takes_the_others_of_its_call_along_and_nobody_elses(store):
    store.write([Added(1, HashFile("/a"), "")]).result(TIMEOUT)
    ready = threading.Barrier(3)
    results = {}

    def write(name, operations):
        ready.wait(TIMEOUT)
        results[name] = store.write(operations).exception(TIMEOUT)

    calls = {
        "bad": [Added(2, HashFile("/b"), ""), Added(1, HashFile("/again"), "")],
        "good": [Added(3, HashFile("/c"), "")],
    }
    threads = [threading.Thread(target=write, args=item) for item in calls.items()]
    for thread in threads:
        thread.start()
    ready.wait(TIMEOUT)
    for thread in threads:
        thread.join(TIMEOUT)

    assert isinstance(results["bad"], StateError)
    assert results["good"] is None
    assert numbers(store) == [1, 3]


def test_a_closed_store_refuses(store):
    store.close()

    assert isinstance(store.write([Removed(1)]).exception(TIMEOUT), StateError)


def test_the_file_is_for_its_owner_alone(path, store):
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(path):
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all, and long enough to look like one" * 100)

    store = JobStore(path)

    assert store.damaged == path.with_name("state.db.damaged-1")
    assert store.damaged.read_bytes().startswith(b"this is no database")
    assert numbers(store) == []
    store.write([Added(1, HashFile("/a"), "")]).result(TIMEOUT)
    store.close()


def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(path, store):
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    before = path.read_bytes()

    with pytest.raises(StateError, match=f"version {FORMAT + 1}, this program knows up to {FORMAT}"):
        JobStore(path)

    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match=r"file/state\.db"):
        JobStore(tmp_path / "file" / "state.db")


FULL = """
import resource
from pathlib import Path
from actors.jobs.kinds import IndexFiles
from actors.jobs.store import Added, JobStore
store = JobStore(Path({path!r}))
store.write([Added(1, IndexFiles(("/first",)), "")]).result()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
failed = store.write([Added(2, IndexFiles(tuple("/name" * 20 for _ in range(20_000))), "")]).exception()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.write([Added(3, IndexFiles(("/third",)), "")]).result()
print(type(failed).__name__, [job.number for job in store.read(failed=False)], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files by rlimit")
def test_what_does_not_fit_on_the_disk_is_refused_and_what_comes_after_is_kept(path):
    with process(FULL.format(path=str(path))) as full:
        assert full.stdout is not None
        assert full.stdout.read().decode().split("\n")[0] == "StateError [1, 3]"


WRITER = """
from pathlib import Path
from actors.jobs.kinds import HashFile
from actors.jobs.store import Added, JobStore, Removed
store = JobStore(Path({path!r}))
number = store.last_number() // 10
while True:
    number += 1
    added = [store.write([Added(number * 10 + n, HashFile(f"/{{n}}"), "")]) for n in range(3)]
    for future in added:
        future.result()
    store.write([Removed(number * 10)]).result()
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

    store = JobStore(path)
    found = set(numbers(store))

    assert store.damaged is None
    assert len(acknowledged) >= 4
    for number in acknowledged:
        assert {number * 10 + 1, number * 10 + 2} <= found
        assert number * 10 not in found
    store.close()


def test_many_writers_share_commits(path: Path, store):
    futures = [store.write([Added(n, HashFile(f"/{n}"), "")]) for n in range(1, 2_001)]
    for future in futures:
        future.result(TIMEOUT)

    assert len(numbers(store)) == 2_000
