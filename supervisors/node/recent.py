"""The newest events, kept in memory: what `events`, `describe` and `why` show without asking the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from actors.addresses import is_within, matches
from actors.events import ActorExited, ActorStartFailed, CrashRecorded, Event, MetricSampled, TreeChanged
from actors.exits import ExitReason, to_record
from actors.history.rows import summary_of
from supervisors.requests import EventsArguments
from supervisors.selectors import SelectorError, find
from supervisors.views import EventRow, EventsView, NodeView, instant

_FOR_PROGRAMS = frozenset({MetricSampled, TreeChanged})
"""Events that are many, and asked for by SQL and `--at` rather than by reading."""

CAPACITY = 20_000
"""Events kept; the history has them all."""


class RecentEvents:
    """A bus subscriber that keeps the newest events. `keep` may run on any thread, and so may the readers."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._kept: deque[tuple[int, Event]] = deque(maxlen=capacity)

    def keep(self, seq: int, event: Event) -> None:
        """Take one event; called by the bus."""
        if type(event) not in _FOR_PROGRAMS:
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

    def last_crash(self, path: str) -> CrashRecorded | None:
        """Return the newest flight record of an instance at `path`."""
        for _, event in self._newest_first():
            if event.path == path and isinstance(event, CrashRecorded):
                return event
        return None

    def _newest_first(self) -> Iterator[tuple[int, Event]]:
        return reversed(self._kept.copy())


def find_known(nodes: Sequence[NodeView], path: str, recent: RecentEvents) -> NodeView:
    """Return the node at `path`.

    Raises:
        SelectorError: As `supervisors.selectors.find`; of an actor that was there before it says how that ended.
    """
    try:
        return find(nodes, path)
    except SelectorError as error:
        end = recent.last_end(path) if error.code == "not_found" else None
        if end is None:
            raise
        said = str(end.reason).partition("\n")[0]
        gone = f"there is no actor at {path} any more; the last one ended: {said}"
        raise SelectorError("not_found", gone, f"actorctl events {path}") from None


def row_of(seq: int, event: Event) -> EventRow:
    """Return the event as a row; formats tracebacks, so never called on an actor's path."""
    return EventRow(
        seq=seq,
        at=instant(event.at),  # type: ignore[arg-type]  # an instant of a float is never None
        topic=event.TOPIC,
        path=event.path,
        type=type(event).__name__,
        severity=event.severity,
        text=summary_of(event),
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


def _is_wanted(event: Event, wanted: EventsArguments) -> bool:
    if wanted.types and not any(_is_of(event, kind) for kind in wanted.types):
        return False
    if wanted.severities and event.severity not in wanted.severities:
        return False
    return not wanted.paths or any(_is_at(event.path, path) for path in wanted.paths)


def _is_of(event: Event, kind: str) -> bool:
    words = (event.TOPIC, type(event).__name__)
    return any(word.startswith(kind[:-1]) for word in words) if kind.endswith("*") else kind in words


def _is_at(path: str, wanted: str) -> bool:
    return matches(path, wanted) if "*" in wanted or "?" in wanted else is_within(path, wanted)
