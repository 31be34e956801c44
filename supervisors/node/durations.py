"""Durations and sizes as people write them: `500ms`, `1h30m`, `2d4h`, `64KiB`, `2GiB`.

A number always carries its unit, because a bare `500` has been read as seconds by one person and as milliseconds by
the next. Units of a duration go from large to small, each at most once. `k`, `M`, `G`, `T` are powers of 1000, `Ki`,
`Mi`, `Gi`, `Ti` powers of 1024. Pure functions; nothing here is imported that `actorctl` would notice.
"""

from __future__ import annotations

import re
from typing import Final

from actors.errors import ActorRuntimeError

LONGEST: Final = 100 * 365 * 86_400.0
"""The longest duration taken, in seconds: a hundred years. Beyond it a timer would overflow."""
LARGEST: Final = 2**63 - 1
"""The largest size taken, in bytes."""
TEXT_LIMIT: Final = 64
"""The longest text read as a duration or a size, in characters."""

_MICROSECONDS: Final = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_BYTES: Final = {
    "B": 1,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "TB": 1_000_000_000_000,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-zµμ]*)")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)\Z")
_ALIASES: Final = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w", "weeks": "w",
    "msec": "ms", "millis": "ms", "milliseconds": "ms", "µs": "us", "μs": "us", "usec": "us",
}  # fmt: skip


class DurationError(ActorRuntimeError, ValueError):
    """Text that is no duration. `hint` says what would be right."""

    def __init__(self, text: str, why: str, hint: str) -> None:
        super().__init__(f"{_shown(text)} is no duration: {why}")
        self.text = text
        self.hint = hint


class SizeError(ActorRuntimeError, ValueError):
    """Text that is no size in bytes. `hint` says what would be right."""

    def __init__(self, text: str, why: str, hint: str) -> None:
        super().__init__(f"{_shown(text)} is no size: {why}")
        self.text = text
        self.hint = hint


def parse_duration(text: str) -> float:
    """Return the seconds that `text` names: `"1h30m"` is 5400.0, `"500ms"` is 0.5.

    Raises:
        DurationError: A number has no unit, a unit is unknown, repeated or out of order, or the whole is longer than
            a hundred years.
    """
    rest = text.strip()
    if not rest or len(text) > TEXT_LIMIT:
        raise DurationError(text, "it is empty" if not rest else "it is too long", 'write it like "30s" or "1h30m"')
    total = 0  # in millionths of 10**-TEXT_LIMIT seconds: whole numbers, so that nothing is rounded before the end
    smallest: int | None = None
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise DurationError(text, _unreadable(rest), 'write it like "30s" or "1h30m"')
        number, unit = part.groups()
        size = _MICROSECONDS.get(unit)
        if size is None:
            raise DurationError(text, *_wrong_unit(number, unit))
        if smallest is not None and size >= smallest:
            raise DurationError(text, f"the unit {unit} is repeated or out of order", 'largest first, as in "1h30m"')
        smallest = size
        total += _scaled(number) * size
        rest = rest[part.end() :].lstrip()
    seconds: float = total / (10**TEXT_LIMIT * 1_000_000)
    if seconds > LONGEST:
        raise DurationError(text, "it is longer than a hundred years", 'at most "36500d"')
    return seconds


def unit_of(word: str) -> str:
    """Return the unit of time that a word of everyday language names: `minutes` is `m`; other words as they are."""
    return _ALIASES.get(word.lower(), word)


def read_rate(text: str) -> tuple[int, float]:
    """Return how many in how many seconds `text` says: `100/s`, `250/min`, `10/5s`.

    Raises:
        ValueError: It is no rate.
    """
    count, slash, per = text.partition("/")
    if not slash or not count.strip().isdecimal() or not 1 <= int(count) <= 1_000_000_000:
        raise ValueError(text)
    per = per.strip()
    seconds = parse_duration(per if per[:1].isdecimal() else f"1{per}")
    if not seconds:
        raise ValueError(text)
    return int(count), seconds


def format_duration(seconds: float) -> str:
    """Return the shortest exact text for `seconds`, to the microsecond: 5400.0 is `"1h30m"`, 0.0 is `"0s"`.

    Args:
        seconds: 0 or more, at most `LONGEST`.

    Raises:
        ValueError: `seconds` is negative, too long or not a number.
    """
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"a duration lies in 0..{LONGEST:g} seconds, got {seconds}")
    left = round(seconds * 1_000_000)
    parts: list[str] = []
    for unit, size in _MICROSECONDS.items():
        if unit == "w":
            continue  # 90 days read better than 12 weeks and 6 days
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Return the bytes that `text` names: `"2GiB"` is 2147483648, `"1.5kB"` is 1500.

    Raises:
        SizeError: It is no number with a unit, is no whole number of bytes, or is above `LARGEST`.
    """
    found = _SIZE.match(text.strip()) if len(text) <= TEXT_LIMIT else None
    if found is None:
        raise SizeError(text, "a size is one number and one unit", 'write it like "512MiB" or "2GB"')
    number, unit = found.groups()
    if unit not in _BYTES:
        raise SizeError(text, *_wrong_size_unit(number, unit))
    one: int = 10**TEXT_LIMIT
    size, rest = divmod(_scaled(number) * _BYTES[unit], one)
    if rest:
        raise SizeError(text, "it is no whole number of bytes", f'"{size}B"')
    if size > LARGEST:
        raise SizeError(text, "it is above the largest size, 2^63 - 1 bytes", 'at most "8388607TiB"')
    return size


def format_size(size_bytes: int) -> str:
    """Return the shortest exact text for `size_bytes`: 2147483648 is `"2GiB"`, 1500 is `"1500B"`.

    Raises:
        ValueError: `size_bytes` is negative.
    """
    if size_bytes < 0:
        raise ValueError(f"a size is 0 or more bytes, got {size_bytes}")
    fitting = [f"{size_bytes // size}{unit}" for unit, size in _BYTES.items() if size_bytes % size == 0]
    return min(fitting, key=len) if size_bytes else "0B"


def _scaled(number: str) -> int:
    """Return a decimal number times 10**TEXT_LIMIT, exactly."""
    whole, _, fraction = number.partition(".")
    scaled: int = int(whole + fraction) * 10 ** (TEXT_LIMIT - len(fraction))
    return scaled


def _unreadable(rest: str) -> str:
    return "it is negative" if rest.startswith("-") else f"{_shown(rest)} is not a number with a unit"


def _wrong_unit(number: str, unit: str) -> tuple[str, str]:
    units = ", ".join(_MICROSECONDS)
    if not unit:
        return f"{number} has no unit", f'"{number}s" or "{number}ms"; the units are {units}'
    right = _ALIASES.get(unit.lower()) or (unit.lower() if unit.lower() in _MICROSECONDS else None)
    hint = f'"{number}{right}"; the units are {units}' if right else f"the units are {units}"
    return f"{unit} is no unit of time", hint


def _wrong_size_unit(number: str, unit: str) -> tuple[str, str]:
    units = ", ".join(_BYTES)
    if not unit:
        return f"{number} has no unit", f'"{number}MiB" or "{number}B"; the units are {units}'
    alike = [known for known in _BYTES if known.lower() == unit.lower() or known[:1].lower() == unit.lower()]
    hint = " or ".join(f'"{number}{known}"' for known in alike)
    return f"{unit} is no unit of size", f"{hint}; the units are {units}" if hint else f"the units are {units}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…")


def seconds_of(duration: float | str) -> float:
    """Return a duration that a program gave, as seconds or as text.

    Raises:
        DurationError: The text is no duration.
    """
    return parse_duration(duration) if isinstance(duration, str) else float(duration)


def bytes_of(size: int | str | None) -> int | None:
    """Return a size that a program gave, as bytes or as text; None stays None.

    Raises:
        SizeError: The text is no size.
    """
    return parse_size(size) if isinstance(size, str) else size
