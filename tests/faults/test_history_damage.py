"""Real damage to a history: each is repaired by itself, what was published is back, and what was lost is said, once."""

from __future__ import annotations

import os
import queue
import random
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.history import NOW, batch_of, metric_rows, open_store
from support.history_children import rows_in
from support.history_damage import FILE_KINDS, KINDS, Left, damaged, killed, rounds
from support.waiting import WAIT, until

from actors import ActorSystem, Started
from actors.history.catalog import CATALOG, MANIFEST, folder_of
from actors.history.folder import files_to_read, sealed_files
from actors.history.protocol import Outcome, Query, QueryFailed, QueryResult, Statistics
from actors.history.publishing import Publisher
from actors.history.recorder import Recorder
from actors.history.retention import DAY
from actors.history.tending import Tend
from actors.history.verifying import Soundness, check_published

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows"),
    pytest.mark.timeout(600),
]

COUNT = "SELECT count(*), count(DISTINCT seq) FROM metrics"


def test_whatever_is_done_to_the_log_it_is_repaired_and_told_of_once(tmp_path: Path) -> None:
    done = list(rounds(len(KINDS), 7, tmp_path))

    assert {one.kind for one in done} == set(KINDS)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return killed(tmp_path_factory.mktemp("killed"), random.Random(11))


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_whatever_is_done_to_the_file_a_new_one_gets_back_what_was_published(left: Left, kind: str) -> None:
    done = damaged(left, left.folder.with_name("home"), kind, random.Random(5))

    assert done.notices == 1
    assert done.is_quarantined == (kind not in {"file deleted", "file and log deleted"})


def recorder_of(system: ActorSystem, path: Path) -> Any:
    """Spawn a recorder of the file, on a thread of its own, and wait until it has started."""
    making = partial(Recorder, str(path), publish_every=0.5)
    outcomes: queue.Queue[object] = queue.Queue()
    launch = system.spawn(making, path="/sys/recorder", placement="thread", on_outcome=outcomes.put)
    assert isinstance(outcomes.get(timeout=WAIT), Started)
    return launch.ref


class Running:
    """A recorder on a thread of its own."""

    def __init__(self, system: ActorSystem, folder: Path) -> None:
        self.path = folder / "history.duckdb"
        self.folder = folder_of(self.path)
        self.ref = recorder_of(system, self.path)
        self.number = 0
        self.told: list[str] = []

    def add(self) -> None:
        self.number += 1
        rows = metric_rows(rows_in(self.number), self.number * 1_000)
        answer = self.ref.ask(batch_of(self.number, rows, acknowledged=self.number - 1), timeout=WAIT)
        assert answer.outcome is Outcome.STORED, answer
        self.told += [notice.why for notice in answer.notices]

    def rows(self, sql: str) -> list[list[object]]:
        answer = self.ref.ask(Query(sql), timeout=WAIT)
        assert isinstance(answer, QueryResult), answer
        return answer.rows

    def wait_published(self) -> None:
        wanted = sum(map(rows_in, range(1, self.number + 1)))
        until(lambda: foreign(self.folder) == (wanted, wanted), WAIT)

    def is_whole(self) -> bool:
        wanted = sum(map(rows_in, range(1, self.number + 1)))
        return self.rows(COUNT) == [[wanted, wanted]]


def foreign(folder: Path) -> tuple[int, int] | None:
    """What another tool counts; None where there is nothing to open at this moment."""
    try:
        with duckdb.connect(str(folder / CATALOG), read_only=True) as connection:
            return connection.execute(COUNT).fetchone()
    except duckdb.Error:
        return None


def inode(path: Path) -> int:
    """The number of the file at `path`; 0 where there is none at this moment."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


@pytest.fixture
def running(tmp_path: Path):
    system = ActorSystem("node")
    recorder = Running(system, tmp_path)
    for _ in range(5):
        recorder.add()
    recorder.wait_published()
    assert recorder.told == []
    yield recorder
    assert system.shutdown(WAIT)


@pytest.mark.parametrize("how", ["deleted", "replaced by garbage", "deleted with its log"])
def test_a_file_that_goes_while_it_is_open_is_begun_anew_with_every_row(running: Running, how: str) -> None:
    running.add()  # not published yet, maybe
    garbage = 0
    if how == "replaced by garbage":
        other = running.path.with_name("garbage")
        other.write_bytes(random.Random(1).randbytes(300_000))
        garbage = os.stat(other).st_ino  # once it is in place, it may be put aside at any moment
        os.replace(other, running.path)
    else:
        if how == "deleted with its log":  # first, or it would be the new file's
            running.path.with_name("history.duckdb.wal").unlink(missing_ok=True)
        running.path.unlink()

    until(lambda: inode(running.path) not in {0, garbage}, WAIT)
    until(running.is_whole, WAIT)
    running.add()

    assert running.is_whole()
    assert len(running.told) == 1
    assert "deleted or replaced" in running.told[0]
    running.add()
    assert len(running.told) == 1
    running.wait_published()


DAMAGED_WHILE_RUNNING = [
    "ring deleted", "ring cut", "ring garbage", "catalog garbage", "catalog deleted", "manifest garbage",
    "manifest deleted", "manifest cut",
]  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED_WHILE_RUNNING)
def test_published_files_are_put_right_while_the_recorder_runs(running: Running, what: str) -> None:
    named = {"catalog": running.folder / CATALOG, "manifest": running.folder / MANIFEST}

    def harm() -> bool:
        """Whether there was a file to harm: those of a ring go when they are merged."""
        path = named.get(what.split()[0]) or files_to_read(running.folder, "metrics")[-1]
        try:
            if "deleted" in what:
                path.unlink()
            elif "cut" in what:
                os.truncate(path, path.stat().st_size - 30)
            else:
                os.truncate(path, 0)
                with path.open("r+b") as file:
                    file.write(random.Random(2).randbytes(5_000))
        except FileNotFoundError:
            return False
        return True

    until(harm, WAIT)

    running.ref.tell(Tend())

    running.wait_published()
    running.add()
    running.wait_published()
    assert running.told == []  # nothing is lost
    until(lambda: {one.found for one in check_published(running.folder)} == {Soundness.OK}, WAIT)


def test_a_manifest_that_is_garbage_costs_nothing_at_the_next_start(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
    store.store(batch_of(1))
    assert publisher.turn()
    store.close()
    (store.folder / MANIFEST).write_bytes(b"\xff{]")

    again = open_store(tmp_path)
    publisher = Publisher(again.folder, lambda work: work(again), now=time.time)

    assert publisher.turn(), publisher.problem
    assert again.store(batch_of(1)).outcome is Outcome.DUPLICATE
    assert foreign(again.folder) == (10, 10)
    again.close()


@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_sealed_day_that_is_garbage_is_put_aside_and_said(tmp_path: Path, damage: str) -> None:
    store = open_store(tmp_path)
    now = [NOW]
    publisher = Publisher(store.folder, lambda work: work(store), now=lambda: now[0])
    for number in (1, 2):
        store.store(batch_of(number))
        assert publisher.turn()
        now[0] += DAY
        assert publisher.turn()
        publisher._merge_at = 0.0  # a reader had its five seconds
        assert publisher.turn()
    store.close()
    path = sealed_files(store.folder, "metrics")[0]
    path.write_bytes(path.read_bytes()[:-9] if damage == "cut" else random.Random(3).randbytes(4_000))

    again = open_store(tmp_path)

    answer = again.store(batch_of(3))
    assert [path.parent.name in notice.why for notice in answer.notices] == [True]
    with again.reading() as connection:
        assert connection.execute(COUNT).fetchone() == (20, 20)
    assert list(path.parent.glob("*.corrupt-*"))
    publisher = Publisher(again.folder, lambda work: work(again), now=lambda: now[0])
    assert publisher.turn(), publisher.problem
    assert foreign(again.folder) == (20, 20)
    again.close()


def test_a_page_that_goes_bad_under_an_open_file_is_found_by_who_reads_it(tmp_path: Path) -> None:
    system = ActorSystem("node")
    seed = open_store(tmp_path)
    publisher = Publisher(seed.folder, lambda work: work(seed), now=time.time)
    for number in range(1, 41):
        rows = [
            [seq, 7, NOW + seq, f"/a/{hash((seq, number))}", f"n{hash((number, seq))}", 1.0, "x"]
            for seq in range(1_000)
        ]
        seed.store(batch_of(number, [[number * 1_000 + row[0], *row[1:]] for row in rows]))
    assert publisher.turn()
    assert seed.checkpoint() == ""
    seed.close()
    path = tmp_path / "history.duckdb"
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) - 262_144, 262_144):
        data[at : at + 64] = bytes(byte ^ 0xFF for byte in data[at : at + 64])
    path.write_bytes(data)

    ref = recorder_of(system, path)
    ref.ask(Statistics(), timeout=WAIT)
    first = ref.ask(Query("SELECT count(*), bit_xor(hash(m)) FROM metrics m"), timeout=WAIT)

    def is_back() -> bool:
        answer = ref.ask(Query("SELECT count(*), count(DISTINCT seq), count(DISTINCT path) FROM metrics"), timeout=WAIT)
        return isinstance(answer, QueryResult) and answer.rows == [[40_000, 40_000, 40_000]]

    until(is_back, WAIT)
    answer = ref.ask(batch_of(41), timeout=WAIT)
    assert isinstance(first, (QueryFailed, QueryResult))
    assert [path for path in tmp_path.iterdir() if ".corrupt-" in path.name]
    assert answer.outcome is Outcome.STORED
    assert len(answer.notices) == 1
    assert "brought back" in answer.notices[0].why
    assert system.shutdown(WAIT)
    shutil.rmtree(tmp_path)
