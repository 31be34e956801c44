"""The fields of an event as JSON text, and back; and texts and numbers in forms that every layer below can hold.

Text that UTF-8 cannot say (lone surrogates) is written with backslash escapes; text beyond `TEXT_LIMIT` loses its
middle, and says so in its place. Numbers that JSON has no word for are the texts "NaN", "Infinity", "-Infinity". What
is more than a payload takes ends in "…": beyond `MOST_VALUES`, nested deeper than `MOST_DEPTH`, or longer than
`TEXT_LIMIT` in all. A few lists that hold one another would be a trillion values of JSON. Pure.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from actors.events import EVENT_TYPES, Event
from actors.exits import Crash, CrashRecord
from actors.hiding import hidden

TEXT_LIMIT = 1_100_000
"""Most characters of one text; longer ones lose their middle. A megabyte fits, in each of a row's two places for it."""

MOST_VALUES = 20_000
"""Most values in one field of an event; more are cut."""

MOST_DEPTH = 50
"""Most containers inside one another; deeper ones are cut."""

CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
"""Types whose values hold others; those of their subclasses are looked at one by one, the slow way."""


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
    fields = make(*values)
    for value in values:
        kind = value.__class__
        if kind is float:
            if not math.isfinite(value):
                return json_text(_Cleaning().clean(fields))
        elif kind in CONTAINERS and is_huge(value):
            return json_text(_Cleaning().clean(fields))
    try:
        encoded = json_text(fields)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        encoded = json_text(_Cleaning().clean(fields))
    return encoded if len(encoded) <= TEXT_LIMIT else json_text(_Cleaning(TEXT_LIMIT // 16).clean(fields))


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
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
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


def is_huge(value: Any) -> bool:
    """Whether `value`, one of `CONTAINERS`, has more in it than a payload takes: too many values, or too deep."""
    return _left(value, MOST_VALUES) < 0


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


def _left(value: Any, most: int, depth: int = 0) -> int:
    """Return how many of `most` values are left after those in `value`; below 0 where they are too many or too deep."""
    left = most - len(value)
    if depth == MOST_DEPTH:
        return -1
    inner = (*value, *value.values()) if value.__class__ is dict else value
    for one in inner if left >= 0 else ():
        if one.__class__ in CONTAINERS:
            left = _left(one, left, depth + 1)
            if left < 0:
                break
    return left


class _Cleaning:
    """Makes one value one of types JSON has, whatever it holds, and no larger than a payload; the slow way.

    Args:
        limit: Most characters of one text.
    """

    def __init__(self, limit: int = TEXT_LIMIT) -> None:
        self._limit = limit
        self._values = MOST_VALUES
        self._characters = TEXT_LIMIT // 2  # the rest is for what stands around them

    def clean(self, value: Any, depth: int = 0) -> Any:
        """Return `value`, or what there is room for of it."""
        kind = type(value)
        self._values -= 1
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 63 else self._text(value)
        if kind is float:
            if math.isnan(value):
                return "NaN"
            return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
        if depth > MOST_DEPTH:
            return _CUT
        if isinstance(value, dict):
            return dict(self._pairs(value.items(), depth))
        if isinstance(value, (list, tuple, set, frozenset)):
            return list(self._each(value, depth))
        if isinstance(value, Crash):
            return self.clean(_encode_hook(value), depth + 1)
        if isinstance(value, Struct):
            return dict(self._pairs(((name, getattr(value, name)) for name in value.__struct_fields__), depth))
        if isinstance(value, str) or not hasattr(value, "value"):
            return self._text(value)
        return self.clean(value.value, depth + 1)  # an enum

    def _each(self, values: Iterable[Any], depth: int) -> Iterator[Any]:
        for value in values:
            if self._is_full:
                yield _CUT
                return
            yield self.clean(value, depth + 1)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> Iterator[tuple[str, Any]]:
        for name, value in pairs:
            if self._is_full and depth:  # the fields of the event itself are all there
                yield _CUT, _CUT
                return
            yield self._text(name), self.clean(value, depth + 1)

    @property
    def _is_full(self) -> bool:
        return self._values <= 0 or self._characters <= 0

    def _text(self, value: object) -> str:
        said = text(value)
        if self._characters <= 0 and len(said) > _SHORT:
            return _CUT
        if len(said) > self._limit:
            said = f"{said[: self._limit]}… {len(said) - self._limit} characters cut"
        self._characters -= len(said) if said.isprintable() else len(json_text(said))
        return said


_CUT = "…"
_SHORT = 100
"""Characters of a text that stays whole where longer ones are cut: most fields of an event are no longer."""


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
        if value.__class__ in CONTAINERS and is_huge(value):
            return reprlib.repr(value)
        if isinstance(value, Struct):  # its own text would be as long as that of what it holds
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            shown = (f"{name}={one!r}" if one.__class__ is str else f"{name}={_shown(one)}" for name, one in fields)
            return f"{type(value).__name__}({', '.join(shown)})"
        return str(value)
    except BaseException as failed:  # a value that cannot say itself must not cost the row
        return f"<str() of a {type(value).__qualname__} failed: {type(failed).__name__}>"


_forms: dict[type[Event], Form] = {}
_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in EVENT_TYPES}
