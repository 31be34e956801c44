"""What the history forgets: pure decisions about age and size. `pruning` carries them out."""

from __future__ import annotations

from msgspec import Struct

from actors.history.schema import TABLES, Keep

DAY = 86_400.0


class Retention(Struct, frozen=True):
    """How long rows are kept.

    Attributes:
        events_age: Seconds that events, and what is made from them, are kept.
        metrics_age: Seconds that metrics are kept.
        max_bytes: Bytes of the file in use above which the oldest rows go, whatever their age; 0: no such limit, else
            `SMALLEST_BUDGET` or more.
    """

    events_age: float = 90 * DAY
    metrics_age: float = 14 * DAY
    max_bytes: int = 0

    def but(self, events_age: float | None, metrics_age: float | None, max_bytes: int | None) -> Retention:
        """Return this retention with what is given, None for nothing, in its place."""
        return Retention(
            self.events_age if events_age is None else events_age,
            self.metrics_age if metrics_age is None else metrics_age,
            self.max_bytes if max_bytes is None else max_bytes,
        )


class Cut(Struct, frozen=True):
    """Delete the rows of `table` whose `instant` column is before `before`, seconds since the epoch."""

    table: str
    instant: str
    before: float


SMALLEST_BUDGET = 16 * 1024 * 1024
"""Least `max_bytes`: empty tables take a few megabytes, and room comes back in whole groups of rows."""

OLDEST_SHARE = 0.1
"""Share of the kept time span that one step of making room takes away."""

SHORTEST_STEP = 600.0
"""Seconds that one step takes away at least."""

FIRST_INSTANT = -62_135_596_800.0
"""Where time begins: the year 1, before which no row has an instant."""


def check_retention(retention: Retention) -> Retention:
    """Return `retention` if it can be carried out.

    Raises:
        ValueError: An age is not positive, or the budget is too small.
    """
    if not (retention.events_age > 0 and retention.metrics_age > 0):
        raise ValueError(f"ages are positive seconds, got {retention.events_age:g} and {retention.metrics_age:g}")
    if retention.max_bytes and retention.max_bytes < SMALLEST_BUDGET:
        raise ValueError(f"max_bytes is 0 or {SMALLEST_BUDGET} and more, got {retention.max_bytes}")
    return retention


def cuts_by_age(now: float, retention: Retention) -> tuple[Cut, ...]:
    """Return what is too old at `now`, table by table.

    Raises:
        ValueError: The retention cannot be carried out, see `check_retention`.
    """
    check_retention(retention)
    age = {Keep.EVENTS: retention.events_age, Keep.METRICS: retention.metrics_age}
    return tuple(
        Cut(table.name, table.instant, max(now - age[table.keep], FIRST_INSTANT))
        for table in TABLES
        if table.keep is not Keep.ALWAYS
    )


def cuts_for_room(now: float, oldest: float) -> tuple[Cut, ...]:
    """Return the next step of making room: the oldest tenth of the time that is kept, at least ten minutes of it.

    What is from before 1970, when some clock was wrong, goes all at once.

    Args:
        now: Seconds since the epoch.
        oldest: Instant of the oldest row of any table.
    """
    before = max(oldest + max((now - oldest) * OLDEST_SHARE, SHORTEST_STEP), 0.0)
    return tuple(Cut(table.name, table.instant, before) for table in TABLES if table.keep is not Keep.ALWAYS)
