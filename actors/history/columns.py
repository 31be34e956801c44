"""Rows as columns in memory, in the form DuckDB reads without looking at each value: Arrow's C data interface.

A batch of thousands of rows goes into its table by one INSERT; an appender takes every value from Python by itself, at
twice the price. Structures and rules are those of the C data interface and the C stream interface, version 1
(https://arrow.apache.org/docs/format/CDataInterface.html), written with ctypes because what the recorder needs of them
is less than any library for them brings along.

Buffers belong to Python and outlive the statement that reads them: they are let go two streams later. So the
releases that DuckDB calls, on whatever thread and however late, free nothing and only say that they were called.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Sequence
from itertools import accumulate, count
from typing import Any, Final

from actors.history.schema import INSTANT, Table

FORMATS: Final = {"BIGINT": b"l", "DOUBLE": b"g", INSTANT: b"g", "VARCHAR": b"u"}
"""Types of columns that are passed, and how Arrow calls them; an instant is passed as its seconds since the epoch."""

LAST_INSTANT: Final = 4_102_444_800.0
"""Instants from here on (the year 2100), or before 1970, are left to the appender."""

_KEPT: Final = 2
"""Streams that are kept, with their buffers, after what reads them has ended."""

_NULLABLE: Final = 2
_CAPSULE: Final = b"arrow_array_stream"


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_ReleaseSchema = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
_ReleaseArray = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_ReleaseStream = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))
_GetLastError = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))

_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", _ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _ReleaseStream),
    ("private_data", ctypes.c_void_p),
]


def can_pass(table: Table) -> bool:
    """Whether all columns of `table` are of types that are passed."""
    return all(column.type in FORMATS for column in table.columns)


class Columns:
    """Rows of one table, for DuckDB to read: registered once with a connection, filled before each INSERT.

    Belongs to the thread of the connection. It has the table's columns, instants as seconds since the epoch.

    Args:
        table: One that `can_pass`.
    """

    def __init__(self, table: Table) -> None:
        self._names = [column.name.encode() for column in table.columns]
        self._types = [column.type for column in table.columns]
        self._length = 0
        self._columns: list[_Column] = []
        self._streams: list[_Reading] = []

    def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take `rows`, each whole and in the order of the table's columns.

        Raises:
            TypeError: A value is not of its column's type.
            ValueError: A row is too short or too long, an instant is none that is passed, or a text holds a lone
                surrogate (`UnicodeEncodeError`).
            OverflowError: An integer has more than 64 bits.
        """
        if any(len(row) != len(self._types) for row in rows):
            raise ValueError("a row is too short or too long")
        columns = [_column(kind, values) for kind, values in zip(self._types, zip(*rows, strict=True), strict=True)]
        self.clear()
        self._columns, self._length = columns, len(rows)

    def clear(self) -> None:
        """Hold no rows; the buffers of those there were are kept until the next time."""
        self._let_go(_KEPT)
        self._columns, self._length = [], 0

    def close(self) -> None:
        """Let go of everything; nothing reads any more."""
        self._let_go(0)
        self._columns, self._length = [], 0

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule with a stream of these rows, as DuckDB asks for one each time it reads."""
        reading = _Reading(self._names, self._types, self._columns, self._length)
        self._streams.append(reading)
        return _new_capsule(ctypes.addressof(reading.stream), _CAPSULE, None)

    def _let_go(self, kept: int) -> None:
        while len(self._streams) > kept:
            _readings.pop(self._streams.pop(0).key, None)


class _Column:
    """The buffers of one column, and the objects that own them."""

    __slots__ = ("addresses", "nulls", "owners")

    def __init__(self, values: Sequence[Any], *buffers: array[Any] | bytes) -> None:
        self.nulls = values.count(None)
        validity = _validity(values) if self.nulls else None
        self.owners = (validity, *buffers)
        self.addresses = (ctypes.c_void_p * len(self.owners))(*map(_address, self.owners))


class _Reading:
    """One stream: its structures, kept as long as anybody may look at them."""

    def __init__(self, names: list[bytes], types: list[str], columns: list[_Column], length: int) -> None:
        self.key = next(_keys)
        self.names, self.types, self.columns, self.length = names, types, columns, length
        self.kept: list[object] = []
        self.is_read = not columns
        self.stream = _Stream(_get_schema, _get_next, _get_last_error, _release_stream, self.key)
        _readings[self.key] = self

    def tell_schema(self, out: _Schema) -> None:
        children = [
            _Schema(FORMATS[kind], name, None, _NULLABLE, 0, None, None, _release_schema, None)
            for name, kind in zip(self.names, self.types, strict=True)
        ]
        pointers = (ctypes.POINTER(_Schema) * len(children))(*map(ctypes.pointer, children))
        self.kept += (children, pointers)
        out.format, out.name, out.metadata, out.flags = b"+s", b"", None, 0
        out.n_children, out.children, out.dictionary = len(children), pointers, None
        out.release, out.private_data = _release_schema, None

    def tell_rows(self, out: _Array) -> None:
        children = [
            _Array(
                self.length, column.nulls, 0, len(column.addresses), 0, column.addresses, None, None, _release_array,
                None,
            )
            for column in self.columns
        ]  # fmt: skip
        pointers = (ctypes.POINTER(_Array) * len(children))(*map(ctypes.pointer, children))
        no_validity = (ctypes.c_void_p * 1)(None)
        self.kept += (children, pointers, no_validity)
        out.length, out.null_count, out.offset = self.length, 0, 0
        out.n_buffers, out.n_children = 1, len(children)
        out.buffers, out.children, out.dictionary = no_validity, pointers, None
        out.release, out.private_data = _release_array, None


_readings: dict[int, _Reading] = {}
_keys = count(1)


def _column(kind: str, values: tuple[Any, ...]) -> _Column:
    if kind == "VARCHAR":
        texts = values if None not in values else ["" if value is None else value for value in values]
        text = "".join(texts)
        data = text.encode()
        lengths = map(len, texts) if len(data) == len(text) else (len(value.encode()) for value in texts)
        return _Column(values, array("i", accumulate(lengths, initial=0)), data or b"\0")
    numbers = values if None not in values else [0 if value is None else value for value in values]
    if kind == "BIGINT":
        return _Column(values, array("q", numbers))
    if kind == INSTANT and not (math.isfinite(sum(numbers)) and min(numbers) >= 0.0 and max(numbers) < LAST_INSTANT):
        raise ValueError("an instant is out of range")
    return _Column(values, array("d", numbers))


def _validity(values: Sequence[Any]) -> bytes:
    """Return a bit for each value, the first the lowest of the first byte: 0 for None."""
    bits = "".join("0" if value is None else "1" for value in reversed(values))
    return int(bits, 2).to_bytes((len(values) + 7) // 8, "little")


def _address(buffer: array[Any] | bytes | None) -> int | None:
    if buffer is None:
        return None
    return (
        ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value
        if isinstance(buffer, bytes)
        else buffer.buffer_info()[0]
    )


def _tell_schema(stream: Any, out: Any) -> int:
    reading = _readings.get(stream.contents.private_data)
    if reading is None:
        return _INVALID
    reading.tell_schema(out.contents)
    return 0


def _tell_next(stream: Any, out: Any) -> int:
    reading = _readings.get(stream.contents.private_data)
    if reading is None:
        return _INVALID
    if reading.is_read:
        out.contents.release = _ReleaseArray()
    else:
        reading.is_read = True
        reading.tell_rows(out.contents)
    return 0


def _tell_error(_: Any) -> bytes:
    return b"the rows are no longer kept"


def _schema_released(schema: Any) -> None:
    schema.contents.release = _ReleaseSchema()


def _array_released(rows: Any) -> None:
    rows.contents.release = _ReleaseArray()


def _stream_released(stream: Any) -> None:
    stream.contents.release = _ReleaseStream()


_get_schema = _GetSchema(_tell_schema)
_get_next = _GetNext(_tell_next)
_get_last_error = _GetLastError(_tell_error)
_release_schema = _ReleaseSchema(_schema_released)
_release_array = _ReleaseArray(_array_released)
_release_stream = _ReleaseStream(_stream_released)

_INVALID: Final = 22  # EINVAL

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
