from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.disks import mounted_disk
from support.history import batch_of, metric_rows, open_store
from support.waiting import WAIT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform == "win32", reason="no file size limit and no tmpfs on Windows"),
    pytest.mark.timeout(300),
]

LIMITED = """
import resource, signal, sys, time
from pathlib import Path
from support.disks import mounted_disk
from support.history import batch_of, metric_rows
from actors.history.files import FileSettings
from actors.history.protocol import Outcome, Query
from actors.history.runner import QueryRunner
from actors.history.store import HistoryStore

folder, wal_bytes, asks = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "asks"
store = HistoryStore(folder / "history.duckdb", FileSettings(wal_bytes=wal_bytes), now=time.time)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

runner = QueryRunner(store.reading)
endless = Query("SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c", timeout=600.0)
asked = [runner.submit(endless)] if asks else []

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def rows(number):
    return [[seq, 7, 1.0, f"/a/{hash((seq, number))}", f"n{hash((number, seq))}", 1.0, "count"]
            for seq in range(number * 1000, number * 1000 + 1000)]

stored, refused, number = [], 0, 0
for size in (600_000, 1_200_000):
    limit(size)
    for _ in range(60):
        number += 1
        if asked and asked[-1].done():
            asked.append(runner.submit(endless))
        answer = store.store(batch_of(number, rows(number)))
        if answer.outcome is Outcome.STORED:
            stored.append(number)
        else:
            refused += 1
            assert "disk full" in answer.why or "too large" in answer.why, answer.why
            assert answer.retry_after > 0
            assert store.problem
    assert refused or store.problem, "the limit was never met"
    store.checkpoint()  # may fail too; the file is opened again where it does
limit(resource.RLIM_INFINITY)
number += 1
answer = store.store(batch_of(number, rows(number)))
assert answer.outcome is Outcome.STORED, answer
assert store.problem == ""
stored.append(number)
assert store.checkpoint() == ""
assert runner.close()
assert store.take_notices() == ()
found = [n for (n,) in store.execute("SELECT DISTINCT seq // 1000 FROM metrics ORDER BY 1")]
whole = store.execute("SELECT count(*), count(DISTINCT seq) FROM metrics")
assert found == stored, (found, stored)
assert whole == [(len(stored) * 1000,) * 2], whole
store.close()
print("stored", len(stored), "refused", refused)
"""


@pytest.mark.parametrize("asks", ["asks", "is quiet"])
@pytest.mark.parametrize("wal_bytes", [256 * 1024 * 1024, 300_000], ids=["log grows", "checkpoints come early"])
def test_a_full_disk_refuses_batches_keeps_what_was_stored_and_recovers(tmp_path, wal_bytes, asks):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(wal_bytes), asks],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT * 3,
    )

    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout
    assert [entry.name for entry in tmp_path.iterdir() if "corrupt" in entry.name] == []
    store = open_store(tmp_path)
    assert store.take_notices() == ()
    store.close()


SHARED = """
import resource, signal, sys, time
from pathlib import Path
import duckdb
from support.disks import mounted_disk
from support.history import batch_of, metric_rows
from actors.history.errors import HistoryUnavailableError
from actors.history.files import FileSettings, configuration
from actors.history.store import HistoryStore

path, settings = Path(sys.argv[1]) / "history.duckdb", FileSettings(wal_bytes=300_000)
store = HistoryStore(path, settings, now=time.time)
other = duckdb.connect(str(path), config=configuration(settings, path))  # shares DuckDB's database object
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
try:
    for number in range(1, 100):
        store.store(batch_of(number, [[n, 7, 1.0, "/", str(hash((n, number))), 1.0, "x"] for n in range(1000)]))
except HistoryUnavailableError as error:
    print("unavailable", error)
other.close()
"""


def test_a_database_object_that_somebody_keeps_alive_is_no_damaged_file(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, "-c", SHARED, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=WAIT
    )

    assert done.stdout.startswith("unavailable"), done.stderr
    assert [entry.name for entry in tmp_path.iterdir() if "corrupt" in entry.name] == []
    store = open_store(tmp_path)
    assert store.execute("SELECT count(*) > 0 FROM metrics") == [(True,)]
    store.close()


@pytest.fixture
def small_disk(tmp_path):
    yield from mounted_disk(tmp_path / "disk", "6m")


def test_a_disk_that_is_full_and_gets_room_again_loses_no_acknowledged_batch(small_disk):
    store = open_store(small_disk)
    stored = []
    refused = []
    for number in range(1, 200):
        rows = [
            [*row[:3], f"/a/{hash((number, n))}", f"n{hash((n, number))}", *row[5:]]
            for n, row in enumerate(metric_rows(500, number * 1_000))
        ]
        answer = store.store(batch_of(number, rows))
        (stored if answer.outcome.value == "stored" else refused).append(number)
    assert stored
    assert refused
    assert store.execute("SELECT count(DISTINCT seq // 1000) FROM metrics") == [(len(stored),)]
    why = store.checkpoint()
    filled = small_disk / "filler"
    filled.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)

    for number in refused:
        assert store.store(batch_of(number)).outcome.value == "stored"

    assert store.checkpoint() == ""
    assert store.execute("SELECT count(*) FROM gaps") == [(0,)]
    assert store.execute("SELECT count(DISTINCT batch) FROM batches") == [(199,)]
    assert "bytes free" in why or why
    store.close()
