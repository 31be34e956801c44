"""The frames of a tap: topics that prefixes select, headers, and every event's body."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import AddressError
from actors.events import EVENT_TYPES, ActorExited, DeadLettered, LimitReached, MetricSampled
from actors.exits import NORMAL, Cause, ExitKind, ExitReason
from actors.flightrecord import FlightRecord, LastMessage
from actors.treeevents import ChildRecord
from transport.errors import CodecError, MalformedFrameError
from transport.taps.frames import (
    CLASSES,
    TapHeader,
    decode_body,
    decode_header,
    encode_body,
    encode_header,
    instant,
    prefixes_of,
    split_topic,
    topic_of,
    type_of,
)


@pytest.mark.parametrize(
    ("event_class", "path", "topic"),
    [
        ("actor.state", "/io/gmail", b"a1/actor.state/io/gmail/"),
        ("actor.exit", "/work/task#2", b"a1/actor.exit/work/task#2/"),
        ("daemon", "/", b"a1/daemon/"),
    ],
)
def test_a_topic_is_made_and_taken_apart(event_class, path, topic):
    assert topic_of(event_class, path) == topic
    assert split_topic(topic) == (event_class, path)


@pytest.mark.parametrize("topic", [b"", b"a1", b"a1/", b"a2/actor.exit/io/", b"a1/actor.exit/io", b"\xff/x/"])
def test_what_is_no_topic_is_refused(topic):
    with pytest.raises(MalformedFrameError):
        split_topic(topic)


def test_a_prefix_selects_a_path_and_what_is_below_it_and_no_namesake():
    (prefix,) = prefixes_of(["actor.exit"], "/io")

    assert topic_of("actor.exit", "/io").startswith(prefix)
    assert topic_of("actor.exit", "/io/gmail").startswith(prefix)
    assert not topic_of("actor.exit", "/iot").startswith(prefix)
    assert not topic_of("actor.exits", "/io").startswith(prefix)


def test_the_root_selects_every_path_of_every_class():
    assert prefixes_of(None, "/") == tuple(f"a1/{name}/".encode() for name in CLASSES)


def test_every_event_has_a_class_and_a_type_of_its_own():
    assert {event.TOPIC for event in EVENT_TYPES} == set(CLASSES)
    assert len({type_of(event) for event in EVENT_TYPES}) == len(EVENT_TYPES)
    assert type_of(ActorExited) == "actors.actor_exited"


@pytest.mark.parametrize(("classes", "path"), [(["actor"], "/"), (["beat"], "/"), (["actor.exit", ""], "/")])
def test_a_class_that_is_none_is_refused(classes, path):
    with pytest.raises(ValueError, match="is no event class"):
        prefixes_of(classes, path)


@pytest.mark.parametrize("path", ["", "io", "/io/", "/io//x", "/io/*"])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(AddressError):
        prefixes_of(None, path)


def test_a_header_comes_back_and_has_the_names_of_cloudevents():
    header = TapHeader("1-5", "/n", "actors.actor_exited", instant(0.5), "/io", 5, 2, "1", 3, "error", "actors:v1/x")

    data = encode_header(header)

    assert decode_header(data) == header
    assert set(msgpack.unpackb(data)) == {
        *("specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"),
        *("seq", "tseq", "born", "epoch", "severity"),
    }
    assert msgpack.unpackb(data)["time"] == "1970-01-01T00:00:00.500000Z"


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x80", msgpack.packb({"seq": "x"}), b"\x91" * 100])
def test_what_is_no_header_is_refused(data):
    with pytest.raises(CodecError):
        decode_header(data)


def test_a_header_of_a_later_layout_is_read():
    header = TapHeader("1-5", "/n", "t", instant(0), "/io", 5, 2, "1")
    data = msgpack.packb({**msgpack.unpackb(encode_header(header)), "traceparent": "00-1", "extra": [1]})

    assert decode_header(data) == header


def fill(kind: type, text: str = "text") -> object:
    values = {str: text, int: 3, float: 1.5, bool: True, ExitReason: NORMAL, tuple[str, ...]: (text, "b")}
    values[dict[str, Any]] = {"of": [text, 1]}
    values[tuple[ChildRecord, ...]] = (ChildRecord(text, 1, "ready", why=text),)
    values[float | None] = 1.5
    values[tuple[float, ...] | None] = (1.5,)
    values[float | None] = 1.5
    values[FlightRecord] = FlightRecord(messages=(LastMessage(text, {text: text}),))
    return kind(**{field.name: values[field.type] for field in msgspec.structs.fields(kind)})


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_event_has_a_body_of_all_its_fields(kind):
    body = decode_body(encode_body(fill(kind)))

    assert set(body) == set(kind.__struct_fields__)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_texts_and_numbers_that_cannot_cross_are_changed_and_nothing_is_left_out(kind):
    body = decode_body(encode_body(fill(kind, "a\ud800b")))

    assert set(body) == set(kind.__struct_fields__)
    assert body["path"] == "a\\ud800b"
    assert decode_body(encode_body(ActorExited(0.0, "/a", 2**70, NORMAL, 1.0, "running", True)))["generation"] == str(
        2**70
    )


def test_an_exit_crosses_as_a_record_with_its_causes():
    try:
        raise ValueError("leaf")
    except ValueError as error:
        leaf = ExitReason.crashed(error)
    reason = ExitReason(ExitKind.SHUTDOWN, "gave-up", cause=Cause("/io/a", leaf))

    body = decode_body(encode_body(LimitReached(0.0, "/io", "supervisor", "escalate", 2, 1, 5.0, reason)))

    assert body["reason"]["kind"] == "shutdown"
    assert body["reason"]["causes"][0]["path"] == "/io/a"
    assert "ValueError: leaf" in body["reason"]["causes"][0]["crash"]["traceback"]


def test_an_end_that_nobody_asked_for_is_an_error():
    assert ActorExited(0.0, "/a", 1, NORMAL, 1.0, "running", False).severity == "error"
    assert ActorExited(0.0, "/a", 1, NORMAL, 1.0, "stopping", True).severity == "info"
    assert DeadLettered(0.0, "/a", "m:C", "not running").severity == "warning"
    assert MetricSampled(0.0, "/a", "cpu", 0.5, "ratio").severity == "info"


@given(st.floats(-1e9, 4e9) | st.integers(0, 2**31).map(lambda at: at + 0.9999996))
def test_an_instant_is_the_calendars_to_the_microsecond(at: float) -> None:
    expected = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    assert instant(at) == expected
