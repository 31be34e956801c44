from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from supervisors.cli.texts import WhenError, duration, instant, parse_when, plural, printable, size

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1.0, "0s"),
        (0.0, "0s"),
        (0.0004, "0s"),
        (0.004, "4ms"),
        (0.0994, "99ms"),
        (0.0999, "0.1s"),
        (0.26, "0.3s"),
        (4.0, "4s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (60.0, "60s"),
        (80.0, "80s"),
        (99.6, "1m40s"),
        (300.0, "5m"),
        (7_620.0, "2h07m"),
        (86_399.7, "1d00h"),
        (273_120.0, "3d03h"),
    ],
)
def test_durations_are_short_and_never_round_to_a_wrong_unit(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_300_000_000, "1.2 GiB"), (2**50, "1024.0 TiB")],
)
def test_sizes_are_in_binary_units(count, text):
    assert size(count) == text


def test_an_instant_of_today_has_no_date_and_one_of_another_day_has():
    today = datetime(2026, 11, 20, 13, 2, 11, 482_000, tzinfo=UTC)
    earlier = datetime(2026, 11, 18, 13, 2, 11, tzinfo=UTC)

    assert instant(today, NOW, BERLIN) == "14:02:11 CET"
    assert instant(earlier, NOW, BERLIN) == "2026-11-18 14:02:11 CET"
    assert instant(today, NOW, BERLIN, fine=True) == "14:02:11.482"


def test_today_is_a_day_of_the_zone_that_is_shown():
    late = datetime(2026, 11, 19, 23, 30, tzinfo=UTC)  # half past midnight of the 20th in Berlin

    assert instant(late, NOW, BERLIN) == "00:30:00 CET"
    assert instant(late, NOW, ZoneInfo("UTC")) == "2026-11-19 23:30:00 UTC"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", "2026-11-20T13:30:00+00:00"),
        ("90s", "2026-11-20T13:28:30+00:00"),
        ("1h30m", "2026-11-20T12:00:00+00:00"),
        ("2d", "2026-11-18T13:30:00+00:00"),
        ("-5m", "2026-11-20T13:25:00+00:00"),
        ("5 minutes ago", "2026-11-20T13:25:00+00:00"),
        ("1 hour 30 min ago", "2026-11-20T12:00:00+00:00"),
        ("today", "2026-11-19T23:00:00+00:00"),
        ("yesterday", "2026-11-18T23:00:00+00:00"),
        ("yesterday 14:00", "2026-11-19T13:00:00+00:00"),
        ("14:00", "2026-11-20T13:00:00+00:00"),
        ("2026-11-20T10:00", "2026-11-20T09:00:00+00:00"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20T10:00-05:00", "2026-11-20T15:00:00+00:00"),
        ("2026-11-18", "2026-11-17T23:00:00+00:00"),
        ("14:00 UTC", "2026-11-20T14:00:00+00:00"),
        ("13:02:03 CET", "2026-11-20T12:02:03+00:00"),
        ("2026-11-20 10:00:00 UTC", "2026-11-20T10:00:00+00:00"),
        ("yesterday 14:00 Asia/Tokyo", "2026-11-19T05:00:00+00:00"),
        ("today UTC", "2026-11-20T00:00:00+00:00"),
        ("1795299600", "2026-11-21T22:20:00+00:00"),
        ("1795299600.25", "2026-11-21T22:20:00.250000+00:00"),
        ("1795299600250", "2026-11-21T22:20:00.250000+00:00"),
        ("@60", "1970-01-01T00:01:00+00:00"),
        ("2026-03-29T02:30", "2026-03-29T01:30:00+00:00"),  # an hour that clocks left out
        ("2026-10-25T02:30", "2026-10-25T00:30:00+00:00"),  # one that they showed twice: the first
    ],
)
def test_times_are_read_as_people_write_them_in_their_own_zone(text, found):
    assert parse_when(text, NOW, BERLIN).isoformat() == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "25:00",
        "yesterday noon",
        "30",
        "-5",
        "-",
        "some minutes ago",
        "5 ago",
        "tomorrow",
        "14:00 Mars/Phobos",
        "14:00 EDT",
        "@",
        "@1e9",
        "99999999999999999999",
    ],
)
def test_text_that_names_no_time_is_refused_with_what_would_be_right(text):
    with pytest.raises(WhenError, match="30m, 2d, 14:00"):
        parse_when(text, NOW, BERLIN)


def test_foreign_text_cannot_move_the_cursor_or_colour_the_terminal():
    assert printable("a\x1b[31mb\rc\x00") == "a\\x1b[31mb\\rc\\x00"
    assert printable("one\ntwo") == "one\\ntwo"
    assert printable("one\ntwo\x1b", lines=True) == "one\ntwo\\x1b"
    assert printable("größe ✓") == "größe ✓"


def test_counts_agree_with_their_noun():
    assert [plural(n, "worker") for n in (0, 1, 2)] == ["0 workers", "1 worker", "2 workers"]
    assert plural(2, "entry", "entries") == "2 entries"
