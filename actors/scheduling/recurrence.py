"""The next slot of a recurring job: a cron expression in a zone, asked in floats; handed to the queues by the node."""

from __future__ import annotations

from datetime import UTC, datetime

from actors.scheduling.cron import check, next_after
from actors.scheduling.zones import zone_of


def next_slot(expression: str, zone: str, after: float) -> float:
    """Return the first slot strictly after `after`; both are wall seconds since the epoch. Pure.

    Args:
        expression: A cron expression, or a name as `@daily`.
        zone: Whose wall clock: an IANA name.
        after: From when on.

    Raises:
        CronError: It is no expression, never fires, or there is no such zone (`ZoneError`): `ValueError`s.
    """
    return next_after(check(expression), zone_of(zone), datetime.fromtimestamp(after, UTC)).timestamp()
