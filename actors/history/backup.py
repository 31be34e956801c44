"""Backups of a history: a folder that is a history itself, verified when it is made and before it is put back.

    DIR/backup.json        what there is: rows by table, and size and SHA-256 of each file
    DIR/history.duckdb     the rows that were not sealed
    DIR/history-files/     the sealed days

`actorctl sql --file DIR/history.duckdb` reads it where it is. It appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb
import msgspec
from msgspec import Struct

from actors.asides import aside_of
from actors.history.catalog import folder_of, make_temporary_views, make_views, prepare, quoted
from actors.history.copying import begin_copy, write_rows
from actors.history.errors import HistoryBackupError, HistoryError
from actors.history.files import DEFAULT_SETTINGS, configuration, open_read_only, wal_of
from actors.history.folder import save_manifest
from actors.history.migrations import MIGRATIONS, migrate, version_of
from actors.history.protocol import CopyMade
from actors.history.publication import Manifest
from actors.history.schema import TABLES

CONTENTS: Final = "backup.json"
FILE: Final = "history.duckdb"
FORMAT: Final = 1
IN_THE_WAY: Final = "there is a history already"


class FileMark(Struct, frozen=True):
    """What a file was when the backup was made."""

    size_bytes: int
    sha256: str


class Contents(Struct, frozen=True):
    """What a sound backup has.

    Attributes:
        made_at: When, seconds since the epoch.
        schema_version: Of its tables.
        rows: Rows of each table, sealed ones included.
        files: Its files, by their path in it.
        format: Version of this form.
    """

    made_at: float
    schema_version: int
    rows: dict[str, int]
    files: dict[str, FileMark]
    format: int = FORMAT

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(mark.size_bytes for mark in self.files.values())


def check_target(to: Path) -> None:
    """Refuse a place that a backup cannot be made at.

    Raises:
        HistoryBackupError: There is something.
    """
    if to.exists() or to.is_symlink():
        raise HistoryBackupError(str(to), "is there already, and is not overwritten")


def backup(path: Path, to: Path) -> Contents:
    """Back up the history at `path`, which no process holds, into the new folder `to`.

    Raises:
        HistoryBackupError: `to` is there, or cannot be written.
        HistoryError: The history cannot be read.
    """
    check_target(to)
    with _unfinished(to) as part:
        connection = open_read_only(path)
        staged = part / "staged"
        try:
            sealed = begin_copy(connection, folder_of(path), staged)
            made = CopyMade(str(staged), sealed, write_rows(connection, staged, sealed))
        finally:
            connection.close()
        return _finish(made, part, to)


def keep_copy(made: CopyMade, to: Path) -> Contents:
    """Make a backup at `to` of a copy that the recorder laid beside its files; the copy is taken away.

    Raises:
        HistoryBackupError: `to` is there, or cannot be written.
    """
    try:
        check_target(to)
        with _unfinished(to) as part:
            return _finish(made, part, to)
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


def inspect(directory: Path) -> Contents:
    """Return what the backup in `directory` has, every byte and every row of it read and compared.

    Raises:
        HistoryBackupError: It is none, it is damaged, or of a newer program.
    """
    try:
        contents = msgspec.json.decode((directory / CONTENTS).read_bytes(), type=Contents)
    except FileNotFoundError:
        raise HistoryBackupError(str(directory), f"is no backup of a history: it has no {CONTENTS}") from None
    except (OSError, msgspec.MsgspecError, UnicodeError) as error:
        raise HistoryBackupError(str(directory), f"{CONTENTS} cannot be read: {error}") from None
    if contents.format != FORMAT:
        raise HistoryBackupError(str(directory), f"is of format {contents.format}, this program knows {FORMAT}")
    try:
        for name, mark in contents.files.items():
            found = _mark(directory / name)
            if found != mark:
                said = f"{found.size_bytes} bytes instead of {mark.size_bytes}"
                raise HistoryBackupError(str(directory), f"{name} is not what was backed up ({said})")
        rows = _count(directory)
    except FileNotFoundError as error:
        raise HistoryBackupError(str(directory), f"{error.filename} is missing") from None
    except (OSError, HistoryError, duckdb.Error) as error:
        if isinstance(error, HistoryBackupError):
            raise
        raise HistoryBackupError(str(directory), f"cannot be read: {error}") from None
    if rows != contents.rows:
        wrong = ", ".join(sorted(name for name in rows if rows[name] != contents.rows.get(name)))
        raise HistoryBackupError(str(directory), f"has other rows than were backed up, of {wrong}")
    return contents


def restore(directory: Path, path: Path, *, replace: bool = False) -> tuple[Contents, Path | None]:
    """Put the backup in `directory` back as the history at `path`; return what it has, and where the one before is.

    No node may run. What is in the spool stays there, and is stored by the next run.

    Args:
        directory: What `backup` made.
        path: The history file that is to be.
        replace: Also where there is a history: it is moved aside, file, log and folder, as `<name>.before-<time>`.

    Raises:
        HistoryBackupError: The backup is not sound, there is a history, or something cannot be written; then the
            history is as it was.
    """
    folder = folder_of(path)
    if not replace and (_has_rows(path) or (folder / "sealed").exists()):
        raise HistoryBackupError(str(path), IN_THE_WAY)
    fresh = path.with_name(f"{path.name}.restoring-{os.getpid()}")
    aside: Path | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(directory, fresh)
        contents = inspect(fresh)
        for file in fresh.rglob("*"):
            _sync(file)
        if path.exists() or folder.exists():
            aside = aside_of(path, "before")
            aside_folder = aside.with_name(aside.name.replace(path.name, folder.name, 1))
            for before, after in ((folder, aside_folder), (wal_of(path), wal_of(aside)), (path, aside)):
                if before.exists():
                    before.rename(after)
        (fresh / folder_of(fresh / FILE).name).rename(folder)
        (fresh / FILE).rename(path)
        _sync(path.parent)
    except (OSError, shutil.Error) as error:
        raise HistoryBackupError(str(path), f"not restored: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return contents, aside


@contextlib.contextmanager
def _unfinished(to: Path) -> Iterator[Path]:
    """A folder beside `to` that is gone afterwards, unless it became `to`."""
    part = to.with_name(f"{to.name}.part-{os.getpid()}")
    try:
        part.mkdir(mode=0o700, parents=True)
        yield part
    except (OSError, duckdb.Error) as error:
        if isinstance(error, HistoryError):
            raise
        raise HistoryBackupError(str(to), f"not written: {str(error).partition(chr(10))[0]}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _finish(made: CopyMade, part: Path, to: Path) -> Contents:
    """Make a history of the copy, count it, and let it appear as `to`."""
    path = part / FILE
    staged = Path(made.folder)
    folder = folder_of(path)
    if (staged / "sealed").exists():
        shutil.copytree(staged / "sealed", folder / "sealed")
    _fill(path, staged, made)
    if staged.parent == part:
        shutil.rmtree(staged)
    save_manifest(folder, Manifest(through=made.sealed, ring0=made.sealed, ring1=made.sealed, sealed=made.sealed))
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    rows = _count(part)
    for table, count in made.rows.items():
        if rows[table] < count:
            raise HistoryBackupError(str(to), f"only {rows[table]} of {count} rows of {table} arrived")
    names = sorted(str(file.relative_to(part)) for file in part.rglob("*") if file.is_file())
    with contextlib.closing(open_read_only(path)) as connection:
        version = version_of(connection)
    contents = Contents(time.time(), version, rows, {name: _mark(part / name) for name in names})
    (part / CONTENTS).write_bytes(msgspec.json.format(msgspec.json.encode(contents), indent=1) + b"\n")
    inspect(part)
    for file in part.rglob("*"):
        _sync(file)
    part.rename(to)
    _sync(to.absolute().parent)
    return contents


def _fill(path: Path, staged: Path, made: CopyMade) -> None:
    """Make the history file of the copied rows, with views over them and what is sealed."""
    folder = folder_of(path)
    with contextlib.closing(duckdb.connect(str(path), config=configuration(DEFAULT_SETTINGS, path))) as connection:
        migrate(connection, str(path))
        connection.execute("BEGIN")
        connection.execute("DELETE FROM main.schema_version")
        connection.execute("UPDATE main.published SET sealed = ?", [made.sealed])
        for table in made.rows:
            file = quoted(staged / f"{table}.parquet")
            connection.execute(f"INSERT INTO main.{table} BY NAME SELECT * FROM read_parquet('{file}')")
        known = {row[0] for row in connection.execute("SELECT version FROM main.schema_version").fetchall()}
        for version in range(1, MIGRATIONS[-1].version + 1):
            if version not in known:  # the copy is of an older program's file, which `migrate` has just widened
                row = [version, datetime.now(UTC), "made by a backup"]
                connection.execute("INSERT INTO main.schema_version (version, applied_at, about) VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
        prepare(connection, folder)
        make_views(connection, folder)
        connection.execute("CHECKPOINT")


def _count(directory: Path) -> dict[str, int]:
    """Return the rows of each table, file and sealed days together, all of them read."""
    path = directory / FILE
    with contextlib.closing(open_read_only(path)) as connection:
        make_temporary_views(connection, folder_of(path))
        rows: dict[str, int] = {}
        for table in TABLES:
            row = connection.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {table.name} t").fetchone()
            rows[table.name] = int(row[0]) if row is not None else 0
        return rows


def _has_rows(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _mark(path: Path) -> FileMark:
    with open(path, "rb") as file:
        return FileMark(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _sync(path: Path) -> None:
    """Have a file, or a folder's names, on disk."""
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
