"""When an expression fires, against a reference that walks the clock second by second and never saw croniter."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scheduling.cron import check, next_after
from actors.scheduling.expression import CronError, parse
from actors.scheduling.zones import ZoneError, zone_of

ZONE_UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
APIA = ZoneInfo("Pacific/Apia")
ZONES = [NEW_YORK, LORD_HOWE, ZoneInfo("Europe/London"), ZoneInfo("America/Santiago"), ZoneInfo("UTC")]


def at(*parts: int, zone: ZoneInfo = ZONE_UTC, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=zone, fold=fold).astimezone(UTC)


def firings(text: str, zone: ZoneInfo, after: datetime, count: int) -> list[str]:
    expression, found = check(text), []
    for _ in range(count):
        after = next_after(expression, zone, after)
        found.append(after.astimezone(zone).isoformat())
    return found


@lru_cache(maxsize=200_000)
def day_matches(canonical: str, day: date) -> bool:
    """Whether `day` is a run day of the canonical form, read with the calendar alone."""
    _, _, _, days, months, weekdays = canonical.split()
    if months != "*" and str(day.month) not in months.split(","):
        return False
    last = calendar.monthrange(day.year, day.month)[1]
    weekday = (day.weekday() + 1) % 7
    if days == "*" and weekdays == "*":
        return True

    def by_day(item: str) -> bool:
        if item == "L":
            return day.day == last
        if item.startswith("L-"):
            return day.day == last - int(item[2:])
        if item.endswith("W"):
            number = last if item == "LW" else int(item[:-1])
            if number > last:
                return False
            wanted = date(day.year, day.month, number)
            candidates = [
                date(day.year, day.month, d) for d in range(1, last + 1) if date(day.year, day.month, d).weekday() < 5
            ]
            return day == min(candidates, key=lambda c: (abs((c - wanted).days), c))
        return day.day == int(item)

    def by_weekday(item: str) -> bool:
        if item.endswith("L"):
            return weekday == int(item[:-1]) and day.day + 7 > last
        if "#" in item:
            wanted, nth = item.split("#")
            return weekday == int(wanted) and (day.day - 1) // 7 + 1 == int(nth)
        return weekday == int(item)

    return (days != "*" and any(map(by_day, days.split(",")))) or (
        weekdays != "*" and any(map(by_weekday, weekdays.split(",")))
    )


def wall_matches(canonical: str, wall: datetime) -> bool:
    times = zip(canonical.split()[:3], (wall.second, wall.minute, wall.hour), strict=True)
    return all(text == "*" or str(value) in text.split(",") for text, value in times) and day_matches(
        canonical, wall.date()
    )


def reference(text: str, zone: ZoneInfo, after: datetime, until: datetime, step: int) -> Iterator[datetime]:
    """Every firing in (after, until] by the written rule, walking real time in steps of `step` seconds."""
    expression = parse(text)
    instant, offset = after, after.astimezone(zone).utcoffset()
    while (instant := instant + timedelta(seconds=step)) <= until:
        local = instant.astimezone(zone)
        wall = local.replace(tzinfo=None)
        moved = local.utcoffset() - offset
        offset = local.utcoffset()
        skipped = [wall - moved + timedelta(seconds=s) for s in range(0, int(moved.total_seconds()), step)]
        if expression.fixed:
            fires = (local.fold == 0 and wall_matches(expression.canonical, wall)) or any(
                wall_matches(expression.canonical, gone) for gone in skipped
            )
        else:
            fires = wall_matches(expression.canonical, wall)
        if fires:
            yield instant


def test_a_fixed_time_in_the_repeated_hour_runs_at_its_first_pass_only():
    assert firings("30 1 * * *", NEW_YORK, at(2024, 11, 2, 12), 2) == [
        "2024-11-03T01:30:00-04:00",
        "2024-11-04T01:30:00-05:00",
    ]


def test_a_fixed_time_asked_from_inside_the_second_pass_runs_the_next_day():
    start = at(2024, 11, 3, 1, 10, zone=NEW_YORK, fold=1)

    assert firings("30 1 * * *", NEW_YORK, start, 1) == ["2024-11-04T01:30:00-05:00"]


def test_fixed_times_in_the_skipped_hour_run_once_at_its_end():
    assert firings("0,30 2 * * *", NEW_YORK, at(2024, 3, 9, 12), 2) == [
        "2024-03-10T03:00:00-04:00",
        "2024-03-11T02:00:00-04:00",
    ]


def test_a_skipped_fixed_time_does_not_keep_its_second():
    assert firings("30 15 2 * * *", NEW_YORK, at(2024, 3, 9, 12), 1) == ["2024-03-10T03:00:00-04:00"]


def test_an_interval_has_no_made_up_run_in_the_skipped_hour():
    assert firings("0 */2 * * *", NEW_YORK, at(2024, 3, 10, 5), 2) == [
        "2024-03-10T04:00:00-04:00",
        "2024-03-10T06:00:00-04:00",
    ]


def test_an_interval_runs_in_both_passes_of_the_repeated_hour():
    start = at(2024, 11, 3, 1, 15, zone=NEW_YORK)

    assert firings("*/30 * * * *", NEW_YORK, start, 4) == [
        "2024-11-03T01:30:00-04:00",
        "2024-11-03T01:00:00-05:00",
        "2024-11-03T01:30:00-05:00",
        "2024-11-03T02:00:00-05:00",
    ]


def test_a_fixed_time_on_a_day_that_a_zone_left_out_runs_when_the_next_begins():
    assert firings("0 12 30 12 *", APIA, at(2011, 12, 29, 12), 1) == ["2011-12-31T00:00:00+14:00"]


CHANGES = {
    NEW_YORK: [at(2024, 3, 10, 7), at(2024, 11, 3, 6)],
    LORD_HOWE: [at(2024, 4, 6, 15), at(2024, 10, 5, 15, 30)],
    ZONES[2]: [at(2024, 3, 31, 1), at(2024, 10, 27, 1)],
    ZONES[3]: [at(2024, 4, 7, 3), at(2024, 9, 8, 4)],
    ZONES[4]: [at(2024, 2, 29)],
}


@st.composite
def clock_fields(draw):
    minute = draw(st.sampled_from(["0", "30", "*/15", "*/20", "0,30", "15/30", "*", "5-5", "59"]))
    hour = draw(st.sampled_from(["*", "*/2", "1", "2", "0-3", "0,1,2", "23", "1-2", "0"]))
    return f"{minute} {hour} * * *"


@settings(max_examples=150, deadline=None)
@given(clock_fields(), st.sampled_from(ZONES), st.booleans(), st.integers(-150, 150))
def test_firings_around_a_clock_change_are_those_of_the_written_rule(text, zone, later, minutes):
    start = CHANGES[zone][-1 if later else 0] + timedelta(minutes=minutes)
    until = start + timedelta(hours=9)
    expected = list(reference(text, zone, start, until, 60))

    expression, found, cursor = check(text), [], start
    while (cursor := next_after(expression, zone, cursor)) <= until:
        found.append(cursor)

    assert found == expected


MONTH_DAYS = st.one_of(
    st.integers(1, 31).map(str),
    st.just("L"),
    st.just("LW"),
    st.integers(1, 30).map("L-{}".format),
    st.integers(1, 31).map("{}W".format),
    st.sampled_from(["8-14", "*/9", "20/4"]),
)
WEEK_DAYS = st.one_of(
    st.integers(0, 7).map(str),
    st.integers(0, 7).map("{}L".format),
    st.tuples(st.integers(0, 7), st.integers(1, 5)).map("{0[0]}#{0[1]}".format),
    st.sampled_from(["MON-FRI", "5-7", "SAT#5", "FRIL", "*/3"]),
)


@st.composite
def day_expressions(draw):
    day = draw(st.one_of(st.just("*"), st.lists(MONTH_DAYS, min_size=1, max_size=3).map(",".join)))
    weekday = draw(st.one_of(st.just("*"), st.lists(WEEK_DAYS, min_size=1, max_size=3).map(",".join)))
    month = draw(st.one_of(st.just("*"), st.integers(1, 12).map(str), st.sampled_from(["*/3", "FEB", "JUN-AUG"])))
    return f"0 12 {day} {month} {weekday}"


@settings(max_examples=600, deadline=None)
@given(day_expressions(), st.dates(date(2023, 1, 1), date(2029, 1, 1)))
def test_run_days_are_those_of_the_calendar(text, day):
    try:
        expression = check(text)
    except CronError:
        canonical = parse(text).canonical
        assert not any(day_matches(canonical, date(2024, 1, 1) + timedelta(days=n)) for n in range(4 * 366))
        return
    start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)

    found = next_after(expression, zone_of("UTC"), start)

    assert found > start
    assert day_matches(expression.canonical, found.date())
    between = range(1, (found.date() - day).days)
    assert not any(day_matches(expression.canonical, day + timedelta(days=n)) for n in between)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/7 * * * * *", "0 */5 * * * *", "10,50 59 * * * *", "3-3 * * * * *"]),
    st.integers(0, 86_399),
    st.integers(0, 999_999),
)
def test_the_answer_is_strictly_after_and_on_a_whole_second(text, second, micro):
    start = datetime(2025, 5, 5, tzinfo=UTC) + timedelta(seconds=second, microseconds=micro)

    found = next_after(check(text), zone_of("UTC"), start)

    whole = start.replace(microsecond=0)
    assert found == next(reference(text, ZoneInfo("UTC"), whole, whole + timedelta(hours=2), 1))


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6 *"])
def test_a_date_that_never_comes_is_refused(text):
    with pytest.raises(CronError, match="never fires"):
        check(text)


def test_an_impossible_day_beside_a_weekday_fires_on_the_weekday():
    assert firings("0 0 31 2 MON", ZoneInfo("UTC"), at(2024, 2, 1), 1) == ["2024-02-05T00:00:00+00:00"]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "America", "/etc/localtime"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ZoneError):
        zone_of(name)


def test_a_naive_instant_is_refused():
    with pytest.raises(ValueError, match="aware"):
        next_after(check("* * * * *"), zone_of("UTC"), datetime(2024, 1, 1))  # noqa: DTZ001
