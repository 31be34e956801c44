"""The kinds of job a worker can do, and what each returns. Plain data: they cross to the worker's process."""

from __future__ import annotations

from msgspec import Struct

from actors.jobs.files import FileRecord


class HashFile(Struct, frozen=True, tag="hash-file"):
    """Digest one file."""

    path: str


class IndexFiles(Struct, frozen=True, tag="index-files"):
    """Record each of `paths`: size, digest, kind, lines."""

    paths: tuple[str, ...]


Job = HashFile | IndexFiles


class JobResult(Struct, frozen=True):
    """What a job returned.

    Attributes:
        files: One record a file, in the job's order; one that could not be read says why.
        size_bytes: Bytes read.
    """

    files: tuple[FileRecord, ...]
    size_bytes: int


def describe(job: Job) -> str:
    """Return the job in a few words."""
    if isinstance(job, HashFile):
        return f"hash {job.path}"
    return f"index {len(job.paths)} files"


def summarise(result: JobResult) -> str:
    """Return the result in one line."""
    failed = sum(1 for record in result.files if record.error)
    text = f"{len(result.files) - failed} files, {result.size_bytes} bytes"
    return f"{text}, {failed} unreadable" if failed else text
