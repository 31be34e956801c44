"""What is published: other readers see each row once, whatever happens to the recorder, and stop nobody."""

from __future__ import annotations

import json
import os
import threading

import duckdb
import pytest
from support.history import NOW, ask, batch_of, keep, metric_rows, one_of_each, open_store
from support.waiting import until

from actors.history import catalog, publishing, rings
from actors.history.catalog import CATALOG, MANIFEST
from actors.history.folder import files_to_read, load_manifest, sealed_files
from actors.history.protocol import Outcome, Query
from actors.history.publication import AHEAD, FAN, level_ring, ring_file
from actors.history.publishing import Publisher
from actors.history.retention import DAY
from actors.history.rings import is_blank
from actors.history.schema import BY_NAME, TABLES, VIEWS, Keep
from actors.history.sql import query_file


class Recording:
    """A store with its publisher, without the actor around them; `day` is what its clock says."""

    def __init__(self, folder) -> None:
        self.store = open_store(folder)
        self.now = NOW
        self.publisher = Publisher(self.store.folder, lambda work: work(self.store), now=lambda: self.now)
        self.number = 0

    @property
    def folder(self):
        return self.store.folder

    def add(self, rows: int = 10) -> None:
        first = self.number * 1_000_000
        self.number += 1
        answer = self.store.store(batch_of(self.number, metric_rows(rows, first), source=f"s{id(self)}"))
        assert answer.outcome is Outcome.STORED

    def publish(self) -> None:
        assert self.publisher.turn(), self.publisher.problem

    def foreign(self, statement: str):
        return foreign(self.folder, statement)

    def own(self, statement: str):
        return [tuple(row) for row in ask(self.store, Query(statement)).rows]


def foreign(folder, statement: str):
    with duckdb.connect(str(folder / CATALOG), read_only=True) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def recording(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "GRACE", 0.0)
    recording = Recording(tmp_path)
    yield recording
    recording.store.close()


COUNT = "SELECT count(*), count(DISTINCT seq) FROM metrics"


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_another_reader_sees_every_table_as_the_recorder_shows_it(recording, name):
    keep(recording.store, one_of_each())
    recording.publish()
    columns = ", ".join(f"{column}::VARCHAR" for column in BY_NAME[name].column_names)

    found = recording.foreign(f"SELECT {columns} FROM {name} ORDER BY ALL")

    assert found == recording.own(f"SELECT {columns} FROM {name} ORDER BY ALL")
    assert found or name == "rejects"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_another_reader_has_the_views_too(recording, view):
    keep(recording.store, one_of_each())
    recording.publish()

    assert recording.foreign(f"SELECT count(*) FROM {view.name}") == recording.own(f"SELECT count(*) FROM {view.name}")


def test_rows_are_there_once_through_rings_merges_and_sealing(recording):
    stored = 0
    for number in range(3 * FAN[0]):
        recording.add()
        stored += 10
        recording.publish()

        if number % FAN[0] in (0, 1, 12, FAN[0] - 1):  # around each merge
            assert recording.foreign(COUNT) == recording.own(COUNT) == [(stored, stored)]
    recording.now += DAY
    for _ in range(3):
        recording.publish()

        assert recording.foreign(COUNT) == recording.own(COUNT) == [(stored, stored)]
    assert recording.store.execute("SELECT count(*) FROM main.metrics") == [(0,)]
    assert len(sealed_files(recording.folder, "metrics")) == 1
    recording.add()
    recording.publish()
    assert recording.foreign(COUNT) == recording.own(COUNT) == [(stored + 10, stored + 10)]


def test_a_tool_without_sql_gets_the_files_to_read(recording):
    for _ in range(FAN[0] + 3):
        recording.add()
        recording.publish()
    recording.now += DAY
    recording.publish()
    recording.publish()
    recording.add()
    recording.publish()

    listed = files_to_read(recording.folder, "metrics")

    found = duckdb.execute("SELECT count(*), count(DISTINCT seq) FROM read_parquet($1)", [list(map(str, listed))])
    assert found.fetchall() == [((FAN[0] + 4) * 10,) * 2]
    (batches,) = files_to_read(recording.folder, "batches")
    assert duckdb.execute("SELECT count(*) FROM read_parquet($1)", [str(batches)]).fetchall() == [(FAN[0] + 4,)]
    with pytest.raises(ValueError, match="no table 'metric'"):
        files_to_read(recording.folder, "metric")
    with pytest.raises(FileNotFoundError):
        files_to_read(recording.folder / "nowhere", "metrics")


def test_after_a_restart_publishing_goes_on_where_it_was(recording, tmp_path):
    for _ in range(5):
        recording.add()
    recording.publish()
    recording.add()
    recording.store.close()

    again = Recording(tmp_path)
    assert again.foreign(COUNT) == [(50, 50)]
    again.publish()

    assert again.foreign(COUNT) == again.own(COUNT) == [(60, 60)]
    assert again.store.take_notices() == ()
    recording.store = again.store


class Killed(BaseException):
    """The process ends here."""


POINTS = ("publishing.copy", "catalog.put", "publishing.save_manifest", "publishing.write_bounds", "rings.retire")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("at", [0, 5])
def test_killed_at_any_step_of_a_publication_merge_or_sealing_nothing_is_lost_or_doubled(
    tmp_path, monkeypatch, point, at
):
    """Each round publishes, merges and seals until the `at`th call of a step, which never returns."""
    monkeypatch.setattr(publishing, "GRACE", 0.0)
    monkeypatch.setattr(publishing, "due_merge", eager(publishing.due_merge))
    stored = 0
    now = NOW
    for round_ in range(2):
        recording = Recording(tmp_path)
        recording.number = round_ * 100
        recording.now = now
        with monkeypatch.context() as patched:
            count_down(patched, point, at + round_)
            try:
                for _ in range(4):
                    recording.add()
                    stored += 10
                    recording.publisher.turn()
                now += DAY
                recording.now = now
                for _ in range(3):
                    recording.publisher.turn()
            except Killed:
                pass
        recording.store.close()
        if (recording.folder / CATALOG).exists():
            ((seen, distinct),) = recording.foreign(COUNT)
            assert seen == distinct
            assert max(0, stored - 20) <= seen <= stored  # the last of them was not told, or not published
        assert query_file(tmp_path / "history.duckdb", Query(COUNT)).rows == [[stored, stored]]
        again = Recording(tmp_path)
        again.now = now
        again.publish()
        assert again.foreign(COUNT) == again.own(COUNT) == [(stored, stored)]
        assert again.foreign("SELECT count(*) FROM batches") == again.own("SELECT count(*) FROM batches")
        assert again.store.take_notices() == ()
        again.store.close()


def eager(due_merge):
    """Merges as soon as there are two files."""

    def decide(manifest, today):
        found = due_merge(manifest, today)
        if found is None and manifest.merging is None and sum(slot.level == 0 for slot in manifest.slots) >= 2:
            return publishing_merge(manifest)
        return found

    from actors.history.publication import _merge

    def publishing_merge(manifest):
        return _merge(manifest, 1, manifest.through)

    return decide


def count_down(patched, name, calls):
    """Let the function `name` raise `Killed` at one call, before it or after."""
    place, _, function = name.partition(".")
    module = {"publishing": publishing, "catalog": catalog, "rings": rings}[place]
    real = getattr(module, function)
    left = [calls]

    def call(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            if calls % 2:
                real(*args, **options)
            raise Killed
        return real(*args, **options)

    patched.setattr(module, function, call)


def test_a_reader_that_opens_first_and_stays_stops_nobody_and_sees_what_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "GRACE", 0.0)
    first = Recording(tmp_path)
    first.add()
    first.publish()
    first.store.close()
    reader = duckdb.connect(str(first.folder / CATALOG), read_only=True)
    assert reader.execute(COUNT).fetchall() == [(10, 10)]

    again = Recording(tmp_path)
    again.number = 1
    for _ in range(FAN[0] + 2):
        again.add()
        again.publish()

    assert reader.execute(COUNT).fetchall() == [((FAN[0] + 3) * 10,) * 2]
    reader.close()
    again.store.close()


def test_readers_beside_a_recorder_that_writes_on_never_see_a_wrong_count(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "GRACE", 0.5)
    recording = Recording(tmp_path)
    recording.add()
    recording.publish()
    faults: list[object] = []
    turns = 0
    begun, queries = [0, 0], [0, 0]
    ended = threading.Event()

    def read(which: int) -> None:
        with duckdb.connect(str(recording.folder / CATALOG), read_only=True) as connection:
            while not ended.is_set():
                begun[which] = turns
                try:
                    count, distinct, last = connection.execute(
                        "SELECT count(*), count(DISTINCT seq), max(value) FROM metrics"
                    ).fetchall()[0]
                except duckdb.Error as error:
                    faults.append(error)
                    return
                if not count == distinct == last // 1_000_000 * 10 + 10:
                    faults.append((count, distinct, last))
                queries[which] += 1

    def may_go_on() -> bool:
        """No query is held up for so many turns that the files it was bound to come round."""
        return bool(faults) or turns - min(begun) < AHEAD[0] - 1

    readers = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for reader in readers:
        reader.start()
    try:
        while not faults and (turns < FAN[0] + 4 or min(queries) < 5):
            until(may_go_on, what="the readers")
            recording.add()
            recording.publish()
            turns += 1
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    recording.store.close()

    assert faults == []


@pytest.mark.parametrize("lost", ["the manifest", "the catalog", "the folder", "a file of a ring", "a torn file"])
def test_what_is_missing_of_the_files_is_made_anew_from_the_history(recording, tmp_path, lost):
    for _ in range(FAN[0] + 2):
        recording.add()
        recording.publish()
    stored = (FAN[0] + 2) * 10
    recording.publish()
    recording.store.close()
    match lost:
        case "the manifest":
            (recording.folder / MANIFEST).unlink()
        case "the catalog":
            (recording.folder / CATALOG).unlink()
        case "the folder":
            os.rename(recording.folder, tmp_path / "elsewhere")
        case "a file of a ring":
            files_to_read(recording.folder, "metrics")[-1].unlink()
        case "a torn file":
            path = files_to_read(recording.folder, "metrics")[-1]
            path.write_bytes(path.read_bytes()[:-20])

    again = Recording(tmp_path)
    again.now, again.number = recording.now, recording.number
    again.publish()
    again.add()
    again.publish()

    assert again.foreign(COUNT) == again.own(COUNT) == [(stored + 10, stored + 10)]
    assert again.store.take_notices() == ()
    recording.store = again.store


def test_the_folder_may_go_while_the_recorder_runs(recording, tmp_path):
    recording.add()
    recording.publish()
    os.rename(recording.folder, tmp_path / "elsewhere")
    recording.add()

    recording.publish()

    assert recording.foreign(COUNT) == [(20, 20)]


def test_what_cannot_be_written_is_said_and_published_later(recording):
    recording.add()
    recording.publish()
    os.rename(recording.folder / "tmp", recording.folder / "kept")
    (recording.folder / "tmp").write_text("no folder")
    recording.add()

    assert not recording.publisher.turn()
    assert recording.publisher.problem
    assert recording.foreign(COUNT) == [(10, 10)]

    (recording.folder / "tmp").unlink()
    os.rename(recording.folder / "kept", recording.folder / "tmp")
    recording.publish()
    assert recording.publisher.problem == ""
    assert recording.foreign(COUNT) == [(20, 20)]


def test_sealed_days_are_emptied_when_they_are_over_and_their_names_go_with_the_next_start(recording, tmp_path):
    for _ in range(3):
        recording.add()
        recording.publish()
        recording.now += DAY
        recording.publish()
        recording.publish()
    assert len(sealed_files(recording.folder, "metrics")) == 3
    ages = {Keep.EVENTS: 90 * DAY, Keep.METRICS: 2 * DAY}

    dropped = recording.publisher.drop(ages)

    assert dropped["metrics"] > 0
    assert set(dropped) == {"metrics"}
    assert recording.foreign(COUNT) == recording.own(COUNT) == [(20, 20)]
    assert len(sealed_files(recording.folder, "metrics")) == 3
    assert recording.publisher.drop(ages) == {}
    assert len(sealed_files(recording.folder, "metrics")) == 3
    recording.store.close()
    again = Recording(tmp_path)
    recording.store, again.now = again.store, recording.now
    again.publish()
    assert len(sealed_files(again.folder, "metrics")) == 2
    assert again.foreign(COUNT) == again.own(COUNT) == [(20, 20)]


def test_above_a_budget_the_oldest_sealed_files_go(recording):
    for _ in range(4):
        recording.add(2_000)
        recording.publish()
        recording.now += DAY
        recording.publish()
        recording.publish()
    sizes = [path.stat().st_size for path in sealed_files(recording.folder, "metrics")]
    ages = {Keep.EVENTS: 90 * DAY, Keep.METRICS: 90 * DAY}

    recording.publisher.drop(ages, most_bytes=sum(sizes[2:]) + sizes[1] // 2)

    assert recording.foreign("SELECT min(seq) FROM metrics") == [(2_000_000,)]


def test_rows_deleted_from_the_history_leave_the_rings_too(recording, tmp_path):
    recording.add()
    recording.add()
    recording.publish()
    recording.store.execute("DELETE FROM main.metrics WHERE seq < 1000000")

    recording.publisher.rewrite()

    assert recording.foreign(COUNT) == recording.own(COUNT) == [(10, 10)]
    recording.store.close()
    recording.store = open_store(tmp_path)
    assert recording.store.take_notices() == ()


def test_files_of_the_rings_are_touched_no_more_than_deleted_rows_ask_for(recording):
    """One that is replaced fails a query that knows it; one that is retired does not."""
    for _ in range(3):
        recording.add()
        recording.publish()
    slots = sorted(recording.store.manifest.slots, key=lambda slot: slot.first)
    gone, thinned, whole = (recording.folder / ring_file("metrics", slot) for slot in slots)
    before = [path.read_bytes() for path in (gone, thinned, whole)]
    untouched = whole.stat()
    (first,) = recording.own("SELECT min(seq) FROM metrics")
    recording.store.execute(f"DELETE FROM main.metrics WHERE seq < {first[0] + 1_000_000 + 5}")

    recording.publisher.rewrite()

    assert gone.read_bytes().startswith(before[0])
    assert is_blank(gone, recording.folder / level_ring("metrics", slots[0].level).empty)
    assert not thinned.read_bytes().startswith(before[1])
    assert (whole.stat().st_ino, whole.read_bytes()) == (untouched.st_ino, before[2])
    assert recording.foreign(COUNT) == recording.own(COUNT) == [(15, 15)]
    recording.add()
    recording.publish()
    recording.publisher.mend()
    assert recording.foreign(COUNT) == recording.own(COUNT) == [(25, 25)]


def test_a_file_that_was_moved_with_its_folder_is_read_where_it_is(recording, tmp_path):
    recording.add()
    recording.publish()
    recording.now += DAY
    recording.publish()
    recording.publish()
    recording.add()
    recording.store.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("history.duckdb", "history-files"):
        os.rename(tmp_path / name, moved / name)

    found = query_file(moved / "history.duckdb", Query(COUNT))

    assert found.rows == [[20, 20]]
    recording.store = open_store(moved)
    assert ask(recording.store, Query(COUNT)).rows == [[20, 20]]


def test_the_manifest_is_a_line_of_json_any_tool_reads(recording):
    recording.add()
    recording.publish()

    found = json.loads((recording.folder / MANIFEST).read_text())

    assert found["through"] == load_manifest(recording.folder).through
    assert found["files"]["metrics"] == ["ring/metrics/0-000.parquet"]
    assert recording.foreign("SELECT through FROM published") == [(found["through"],)]
