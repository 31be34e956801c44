"""Copies of the file of state: made while it is written, verified, and put back in its place.

A backup is the whole file as it is between two commits (SQLite's backup API), readable by itself. Restoring needs the
runtime to be stopped; what was there is moved aside, never overwritten.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.asides import aside_of
from actors.state.file import StateError
from actors.state.migrations import FORMAT

PAGES: Final = 1_000
"""Pages copied at once; the writer of the file goes on in between."""


class Contents(Struct, frozen=True):
    """What a sound file of state has.

    Attributes:
        size_bytes: Its size.
        owners: Version of the tables of each owner.
        rows: Rows of each table.
    """

    size_bytes: int
    owners: dict[str, int]
    rows: dict[str, int]


def inspect(path: Path) -> Contents:
    """Return what the file at `path` has, every page of it read and checked.

    Raises:
        StateError: There is no such file, it is damaged, or of a newer program.
    """
    if not path.is_file():
        raise StateError(path, "there is no such file")
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as file:
            found = file.execute("PRAGMA integrity_check(1)").fetchone()
            if found != ("ok",):
                raise StateError(path, f"is damaged: {found[0]}")
            version = file.execute("PRAGMA user_version").fetchone()[0]
            if not 1 <= version <= FORMAT:
                raise StateError(path, f"is of version {version}, this program knows 1 to {FORMAT}")
            names = [
                row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ]
            owners = (
                dict(file.execute("SELECT owner, version FROM migrations").fetchall())
                if "migrations" in names
                else {"jobs": 1}
            )
            rows = {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    except sqlite3.Error as error:
        raise StateError(path, f"is damaged, or no file of state: {error}") from error
    return Contents(path.stat().st_size, owners, rows)


def backup(path: Path, to: Path, progress: Callable[[int, int], object] = lambda done, count: None) -> Contents:
    """Copy the file at `path`, written or not meanwhile, to the new file `to`; return what the copy has.

    The copy appears whole and verified, or not at all.

    Args:
        path: The file of state.
        to: A file that is not there yet.
        progress: Called with the pages that are copied, and how many there are.

    Raises:
        StateError: There is no file of state, `to` is there, or it cannot be written.
    """
    if not path.is_file():
        raise StateError(path, "there is no such file")
    if to.exists():
        raise StateError(to, "is there already, and is not overwritten")
    part = to.with_name(f"{to.name}.part-{os.getpid()}")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        part.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(path, timeout=5.0)) as source,
            contextlib.closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target, pages=PAGES, progress=lambda _, left, count: progress(count - left, count))
            target.execute("PRAGMA journal_mode = DELETE")
        found = inspect(part)
        _sync(part)
        os.link(part, to)  # refuses to overwrite, unlike a rename
        _sync(to.parent)
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(to, f"not written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return found


def restore(copy: Path, path: Path) -> tuple[Contents, Path | None]:
    """Put the verified file `copy` at `path`, where no runtime may run; return what it has, and what was there before.

    Raises:
        StateError: The copy is damaged, or something cannot be written; then `path` is as it was.
    """
    found = inspect(copy)
    aside: Path | None = None
    fresh = path.with_name(f"{path.name}.restoring-{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(fresh)) as target,
        ):
            source.backup(target)
        _sync(fresh)
        if path.exists():
            aside = aside_of(path, "before")
            for suffix in ("-wal", "-shm", ""):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
        fresh.rename(path)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise StateError(path, f"not restored: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return found, aside


def _sync(path: Path) -> None:
    """Have a file, or a folder's names, on disk."""
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
