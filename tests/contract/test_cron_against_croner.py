"""The same expressions asked of croner, an independent implementation in JavaScript that follows the same written rule.

Left out of the comparison: `L-n`, which croner does not read; expressions that never fire; and steps in a time field
that does not begin with `*`, which croner takes for an interval and our rule for a fixed time.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from support.node_programs import node_program

from actors.scheduling.cron import check, next_after
from actors.scheduling.expression import CronError

ZONES = [
    *("UTC", "America/New_York", "Europe/London", "Europe/Berlin", "Australia/Lord_Howe"),
    *("America/Santiago", "Asia/Kolkata", "Africa/Casablanca", "Pacific/Auckland", "America/St_Johns"),
]
START = datetime(2024, 1, 1, tzinfo=UTC)
CASES = 20_000
BATCHES = 4
RUNS = 3


def days(chance: random.Random, low: int, high: int) -> str:
    """Return a list of values, ranges and steps."""

    def item() -> str:
        first = chance.randint(low, high)
        last = chance.randint(first, high)
        step = chance.randint(1, max(1, (high - low) // 3))
        return chance.choice([str(first), str(first), f"{first}-{last}", f"{first}-{last}/{step}", f"*/{step}"])

    return ",".join(item() for _ in range(chance.choice([1, 1, 1, 2, 3])))


def times(chance: random.Random, high: int, star: float) -> str:
    """Return a star or steps, or a list of values and ranges."""
    if chance.random() < star:
        return chance.choice(["*", f"*/{chance.randint(1, high // 2)}", f"*/{chance.randint(1, high // 2)},1"])
    firsts = [chance.randint(0, high) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return ",".join(chance.choice([str(first), f"{first}-{chance.randint(first, high)}"]) for first in firsts)


def expression(chance: random.Random) -> str:
    """Return any expression of 5 or 6 fields that both read."""
    day = chance.choice(
        [
            *("*", "*", "*", "L", "LW", "*/10", "1,15", "31", "29-31", "L,15", "15W,1"),
            days(chance, 1, 31),
            f"{chance.randint(1, 31)}W",
        ]
    )
    weekday = chance.choice(
        [
            *("*", "*", "*", "MON-FRI", "FRIL", "5-7", "0", "7", "SUN#1,WED#3"),
            days(chance, 0, 6),
            f"{chance.randint(0, 6)}#{chance.randint(1, 5)}",
            f"{chance.randint(0, 6)}L",
        ]
    )
    month = chance.choice(["*", "*", "*", days(chance, 1, 12), "FEB", "MAR,OCT-NOV"])
    clock = [times(chance, 59, 0.3), times(chance, 23, 0.4)]
    if chance.random() < 0.5:
        clock.insert(0, times(chance, 59, 0.2))
    return " ".join((*clock, day, month, weekday))


@lru_cache
def change_days(zone: ZoneInfo) -> list[datetime]:
    """Return the days before the changes of the zone's clocks within four years."""
    days = [START + timedelta(days=n) for n in range(4 * 365)]
    return [
        day
        for day in days
        if (day + timedelta(days=1)).astimezone(zone).utcoffset() != day.astimezone(zone).utcoffset()
    ]


def instant(chance: random.Random, zone: ZoneInfo) -> datetime:
    """Return an instant of four years; half of them lie within two days of a change of the zone's clocks."""
    changes = change_days(zone)
    if changes and chance.random() < 0.5:
        return chance.choice(changes) + timedelta(seconds=chance.randint(-86_400, 2 * 86_400))
    return START + timedelta(seconds=chance.randint(0, 4 * 365 * 86_400))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_croner_finds_the_same_runs(batch):
    chance = random.Random(batch)
    cases = []
    while len(cases) < CASES // BATCHES:
        zone = ZoneInfo(chance.choice(ZONES))
        text = expression(chance)
        try:
            check(text)
        except CronError:
            continue  # never fires
        cases.append((text, zone, instant(chance, zone)))
    lines = (
        json.dumps({"expression": text, "zone": zone.key, "from": start.isoformat(), "count": RUNS}) + "\n"
        for text, zone, start in cases
    )

    with node_program("cron_runs.js") as croner:
        answers = [json.loads(line) for line in croner.communicate("".join(lines), timeout=100)[0].splitlines()]

    different = []
    for (text, zone, start), answer in zip(cases, answers, strict=True):
        runs, at = [], start
        for _ in range(RUNS):
            at = next_after(check(text), zone, at)
            runs.append(at.timestamp())
        if answer.get("runs") != runs:
            shown = [datetime.fromtimestamp(run, zone).isoformat() for run in runs]
            theirs = [datetime.fromtimestamp(run, zone).isoformat() for run in answer.get("runs", ())]
            different.append((text, zone.key, start.astimezone(zone).isoformat(), shown, theirs or answer))
    assert different == []
