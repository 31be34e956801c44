"""An append-only file for batches that memory has no room for: what outlives the node while the recorder is away.

    magic  |  length u32  crc32 u32  payload  |  length crc payload | ...

Frames are appended, read in order, and released when the recorder has stored them; when none is left the file is cut to
its magic. A torn or damaged frame ends what can be read: it and what follows is dropped and counted, in bytes, because
nobody can tell how many rows it held. After a restart everything that is still in the file is read again, released or
not: batches carry numbers, so the recorder stores none twice.

The file survives kill -9 of the node (it is in the page cache), not a power cut: it is never fsynced.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from msgspec import Struct

MAGIC = b"ACTSPL1\n"
_HEAD = struct.Struct("<II")
LIMIT_BYTES = 64 * 1024 * 1024


class Frame(Struct, frozen=True):
    """One frame read back: `number` names it when it is released."""

    number: int
    payload: bytes


class Spool:
    """The open spool file. Not thread-safe.

    Args:
        path: The file; made on the first append.
        limit_bytes: Most bytes of the file.

    Raises:
        OSError: There is a file and it cannot be read.

    Attributes:
        damaged_bytes: Bytes dropped because they were torn or damaged.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self._file: BinaryIO | None = None
        self._end = len(MAGIC)
        self._next = len(MAGIC)
        self._numbers = count(1)
        self._outstanding: dict[int, int] = {}  # number of a frame read and not released -> where it begins
        self.damaged_bytes = 0
        if path.exists():
            self._open_existing()

    @property
    def unread_bytes(self) -> int:
        """Bytes that are still to be read."""
        return self._end - self._next

    @property
    def size_bytes(self) -> int:
        """Bytes of the file; 0 before the first append."""
        return self._end if self._file is not None else 0

    def append(self, payload: bytes) -> bool:
        """Append one frame; False where there is no room for it, in the limit or on the disk."""
        need = _HEAD.size + len(payload)
        try:
            if self._end + need > self._limit:
                self._compact()
            if self._end + need > self._limit:
                return False
            file = self._opened()
            file.seek(self._end)
            frame = memoryview(_HEAD.pack(len(payload), crc32(payload)) + payload)
            while frame:
                frame = frame[file.write(frame) :]
        except OSError:
            self._cut_tail()
            return False
        self._end += need
        return True

    def read_next(self) -> Frame | None:
        """Return the oldest frame not read yet, or None."""
        if self._file is None or self._next >= self._end:
            return None
        payload = self._read_at(self._next)
        if payload is None:
            self.damaged_bytes += self._end - self._next
            self._end = self._next
            self._cut_tail()
            return None
        number = next(self._numbers)
        self._outstanding[number] = self._next
        self._next += _HEAD.size + len(payload)
        return Frame(number, payload)

    def release(self, number: int) -> None:
        """Say that the frame `number` is stored; with the last one the file is emptied."""
        self._outstanding.pop(number, None)
        if not self._outstanding and self._next >= self._end and self._file is not None:
            self._end = self._next = len(MAGIC)
            self._cut_tail()

    def close(self) -> None:
        """Close the file; remove it where nothing is left in it."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._end == len(MAGIC):
            self._path.unlink(missing_ok=True)

    def _read_at(self, at: int) -> bytes | None:
        """Return the payload of the frame at `at`, or None where there is no whole one."""
        assert self._file is not None  # callers have looked
        try:
            self._file.seek(at)
            head = self._file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                return None
            length, checksum = _HEAD.unpack(head)
            if at + _HEAD.size + length > self._end:
                return None
            payload = self._file.read(length)
        except OSError:
            return None
        return payload if len(payload) == length and crc32(payload) == checksum else None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self._path, "w+b", buffering=0)  # noqa: SIM115 (closed by `close`)
            if file.write(MAGIC) != len(MAGIC):
                file.close()
                raise OSError(f"no room for the head of {self._path}")
            self._file = file
        return self._file

    def _open_existing(self) -> None:
        file = self._file = open(self._path, "r+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            self.damaged_bytes = size
            file.seek(0)
            file.truncate()
            file.write(MAGIC)
            return
        self._end = size
        at = len(MAGIC)
        while (payload := self._read_at(at)) is not None:
            at += _HEAD.size + len(payload)
        self.damaged_bytes = size - at
        self._end = at
        self._cut_tail()

    def _cut_tail(self) -> None:
        """Let the file end where its last whole frame ends.

        Where that fails the tail is overwritten by the next frame, or dropped as torn at the next start.
        """
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(self._end)

    def _compact(self) -> None:
        """Take released frames off the front of the file, by writing what is left to a new one.

        Raises:
            OSError: There is no room for the new one, or it cannot be put in place.
        """
        first = min(self._outstanding.values(), default=self._next)
        gone = first - len(MAGIC)
        if self._file is None or gone < self._limit // 4:
            return
        self._file.seek(first)
        left = self._file.read(self._end - first)
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            fresh.write_bytes(MAGIC + left)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        self._file.close()
        os.replace(fresh, self._path)
        self._file = open(self._path, "r+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._end -= gone
        self._next -= gone
        self._outstanding = {number: at - gone for number, at in self._outstanding.items()}
