"""What the recorder is told and asked, and what it answers: the messages between a node and its history.

    feed      -- Store(source, batch, rows) -->  recorder        <-- Stored(source, batch, outcome)
    actorctl  -- Query(sql, limits) ---------->  recorder        <-- QueryResult | QueryFailed

A batch is known by (source, batch): sent again it is stored once. A `Stored` with outcome `stored` or `duplicate` is a
promise: the rows survive kill -9 of every process. `refused` promises nothing and the batch is to be sent again.

Rows and cells travel as msgpack inside `bytes`, so that a message stays typed while its tables stay open-ended. Many
rows of a table are packed as columns (`packing`); few, or odd ones, are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct, structs

from actors.history.errors import QueryProblem
from actors.history.packing import Packed, PackedRows, checked, unpack
from actors.messages import Message

Scalar = str | int | float | bool | None
"""What a query's parameter may be."""

Cell = None | bool | int | float | str | list[Any] | dict[str, Any]
"""One value of a result; lists and dicts hold cells again."""

BATCH_ROWS_LIMIT = 4_000
"""Rows of one batch, and so of one commit, whose own price is some milliseconds of processor."""

QUERY_ROWS_LIMIT = 10_000
QUERY_BYTES_LIMIT = 8 * 1024 * 1024
RESULT_BYTES_LIMIT = 12 * 1024 * 1024
"""Most bytes of a result, whatever a query asks for: it has to pass as one frame."""
QUERY_TIMEOUT = 10.0


class TableRows(Struct, frozen=True, array_like=True):
    """Rows of one table, with the columns they were made for: an older program's rows fit a newer table.

    Instants are seconds since the epoch (`float`).
    """

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]]


class _Wired(Struct, frozen=True, array_like=True):
    """A `TableRows`, or the `PackedRows` that have nothing where it has its rows."""

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]] | None
    count: int = 0
    cells: tuple[Packed, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_tables = msgspec.msgpack.Decoder(list[_Wired])
_cells = msgspec.msgpack.Decoder(list[list[Any]])


def encode_rows(tables: Sequence[TableRows | PackedRows]) -> bytes:
    """Return the form `Store.rows` has.

    Raises:
        TypeError: A value is of a type msgpack does not know.
        OverflowError: An integer has more than 64 bits.
        UnicodeEncodeError: A text holds a lone surrogate.
    """
    return _encoder.encode(tables)


def decode_tables(data: bytes) -> list[TableRows | PackedRows]:
    """Return what `encode_rows` was given, packed rows checked.

    Raises:
        msgspec.DecodeError: `data` is not such a form (`ValidationError` among them).
        ValueError: A text is no UTF-8, or packed rows lead outside their buffers.
    """
    return [
        TableRows(wired.table, wired.columns, wired.rows)
        if wired.rows is not None
        else checked(PackedRows(wired.table, wired.columns, None, wired.count, wired.cells))
        for wired in _tables.decode(data)
    ]


def decode_rows(data: bytes) -> list[TableRows]:
    """Return what `encode_rows` was given, all of it as rows.

    Raises:
        msgspec.DecodeError: As `decode_tables`.
        ValueError: As `decode_tables`.
    """
    return [part if isinstance(part, TableRows) else as_rows(part) for part in decode_tables(data)]


def as_rows(packed: PackedRows) -> TableRows:
    """Return packed rows, checked, as rows."""
    return TableRows(packed.table, packed.columns, unpack(packed))


class Outcome(Enum):
    """What became of a batch."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class Stored(Struct, frozen=True):
    """The answer to `Store`.

    Attributes:
        source: As in the `Store`.
        batch: As in the `Store`.
        outcome: `stored`: in the file now. `duplicate`: was there already. `refused`: not stored, send it again.
        rejected: Rows that the tables could not take; they are kept as text in the table `rejects`.
        why: For `refused`: what stood in the way.
        retry_after: For `refused`: seconds to wait before it is sent again.
        notices: What the recorder has to report since its last answer, each once: damage repaired, batches missing.
    """

    source: str
    batch: int
    outcome: Outcome
    rejected: int = 0
    why: str = ""
    retry_after: float = 0.0
    notices: tuple[Notice, ...] = ()


class Notice(Struct, frozen=True):
    """Something that happened to the history itself.

    Attributes:
        rows: Rows lost by it; 0 where nobody can know.
        why: What happened, to which file, and where the remains are.
    """

    rows: int
    why: str


class Store(Message[Stored], frozen=True):
    """Store a batch of rows, all or none.

    Attributes:
        source: Who numbered the batch, unique for one run of one feed (`openclaw#1763694000`).
        batch: Its number, counted from 1 per source.
        rows: `encode_rows` of its rows.
        count: How many rows these are.
        acknowledged: Every batch up to this number was acknowledged before; the recorder reports those it misses.
    """

    source: str
    batch: int
    rows: bytes
    count: int
    acknowledged: int = 0


class QueryResult(Struct, frozen=True, tag="result"):
    """Rows of a query.

    Attributes:
        columns: Names, as the query gave them; they may repeat.
        types: DuckDB's type of each column.
        cells: msgpack of the rows; see `rows`.
        count: How many rows.
        truncated: Whether there were more rows than the limits allow.
        seconds: How long it took.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    cells: bytes
    count: int
    truncated: bool
    seconds: float

    @property
    def rows(self) -> list[list[Any]]:
        """The rows, each a list of cells.

        Cells are None, bool, int (64 bits), float (NaN and the infinities too), str, lists and dicts of cells. Instants
        are ISO 8601 text, with `Z` where the type has a time zone; intervals are seconds; decimals are floats where the
        float is the same number, else text; blobs are text with `\\xNN`; UUIDs and integers beyond 64 bits are text.
        """
        return _cells.decode(self.cells)


class QueryFailed(Struct, frozen=True, tag="failed"):
    """A query without a result: `problem` is one of `QueryProblem`."""

    problem: QueryProblem
    message: str
    hint: str = ""


QueryAnswer = QueryResult | QueryFailed


class Query(Message[QueryResult | QueryFailed], frozen=True):
    """Run one reading statement.

    Attributes:
        sql: The statement; parameters are written `$name`.
        parameters: Values of the parameters.
        limit_rows: Most rows to return.
        limit_bytes: Most bytes of msgpack to return, `RESULT_BYTES_LIMIT` at most; the first row may exceed it.
        timeout: Seconds after which it is interrupted.
        memory_bytes: Most memory of its sorts and hash tables; 0, or more than the recorder allows: as it allows.
        key: Who asks calls it this, to interrupt it or to see how far it is; "": neither is wanted.
    """

    sql: str
    parameters: dict[str, str | int | float | bool | None] = {}
    limit_rows: int = QUERY_ROWS_LIMIT
    limit_bytes: int = QUERY_BYTES_LIMIT
    timeout: float = QUERY_TIMEOUT
    memory_bytes: int = 0
    key: str = ""


class QueryBounds(Struct, frozen=True):
    """What queries may ask for at most: seconds, rows, bytes."""

    timeout: float
    rows: int
    bytes: int

    def bound(self, query: Query) -> Query:
        """Return `query` within these bounds."""
        return structs.replace(
            query,
            timeout=min(query.timeout, self.timeout),
            limit_rows=min(query.limit_rows, self.rows),
            limit_bytes=min(query.limit_bytes, self.bytes),
        )


class CancelQuery(Message[bool], frozen=True):
    """Interrupt the query called `key`. Answered with whether there is one."""

    key: str


class QueryProgress(Message[float], frozen=True):
    """Ask how far the query called `key` is: 0 to 100, or -1 where that is not known."""

    key: str


class CheckpointDone(Struct, frozen=True):
    """The answer to `Checkpoint`: `why` says what stood in the way when not `done`."""

    done: bool
    seconds: float
    why: str = ""


class Checkpoint(Message[CheckpointDone], frozen=True):
    """Move the write-ahead log into the file now."""


class PrunedPart(Struct, frozen=True):
    """Something that was forgotten, or would be.

    Attributes:
        table: Whose rows.
        rows: How many; 0 where the file they were in cannot be read.
        size_bytes: Bytes of the disk that are free then; 0 for rows of the history file, which keeps their room.
        file: The sealed file they were in; "" for rows of the history file.
    """

    table: str
    rows: int
    size_bytes: int = 0
    file: str = ""


class Pruned(Struct, frozen=True):
    """The answer to `Prune`.

    Attributes:
        rows: Rows of the history file deleted, by table; tables without a deletion are left out.
        used_bytes: Bytes of the file in use afterwards.
        free_bytes: Bytes of the file that new rows will take before it grows.
        why: What stood in the way, or "".
        dropped_bytes: Bytes of sealed days that were dropped, by table.
        parts: All that, one by one.
    """

    rows: dict[str, int]
    used_bytes: int
    free_bytes: int
    why: str = ""
    dropped_bytes: dict[str, int] = {}
    parts: tuple[PrunedPart, ...] = ()


class Prune(Message[Pruned], frozen=True):
    """Delete what is older than the retention, and the oldest days while the history is above its budget.

    Attributes:
        events_age: Seconds to keep events and what is made from them; None: as the recorder is configured.
        metrics_age: Seconds to keep metrics; None: as the recorder is configured.
        max_bytes: Bytes to keep; None: as the recorder is configured.
        is_dry_run: Delete nothing, and answer with what would go.
    """

    events_age: float | None = None
    metrics_age: float | None = None
    max_bytes: int | None = None
    is_dry_run: bool = False


class CopyMade(Struct, frozen=True):
    """The answer to `Copy`.

    Attributes:
        folder: Where it is, for whoever asked to take it away; "" where there is none.
        sealed: The last segment that is in sealed files.
        rows: Rows of the history file in it, by table.
        why: Why there is none, or "".
    """

    folder: str
    sealed: int = -1
    rows: dict[str, int] = {}
    why: str = ""


class Copy(Message[CopyMade], frozen=True):
    """Lay a copy of all that is stored now beside the published files; it is removed an hour later.

    Attributes:
        name: What the folder is called by: letters and digits.
    """

    name: str


class RecorderStatistics(Struct, frozen=True):
    """A snapshot of the recorder.

    Attributes:
        path: The history file.
        schema_version: Its schema; 0 while it is not open.
        batches: Batches stored since the file was opened, as all counts of batches and rows.
        rows: Rows stored since then.
        duplicates: Batches that came again and were not stored twice.
        refused: Batches refused (disk full).
        rejected: Rows that went to `rejects`.
        queries: Queries answered with rows; `failed_queries`: without.
        running_queries: Queries running now.
        file_bytes: Size of the file.
        wal_bytes: Size of its write-ahead log.
        last_stored_at: Wall clock of the last commit, seconds since the epoch; 0 before the first.
        store_seconds: Time spent in storing, in all.
        problem: Why nothing can be stored at the moment, or "".
        published_at: Wall clock of the last publication for other tools, seconds since the epoch; 0 before the first.
        publish_problem: Why nothing can be published at the moment, or "".
    """

    path: str
    schema_version: int
    batches: int
    rows: int
    duplicates: int
    refused: int
    rejected: int
    queries: int
    failed_queries: int
    running_queries: int
    file_bytes: int
    wal_bytes: int
    last_stored_at: float
    store_seconds: float
    problem: str
    published_at: float = 0.0
    publish_problem: str = ""


class Statistics(Message[RecorderStatistics], frozen=True):
    """Ask the recorder how it is."""
