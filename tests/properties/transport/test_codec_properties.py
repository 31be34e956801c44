"""Whatever bytes come, the codec gives a value or a clear `CodecError`; whatever value goes, it comes back."""

from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from actors.messages import Message
from transport.codec import Codec, TypeRegistry, name_of, pack, pack_frame, unpack, unpack_frame
from transport.control.protocol import Request as ControlRequest
from transport.control.protocol import decode_message, decode_response, encode_message, id_in
from transport.envelope import VERSION, Envelope, Kind
from transport.errors import CodecError, EncodingError, VersionError
from transport.limits import REQUEST_LIMITS, Limits, check
from transport.taps.frames import decode_body, decode_header, split_topic

MANY = settings(max_examples=400, deadline=None)

TIGHT = Limits(
    max_frame_bytes=2_000,
    max_depth=5,
    max_items=100,
    max_str_bytes=100,
    max_bin_bytes=200,
    max_array_items=20,
    max_map_items=20,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=60)
)
plain = st.recursive(
    scalars, lambda below: st.lists(below, max_size=5) | st.dictionaries(texts, below, max_size=5), max_leaves=20
)
envelopes = st.builds(
    Envelope,
    st.just(VERSION),
    st.sampled_from(Kind),
    target=texts,
    type_name=texts,
    payload=st.binary(max_size=200),
    id=st.integers(0, 2**63 - 1),
    sender=texts,
    correlation=st.integers(0, 2**63 - 1),
    deadline=st.none() | st.floats(0, 1e9),
    trace=texts,
)


@st.composite
def damaged(draw, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that were right before something happened to them."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["cut", "flip", "insert", "remove", "repeat", "length"])):
            case "cut":
                del data[at:]
            case "flip" if data:
                data[at] ^= draw(st.integers(1, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "remove":
                del data[at : at + draw(st.integers(1, 5))]
            case "repeat":
                data[at:at] = data[:at]
            case "length" if data:
                data[at] = draw(st.sampled_from([0xC4, 0xC6, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xC1, 0xC9, 0xD8]))
    return bytes(data)


frames = st.lists(envelopes, min_size=1, max_size=5).map(pack_frame)
requests = st.builds(
    ControlRequest,
    st.text("abc", max_size=8),
    st.text("abc", min_size=1, max_size=8),
    st.dictionaries(texts, plain, max_size=3),
).map(encode_message)


def clear(error: CodecError) -> None:
    """An error is for people: it says something, in a bounded number of words."""
    assert 0 < len(str(error)) < 2_000


def same(a: object, b: object) -> bool:
    """Equal, and of equal types all the way down: 1 is not True, 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and (a == b or (math.isnan(a) and math.isnan(b)))
    return a == b


@MANY
@given(plain)
def test_plain_data_comes_back_as_it_was(value):
    assert same(unpack(pack(value), Limits()), value)


@MANY
@given(st.lists(envelopes, min_size=1, max_size=8))
def test_envelopes_come_back_as_they_were(sent):
    assert unpack_frame(pack_frame(sent)) == sent


@MANY
@given(plain)
def test_the_check_lets_through_exactly_what_is_within_the_limits(value):
    def within(value: object, depth: int) -> bool:
        if isinstance(value, str):
            return len(value.encode()) <= TIGHT.max_str_bytes
        if isinstance(value, bytes):
            return len(value) <= TIGHT.max_bin_bytes
        if isinstance(value, dict | list):
            below = [*value, *value.values()] if isinstance(value, dict) else value
            return depth < TIGHT.max_depth and len(value) <= 20 and all(within(one, depth + 1) for one in below)
        return True

    def count(value: object) -> int:
        below = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
        return 1 + sum(map(count, below))

    data = pack(value)
    fits = within(value, 0) and count(value) <= TIGHT.max_items and len(data) <= TIGHT.max_frame_bytes
    try:
        check(data, TIGHT)
    except CodecError:
        assert not fits
    else:
        assert fits


@MANY
@given(st.binary(max_size=300) | damaged(frames) | damaged(plain.map(pack)))
@example(b"")
@example(b"\x91" * 100_000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc7\xff\xff" + b"x" * 255)
def test_what_the_check_lets_through_msgpack_reads_and_the_other_way_round(data):
    try:
        check(data, Limits())
    except CodecError:
        return
    try:
        msgpack.unpackb(data, strict_map_key=False)
    except UnicodeDecodeError:
        return  # the text is looked at when it is decoded
    except TypeError:
        return  # a map with a container for a key


@MANY
@given(st.binary(max_size=300) | damaged(frames) | plain.map(pack))
@example(b"\x91\x93\x01\x01" + b"\x91" * 60_000 + b"\xc0")
@example(b"\x91\x95\x01\x01\xa0\xa0\xc6\xff\xff\xff\xff")
@example(b"\x91\x92\x01\xcf" + b"\xff" * 8)
def test_any_bytes_are_a_frame_or_a_clear_error(data):
    try:
        found = unpack_frame(data)
    except CodecError as error:
        clear(error)
    else:
        assert found
        assert all(type(one) is Envelope and one.version == VERSION for one in found)


@MANY
@given(st.integers(-10, 2**63).filter(lambda n: n != VERSION), plain)
def test_any_other_version_is_refused_as_such(version, rest):
    with pytest.raises(VersionError):
        unpack_frame(pack([[version, rest]]), Limits())


@MANY
@given(st.binary(max_size=300) | damaged(requests) | plain.map(pack))
@example(b"\x81\xa1v\x91" + b"\x91" * 100_000)
def test_any_bytes_are_a_control_message_or_a_clear_error(data):
    for decode in (decode_message, decode_response):
        try:
            decode(data)
        except CodecError as error:
            clear(error)
    assert isinstance(id_in(data), str)


@MANY
@given(st.binary(max_size=300) | damaged(plain.map(pack)))
def test_any_bytes_are_a_tap_s_frames_or_a_clear_error(data):
    for decode in (decode_header, decode_body, split_topic):
        try:
            decode(data)
        except CodecError as error:
            clear(error)


class Tree(Struct):
    value: int = 0
    below: list[Tree] = []


class Sample(Message[int], frozen=True):
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    data: bytes = b""
    items: list[int] = []
    table: dict[str, float] = {}
    tree: Tree | None = None


trees = st.recursive(
    st.builds(Tree, st.integers(-5, 5)), lambda b: st.builds(Tree, st.just(1), st.lists(b, max_size=3))
)
samples = st.builds(
    Sample,
    texts,
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=50),
    st.lists(st.integers(-(2**31), 2**31), max_size=10),
    st.dictionaries(texts, st.floats(allow_nan=False), max_size=5),
    st.none() | trees,
)


@MANY
@given(samples)
def test_a_message_comes_back_as_it_was(message):
    codec = Codec()

    assert codec.decode(*codec.encode(message)) == message


@MANY
@given(st.binary(max_size=200) | damaged(samples.map(lambda m: Codec().encode(m)[1])))
@example(b"\x81\xa4tree" + b"\x81\xa5below\x91" * 50_000)
@example(b"\x81\xa1?" + b"\x91" * 100_000)
def test_any_bytes_are_the_message_or_a_clear_error(data):
    try:
        found = Codec().decode(name_of(Sample), data)
    except CodecError as error:
        clear(error)
    else:
        assert type(found) is Sample


@MANY
@given(st.text(max_size=60))
@example("transport.codec:Codec")
@example("os:system")
@example("__main__:__builtins__.eval")
@example("actors.messages:Message.__init__")
def test_any_name_resolves_to_a_message_class_or_a_clear_error(name):
    try:
        found = TypeRegistry().resolve(name)
    except CodecError as error:
        clear(error)
    else:
        assert issubclass(found, Message)


@MANY
@given(st.recursive(scalars | st.just("\ud800") | st.just(2**64) | st.just(1j), lambda b: st.lists(b, max_size=4)))
def test_any_value_is_packed_or_a_clear_error(value):
    try:
        data = pack(value)
    except EncodingError as error:
        clear(error)
    else:
        check(data, Limits(max_depth=200))


@MANY
@given(st.integers(0, 40), st.integers(0, 40))
def test_depth_is_counted_exactly(depth, limit):
    data = b"\x91" * depth + b"\xc0"
    try:
        check(data, Limits(max_depth=limit))
    except CodecError:
        assert depth > limit
    else:
        assert depth <= limit


def test_the_limits_of_a_request_are_bounds_on_the_work_it_can_cause():
    assert REQUEST_LIMITS.max_items <= 50_000
    assert REQUEST_LIMITS.max_frame_bytes <= 2**20
