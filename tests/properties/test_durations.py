"""Durations and sizes: what is written reads back, and nothing else than a refusal comes of any text."""

from hypothesis import given, settings
from hypothesis import strategies as st

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


def refusal(read, text):
    """Return the error that `text` is refused with, or None."""
    try:
        read(text)
    except (DurationError, SizeError) as error:
        return error
    return None


UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6}


@settings(deadline=None)
@given(st.integers(0, int(LONGEST) * 1_000_000))
def test_duration_written_reads_back_to_the_microsecond(microseconds):
    seconds = microseconds / 1_000_000

    assert parse_duration(format_duration(seconds)) == seconds


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(UNITS)), unique=True, min_size=1), st.data())
def test_parts_from_large_to_small_add_up(units, data):
    ordered = [unit for unit in UNITS if unit in units]
    counts = [data.draw(st.integers(0, 1000)) for _ in ordered]
    text = data.draw(st.sampled_from(["", " "])).join(f"{n}{unit}" for n, unit in zip(counts, ordered, strict=True))

    expected = sum(n * UNITS[unit] for n, unit in zip(counts, ordered, strict=True))

    assert abs(parse_duration(text) - expected) <= 1e-9 * max(1.0, expected)


@settings(deadline=None)
@given(st.permutations(["1d", "1h", "1m", "1s"]))
def test_parts_in_any_other_order_are_refused(parts):
    refused = refusal(parse_duration, "".join(parts))

    assert (refused is None) == (parts == ["1d", "1h", "1m", "1s"])


@settings(deadline=None)
@given(st.integers(0, LARGEST))
def test_size_written_reads_back(size):
    assert parse_size(format_size(size)) == size


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[0-9.]{0,80}[a-zA-Zµ ]{0,4}", fullmatch=True)))
def test_any_text_is_a_value_within_limits_or_refused_with_a_hint(text):
    for read, largest in ((parse_duration, LONGEST), (parse_size, LARGEST)):
        refused = refusal(read, text)

        assert refused.hint if refused is not None else 0 <= read(text) <= largest
