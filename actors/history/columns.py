"""Packed rows in the form DuckDB reads without looking at each value: Arrow's C data interface.

A batch of thousands of rows goes into its table by one INSERT; an appender takes every value from Python by itself, at
several times the price. Structures and rules are those of the C data interface and the C stream interface, version 1
(https://arrow.apache.org/docs/format/CDataInterface.html), written with ctypes because what the recorder needs of them
is less than any library for them brings along.

Buffers belong to Python and outlive the statement that reads them: they are let go two streams later. So the
releases that DuckDB calls, on whatever thread and however late, free nothing and only say that they were called.
"""

from __future__ import annotations

import ctypes
from array import array
from itertools import count
from typing import Any, Final

from actors.history.packing import KINDS, Packed, PackedRows, ends_of
from actors.history.schema import Table

_FORMATS: Final = {"integer": b"l", "real": b"g", "instant": b"tsu:UTC", "text": b"u"}
_CODES: Final = b"C"
"""How Arrow calls the kinds of columns, and codes of a byte."""

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


class Columns:
    """Packed rows of one table, for DuckDB to read: registered once with a connection, filled before each INSERT.

    Belongs to the thread of the connection.

    Args:
        table: One that `packing.can_pack`.
    """

    def __init__(self, table: Table) -> None:
        self._names = [column.name.encode() for column in table.columns]
        self._nothing = [_Column(Packed(KINDS[column.type], b""), 0) for column in table.columns]
        self._columns = self._nothing
        self._length = 0
        self._streams: list[_Reading] = []

    def fill(self, packed: PackedRows) -> None:
        """Take rows that are `packing.checked` and of this table: `packing.fits`."""
        self.clear()
        self._columns, self._length = [_Column(cells, packed.count) for cells in packed.cells], packed.count

    def clear(self) -> None:
        """Hold no rows; the buffers of those there were are kept until the next time."""
        self._let_go(_KEPT)
        self._columns, self._length = self._nothing, 0

    def close(self) -> None:
        """Let go of everything; nothing reads any more."""
        self._let_go(0)
        self._columns, self._length = self._nothing, 0

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule with a stream of these rows, as DuckDB asks for one each time it reads."""
        reading = _Reading(self._names, self._columns, self._length)
        self._streams.append(reading)
        return _new_capsule(ctypes.addressof(reading.stream), _CAPSULE, None)

    def _let_go(self, kept: int) -> None:
        while len(self._streams) > kept:
            _readings.pop(self._streams.pop(0).key, None)


class _Column:
    """The buffers of one column, and the objects that own them; `words`: the texts its codes stand for."""

    __slots__ = ("addresses", "format", "length", "nulls", "owners", "words")

    def __init__(self, cells: Packed, length: int) -> None:
        self.length = length
        self.nulls = cells.nulls
        self.words: _Column | None = None
        self.format = _FORMATS[cells.kind]
        buffers: tuple[array[Any] | bytes, ...] = (cells.data,)
        if cells.codes:
            self.words = _Column(Packed(cells.kind, cells.data, cells.lengths), len(cells.lengths) // 4)
            self.format, buffers = _CODES, (cells.codes,)
        elif cells.kind == "text":
            buffers = (ends_of(cells), cells.data)
        self.owners = (cells.validity or None, *buffers)
        self.addresses = (ctypes.c_void_p * len(self.owners))(*map(_address, self.owners))

    def tell_schema(self, name: bytes, kept: list[object]) -> _Schema:
        words = None
        if self.words is not None:
            words = ctypes.pointer(self.words.tell_schema(b"", kept))
            kept.append(words)
        return _Schema(self.format, name, None, _NULLABLE, 0, None, words, _release_schema, None)

    def tell_rows(self, kept: list[object]) -> _Array:
        words = None
        if self.words is not None:
            words = ctypes.pointer(self.words.tell_rows(kept))
            kept.append(words)
        buffers = len(self.addresses)
        return _Array(self.length, self.nulls, 0, buffers, 0, self.addresses, None, words, _release_array, None)


class _Reading:
    """One stream: its structures, kept as long as anybody may look at them."""

    def __init__(self, names: list[bytes], columns: list[_Column], length: int) -> None:
        self.key = next(_keys)
        self.names, self.columns, self.length = names, columns, length
        self.kept: list[object] = []
        self.is_read = not length
        self.stream = _Stream(_get_schema, _get_next, _get_last_error, _release_stream, self.key)
        _readings[self.key] = self

    def tell_schema(self, out: _Schema) -> None:
        children = [column.tell_schema(name, self.kept) for name, column in zip(self.names, self.columns, strict=True)]
        pointers = (ctypes.POINTER(_Schema) * len(children))(*map(ctypes.pointer, children))
        self.kept += (children, pointers)
        out.format, out.name, out.metadata, out.flags = b"+s", b"", None, 0
        out.n_children, out.children, out.dictionary = len(children), pointers, None
        out.release, out.private_data = _release_schema, None

    def tell_rows(self, out: _Array) -> None:
        children = [column.tell_rows(self.kept) for column in self.columns]
        pointers = (ctypes.POINTER(_Array) * len(children))(*map(ctypes.pointer, children))
        no_validity = (ctypes.c_void_p * 1)(None)
        self.kept += (children, pointers, no_validity)
        out.length, out.null_count, out.offset = self.length, 0, 0
        out.n_buffers, out.n_children = 1, len(children)
        out.buffers, out.children, out.dictionary = no_validity, pointers, None
        out.release, out.private_data = _release_array, None


_readings: dict[int, _Reading] = {}
_keys = count(1)


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
