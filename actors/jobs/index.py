"""The index of files: one JSON line a file, replaced whole on each write.

Lines are `FileRecord`s ordered by path, so two indexes can be compared with `diff`. A line that cannot be read is
counted and left out; the file it was about is simply indexed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from actors.jobs.files import FileFact, FileRecord, write_atomic

_DECODER = msgspec.json.Decoder(FileRecord)


def load(path: Path) -> tuple[dict[str, FileRecord], int]:
    """Return the records in the file at `path` by their paths, and how many lines could not be read.

    A file that is not there is an empty index.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}, 0
    records: dict[str, FileRecord] = {}
    damaged = 0
    for line in data.splitlines():
        try:
            record = _DECODER.decode(line)
        except msgspec.DecodeError:
            damaged += 1
            continue
        records[record.path] = record
    return records, damaged


def save(path: Path, records: Iterable[FileRecord]) -> int:
    """Replace the index at `path`; returns its size in bytes.

    Raises:
        OSError: It cannot be written; the old one is as it was.
    """
    lines = [msgspec.json.encode(record) for record in sorted(records, key=lambda record: record.path)]
    data = b"".join(line + b"\n" for line in lines)
    write_atomic(path, data)
    return len(data)


def changed(records: dict[str, FileRecord], fact: FileFact) -> bool:
    """Whether the file was not indexed yet, or has another size or modification time than when it was."""
    known = records.get(fact.path)
    return known is None or known.size_bytes != fact.size_bytes or known.modified_at != fact.modified_at
