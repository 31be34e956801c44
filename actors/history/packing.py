"""Rows of a table as columns of bytes: made once where a batch is made, passed on by the recorder as they are.

    values of a column  ── pack ──►  buffers of Arrow's layout  ── wire, spool ──►  checked  ──►  DuckDB

What is the same for many rows (a class, a topic, a path) is there once, and a byte a row says which. Numbers have the
machine's byte order: they come from a process, or a spool file, of this machine. Pure; knows no DuckDB.

What a recorder is sent is checked before DuckDB reads it, for DuckDB takes lengths and codes at their word.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from msgspec import Struct

from actors.history.schema import BY_NAME, INSTANT, Table

KINDS: Final = {"BIGINT": "integer", "DOUBLE": "real", INSTANT: "instant", "VARCHAR": "text"}
"""Types of columns that are packed, and what their buffers are."""

LAST_INSTANT: Final = 4_102_444_800.0
"""Instants from here on (the year 2100), or before 1970, are not packed."""

WORDS_LIMIT: Final = 256
"""Different texts of a column that a byte tells apart."""

_SAMPLE: Final = 32
_REPEATED: Final = 16
_NUMBER_BYTES: Final = 8
_MICROSECONDS: Final = 1_000_000


class Packed(Struct, frozen=True, array_like=True):
    """One column.

    Attributes:
        kind: `integer`: signed, 64 bits each. `real`: doubles. `instant`: microseconds since the epoch, as `integer`.
            `text`: UTF-8, one after the other.
        data: The values; where there are `codes`, each different one once. Nothing counts where there is no value.
        lengths: For `text`: bytes of each, 32 bits unsigned.
        codes: For `text`: a byte a row, which of the texts it has; empty: as many texts as rows.
        nulls: Rows without a value.
        validity: Where there are such: a bit a row, the first the lowest of the first byte; 0: no value.
    """

    kind: str
    data: bytes
    lengths: bytes = b""
    codes: bytes = b""
    nulls: int = 0
    validity: bytes = b""


class PackedRows(Struct, frozen=True, array_like=True):
    """Rows of one table, packed. `rows` is nothing: it is where a `TableRows` has its rows."""

    table: str
    columns: tuple[str, ...]
    rows: None
    count: int
    cells: tuple[Packed, ...]


def can_pack(table: Table) -> bool:
    """Whether all columns of `table` are of types that are packed."""
    return all(column.type in KINDS for column in table.columns)


def pack(table: Table, rows: Sequence[Sequence[Any]], *, between: Callable[[], object] | None = None) -> PackedRows:
    """Return `rows`, at least one, each whole and in the order of the columns of `table`, which `can_pack`.

    Args:
        table: Whose rows they are.
        rows: The rows.
        between: Called before each column, where others are to be let in.

    Raises:
        TypeError: A value is not of its column's type.
        ValueError: A row is too short or too long, an instant is none that is packed, or a text holds a lone surrogate.
        OverflowError: An integer has more than 64 bits.
    """
    if any(len(row) != len(table.columns) for row in rows):
        raise ValueError("a row is too short or too long")
    cells: list[Packed] = []
    for column, values in zip(table.columns, zip(*rows, strict=True), strict=True):
        if between is not None:
            between()
        cells.append(_packed(KINDS[column.type], values))
    return PackedRows(table.name, table.column_names, None, len(rows), tuple(cells))


def unpack(packed: PackedRows) -> list[list[Any]]:
    """Return the rows of `packed`, which is `checked`; instants as seconds."""
    return [list(row) for row in zip(*(_values(cells, packed.count) for cells in packed.cells), strict=True)]


def checked(packed: PackedRows) -> PackedRows:
    """Return `packed`, of which nothing leads outside its buffers.

    Raises:
        ValueError: Something does.
    """
    if packed.count < 1 or len(packed.columns) != len(packed.cells):
        raise ValueError(f"{packed.table}: {len(packed.cells)} columns of {packed.count} rows")
    for name, cells in zip(packed.columns, packed.cells, strict=True):
        wrong = _fault(cells, packed.count)
        if wrong:
            raise ValueError(f"{packed.table}.{name}: {wrong}")
    return packed


def ends_of(cells: Packed) -> array[int]:
    """Return where each text ends, 0 before the first: 32 bits each."""
    return array("i", accumulate(_numbers("I", cells.lengths), initial=0))


def fits(packed: PackedRows) -> bool:
    """Whether `packed` has the columns of its table, all and in their order."""
    table = BY_NAME.get(packed.table)
    return (
        table is not None
        and packed.columns == table.column_names
        and all(KINDS.get(column.type) == cells.kind for column, cells in zip(table.columns, packed.cells, strict=True))
    )


def _packed(kind: str, values: tuple[Any, ...]) -> Packed:
    nulls = values.count(None)
    validity = _validity(values) if nulls else b""
    if kind == "text":
        return _packed_texts(values, nulls, validity)
    numbers: Sequence[Any] = [0 if value is None else value for value in values] if nulls else values
    if kind == "instant":
        numbers = _microseconds(numbers)
    return Packed(kind, array("d" if kind == "real" else "q", numbers).tobytes(), nulls=nulls, validity=validity)


def _packed_texts(values: tuple[Any, ...], nulls: int, validity: bytes) -> Packed:
    codes = b""
    texts: Sequence[Any] = values
    if len(values) > 1 and len(set(values[:_SAMPLE])) <= _REPEATED:
        found = {value: number for number, value in enumerate(dict.fromkeys(values))}
        if len(found) <= WORDS_LIMIT:
            codes = bytes(map(found.__getitem__, values))
            texts = tuple(found)
    if nulls:
        texts = ["" if text is None else text for text in texts]
    joined = "".join(texts)
    data = joined.encode()
    lengths = map(len, texts) if len(data) == len(joined) else (len(text.encode()) for text in texts)
    return Packed("text", data, array("I", lengths).tobytes(), codes, nulls, validity)


def _microseconds(seconds: Sequence[float]) -> list[int]:
    """Return instants as Python rounds them (`datetime.fromtimestamp`)."""
    if not (min(seconds) >= 0.0 and max(seconds) < LAST_INSTANT):  # what is no number, `int` finds
        raise ValueError("an instant is out of range")
    return [int(at) * _MICROSECONDS + round(at % 1.0 * 1e6) for at in seconds]


def _validity(values: Sequence[Any]) -> bytes:
    bits = "".join("0" if value is None else "1" for value in reversed(values))
    return int(bits, 2).to_bytes((len(values) + 7) // 8, "little")


def _fault(cells: Packed, count: int) -> str:
    """Return what is wrong with a column of `count` rows, or ""."""
    if cells.nulls < 0 or len(cells.validity) != ((count + 7) // 8 if cells.nulls else 0):
        return f"{len(cells.validity)} bytes say which of {count} rows have a value"
    match cells.kind:
        case "integer" | "real" | "instant":
            if len(cells.data) != count * _NUMBER_BYTES:
                return f"{len(cells.data)} bytes of numbers for {count} rows"
            if cells.kind == "instant":
                instants = _numbers("q", cells.data)
                if min(instants) < 0 or max(instants) > LAST_INSTANT * _MICROSECONDS:
                    return "an instant is out of range"
            return ""
        case "text":
            return _fault_of_texts(cells, count)
        case _:
            return f"no kind of column: {cells.kind}"


def _fault_of_texts(cells: Packed, count: int) -> str:
    if len(cells.lengths) % 4 or len(cells.data) >= 1 << 31:
        return f"{len(cells.data)} bytes of text, {len(cells.lengths)} bytes of lengths"
    lengths = _numbers("I", cells.lengths)
    if cells.codes:
        if len(cells.codes) != count or len(lengths) > WORDS_LIMIT:
            return f"{len(cells.codes)} codes of {len(lengths)} texts for {count} rows"
        if cells.codes.translate(None, bytes(range(len(lengths)))):
            return "a code of no text"
    elif len(lengths) != count:
        return f"{len(lengths)} texts for {count} rows"
    if sum(lengths) != len(cells.data):
        return f"{len(cells.data)} bytes of text, {sum(lengths)} by their lengths"
    if not cells.data.isascii():
        try:
            for text in _texts(cells):
                text.decode()
        except UnicodeDecodeError as error:
            return str(error)
    return ""


def _texts(cells: Packed) -> Iterator[bytes]:
    at = 0
    for length in _numbers("I", cells.lengths):
        yield cells.data[at : at + length]
        at += length


def _values(cells: Packed, count: int) -> Sequence[Any]:
    values: Sequence[Any]
    match cells.kind:
        case "text":
            values = [text.decode() for text in _texts(cells)]
            if cells.codes:
                values = [values[code] for code in cells.codes]
        case "instant":
            values = [at / _MICROSECONDS for at in _numbers("q", cells.data)]
        case _:
            values = _numbers("d" if cells.kind == "real" else "q", cells.data)
    if not cells.nulls:
        return values
    bits = int.from_bytes(cells.validity, "little")
    return [value if bits >> at & 1 else None for at, value in zip(range(count), values, strict=True)]


def _numbers(form: str, data: bytes) -> array[Any]:
    numbers: array[Any] = array(form)
    numbers.frombytes(data)
    return numbers
