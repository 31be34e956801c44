"""When a cron expression fires: the one adapter over croniter, with a written rule for days when clocks change.

croniter is asked about wall-clock times without a zone, where it is right for the canonical expressions of
`expression`; which instants those are in a zone is decided here (its own answer runs fixed times twice in the repeated
hour and invents runs in the skipped one). The rule:

* a *fixed* expression (times of day named) runs once: at its first pass where an hour repeats, at the first instant
  after the gap where an hour is skipped, several such times merged into one;
* an interval expression (`*` in second, minute or hour) follows real time: both passes of a repeated hour, nothing in
  a skipped one.

All functions are pure and may be called on any thread: the same arguments give the same answer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]  # it ships no types

from actors.errors import ActorRuntimeError
from actors.scheduling.expression import CronError, Expression, parse

_SECOND: Final = timedelta(seconds=1)
_YEARS: Final = 60
_REFERENCE: Final = datetime(2024, 1, 1)  # noqa: DTZ001 (a wall-clock time, without a zone on purpose)


class ZoneError(ActorRuntimeError, ValueError):
    """A name that is no time zone of the IANA database."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no time zone; expected an IANA name such as UTC or America/New_York")
        self.name = name


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called `name`.

    Raises:
        ZoneError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneError(name) from None


@lru_cache(maxsize=1024)
def check(text: str) -> Expression:
    """Return the checked form of `text`, which fires at least once within sixty years.

    Raises:
        CronError: `text` is no expression, a refused combination, or one that never fires (30 February).
    """
    expression = parse(text)
    try:
        _Walls(expression, _REFERENCE).next()
    except CroniterBadDateError:
        raise CronError(text, f"never fires within {_YEARS} years: there is no such date") from None
    return expression


def next_after(expression: Expression, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first instant strictly after `after` at which `expression` fires in `zone`, as a UTC datetime.

    Args:
        expression: A checked expression.
        zone: Its wall clock.
        after: An aware datetime.

    Raises:
        CronError: It does not fire within sixty years.
        ValueError: `after` is naive.
    """
    if after.tzinfo is None:
        raise ValueError("after is an aware datetime")
    start = after.astimezone(UTC).replace(microsecond=0)
    try:
        if expression.fixed:
            return _next_fixed(expression, zone, start)
        return _next_interval(expression, zone, start)
    except CroniterBadDateError:
        raise CronError(expression.text, f"does not fire within {_YEARS} years after {start.isoformat()}") from None


class _Walls:
    """Wall-clock times that match, ascending, strictly after a start."""

    def __init__(self, expression: Expression, start: datetime) -> None:
        self._cursor = croniter(expression.canonical, start, second_at_beginning=True, max_years_between_matches=_YEARS)

    def next(self) -> datetime:
        found = self._cursor.get_next(datetime)
        assert isinstance(found, datetime)
        return found


def _passes(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants of `wall` read with fold 0 and 1: equal, ascending (repeated) or descending (skipped)."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first, second


def _change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first instant in (low, high] with another offset than `low`; there is exactly one change there."""
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _next_fixed(expression: Expression, zone: ZoneInfo, start: datetime) -> datetime:
    walls = _Walls(expression, _wall_of(start, zone))
    while True:
        first, second = _passes(walls.next(), zone)
        instant = _change_between(zone, second, first) if first > second else first
        if instant > start:  # else it is in the second pass of a repeated hour, and has run in the first
            return instant


def _next_interval(expression: Expression, zone: ZoneInfo, start: datetime) -> datetime:
    local = start.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    found = _first_existing(expression, zone, wall, start)
    first, second = _passes(wall, zone)
    if first < second and local.fold == 0:  # the first pass of a repeated hour: the second may come before `found`
        change = _change_between(zone, start, start + (second - first))
        if change <= found:
            return _first_existing(expression, zone, _wall_of(change, zone) - _SECOND, change - _SECOND)
    return found


def _first_existing(expression: Expression, zone: ZoneInfo, wall: datetime, start: datetime) -> datetime:
    """Return the first instant after `start` of a matching wall time after `wall`, passing over skipped ones."""
    walls = _Walls(expression, wall)
    while True:
        found = walls.next()
        first, second = _passes(found, zone)
        if first > second:  # skipped: go on where the clock goes on
            change = _change_between(zone, second, first)
            walls = _Walls(expression, _wall_of(change, zone) - _SECOND)
        elif first > start:
            return first
        elif second > start:
            return second


def _wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
