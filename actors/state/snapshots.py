"""What an actor keeps of its state, in the file of state: there again after its restart, the node's, and kill -9.

    class Counter(Keeps, Actor):
        def on_start(self):
            self.count = self.kept(int) or 0

        @on(Add)
        def add(self, message):
            self.count += 1
            self.keep(self.count)          # on disk when this returns

A snapshot is a plain value, written whole in one transaction under the actor's path; the last two are there, and one
that does not read back as it was written is passed over for the one before. Its version is the actor's: who changes
what a snapshot looks like raises it, and reads the older ones. Works in the node's process and in each of its others.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import msgspec
from msgspec import Struct

from actors.core.context import check_fence
from actors.core.system import ActorSystem
from actors.errors import ActorRuntimeError
from actors.state.file import StateError, shared_file
from actors.state.migrations import Migrations, NewerFileError, begin, bring_up

__all__ = ["Keeps", "SnapshotError"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

SNAPSHOT_MAX: Final = 4 << 20
"""Bytes of one snapshot at most."""
GENERATIONS: Final = 2
"""Snapshots of one actor that are there."""
BUSY: Final = 10.0
"""Longest wait for another process that writes the file, in seconds."""

SNAPSHOTS: Final = Migrations(
    "snapshots",
    (
        """
        CREATE TABLE IF NOT EXISTS snapshots (
            path TEXT NOT NULL,
            number INTEGER NOT NULL,
            version INTEGER NOT NULL,
            at REAL NOT NULL,
            checksum INTEGER NOT NULL,
            state BLOB NOT NULL,
            PRIMARY KEY (path, number)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)
"""The table of snapshots in the file; number counts those of one path."""


class SnapshotError(ActorRuntimeError, ValueError):
    """A snapshot cannot be kept as it is, or what was kept cannot be taken up."""


class Snapshot(Struct, frozen=True):
    """One snapshot without its state.

    Attributes:
        number: Counts those of its path.
        version: The actor's.
        at: When it was kept, wall seconds since the epoch.
        size_bytes: Its length.
    """

    number: int
    version: int
    at: float
    size_bytes: int


class Keeps:
    """A mix-in for actors that keep state; stands before `Actor` among the bases. For the actor's own turns.

    Attributes:
        kept_version: Version of the snapshots that `keep` writes; 1 or more.
    """

    kept_version: int = 1
    path: str
    system: ActorSystem

    def keep(self, state: object) -> None:
        """Put a snapshot of the actor on disk, in place of the last; blocks for a commit.

        Args:
            state: What `msgspec` writes as msgpack: plain values, `Struct`s, dataclasses; at most 4 MiB.

        Raises:
            SnapshotError: It cannot be written so, is too large, or the actor has no path.
            StateError: The file cannot be written (a full disk); what was kept before is still there.
            AbandonedError: This instance was abandoned, and another one stands in its place.
        """
        check_fence()
        try:
            data = msgspec.msgpack.encode(state)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise SnapshotError(f"no snapshot of {self.path}: {type(error).__name__}: {error}") from None
        if len(data) > SNAPSHOT_MAX:
            raise SnapshotError(f"a snapshot of {self.path} has {len(data)} bytes, {SNAPSHOT_MAX} are allowed")
        if not self.path:
            raise SnapshotError("an actor without a path keeps nothing")
        row = (self.path, self.kept_version, time.time(), zlib.crc32(data), data)
        change(_file_of(self.system), lambda connection: _write(connection, row))

    @overload
    def kept(self, kind: type[T]) -> T | None: ...
    @overload
    def kept(self, kind: Any = Any, *, upgrade: Callable[[Any, int], Any]) -> Any: ...
    def kept(self, kind: Any = Any, *, upgrade: Callable[[Any, int], Any] | None = None) -> Any:
        """Return what this actor's path kept last, or None; blocks to read.

        Args:
            kind: What it is read as.
            upgrade: Makes of an older version's plain value and that version what this one would have kept.

        Raises:
            SnapshotError: None that is there reads back whole, as `kind`, or it is of a later version than the
                class's `kept_version`, or of an older one and there is no `upgrade`.
            StateError: The file cannot be read.
        """
        rows = _read(_file_of(self.system), self.path)
        why = ""
        for number, version, _, checksum, data in rows:
            if zlib.crc32(data) != checksum:
                why = f"snapshot {number} of {self.path} is damaged"
                logger.error("%s; the one before is taken", why)
                continue
            if version > self.kept_version:
                raise SnapshotError(f"the snapshot of {self.path} is of version {version}, this is {self.kept_version}")
            try:
                if version == self.kept_version:
                    return msgspec.msgpack.decode(data, type=kind)
                if upgrade is None:
                    raise SnapshotError(
                        f"the snapshot of {self.path} is of version {version}, and there is no upgrade to "
                        f"{self.kept_version}"
                    )
                return msgspec.convert(upgrade(msgspec.msgpack.decode(data), version), kind)
            except msgspec.MsgspecError as error:
                raise SnapshotError(f"the snapshot of {self.path} is not what it is read as: {error}") from None
        if why:
            raise SnapshotError(f"{why}, and so is the one before")
        return None

    def forget(self) -> None:
        """Have nothing kept; blocks for a commit."""
        check_fence()
        path = self.path
        change(
            _file_of(self.system),
            lambda writer: writer.execute("DELETE FROM snapshots WHERE path = ?", (path,)).rowcount,
        )


def latest(file: Path, path: str) -> Snapshot | None:
    """Return what is known of the newest snapshot of the actor at `path`, None for none; blocks.

    Raises:
        StateError: The file cannot be read.
    """
    rows = _read(file, path)
    if not rows:
        return None
    number, version, at, _, data = rows[0]
    return Snapshot(number, version, at, len(data))


def change(path: Path, work: Callable[[sqlite3.Connection], object]) -> None:
    """Do `work` in a transaction on the file of state at `path`; on disk when this returns.

    Where this process has the file open it goes with the next commit, else over a connection of its own.

    Raises:
        StateError: It could not be written.
    """
    with shared_file(path) as file:
        if file is not None:
            if _inode(path) not in _ready:
                file.bring_up(SNAPSHOTS)
                _ready.add(_inode(path))
            file.write(work).result()
            return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY, isolation_level=None)) as connection:
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = 1")
            if _inode(path) not in _ready:
                begin(connection)
                bring_up(connection, SNAPSHOTS)
                _ready.add(_inode(path))
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
            connection.execute("COMMIT")
    except (sqlite3.Error, NewerFileError, OSError) as error:
        raise StateError(path, f"not written: {error}") from error


_ready: set[tuple[Path, int]] = set()


def _inode(path: Path) -> tuple[Path, int]:
    """Return what tells a file from another that stood at its path before."""
    return path.absolute(), path.stat().st_ino


def _write(connection: sqlite3.Connection, row: tuple[str, int, float, int, bytes]) -> None:
    path, *rest = row
    (last,) = connection.execute("SELECT max(number) FROM snapshots WHERE path = ?", (path,)).fetchone()
    number = (last or 0) + 1
    connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?)", (path, number, *rest))
    connection.execute("DELETE FROM snapshots WHERE path = ? AND number <= ?", (path, number - GENERATIONS))


def _read(file: Path, path: str) -> list[tuple[int, int, float, int, bytes]]:
    """Return number, version, instant, checksum and state of an actor's snapshots, the newest first."""
    if not file.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=BUSY, isolation_level=None)) as reader:
            reader.execute("PRAGMA query_only = 1")
            if reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'").fetchone() is None:
                return []
            return reader.execute(
                "SELECT number, version, at, checksum, state FROM snapshots WHERE path = ? ORDER BY number DESC",
                (path,),
            ).fetchall()
    except sqlite3.Error as error:
        raise StateError(file, str(error)) from error


def _file_of(system: ActorSystem) -> Path:
    if system.home is None:
        raise SnapshotError(f"the system {system.name} has no home, so there is no file to keep snapshots in")
    return system.home / "state.db"
