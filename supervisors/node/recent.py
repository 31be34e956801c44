"""The newest events, kept in memory: what `events`, `describe` and `why` show without asking the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from actors.addresses import is_within, matches
from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    AskFailed,
    CommandDone,
    DeadLettered,
    Event,
    HistoryLost,
    LimitReached,
    MetricSampled,
    NodeChanged,
    RestartScheduled,
    RunFinished,
)
from actors.exits import ExitReason, to_record
from supervisors.requests import EventsArguments
from supervisors.views import EventRow, EventsView, instant

CAPACITY = 20_000
"""Events kept; the history has them all."""

_ERRORS = frozenset({"failed", "timed-out"})


class RecentEvents:
    """A bus subscriber that keeps the newest events. `keep` may run on any thread, and so may the readers."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._kept: deque[tuple[int, Event]] = deque(maxlen=capacity)

    def keep(self, seq: int, event: Event) -> None:
        """Take one event; called by the bus."""
        if type(event) is not MetricSampled:  # thousands an hour, and asked for by SQL rather than by reading
            self._kept.append((seq, event))

    def select(self, wanted: EventsArguments, head: int) -> EventsView:
        """Return the newest events that `wanted` describes, oldest first."""
        found: list[EventRow] = []
        is_truncated = False
        since = wanted.since_at.timestamp() if wanted.since_at is not None else None
        for seq, event in self._newest_first():
            if wanted.after_seq is not None and seq <= wanted.after_seq:
                break
            if since is not None and event.at < since:
                break
            if not _is_wanted(event, wanted):
                continue
            if len(found) >= wanted.limit:
                is_truncated = True
                break
            found.append(row_of(seq, event))
        return EventsView(items=tuple(reversed(found)), head=head, truncated=is_truncated)

    def about(self, path: str, limit: int) -> tuple[EventRow, ...]:
        """Return the newest `limit` events of exactly `path`, oldest first."""
        found: list[EventRow] = []
        for seq, event in self._newest_first():
            if len(found) >= limit:
                break
            if event.path == path:
                found.append(row_of(seq, event))
        return tuple(reversed(found))

    def last_end(self, path: str) -> ActorExited | ActorStartFailed | None:
        """Return the newest end, or failed start, of an instance at `path`."""
        for _, event in self._newest_first():
            if event.path == path and isinstance(event, (ActorExited, ActorStartFailed)):
                return event
        return None

    def count_restarts(self, since: float) -> int:
        """Return how many restarts were decided since the wall-clock instant `since`."""
        return sum(isinstance(event, RestartScheduled) and event.at >= since for _, event in list(self._kept))

    def _newest_first(self) -> Iterator[tuple[int, Event]]:
        return reversed(self._kept.copy())


def severity_of(event: Event) -> str:
    """Return `info`, `warning` or `error`: the class's own, or what the event's fields make of it."""
    if isinstance(event, ActorExited):
        return "info" if event.expected else "error"
    if isinstance(event, RunFinished):
        return "error" if event.outcome in _ERRORS else "info"
    if isinstance(event, CommandDone):
        return "info" if event.code == "ok" else "warning"
    return event.SEVERITY


def row_of(seq: int, event: Event) -> EventRow:
    """Return the event as a row; formats tracebacks, so never called on an actor's path."""
    return EventRow(
        seq=seq,
        at=instant(event.at),  # type: ignore[arg-type]  # an instant of a float is never None
        type=event.TOPIC,
        path=event.path,
        name=type(event).__name__,
        severity=severity_of(event),
        text=text_of(event),
        data=data_of(event),
    )


def data_of(event: Event) -> dict[str, Any]:
    """Return the event's own fields as plain data."""
    found: dict[str, Any] = {}
    for name in event.__struct_fields__:
        if name not in {"at", "path"}:
            value = getattr(event, name)
            found[name] = msgspec.to_builtins(to_record(value) if isinstance(value, ExitReason) else value)
    return found


def text_of(event: Event) -> str:
    """Return the event in one line for people."""
    return _TEXTS[type(event)](event)


def _is_wanted(event: Event, wanted: EventsArguments) -> bool:
    if wanted.types and not any(
        event.TOPIC == kind or (kind.endswith("*") and event.TOPIC.startswith(kind[:-1])) for kind in wanted.types
    ):
        return False
    if wanted.severities and severity_of(event) not in wanted.severities:
        return False
    return not wanted.paths or any(_is_at(event.path, path) for path in wanted.paths)


def _is_at(path: str, wanted: str) -> bool:
    return matches(path, wanted) if "*" in wanted or "?" in wanted else is_within(path, wanted)


def _short(reason: ExitReason) -> str:
    text = str(reason).split("\n", 1)[0]
    for cause in reason.chain():
        text += f" <- {cause.path}: {str(cause.reason).splitlines()[0]}"
    return text


def _restart_text(event: RestartScheduled) -> str:
    when = f"in {event.delay:.3g} s" if event.delay else "now"
    group = f" with {len(event.group) - 1} more" if len(event.group) > 1 else ""
    return (
        f"restart {when}{group} (try {event.attempt}, {event.restarts}/{event.intensity} in the window): "
        f"{_short(event.reason)}"
    )


_TEXTS: dict[type, Callable[[Any], str]] = {
    ActorStarted: lambda e: f"ready in {e.seconds * 1000:.3g} ms ({e.placement}, pid {e.pid}, instance {e.generation})",
    ActorIgnored: lambda e: e.why,
    ActorStateChanged: lambda e: f"{e.state}: {e.detail}" if e.detail else str(e.state),
    ActorStartFailed: lambda e: f"start failed{f' (try {e.attempt})' if e.attempt else ''}: {_short(e.reason)}",
    ActorExited: lambda e: f"ended after {e.uptime:.3g} s ({e.phase}): {_short(e.reason)}",
    RestartScheduled: _restart_text,
    LimitReached: lambda e: (
        f"{e.scope} limit reached, {e.restarts} restarts of {e.intensity} in {e.period:g} s: {e.action}; "
        f"{_short(e.reason)}"
    ),
    DeadLettered: lambda e: f"{e.message_type} not delivered: {e.why}" + (f" (from {e.sender})" if e.sender else ""),
    AskFailed: lambda e: f"ask {e.message_type} failed after {e.seconds:.3g} s: {e.error}",
    CommandDone: lambda e: f"{e.command} by {e.caller}: {e.code}" + (f" ({e.why})" if e.why else ""),
    RunFinished: lambda e: f"{e.run} {e.outcome} in {e.seconds:.3g} s" + (f": {e.detail}" if e.detail else ""),
    MetricSampled: lambda e: f"{e.name} = {e.value:g} {e.unit}",
    HistoryLost: lambda e: f"{e.rows} rows lost: {e.why}",
    NodeChanged: lambda e: f"{e.state}: {e.detail}" if e.detail else str(e.state),
}
"""One line for people, for each event type."""
