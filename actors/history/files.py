"""Opening the history file, and mending what stops it from opening.

What DuckDB 2.0.0 says of a damaged file was tried case by case; the remedies are:

    write-ahead log corrupt at byte N   a copy is kept, the log is cut at N: every batch before it is there
    write-ahead log unreadable          it is moved aside: the file opens at its last checkpoint
    file damaged, or no DuckDB file     file and log are moved aside (`*.corrupt-<time>`), a fresh file is made
    file held by another process        `HistoryLockedError` names it; nothing is touched
    file of a newer DuckDB, no rights   `HistoryUnavailableError`; nothing is touched

The process that holds the file open must never open and close it by other means: on POSIX that drops the lock DuckDB
holds. Everything here that reads or moves files happens while no connection is open.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path

import duckdb
from msgspec import Struct

from actors.asides import aside_of
from actors.history.errors import HistoryLockedError, HistoryUnavailableError
from actors.history.protocol import Notice

_log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024

WAL_BYTES = 96 * MEBIBYTE
"""Size of the write-ahead log, unless another is set, at which it is moved into the file."""


class FileSettings(Struct, frozen=True):
    """How the history file is run.

    Attributes:
        memory_bytes: Most memory of DuckDB, for storing and queries together.
        query_memory_bytes: Most memory of one query's sorts and hash tables.
        spill_bytes: Most disk that queries may use beyond their memory, in a directory beside the file.
        wal_bytes: Size of the write-ahead log at which a commit moves it into the file (tens of milliseconds). It is
            read again whole after kill -9, at 200 to 400 MB a second: that bounds how long the file takes to open.
    """

    memory_bytes: int = 512 * MEBIBYTE
    query_memory_bytes: int = 256 * MEBIBYTE
    spill_bytes: int = 1024 * MEBIBYTE
    wal_bytes: int = WAL_BYTES


DEFAULT_SETTINGS = FileSettings()


class OpenedFile(Struct, frozen=True):
    """An open history file, and what had to be mended to open it."""

    connection: duckdb.DuckDBPyConnection
    notices: tuple[Notice, ...]


_ATTEMPTS = 6
_HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")
_WAL_AT = re.compile(r"Corrupt WAL file: entry at byte position (\d+)")


def open_file(path: Path, settings: FileSettings = DEFAULT_SETTINGS) -> OpenedFile:
    """Open the history file for writing; make it where there is none, mend it where it is damaged.

    Raises:
        HistoryLockedError: Another process holds it.
        HistoryUnavailableError: It cannot be opened or made, and not because it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryUnavailableError(str(path), f"its directory cannot be made: {error}") from None
    if path.is_file() and path.stat().st_size == 0 and not wal_of(path).exists():
        path.unlink()  # a disk that was full as the file was made: there is nothing in it to keep
    notices: list[Notice] = []
    for _ in range(_ATTEMPTS):
        try:
            connection = duckdb.connect(str(path), config=configuration(settings, path))
        except duckdb.Error as error:
            notices.append(mend(path, error))
            continue
        try:
            _probe(connection)
        except duckdb.Error as error:
            connection.close()
            notices.append(mend(path, error))
            continue
        for notice in notices:
            _log.error("history mended: %s", notice.why)
        return OpenedFile(connection, tuple(notices))
    raise HistoryUnavailableError(str(path), f"still damaged after {_ATTEMPTS} repairs: {notices[-1].why}")


def open_read_only(path: Path, settings: FileSettings = DEFAULT_SETTINGS) -> duckdb.DuckDBPyConnection:
    """Open the history file for reading; a write-ahead log left by kill -9 is read too. Nothing is changed.

    Raises:
        HistoryLockedError: A process writes it.
        HistoryUnavailableError: There is none, it is damaged, or it cannot be read.
    """
    if not path.is_file():
        raise HistoryUnavailableError(str(path), "there is no such file; a node makes it when it first runs")
    try:
        return duckdb.connect(str(path), read_only=True, config=configuration(settings, path))
    except duckdb.Error as error:
        _raise_unless_damaged(path, error)
        raise HistoryUnavailableError(
            str(path), f"it is damaged, and is repaired when the node starts next: {_first_line(error)}"
        ) from None


def configuration(settings: FileSettings, path: Path) -> dict[str, str | bool | int | float | list[str]]:
    """Return the settings a connection is opened with; one thread, and no extension ever fetched."""
    return {
        "threads": "1",
        "async_threads": "1",
        "memory_limit": f"{settings.memory_bytes}B",
        "wal_autocheckpoint": f"{settings.wal_bytes}B",
        "temp_directory": f"{path}.spill",
        "max_temp_directory_size": f"{settings.spill_bytes}B",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "enable_object_cache": "false",
    }


LOCKDOWN: tuple[str, ...] = (
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL allowed_configs = ['max_execution_time', 'operator_memory_limit', 'search_path',"
    " 'enable_progress_bar', 'enable_progress_bar_print', 'progress_bar_time']",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)
"""What is executed once the schema is there: from then on no statement reaches a file, a network or a setting."""


def lock_down(connection: duckdb.DuckDBPyConnection, folder: Path | None = None) -> None:
    """Cut the instance behind `connection` off from files, network and settings, for every later cursor too.

    Args:
        connection: Any connection of it.
        folder: What is published, the one place that views still read and the publisher writes.
    """
    if folder is not None:
        said = str(folder).replace("'", "''")
        connection.execute(f"SET GLOBAL allowed_directories = ['{said}']")
    for statement in LOCKDOWN:
        connection.execute(statement)


def wal_of(path: Path) -> Path:
    """Return the path of the write-ahead log of the file at `path`."""
    return path.with_name(path.name + ".wal")


def size_of(path: Path) -> int:
    """Return the size in bytes of the file at `path`, 0 where there is none. Safe beside an open connection."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_damage(error: duckdb.Error) -> bool:
    """Whether `error` says that the file or its log is damaged."""
    said = str(error)
    return any(sign in said for sign in _DAMAGED) or "replaying WAL" in said


def is_invalidated(error: duckdb.Error) -> bool:
    """Whether `error` left the database object unusable until the file is opened again."""
    return isinstance(error, duckdb.FatalException | duckdb.InternalException) or "has been invalidated" in str(error)


def is_full(error: duckdb.Error) -> bool:
    """Whether `error` says that the disk, a quota or a file size limit is full."""
    said = str(error)
    return any(sign in said for sign in ("No space left", "File too large", "quota", "disk full"))


_DAMAGED = (
    "not a valid DuckDB database file",
    "Corrupt database file",
    "Could not read enough bytes",
    "Corrupt WAL file",
    "data may be corrupt",
    "checksum",
)


def _probe(connection: duckdb.DuckDBPyConnection) -> None:
    """Read what every start reads, so that damage there is found while it can be mended."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    for (table,) in tables:
        name = table.replace('"', '""')
        connection.execute(f'SELECT hash(one) FROM (SELECT * FROM "{name}" LIMIT 1) one').fetchall()
        connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()


def mend(path: Path, error: duckdb.Error) -> Notice:
    """Do what `error` calls for, so that the next try may succeed. No connection may be open.

    Raises:
        HistoryLockedError: Another process holds the file.
        HistoryUnavailableError: Nothing that is done to the file would help.
    """
    _raise_unless_damaged(path, error)
    said = str(error)
    wal = wal_of(path)
    if "WAL" in said and wal.exists():
        found = _WAL_AT.search(said)
        at = int(found[1]) if found is not None else 0
        if 0 < at < size_of(wal):
            copy = aside_of(wal, "corrupt")
            shutil.copy2(wal, copy)
            os.truncate(wal, at)
            where = f"byte {at} of {size_of(copy)}"
            return Notice(0, f"the write-ahead log was corrupt at {where} and was cut there; whole: {copy.name}")
        moved = aside_of(wal, "corrupt")
        os.replace(wal, moved)
        return Notice(0, f"the write-ahead log could not be read ({_first_line(error)}); moved to {moved.name}")
    moved = aside_of(path, "corrupt")
    os.replace(path, moved)
    if wal.exists():
        os.replace(wal, wal_of(moved))
    return Notice(0, f"the history file was damaged ({_first_line(error)}); moved to {moved.name}, a new one begun")


def _raise_unless_damaged(path: Path, error: duckdb.Error) -> None:
    said = str(error)
    if "Could not set lock" in said:
        holder = _HOLDER.search(said)
        if holder is None:
            raise HistoryLockedError(str(path), None) from None
        raise HistoryLockedError(str(path), int(holder[2]), holder[1]) from None
    if path.exists() and not path.is_file():
        raise HistoryUnavailableError(str(path), "is not a regular file") from None
    if not is_damage(error):
        raise HistoryUnavailableError(str(path), _first_line(error)) from None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
