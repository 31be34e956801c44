"""Checks a value against the part of JSON Schema (2020-12) that our schemas use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {
    "$schema", "$defs", "$ref", "title", "description", "default", "type", "properties", "required", "items", "anyOf",
    "enum", "additionalProperties", "format", "const",
}  # fmt: skip


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> Iterator[str]:
    """Yield what is wrong with `value`.

    Raises:
        NotImplementedError: The schema uses a keyword that is not checked here.
    """
    root = schema if root is None else root
    unknown = set(schema) - _KNOWN
    if unknown:
        raise NotImplementedError(f"{at}: keywords {sorted(unknown)}")
    if "$ref" in schema:
        yield from violations(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    if "anyOf" in schema and all(list(violations(value, one, root, at)) for one in schema["anyOf"]):
        yield f"{at}: {value!r} is none of {schema['anyOf']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not in {schema['enum']}"
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{at}: {value!r} is no {kind}"
        return
    if schema.get("format") == "date-time":
        try:
            if datetime.fromisoformat(value).tzinfo is None:
                yield f"{at}: {value!r} has no time zone"
        except ValueError:
            yield f"{at}: {value!r} is no instant"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from violations(item, schema.get("items", {}), root, f"{at}[{number}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}: {name} is missing"
        other = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in properties:
                yield from violations(item, properties[name], root, f"{at}.{name}")
            elif isinstance(other, dict):
                yield from violations(item, other, root, f"{at}.{name}")
            elif properties:
                yield f"{at}: {name} is not described"  # stricter than the standard: our documents describe everything
