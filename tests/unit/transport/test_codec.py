"""Typed payloads: they come back as they were, or the error says why not; no bytes import or call anything."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import msgpack
import msgspec
import pytest
from msgspec import Struct

from actors.messages import Message
from transport.codec import PAYLOAD_DEPTH, Codec, TypeRegistry, name_of, pack, unpack
from transport.errors import EncodingError, LimitExceededError, MalformedFrameError, UnknownTypeError
from transport.limits import REQUEST_LIMITS, Limits


class Color(Enum):
    RED = "red"


class Mail(Struct, frozen=True):
    sender: str
    size_bytes: int = 0


class Everything(Message[list[Mail]], frozen=True):
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    data: bytes = b""
    at: datetime | None = None
    color: Color = Color.RED
    mails: tuple[Mail, ...] = ()
    table: dict[str, list[int]] = {}


class Nested(Struct):
    below: list[Nested] = []


class Holder(Message[None], frozen=True):
    tree: Nested


class Dated(Struct):
    at: datetime
    below: list[Dated] = []


class History(Message[None], frozen=True):
    first: Dated


class Plain(Struct):
    x: int


class Outer:
    class Inner(Message[int], frozen=True):
        n: int

    not_a_class = 5


def round_trip(value):
    codec = Codec()
    return codec.decode(*codec.encode(value))


@pytest.mark.parametrize(
    "message",
    [
        Everything(),
        Everything("größe 𝄞", -(2**63), -1e300, b"\x00\xff", color=Color.RED),
        Everything(number=2**63 - 1, ratio=math.inf, mails=(Mail("a", 1), Mail("b"))),
        Everything(table={"x": [1, 2], "": []}),
        Everything(at=datetime(2026, 11, 21, 14, 0, 0, 123456, tzinfo=UTC)),
        Everything(at=datetime(1900, 1, 1, tzinfo=UTC)),
        Outer.Inner(3),
        Holder(Nested([Nested(), Nested([Nested()])])),
        History(Dated(datetime(2026, 1, 1, tzinfo=UTC), [Dated(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC))])),
        History(Dated(datetime(1900, 1, 1, 0, 0, 0, 5, tzinfo=UTC), [Dated(datetime(9999, 1, 1, tzinfo=UTC))])),
    ],
    ids=lambda m: repr(m)[:40],
)
def test_a_message_comes_back_as_it_was(message):
    assert round_trip(message) == message


def test_nan_comes_back_as_nan():
    assert math.isnan(round_trip(Everything(ratio=math.nan)).ratio)


def test_an_aware_instant_comes_back_as_the_same_instant_in_utc():
    at = datetime(2026, 11, 21, 14, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    back = round_trip(Everything(at=at)).at

    assert back == at
    assert back.utcoffset() == timedelta(0)


def test_an_aware_instant_crosses_where_no_type_is_declared_too():
    codec, at = Codec(), datetime(2026, 11, 21, 14, 0, tzinfo=UTC)

    assert codec.decode_value(Any, codec.encode_value({"seen": [at]})) == {"seen": [at]}


@pytest.mark.parametrize(
    "data", [b"\xd6\xff\x00", b"\xd7\xff\x00", b"\xc7\x0c\xff\x00", b"\xd6\x05abcd", b"\xc7\x01\xff\x00"]
)
def test_an_instant_that_is_none_is_refused_where_no_type_is_declared(data):
    with pytest.raises(MalformedFrameError):
        Codec().decode_value(Any, data)


def test_a_naive_instant_comes_back_naive():
    at = datetime(2026, 11, 21, 14, 0)  # noqa: DTZ001 (the point of the test)

    assert round_trip(Everything(at=at)).at == at


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Everything(text="a\ud800"), r"lone surrogate \(\\ud800 at its character 1\)"),
        (Everything(number=2**64), "beyond 64 bits"),
        (Everything(number=-(2**63) - 1), "beyond 64 bits"),
        (Everything(text=object()), "Encoding objects of type object is unsupported"),
    ],
    ids=["lone surrogate", "too big", "too small", "not a text at all"],
)
def test_what_cannot_cross_is_refused_by_name_when_it_is_sent(message, why):
    with pytest.raises(EncodingError, match=why) as error:
        Codec().encode(message)

    assert error.value.type_name == name_of(Everything)


def test_a_value_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)

    with pytest.raises(EncodingError, match="contains itself"):
        Codec().encode_value(loop)
    with pytest.raises(EncodingError):
        pack(loop)


@pytest.mark.parametrize("value", [Plain(1), {"x": 1}, "text", None, object()], ids=lambda value: type(value).__name__)
def test_only_messages_and_registered_structs_are_sent(value):
    with pytest.raises(EncodingError, match="only Message subclasses and registered structs"):
        Codec().encode(value)


def test_a_registered_struct_comes_back():
    registry = TypeRegistry()
    registry.register(Plain)
    codec = Codec(registry)

    assert codec.decode(*codec.encode(Plain(5))) == Plain(5)


def test_only_structs_can_be_registered():
    with pytest.raises(TypeError, match=r"msgspec\.Struct"):
        TypeRegistry().register(dict)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "module:Class"),
        ("os", "module:Class"),
        ("os:", "module:Class"),
        (":system", "module:Class"),
        ("os:system", "no Message class"),
        ("builtins:eval", "no Message class"),
        ("builtins:dict", "no Message class"),
        (f"{__name__}:Plain", "no Message class"),
        (f"{__name__}:Missing", "no Message class"),
        (f"{__name__}:Outer", "no Message class"),
        (f"{__name__}:Outer.not_a_class", "no Message class"),
        (f"{__name__}:Outer.Inner.__class__", "no Message class"),
        (f"{__name__}:Message", "calls itself actors.messages:Message"),
        ("antigravity:fly", "neither imported nor allow-listed"),
        ("this.does.not.exist:X", "neither imported nor allow-listed"),
    ],
)
def test_a_name_from_outside_resolves_to_a_message_class_or_to_nothing(name, why):
    with pytest.raises(UnknownTypeError, match=why):
        TypeRegistry().resolve(name)

    assert "antigravity" not in sys.modules


def test_a_module_s_own_getattr_is_not_called(monkeypatch):
    called = []
    monkeypatch.setattr(sys.modules[__name__], "__getattr__", called.append, raising=False)

    with pytest.raises(UnknownTypeError):
        TypeRegistry().resolve(f"{__name__}:Lazy")

    assert called == []


@pytest.mark.parametrize("allowed", ["shop.messages", "shop.*"])
def test_an_allow_listed_module_is_imported(tmp_path, monkeypatch, allowed):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    text = "from actors.messages import Message\nclass Buy(Message[int], frozen=True):\n    n: int\n"
    (tmp_path / "shop" / "messages.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    found = TypeRegistry(modules=[allowed]).resolve("shop.messages:Buy")

    assert name_of(found) == "shop.messages:Buy"
    for name in ("shop", "shop.messages"):
        del sys.modules[name]


@pytest.mark.parametrize("allowed", ["sho", "sho.*", "shop2.*", "shop.messages.*x"])
def test_a_similar_name_is_not_allow_listed(allowed):
    with pytest.raises(UnknownTypeError, match="neither imported nor allow-listed"):
        TypeRegistry(modules=[allowed]).resolve("shop.messages:Buy")


def test_an_allow_listed_module_that_fails_to_import_is_an_error_that_says_so(tmp_path, monkeypatch):
    (tmp_path / "broken_shop.py").write_text("raise RuntimeError('no stock')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UnknownTypeError, match="failed to import: RuntimeError: no stock"):
        TypeRegistry(modules=["broken_shop"]).resolve("broken_shop:Buy")


@pytest.mark.parametrize(
    "data", [b"", b"\xc0", b"\x93", b"\x81\xa1n", b"\x81\xa1n\xa1x", b"\x81\xa1n\x01\x01", b"\x81\xa1n\xa1\xff"]
)
def test_bytes_that_are_not_the_type_are_refused(data):
    with pytest.raises(MalformedFrameError, match=r"Outer\.Inner"):
        Codec().decode(name_of(Outer.Inner), data)


def test_unknown_fields_of_a_message_are_ignored():
    data = msgpack.packb({"n": 3, "from_the_future": {"x": [1, 2]}})

    assert Codec().decode(name_of(Outer.Inner), data) == Outer.Inner(3)


@pytest.mark.parametrize("field", [b"\xa1z", b"\xa4tree"])
def test_deep_nesting_is_refused_in_unknown_fields_and_in_types_that_contain_themselves(field):
    data = b"\x81" + field + b"\x91" * 200_000 + b"\xc0"

    with pytest.raises((LimitExceededError, MalformedFrameError)):
        Codec().decode(name_of(Holder), data)
    with pytest.raises((LimitExceededError, MalformedFrameError)):
        Codec().decode(name_of(Outer.Inner), data)


@pytest.mark.parametrize("depth", [60, 70, 200])
def test_a_type_that_contains_itself_is_bounded_in_depth(depth):
    tree = Nested()
    for _ in range(depth - 1):
        tree = Nested([tree])
    name, data = Codec().encode(Holder(tree))
    deep = 1 + 2 * depth  # the message, and a map and an array for each

    if deep <= PAYLOAD_DEPTH:
        assert Codec().decode(name, data) == Holder(tree)
    else:
        with pytest.raises(LimitExceededError, match="max_depth"):
            Codec().decode(name, data)


def test_a_payload_beyond_the_limit_is_refused_on_both_sides():
    small = Codec(limits=Limits(max_bin_bytes=100))
    name, data = Codec().encode(Everything(text="x" * 200))

    with pytest.raises(LimitExceededError, match="max_bin_bytes"):
        small.encode(Everything(text="x" * 200))
    with pytest.raises(LimitExceededError, match="max_bin_bytes"):
        small.decode(name, data)


def test_a_reply_is_decoded_as_the_type_the_message_declares():
    codec = Codec()
    data = codec.encode_reply(Everything, [Mail("a", 1)])

    assert codec.decode_reply(Everything, data) == [Mail("a", 1)]
    with pytest.raises(MalformedFrameError):
        codec.decode_reply(Outer.Inner, data)


def test_a_reply_that_cannot_cross_names_the_message_it_answers():
    with pytest.raises(EncodingError, match=r"reply to .*Everything"):
        Codec().encode_reply(Everything, object())


@pytest.mark.parametrize("value", [{1: 2}, {b"k": 1}, {None: 1}])
def test_maps_with_other_keys_than_text_are_refused_from_outside(value):
    data = msgpack.packb(value)
    if value == {b"k": 1}:
        assert unpack(data, REQUEST_LIMITS) == value
        return
    with pytest.raises(MalformedFrameError):
        unpack(data, REQUEST_LIMITS)


@pytest.mark.parametrize("data", [b"\xa1\xff", b"\x81\xa1\xff\x01"])
def test_text_that_is_no_utf8_is_refused(data):
    with pytest.raises(MalformedFrameError, match="UTF-8"):
        unpack(data, REQUEST_LIMITS)


@pytest.mark.parametrize(
    "value",
    [{1, 2}, 2**64, "\udfff", datetime(2026, 1, 1, tzinfo=UTC), object(), Plain(1)],
    ids=lambda value: type(value).__name__,
)
def test_plain_data_is_plain(value):
    with pytest.raises(EncodingError):
        pack({"x": value})


def test_a_msgspec_reader_and_a_msgpack_reader_agree():
    name, data = Codec().encode(Everything("t", 1, 2.0, b"b", mails=(Mail("a", 1),)))

    assert name == f"{__name__}:Everything"
    assert msgpack.unpackb(data)["mails"] == [{"sender": "a", "size_bytes": 1}]
    assert msgspec.msgpack.decode(data)["text"] == "t"
