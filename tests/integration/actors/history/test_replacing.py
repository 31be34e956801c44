"""Files are replaced while they are read: a query that was bound finds what it was bound to, and nothing else.

A query that waits: its small side is a row that the test gives when it likes; the large side is read after that.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec import structs
from support.history import NOW, batch_of, metric_rows, open_store

from actors.history import publishing
from actors.history.catalog import CATALOG, whole_file
from actors.history.columns import Columns
from actors.history.folder import empty_file, save_manifest, sealed_files
from actors.history.packing import pack
from actors.history.protocol import Outcome
from actors.history.publication import AHEAD, BOUNDS, FAN, level_ring
from actors.history.publishing import Publisher
from actors.history.retention import DAY
from actors.history.schema import BY_NAME, Column, Keep, Table
from actors.history.verifying import Checked, Soundness, check_published

ROWS = 10

WAITED = "SELECT {columns} FROM {source} CROSS JOIN waited"

QUESTIONS = (
    WAITED.format(columns="count(*), count(DISTINCT seq), max(value)", source="metrics"),
    WAITED.format(columns="count(*), count(DISTINCT batch), max(batch)", source="batches"),
    WAITED.format(
        columns="count(*), count(DISTINCT m.seq), max(b.batch)",
        source="metrics m JOIN batches b ON m.seq // 10 = b.batch",
    ),
    WAITED.format(columns="count(*), 0, 0", source="timeline"),
    WAITED.format(columns="through, ring0, sealed", source="published"),
)


class Beside:
    """A history that is published step by step; its clock stands where it is put."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder)
        self.now = NOW
        self.publisher = Publisher(self.store.folder, lambda work: work(self.store), now=lambda: self.now)
        self.number = 0

    @property
    def folder(self) -> Path:
        return self.store.folder

    def publish(self) -> None:
        self.number += 1
        answer = self.store.store(batch_of(self.number, metric_rows(ROWS, self.number * ROWS)))
        assert answer.outcome is Outcome.STORED
        assert self.publisher.turn(), self.publisher.problem

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beside]:
    monkeypatch.setattr(publishing, "GRACE", 0.0)
    beside = Beside(tmp_path)
    yield beside
    beside.close()


def reader(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(folder / CATALOG), read_only=True)


class Waited(Columns):
    """One row that is not there before `meanwhile` is done."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        table = Table("waited", "", (Column("x", "BIGINT", ""),))
        super().__init__(table)
        self.fill(pack(table, [[1]]))
        self.times = 0
        self.error: BaseException | None = None
        self._meanwhile = meanwhile

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        capsule = super().__arrow_c_stream__(requested_schema)
        reading = self._streams[-1]
        tell_rows = reading.tell_rows

        def wait(out: Any) -> None:
            self.times += 1
            try:
                self._meanwhile()
            except BaseException as error:  # DuckDB calls from C, where it would be lost
                self.error = error
            tell_rows(out)

        reading.tell_rows = wait  # type: ignore[method-assign]
        return capsule


def ask(folder: Path, question: str, meanwhile: Callable[[], None]) -> list[tuple[Any, ...]]:
    """Return the answer to `question`, with `meanwhile` done after it was bound and before it reads."""
    waited = Waited(meanwhile)
    with reader(folder) as connection:
        connection.register("waited", waited)
        found = connection.execute(question).fetchall()
    assert waited.error is None, waited.error
    assert waited.times == 1
    return found


def ask_all(folder: Path, meanwhile: Callable[[], None]) -> list[list[tuple[Any, ...]]]:
    """Return the answers to all questions, with `meanwhile` done after the last was bound and before one reads."""
    answers: list[list[tuple[Any, ...]]] = []

    def ask_next(at: int) -> None:
        if at == len(QUESTIONS):
            meanwhile()
        else:
            answers.insert(0, ask(folder, QUESTIONS[at], lambda: ask_next(at + 1)))

    ask_next(0)
    return answers


def test_a_query_reads_what_it_was_bound_to_however_much_is_published_until_its_files_come_round(beside):
    """As many turns as a file is retired ahead, less one; merges fall before, in between and behind."""
    for number in range(3):
        for _ in range(1 + number * 7):
            beside.publish()
        expected = ask_all(beside.folder, lambda: None)

        found = ask_all(beside.folder, lambda: [beside.publish() for _ in range(AHEAD[0] - 1)])

        rows = (beside.number - (AHEAD[0] - 1)) * ROWS
        assert found == expected
        assert expected[0] == [(rows, rows, rows + ROWS - 1)]
    assert beside.store.manifest.turns[1] >= 3


def test_a_query_reads_what_it_was_bound_to_after_its_day_was_sealed_and_dropped(beside):
    for _ in range(3):
        beside.publish()
    beside.now += DAY
    beside.publish()
    assert beside.publisher.turn()
    expected = ask_all(beside.folder, lambda: None)

    def meanwhile() -> None:
        beside.now += 10 * DAY
        ages = {Keep.EVENTS: 1.0, Keep.METRICS: 1.0}
        assert beside.publisher.drop(ages)["metrics"] > 0
        beside.publisher.mend()

    assert ask_all(beside.folder, meanwhile) == expected


def test_the_bytes_of_a_dropped_day_are_given_back_and_its_name_goes_when_there_are_many(beside, monkeypatch):
    beside.publish()
    beside.now += 10 * DAY
    beside.publish()
    assert beside.publisher.turn()
    ages = {Keep.EVENTS: 1.0, Keep.METRICS: 1.0}
    (sealed,) = sealed_files(beside.folder, "metrics")
    empty = empty_file(beside.folder, BY_NAME["metrics"])
    beside.now += 10 * DAY

    size = sealed.stat().st_size
    assert beside.publisher.drop(ages) == {"metrics": size}

    monkeypatch.setattr("actors.history.folder.READ_WITHIN", -1.0)
    beside.publisher.mend()
    assert sealed.read_bytes() == empty.read_bytes()
    assert beside.publisher.drop(ages) == {}
    assert sealed_files(beside.folder, "metrics") == [sealed]
    monkeypatch.setattr("actors.history.folder.MOST_BLANK", 1)
    shutil.copyfile(sealed, sealed.with_name("part-000000000900-000000000901.parquet"))
    assert beside.publisher.drop(ages) == {}
    assert [path.name for path in sealed_files(beside.folder, "metrics")] == ["part-000000000900-000000000901.parquet"]


COUNTS = "SELECT (SELECT count(*) FROM metrics), (SELECT count(*) FROM batches), (SELECT through FROM published)"


def counts(folder: Path) -> tuple[Any, ...]:
    with reader(folder) as connection:
        (found,) = connection.execute(COUNTS).fetchall()
    return found


@pytest.mark.parametrize("what", ["newest bounds gone", "bounds gone", "bounds cut", "snapshot cut", "snapshot gone"])
def test_bounds_and_snapshots_that_are_damaged_are_written_anew(beside, what):
    for _ in range(3):
        beside.publish()
    manifest = beside.store.manifest
    newest = beside.folder / BOUNDS.file(manifest.edition)
    snapshot = beside.folder / whole_file(manifest, "batches")
    match what:
        case "newest bounds gone":
            newest.unlink()
        case "bounds gone":
            shutil.rmtree(newest.parent)
        case "bounds cut":
            newest.write_bytes(newest.read_bytes()[:-9])
        case "snapshot cut":
            snapshot.write_bytes(snapshot.read_bytes()[:-9])
        case "snapshot gone":
            snapshot.unlink()

    beside.publisher.mend()

    assert counts(beside.folder) == (3 * ROWS, 3, manifest.through)
    beside.publish()
    assert counts(beside.folder) == (4 * ROWS, 4, manifest.through + 1)


def test_a_damaged_file_that_does_not_count_is_put_out_of_readers_way(beside):
    beside.publish()
    stray = beside.folder / level_ring("metrics", 0).file(50)
    stray.write_bytes(b"PAR1 no more")
    with pytest.raises(duckdb.Error):
        counts(beside.folder)
    beside.store.close()

    again = Beside(beside.store.path.parent)
    beside.store = again.store
    again.number = 1
    again.publish()

    assert counts(again.folder) == (2 * ROWS, 2, again.store.manifest.through)


@pytest.mark.parametrize("how", ["cut", "overwritten"])
@pytest.mark.parametrize(
    "what", ["retired bounds", "retired rows", "empty bounds", "empty rows", "empty sealed", "catalog"]
)
def test_a_file_without_rows_that_is_damaged_fails_queries_no_longer_than_until_it_is_mended(beside, what, how):
    for _ in range(3):
        beside.publish()
    ring = level_ring("metrics", 0)
    sealed_empty = beside.folder / "sealed/metrics/empty/empty.parquet"
    path = {
        "retired bounds": beside.folder / BOUNDS.file(beside.store.manifest.edition + 5),
        "retired rows": beside.folder / ring.file(beside.store.manifest.turns[0] + 5),
        "empty bounds": beside.folder / BOUNDS.empty,
        "empty rows": beside.folder / ring.empty,
        "empty sealed": sealed_empty,
        "catalog": beside.folder / CATALOG,
    }[what]
    whole = path.read_bytes() if path.exists() else sealed_empty.read_bytes()  # one that was never used is there then
    path.write_bytes(whole[: len(whole) // 2] if how == "cut" else bytes(len(whole)))
    with pytest.raises(duckdb.Error):
        counts(beside.folder)

    beside.publisher.mend()

    assert counts(beside.folder) == (3 * ROWS, 3, beside.store.manifest.through)
    beside.publish()
    assert counts(beside.folder) == (4 * ROWS, 4, beside.store.manifest.through)


def test_a_folder_of_an_earlier_program_is_taken_over(beside):
    """It had a file for each whole table, 64 names of level 0, no bounds but the manifest."""
    for _ in range(3):
        beside.publish()
    before = beside.store.manifest
    beside.store.close()
    folder = beside.folder
    for name in ("batches", "runs_of_node", "schema_version"):
        now = folder / whole_file(before, name)
        duckdb.execute(f"COPY (SELECT * EXCLUDE snapshot FROM '{now}') TO '{folder}/whole/{name}.parquet'")
        shutil.rmtree(now.parent)
    shutil.rmtree(folder / "bounds")
    save_manifest(folder, structs.replace(before, edition=0, snapshots={}, turns=(67, 0, 0)))
    (folder / "schema").write_text("another program's")
    beside.store.path.unlink()  # so the notes of batches are brought back from the earlier program's file

    again = Beside(beside.store.path.parent)
    beside.store = again.store
    assert again.publisher.turn(), again.publisher.problem

    assert counts(folder) == (3 * ROWS, 3, before.through)
    assert sorted(path.name for path in (folder / "whole").iterdir()) == ["batches", "runs_of_node", "schema_version"]
    again.number = 3
    again.publish()
    assert counts(folder) == (4 * ROWS, 4, again.store.manifest.through)


def test_the_next_name_after_a_kill_is_one_that_no_reader_knows(beside):
    beside.publish()
    killed = beside.folder / level_ring("metrics", 0).file(beside.store.manifest.turns[0])
    duckdb.execute(f"COPY (SELECT 1::BIGINT AS seq, 1000::BIGINT AS seg) TO '{killed}'")
    left = killed.read_bytes()
    beside.store.close()

    again = Beside(beside.store.path.parent)
    beside.store = again.store
    again.number = 1
    again.publish()

    assert killed.read_bytes()[: len(left)] == left
    assert counts(again.folder) == (2 * ROWS, 2, again.store.manifest.through)


class Replaced:
    """A connection that finds the file of its first query replaced while it reads, as DuckDB says it."""

    def __init__(self, path: Path) -> None:
        self.path, self.is_replaced = path, True
        self.connection = duckdb.connect()

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        if self.is_replaced and str(self.path) in statement:
            other = self.path.with_name("other")
            shutil.copyfile(self.path, other)
            other.replace(self.path)
            self.is_replaced = False
            raise duckdb.InvalidInputException("TProtocolException: Invalid data")
        return self.connection.execute(statement)

    def close(self) -> None:
        self.connection.close()


def test_verify_reads_a_file_again_that_was_replaced_while_it_was_read(beside, monkeypatch):
    beside.publish()
    path = beside.folder / whole_file(beside.store.manifest, "batches")
    replaced = Replaced(path)
    monkeypatch.setattr("actors.history.verifying._connection", lambda: replaced)

    checked = list(check_published(beside.folder))

    assert not replaced.is_replaced
    assert {one.found for one in checked} == {Soundness.OK}


def test_verify_beside_a_publisher_calls_nothing_damaged(beside):
    """Merges, sealed days that are dropped, snapshots and bounds come and go while each file is read."""
    beside.publish()
    unsound: list[Checked] = []
    times = 0
    ended = threading.Event()

    def verify() -> None:
        nonlocal times
        while True:
            is_last = ended.is_set()
            unsound.extend(one for one in check_published(beside.folder) if one.found is not Soundness.OK)
            times += 1
            if is_last:
                return

    verifiers = [threading.Thread(target=verify) for _ in range(2)]
    for verifier in verifiers:
        verifier.start()
    try:
        for number in range(3 * FAN[0]):
            beside.publish()
            if number % 10 == 9:
                beside.now += DAY
                beside.publisher.drop({Keep.EVENTS: DAY, Keep.METRICS: DAY})
    finally:
        ended.set()
        for verifier in verifiers:
            verifier.join()

    assert unsound == []
    assert times >= 2
