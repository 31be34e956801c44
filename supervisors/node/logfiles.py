"""Log files of a node: one being written, and those it was rotated into.

    logs/node.log    every record, one JSON object a line         --too large, or a new day (UTC)-->
    logs/error.log   errors alone, kept apart from the flood      node-20261121T071500Z.log.gz

A rotated file is compressed on a thread of its own. The oldest go when they are older than `keep` or when all together
exceed `total_bytes`. Where the disk has less than `min_free_bytes` left, lines are not written but counted, and the
count is written as soon as there is room again: logs never fill the disk that the work needs.

After kill -9 the next start goes on with the same file: a torn last line is ended, a torn archive is made again.
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import gzip
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final

from msgspec import Struct

LOGS: Final = "logs"
TRACE_SHOWN: Final = 8
"""Digits of a trace that people are shown; as many find it again."""
"""Folder of the log files in a home."""
DAY: Final = 86_400.0
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NEWLINE: Final = ord("\n")
_LOOK_EVERY: Final = 256
"""Lines between two looks at the room on the disk."""


class Limits(Struct, frozen=True):
    """What log files may take.

    Attributes:
        max_bytes: Size at which a file is rotated.
        keep: Age in seconds at which a rotated file goes.
        total_bytes: Most bytes of all files of one kind together, the one being written included.
        min_free_bytes: Room on the disk below which nothing is written.
    """

    max_bytes: int
    keep: float
    total_bytes: int
    min_free_bytes: int


class Rotated(Struct, frozen=True):
    """A rotated file: its size, and when it was rotated, seconds since the epoch."""

    path: Path
    at: float
    size_bytes: int


def expired(files: Iterable[Rotated], active_bytes: int, now: float, limits: Limits) -> list[Rotated]:
    """Return the rotated files that have to go: those too old, then the oldest until all fit. Pure."""
    by_age = sorted(files, key=lambda file: file.at)
    gone = [file for file in by_age if now - file.at > limits.keep]
    left = [file for file in by_age if now - file.at <= limits.keep]
    total = active_bytes + sum(file.size_bytes for file in left)
    for file in left:
        if total <= limits.total_bytes:
            break
        gone.append(file)
        total -= file.size_bytes
    return gone


class LogFile:
    """The file `<folder>/<name>.log` and those it was rotated into. One thread writes; `close` is that thread's too.

    Raises:
        OSError: The folder cannot be made, or the file not opened.
    """

    def __init__(self, folder: Path, name: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._name = name
        self._limits = limits
        self._clock = clock
        self._lost = self._since_look = 0
        self._has_room = True
        self._is_torn = False  # the file ends in the middle of a line
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{name}.log"
        self._file: IO[bytes] | None = self._open()
        self._archive: SimpleQueue[Path | None] = SimpleQueue()
        self._archiver = threading.Thread(target=self._compress_all, name=f"log-archive-{name}", daemon=True)
        self._archiver.start()
        for torn in folder.glob(f"{name}-*.log.gz.part"):
            torn.unlink()
        for plain in sorted(folder.glob(f"{name}-*.log")):
            self._archive.put(plain)
        self._clean()

    @property
    def lost(self) -> int:
        """Lines not written since the last that was."""
        return self._lost

    def write(self, line: str) -> None:
        """Write one line, rotating first where it is time; a line that cannot be written is counted."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        now = self._clock()
        self._since_look += 1
        try:
            if self._since_look >= _LOOK_EVERY or not self._has_room:
                self._since_look = 0
                self._has_room = shutil.disk_usage(self._folder).free >= self._limits.min_free_bytes
            if not self._has_room:
                self._lost += 1
                return
            if self._file is None:
                self._file = self._open()
            if self._size and (self._size + len(data) > self._limits.max_bytes or int(now // DAY) != self._day):
                self._rotate(now)
            if self._lost:
                data = _note(now, f"{self._lost} log records were not written: the disk was full") + data
            self._put(self._file, data)
            self._lost = 0
        except OSError:  # a full or vanished disk: the node is not there for its log
            self._lost += 1
            self._has_room = False  # looked at with each line from here on, until there is some
            self._let_go()

    def close(self) -> None:
        """Close the file and end the compression; blocks until what is being compressed is."""
        self._archive.put(None)
        self._archiver.join()
        self._let_go()

    def _let_go(self) -> None:
        """Close the file, if it is open; the next line opens it."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _put(self, file: IO[bytes], data: bytes) -> None:
        """Write all of `data`, after the end of a line; a disk that takes a part of it is a full one.

        Raises:
            OSError: Not all of it was written.
        """
        whole = b"\n" + data if self._is_torn else data
        written = file.write(whole)
        self._size += written
        if written:
            self._is_torn = whole[written - 1] != _NEWLINE
        if written < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _open(self) -> IO[bytes]:
        file = open(self._path, "ab", buffering=0, opener=_open_private)  # noqa: SIM115 (open for as long as it is written)
        self._size = file.tell()
        made = os.fstat(file.fileno()).st_mtime if self._size else self._clock()
        self._day = int(made // DAY)
        self._is_torn = False
        if self._size:
            with open(self._path, "rb") as reader:
                reader.seek(-1, os.SEEK_END)
                self._is_torn = reader.read(1)[0] != _NEWLINE
        return file

    def _rotate(self, now: float) -> None:
        self._let_go()
        stamp = time.strftime(_STAMP, time.gmtime(now))
        rotated, more = self._folder / f"{self._name}-{stamp}.log", 1
        while rotated.exists() or rotated.with_name(rotated.name + ".gz").exists():
            more += 1
            rotated = self._folder / f"{self._name}-{stamp}-{more}.log"
        self._path.rename(rotated)
        self._file = self._open()
        self._archive.put(rotated)
        self._clean()

    def _clean(self) -> None:
        for file in expired(rotated_files(self._folder, self._name), self._size, self._clock(), self._limits):
            file.path.unlink(missing_ok=True)

    def _compress_all(self) -> None:
        """The archive thread: one rotated file after another; what fails is left for the next start."""
        while (path := self._archive.get()) is not None:
            with contextlib.suppress(OSError):
                _compress(path)
                self._clean()


def rotated_files(folder: Path, name: str) -> list[Rotated]:
    """Return the rotated files of `<name>.log`, the oldest first, by the instant in their names.

    A file that is there both plain and compressed is about to lose its plain form: only the other counts.
    """
    found = []
    for path in folder.glob(f"{name}-*.log*"):
        stamp, _, number = path.name.removeprefix(f"{name}-").partition(".")[0].partition("-")
        with contextlib.suppress(OSError, ValueError):
            if path.suffix == ".gz" or (path.suffix == ".log" and not path.with_name(path.name + ".gz").exists()):
                found.append((int(number or 1), Rotated(path, _seconds(stamp), path.stat().st_size)))
    return [file for _, file in sorted(found, key=lambda item: (item[1].at, item[0]))]


def archived_lines(folder: Path, name: str) -> Iterator[str]:
    """Yield every line of the files that `<name>.log` was rotated into, the oldest first."""
    for file in rotated_files(folder, name):
        with contextlib.suppress(FileNotFoundError), _reader(file.path) as lines:
            for line in lines:
                yield line.decode("utf-8", "replace").rstrip("\n")


def _reader(path: Path) -> gzip.GzipFile | IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _compress(path: Path) -> None:
    part = path.with_name(path.name + ".gz.part")
    try:
        with open(path, "rb") as source, gzip.open(part, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        part.chmod(0o600)
        part.replace(path.with_name(path.name + ".gz"))
    except OSError:
        part.unlink(missing_ok=True)  # on a full disk it would take the room that others need
        raise
    path.unlink()


def _seconds(stamp: str) -> float:
    return float(calendar.timegm(time.strptime(stamp, _STAMP)))


def _note(now: float, text: str) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return json.dumps({"at": f"{at}.000Z", "level": "error", "logger": __name__, "text": text}).encode() + b"\n"
