"""What an expression is said to mean: the words, the gaps, the warnings, and that nothing makes it raise."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.scheduling.cron import check
from actors.scheduling.explaining import RUNS, explain
from actors.scheduling.expression import parse
from actors.scheduling.names import NAMED
from actors.scheduling.words import describe

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZONE_UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,15,30,45 * * * *", "every 15 minutes"),
        ("*/45 * * * *", "at minute 0 and 45 of every hour"),
        ("*/5 * * * * *", "every 5 seconds"),
        ("30 * * * * *", "at second 30 of every minute"),
        ("0 * * * *", "every hour, on the hour"),
        ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00"),
        ("0 */2 * * *", "every 2 hours, on the hour"),
        ("5 */2 * * *", "at minute 5 of every 2nd hour"),
        ("*/10 9-17 * * 1-5", "every 10 minutes during 09:00-17:59, on Monday to Friday"),
        ("15 30 9 * * *", "at 09:30:15"),
        ("0 9,17 * * *", "at 09:00 and 17:00"),
        ("0 0 L * *", "at 00:00, on the last day of the month"),
        ("0 0 L-1,LW * *", "at 00:00, on 1 day before the last day and the last weekday of the month"),
        ("0 0 1,15W * *", "at 00:00, on day 1 and the weekday nearest to day 15 of the month"),
        ("0 0 * * 1#2,FRIL", "at 00:00, on the second Monday of the month and the last Friday of the month"),
        ("0 0 13 * FRI", "at 00:00, on day 13 of the month, or on Friday"),
        ("0 0 1 1,6-8 *", "at 00:00, on day 1 of the month, in January and June to August"),
    ],
)
def test_an_expression_is_said_in_words_by_what_it_means(text, words):
    assert describe(parse(text)) == words


@pytest.mark.parametrize("name", NAMED)
def test_a_name_means_what_its_expression_means(name):
    assert describe(check(name)) == describe(check(NAMED[name]))
    assert check(name).canonical == check(NAMED[name]).canonical
    assert check(name).fixed == check(NAMED[name]).fixed


@pytest.mark.parametrize(
    ("text", "zone", "part"),
    [
        ("*/5 * * * * *", ZONE_UTC, "more often than once a minute: down to 5 s"),
        ("* * * * *", ZONE_UTC, "every minute"),
        ("*/7 * * * *", ZONE_UTC, "*/7 is not even: it starts anew after 60, so that its last gap is 4"),
        ("0 */5 * * *", ZONE_UTC, "last gap is 4"),
        ("0 0 29,31 * *", ZONE_UTC, "day 29, 31 is missing from some months"),
        ("30 2 * * *", NEW_YORK, "on 2027-03-14 clocks skip 02:30: it runs at 03:00 then"),
        ("30 1 * * *", NEW_YORK, "on 2027-11-07 clocks show 01:30 twice: it runs the first time only"),
        ("0 0 13 * FRI", ZONE_UTC, "match either of them"),
        ("0 0 */2 * *", ZONE_UTC, "starts anew each month"),
    ],
)
def test_what_surprises_people_is_warned_of(text, zone, part):
    assert part in "; ".join(explain(text, zone, NOW).warnings)


@pytest.mark.parametrize("text", ["0 3 * * *", "*/15 * * * *", "0 9 * * MON", "0 0 1 * *", "0 */2 * * *"])
def test_what_surprises_nobody_has_no_warning(text):
    assert explain(text, NEW_YORK, NOW).warnings == ()


def test_a_run_on_the_same_second_as_others_is_warned_of():
    others = [("backup", check("0 2 * * *")), ("report", check("0 2 * * SAT")), ("sync", check("0 * * * *"))]

    (warning,) = explain("0 2 * * *", ZONE_UTC, NOW, others=others).warnings

    assert warning == "runs on the same second as 1 other: backup"


def test_the_next_runs_and_the_gaps_are_those_of_the_clock():
    found = explain("0 9,17 * * *", NEW_YORK, datetime(2026, 11, 21, 12, tzinfo=NEW_YORK))

    assert [run.isoformat() for run in found.next_runs] == [
        "2026-11-21T17:00:00-05:00",
        "2026-11-22T09:00:00-05:00",
        "2026-11-22T17:00:00-05:00",
        "2026-11-23T09:00:00-05:00",
        "2026-11-23T17:00:00-05:00",
    ]
    assert (found.smallest_gap, found.largest_gap) == (8 * 3600, 17 * 3600)  # 16 h, and 1 h more as clocks go back


def test_a_fault_is_told_with_field_token_and_position():
    found = explain("0 22-2 * * *", ZONE_UTC, NOW)

    assert not found.valid
    assert found.error is not None
    assert (found.error.field, found.error.token, found.error.position) == ("hour", "22-2", 2)
    assert found.error.hint == "write 22-23,0-2"


HOSTILE = st.one_of(
    st.none(),
    st.integers(),
    st.binary(max_size=20),
    st.text(max_size=60),
    st.text(alphabet="0123456789*,-/LW#?@MONJA ", max_size=40),
    st.just(",".join(["1-5"] * 1000) + " * * * *"),
    st.just("* " * 5000),
)


@given(HOSTILE)
def test_nothing_makes_an_explanation_raise(text):
    found = explain(text, NEW_YORK, NOW)

    assert found.valid == (found.error is None)
    assert len(found.next_runs) == (RUNS if found.valid else 0)
    assert bool(found.description) == found.valid
