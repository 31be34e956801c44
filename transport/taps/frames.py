"""The frames of a tap: `[topic][header][body]`, so that a reader can route by the first and stop there.

- *topic*: `a1/<class>/<path>/`, as in `a1/actor.state/io/gmail/`; the root's path leaves `a1/<class>/`. Every segment
  ends in a slash, so that a prefix subscription to `/io` does not match `/iot`.
- *header*: a msgpack map of CloudEvents 1.0 names and our extensions; `TapHeader`.
- *body*: a msgpack map of the event's fields; exits in the form of `actors.exits.ExitRecord`.

New facts become new keys of the header or body, never new frames. `a1` changes when something is not additive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from math import floor
from typing import Any, Final

import msgspec
import msgspec.inspect
import msgspec.structs
from msgspec import Struct

from actors.addresses import ROOT, check_path
from actors.events import EVENT_TYPES, Event
from actors.exits import ExitReason, to_record
from transport.codec import pack, unpack
from transport.errors import EncodingError, MalformedFrameError
from transport.limits import Limits

WIRE: Final = "a1"
BEAT: Final = "beat"
BEAT_TYPE: Final = "actors.beat"

CLASSES: Final = tuple(sorted({event.TOPIC for event in EVENT_TYPES}))
"""The event classes a topic can name; `beat` is one more, for the publisher's own heartbeat."""

HEADER_LIMITS: Final = Limits(max_frame_bytes=16 * 1024, max_depth=4, max_items=500)
BODY_LIMITS: Final = Limits(
    max_frame_bytes=64 * 1024 * 1024,
    max_depth=64,
    max_items=1_000_000,
    max_str_bytes=16 * 1024 * 1024,
    max_array_items=200_000,
    max_map_items=200_000,
)


class TapHeader(Struct, frozen=True, gc=False):
    """What is said of an event.

    Attributes:
        id: Unique within `source`: epoch and number.
        source: The node: `/openclaw`.
        type: `actors.actor_exited`.
        time: When it happened, RFC 3339 in UTC.
        subject: The path it is about.
        seq: Its number on the node's bus; the history row has the same.
        tseq: Its number on its topic, unbroken from 1; 0 where it comes from the history, which does not number topics.
        born: The `seq` of the topic's first event: with `tseq` it tells one life of a topic from another.
        epoch: Which run of the node; all numbers start anew with it.
        severity: `info`, `warning` or `error`.
        dataschema: Names the layout of the body.
        datacontenttype: `application/msgpack`.
        specversion: Of CloudEvents.
    """

    id: str
    source: str
    type: str
    time: str
    subject: str
    seq: int
    tseq: int
    epoch: str
    born: int = 0
    severity: str = "info"
    dataschema: str = ""
    datacontenttype: str = "application/msgpack"
    specversion: str = "1.0"


def topic_of(event_class: str, path: str) -> bytes:
    """Return the topic of events of `event_class` about `path`; also the prefix of all that lies below it."""
    return f"{WIRE}/{event_class}{'' if path == ROOT else path}/".encode()


def prefixes_of(classes: Iterable[str] | None, path: str) -> tuple[bytes, ...]:
    """Return what to subscribe to for events of `classes` (None: all) about `path` and what lies below it.

    Raises:
        AddressError: `path` is no path.
        ValueError: A class is not one of `CLASSES`.
    """
    check_path(path)
    chosen = CLASSES if classes is None else tuple(dict.fromkeys(classes))
    for name in chosen:
        if name not in CLASSES:
            raise ValueError(f"{name!r} is no event class: {', '.join(CLASSES)}")
    return tuple(topic_of(name, path) for name in chosen)


def split_topic(topic: bytes) -> tuple[str, str]:
    """Return the class and the path of a topic.

    Raises:
        MalformedFrameError: It is none.
    """
    text = topic.decode("utf-8", "replace")
    wire, _, rest = text.partition("/")
    event_class, _, path = rest.partition("/")
    if wire != WIRE or not event_class or not text.endswith("/"):
        raise MalformedFrameError(f"{text[:100]!r} is no topic of {WIRE}")
    return event_class, f"/{path.rstrip('/')}"


def type_of(event_type: type[Event]) -> str:
    """Return the type name of an event class: `actors.actor_exited`."""
    return type_named(event_type.__name__)


@cache
def type_named(class_name: str) -> str:
    """Return the type name of the event class with this name: `actors.actor_exited` of `ActorExited`."""
    return f"actors.{_WORD.sub('_', class_name).lower()}"


@cache
def names_of(event_type: type[Event]) -> tuple[str, str]:
    """Return the type name of an event class, and the name of its body's layout."""
    name = type_of(event_type)
    return name, _source_and_schema("", name)[1]


def header_of(
    type_name: str,
    *,
    node: str,
    epoch: str,
    at: float,
    path: str,
    seq: int,
    tseq: int = 0,
    born: int = 0,
    severity: str = "info",
) -> TapHeader:
    """Return the header of one event; `type_name` as `type_of` says it, `at` in seconds since the epoch."""
    source, schema = _source_and_schema(node, type_name)
    return TapHeader(f"{epoch}-{seq}", source, type_name, instant(at), path, seq, tseq, epoch, born, severity, schema)


@cache
def _source_and_schema(node: str, type_name: str) -> tuple[str, str]:
    return f"/{node}", f"actors:v1/{type_name.removeprefix('actors.')}"


def message_of(topic: bytes, header: TapHeader, body: dict[str, Any]) -> list[Any]:
    """Return an event as a part of a snapshot or replay carries it: `[topic, header, body]`, plain data."""
    return [topic.decode(), {name: getattr(header, name) for name in header.__struct_fields__}, _carried(body)]


def read_message(message: object) -> tuple[str, str, TapHeader, dict[str, Any]]:
    """Return class, path, header and body of what `message_of` made.

    Raises:
        MalformedFrameError: It is none.
    """
    try:
        topic, header, body = msgspec.convert(message, tuple[str, TapHeader, dict[str, Any]])
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"no event of a replay: {error}") from None
    return *split_topic(topic.encode()), header, body


def encode_header(header: TapHeader) -> bytes:
    """Return the header frame.

    Raises:
        EncodingError: A text of it holds a lone surrogate or a number is beyond 64 bits.
    """
    try:
        return _encode(header)
    except (UnicodeEncodeError, OverflowError):
        return pack(msgspec.structs.asdict(header))  # which says what is wrong with it


def decode_header(data: bytes) -> TapHeader:
    """Return the header that a frame holds.

    Raises:
        CodecError: It holds none.
    """
    try:
        return msgspec.convert(unpack(data, HEADER_LIMITS, is_bounded=True), TapHeader)
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"no tap header: {error}") from None


def encode_body(event: Event) -> bytes:
    """Return the body frame: all fields of `event`. Formats tracebacks.

    A text with a lone surrogate gets it escaped, and a number beyond 64 bits becomes text: nothing is left out.
    """
    if _is_flat(type(event)):
        try:
            return _encode(event)
        except (UnicodeEncodeError, OverflowError):
            pass  # which of its fields it is, is found below
    fields = body_of(event)
    try:
        return pack(fields)
    except EncodingError:
        return pack(_carried(fields))


@cache
def _is_flat(event_type: type[Event]) -> bool:
    """Whether all fields of an event class are text, numbers, truth values or None: packed as they are."""
    info = msgspec.inspect.type_info(event_type)
    assert isinstance(info, msgspec.inspect.StructType)  # an event is a struct
    if info.tag is not None or info.array_like:
        return False
    return all(
        isinstance(kind, _FLAT)
        for field in info.fields
        for kind in (field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,))
    )


def body_of(event: Event) -> dict[str, Any]:
    """Return all fields of `event` as plain data. Formats tracebacks."""
    return {name: _plain(getattr(event, name)) for name in event.__struct_fields__}


def decode_body(data: bytes) -> dict[str, Any]:
    """Return the fields that a body frame holds.

    Raises:
        CodecError: It holds none.
    """
    body = unpack(data, BODY_LIMITS, is_bounded=True)
    if not isinstance(body, dict):
        raise MalformedFrameError(f"a tap body is a map, this is a {type(body).__name__}")
    return body


def instant(at: float) -> str:
    """Return `at`, seconds since the epoch, in RFC 3339 with microseconds."""
    second = floor(at)
    fraction = round((at - second) * 1e6)
    return f"{_second(second)}.{fraction:06d}Z" if fraction < 1_000_000 else f"{_second(second + 1)}.000000Z"


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    """Return a whole second without its zone: events come many in one."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


_encode: Final = msgspec.msgpack.Encoder().encode
_FLAT: Final = (
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.BoolType,
    msgspec.inspect.NoneType,
)
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _plain(value: object) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool:
        return value
    return msgspec.to_builtins(to_record(value) if isinstance(value, ExitReason) else value, builtin_types=(bytes,))


def _carried(value: Any) -> Any:
    """Return `value` with what msgpack cannot carry turned into text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {_carried(key): _carried(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_carried(below) for below in value]
    return value
