"""Foreign values as plain data that is small, safe to make and free of secrets.

No code of a value's class is run: only exact built-in types, messages and data classes are looked into, anything else
is named by its class. So a `repr` that raises, never ends or is huge costs nothing, whatever an actor was sent.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections import deque
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

import msgspec

from actors.hiding import REDACTED, hidden

TEXT_LIMIT: Final = 200
ITEMS_LIMIT: Final = 16
DEPTH_LIMIT: Final = 4

_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase|code)?$|secret|token|credential|api_?key|private_?key|authorization|cookie|(^|_)pin$", re.I
)


class Plainer:
    """Makes values plain until a budget is used up.

    Attributes:
        left: Characters still allowed.
        cut: Whether something was left out.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.cut = False

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return `value` as plain data."""
        kind = type(value)
        if self.left <= 0:
            self.cut = True
            return "…"
        if value is None or kind is bool or kind is float:
            self.left -= 5
            return value
        if kind is int:
            self.left -= 10
            return value if -(2**63) <= value < 2**63 else f"<int of {value.bit_length()} bits>"
        if kind is str:
            return self._text(value)
        if kind is bytes or kind is bytearray:
            return self._text(f"<{len(value)} bytes>")
        if kind in _SIMPLE:
            return self._text(str(value))
        if isinstance(value, Enum) and type(value.name) is str:
            return self._text(f"{kind.__name__}.{value._name_}")
        if isinstance(value, str):
            return REDACTED if kind.__name__.lower().startswith("secret") else self._text(f"<{kind.__name__}>")
        if depth >= DEPTH_LIMIT:
            self.cut = True
            return f"<{kind.__name__}>"
        if kind is dict:
            return self._mapping(list(value.items()), depth)
        if kind in _SEQUENCES:
            return self._sequence(list(value), depth)
        if isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(kind):
            return {"": kind.__name__, **self.fields(value, depth)}
        return self._text(f"<{kind.__module__}.{kind.__qualname__}>")

    def fields(self, value: Any, depth: int = 0) -> dict[str, Any]:
        """Return the fields of a message or data class, of any other value nothing."""
        kind = type(value)
        if issubclass(kind, msgspec.Struct):
            names: tuple[str, ...] = kind.__struct_fields__
        elif dataclasses.is_dataclass(kind):
            names = tuple(field.name for field in dataclasses.fields(kind))
        elif kind is dict:
            return self._mapping(list(value.items()), depth)
        else:
            return {}
        secret = secret_fields(kind)
        found: dict[str, Any] = {}
        for name in names:
            if name in secret:
                found[name] = REDACTED
                continue
            try:
                inner = object.__getattribute__(value, name)
            except AttributeError:
                continue
            found[name] = self.plain(inner, depth + 1)
        return found

    def variables(self, names: dict[str, Any]) -> dict[str, Any]:
        """Return a frame's variables."""
        return self._mapping(list(names.items()), 1)

    def _text(self, text: str) -> str:
        text = hidden(text)
        if len(text) > TEXT_LIMIT:
            self.cut = True
            text = f"{text[:TEXT_LIMIT]}… {len(text) - TEXT_LIMIT} characters cut"
        self.left -= len(text)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    def _mapping(self, items: list[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in items[:ITEMS_LIMIT]:
            name = self._text(key) if type(key) is str else str(self.plain(key, DEPTH_LIMIT))
            found[name] = REDACTED if _SECRET_NAME.search(name) else self.plain(inner, depth + 1)
        if len(items) > ITEMS_LIMIT:
            self.cut = True
            found["…"] = f"{len(items) - ITEMS_LIMIT} more"
        return found

    def _sequence(self, items: list[Any], depth: int) -> list[Any]:
        found = [self.plain(item, depth + 1) for item in items[:ITEMS_LIMIT]]
        if len(items) > ITEMS_LIMIT:
            self.cut = True
            found.append(f"… {len(items) - ITEMS_LIMIT} more")
        return found


@lru_cache(maxsize=1024)
def secret_fields(kind: type) -> frozenset[str]:
    """Return the fields of a class that are secrets: by their name, or by `Annotated[..., SECRET]`."""
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # a hint that names what is only known to a type checker
        hints = dict(getattr(kind, "__annotations__", {}))
    return frozenset(name for name, hint in hints.items() if _SECRET_NAME.search(name) or _is_marked(hint))


def _is_marked(hint: Any) -> bool:
    if isinstance(hint, str):
        return "SECRET" in hint
    metas = getattr(hint, "__metadata__", ())
    if any(isinstance(meta, msgspec.Meta) and (meta.extra or {}).get("secret") for meta in metas):
        return True
    return any(_is_marked(inner) for inner in typing.get_args(hint) if not isinstance(inner, msgspec.Meta))


_SIMPLE: Final = frozenset({datetime, date, timedelta, type(PurePath()), complex})
_SEQUENCES: Final = frozenset({list, tuple, set, frozenset, deque})
