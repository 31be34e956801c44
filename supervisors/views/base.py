"""The base of the views, and how they cross the wire."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

API_VERSION = "actors/v1"

ViewT = TypeVar("ViewT")

Instant = Annotated[datetime, Meta(tz=True)]
"""An aware UTC datetime; ISO-8601 text in JSON."""


class View(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the views."""


def instant(at: float | None) -> datetime | None:
    """Return the aware UTC instant of `at` seconds since the epoch; None stays None."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def to_wire(view: View) -> Any:
    """Return `view` as plain builtins that msgpack and JSON both carry (instants as ISO text)."""
    return msgspec.to_builtins(view)


def from_wire(result: Any, view: type[ViewT]) -> ViewT:
    """Return the `view` that `to_wire` wrote; unknown fields are ignored.

    Raises:
        msgspec.ValidationError: `result` is not one, with the path of the field that is wrong.
    """
    return msgspec.convert(result, view)


def plain(value: Any) -> Any:
    """Return `value` as builtins with every field present, defaults included, in the order of the fields."""
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no NaN and no infinity
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return msgspec.to_builtins(value, enc_hook=str)
