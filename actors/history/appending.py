"""Rows into tables: many at once as columns, few by DuckDB's appenders; and what becomes of a row no table can take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb
from msgspec import Struct

from actors.history.columns import Columns
from actors.history.packing import PackedRows, can_pack, fits, pack
from actors.history.payloads import text
from actors.history.protocol import TableRows, as_rows
from actors.history.schema import BY_NAME, INSTANT, SEGMENT, TABLES, Table

COLUMNS_FROM = 500
"""Rows of a table from which they are inserted as columns: an INSERT has a price of its own, some milliseconds."""

REJECT_LIMIT = 10_000
"""Most characters kept of a row that its table could not take."""


class Reject(Struct, frozen=True):
    """A row that its table could not take."""

    table: str
    error: str
    content: str


class Appenders:
    """The ways into the tables of one connection, outside a transaction when made. Belongs to the connection's thread.

    Args:
        connection: Whose transaction the rows go into.

    Attributes:
        fresh: Rows appended by table, since they were last taken; those of a transaction that failed are among them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.fresh: dict[str, int] = {}
        self._connection = connection
        self._appenders: dict[str, duckdb.Appender] = {}
        self._columns: dict[str, Columns] = {}
        for table in TABLES:
            if can_pack(table):
                columns = self._columns[table.name] = Columns(table)
                connection.register(_source(table), columns)

    def append(self, table: TableRows | PackedRows, segment: int, rejects: list[Reject]) -> int:
        """Append the rows of one table to the open transaction; those it cannot take are added to `rejects`.

        Returns how many were appended.
        """
        if isinstance(table, PackedRows):
            if fits(table):
                self._insert(table, segment)
                return table.count
            table = as_rows(table)  # an older program's
        spec = BY_NAME.get(table.table)
        if spec is None or not set(table.columns) <= set(spec.column_names):
            why = "no such table" if spec is None else f"no such columns in {table.columns}"
            rejects.extend(Reject(text(table.table), why, _content(row)) for row in table.rows)
            return 0
        whole = table.columns == spec.column_names
        if whole and len(table.rows) >= COLUMNS_FROM:
            packed = _packed(spec, table.rows)
            if packed is not None:
                self._insert(packed, segment)
                return packed.count
        appender = self._of(table.table) if whole else self._made(table.table, table.columns)  # an older program's
        types = {column.name: column.type for column in spec.columns}
        instants = [at for at, name in enumerate(table.columns) if types[name] == INSTANT]
        for row in table.rows:
            row.append(segment)
        try:
            instant = datetime.fromtimestamp
            for at in instants:
                for row in table.rows:
                    if row[at] is not None:
                        row[at] = instant(row[at], UTC)
            appender.append_rows(table.rows)
        except (duckdb.Error, TypeError, ValueError, OverflowError, OSError, IndexError):
            appender.clear()  # it kept the rows before the bad one
            stored = _append_singly(appender, table, instants, rejects)
        else:
            stored = len(table.rows)
        appender.flush()
        self._count(table.table, stored)
        return stored

    def append_own(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Append rows of the recorder's own, whole and in the order of the table's columns."""
        appender = self._of(table)
        appender.append_rows(list(rows))
        appender.flush()
        self._count(table, len(rows))

    def clear(self) -> None:
        """Forget what was appended and not stored: it outlives a rollback and would go into the next batch."""
        for appender in self._appenders.values():
            appender.clear()

    def close(self) -> None:
        """Let go of the connection."""
        self._appenders.clear()
        for columns in self._columns.values():
            columns.close()

    def _insert(self, packed: PackedRows, segment: int) -> None:
        columns = self._columns[packed.table]
        columns.fill(packed)
        try:
            self._connection.execute(_insertion(BY_NAME[packed.table], segment))
        finally:
            columns.clear()
        self._count(packed.table, packed.count)

    def _of(self, table: str) -> duckdb.Appender:
        appender = self._appenders.get(table)
        if appender is None:
            appender = self._appenders[table] = self._made(table, BY_NAME[table].column_names)
        return appender

    def _made(self, table: str, columns: Sequence[str]) -> duckdb.Appender:
        """An appender for rows of these columns and their segment, wherever these stand in the file."""
        return self._connection.appender(table, columns=[*columns, SEGMENT.name])

    def _count(self, table: str, count: int) -> None:
        if count:
            self.fresh[table] = self.fresh.get(table, 0) + count


def _source(table: Table) -> str:
    return f"rows_for_{table.name}"


def _insertion(table: Table, segment: int) -> str:
    """Return the INSERT of the rows that the columns of `table` hold."""
    names = ", ".join(table.column_names)
    return f"INSERT INTO {table.name} ({names}, {SEGMENT.name}) SELECT {names}, {segment} FROM {_source(table)}"


def _packed(table: Table, rows: list[list[object]]) -> PackedRows | None:
    """Return `rows` packed; None where one of them is odd, and is found row by row."""
    if not can_pack(table):
        return None
    try:
        return pack(table, rows)
    except (TypeError, ValueError, OverflowError):
        return None


def _append_singly(appender: duckdb.Appender, table: TableRows, instants: list[int], rejects: list[Reject]) -> int:
    """Append row by row what could not be appended together; instants may be converted already."""
    stored = 0
    for row in table.rows:
        try:
            for at in instants:
                if row[at] is not None and not isinstance(row[at], datetime):
                    row[at] = datetime.fromtimestamp(row[at], UTC)
            appender.append_row(*row)
        except (duckdb.Error, TypeError, ValueError, OverflowError, OSError, IndexError) as error:
            rejects.append(Reject(table.table, text(_first_line(error)), _content(row[:-1])))  # without its segment
        else:
            stored += 1
    return stored


def _content(row: object) -> str:
    return text(row)[:REJECT_LIMIT]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
