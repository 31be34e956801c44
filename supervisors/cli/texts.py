"""Durations, instants, sizes and foreign text as `actorctl` writes and reads them. Pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from actors.errors import ActorRuntimeError

_DAY: Final = 86_400


class WhenError(ActorRuntimeError, ValueError):
    """Text that names no instant."""


def duration(seconds: float | None) -> str:
    """Return a short form: `4ms`, `0.3s`, `41s`, `80s`, `2m05s`, `2h07m`, `3d04h`; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 0.0005:
        return "0s"
    if seconds < 0.0995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s" if seconds % 1 >= 0.05 and seconds % 1 < 0.95 else f"{round(seconds)}s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s" if whole % 60 else f"{whole // 60}m"
    if whole < _DAY:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // 3600:02d}h"


def size(size_bytes: int | None) -> str:
    """Return `512 B`, `1.2 GiB`; "-" for None."""
    if size_bytes is None:
        return "-"
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def instant(at: datetime | None, now: datetime, zone: tzinfo | None = None, *, fine: bool = False) -> str:
    """Return local time with its zone: `14:02:11 CET` today, `2026-11-20 14:02:11 CET` else; "-" for None.

    Args:
        at: Aware instant.
        now: Aware instant that says which day is today.
        zone: Where to; None is the machine's own.
        fine: With milliseconds and without the zone, for columns.
    """
    if at is None:
        return "-"
    local, today = at.astimezone(zone), now.astimezone(zone)
    day = "" if local.date() == today.date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S}.{local.microsecond // 1000:03d}" if fine else f"{day}{local:%H:%M:%S} {local:%Z}"


def parse_when(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the instant that `text` names, as a UTC datetime.

    Taken are a duration ago (`90s`, `-1h30m`, `2 days ago`), `now`, `today`, `yesterday` with an optional time of day
    (`yesterday 14:00`), a time of day (`14:00`), ISO-8601 (`2026-11-20T10:00`, with or without a zone), all but the
    first with a zone behind them (`14:00 UTC`, `14:00 Europe/Berlin`, what `instant` shows), and seconds since 1970
    (`@1795299600`; without the mark where there are nine digits or more, thirteen are milliseconds).

    Raises:
        WhenError: It is none of those.
    """
    from supervisors.node.durations import DurationError, parse_duration

    text = text.strip()
    words = text.split()
    if text == "now":
        return now.astimezone(UTC)
    if (seconds := _seconds_of(text)) is not None:
        text, words = seconds, []
    if len(words) > 1 and (named := _zone_of(words[-1], now, zone)) is not None:
        zone, words = named, words[:-1]
        text = " ".join(words)
    local = now.astimezone(zone)
    if words and words[0] in {"today", "yesterday"} and len(words) <= 2:
        day = local.date() - timedelta(days=1 if words[0] == "yesterday" else 0)
        clock = words[1] if len(words) == 2 else "00:00"
        text = f"{day.isoformat()}T{clock}"
    elif len(words) == 1 and ":" in text and "-" not in text and "T" not in text:
        text = f"{local.date().isoformat()}T{text}"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now.astimezone(UTC) - timedelta(seconds=parse_duration(_of_ago(text)))
        except (DurationError, OverflowError):
            raise WhenError(
                f"{text!r} names no time: write 30m, 2d, 14:00, 'yesterday 14:00' or 2026-11-20T10:00"
            ) from None
    try:
        if found.tzinfo is None:
            found = found.astimezone() if zone is None else found.replace(tzinfo=zone)  # naive text is local time
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WhenError(f"{text!r} lies outside the years 1 to 9999 of UTC") from None


def _seconds_of(text: str) -> str | None:
    """Return ISO-8601 of seconds since 1970, `@1795299600`; None for other text."""
    found = _EPOCH.fullmatch(text)
    if found is None:
        return None
    seconds = float(found["number"])
    if len(found["whole"]) >= _MILLISECONDS_FROM:
        seconds /= 1_000.0
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _zone_of(word: str, now: datetime, zone: tzinfo | None) -> tzinfo | None:
    """Return the zone that `word` names: UTC, Europe/Berlin, or the abbreviation that clocks here show."""
    if word in {"UTC", "Z", "GMT"}:
        return UTC
    if word.isalpha() and word == now.astimezone(zone).tzname():
        return now.astimezone(zone).tzinfo
    if "/" not in word:
        return None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(word)
    except (KeyError, ValueError, OSError):
        return None


_EPOCH: Final = re.compile(r"@?(?P<number>(?P<whole>(?<=@)\d{1,14}|(?<!@)\d{9,14})(?:\.\d{1,9})?)")
_MILLISECONDS_FROM: Final = 13


def _of_ago(text: str) -> str:
    """Return the duration in `-5m` and `5 minutes ago`; other text as it is."""
    from supervisors.node.durations import unit_of

    if text.startswith("-") and text[1:2].isdigit():
        return text[1:]
    if not text.endswith(" ago"):
        return text
    return "".join(unit_of(word) if word.isalpha() else word for word in text.removesuffix(" ago").split())


def printable(text: str, *, lines: bool = False) -> str:
    """Return foreign text without control characters, which could move a terminal's cursor or colour it.

    Args:
        text: From an actor, an error, a file.
        lines: Keep line breaks; else they become `\\n`.
    """
    if text.isprintable():
        return text
    kept = {"\n", "\t"} if lines else set()
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text)


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 worker`, `2 workers`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
