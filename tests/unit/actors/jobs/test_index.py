"""The index file: whole, ordered, and mended rather than trusted when damaged."""

from __future__ import annotations

from actors.jobs.files import FileFact, FileRecord
from actors.jobs.index import changed, load, save

A = FileRecord("/a", 1, 10.5, "aa", "text", 1)
B = FileRecord("/b", 2, 20.25, "bb", "binary")


def test_what_is_saved_is_loaded_and_ordered_by_path(tmp_path):
    path = tmp_path / "index.jsonl"

    size = save(path, [B, A])

    assert load(path) == ({"/a": A, "/b": B}, 0)
    assert path.stat().st_size == size
    assert [line[9:13] for line in path.read_text().splitlines()] == ['/a",', '/b",']


def test_no_file_is_an_empty_index(tmp_path):
    assert load(tmp_path / "none") == ({}, 0)


def test_a_damaged_line_is_counted_and_left_out(tmp_path):
    path = tmp_path / "index.jsonl"
    save(path, [A, B])
    path.write_bytes(path.read_bytes()[:-9] + b"\n{}\n")

    records, damaged = load(path)

    assert records == {"/a": A}
    assert damaged == 2


def test_a_file_is_changed_when_new_or_of_another_size_or_time():
    records = {"/a": A}

    assert not changed(records, FileFact("/a", 1, 10.5))
    assert changed(records, FileFact("/a", 2, 10.5))
    assert changed(records, FileFact("/a", 1, 10.6))
    assert changed(records, FileFact("/c", 1, 10.5))
