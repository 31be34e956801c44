"""When a cron expression fires: instants from wall-clock times, with a written rule for days when clocks change.

Which wall-clock times match is `walls`; which instants those are in a zone is decided here. The rule:

* a *fixed* expression (times of day named) runs once: at its first pass where an hour repeats, at the first instant
  after the gap where an hour is skipped, several such times merged into one;
* an interval expression (`*` in second, minute or hour) follows real time: both passes of a repeated hour, nothing in
  a skipped one.

Source: the rule Vixie's cron states for clocks that change by up to three hours. All functions are pure and may be
called on any thread: the same arguments give the same answer.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from actors.scheduling.expression import CronError, Expression, fields_in, parse
from actors.scheduling.walls import YEARS, Walls, walls_of
from actors.scheduling.zones import DAY, change_in, offset_at, steady_offset

_REFERENCE: Final = 1_704_067_200  # 2024-01-01; any day serves to see whether an expression ever fires
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (a wall-clock time, without a zone on purpose)


@lru_cache(maxsize=4096)
def check(text: str) -> Expression:
    """Return the checked form of `text`, which fires at least once within sixty years.

    Raises:
        CronError: `text` is no expression, or one that never fires (30 February).
    """
    expression = parse(text)
    if not _surely_fires(expression) and walls_of(expression).after(_REFERENCE) is None:
        day, position = fields_in(text)[-3]  # no other field can be so that there is no date
        why = f"never fires within {YEARS} years: there is no such date"
        raise CronError(text, why, field="day-of-month", token=day, position=position)
    return expression


def _surely_fires(expression: Expression) -> bool:
    """Whether every month it names has a day of it, as nearly always; False where that is to be found out."""
    days = expression.days
    if not days.by_month and not days.by_week:
        return True
    return (days.by_week and bool(days.weekdays)) or (days.by_month and bool(days.plain) and days.plain[0] <= 28)


def next_after(expression: Expression, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first instant strictly after `after` at which `expression` fires in `zone`, as a UTC datetime.

    Args:
        expression: A checked expression.
        zone: Its wall clock.
        after: An aware datetime.

    Raises:
        CronError: It does not fire within sixty years, or not before the year 10000.
        ValueError: `after` is naive.
    """
    if after.tzinfo is None:
        raise ValueError("after is an aware datetime")
    try:
        return datetime.fromtimestamp(times_of(expression, zone).after(math.floor(after.timestamp())), UTC)
    except (OverflowError, ValueError) as error:
        if isinstance(error, CronError):
            raise
        raise _never(expression, after.isoformat()) from None


class Times:
    """The instants of one expression in one zone, in whole seconds since the epoch: the quick way for many of them.

    Made by `times_of`, which gives all who ask for the same the same one. Any thread may ask; the latest answer is
    kept, since schedules that share an expression ask for the same, and so is the day it was on: what follows on the
    same day, unless clocks change near it, is the next entry of a table.
    """

    __slots__ = ("_day", "_is_asked_again", "_latest", "_next", "_table", "_walls", "_zone", "expression")

    def __init__(self, expression: Expression, zone: ZoneInfo) -> None:
        self.expression = expression
        self._zone = zone
        self._walls = walls_of(expression)
        self._next = _next_fixed if expression.fixed else _next_interval
        self._latest: tuple[int | None, int] = (None, 0)
        self._table: array[int] | None = None
        self._day = _NO_DAY
        self._is_asked_again = False  # what is asked once, as a program starts with many schedules, needs no table

    def after(self, start: int) -> int:
        """Return the first instant strictly after `start`.

        Raises:
            CronError: It does not fire within sixty years, or not before the year 10000.
        """
        asked, found = self._latest
        if asked == start:
            return found
        midnight, past, table = self._day
        if midnight <= start < past:
            found = midnight + table[bisect_right(table, start - midnight)]
        else:
            try:
                steady = _next_steady(self._walls, self._zone, start)
                found = self._next(self._walls, self._zone, start) if steady is None else steady
            except (_NeverError, OverflowError, ValueError):
                raise _never(self.expression, f"{start} s") from None
            if self._is_asked_again:
                self._keep_day(found)
            self._is_asked_again = True
        self._latest = start, found
        return found

    def _keep_day(self, found: int) -> None:
        """Keep the day on which `found` is, where no clock changes near it."""
        table = self._table
        if table is None:
            table = self._table = self._walls.of_day
        if len(table) < 2:
            return
        offset = steady_offset(self._zone, found // DAY)
        if offset is None:
            return
        day = (found + offset) // DAY
        if steady_offset(self._zone, day) == offset and self._walls.matches(day):
            midnight = day * DAY - offset
            self._day = midnight, midnight + table[-1], table


@lru_cache(maxsize=4096)
def times_of(expression: Expression, zone: ZoneInfo) -> Times:
    """Return the times of `expression` in `zone`."""
    return Times(expression, zone)


_NO_DAY: Final[tuple[int, int, array[int]]] = (0, 0, array("i"))


def _never(expression: Expression, after: str) -> CronError:
    return CronError(expression.text, f"does not fire within {YEARS} years after {after}")


class _NeverError(Exception):
    """No match within reach."""


def _next_steady(walls: Walls, zone: ZoneInfo, start: int) -> int | None:
    """Return the next instant where no clock changes near `start` or near it; None where one does."""
    offset = steady_offset(zone, start // DAY)
    if offset is None:
        return None
    wall = _after(walls, start + offset)
    if wall // DAY == (start + offset) // DAY:
        return wall - offset
    offset = steady_offset(zone, wall // DAY)
    return None if offset is None else wall - offset


def _next_fixed(walls: Walls, zone: ZoneInfo, start: int) -> int:
    wall = start + offset_at(zone, start)
    while True:
        wall = _after(walls, wall)
        first, second = _passes(wall, zone)
        instant = change_in(zone, second, first) if first > second else first
        if instant > start:  # else it is in the second pass of a repeated hour, and has run in the first
            return instant


def _next_interval(walls: Walls, zone: ZoneInfo, start: int) -> int:
    wall = start + offset_at(zone, start)
    found = _first_existing(walls, zone, wall, start)
    first, second = _passes(wall, zone)
    if first == start < second:  # the first pass of a repeated hour: the second may come before `found`
        change = change_in(zone, start, second)
        if change <= found:
            return _first_existing(walls, zone, change + offset_at(zone, change) - 1, change - 1)
    return found


def _first_existing(walls: Walls, zone: ZoneInfo, wall: int, start: int) -> int:
    """Return the first instant after `start` of a matching wall time after `wall`, passing over skipped ones."""
    while True:
        wall = _after(walls, wall)
        first, second = _passes(wall, zone)
        if first > second:  # skipped: go on where the clock goes on
            change = change_in(zone, second, first)
            wall = change + offset_at(zone, change) - 1
        elif first > start:
            return first
        elif second > start:
            return second


def _after(walls: Walls, wall: int) -> int:
    found = walls.after(wall)
    if found is None:
        raise _NeverError
    return found


def _passes(wall: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the instants of `wall` read with fold 0 and 1: equal, ascending (repeated) or descending (skipped)."""
    first = (_NAIVE_EPOCH + timedelta(seconds=wall)).replace(tzinfo=zone)
    return int(first.timestamp()), int(first.replace(fold=1).timestamp())
