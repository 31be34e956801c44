from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.history import batch_of, metric_rows, open_store

from actors.history.errors import HistoryLockedError, HistoryUnavailableError
from actors.history.files import open_file, wal_of
from actors.history.protocol import Outcome

BATCHES = 20

KILLED = """
import os, signal, sys
from pathlib import Path
from support.history import batch_of, metric_rows, open_store

store = open_store(Path(sys.argv[1]))
for number in range(1, int(sys.argv[2]) + 1):
    store.store(batch_of(number, metric_rows(100, number * 100)))
    if number == 3:
        store.checkpoint()
os.kill(os.getpid(), signal.SIGKILL)
"""

HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "ro")
print("held", flush=True)
sys.stdin.read()
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A history file whose last batches are only in its log, as kill -9 left it."""
    folder = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", KILLED, str(folder), str(BATCHES)], env=environment, timeout=100, check=False)
    assert wal_of(folder / "history.duckdb").stat().st_size > 1_000
    return folder


@pytest.fixture
def left(killed, tmp_path):
    """A copy of it to damage."""
    for name in ("history.duckdb", "history.duckdb.wal"):
        shutil.copy(killed / name, tmp_path / name)
    return tmp_path


def flip(path, at, count=1):
    with open(path, "r+b") as file:
        file.seek(at)
        data = file.read(count)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in data))


def corrupt_files(folder):
    return sorted(entry.name for entry in folder.iterdir() if ".corrupt-" in entry.name)


def stored(store):
    return [batch for (batch,) in store.execute("SELECT batch FROM batches ORDER BY batch")]


@posix
def test_what_a_killed_process_left_in_the_log_is_there_at_the_next_opening(left):
    store = open_store(left)

    assert stored(store) == list(range(1, BATCHES + 1))
    assert store.execute("SELECT count(*), count(DISTINCT seq) FROM metrics") == [(BATCHES * 100, BATCHES * 100)]
    assert store.take_notices() == ()
    store.close()


@posix
@pytest.mark.parametrize("cut", [1, 7, 100, 5_000, 20_000])
def test_a_torn_log_opens_without_its_tail_and_the_missing_batches_are_told_of(left, cut):
    wal = wal_of(left / "history.duckdb")
    os.truncate(wal, wal.stat().st_size - cut)

    store = open_store(left)
    there = stored(store)
    answer = store.store(batch_of(BATCHES + 1, acknowledged=BATCHES))

    assert there == list(range(1, len(there) + 1))
    assert 3 <= len(there) < BATCHES
    assert "stored before and gone" in answer.notices[0].why
    assert f"to {BATCHES}" in answer.notices[0].why or f"batches {BATCHES}" in answer.notices[0].why
    store.close()


@posix
def test_a_log_with_a_flipped_byte_is_cut_there_and_everything_before_is_kept(left):
    wal = wal_of(left / "history.duckdb")
    size = wal.stat().st_size
    flip(wal, size // 2)

    store = open_store(left)

    there = stored(store)
    (notice,) = store.take_notices()
    assert there == list(range(1, len(there) + 1))
    assert 3 < len(there) < BATCHES
    assert "corrupt at byte" in notice.why
    (copy,) = corrupt_files(left)
    assert copy in notice.why
    assert (left / copy).stat().st_size == size
    assert store.store(batch_of(BATCHES + 1)).outcome is Outcome.STORED
    store.close()


@posix
def test_whatever_byte_of_the_log_is_flipped_the_file_opens_with_an_unbroken_run_of_batches(killed, tmp_path):
    chance = random.Random(11)
    size = wal_of(killed / "history.duckdb").stat().st_size
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("history.duckdb", "history.duckdb.wal"):
            shutil.copy(killed / name, folder / name)
        flip(wal_of(folder / "history.duckdb"), chance.randrange(size), chance.choice([1, 8, 300]))

        store = open_store(folder)

        there = stored(store)
        assert there == list(range(1, len(there) + 1))
        assert len(there) >= 3
        assert store.execute("SELECT count(*), count(DISTINCT seq) FROM metrics") == [(len(there) * 100,) * 2]
        assert store.store(batch_of(BATCHES + 1)).outcome is Outcome.STORED
        store.close()


@posix
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, 8, 4),
        lambda path: flip(path, 4096, 8192),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 100),
        lambda path: os.truncate(path, 0),
        lambda path: path.write_text("nothing of DuckDB's"),
        lambda path: path.write_bytes(os.urandom(500_000)),
    ],
    ids=["magic", "headers", "half", "head only", "nothing", "text", "noise"],
)
def test_a_damaged_file_is_moved_aside_with_its_log_and_a_new_one_begun(left, damage):
    path = left / "history.duckdb"
    damage(path)

    store = open_store(left)
    answer = store.store(batch_of(1))

    assert answer.outcome is Outcome.STORED
    (notice,) = answer.notices
    assert "damaged" in notice.why
    aside = corrupt_files(left)
    assert len(aside) == 2
    assert all(name.startswith("history.duckdb.corrupt-") for name in aside)
    assert aside[0] in notice.why
    store.close()


def test_a_file_left_empty_by_a_full_disk_is_begun_anew_without_fuss(tmp_path):
    (tmp_path / "history.duckdb").touch()

    store = open_store(tmp_path)

    assert store.take_notices() == ()
    assert corrupt_files(tmp_path) == []
    store.close()


def test_two_damages_in_the_same_second_do_not_overwrite_each_other(tmp_path):
    path = tmp_path / "history.duckdb"
    for content in ("first", "second", "third"):
        path.write_text(content * 100)
        open_file(path).connection.close()
        path.unlink()

    assert sorted((tmp_path / name).read_text()[:3] for name in corrupt_files(tmp_path)) == ["fir", "sec", "thi"]


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_file_another_process_holds_is_refused_with_its_pid_and_left_alone(tmp_path, mode):
    open_store(tmp_path).close()
    path = tmp_path / "history.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(HistoryLockedError, match=f"process {holder.pid}") as caught:
            open_store(tmp_path)

        assert caught.value.pid == holder.pid
        assert corrupt_files(tmp_path) == []
    finally:
        holder.communicate(timeout=60)
    open_store(tmp_path).close()


def test_a_folder_in_the_place_of_the_file_is_refused_and_left_alone(tmp_path):
    (tmp_path / "history.duckdb").mkdir()

    with pytest.raises(HistoryUnavailableError, match="not a regular file"):
        open_store(tmp_path)

    assert (tmp_path / "history.duckdb").is_dir()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_refused_by_name(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(HistoryUnavailableError, match=r"history\.duckdb"):
            open_store(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_home_below_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(HistoryUnavailableError, match="file"):
        open_store(tmp_path / "file" / "home")


def test_nothing_is_fetched_and_no_file_is_reached_once_the_store_is_open(tmp_path):
    store = open_store(tmp_path)

    for statement in ("SELECT * FROM read_text('/etc/hostname')", "ATTACH '/tmp/x.duckdb' AS x", "INSTALL httpfs"):
        with pytest.raises(duckdb.Error, match="disabled"):
            store.execute(statement)
    with pytest.raises(duckdb.Error, match="locked"):
        store.execute("SET threads = 4")
    store.close()


def test_a_damaged_row_group_refuses_queries_of_it_and_not_storing(tmp_path):
    store = open_store(tmp_path)
    for number in range(1, 60):
        store.store(batch_of(number, metric_rows(1_000, number * 1_000)))
    assert store.checkpoint() == ""
    store.close()
    path = tmp_path / "history.duckdb"
    flip(path, path.stat().st_size // 2, 4_000)

    store = open_store(tmp_path)

    assert store.store(batch_of(1_000)).outcome is Outcome.STORED
    store.close()
