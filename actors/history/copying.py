"""A copy of all that is stored, laid beside the published files while the recorder stores and publishes on.

    tmp/copy-<name>/sealed/…            links to the sealed files, which are never changed in place
    tmp/copy-<name>/<table>.parquet     the rows of the history file that are not sealed, of one instant

`backup` makes a history of it, in the process that asked: the recorder has no more work than to write its open rows.
"""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Protocol

import duckdb

from actors.history.catalog import flowing, quoted
from actors.history.errors import HistoryError
from actors.history.folder import sealed_files
from actors.history.protocol import CopyMade
from actors.history.publication import sealed_through
from actors.history.schema import SEGMENT, TABLES, Keep

LEFT_BEHIND = 3_600.0
"""Seconds after which a copy that nobody took away is removed, at the next one."""


class Readable(Protocol):
    """The open history file (`store.HistoryStore`), as it is copied."""

    @property
    def folder(self) -> Path:
        """What is published of it."""
        ...

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection of its own, any thread."""
        ...


def make_copy(store: Readable, publishing: Executor, name: str) -> CopyMade:
    """Lay a copy into `tmp` of the folder; not on the publisher's thread.

    Args:
        store: The open history.
        publishing: The publisher's one thread: while the copy begins, nothing is sealed or dropped.
        name: What the copy is called by.
    """
    into = store.folder / "tmp" / f"copy-{name}"
    if not name.isalnum():
        return CopyMade("", why=f"a copy is called by letters and digits, got {name!r}")

    def begin() -> tuple[ExitStack, duckdb.DuckDBPyConnection, int]:
        with ExitStack() as stack:
            connection = stack.enter_context(store.reading())
            sealed = begin_copy(connection, store.folder, into)
            return stack.pop_all(), connection, sealed

    try:
        _remove_left_behind(store.folder)
        stack, connection, sealed = publishing.submit(begin).result()
        with stack:
            return CopyMade(str(into), sealed, write_rows(connection, into, sealed))
    except (duckdb.Error, HistoryError, OSError, RuntimeError) as error:  # RuntimeError: the recorder is ending
        shutil.rmtree(into, ignore_errors=True)
        return CopyMade("", why=str(error).partition("\n")[0])


def begin_copy(connection: duckdb.DuckDBPyConnection, folder: Path, into: Path) -> int:
    """Begin the transaction that the rows are read in, link the sealed files it counts on; return how far they go.

    Raises:
        duckdb.Error: The file cannot be read.
        OSError: The copy cannot be written.
    """
    connection.execute("BEGIN")
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'published'").fetchone()
    row = connection.execute("SELECT sealed FROM main.published").fetchone() if known is not None else None
    sealed = int(row[0]) if row is not None else -1
    into.mkdir(parents=True)
    for table in flowing():
        for file in sealed_files(folder, table.name):
            if sealed_through(file.name) <= sealed:
                target = into / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(file, target)
    return sealed


def write_rows(connection: duckdb.DuckDBPyConnection, into: Path, sealed: int) -> dict[str, int]:
    """Write the rows that are not sealed into a file a table, end the transaction; return how many, by table.

    Raises:
        duckdb.Error: They cannot be read or written.
    """
    columns = connection.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main'")
    there = set(columns.fetchall())
    rows: dict[str, int] = {}
    for table in TABLES:
        if (table.name, table.columns[0].name) not in there:
            continue
        is_cut = table.keep is not Keep.ALWAYS and (table.name, SEGMENT.name) in there
        condition = f"WHERE {SEGMENT.name} > {sealed}" if is_cut else ""
        target = quoted(into / f"{table.name}.parquet")
        row = connection.execute(
            f"COPY (SELECT * FROM main.{table.name} {condition}) TO '{target}' (FORMAT parquet, COMPRESSION snappy)"
        ).fetchone()
        rows[table.name] = int(row[0]) if row is not None else 0
    connection.execute("ROLLBACK")
    return rows


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without links
        shutil.copyfile(file, target)


def _remove_left_behind(folder: Path) -> None:
    for left in (folder / "tmp").glob("copy-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                shutil.rmtree(left, ignore_errors=True)
