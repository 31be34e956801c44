"""Verifying a history: every file opened, every row read and counted, every gap in the batches named.

Nothing is changed, and nothing is repaired: the recorder does that when it next starts. The published files are read
from outside, as any tool reads them, beside a running recorder too. The history file is asked through `Rows`, which is
the recorder of a running node or a connection to the file of one that is down.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct

from actors.history.catalog import CATALOG, MANIFEST, flowing, folder_of, newest_bounds, quoted, whole, whole_file
from actors.history.errors import HistoryError, QueryError
from actors.history.files import open_read_only, size_of
from actors.history.folder import load_manifest, sealed_files
from actors.history.publication import BOUNDS, Manifest, Slot, ring_file, sealed_through
from actors.history.rebuilding import lacking
from actors.history.schema import SEGMENT, TABLES
from actors.history.sql import look_at_everything

Rows = Callable[[str], Sequence[Sequence[Any]]]
"""Answers one statement with its rows; raises `HistoryError` where it cannot."""


class Soundness(Enum):
    """What was found of a part of the history."""

    OK = "ok"
    DAMAGED = "damaged"
    MISSING = "missing"
    GAP = "gap"


class Checked(Struct, frozen=True):
    """One part of a history that was looked at.

    Attributes:
        what: `table`, as queries see it; `database`, the file beneath; `batches`; `published`, `sealed` or `catalog`, a
            file of the folder.
        name: Its name; a file's path in the folder; the source of a gap.
        found: How it is.
        rows: Rows in it; of a gap, batches missing, or rows of a table of the database.
        size_bytes: Of a file.
        about: What is wrong with it.
    """

    what: str
    name: str
    found: Soundness
    rows: int = 0
    size_bytes: int = 0
    about: str = ""


def check_rows(rows: Rows) -> Iterator[Checked]:
    """Read every table, as queries see it, and name the gaps in the batches of each source."""
    for table in TABLES:
        try:
            ((count, _),) = rows(f"SELECT count(*), bit_xor(hash(t))::VARCHAR FROM {table.name} t")
        except (HistoryError, duckdb.Error) as error:
            yield Checked("table", table.name, Soundness.DAMAGED, about=_first_line(error))
        else:
            yield Checked("table", table.name, Soundness.OK, int(count))
    try:
        gaps = rows("SELECT source, first_missing, last_missing, missing FROM gaps ORDER BY source, first_missing")
    except (HistoryError, duckdb.Error):
        return  # `batches` cannot be read, which is said above
    for source, first, last, missing in gaps:
        numbers = f"batch {first}" if first == last else f"batches {first} to {last}"
        yield Checked("batches", source, Soundness.GAP, int(missing), about=f"{numbers} never came, or were lost")


def check_file(path: Path) -> Iterator[Checked]:
    """Check the rows of the history file at `path`, which no process writes.

    Raises:
        HistoryLockedError: A node runs and writes it.
        HistoryUnavailableError: There is none.
    """
    try:
        connection = open_read_only(path)
    except HistoryError as error:
        if size_of(path) and "damaged" in str(error):
            yield Checked("database", path.name, Soundness.DAMAGED, size_bytes=size_of(path), about=_first_line(error))
            return
        raise
    with contextlib.closing(connection):
        try:
            look_at_everything(connection, folder_of(path))
        except QueryError as error:
            yield Checked("database", path.name, Soundness.DAMAGED, size_bytes=size_of(path), about=_first_line(error))
        else:
            yield from check_rows(lambda sql: connection.execute(sql).fetchall())
            yield from _check_against_published(connection, path)


def _check_against_published(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[Checked]:
    """Name the tables that have lost rows which are published: a log that is torn opens without a word."""
    manifest = load_manifest(folder_of(path))
    if manifest is None:
        return  # `check_published` says so where one should be there
    rows: Counter[str] = Counter()
    with contextlib.suppress(duckdb.Error):  # a table that cannot be read is named already
        for table, _, count in lacking(connection, manifest):
            rows[table] += count
    for table, count in sorted(rows.items()):
        about = "published, and not in the file; the recorder brings them back when it next starts"
        yield Checked("database", table, Soundness.GAP, count, about=about)


def check_published(folder: Path) -> Iterator[Checked]:
    """Read every file that is published in `folder`; one that is replaced or dropped meanwhile is sound.

    Only what stays the same file while it is read, and cannot be, is damaged.
    """
    manifest = load_manifest(folder)
    if manifest is None:
        about = "cannot be read" if (folder / MANIFEST).exists() else "is not there"
        if folder.exists():
            found = Soundness.DAMAGED if (folder / MANIFEST).exists() else Soundness.MISSING
            yield Checked("published", MANIFEST, found, about=f"the list of what counts {about}")
        manifest = Manifest(sealed=_ALL_SEGMENTS)
    with contextlib.closing(_connection()) as connection:
        for table in flowing():
            for path in sealed_files(folder, table.name):
                if sealed_through(path.name) <= manifest.sealed:
                    yield _checked(connection, folder, "sealed", path)
        for slot in manifest.slots:
            for table_name, count in slot.rows.items():
                yield _ring(connection, folder, table_name, slot, count)
        if manifest.published_at:
            for table in whole():
                yield _checked(connection, folder, "published", folder / whole_file(manifest, table.name))
            yield _bounds(connection, folder, manifest)
            yield _catalog(folder)


def _ring(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, slot: Slot, count: int) -> Checked:
    path = folder / ring_file(table, slot)
    within = f"{SEGMENT.name} BETWEEN {slot.first} AND {slot.last}"
    checked = _checked(connection, folder, "published", path, within)
    if checked.found is Soundness.OK and checked.rows != count:
        now = load_manifest(folder)
        if now is not None and any(other == slot for other in now.slots):
            about = f"holds {checked.rows} of {count} rows"
            return Checked("published", checked.name, Soundness.DAMAGED, checked.rows, checked.size_bytes, about)
    return checked


def _checked(
    connection: duckdb.DuckDBPyConnection, folder: Path, what: str, path: Path, condition: str = "true"
) -> Checked:
    name = str(path.relative_to(folder))
    while True:
        before, size = _identity(path), size_of(path)
        try:
            row = connection.execute(
                f"SELECT count(*) FILTER ({condition}), bit_xor(hash(t))::VARCHAR FROM read_parquet('{quoted(path)}') t"
            ).fetchone()
            break
        except duckdb.Error as error:
            if _identity(path) != before:
                continue  # it was replaced while it was read; its name comes round again in a minute, not at once
            if before is not None:
                return Checked(what, name, Soundness.DAMAGED, size_bytes=size, about=_first_line(error))
        if what == "sealed":  # it was listed a moment ago: its day is over
            return Checked(what, name, Soundness.OK, about="dropped meanwhile")
        return Checked(what, name, Soundness.MISSING, about="the recorder writes it anew when it next starts")
    return Checked(what, name, Soundness.OK, int(row[0]) if row is not None else 0, size)


def _bounds(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> Checked:
    name = BOUNDS.file(manifest.edition)
    try:
        edition, _ = newest_bounds(connection, folder)
    except duckdb.Error as error:
        return Checked("published", name, Soundness.DAMAGED, about=_first_line(error))
    if not edition:
        return Checked("published", name, Soundness.MISSING, about="the recorder writes it anew when it next starts")
    return Checked("published", BOUNDS.file(edition), Soundness.OK, 1, size_of(folder / BOUNDS.file(edition)))


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells the file at `path` from one that replaces it; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _catalog(folder: Path) -> Checked:
    path = folder / CATALOG
    if not path.exists():
        return Checked("catalog", CATALOG, Soundness.MISSING, about="the recorder writes it anew when it next starts")
    try:
        with contextlib.closing(duckdb.connect(str(path), read_only=True, config=_CONFIGURATION)) as connection:
            views = connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchall()[0][0]
            connection.execute("SELECT count(*) FROM published").fetchall()
    except duckdb.Error as error:
        return Checked("catalog", CATALOG, Soundness.DAMAGED, size_bytes=size_of(path), about=_first_line(error))
    return Checked("catalog", CATALOG, Soundness.OK, 0, size_of(path), f"{views} views")


_ALL_SEGMENTS = 1 << 62
_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config=_CONFIGURATION)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
