"""What a cron expression means, for people: in words, its next runs, how far apart they are, and what to beware of.

Pure, and bounded: it looks at a thousand runs at most, whatever the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from actors.scheduling.cron import check, next_after
from actors.scheduling.expression import CronError, Expression
from actors.scheduling.walls import walls_of
from actors.scheduling.words import describe
from actors.scheduling.zones import changes_of

RUNS: Final = 5
"""How many next runs are shown."""
_LOOKED_AT: Final = 1_000
_LOOKED_FOR: Final = timedelta(days=4 * 366)
_CHANGES_SHOWN: Final = 2


class SyntaxFault(Struct, frozen=True):
    """Why a text is no expression; the attributes of `CronError`."""

    message: str
    field: str = ""
    token: str = ""
    position: int = 0
    hint: str = ""


class Explanation(Struct, frozen=True):
    """What is known of one text.

    Attributes:
        expression: The text as given; what is no text is shown as Python would.
        valid: Whether it is an expression that ever fires.
        canonical: Its canonical form, "" where it is not valid.
        description: In words, "" where it is not valid.
        zone: The IANA zone it was read in.
        next_runs: The next `RUNS` instants, aware, in that zone.
        smallest_gap: Seconds between the two closest of the runs looked at: a thousand, or those of four years.
        largest_gap: Seconds between the two neighbours among them that are farthest apart.
        error: What is wrong, where it is not valid.
        warnings: What surprises people who wrote such an expression.
    """

    expression: str
    valid: bool
    canonical: str = ""
    description: str = ""
    zone: str = "UTC"
    next_runs: tuple[datetime, ...] = ()
    smallest_gap: float = 0.0
    largest_gap: float = 0.0
    error: SyntaxFault | None = None
    warnings: tuple[str, ...] = ()


def explain(text: Any, zone: ZoneInfo, now: datetime, *, others: Sequence[tuple[str, Expression]] = ()) -> Explanation:
    """Return what `text` means in `zone` from `now` on; never raises for what `text` is.

    Args:
        text: Anything.
        zone: Its wall clock.
        now: An aware datetime.
        others: Schedules in force in the same zone, by name; one that shares the next run is warned of.

    Raises:
        ValueError: `now` is naive.
    """
    try:
        expression = check(text)
        runs = _runs(expression, zone, now)
    except CronError as error:
        fault = SyntaxFault(str(error), error.field, error.token, error.position, error.hint)
        return Explanation(str(text), valid=False, zone=zone.key, error=fault)
    except TypeError as error:
        return Explanation(repr(text)[:80], valid=False, zone=zone.key, error=SyntaxFault(str(error)))
    gaps = [(after - before).total_seconds() for before, after in pairwise(runs)]
    return Explanation(
        expression=text,
        valid=True,
        canonical=expression.canonical,
        description=describe(expression),
        zone=zone.key,
        next_runs=tuple(run.astimezone(zone) for run in runs[:RUNS]),
        smallest_gap=min(gaps, default=0.0),
        largest_gap=max(gaps, default=0.0),
        warnings=tuple(_warnings(expression, zone, now, runs, min(gaps, default=0.0), others)),
    )


def _runs(expression: Expression, zone: ZoneInfo, now: datetime) -> list[datetime]:
    """Return the next runs as UTC instants: `RUNS` and one, and more up to a thousand within four years."""
    runs = [next_after(expression, zone, now)]
    try:
        while len(runs) <= RUNS or (len(runs) < _LOOKED_AT and runs[-1] - runs[0] < _LOOKED_FOR):
            runs.append(next_after(expression, zone, runs[-1]))
    except CronError:
        return runs  # the calendar ends
    return runs


def _warnings(
    expression: Expression,
    zone: ZoneInfo,
    now: datetime,
    runs: Sequence[datetime],
    smallest: float,
    others: Sequence[tuple[str, Expression]],
) -> Iterator[str]:
    if 0 < smallest < 60:
        yield f"runs more often than once a minute: down to {smallest:g} s apart"
    elif smallest == 60:
        yield "runs every minute"
    written = expression.text.split()
    if len(written) in (5, 6):
        times = written[-5:-3] if len(written) == 5 else written[:3]
        sizes = (60, 24) if len(written) == 5 else (60, 60, 24)
        yield from _uneven(times, sizes)
        if any(item.startswith("*/") for field in (written[-3], written[-1]) for item in field.split(",")):
            yield "a step in a day field starts anew each month or week, and counts as a restriction of that field"
    if expression.days.by_month and expression.days.by_week:
        yield "both day fields are restricted: it runs on days that match either of them, not both"
    late = [day for day in expression.days.plain if day > 28]
    if late and expression.days.by_month:
        yield f"day {', '.join(map(str, late))} is missing from some months: L is the last day of every month"
    yield from _clock_changes(expression, zone, now)
    same = [name for name, other in others if next_after(other, zone, now) == runs[0]]
    if same:
        yield f"runs on the same second as {len(same)} other{'s' if len(same) > 1 else ''}: {', '.join(same[:5])}"


def _uneven(times: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
    for field, size in zip(times, sizes, strict=True):
        for item in field.split(","):
            start, slash, step = item.partition("/")
            if slash and start == "*" and size % int(step):
                rest = (size - 1) % int(step) + 1
                yield f"{item} is not even: it starts anew after {size}, so that its last gap is {rest}"


def _clock_changes(expression: Expression, zone: ZoneInfo, now: datetime) -> Iterator[str]:
    """Warn where the next changes of the clocks skip or repeat a time that a fixed expression names."""
    if not expression.fixed:
        return
    start = int(now.timestamp())
    changes = {change for year in (now.year, now.year + 1) for change in changes_of(zone, year) if change.at > start}
    for change in sorted(changes, key=lambda change: change.at)[:_CHANGES_SHOWN]:
        first, last = sorted((change.at + change.before, change.at + change.after))  # walls skipped or repeated
        named = walls_of(expression).after(first - 1)
        if named is None or named >= last:
            continue
        at = datetime.fromtimestamp(change.at, zone)
        clock = datetime.fromtimestamp(named, UTC)
        if change.after > change.before:
            yield f"on {at:%Y-%m-%d} clocks skip {clock:%H:%M}: it runs at {at:%H:%M} then"
        else:
            yield f"on {at:%Y-%m-%d} clocks show {clock:%H:%M} twice: it runs the first time only"
