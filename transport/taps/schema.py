"""What is on a tap, as documents for programs: an AsyncAPI 3 document, and JSON Schemas of what it names.

Both are made from the event types, the header's type and the beat's, so they cannot say anything else than the frames
do. `docs/reference/taps.asyncapi.json` and `taps.schema.json` are their committed forms; a test holds them in step, and
another one refuses what a reader of the released version could not read: fields are added, never removed or retyped.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import Struct

from actors.events import EVENT_TYPES, Event
from actors.exits import ExitReason, ExitRecord
from transport.taps.frames import BEAT, BEAT_TYPE, CLASSES, WIRE, TapHeader, type_of

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI: Final = "3.0.0"


class Beat(Struct, frozen=True):
    """What the publisher says once a second, and at once to whoever subscribes to it: where every topic has got to.

    Attributes:
        at: When it was made, seconds since the epoch.
        path: `/`.
        head: Number of the newest event counted here.
        topics: How many topics there are.
        hash: Sum over all topics of crc32(topic) * tseq, modulo 2**64, in hexadecimal.
        counts: Class to how many events of it there were.
        heads: Topic to its newest number: of the topics that moved lately; of all, right after a subscription.
        left: How many such topics did not fit in.
    """

    at: float
    path: str
    head: int
    topics: int
    hash: str
    counts: dict[str, int]
    heads: dict[str, int]
    left: int


def body_type(event: type[Event]) -> type[Struct]:
    """Return the type of the body of an event: its fields, exits in the form that crosses the wire."""
    hints = get_type_hints(event)
    fields = [(name, ExitRecord if hints[name] is ExitReason else hints[name]) for name in event.__struct_fields__]
    made = msgspec.defstruct(event.__name__, fields, frozen=True)
    made.__doc__ = event.__doc__
    return made


def json_schemas() -> dict[str, Any]:
    """Return one JSON Schema (2020-12) document whose `$defs` are the header, the beat and the body of each event."""
    return {
        "$schema": DIALECT,
        "$id": f"actors/v1/taps/{WIRE}",
        "title": "Event taps",
        "description": "TapHeader is the second frame, the others are the third; each event by the name in its type.",
        "$defs": _definitions("#/$defs/"),
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of a node's taps."""
    messages = {event.__name__: _message(event.__name__, type_of(event), event) for event in EVENT_TYPES}
    messages["Beat"] = _message("Beat", BEAT_TYPE, Beat)
    return {
        "asyncapi": ASYNCAPI,
        "id": "urn:actors:v1:taps",
        "info": {
            "title": "Event taps of a node",
            "version": "1.0.0",
            "description": (
                "What happens in a node, published on a ZeroMQ XPUB socket in three frames: topic, header, body; the "
                "last two are msgpack maps. A reader subscribes to prefixes of topics. Beside each event's own number "
                "its topic has one without holes, so a reader knows what it lost."
            ),
        },
        "defaultContentType": "application/msgpack",
        "servers": {
            "taps": {
                "host": "localhost",
                "protocol": "zmq",
                "description": "`taps` in run/endpoints.json: ipc:// in a private directory, or tcp:// with CURVE.",
            }
        },
        "channels": {name: _channel(name, messages) for name in (*CLASSES, BEAT)},
        "operations": {f"publish.{name}": _operation(name) for name in (*CLASSES, BEAT)},
        "components": {"messages": messages, "schemas": _definitions("#/components/schemas/")},
    }


def _definitions(prefix: str) -> dict[str, Any]:
    kinds: list[type[Struct]] = [TapHeader, Beat, *(body_type(event) for event in EVENT_TYPES)]
    _, found = msgspec.json.schema_components(kinds, ref_template=prefix + "{name}")
    for kind in kinds:
        _describe(found[kind.__name__], kind)
    return msgspec.json.decode(msgspec.json.encode(found, order="sorted"), type=dict[str, Any])


def _describe(schema: dict[str, Any], kind: type) -> None:
    """Give a schema and its properties the words of the type's docstring."""
    text, attributes = _parts(kind)
    schema["description"] = text
    for name, about in attributes.items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = about


def _parts(kind: type) -> tuple[str, dict[str, str]]:
    """Return the first part of a docstring, and what it says of each attribute."""
    text, _, listed = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:\n")
    found: dict[str, str] = {"at": "Wall clock, seconds since the epoch.", "path": "What it is about."}
    name = ""
    for line in listed.splitlines():
        if line.startswith("    ") and not line.startswith("     ") and ":" in line:
            name, _, about = line.strip().partition(": ")
            found[name] = about
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return " ".join(text.split()), found


def _message(name: str, type_name: str, kind: type) -> dict[str, Any]:
    return {
        "name": type_name,
        "title": name,
        "summary": _parts(kind)[0],
        "contentType": "application/msgpack",
        "headers": {"$ref": "#/components/schemas/TapHeader"},
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _channel(name: str, messages: Iterable[str]) -> dict[str, Any]:
    refs = {word: {"$ref": f"#/components/messages/{word}"} for word in messages if _class_of(word) == name}
    if name == BEAT:
        return {"address": f"{WIRE}/{BEAT}/", "description": "The publisher's own heartbeat.", "messages": refs}
    return {
        "address": f"{WIRE}/{name}/{{path}}/",
        "description": f"Events of the class {name}; those about the root have the topic {WIRE}/{name}/.",
        "messages": refs,
        "parameters": {"path": {"description": "Path of the actor without its first slash; its parts are prefixes."}},
    }


def _operation(name: str) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{name.replace('/', '~1')}"}}


def _class_of(message: str) -> str:
    return next((event.TOPIC for event in EVENT_TYPES if event.__name__ == message), BEAT)


def incompatible(released: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what a reader of `released` could not read of `now`; both as `json_schemas` makes them.

    A field may be added. It may not be removed, change its type, or no longer be there always.
    """
    found: list[str] = []
    for name, old in released["$defs"].items():
        new = now["$defs"].get(name)
        if new is None:
            found.append(f"{name} is gone")
            continue
        for field, kind in old.get("properties", {}).items():
            if field not in new.get("properties", {}):
                found.append(f"{name}.{field} is gone")
            elif _bare(kind) != _bare(new["properties"][field]):
                found.append(f"{name}.{field} was {_bare(kind)} and is {_bare(new['properties'][field])}")
        found += [
            f"{name}.{field} was always there and no longer is"
            for field in old.get("required", ())
            if field not in new.get("required", ())
        ]
    return found


def _bare(schema: Any) -> Any:
    """Return a schema without what only people read, and without what a sender falls back to."""
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in {"description", "title", "default"}}
    if isinstance(schema, list):
        return [_bare(value) for value in schema]
    return schema
