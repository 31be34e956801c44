"""From a value of DuckDB to a cell on the wire: what msgpack and JSON both have, nothing lost on the way."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

_PLAIN = (type(None), bool, float, str)
_ZONE = "WITH TIME ZONE"


def wire_cells(types: list[str]) -> Callable[[tuple[Any, ...]], list[Any]]:
    """Return what turns a row of these DuckDB types into cells (`QueryResult.rows` says what they are)."""
    zoned = [_ZONE in kind for kind in types]

    def convert(row: tuple[Any, ...]) -> list[Any]:
        return [
            value if value.__class__ in _PLAIN else cell(value, is_utc)
            for value, is_utc in zip(row, zoned, strict=True)
        ]

    return convert


def cell(value: Any, is_utc: bool = False) -> Any:
    """Return the cell for one value.

    Args:
        value: What DuckDB's Python module returned.
        is_utc: Whether naive instants inside it are UTC.
    """
    match value:
        case None | bool() | float() | str():
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 63 else str(value)
        case Decimal():
            return _decimal(value)
        case dt.datetime():
            return value.isoformat() + ("Z" if is_utc and value.tzinfo is None else "")
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02X}" for b in bytes(value))
        case UUID():
            return str(value)
        case dict():
            return {key if isinstance(key, str) else str(key): cell(inner, is_utc) for key, inner in value.items()}
        case list() | tuple() | set():
            return [cell(inner, is_utc) for inner in value]
        case _:
            return str(value)


def _decimal(value: Decimal) -> float | str:
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)
