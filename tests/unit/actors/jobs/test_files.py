"""Real files in a directory of their own: replaced whole, read without following links or hanging on pipes."""

from __future__ import annotations

import hashlib
import os
import stat

import pytest

from actors.jobs.files import read_record, walk, write_atomic


def test_a_written_file_has_the_new_content_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "deep" / "state.json"

    write_atomic(target, b"one")
    write_atomic(target, b"two")

    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["state.json"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "state"
    target.mkdir()  # a directory cannot be replaced by a file
    (target / "kept").touch()

    with pytest.raises(OSError, match="state"):
        write_atomic(target, b"new")

    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("content", "kind", "lines"),
    [
        (b"", "empty", 0),
        (b"one\ntwo\n", "text", 2),
        (b"one\ntwo", "text", 2),
        ("grüße\n".encode() * 3000, "text", 3000),
        (b"a" * 4095 + "ü".encode(), "text", 1),
        (b"\xff\xfe", "binary", 0),
        (b"\x7fELF\0\0\n\n", "binary", 0),
        (b"\xff\xfe latin", "binary", 0),
    ],
)
def test_a_file_is_recorded_with_its_digest_kind_and_lines(tmp_path, content, kind, lines):
    path = tmp_path / "file"
    path.write_bytes(content)

    record = read_record(str(path), chunk_bytes=4096)

    assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert (record.kind, record.lines, record.size_bytes, record.error) == (kind, lines, len(content), "")
    assert record.modified_at == path.stat().st_mtime


def test_what_is_no_regular_file_is_recorded_unread(tmp_path):
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    target.write_bytes(b"x")
    link.symlink_to(target)

    for path in (pipe, link, tmp_path):
        record = read_record(str(path))
        assert (record.kind, record.error) == ("unread", "not a regular file")


def test_a_file_that_is_gone_or_too_large_is_recorded_with_the_reason(tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"12345")

    assert read_record(str(tmp_path / "gone")).error.startswith("FileNotFoundError")
    assert read_record(str(large), max_bytes=4).error == "larger than 4 bytes"


def test_reading_ends_at_a_checkpoint_that_raises(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    seen = []

    def checkpoint() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        read_record(str(path), chunk_bytes=1, checkpoint=checkpoint)
    assert len(seen) == 2


def test_a_walk_yields_regular_files_in_order_and_enters_nothing_it_is_told_to_skip(tmp_path):
    for name in ("b/2", "b/1", "a/x", ".git/config", "home/run/log", "top"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")

    found = list(walk(tmp_path, skip=[tmp_path / "home"], skip_names=[".git"]))

    assert [os.path.relpath(fact.path, tmp_path) for fact in found] == ["top", "a/x", "b/1", "b/2"]
    assert found[0].size_bytes == 3


def test_a_walk_of_a_directory_that_is_gone_is_empty(tmp_path):
    assert list(walk(tmp_path / "gone")) == []
