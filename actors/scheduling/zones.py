"""Time zones: their offsets from UTC and the instants at which their clocks change. Pure; any thread may ask.

Offsets and instants are whole seconds (instants since the epoch), because that is what many of them are compared with.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from actors.errors import ActorRuntimeError

DAY: Final = 86_400
"""Seconds of a day on which no clock changes."""


class ZoneError(ActorRuntimeError, ValueError):
    """A name that is no time zone of the IANA database."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no time zone; expected an IANA name such as UTC or America/New_York")
        self.name = name


class Change(Struct, frozen=True):
    """One change of a zone's clocks: from `at` on, the offset is `after` rather than `before`."""

    at: int
    before: int
    after: int


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called `name`.

    Raises:
        ZoneError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneError(name) from None


def offset_at(zone: ZoneInfo, instant: int) -> int:
    """Return the zone's offset from UTC at `instant`."""
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    assert offset is not None
    return offset.days * DAY + offset.seconds


def change_in(zone: ZoneInfo, low: int, high: int) -> int:
    """Return the first instant in (low, high] with another offset than `low`; there is exactly one change there."""
    before = offset_at(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4096)
def changes_of(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """Return the changes in that UTC year and in the two days around it, in order; at most one a day is known."""
    start = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) - DAY
    found = []
    before = offset_at(zone, start)
    for at in range(start, start + 368 * DAY, DAY):
        after = offset_at(zone, at + DAY)
        if after != before:
            found.append(Change(change_in(zone, at, at + DAY), before, after))
            before = after
    return tuple(found)


@lru_cache(maxsize=65_536)
def steady_offset(zone: ZoneInfo, day: int) -> int | None:
    """Return the offset that holds from the day before to the day after UTC `day`, or None where it changes.

    Those three days hold every instant of the local day of the same number, in any zone.
    """
    first, past = (day - 1) * DAY, (day + 2) * DAY
    changes = changes_of(zone, datetime.fromtimestamp(day * DAY, UTC).year)
    index = bisect_left(changes, first, key=lambda change: change.at)
    return None if index < len(changes) and changes[index].at < past else offset_at(zone, first)
