"""Envelopes on the wire: what is there comes back, what is newer is tolerated or refused as promised."""

from __future__ import annotations

import msgpack
import pytest

from transport.codec import join_frame, join_map, pack, pack_envelope, pack_frame, unpack_frame
from transport.envelope import VERSION, Envelope, Kind, envelope, from_rows, to_row
from transport.errors import EncodingError, FrameTooLargeError, LimitExceededError, MalformedFrameError, VersionError
from transport.limits import Limits

FULL = Envelope(VERSION, Kind.ASK, "/io/gmail", "mail:Fetch", b"\x81", 7, "/agents/a", 3, 1.5, "00-abc-def-01")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_comes_back(kind):
    assert unpack_frame(pack_frame([envelope(kind, "/a", payload=b"x")])) == [envelope(kind, "/a", payload=b"x")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": 5},
        {"sender": "/a"},
        {"correlation": 9},
        {"deadline": 0.0},
        {"trace": "t"},
        {"id": 2**63, "sender": "/a", "correlation": 1, "deadline": 1e9, "trace": "t"},
    ],
)
def test_every_field_comes_back(fields):
    sent = envelope(Kind.TELL, "/a", "m:C", b"x", **fields)

    assert unpack_frame(pack_frame([sent])) == [sent]


def test_trailing_defaults_are_left_out_and_others_are_not():
    assert len(to_row(envelope(Kind.TELL, "/a", "m:C", b"x"))) == 5
    assert len(to_row(envelope(Kind.ASK, "/a", "m:C", b"x", id=1))) == 6
    assert len(to_row(envelope(Kind.ASK, "/a", "m:C", b"x", id=1, deadline=0.0))) == 9
    assert len(to_row(FULL)) == 10


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, 1_000])
def test_envelopes_that_share_a_frame_come_back_in_order(count):
    sent = [envelope(Kind.TELL, f"/work/task#{n}", "m:C", b"x", id=n) for n in range(1, count + 1)]

    assert unpack_frame(pack_frame(sent)) == sent


def test_a_frame_above_the_walked_size_comes_back_too():
    sent = [envelope(Kind.TELL, "/a", "m:C", b"\x91" * 500_000), FULL]

    assert unpack_frame(pack_frame(sent)) == sent


def test_fields_of_a_later_protocol_are_ignored():
    frame = pack([[*to_row(FULL), "from the future", {"more": 1}]])

    assert unpack_frame(frame, Limits()) == [FULL]


def test_a_version_not_spoken_here_is_refused_even_if_its_shape_is_another():
    with pytest.raises(
        VersionError, match="envelope version 2 is not spoken here; this side speaks version 1"
    ) as error:
        unpack_frame(pack([[2, {"kind": "tell"}]]))

    assert (error.value.found, error.value.spoken) == (2, 1)


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        [],
        "x",
        [1],
        [[]],
        [{}],
        [["1", 1]],
        [[True, 1]],
        [[1]],
        [[1, 99]],
        [[1, "tell"]],
        [[1, 1, 5]],
        [[1, 1, "/a", "m:C", "text, not bytes"]],
        [[1, 1, "/a", "m:C", b"", -1.5]],
        [[1, 1, "/a", "m:C", b"", 1, "", 0, "soon"]],
        [[1, 1, "/a", "m:C", [b""]]],
    ],
    ids=repr,
)
def test_another_shape_is_refused(rows):
    with pytest.raises(MalformedFrameError):
        from_rows(rows)


def test_one_bad_envelope_refuses_its_frame_and_says_which():
    with pytest.raises(MalformedFrameError, match=r"\$\[1\]"):
        unpack_frame(join_frame([pack_envelope(FULL), pack([1, 99])]))


def test_deep_nesting_in_an_envelope_is_refused():
    with pytest.raises((LimitExceededError, MalformedFrameError)):
        unpack_frame(b"\x91\x93\x01\x01" + b"\x91" * 500 + b"\xc0")


def test_a_limit_that_the_decoder_met_is_named():
    frame = pack_frame([envelope(Kind.TELL, "/a", "m:C", b"x" * 100)])

    with pytest.raises(LimitExceededError, match="max_bin_bytes: 100 exceeds the limit of 99"):
        unpack_frame(frame, Limits(max_bin_bytes=99))


def test_a_frame_beyond_its_size_is_refused_whatever_its_size():
    for size in (100, 100_000):
        frame = pack_frame([envelope(Kind.TELL, "/a", "m:C", b"x" * size)])

        with pytest.raises(FrameTooLargeError, match="max_frame_bytes"):
            unpack_frame(frame, Limits(max_frame_bytes=len(frame) - 1))


def test_a_lone_surrogate_in_an_address_is_refused_by_the_sender():
    with pytest.raises(EncodingError, match=r"lone surrogate \(\\ud800 at its character 1\)"):
        pack_envelope(envelope(Kind.TELL, "/\ud800"))


def test_a_failed_encoding_leaves_nothing_behind_for_the_next():
    good = pack_envelope(FULL)
    with pytest.raises(EncodingError):
        pack([1, 2, 3, object()])

    assert pack_envelope(FULL) == good


@pytest.mark.parametrize("count", [0, 65_536])
def test_a_frame_of_none_or_too_many_is_refused(count):
    with pytest.raises(ValueError, match="1 to 65,535"):
        join_frame([b"\x90"] * count)


def test_the_wire_bytes_are_as_documented():
    frame = pack_frame([envelope(Kind.TELL, "/a", "m:C", b"x"), envelope(Kind.ASK, "/a", "m:C", b"y", id=1)])

    assert msgpack.unpackb(frame) == [[1, 1, "/a", "m:C", b"x"], [1, 2, "/a", "m:C", b"y", 1]]


@pytest.mark.parametrize("head", [{}, {"a": 1, "b": [1, 2]}, {str(n): n for n in range(14)}], ids=len)
def test_a_map_is_joined_with_a_value_that_is_packed_already(head):
    value = {"items": [1, None, "x"]}

    assert join_map(head, "last", pack(value)) == pack({**head, "last": value})


def test_a_map_that_would_need_a_longer_head_is_refused():
    with pytest.raises(ValueError, match="up to 14 pairs, got 15"):
        join_map({str(n): n for n in range(15)}, "last", pack(1))
