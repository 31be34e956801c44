"""Cron expressions as text: 5 or 6 fields, seconds first, checked whole and brought to one canonical form.

    second minute hour day-of-month month day-of-week        (with 5 fields the second is 0)

Each field is `*` or a list of `a`, `a-b`, `a-b/n`, `a/n` (from a to the end) and `*/n`; names in the last two fields,
case-insensitive, also in ranges; 0 and 7 are Sunday. Of the month's days, `L` is the last, `L-n` the n-th before it,
`nW` the weekday (Monday to Friday) nearest to day n within its month, `LW` the last weekday. Of the week's days, `d#n`
is the n-th d of the month, `dL` the last. All of them may stand in lists. `?` is `*` in the two day fields. A name
(`@daily`, `DAILY_MAINTENANCE`; `names`) stands for a whole expression.

Rules: an equal range `5-5` is that value. A reversed range is refused with the rewrite in the message. Both day fields
restricted means either (OR); `*` or `?` alone is unrestricted, `*/n` is restricted. An expression is *fixed* when
minute, hour and, with 6 fields, second do not begin with `*`; `cron.next_after` treats it apart where clocks change.

This module reads; which days an expression means is `days`, which instants is `cron`.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.errors import ActorRuntimeError
from actors.scheduling.days import Days
from actors.scheduling.names import NAMED

TEXT_LIMIT: Final = 4096
"""Longest expression read, in characters."""


class CronError(ActorRuntimeError, ValueError):
    """Text that is no cron expression, or one that never fires.

    Attributes:
        field: Name of the field at fault; `expression` or `name` where it is no one field.
        token: The part at fault.
        position: Where it begins in the text, counted from 0.
        hint: What would be right, or "".
    """

    def __init__(
        self, text: str, why: str, *, field: str = "expression", token: str = "", position: int = 0, hint: str = ""
    ):
        where = f"{field} {token!r} at {position}: " if token else ""
        shown = text if len(text) <= 80 else text[:77] + "…"
        super().__init__(f"cron expression {shown!r}: {where}{why}" + (f"; {hint}" if hint else ""))
        self.field = field
        self.token = token
        self.position = position
        self.hint = hint


class Expression(Struct, frozen=True):
    """A checked expression.

    Attributes:
        text: As it was written, blanks collapsed.
        canonical: Six fields of `*`, sorted numbers and sorted special days; two texts that mean the same share it.
        fixed: Whether it names its times of day rather than an interval.
        days: Which days it fires on.
    """

    text: str
    canonical: str
    fixed: bool
    days: Days

    def __hash__(self) -> int:
        return hash(self.canonical)  # a text keeps its hash; the days would be hashed anew each time


_Special = tuple[str, int, int]
"""An item that no set of plain values can stand for: L (days before the last), W (day), LW, # (weekday, n), dL."""


class _Field(Struct, frozen=True):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY: Final = _Field("day-of-month", 1, 31)
_WEEKDAY: Final = _Field("day-of-week", 0, 7, _DAYS)
_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _DAY,
    _Field("month", 1, 12, _MONTHS),
    _WEEKDAY,
)
_KEPT_LENGTH: Final = 100
"""Longest text of a field that is kept with what it means, in characters."""
_NUMBER: Final = re.compile(r"[0-9]{1,4}\Z")
_NEAREST: Final = re.compile(r"(?:([0-9]{1,2})W|W([0-9]{1,2}))\Z")
_BEFORE_LAST: Final = re.compile(r"L-([0-9]{1,2})\Z")


class _Parsed(Struct, frozen=True):
    """One field: its plain values, its special items, each as (kind, numbers), and whether it restricts at all."""

    values: frozenset[int]
    special: frozenset[_Special]
    restricted: bool


def parse(text: str) -> Expression:
    """Return the checked form of `text`.

    Whether it ever fires is not decided here but by `cron.check`.

    Raises:
        CronError: `text` is no expression.
        TypeError: `text` is not a `str`.
    """
    if not isinstance(text, str):
        raise TypeError(f"a cron expression is text, got {type(text).__name__}")
    if len(text) > TEXT_LIMIT:
        beyond = text[TEXT_LIMIT : TEXT_LIMIT + 10]
        raise CronError(text, f"longer than {TEXT_LIMIT} characters", token=beyond, position=TEXT_LIMIT)
    tokens = fields_in(text)
    if not text.isascii():
        raise _foreign(text, tokens)
    if len(tokens) == 1 and not tokens[0][0][0].isdigit() and tokens[0][0] != "*":
        name, position = tokens[0]
        if name not in NAMED:
            raise CronError(
                text, "there is no such name", field="name", token=name, position=position, hint=_near(name)
            )
        return replace(parse(NAMED[name]), text=name)
    if len(tokens) not in (5, 6):
        token, position = tokens[6] if len(tokens) > 6 else ("", len(text))
        raise CronError(text, f"has {len(tokens)} fields, not 5 or 6", token=token, position=position)
    timed = tokens if len(tokens) == 6 else [("0", 0), *tokens]
    parsed = [_parsed(text, number, token, position) for number, (token, position) in enumerate(timed)]
    day, month, weekday = parsed[3:]
    if day.values == frozenset(range(1, 32)) or weekday.values == frozenset(range(7)):
        day = weekday = _Parsed(frozenset(), frozenset(), False)  # either matches every day, and OR keeps it so
    return Expression(
        text=" ".join(token for token, _ in tokens),
        canonical=" ".join(map(_spell, range(len(_FIELDS)), (*parsed[:3], day, month, weekday))),
        fixed=not any(token.startswith("*") for token, _ in timed[:3]),
        days=_days(day, month, weekday),
    )


def fields_in(text: str) -> list[tuple[str, int]]:
    """Return the parts of `text` between blanks, and where each begins."""
    return [(match.group(), match.start()) for match in re.finditer(r"[^ \t]+", text)]


def _foreign(text: str, tokens: list[tuple[str, int]]) -> CronError:
    """Return the error about the first character that is not ASCII."""
    position = next(at for at, character in enumerate(text) if not character.isascii())
    number = sum(1 for _, at in tokens if at <= position) - 1
    names = [field.name for field in _FIELDS[6 - len(tokens) :]] if len(tokens) in (5, 6) else []
    field = names[number] if 0 <= number < len(names) else "expression"
    why = "holds characters other than ASCII"
    return CronError(text, why, field=field, token=text[position], position=position)


def _parsed(text: str, number: int, token: str, position: int) -> _Parsed:
    """Return field `number` of `text`.

    Raises:
        CronError: It is none.
    """
    if len(token) <= _KEPT_LENGTH:
        kept = _kept(number, token)
        if kept is not None:
            return kept
    return _Reader(text, _FIELDS[number], position).read(token)


@lru_cache(maxsize=4096)
def _kept(number: int, token: str) -> _Parsed | None:
    """Return what field `number` says, None where it is none: many expressions are made of the same few fields."""
    try:
        return _Reader(token, _FIELDS[number], 0).read(token)
    except CronError:
        return None  # read once more, for an error that names the text and the place in it


def _near(name: str) -> str:
    close = get_close_matches(name, NAMED, 1, 0.5) or get_close_matches(name.upper(), NAMED, 1, 0.5)
    return f"did you mean {close[0]}?" if close else "names are " + ", ".join(NAMED)


class _Reader:
    """Reads one field; knows where it stands in the text, for the messages."""

    def __init__(self, text: str, field: _Field, position: int) -> None:
        self._text = text
        self._field = field
        self._position = position

    def read(self, token: str) -> _Parsed:
        if token == "*" or (token == "?" and self._field in (_DAY, _WEEKDAY)):
            return _Parsed(frozenset(), frozenset(), False)
        values: set[int] = set()
        special: set[_Special] = set()
        offset = 0
        for item in token.split(","):
            at = self._position + offset
            offset += len(item) + 1
            if not item:
                raise self._error(token, self._position, "empty item")
            found = self._special(item.upper(), at)
            if found is not None:
                special.add(found)
            else:
                values.update(self._plain(item, at))
        return _Parsed(frozenset(values), frozenset(special), True)

    def _special(self, item: str, at: int) -> _Special | None:
        """Return an L, W or # item, or None for a plain one."""
        if self._field is _DAY:
            return self._special_day(item, at)
        if self._field is _WEEKDAY:
            return self._special_weekday(item, at)
        return None

    def _special_day(self, item: str, at: int) -> _Special | None:
        if item == "L":
            return ("L", 0, 0)
        if item in {"LW", "WL"}:
            return ("LW", 0, 0)
        before = _BEFORE_LAST.match(item)
        if before is not None:
            if int(before[1]) > 30:
                raise self._error(item, at, "the number after L- is 0 to 30")
            return ("L", int(before[1]), 0)
        nearest = _NEAREST.match(item)
        if nearest is None:
            return None
        day = int(nearest[1] or nearest[2])
        if day not in range(1, 32):
            raise self._error(item, at, "out of range 1-31")
        return ("W", day, 0)

    def _special_weekday(self, item: str, at: int) -> _Special | None:
        if "#" in item:
            day, _, nth = item.partition("#")
            if nth == "L":
                return ("dL", self._value(day, at, item) % 7, 0)
            if nth not in {"1", "2", "3", "4", "5"}:
                raise self._error(item, at, "the number after # is 1 to 5")
            return ("#", self._value(day, at, item) % 7, int(nth))
        if item == "L":
            raise self._error(item, at, "L stands beside a day here", hint="the last Friday is 5L")
        if item.endswith("L") or (item.startswith("L") and len(item) > 1):
            if item.endswith("L"):
                return ("dL", self._value(item[:-1], at, item) % 7, 0)
            return ("dL", self._value(item[1:], at + 1, item) % 7, 0)
        return None

    def _plain(self, item: str, at: int) -> range | set[int]:
        body, slash, step_text = item.partition("/")
        low, high = self._field.low, self._field.high
        top = 6 if self._field is _WEEKDAY else high
        if body == "*":
            if not slash:
                raise self._error(item, at, "* stands alone or has a step", hint=f"e.g. */5 or {low}-{top}")
            first, last = low, top
        elif "-" in body:
            first, last = self._range(body, at, item)
        else:
            first = self._value(body, at, item)
            if self._field is _WEEKDAY and first == 7:
                first = 0
            last = top if slash else first
        step = self._step(item, step_text, at) if slash else 1
        if self._field is _WEEKDAY:
            return {value % 7 for value in range(first, last + 1, step)}
        return range(first, last + 1, step)

    def _range(self, body: str, at: int, item: str) -> tuple[int, int]:
        left, _, right = body.partition("-")
        first, last = self._value(left, at, item), self._value(right, at + len(left) + 1 if right else at, item)
        if self._field is _WEEKDAY:
            if last == 0 and first > 0:
                last = 7  # a range may end on Sunday
            if first == 7:
                first = 0 if last != 7 else 7
        if first > last:
            low, high = self._field.low, 6 if self._field is _WEEKDAY else self._field.high
            rewrite = f"{first}-{high},{low}-{last}" if last > low else f"{first}-{high},{low}"
            raise self._error(body, at, "is a reversed range", hint=f"write {rewrite}")
        return first, last

    def _step(self, item: str, text: str, at: int) -> int:
        if not _NUMBER.match(text):
            raise self._error(item, at, "the step is a number")
        step = int(text)
        span = (6 if self._field is _WEEKDAY else self._field.high) - self._field.low
        if not 1 <= step <= span:
            raise self._error(item, at, f"the step is 1 to {span}")
        return step

    def _value(self, text: str, at: int, item: str) -> int:
        """Return the value that `text` at `at` names; where there is no text, the fault is that of `item`."""
        field = self._field
        if _NUMBER.match(text):
            value = int(text)
        elif text.upper() in field.names:
            value = field.names.index(text.upper()) + field.low
        else:
            names = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
            raise self._error(text or item, at, f"is no value of this field ({field.low}-{field.high}{names})")
        if not field.low <= value <= field.high:
            raise self._error(text, at, f"out of range {field.low}-{field.high}")
        return value

    def _error(self, token: str, at: int, why: str, *, hint: str = "") -> CronError:
        return CronError(self._text, why, field=self._field.name, token=token, position=at, hint=hint)


def _days(day: _Parsed, month: _Parsed, weekday: _Parsed) -> Days:
    def numbers(field: _Parsed, kind: str) -> tuple[int, ...]:
        return tuple(sorted(number for found, number, _ in field.special if found == kind))

    return Days(
        months=tuple(sorted(month.values)) or tuple(range(1, 13)),
        plain=tuple(sorted(day.values)),
        before_last=numbers(day, "L"),
        nearest=numbers(day, "W"),
        last_weekday=("LW", 0, 0) in day.special,
        weekdays=tuple(sorted(weekday.values)),
        nth=tuple(sorted((number, n) for kind, number, n in weekday.special if kind == "#")),
        last=numbers(weekday, "dL"),
        by_month=day.restricted,
        by_week=weekday.restricted,
    )


@lru_cache(maxsize=4096)
def _spell(number: int, parsed: _Parsed) -> str:
    field = _FIELDS[number]
    if not parsed.restricted:
        return "*"
    if field not in (_DAY, _WEEKDAY) and parsed.values == frozenset(range(field.low, field.high + 1)):
        return "*"
    return ",".join((*map(str, sorted(parsed.values)), *map(_spell_special, sorted(parsed.special))))


def _spell_special(item: _Special) -> str:
    match item:
        case ("L", 0, _):
            return "L"
        case ("L", back, _):
            return f"L-{back}"
        case ("W", day, _):
            return f"{day}W"
        case ("#", day, n):
            return f"{day}#{n}"
        case ("dL", day, _):
            return f"{day}L"
        case _:
            return "LW"
