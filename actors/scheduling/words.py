"""A cron expression in English words. Pure: what is said comes from the values an expression means, not from its text.

So `*/15` and `0,15,30,45` read the same, and `*/45` reads as the two minutes it fires at, which its text hides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from actors.scheduling.days import Days
from actors.scheduling.expression import Expression

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth")
_ENDINGS: Final = {2: "nd", 3: "rd"}
_FEW_TIMES: Final = 4
_ALL_MINUTES: Final = tuple(range(60))
_ALL_HOURS: Final = tuple(range(24))
_Values = tuple[int, ...]


def describe(expression: Expression) -> str:
    """Return what `expression` means: when in the day, then on which days, then in which months."""
    second, minute, hour = (
        _values(text, size) for text, size in zip(expression.canonical.split()[:3], (60, 60, 24), strict=True)
    )
    return _times(second, minute, hour) + _days(expression.days)


def _values(text: str, size: int) -> _Values:
    return tuple(range(size)) if text == "*" else tuple(map(int, text.split(",")))


def _times(second: _Values, minute: _Values, hour: _Values) -> str:
    if len(second) * len(minute) * len(hour) <= _FEW_TIMES or (second == minute == (0,) and not _step(hour, 24)):
        return "at " + _listed([_clock(h, m, s) for h in hour for m in minute for s in second])
    if second == minute == (0,):
        step = _step(hour, 24)
        return "every hour, on the hour" if step == 1 else f"every {step} hours, on the hour"
    parts = []
    if second != (0,):
        parts.append(_unit(second, "second"))
    if minute != _ALL_MINUTES or not parts:
        parts.append(_unit(minute, "minute"))
    if hour != _ALL_HOURS:
        parts.append(_hours(hour))
    elif parts[-1].startswith("at minute"):
        parts.append("of every hour")
    elif parts[-1].startswith("at second"):
        parts.append("of every minute")
    return " ".join(parts)


def _unit(values: _Values, name: str) -> str:
    step = _step(values, 60)
    if step:
        return f"every {name}" if step == 1 else f"every {step} {name}s"
    return f"at {name} {_ranged(values, str)}"


def _hours(hour: _Values) -> str:
    step = _step(hour, 24)
    if step:
        return f"of every {step}{_ENDINGS.get(step, 'th')} hour"
    spans = [f"{first:02}:00-{last:02}:59" for first, last in _runs(hour)]
    return "during " + _listed(spans)


def _days(days: Days) -> str:
    either = []
    if days.by_month:
        either.append(_listed(_month_days(days)) + " of the month")
    if days.by_week:
        either.append(_listed(_week_days(days)))
    said = ", on " + ", or on ".join(either) if either else ""
    if len(days.months) < len(_MONTHS):
        said += ", in " + _ranged(days.months, lambda month: _MONTHS[month - 1])
    return said


def _month_days(days: Days) -> list[str]:
    found = []
    if days.plain:
        found.append(f"day {_ranged(days.plain, str)}")
    found += [f"the weekday nearest to day {day}" for day in days.nearest]
    found += [_before_last(back) for back in days.before_last]
    if days.last_weekday:
        found.append("the last weekday")
    return found


def _before_last(back: int) -> str:
    return f"{back} day{'s' if back > 1 else ''} before the last day" if back else "the last day"


def _week_days(days: Days) -> list[str]:
    found = [_ranged(days.weekdays, _WEEKDAYS.__getitem__)] if days.weekdays else []
    found += [f"the {_ORDINALS[n]} {_WEEKDAYS[day]} of the month" for day, n in days.nth]
    found += [f"the last {_WEEKDAYS[day]} of the month" for day in days.last]
    return found


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _step(values: _Values, size: int) -> int:
    """Return n where `values` are all multiples of n below `size` and n divides it, so that gaps are even; else 0."""
    step = size // len(values)
    return step if len(values) > 1 and values == tuple(range(0, size, step)) and size % step == 0 else 0


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers in `values` as (first, last)."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def _ranged(values: Sequence[int], name: Callable[[int], str]) -> str:
    """Return `values` listed, three or more consecutive ones as a range."""
    said: list[str] = []
    for first, last in _runs(values):
        if last - first >= 2:
            said.append(f"{name(first)} to {name(last)}")
        else:
            said += [name(value) for value in range(first, last + 1)]
    return _listed(said)


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
