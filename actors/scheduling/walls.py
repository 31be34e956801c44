"""An expression made ready: its matching wall-clock times, ascending, found in about a microsecond.

Wall-clock times are whole seconds since 1970-01-01T00:00:00 as a clock on the wall would count them: no zone, no
change of clocks. croniter reads the time fields; days are ours (`days`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from datetime import date
from functools import lru_cache
from typing import Final

from croniter import croniter  # type: ignore[import-untyped]  # it ships no types

from actors.scheduling.days import days_in
from actors.scheduling.expression import Expression

DAY: Final = 86_400
"""Seconds of a wall-clock day."""
YEARS: Final = 60
"""How far ahead a match is looked for."""

_TABLE: Final = 20_000
"""Most times of a day that are listed: each five seconds, with room; 80 kB."""
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST_YEAR: Final = 9999


class Walls:
    """The wall-clock times at which an expression fires. Any thread may ask; the answer depends on nothing else.

    Months are worked out when first asked for and kept, at most `YEARS` of them at a time.
    """

    __slots__ = ("_days", "_first", "_first_past", "_hours", "_minutes", "_months", "_seconds")

    def __init__(self, expression: Expression) -> None:
        second, minute, hour = expression.canonical.split()[:3]
        self._hours = _following(hour, 1)
        self._minutes = _following(minute, 0)
        self._seconds = _following(second, 5)  # croniter keeps seconds last
        self._first_past = self._minutes[0] * 60 + self._seconds[0]
        self._first = self._hours[0] * 3600 + self._first_past
        self._days = expression.days
        self._months: dict[int, tuple[int, ...]] = {}

    @property
    def of_day(self) -> array[int]:
        """The seconds of a matching day at which it fires, ascending; empty where they are more than `_TABLE`."""
        return _of_day(*(_values(of) for of in (self._hours, self._minutes, self._seconds)))

    def matches(self, day: int) -> bool:
        """Return whether it fires on that day, counted from 1970-01-01."""
        at = date.fromordinal(_EPOCH + day)
        return at.day in self._month(at.year, at.month)

    def after(self, wall: int) -> int | None:
        """Return the first matching time strictly after `wall`, None where there is none within `YEARS` years."""
        day, second = divmod(wall + 1, DAY)
        at = date.fromordinal(_EPOCH + day)
        if at.day in self._month(at.year, at.month):
            found = self._time_from(second)
            if found >= 0:
                return day * DAY + found
        return self._day_after(at)

    def _time_from(self, second: int) -> int:
        """Return the first matching second of the day from `second` on, or -1."""
        hour, rest = divmod(second, 3600)
        minute, second = divmod(rest, 60)
        next_hour = self._hours[hour]
        if next_hour != hour:
            return -1 if next_hour < 0 else next_hour * 3600 + self._first_past
        next_minute = self._minutes[minute]
        if next_minute == minute:
            next_second = self._seconds[second]
            if next_second >= 0:
                return hour * 3600 + minute * 60 + next_second
            next_minute = self._minutes[minute + 1]
        if next_minute >= 0:
            return hour * 3600 + next_minute * 60 + self._seconds[0]
        next_hour = self._hours[hour + 1]
        return -1 if next_hour < 0 else next_hour * 3600 + self._first_past

    def _day_after(self, at: date) -> int | None:
        year, month, day = at.year, at.month, at.day
        last = min(year + YEARS, _LAST_YEAR)
        while year <= last:
            days = self._month(year, month)
            index = bisect_left(days, day + 1)
            if index < len(days):
                return (date(year, month, days[index]).toordinal() - _EPOCH) * DAY + self._first
            day = 0
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def _month(self, year: int, month: int) -> tuple[int, ...]:
        key = year * 12 + month
        days = self._months.get(key)
        if days is None:
            if len(self._months) >= YEARS * 12:
                self._months = {}
            days = self._months[key] = days_in(self._days, year, month)
        return days


@lru_cache(maxsize=4096)
def walls_of(expression: Expression) -> Walls:
    """Return the walls of `expression`, the same ones while they are in use."""
    return Walls(expression)


@lru_cache(maxsize=4096)
def _following(text: str, place: int) -> list[int]:
    """Return, for each number of a time field, the first that matches from there on, or -1; shared, not to be changed.

    Args:
        text: The field, spelt canonically. Many expressions share few of them, and croniter takes long to read one.
        place: croniter's: 0 minutes, 1 hours, 5 seconds.
    """
    asked = {0: f"0 {text} 0", 1: f"0 0 {text}", 5: f"{text} 0 0"}[place]
    fields, _ = croniter.expand(f"{asked} * * *", second_at_beginning=True)
    return _next_of(fields[place], 24 if place == 1 else 60)


def _next_of(values: list[int | str], size: int) -> list[int]:
    """Return, for each number from 0 to `size`, the first of `values` from there on, or -1."""
    matching = set(range(size)) if values == ["*"] else {int(value) for value in values}
    found = [-1] * (size + 1)
    for number in range(size - 1, -1, -1):
        found[number] = number if number in matching else found[number + 1]
    return found


def _values(following: list[int]) -> tuple[int, ...]:
    """Return the values that `_next_of` was made of."""
    return tuple(number for number, found in enumerate(following[:-1]) if found == number)


@lru_cache(maxsize=256)
def _of_day(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> array[int]:
    if len(hours) * len(minutes) * len(seconds) > _TABLE:
        return array("i")
    return array("i", [h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds])
