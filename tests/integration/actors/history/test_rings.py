"""Retiring a file: who knows its end finds its rows, who comes now finds none."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from actors.history.publication import Ring
from actors.history.rings import Rings, is_blank, is_whole, retire

RING = Ring("some/", 6, 3)


def write(path: Path, rows: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    statement = f"COPY (SELECT i::BIGINT AS i, 'text' || i AS t FROM range({rows}) r(i)) TO '{path}' (FORMAT parquet)"
    duckdb.execute(statement)
    return path


def count(path: Path) -> int:
    ((found,),) = duckdb.execute(f"SELECT count(*) FROM read_parquet('{path}')").fetchall()
    return int(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / RING.empty, 0)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def test_a_retired_file_has_no_rows_and_every_byte_it_had(folder):
    path, empty = write(folder / RING.file(0), 1_000), folder / RING.empty
    before = path.read_bytes()
    assert not is_blank(path, empty)

    retire(path, empty, folder / "tmp" / "new")

    assert is_blank(path, empty)
    assert is_whole(path)
    assert path.read_bytes()[: len(before)] == before
    assert count(path) == 0
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"nothing of Parquet's" * 100])
def test_a_file_that_is_no_parquet_is_replaced_by_the_empty_one(folder, content):
    path, empty = folder / RING.file(0), folder / RING.empty
    path.write_bytes(content)

    retire(path, empty, folder / "tmp" / "new")

    assert path.read_bytes() == empty.read_bytes()


def test_a_file_that_is_not_there_is_retired(folder):
    retire(folder / RING.file(0), folder / RING.empty, folder / "tmp" / "new")

    assert not (folder / RING.file(0)).exists()


def test_what_is_retired_ahead_is_what_comes_next_and_does_not_count(folder):
    for number in range(RING.size):
        write(folder / RING.file(number), 10 + number)
    rings = Rings(folder)

    rings.retire_ahead(RING, 10, frozenset({5}))  # names 4, 5 and 0 come next

    assert [count(folder / RING.file(number)) for number in range(RING.size)] == [0, 11, 12, 13, 0, 15]
    assert rings.held(RING) == Rings(folder).held(RING) == {1, 2, 3, 5}


def test_a_file_that_is_retired_already_is_left_alone(folder):
    write(folder / RING.file(1), 10)
    rings = Rings(folder)
    rings.retire_ahead(RING, 1, frozenset())
    before = (folder / RING.file(1)).stat()

    rings.retire_ahead(RING, 1, frozenset())
    Rings(folder).retire_ahead(RING, 1, frozenset())

    assert (folder / RING.file(1)).stat().st_ino == before.st_ino


def test_a_file_is_held_from_when_it_is_about_to_be_written(folder):
    rings = Rings(folder)

    assert rings.wrote(RING, 8) == folder / RING.file(2)

    assert rings.held(RING) == {2}


def test_damaged_files_are_named(folder):
    write(folder / RING.file(0), 10)
    write(folder / RING.file(1), 10).write_bytes(b"PAR1 and no more")
    rings = Rings(folder)

    assert rings.held(RING) == {0, 1}
    assert rings.damaged(RING) == {1}
