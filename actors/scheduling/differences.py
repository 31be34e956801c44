"""What tells two definitions of a schedule apart: whether its slots are others, and what to say of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from actors.scheduling.plans import Schedule, stamp

_INSTANTS: Final = frozenset({"at", "start_at", "end_at"})
_SHOWN: Final = 60
"""Characters of a value in what is said of a change."""


def timing_of(schedule: Schedule) -> tuple[object, ...]:
    """Return what decides when the slots are; slots count anew where it changes."""
    names = ("cron", "every", "at", "timezone", "jitter", "start_at", "end_at", "exclude", "max_runs")
    return tuple(getattr(schedule, name) for name in names)


def differences(before: Schedule, after: Schedule) -> str:
    """Return in words what is different in the second definition; of a payload only that it is."""
    return "; ".join(_differences(before, after))


def _differences(before: Struct, after: Struct, within: str = "") -> Iterator[str]:
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old == new or name in {"id", "origin"}:
            continue
        word = f"{within}{name.removesuffix('_at')}"
        if name == "payload":
            yield word
        elif isinstance(old, Struct) and type(old) is type(new):
            yield from _differences(old, new, f"{word}.")
        elif name in _INSTANTS:
            yield f"{word} {stamp(new) if new else 'none'}, was {stamp(old) if old else 'none'}"
        else:
            yield f"{word} {_shown(new)}, was {_shown(old)}"


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case Enum():
            return str(value.value)
        case Struct():
            return "given"
        case tuple():
            text = " ".join(_shown(item) for item in value)
        case _:
            text = str(value if value is not None else "")
    return (text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…") or "none"
