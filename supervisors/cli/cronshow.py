"""How schedules and their slots are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from supervisors.cli.failures import CommandError
from supervisors.cli.rendering import Column, Listing, facts
from supervisors.cli.terminal import Style, Terminal, wrap
from supervisors.cli.texts import duration, printable
from supervisors.views import ReasonView, ScheduleChangeView, ScheduleDetailView, SlotView

_BAD: Final = frozenset({"failed", "timed-out", "refused", "unknown", "disabled"})
_POOR: Final = frozenset({"skipped", "missed", "merged", "cancelled", "paused", "away", "retrying"})


def changes(found: Iterable[Any]) -> Listing:
    views = msgspec.convert(list(found), list[ScheduleChangeView], strict=False, from_attributes=True)
    bad = [view for view in views if view.state in _BAD]
    failure = None
    if bad:
        words = {view.state for view in bad}
        code = "partial" if len(bad) < len(views) else "not_found" if words == {"unknown"} else "conflict"
        if words & {"failed", "timed-out"} and code != "partial":
            code = "failed"
        first = bad[0]
        failure = CommandError(code, f"{first.id}: {first.state}: {first.why}", "actorctl cron list")
    columns = (
        Column("id", lambda view: view.id),
        Column("state", lambda view: view.state, style=lambda view: style(view.state)),
        Column("run", lambda view: view.run),
        Column("why", lambda view: view.why),
    )
    nothing = "no schedule is meant by that"
    return Listing("ScheduleChanges", views, columns, lambda view: str(view.id), nothing=nothing, failure=failure)


def sentences(items: Iterable[ReasonView], terminal: Terminal) -> Iterator[str]:
    """Yield sentences as people read them."""
    for item in items:
        text = printable(item.text)
        yield from wrap(text, terminal.width) if terminal.width is not None else [text]


def slot_columns() -> tuple[Column, ...]:
    return (
        Column("schedule", lambda slot: slot.schedule),
        Column("slot", lambda slot: slot.slot_at, lambda slot: _stamp(slot.slot_at)),
        Column("kind", lambda slot: slot.kind, is_wide=True),
        Column("state", lambda slot: slot.state, style=lambda slot: style(slot.state)),
        Column("slots", lambda slot: slot.count, is_right=True),
        Column("try", lambda slot: slot.attempt, is_right=True),
        Column("took", lambda slot: slot.seconds, lambda slot: duration(slot.seconds), is_right=True),
        Column("repeat", lambda slot: slot.is_repeat, lambda slot: "yes" if slot.is_repeat else "", is_wide=True),
        Column("run", run_of, is_wide=True),
        Column("why", lambda slot: slot.why),
    )


def slot_of(run: str, kind: str, state: str) -> SlotView:
    id, _, instant = run.rpartition("@")
    stamp, _, number = instant.partition("#")
    at = datetime.fromisoformat(stamp).timestamp()
    return SlotView(schedule=id, slot_at=at, round=int(number or 0), kind=kind, state=state)


def run_of(slot: SlotView) -> str:
    return f"{slot.schedule}@{_stamp(slot.slot_at)}" + (f"#{slot.round}" if slot.round else "")


def _stamp(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + f"{at % 1:.6f}"[1:].rstrip("0").rstrip(".") + "Z"


def until(at: float, now: float) -> str:
    return duration(max(0.0, at - now)) if at else "-"


def counts(ends: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(ends.items()))


def style(state: str) -> Style | None:
    return Style.BAD if state in _BAD else Style.WARNING if state in _POOR else None


def lines(detail: ScheduleDetailView, terminal: Terminal) -> Iterator[str]:
    view = detail.view
    yield terminal.paint(printable(view.id), Style.STRONG)
    late = f"p50 {duration(view.late_p50)}, p99 {duration(view.late_p99)}, most {duration(view.late_max)}"
    target = view.path or str(detail.schedule.get("handler", ""))
    last = f"{_stamp(view.last_at)} {view.last_state}" + (f": {view.last_why}" if view.last_why else "")
    rules = {name: value for name, value in detail.schedule.items() if name not in _SHOWN}
    pairs = [
        ("title", view.name if view.name != view.id else ""),
        ("state", f"{view.state}: {view.note}" if view.note else view.state),
        ("when", f"{view.when} {view.timezone}".strip()),
        ("runs", target),
        ("message", str(detail.schedule.get("message", ""))),
        ("tags", " ".join(view.tags)),
        ("origin", view.origin),
        ("overlap", view.overlap),
        ("missed", view.missed_policy),
        ("breaker", detail.breaker),
        *((name.replace("_", " "), _plain(value)) for name, value in rules.items()),
        ("under way", ", ".join(detail.runs)),
        ("last", last if view.last_state else ""),
        ("ends", counts(view.ends)),
        ("late", late if view.runs else ""),
        *(("next" if not index else " ", _stamp(at)) for index, at in enumerate(detail.following)),
    ]
    yield from facts([(key, printable(value)) for key, value in pairs], terminal, "  ")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items() if item not in ("", [], 0.0))
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


_SHOWN: Final = frozenset(
    {
        "id",
        "cron",
        "every",
        "at",
        "timezone",
        "to",
        "handler",
        "message",
        "title",
        "tags",
        "origin",
        "overlap",
        "missed",
        "breaker",
    }
)
