"""Rows into batches: grouped by table, bounded in rows and text, encoded. No clock, no thread, no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.events import Event
from actors.history.packing import PackedRows, can_pack, pack
from actors.history.payloads import CONTAINERS, is_huge, text
from actors.history.protocol import TableRows, encode_rows
from actors.history.rows import NodeRun, Row, row_of_run, rows_of
from actors.history.schema import BY_NAME

PACKED_FROM = 250
"""Rows of a table from which they are packed: an INSERT has a price of its own, a few milliseconds."""

_COLUMNS = {name: table.column_names for name, table in BY_NAME.items()}
_PACKED = {name for name, table in BY_NAME.items() if can_pack(table)}
_REJECT_LIMIT = 10_000
_ROW_BYTES_LIMIT = 5 * 1024 * 1024
_CUT = 100_000


class BatchMaker:
    """Makes batches of events and hands them on. Not thread-safe.

    A batch with one huge event is about 10 MiB at most: it passes as one frame.

    An event that cannot be broken down, or whose values msgpack does not have, becomes a row of `rejects`.

    Args:
        run: This run of the node; the first batch holds its row.
        put: Takes the encoded rows of a batch and how many they are.
        rows_limit: Rows of a batch at most, the two of its last event excepted.
        bytes_limit: Bytes of text after which a batch is full.
        between: Called now and then while a batch is packed, where others are to be let in.

    Attributes:
        events: Events taken.
        rows: Rows made of them.
    """

    def __init__(
        self,
        run: NodeRun,
        put: Callable[[bytes, int], None],
        *,
        rows_limit: int,
        bytes_limit: int,
        between: Callable[[], object] | None = None,
    ) -> None:
        self.events = 0
        self.rows = 0
        self._run = run
        self._put = put
        self._rows_limit = rows_limit
        self._bytes_limit = bytes_limit
        self._between = between
        self._tables: dict[str, list[Row]] = {}
        self._count = 0
        self._bytes = 0
        table, row = row_of_run(run)
        self._add(table, row, _text_bytes(row))

    def add(self, seq: int, event: Event) -> None:
        """Add the rows of `event`; hand the batch on when it is full."""
        self.events += 1
        try:
            rows = rows_of(seq, self._run.epoch, event)
            sizes = [_text_bytes(row) for _, row in rows]
        except Exception as error:  # an event's fields are what its publisher put there
            rows = [("rejects", self._reject(event, error))]
            sizes = [_text_bytes(row) for _, row in rows]
        if self._bytes and self._bytes + sum(sizes) > self._bytes_limit:
            self.finish()
        for (table, row), size in zip(rows, sizes, strict=True):
            self._add(table, row, size)
        if self._count >= self._rows_limit or self._bytes >= self._bytes_limit:
            self.finish()

    def finish(self) -> None:
        """Hand on what there is, if there is anything."""
        if not self._count:
            return
        tables, count = self._tables, self._count
        self._tables, self._count, self._bytes = {}, 0, 0
        try:
            data = _encoded(tables, self._between)
        except (TypeError, ValueError, OverflowError, RecursionError):
            data = _encoded(self._sifted(tables))
        self._put(data, count)

    def _add(self, table: str, row: Row, size: int) -> None:
        if table != "events" and size > _ROW_BYTES_LIMIT:  # the text of an event is bounded in itself
            row = tuple(_cut(value) if isinstance(value, str) else value for value in row)
        rows = self._tables.get(table)
        if rows is None:
            rows = self._tables[table] = []
        rows.append(row)
        self._count += 1
        self._bytes += size
        self.rows += 1

    def _sifted(self, tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
        """Return `tables` with each row that cannot be encoded made a row of `rejects`."""
        sifted: dict[str, list[Row]] = {}
        for table, rows in tables.items():
            for row in rows:
                try:
                    _encoded({table: [row]})
                except (TypeError, ValueError, OverflowError, RecursionError) as error:
                    sifted.setdefault("rejects", []).append(self._reject(row, error, table))
                else:
                    sifted.setdefault(table, []).append(row)
        return sifted

    def _reject(self, content: object, error: Exception, table: str = "events") -> Row:
        at: Any = getattr(content, "at", self._run.started_at)
        if at.__class__ is not float or not 0.0 <= at < 1e11:
            at = self._run.started_at
        said = f"{type(error).__name__}: {error}"
        return (at, f"{self._run.node}#{self._run.epoch}", 0, table, text(said), text(content)[:_REJECT_LIMIT])


def _text_bytes(row: Row) -> int:
    """Return the bytes of the texts in `row`.

    Raises:
        ValueError: It holds more values than any column has.
    """
    size = 0
    for value in row:
        kind = value.__class__
        if kind is str:
            size += len(value) if value.isascii() else len(value.encode("utf-8", "backslashreplace"))
        elif kind in CONTAINERS:
            if is_huge(value):
                raise ValueError(f"a {kind.__name__} of too many values")
            size += sum(len(one) for one in value if one.__class__ is str)
        elif kind is bytes:
            size += len(value)
    return size


def _cut(value: str) -> str:
    if len(value) <= _CUT:
        return value
    half = _CUT // 2
    return f"{value[:half]}\n… {len(value) - 2 * half} characters cut …\n{value[-half:]}"


def _encoded(tables: dict[str, list[Row]], between: Callable[[], object] | None = None) -> bytes:
    return encode_rows([_part(table, rows, between) for table, rows in tables.items()])


def _part(table: str, rows: list[Row], between: Callable[[], object] | None) -> TableRows | PackedRows:
    if table in _PACKED and len(rows) >= PACKED_FROM:
        try:
            return pack(BY_NAME[table], rows, between=between)
        except (TypeError, ValueError, OverflowError):
            pass  # as rows the odd one is told from the others
    return TableRows(table, _COLUMNS[table], rows)  # type: ignore[arg-type]  # rows are tuples here and lists once decoded
