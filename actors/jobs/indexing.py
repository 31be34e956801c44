"""The two kinds of job that look at files, for the queue `task`: what they are asked, what they find.

    index-files  {"paths": [...]}   a record of each file; one that cannot be read is a record that says why
    hash-file    {"path": "..."}    the record of one file; one that cannot be read fails the try

What they find is their result, and `IndexKeeper` takes it into the index. `Run.options` may have `chunk_bytes` (read at
once, 1 MiB) and `max_file_bytes` (larger files are recorded unread, 1 GiB).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from actors.jobs.files import FileRecord, read_record
from actors.jobs.handlers import Run, job, spec_of
from actors.jobs.specs import JobSpec

QUEUE: Final = "task"
INDEX_FILES: Final = "index-files"
HASH_FILE: Final = "hash-file"


class HashFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Digest one file."""

    path: str


class IndexFiles(Struct, frozen=True, forbid_unknown_fields=True):
    """Record each of `paths`: size, digest, kind, lines."""

    paths: tuple[str, ...]


class Findings(Struct, frozen=True):
    """What a job found.

    Attributes:
        files: One record a file, in the job's order; one that could not be read says why.
        size_bytes: Bytes read.
    """

    files: tuple[FileRecord, ...]
    size_bytes: int


@job(INDEX_FILES, queue=QUEUE)
def index_files(files: IndexFiles, run: Run) -> Findings:
    """Record each file."""
    records = []
    for done, path in enumerate(files.paths):
        run.report(done / len(files.paths))
        records.append(_record(path, run))
    found = Findings(tuple(records), sum(record.size_bytes for record in records if not record.error))
    failed = sum(1 for record in records if record.error)
    text = f"{len(records) - failed} files, {found.size_bytes} bytes"
    run.report(1.0, f"{text}, {failed} unreadable" if failed else text)
    return found


@job(HASH_FILE, queue=QUEUE)
def hash_file(file: HashFile, run: Run) -> Findings:
    """Record one file.

    Raises:
        OSError: It cannot be read.
    """
    found = _record(file.path, run)
    if found.error:
        raise OSError(f"{found.path}: {found.error}")
    return Findings((found,), found.size_bytes)


def indexing_job(paths: Sequence[str], source: str) -> JobSpec:
    """Return the job that indexes `paths`; while one for the same paths is unfinished, it is that one.

    Raises:
        PayloadError: A path is no text.
    """
    digest = hashlib.sha256("\0".join(paths).encode("utf-8", "surrogateescape")).hexdigest()
    return spec_of(INDEX_FILES, IndexFiles(tuple(paths)), key=f"index-{digest[:32]}", source=source)


def _record(path: str, run: Run) -> FileRecord:
    run.check()
    return read_record(
        path,
        chunk_bytes=_bytes(run, "chunk_bytes", 1 << 20),
        max_bytes=_bytes(run, "max_file_bytes", 1 << 30),
        checkpoint=run.check,
    )


def _bytes(run: Run, name: str, usual: int) -> int:
    value = run.options.get(name, usual)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"option {name} of a worker is bytes, 1 or more, got {value!r}")
    return value
