"""A schedule as its owner writes it, checked and made ready: when its slots are, and what is run for them. Pure.

`Schedule` is plain data: it is stored, sent and compared as it stands. `plan_of` checks it whole and makes the `Plan`
that the rules work with; `Plan.after` says where the next slot is.

A slot is one scheduled instant of one schedule. Instants in excluded days, before `start_at` or after `end_at` are no
slots. With `jitter` a slot keeps its instant and is fired up to so many seconds later, by a share that depends on the
schedule's id and the instant alone.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Final

from msgspec import Struct

from actors.addresses import check_path
from actors.errors import ActorRuntimeError, AddressError
from actors.policies.breaker import Breaker
from actors.policies.overlap import Overlap
from actors.policies.retry import Retry
from actors.scheduling.cron import Times, check, times_of
from actors.scheduling.expression import CronError
from actors.scheduling.zones import zone_of

PRIORITIES: Final = ("high", "normal", "low")
DAY: Final = 86_400.0

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]*(?:/[A-Za-z0-9][A-Za-z0-9._#-]*)*\Z", re.ASCII)
_ID_LIMIT: Final = 200
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}\Z", re.ASCII)
_IMPORT: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z", re.ASCII)
_PAYLOAD_LIMIT: Final = 1 << 20
_EXCLUDED_LIMIT: Final = 1_000
_LONGEST: Final = 100 * 366 * DAY
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


class MissedPolicy(Enum):
    """What becomes of slots that are found past: the machine slept, the node was down, the clock was set."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Missed(Struct, frozen=True):
    """A policy of missed slots.

    Attributes:
        policy: `skip`: none is run, `once`: the latest, in which the others are merged, `all`: the latest `most`, the
            oldest of them first.
        window: Slots older than this many seconds are missed whatever the policy.
        most: With `all`, the most that are run; 1..1000.

    Raises:
        ValueError: A number is out of its range.
    """

    policy: MissedPolicy = MissedPolicy.ONCE
    window: float = DAY
    most: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.window < math.inf:
            raise ValueError(f"the window of missed slots is positive seconds, got {self.window}")
        if not 1 <= self.most <= 1_000:
            raise ValueError(f"the most missed slots that are run lie in 1..1000, got {self.most}")


class Schedule(Struct, frozen=True, omit_defaults=True):
    """A schedule: when, for whom, and by which rules. Exactly one of `cron`, `every` and `at` is given.

    What is run is one of: the actor at `to`, sent `Cycle` (loops) or asked `message`, or the function `handler`.

    Attributes:
        id: Its name, unique: letters, digits, `._#-`, parts divided by `/`.
        cron: A cron expression of 5 or 6 fields, or a name.
        every: Seconds from one slot to the next, by the monotonic clock.
        at: The only slot, wall seconds since the epoch.
        timezone: Zone of `cron` and of `exclude`; "" for the scheduler's.
        to: Path of the actor that is sent to.
        message: Class of the message it is asked, `package.module:Class`; "" for `Cycle`.
        payload: Fields of the message, or the value a handler is given, as JSON.
        handler: A function, `package.module:name`; it may take a `Work`.
        title: A line for people.
        tags: Words to select it by.
        priority: `high`, `normal` or `low`: who goes first of several due at once.
        timeout: Longest time of one attempt, in seconds.
        jitter: Most seconds that a slot is fired after its instant.
        start_at, end_at: First and last instant at which there may be slots; 0 for no such bound.
        exclude: Days without slots: `2026-12-25` or `2026-12-24..2026-12-31`, in the zone.
        max_runs: Runs after which it ends; 0 for no end.
        pause_after: Failed runs in a row after which it pauses itself; 0 for never.
        overlap, missed, retry: The rules.
        retry_delay: A function `attempt -> seconds` in place of the retry's strategy, `package.module:name`.
        on_retry, on_failed: Functions called with an `Attempt` before each retry and after the last, likewise.
        breaker: Circuit breaker, or None.
        breaker_key: Schedules with the same key share one; "" for one of its own.
        repeat: Whether a run that the end of the runtime cut short is done once more, or fails.
        origin: Who put it there: `api`, `config` or `actor`.
    """

    id: str
    cron: str = ""
    every: float = 0.0
    at: float = 0.0
    timezone: str = ""
    to: str = ""
    message: str = ""
    payload: str = ""
    handler: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    priority: str = "normal"
    timeout: float = 300.0
    jitter: float = 0.0
    start_at: float = 0.0
    end_at: float = 0.0
    exclude: tuple[str, ...] = ()
    max_runs: int = 0
    pause_after: int = 0
    overlap: Overlap = Overlap()
    missed: Missed = Missed()
    retry: Retry = Retry()
    retry_delay: str = ""
    on_retry: str = ""
    on_failed: str = ""
    breaker: Breaker | None = None
    breaker_key: str = ""
    repeat: bool = True
    origin: str = "api"


class ScheduleError(ActorRuntimeError, ValueError):
    """A schedule that cannot be.

    Attributes:
        id: Which.
        field: The field at fault, or "".
    """

    def __init__(self, id: str, field: str, why: str) -> None:
        shown = id if len(id) <= 80 else id[:79] + "…"
        super().__init__(f"schedule {shown!r}: {field}: {why}" if field else f"schedule {shown!r}: {why}")
        self.id = id
        self.field = field


class Cron(Struct, frozen=True):
    """Slots by the wall clock of a zone."""

    times: Times


class Every(Struct, frozen=True):
    """Slots each `seconds`, by the monotonic clock."""

    seconds: float


class Once(Struct, frozen=True):
    """One slot."""

    at: float


When = Cron | Every | Once


class Plan(Struct, frozen=True):
    """A schedule made ready.

    Attributes:
        when: When its slots are.
        timezone: Its zone's name.
        rank: Its place among those due at once; lower goes first.
        excluded: Instants without slots, from and up to, ascending.
        is_plain: Whether it is a cron expression without jitter, bounds or a number of runs.
    """

    schedule: Schedule
    when: When
    timezone: str
    rank: int
    excluded: tuple[tuple[float, float], ...] = ()
    is_plain: bool = False

    def after(self, wall: float) -> float | None:
        """Return the first slot strictly after `wall`; None where there is none. Not for intervals."""
        when, schedule = self.when, self.schedule
        if self.is_plain:
            try:
                return float(when.times.after(math.floor(wall)))  # type: ignore[union-attr]  # a plain one is a Cron
            except CronError:
                return None
        if type(when) is Cron:
            wall = max(wall, schedule.start_at - 1.0) if schedule.start_at else wall
            try:
                found = float(when.times.after(math.floor(wall)))
                while self.excluded and (end := self._excluded_until(found)):
                    found = float(when.times.after(math.ceil(end) - 1))
            except CronError:
                return None  # it has fired for the last time
        elif type(when) is Once:
            if when.at <= wall or self._excluded_until(when.at):
                return None
            found = when.at
        else:
            raise AssertionError("the slots of an interval follow the monotonic clock")
        return None if schedule.end_at and found > schedule.end_at else found

    def allows(self, slot: float) -> float:
        """Return 0 where an interval may have a slot at `slot`, else the instant from which it may; inf for never."""
        schedule = self.schedule
        if schedule.start_at and slot < schedule.start_at:
            return schedule.start_at
        if schedule.end_at and slot > schedule.end_at:
            return math.inf
        return self._excluded_until(slot)

    def fire_at(self, slot: float) -> float:
        """Return when `slot` is fired: its instant, or with jitter up to so much later, but before the next one."""
        jitter = self.schedule.jitter
        if not jitter:
            return slot
        if type(self.when) is Cron:
            following = self.after(slot)
            if following is not None:
                jitter = min(jitter, (following - slot) * 0.999)
        share = zlib.crc32(f"{self.schedule.id} {slot:.0f}".encode()) / 0x1_0000_0000
        return slot + share * jitter

    def _excluded_until(self, slot: float) -> float:
        for low, high in self.excluded:
            if low <= slot < high:
                return high
        return 0.0


def plan_of(schedule: Schedule, timezone: str = "UTC") -> Plan:
    """Check `schedule` whole and make it ready.

    Args:
        schedule: What its owner wrote.
        timezone: Zone of one that names none.

    Raises:
        ScheduleError: Something in it cannot be; names the field.
    """
    id = schedule.id
    if len(id) > _ID_LIMIT or not _ID.match(id):
        raise ScheduleError(id, "id", f"letters, digits and ._#- in parts divided by /, at most {_ID_LIMIT} characters")
    _check_numbers(schedule)
    _check_target(schedule)
    if sum((bool(schedule.cron), schedule.every != 0, schedule.at != 0)) != 1:
        raise ScheduleError(id, "", "give cron, every (positive seconds) or at, one of the three")
    if schedule.priority not in PRIORITIES:
        raise ScheduleError(id, "priority", f"priority is one of {', '.join(PRIORITIES)}, got {schedule.priority!r}")
    for tag in schedule.tags:
        if not _TAG.match(tag):
            raise ScheduleError(id, "tags", f"{tag[:80]!r} is no word of letters, digits and ._:-")
    name = schedule.timezone or timezone
    try:
        zone = zone_of(name)
    except ValueError as error:
        raise ScheduleError(id, "timezone", str(error)) from None
    when: When
    if schedule.cron:
        try:
            when = Cron(times_of(check(schedule.cron), zone))
        except CronError as error:
            raise ScheduleError(id, "cron", str(error)) from None
    elif schedule.every:
        when = Every(schedule.every)
    else:
        when = Once(schedule.at)
    try:
        excluded = _excluded(schedule.exclude, name) if schedule.exclude else ()
    except ValueError as error:
        raise ScheduleError(id, "exclude", str(error)) from None
    bounds = (schedule.jitter, schedule.start_at, schedule.end_at, schedule.max_runs, excluded)
    is_plain = isinstance(when, Cron) and not any(bounds)
    return Plan(schedule, when, name, PRIORITIES.index(schedule.priority), excluded, is_plain)


def _check_numbers(schedule: Schedule) -> None:
    for field, low in (("every", 0.0), ("at", 0.0), ("jitter", 0.0), ("start_at", 0.0), ("end_at", 0.0)):
        value = getattr(schedule, field)
        if not low <= value < 253_402_300_800:  # the year 10000
            raise ScheduleError(schedule.id, field, f"0 or more seconds before the year 10000, got {value}")
    if schedule.every and not 0.001 <= schedule.every <= _LONGEST:
        raise ScheduleError(schedule.id, "every", f"from a millisecond to a hundred years, got {schedule.every}")
    if not 0 < schedule.timeout < math.inf:
        raise ScheduleError(schedule.id, "timeout", f"positive seconds, got {schedule.timeout}")
    if schedule.end_at and schedule.end_at < schedule.start_at:
        raise ScheduleError(schedule.id, "end_at", "lies before start_at")
    for field in ("max_runs", "pause_after"):
        if not 0 <= getattr(schedule, field) <= 1_000_000_000:
            raise ScheduleError(schedule.id, field, f"0 or more, got {getattr(schedule, field)}")


def _check_target(schedule: Schedule) -> None:
    id = schedule.id
    if bool(schedule.to) == bool(schedule.handler):
        raise ScheduleError(id, "", "give to (a path) or handler (a function), one of the two")
    if schedule.to:
        try:
            check_path(schedule.to)
        except AddressError as error:
            raise ScheduleError(id, "to", str(error)) from None
    for field in ("message", "handler", "retry_delay", "on_retry", "on_failed"):
        name = getattr(schedule, field)
        if name and not _IMPORT.match(name):
            raise ScheduleError(id, field, f"{name[:80]!r} is no import path; write package.module:name")
    if schedule.message and not schedule.to:
        raise ScheduleError(id, "message", "is for an actor: give to as well")
    if len(schedule.payload) > _PAYLOAD_LIMIT:
        raise ScheduleError(id, "payload", f"at most {_PAYLOAD_LIMIT} characters, got {len(schedule.payload)}")
    if schedule.payload:
        if schedule.to and not schedule.message:
            raise ScheduleError(id, "payload", "is for a message or a handler: Cycle has none")
        try:
            value = json.loads(schedule.payload)
        except (ValueError, RecursionError) as error:
            raise ScheduleError(id, "payload", f"is no JSON: {error}") from None
        if schedule.message and not isinstance(value, dict):
            raise ScheduleError(id, "payload", "the fields of a message are a JSON object")


@lru_cache(maxsize=1024)
def _excluded(texts: tuple[str, ...], timezone: str) -> tuple[tuple[float, float], ...]:
    """Return the instants that the days in `texts` cover.

    Raises:
        ValueError: One of them is no day and no range of days.
    """
    if len(texts) > _EXCLUDED_LIMIT:
        raise ValueError(f"at most {_EXCLUDED_LIMIT} entries, got {len(texts)}")
    spans = []
    for text in texts:
        first, _, last = text.partition("..")
        try:
            low, high = date.fromisoformat(first), date.fromisoformat(last or first)
        except ValueError:
            raise ValueError(
                f"{text[:80]!r} is no day like 2026-12-25 and no range like 2026-12-24..2026-12-31"
            ) from None
        if high < low:
            raise ValueError(f"{text!r} ends before it begins; write {last}..{first}")
        if low.year < _FIRST_YEAR or high.year > _LAST_YEAR:
            raise ValueError(f"{text!r} is none of the years {_FIRST_YEAR} to {_LAST_YEAR}")
        spans.append((_midnight(low, timezone), _midnight(high + timedelta(days=1), timezone)))
    return tuple(sorted(spans))


def _midnight(day: date, timezone: str) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone_of(timezone)).timestamp()


@lru_cache(maxsize=64)  # what is due together has the same instant
def stamp(at: float) -> str:
    """Return the instant as people and run ids write it: UTC, with as many decimals as it has."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{at % 1:.6f}"[1:].rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"
