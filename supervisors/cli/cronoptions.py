"""The options that say what a schedule is, and what they mean for its definition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from supervisors.cli.failures import usage
from supervisors.cli.texts import WhenError, parse_when
from supervisors.node.durations import parse_duration

STATES: Final = ("waiting", "running", "retrying", "paused", "ended", "away", "disabled", "catching-up")
OVERLAPS: Final = ("skip", "queue", "delay", "timeout", "concurrent", "cancel-other", "allow-all")

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, the path of its actor, or its title.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, paths or titles; globs over ids.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="All with this tag; again for more.")]
State = Annotated[str, typer.Option("--state", metavar="STATE", help="Only those in this state.")]
Cron = Annotated[str | None, typer.Option("--cron", metavar="EXPRESSION", help="When: a cron expression or a name.")]
Every = Annotated[str | None, typer.Option("--every", metavar="DURATION", help="When: from one slot to the next.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="INSTANT", help="When: once, ISO 8601; where it has no offset, in --tz or else local time."
    ),
]
Zone = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Whose wall clock: an IANA name.")]
Handler = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="A function, package.module:name.")]
To = Annotated[
    str | None, typer.Option("--to", metavar="PATH", help="The actor that is asked, in place of a function.")
]
Message = Annotated[
    str | None, typer.Option("--message", metavar="NAME", help="What it is asked, package.module:Class.")
]
Payload = Annotated[
    str | None, typer.Option("--payload", metavar="JSON", help="Fields of the message, or for the function.")
]
Title = Annotated[str | None, typer.Option("--title", metavar="TEXT", help="A line for people.")]
Priority = Annotated[str | None, typer.Option("--priority", metavar="WORD", help="high, normal or low.")]
Limit = Annotated[str | None, typer.Option("--run-limit", metavar="DURATION", help="Longest time of one attempt.")]
Jitter = Annotated[str | None, typer.Option("--jitter", metavar="DURATION", help="Fire up to this much later.")]
Overlap = Annotated[str | None, typer.Option("--overlap", metavar="POLICY", help=", ".join(OVERLAPS) + ".")]
OverlapLimit = Annotated[
    int | None, typer.Option("--overlap-limit", metavar="N", min=1, max=10_000, help="With queue or concurrent.")
]
Missed = Annotated[str | None, typer.Option("--missed", metavar="POLICY", help="skip, once or all.")]
Window = Annotated[str | None, typer.Option("--missed-window", metavar="DURATION", help="Older slots are not run.")]
Attempts = Annotated[
    int | None, typer.Option("--attempts", metavar="N", min=1, max=1_000, help="Tries of a run in all.")
]
Strategy = Annotated[str | None, typer.Option("--retry", metavar="STRATEGY", help="fixed, linear or exponential.")]
First = Annotated[str | None, typer.Option("--retry-first", metavar="DURATION", help="Delay before the second try.")]
MaxRuns = Annotated[
    int | None,
    typer.Option("--max-runs", metavar="N", min=0, max=1_000_000_000, help="Runs after which it ends; 0: never."),
]
PauseAfter = Annotated[
    int | None,
    typer.Option(
        "--pause-after", metavar="N", min=0, max=1_000_000_000, help="Failed runs in a row that pause it; 0: never."
    ),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="DAY", help="A day without slots; again for more.")
]


def changed(schedule: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the definition `schedule` with what was given on the command line."""
    made = {**schedule, "origin": "api"}
    times = [name for name in ("cron", "every", "at") if given[name] is not None]
    if times:
        for name in ("cron", "every", "at"):
            made.pop(name, None)
    if given["at"] is not None:
        made["at"] = _instant(given["at"], given["tz"] or schedule.get("timezone"))
    for option, field, read in _FIELDS:
        if given[option] is not None:
            made[field] = read(given[option])
    for option, field, part, read in _PARTS:
        if given[option] is not None:
            made[field] = {**made.get(field, {}), part: read(given[option])}
    if "attempts" not in made.get("retry", {}) and (given["retry"] is not None or given["retry_first"] is not None):
        made["retry"]["attempts"] = 3
    return made


def seconds(text: str) -> float:
    """Return the seconds of a duration as people write it."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise usage(str(error), 'for example 30s or "1h30m"') from None


def _instant(text: str, tz: str | None) -> float:
    """Return the instant of `--at`; one without an offset is read in the zone, without that in local time."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None and tz:
            found = found.replace(tzinfo=zone(tz))
        return found.astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise usage(f"--at: {text!r} is no instant", "e.g. --at 2026-12-24T18:00") from None


def zone(name: str) -> Any:
    """Return the time zone that the value of `--tz` names."""
    from actors.scheduling.zones import ZoneError, zone_of

    try:
        return zone_of(name)
    except ZoneError as error:
        raise usage(f"--tz: {error}") from None


def when(text: str, option: str) -> float:
    """Return the instant that the value of `option` names, in seconds since the epoch."""
    try:
        return parse_when(text, datetime.now(UTC)).timestamp()
    except WhenError as error:
        raise usage(f"{option}: {error}", "e.g. 2026-11-20T10:00, or 3d for three days ago") from None


def _same(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


_FIELDS: Final = (
    ("cron", "cron", _same),
    ("every", "every", seconds),
    ("tz", "timezone", _same),
    ("handler", "handler", _same),
    ("to", "to", _same),
    ("message", "message", _same),
    ("payload", "payload", _same),
    ("title", "title", _same),
    ("tag", "tags", _same),
    ("priority", "priority", _same),
    ("run_limit", "timeout", seconds),
    ("jitter", "jitter", seconds),
    ("max_runs", "max_runs", _same),
    ("pause_after", "pause_after", _same),
    ("exclude", "exclude", _same),
)
_PARTS: Final = (
    ("overlap", "overlap", "policy", _same),
    ("overlap_limit", "overlap", "limit", _same),
    ("missed", "missed", "policy", _same),
    ("missed_window", "missed", "window", seconds),
    ("attempts", "retry", "attempts", _same),
    ("retry", "retry", "strategy", _same),
    ("retry_first", "retry", "first", seconds),
)
