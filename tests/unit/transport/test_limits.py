"""What a receiver takes: everything else is refused, with the limit's name, before it is decoded."""

from __future__ import annotations

import msgpack
import pytest

from transport.errors import FrameTooLargeError, LimitExceededError, MalformedFrameError
from transport.limits import Limits, check

SMALL = Limits(
    max_frame_bytes=1_000,
    max_depth=3,
    max_items=20,
    max_str_bytes=40,
    max_bin_bytes=50,
    max_array_items=10,
    max_map_items=4,
)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        127,
        -32,
        2**16,
        -(2**63),
        2**64 - 1,
        1.5,
        "",
        "x" * 31,
        "x" * 40,
        b"",
        b"x" * 50,
        [],
        [[[]]],
        [1] * 10,
        {"a": 1, "b": {"c": [2]}},
        {str(n): n for n in range(4)},
    ],
    ids=repr,
)
def test_a_value_within_the_limits_passes(value):
    check(msgpack.packb(value), SMALL)


@pytest.mark.parametrize(
    ("value", "limit", "found"),
    [
        ("x" * 41, "max_str_bytes", 41),
        ("é" * 21, "max_str_bytes", 42),
        (b"x" * 51, "max_bin_bytes", 51),
        ([0] * 11, "max_array_items", 11),
        ({str(n): n for n in range(5)}, "max_map_items", 5),
        ([[[[]]]], "max_depth", 4),
        ({"a": {"b": {"c": {}}}}, "max_depth", 4),
        ([[0] * 9, [0] * 9], "max_items", 21),
    ],
    ids=["text", "text in UTF-8", "bytes", "array", "map", "depth of arrays", "depth of maps", "items"],
)
def test_a_value_beyond_a_limit_names_the_limit_and_what_was_found(value, limit, found):
    with pytest.raises(LimitExceededError) as error:
        check(msgpack.packb(value), SMALL)

    assert (error.value.limit, error.value.value, error.value.allowed) == (limit, found, getattr(SMALL, limit))


def test_a_large_frame_is_refused_by_its_size_alone():
    with pytest.raises(FrameTooLargeError, match=r"max_frame_bytes: 1,001 exceeds the limit of 1,000"):
        check(b"\xc1" * 1_001, SMALL)


def test_small_array_heads_count_against_the_array_limit():
    strict = Limits(max_array_items=3)

    with pytest.raises(LimitExceededError, match="max_array_items: 4"):
        check(b"\x94\x01\x01\x01\x01", strict)


def test_small_map_heads_count_against_the_map_limit():
    strict = Limits(max_map_items=1)

    with pytest.raises(LimitExceededError, match="max_map_items: 2"):
        check(b"\x82\xa1a\x01\xa1b\x01", strict)


def test_short_texts_count_against_the_text_limit():
    strict = Limits(max_str_bytes=2)

    with pytest.raises(LimitExceededError, match="max_str_bytes: 3"):
        check(b"\xa3abc", strict)


@pytest.mark.parametrize("code", [0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF])
def test_a_length_that_is_announced_and_not_there_is_refused(code):
    with pytest.raises((MalformedFrameError, LimitExceededError)):
        check(bytes((code, 0, 0, 0, 40, 1)), Limits())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\xc1", "never uses"),
        (b"\xd4\x01\x02", "extension"),
        (b"\xc7\x01\x05\x00", "extension"),
        (b"\x92\x01", "cut short"),
        (b"\xa3ab", "cut short"),
        (b"\xcf\x00\x00", "cut short"),
        (b"\xda\x01", "cut short"),
        (b"\x01\x01", "left over"),
        (b"\x90\x90", "left over"),
    ],
)
def test_what_is_not_exactly_one_value_is_refused(data, why):
    with pytest.raises(MalformedFrameError, match=why):
        check(data, SMALL)


def test_a_million_containers_inside_one_another_are_refused_at_the_limit():
    with pytest.raises(LimitExceededError, match="max_depth: 17"):
        check(b"\x91" * 1_000_000 + b"\xc0", Limits())


def test_an_array_that_announces_four_billion_items_costs_nothing():
    with pytest.raises(LimitExceededError, match=r"max_array_items: 4,294,967,295"):
        check(b"\xdd\xff\xff\xff\xff", Limits())
