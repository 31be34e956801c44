"""What is on a tap, as documents: in step with the types and with what readers of the released version expect."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from actors.events import EVENT_TYPES, ActorExited, Event, LimitReached
from actors.exits import Cause, ExitKind, ExitReason
from transport.codec import unpack
from transport.taps.frames import CLASSES, HEADER_LIMITS, decode_body, encode_body, encode_header, header_of, type_of
from transport.taps.schema import asyncapi, incompatible, json_schemas

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def written(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / name).read_text("utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "form", "made"),
    [("taps.asyncapi.json", "asyncapi", asyncapi()), ("taps.schema.json", "jsonschema", json_schemas())],
)
def test_the_committed_documents_are_as_the_types_say(name: str, form: str, made: dict[str, Any]) -> None:
    assert written(name) == made, f"make it anew: actorctl tap schema --as {form} > docs/reference/{name}"


def test_a_reader_of_the_committed_schema_can_read_what_is_published_now() -> None:
    assert incompatible(written("taps.schema.0.1.0.json"), json_schemas()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda defs: defs.pop("ActorExited"), "ActorExited is gone"),
        (lambda defs: defs["ActorExited"]["properties"].pop("uptime"), "ActorExited.uptime is gone"),
        (
            lambda defs: defs["ActorExited"]["properties"]["uptime"].update(type="string"),
            "ActorExited.uptime was {'type': 'number'} and is {'type': 'string'}",
        ),
        (
            lambda defs: defs["ActorExited"]["required"].remove("uptime"),
            "ActorExited.uptime was always there and no longer is",
        ),
        (lambda defs: defs["CrashRecord"]["properties"].pop("traceback"), "CrashRecord.traceback is gone"),
    ],
)
def test_what_would_break_a_reader_is_found(change: Any, said: str) -> None:
    now = copy.deepcopy(json_schemas())
    change(now["$defs"])

    assert said in incompatible(json_schemas(), now)


def test_a_field_that_is_added_breaks_nobody() -> None:
    now = copy.deepcopy(json_schemas())
    now["$defs"]["ActorExited"]["properties"]["node"] = {"type": "string"}
    now["$defs"]["ActorExited"]["required"].append("node")
    now["$defs"]["New"] = {"type": "object"}

    assert incompatible(json_schemas(), now) == []


def test_the_schemas_are_json_schemas_and_every_channel_has_its_messages() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schemas())
    made = asyncapi()

    assert set(made["channels"]) == {*CLASSES, "beat"}
    assert all(channel["messages"] for channel in made["channels"].values())
    assert len(made["components"]["messages"]) == len(EVENT_TYPES) + 1


def exits() -> list[Event]:
    leaf = ExitReason.crashed(ValueError("x"))
    gave_up = ExitReason(ExitKind.SHUTDOWN, "gave-up", None, Cause("/a/b", leaf))
    return [
        ActorExited(1.5, "/a", 2, leaf, 3.0, "running", False),
        LimitReached(1.5, "/a", "supervisor", "escalate", 3, 2, 5.0, gave_up),
    ]


@pytest.mark.parametrize("event", exits(), ids=lambda event: type(event).__name__)
def test_what_is_published_is_as_its_schema_says(event: Event) -> None:
    schemas = json_schemas()
    header = header_of(type_of(type(event)), node="n", epoch="1", at=1.5, path="/a", seq=3, tseq=1, born=3)

    validate(decode_body(encode_body(event)), schemas, type(event).__name__)
    validate(unpack(encode_header(header), HEADER_LIMITS), schemas, "TapHeader")


def validate(value: Any, schemas: dict[str, Any], name: str) -> None:
    jsonschema.validate(value, {**schemas, "$ref": f"#/$defs/{name}"})
