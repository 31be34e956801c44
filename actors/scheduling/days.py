"""Which days of a month an expression means: the day-of-month, month and day-of-week fields. Pure.

croniter 7.0 is not asked about days: it drops or raises on W beside a day of the week, takes # beside a day of the
month as AND, clamps 29W to 31W to shorter months, and knows neither LW, L-n nor lists with W.
"""

from __future__ import annotations

from calendar import monthrange
from typing import Final

from msgspec import Struct

_SATURDAY: Final = 6
_SUNDAY: Final = 0


class Days(Struct, frozen=True):
    """The three day fields, checked. Days of the week count from Sunday, 0, to Saturday, 6.

    Attributes:
        months: 1 to 12, sorted.
        plain: Days of the month, 1 to 31, sorted.
        before_last: Days counted back from the month's last: 0 is `L`, n is `L-n`.
        nearest: The n of each `nW`.
        last_weekday: Whether `LW` is among them.
        weekdays: Plain days of the week.
        nth: (day of the week, n) of each `d#n`.
        last: The day of the week of each `dL`.
        by_month: Whether the day-of-month field restricts.
        by_week: Whether the day-of-week field restricts.
    """

    months: tuple[int, ...]
    plain: tuple[int, ...] = ()
    before_last: tuple[int, ...] = ()
    nearest: tuple[int, ...] = ()
    last_weekday: bool = False
    weekdays: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()
    last: tuple[int, ...] = ()
    by_month: bool = False
    by_week: bool = False


def days_in(days: Days, year: int, month: int) -> tuple[int, ...]:
    """Return the days of that month, from 1, on which `days` fires, sorted; it fires where either field says so."""
    if month not in days.months:
        return ()
    monday_based, length = monthrange(year, month)
    if not days.by_month and not days.by_week:
        return tuple(range(1, length + 1))
    first = (monday_based + 1) % 7  # day of the week of the 1st
    found: set[int] = set()
    if days.by_month:
        found |= _by_month(days, first, length)
    if days.by_week:
        found |= _by_week(days, first, length)
    return tuple(sorted(found))


def _by_month(days: Days, first: int, length: int) -> set[int]:
    found = {day for day in days.plain if day <= length}
    found |= {length - back for back in days.before_last if back < length}
    found |= {_nearest(day, first, length) for day in days.nearest if day <= length}
    if days.last_weekday:
        found.add(_nearest(length, first, length))
    return found


def _by_week(days: Days, first: int, length: int) -> set[int]:
    found = {day for day in range(1, length + 1) if (first + day - 1) % 7 in days.weekdays}
    for weekday, n in days.nth:
        day = 1 + (weekday - first) % 7 + 7 * (n - 1)
        if day <= length:
            found.add(day)
    for weekday in days.last:
        found.add(length - (first + length - 1 - weekday) % 7)
    return found


def _nearest(day: int, first: int, length: int) -> int:
    """Return the Monday to Friday nearest to `day`, inside the month."""
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day
