"""The fields of an event as JSON text, and back; and texts and numbers in forms that every layer below can hold.

Text that UTF-8 cannot say (lone surrogates) is written with backslash escapes; text beyond `TEXT_LIMIT` loses its
middle, and says so in its place. Numbers that JSON has no word for are the texts "NaN", "Infinity", "-Infinity". Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from actors.events import EVENT_TYPES, Event
from actors.exits import Crash, CrashRecord
from actors.hiding import hidden

TEXT_LIMIT = 1_100_000
"""Most characters of one text; longer ones lose their middle. A megabyte fits, in each of a row's two places for it."""


def payload_of(event: Event) -> str | None:
    """Return the JSON of the fields of `event` beyond `at` and `path`; None for an event without any."""
    kind = type(event)
    form = _forms.get(kind)
    if form is None:
        form = _forms[kind] = _form_of(kind)
    if form is _EMPTY:
        return None
    read, make = form
    values = read(event)
    for value in values:
        if value.__class__ is float and not math.isfinite(value):
            return json_text(_clean(make(*values)))
    fields = make(*values)
    try:
        encoded = json_text(fields)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        encoded = json_text(_clean(fields))
    return encoded if len(encoded) <= TEXT_LIMIT else json_text(_clean(fields, TEXT_LIMIT // 16))


def event_of(type_name: str, at: float, path: str, payload: str | None) -> Event:
    """Return the event that a row of `events` was made from; its tracebacks are in `exits` and stay there.

    Raises:
        ValueError: `type_name` is no class of `actors.events`, or `payload` does not fit it.
    """
    cls = _TYPES.get(type_name)
    if cls is None:
        raise ValueError(f"{type_name!r} is no event of this program")
    try:
        fields = msgspec.json.decode(payload, type=dict[str, Any]) if payload else {}
        return msgspec.convert({**fields, "at": at, "path": path}, cls, dec_hook=_decode_hook, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"payload of {type_name} does not fit: {error}") from None


def text(value: object) -> str:
    """Return `value` as text that every layer below can hold."""
    if value.__class__ is not str:
        value = _shown(value)
    assert isinstance(value, str)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-8", "backslashreplace").decode()
    value = hidden(value)
    if len(value) > TEXT_LIMIT:
        half = TEXT_LIMIT // 2
        return f"{value[:half]}\n… {len(value) - 2 * half} characters cut …\n{value[-half:]}"
    return value


def json_text(value: object) -> str:
    """Return `value` as JSON; a crash in it as its class and message, anything unknown as its text."""
    return hidden(_json.encode(value).decode())


def _encode_hook(value: object) -> object:
    if isinstance(value, Crash):
        return {"type_name": value.type_name, "message": value.message}
    return text(value)


def _decode_hook(cls: type, value: Any) -> Any:
    if cls is Crash:
        return Crash(record=CrashRecord(str(value["type_name"]), str(value["message"])))
    raise TypeError(f"{cls} has no form in a payload")


_json = msgspec.json.Encoder(enc_hook=_encode_hook)


def _clean(value: Any, limit: int = TEXT_LIMIT, depth: int = 0) -> Any:
    """Return `value` in types JSON has, whatever it holds; the slow way, for the odd event."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else text(value)
    if kind is float:
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if depth > 50:
        return "…"
    if isinstance(value, dict):
        return {text(name): _clean(inner, limit, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(inner, limit, depth + 1) for inner in value]
    if isinstance(value, Crash):
        return _clean(_encode_hook(value), limit, depth + 1)
    if isinstance(value, Struct):
        return {name: _clean(getattr(value, name), limit, depth + 1) for name in value.__struct_fields__}
    if isinstance(value, str) or not hasattr(value, "value"):
        said = text(value)
        return said if len(said) <= limit else f"{said[:limit]}… {len(said) - limit} characters cut"
    return _clean(value.value, limit, depth + 1)  # an enum


Form = tuple[Callable[[Event], tuple[Any, ...]], Callable[..., Any]]
"""How the fields of a class of events beyond `at` and `path` are read, and the struct they are encoded as."""

_EMPTY: Form = (lambda _: (), lambda: None)


def _form_of(kind: type[Event]) -> Form:
    names = tuple(name for name in kind.__struct_fields__ if name not in {"at", "path"})
    if not names:
        return _EMPTY
    make = msgspec.defstruct(f"{kind.__name__}Payload", [(name, Any) for name in names], frozen=True)
    if len(names) == 1:
        (only,) = names
        return (lambda event: (getattr(event, only),)), make
    return attrgetter(*names), make


def _shown(value: object) -> str:
    try:
        return str(value)
    except BaseException as failed:  # a value that cannot say itself must not cost the row
        return f"<str() of a {type(value).__qualname__} failed: {type(failed).__name__}>"


_forms: dict[type[Event], Form] = {}
_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in EVENT_TYPES}
