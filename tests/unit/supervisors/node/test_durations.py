"""Durations and sizes: what reads, what is refused and which remedy is named."""

import pytest

from supervisors.node.durations import (
    LARGEST,
    LONGEST,
    DurationError,
    SizeError,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("0s", 0.0),
        ("30s", 30.0),
        ("1.5h", 5400.0),
        ("0.1s", 0.1),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("2d4h", 187_200.0),
        ("1w", 604_800.0),
        ("1w2d3h4m5s6ms7us", 788_645.006007),
        (" 5s ", 5.0),
        ("36500d", LONGEST),
    ],
)
def test_duration_reads_as_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("500", "500 has no unit", '"500s" or "500ms"'),
        ("1h30", "30 has no unit", '"30s"'),
        ("5M", "M is no unit of time", '"5m"'),
        ("5 minutes", "minutes is no unit", '"5m"'),
        ("5y", "y is no unit", "the units are w, d, h"),
        ("30m1h", "out of order", "largest first"),
        ("1h1h", "repeated", "largest first"),
        ("-5s", "negative", '"30s"'),
        ("", "empty", '"30s"'),
        ("   ", "empty", '"30s"'),
        ("s", "not a number", '"30s"'),
        ("1e3s", "e is no unit", "the units are"),
        (".5s", "not a number", '"30s"'),
        ("∞s", "not a number", '"30s"'),
        ("٣s", "not a number", '"30s"'),
        ("36501d", "longer than a hundred years", "36500d"),
        ("9" * 60 + "w", "longer than a hundred years", "36500d"),
        ("1s" * 5000, "too long", '"30s"'),
    ],
)
def test_text_that_is_no_duration_is_refused_with_the_remedy(text, why, hint):
    with pytest.raises(DurationError) as caught:
        parse_duration(text)

    assert why in str(caught.value)
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5400, "1h30m"), (0.5, "500ms"), (7_776_000, "90d"), (1.25, "1s250ms"), (1e-9, "0s"), (60, "1m")],
)
def test_seconds_are_written_as_the_shortest_text(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), LONGEST + 1])
def test_what_is_no_duration_is_not_written(seconds):
    with pytest.raises(ValueError, match="a duration lies in"):
        format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("1500B", 1500),
        ("1.5kB", 1500),
        ("2GiB", 2 * 2**30),
        ("0.5KiB", 512),
        ("512 MiB", 512 * 2**20),
        ("1TB", 10**12),
        ("9223372036854775807B", LARGEST),
    ],
)
def test_size_reads_as_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("500", "500 has no unit", '"500MiB"'),
        ("2G", "G is no unit", '"2GB" or "2GiB"'),
        ("2gb", "gb is no unit", '"2GB"'),
        ("1.0001KiB", "no whole number", '"1024B"'),
        ("-1B", "one number and one unit", '"512MiB"'),
        ("x", "one number and one unit", '"512MiB"'),
        ("", "one number and one unit", '"512MiB"'),
        ("9223372036854775808B", "above the largest", "TiB"),
        ("1" * 5000, "one number and one unit", '"512MiB"'),
    ],
)
def test_text_that_is_no_size_is_refused_with_the_remedy(text, why, hint):
    with pytest.raises(SizeError) as caught:
        parse_size(text)

    assert why in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1, "1B"), (1500, "1500B"), (2000, "2kB"), (2**31, "2GiB")])
def test_bytes_are_written_as_the_shortest_exact_text(size, text):
    assert format_size(size) == text


def test_negative_size_is_not_written():
    with pytest.raises(ValueError, match="0 or more"):
        format_size(-1)
