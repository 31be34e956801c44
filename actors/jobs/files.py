"""Files as workers treat them: replaced whole or not at all, looked at without following links or hanging on pipes."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

_HEAD: Final = 8_192
_OPEN: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class FileRecord(Struct, frozen=True, gc=False):
    """What is known of one file.

    Attributes:
        path: Absolute path.
        size_bytes: Its size when it was opened.
        modified_at: Its modification time then, seconds since the epoch; a file written to while it was read is
            recorded with the earlier one, so the next look finds it changed.
        sha256: Hex digest of its content, or "" where it was not read.
        kind: `text`, `binary`, `empty`; `unread` where `error` says why.
        lines: Newlines in it, and one more for a last line without; 0 for what is no text.
        error: Why it was not read, or "".
    """

    path: str
    size_bytes: int
    modified_at: float
    sha256: str = ""
    kind: str = "unread"
    lines: int = 0
    error: str = ""


class FileFact(Struct, frozen=True, gc=False):
    """A file seen while walking a directory, not opened."""

    path: str
    size_bytes: int
    modified_at: float


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of `path` with `data`, whole or not at all, kill -9 and power loss included.

    The directory is made where it is missing. A reader sees the old content or the new one, never a part.

    Raises:
        OSError: The directory cannot be written; the old file is as it was and no temporary file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    if hasattr(os, "O_DIRECTORY"):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_record(
    path: str, *, chunk_bytes: int = 1 << 20, max_bytes: int = 1 << 30, checkpoint: Callable[[], None] = lambda: None
) -> FileRecord:
    """Return the record of the file at `path`: size, digest, kind and lines.

    A file that cannot be read is a record with its error, not an exception. Links are not followed and pipes, sockets
    and devices not opened.

    Args:
        path: Path of the file.
        chunk_bytes: Read at once, in bytes.
        max_bytes: A larger file is recorded unread.
        checkpoint: Called between chunks; what it raises ends the reading.
    """
    absolute = os.path.abspath(path)
    try:
        return _read(absolute, chunk_bytes, max_bytes, checkpoint)
    except OSError as error:
        return FileRecord(absolute, 0, 0.0, error=f"{type(error).__name__}: {error.strerror or error}")


def _read(path: str, chunk_bytes: int, max_bytes: int, checkpoint: Callable[[], None]) -> FileRecord:
    seen = os.lstat(path)
    if not stat.S_ISREG(seen.st_mode):
        return FileRecord(path, 0, seen.st_mtime, error="not a regular file")
    handle = os.open(path, _OPEN)
    with os.fdopen(handle, "rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            return FileRecord(path, 0, facts.st_mtime, error="not a regular file")
        if facts.st_size > max_bytes:
            return FileRecord(path, facts.st_size, facts.st_mtime, error=f"larger than {max_bytes} bytes")
        digest = hashlib.sha256()
        binary, newlines, last, total = False, 0, b"", 0
        while chunk := file.read(chunk_bytes):
            if total == 0:
                binary = _is_binary(chunk[:_HEAD], is_whole=len(chunk) >= facts.st_size and len(chunk) <= _HEAD)
            digest.update(chunk)
            if not binary:
                newlines += chunk.count(b"\n")
                last = chunk[-1:]
            total += len(chunk)
            checkpoint()
    if total == 0:
        return FileRecord(path, facts.st_size, facts.st_mtime, digest.hexdigest(), "empty")
    if binary:
        return FileRecord(path, facts.st_size, facts.st_mtime, digest.hexdigest(), "binary")
    lines = newlines + (last != b"\n")
    return FileRecord(path, facts.st_size, facts.st_mtime, digest.hexdigest(), "text", lines)


def _is_binary(head: bytes, *, is_whole: bool) -> bool:
    if b"\0" in head:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=is_whole)  # the cut may go through a character
    except UnicodeDecodeError:
        return True
    return False


def walk(
    root: Path,
    *,
    skip: Iterable[Path] = (),
    skip_names: Iterable[str] = (),
    checkpoint: Callable[[], None] = lambda: None,
) -> Iterator[FileFact]:
    """Yield the regular files below `root`, directory by directory in name order, links not followed.

    What cannot be listed, or vanishes meanwhile, is passed over.

    Args:
        root: Where to begin.
        skip: Directories not entered, with everything below them.
        skip_names: Names of directories not entered wherever they are.
        checkpoint: Called at each directory; what it raises ends the walk.
    """
    left = {os.path.abspath(path) for path in skip}
    names = frozenset(skip_names)
    stack = [os.path.abspath(root)]
    while stack:
        checkpoint()
        directory = stack.pop()
        try:
            with os.scandir(directory) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        below: list[str] = []
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in names and entry.path not in left:
                        below.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    yield FileFact(entry.path, facts.st_size, facts.st_mtime)
            except OSError:
                continue
        stack.extend(reversed(below))
