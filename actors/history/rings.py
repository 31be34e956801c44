"""Files under names that go round: retired well before they are written anew, so that no reader finds others' bytes.

A reader of Parquet opens a file twice. It reads the end, which says where the columns are, and closes the file; when it
comes to the rows it opens the name again. A file that was replaced in between is garbage to it. A retired file is safe
for both: its bytes are where they were, for who knows them, and its end is that of the empty file, for who comes now.
`publication` has the names and says how far ahead; how long that is for a reader is `AHEAD` times the interval.

Belongs to the publisher's thread. What holds rows is looked up once and kept in memory from then on.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from actors.history.publication import Ring

_PARQUET = b"PAR1"
_TAIL = 4 + len(_PARQUET)


class Rings:
    """Which files of the rings in `folder` hold rows.

    Args:
        folder: What is published; its empty files are there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[Ring, set[int]] = {}

    def held(self, ring: Ring) -> frozenset[int]:
        """Return the numbers of the files of `ring` that hold rows, or cannot be read."""
        return frozenset(self._held_of(ring))

    def wrote(self, ring: Ring, turn: int) -> Path:
        """Note that the file of `turn` is about to hold rows; return its path."""
        self._held_of(ring).add(turn % ring.size)
        return self._folder / ring.file(turn)

    def retire_ahead(self, ring: Ring, turn: int, counting: frozenset[int]) -> None:
        """Retire what is to be without rows now that `turn` is the next to be written, except what is `counting`.

        Raises:
            OSError: One cannot be; the next time tries again.
        """
        if self._held_of(ring):
            self.retire(ring, ring.coming(turn) - counting)

    def retire(self, ring: Ring, numbers: frozenset[int]) -> None:
        """Retire those files of `numbers` that hold rows.

        Raises:
            OSError: One cannot be; the next time tries again.
        """
        held = self._held_of(ring)
        for number in sorted(numbers & held):
            retire(self._folder / ring.file(number), self._folder / ring.empty, self._folder / "tmp" / "retiring")
            held.discard(number)

    def damaged(self, ring: Ring) -> frozenset[int]:
        """Return the numbers of the files of `ring` that are there and no reader can open, retired ones too.

        Any of them fails every query of its table: a name that is listed is opened.
        """
        paths = {number: self._folder / ring.file(number) for number in range(ring.size)}
        found = frozenset(number for number, path in paths.items() if path.exists() and not is_whole(path))
        self._held_of(ring).update(found)
        return found

    def _held_of(self, ring: Ring) -> set[int]:
        held = self._held.get(ring)
        if held is None:
            tail = _end(self._folder / ring.empty)
            paths = {number: self._folder / ring.file(number) for number in range(ring.size)}
            there = {path.name for path in (self._folder / ring.empty).parent.iterdir()}
            held = {n for n, path in paths.items() if path.name in there and not _ends_as(path, tail)}
            self._held[ring] = held
        return held


def is_blank(path: Path, empty: Path) -> bool:
    """Whether the file at `path` is without rows, for who opens it now: its end is that of the file at `empty`.

    Raises:
        OSError: One of them cannot be read.
    """
    return _ends_as(path, _end(empty))


def is_whole(path: Path) -> bool:
    """Whether the file at `path` begins and ends as a Parquet file does, with room for the footer it tells of."""
    try:
        with open(path, "rb") as file:
            begin = file.read(len(_PARQUET))
            size = file.seek(0, os.SEEK_END)
            file.seek(-_TAIL, os.SEEK_END)
            tail = file.read()
    except OSError:
        return False
    footer = int.from_bytes(tail[:4], "little")
    return begin == tail[4:] == _PARQUET and 0 < footer <= size - _TAIL - len(_PARQUET)


def retire(path: Path, empty: Path, temporary: Path) -> None:
    """Let the file at `path` hold no rows for who opens it from now on, and all it had for who has opened it before.

    A file that is none of Parquet's is replaced by the empty one: nobody has opened it.

    Args:
        path: The file; nothing is done where it is not there.
        empty: The file without rows of the same table.
        temporary: Where the new one is made, on the same file system.

    Raises:
        OSError: It cannot be written; the file is as it was.
    """
    if not path.exists():
        return
    if is_whole(path):
        shutil.copyfile(path, temporary)
        with open(temporary, "ab") as file:
            file.write(_end(empty))
    else:
        shutil.copyfile(empty, temporary)
    os.replace(temporary, path)


def _end(path: Path) -> bytes:
    """Return what the file at `path` ends with: footer, its length, the mark."""
    data = path.read_bytes()
    return data[-_TAIL - int.from_bytes(data[-_TAIL : -len(_PARQUET)], "little") :]


def _ends_as(path: Path, end: bytes) -> bool:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < len(end):
            return False
        file.seek(-len(end), os.SEEK_END)
        return file.read() == end
