"""Every value of a configuration as a row: key, value as TOML would write it, origin. For `actorctl config show`.

Secrets appear as their references. Tables that the user leaves free (`args`, `options`) are one row, and a value in
them whose name sounds like a secret is hidden: it should be one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from actors.hiding import REDACTED
from supervisors.node.config import Config, SecretConfig
from supervisors.node.durations import format_duration, format_size
from supervisors.node.layers import Layered, Origin
from supervisors.node.positions import KeyPath
from supervisors.node.sections import Section
from supervisors.node.shapes import Shape, keys_of, show_path

SECRET_NAME: Final = re.compile(r"password|passwd|secret|token|credential|api_?key|private_?key", re.IGNORECASE)
"""What a key is called whose value should be a secret."""


class ConfigRow(Struct, frozen=True):
    """One value.

    Attributes:
        key: `actors."/io/gmail".restart`.
        value: As TOML would write it; empty where a key is not set and has no default.
        origin: Where it came from: `actors.toml:12`, `environment ACTORS_…`, `flag --…`, `built-in:7`, `default`.
    """

    key: str
    value: str
    origin: str


def rows_of(config: Config, layered: Layered) -> Iterator[ConfigRow]:
    """Yield a row for each value, in the order of the models."""
    yield from _section(config, (), layered)


def _section(section: Section, path: KeyPath, layered: Layered) -> Iterator[ConfigRow]:
    for name, shape in keys_of(type(section)).items():
        yield from _rows(getattr(section, name), shape, (*path, name), layered)


def _rows(value: Any, shape: Shape, path: KeyPath, layered: Layered) -> Iterator[ConfigRow]:
    if isinstance(value, SecretConfig):
        yield ConfigRow(show_path(path), _reference(value), str(layered.origin(path)))
    elif isinstance(value, Section):
        yield from _section(value, path, layered)
    elif shape.entries is not None and isinstance(value, dict):
        for name, entry in value.items():
            yield from _rows(entry, shape.entries, (*path, name), layered)
    elif value is not None:
        origin = layered.origin(path) if layered.is_set(path) else Origin("default")
        yield ConfigRow(show_path(path), write(value, shape), str(origin))


def write(value: Any, shape: Shape) -> str:
    """Return `value`, which stands under `shape`, as TOML would write it."""
    words = shape.kind.words if shape.kind is not None else ""
    if "duration" in words and isinstance(value, float):
        return f'"{format_duration(value)}"'
    if words == "size" and isinstance(value, int):
        return f'"{format_size(value)}"'
    if words == "number or arithmetic" and str(value).isdecimal():
        return str(value)
    return toml_of(value)


def _reference(secret: SecretConfig) -> str:
    place = next(name for name in ("env", "file", "keyring") if getattr(secret, name) is not None)
    return f"{{ {place} = {toml_of(getattr(secret, place))} }}"


def toml_of(value: Any, name: str = "") -> str:
    """Return `value`, whose key is `name`, as TOML would write it; one whose name sounds like a secret is hidden."""
    match value:
        case dict():
            if not value:
                return "{}"
            inner = ", ".join(f"{show_path((str(key),))} = {toml_of(item, str(key))}" for key, item in value.items())
            return f"{{ {inner} }}"
        case _ if name and SECRET_NAME.search(name):
            return f'"{REDACTED}"'
        case list() | tuple():
            return "[" + ", ".join(toml_of(item) for item in value) + "]"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return repr(value)
