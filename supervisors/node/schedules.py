"""`[schedules.ID]`: what runs when, as a table of the configuration, and as the scheduler takes it.

The models say which keys there are; whether a schedule as a whole can be is the scheduler's own judgement, asked for
only where there are schedules, since it brings croniter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from supervisors.node.durations import read_rate
from supervisors.node.fields import (
    ActorPath,
    Choice,
    Cron,
    Duration,
    ImportPath,
    Kind,
    Number,
    PositiveDuration,
    Rate,
    Table,
    Text,
    Texts,
    Truth,
    Whole,
    Zone,
    read_text,
    refuse,
)
from supervisors.node.positions import KeyPath
from supervisors.node.sections import Section, key

OverlapWord = Annotated[str, Choice("skip", "queue", "delay", "timeout", "concurrent", "cancel-other", "allow-all")]
MissedWord = Annotated[str, Choice("skip", "once", "all")]
StrategyWord = Annotated[str, Choice("fixed", "linear", "exponential", "custom")]
PriorityWord = Annotated[str, Choice("high", "normal", "low")]
Times = Annotated[int, Whole(1, 1000)]
Limit = Annotated[int, Whole(0, 1_000_000_000)]


def _instant(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else read_text(value)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{text[:80]!r} is no instant", '"2026-12-24T18:00", in the schedule\'s time zone, or with an offset')
    return text


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        refuse("expected a list of numbers", "[1, 5, 30]")
    return tuple(float(number) for number in value)


Instant = Annotated[str, Kind("instant", _instant)]
Delays = Annotated[tuple[float, ...], Kind("list of numbers", _numbers, is_text=False)]


class CatchUpConfig(Section):
    """`[catch_up]`: what all schedules together catch up of the slots they missed."""

    at_once: Annotated[int, Whole(1, 10_000)] = key("Late runs under way at a time.", 16)
    rate: Rate = key("Schedules that begin to catch up in a time; the oldest slots go first.", "20/s")
    most: Annotated[int, Whole(0, 1_000_000)] = key("Late runs in all, of one absence.", 1000)


def catch_up_of(config: CatchUpConfig) -> dict[str, Any]:
    """Return the bounds as the scheduler takes them: plain data."""
    count, per = read_rate(config.rate)
    return {"at_once": config.at_once, "rate": {"count": count, "per": per}, "most": config.most}


class RetryConfig(Section):
    """`retry`: whether a failed attempt is made again within its slot."""

    attempts: Times = key("Tries in all, the first included.", 3)
    strategy: StrategyWord = key("How the delay grows from one to the next.", "exponential")
    first: Duration = key("Delay before the second attempt.", "1s")
    factor: Annotated[float, Number(1, 1000)] = key("Growth, with `exponential`.", 2.0)
    max: Duration = key("Longest delay, before jitter.", "30s")
    jitter: Annotated[float, Number(0, 1)] = key("Share of the delay that chance takes away or adds.", 0.0)
    delays: Delays = key("Delays in seconds, with `custom`; the last one stays.", [])
    only: Texts = key("Retry only these: names of errors, or parts of their text.", [])
    never: Texts = key("Do not retry these, whatever `only` says.", [])


class BreakerConfig(Section):
    """`breaker`: after failures in a row nothing is tried for a while, then a few probes decide."""

    failures: Annotated[int, Whole(1, 100_000)] = key("Failures in a row that open it.", 5)
    within: Duration = key("Time in which they must lie; no limit when 0.", "0s")
    open_for: PositiveDuration = key("Time it stays open.", "1m")
    probes: Times = key("Attempts let through at once while half open, and successes needed to close.", 1)


class ScheduleConfig(Section):
    """`[schedules.ID]`: one schedule."""

    cron: Cron | None = key("When: 5 fields, 6 with seconds first, or a name.", None)
    every: PositiveDuration | None = key("When: the time from one slot to the next.", None)
    at: Instant | None = key("When: once, at this instant.", None)
    timezone: Zone | None = key(
        "Zone of `cron`, `at`, `start`, `end` and `exclude`; that of `[runtime]` when unset.", None
    )
    to: ActorPath | None = key("The actor that is asked `message`.", None)
    message: ImportPath | None = key("The message's class.", None)
    handler: ImportPath | None = key("A function that is called, in place of `to`.", None)
    payload: Table = key("Fields of the message, or what the handler is given.", {})
    title: Text | None = key("A line for people.", None)
    tags: Texts = key("Labels to select by.", [])
    priority: PriorityWord = key("Who goes first of several due at once.", "normal")
    timeout: PositiveDuration = key("Longest time of one attempt.", "5m")
    jitter: Duration = key("Slots are fired up to this much after their instant.", "0s")
    start: Instant | None = key("No slots before.", None)
    end: Instant | None = key("No slots after.", None)
    exclude: Texts = key("Days without slots: `2026-12-25`, `2026-12-24..2026-12-31`.", [])
    max_runs: Limit = key("Runs after which it ends; no end when 0.", 0)
    pause_after: Limit = key("Failed runs in a row after which it pauses itself; never when 0.", 0)
    overlap: OverlapWord = key("What becomes of a slot while the run before it is under way.", "skip")
    overlap_limit: Annotated[int, Whole(1, 10_000)] = key(
        "With `queue` the most that wait, with `concurrent` at once.", 1
    )
    overlap_delay: PositiveDuration = key("With `delay`, how long one waits.", "5s")
    missed: MissedWord = key("Which of the slots that are found past are run.", "once")
    missed_window: PositiveDuration = key("Older slots are not run.", "24h")
    missed_most: Times = key("With `all`, the most that are run.", 10)
    retry: RetryConfig | None = key("Retries within a slot; none when unset.", None)
    retry_delay: ImportPath | None = key("A function of the attempt that gives the delay in seconds.", None)
    on_retry: ImportPath | None = key("A function called before each retry.", None)
    on_failed: ImportPath | None = key("A function called when a run has failed for good.", None)
    breaker: BreakerConfig | None = key("Circuit breaker; none when unset.", None)
    breaker_key: Text | None = key("Schedules with the same key share one breaker.", None)
    repeat: Truth = key("Whether a run that the end of the node cut short is done once more, or fails.", True)
    enabled: Truth = key("Whether it is in force at all.", True)


def schedules_of(schedules: Mapping[str, ScheduleConfig], timezone: str) -> list[dict[str, Any]]:
    """Return the schedules that are enabled, as the scheduler takes them: plain data."""
    return [fields_of(id, schedule, timezone) for id, schedule in schedules.items() if schedule.enabled]


def fields_of(id: str, schedule: ScheduleConfig, timezone: str) -> dict[str, Any]:
    """Return one schedule as the scheduler takes it."""
    zone = ZoneInfo(schedule.timezone or timezone)
    fields: dict[str, Any] = {"id": id, "origin": "config"}
    for name in _SAME:
        value = getattr(schedule, name)
        if value is not None and value != ():
            fields[name] = list(value) if isinstance(value, tuple) else value
    for name, field in (("at", "at"), ("start", "start_at"), ("end", "end_at")):
        text = getattr(schedule, name)
        if text is not None:
            found = datetime.fromisoformat(text)
            fields[field] = (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()
    if schedule.payload:
        fields["payload"] = json.dumps(schedule.payload, sort_keys=True)
    fields["overlap"] = {
        "policy": schedule.overlap,
        "limit": schedule.overlap_limit,
        "delay": schedule.overlap_delay,
    }
    fields["missed"] = {
        "policy": schedule.missed,
        "window": schedule.missed_window,
        "most": schedule.missed_most,
    }
    for name in ("retry", "breaker"):
        section = getattr(schedule, name)
        if section is not None:
            fields[name] = {option: list(value) if isinstance(value, tuple) else value for option, value in section}
    return fields


def schedule_faults(id: str, schedule: ScheduleConfig, timezone: str) -> Iterator[tuple[KeyPath, str, str]]:
    """Yield what is wrong with one schedule as a whole: the key below its table, what, and what would be right."""
    import msgspec

    from actors.scheduling.plans import Schedule, ScheduleError, plan_of

    if sum(value is not None for value in (schedule.cron, schedule.every, schedule.at)) != 1:
        yield (), "it needs cron, every or at, one of the three", 'cron = "*/5 * * * *", or every = "5m"'
        return
    if (schedule.to is None) == (schedule.handler is None):
        yield (), "it needs to and message, or handler", 'handler = "package.module:function"'
        return
    if (schedule.to is None) != (schedule.message is None):
        yield ("to",), "an actor is asked a message: to and message go together", 'message = "package.module:Class"'
        return
    try:
        plan_of(msgspec.convert(fields_of(id, schedule, timezone), Schedule), timezone)
    except ScheduleError as error:
        field = {"start_at": "start", "end_at": "end"}.get(error.field, error.field)
        why = str(error).partition(f"{error.field}: ")[2] if error.field else str(error)
        yield ((field,) if field and field != "id" else ()), why, ""
    except (msgspec.ValidationError, ValueError) as error:
        yield (), str(error), ""


_SAME: Final = (
    *("cron", "every", "timezone", "to", "message", "handler", "title", "tags", "priority", "timeout", "jitter"),
    *("exclude", "max_runs", "pause_after", "retry_delay", "on_retry", "on_failed", "breaker_key", "repeat"),
)
"""The keys that are fields of `Schedule` under the same name."""
