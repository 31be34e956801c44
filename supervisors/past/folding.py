"""From a node's events to its tree at an instant: a pure fold, by the same words as the live tree.

    Picture.empty --event--> Picture --event--> ...      views(picture, at) -> what `tree` showed at `at`

`TreeChanged` lists what a supervisor has, or those of its children that changed; between these the other events tell:
an instance got ready, a restart without a delay, a record that is gone, what an actor said of itself. An event about
a supervisor that was never listed changes nothing: the history does not reach back far enough for it.

What the events do not tell, the views leave at its default: the figures of mailboxes, the names of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import is_within, join, name_of, parent_of
from actors.events import (
    ActorExited,
    ActorReported,
    ActorStarted,
    ActorStateChanged,
    Event,
    LimitReached,
    RestartScheduled,
    TreeChanged,
)
from actors.treeevents import ChildRecord
from supervisors.telling import one_line
from supervisors.views import BudgetView, NodeKind, NodeState, NodeView, instant

TOLD_BY: Final = (
    TreeChanged,
    ActorStarted,
    ActorStateChanged,
    ActorExited,
    ActorReported,
    RestartScheduled,
    LimitReached,
)
"""The events that the fold reads; all others change nothing."""

_WITH_INSTANCE: Final = frozenset({"starting", "ready", "suspended", "stopping"})
_ELSEWHERE: Final = frozenset({"process", "program"})
"""Placements with a process of their own, which is known when it is ready."""
_UP: Final = frozenset({"ready", "suspended"})
_NOT_EXPECTED: Final = frozenset({"not-configured", "finished"})


class Standing(Struct):
    """A supervisor that runs, as far as the events told; changed by the fold alone."""

    header: TreeChanged
    window: list[float]
    children: dict[str, ChildRecord]


class Picture:
    """A node's tree after the events so far. Made by `fold`; read by `views`.

    Attributes:
        standings: Every supervisor that runs, by its path.
        notes: What actors last said of themselves, by path, with the generation that said it.
        unknown: Paths of supervisors that events were about before they were listed: their children are not known.
    """

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.notes: dict[str, tuple[int, str]] = {}
        self.unknown: set[str] = set()

    def take(self, event: Event) -> None:
        """Take the next event of the node."""
        match event:
            case TreeChanged():
                self._changed(event)
            case ActorStarted():
                self._started(event)
            case ActorExited() if event.reason.detail == "abandoned":
                pass  # its record was told with it
            case ActorStateChanged(state="removed"):
                self._removed(event.path)
            case RestartScheduled():
                self._restarted(event)
            case LimitReached():
                if event.scope == "supervisor" and (standing := self.standings.get(event.path)) is not None:
                    standing.window.append(event.at)
            case ActorReported():
                self.notes[event.path] = (event.generation, event.status)
            case _:
                pass

    def child(self, path: str) -> ChildRecord | None:
        """Return the record of the child at `path`, or None."""
        standing = self._above(path)
        return standing.children.get(name_of(path)) if standing is not None else None

    def is_running(self, path: str) -> bool:
        """Whether a supervisor runs at `path`, so that its children are part of the tree."""
        if path not in self.standings:
            return False
        record = self.child(path)
        return path == "/" or (record is not None and record.state in _WITH_INSTANCE)

    def _above(self, path: str) -> Standing | None:
        above = parent_of(path)
        return self.standings.get(above) if above is not None else None

    def _changed(self, event: TreeChanged) -> None:
        standing = self.standings.get(event.path)
        if event.state == "ended":
            if standing is not None and standing.header.generation <= event.generation:
                self._close(event.path, event.generation)
            return
        if event.whole:
            standing = self.standings[event.path] = Standing(event, list(event.window or ()), {})
            self.unknown.discard(event.path)
        elif standing is None or standing.header.generation != event.generation:
            self.unknown.add(event.path)
            return
        standing.header = event
        if event.window is not None:
            standing.window = list(event.window)
        for record in event.children:
            self._put(event.path, standing, record)

    def _put(self, path: str, standing: Standing, record: ChildRecord) -> None:
        standing.children[record.id] = record
        if record.kind == "supervisor":
            running = record.state in _WITH_INSTANCE
            self._close(join(path, record.id), record.generation - 1 if running else record.generation)

    def _close(self, path: str, generation: int) -> None:
        """Forget a supervisor up to this generation, and all below it."""
        standing = self.standings.get(path)
        if standing is None or standing.header.generation > generation:
            return
        for below in [other for other in self.standings if is_within(other, path)]:
            del self.standings[below]

    def _started(self, event: ActorStarted) -> None:
        standing = self._above(event.path)
        if standing is None:
            self.unknown.add(parent_of(event.path) or "/")
            return
        name = name_of(event.path)
        record = standing.children.get(name)
        if record is None or event.generation < record.generation:
            return
        if record.state == "stopping":  # it got ready after it was asked to end
            standing.children[name] = replace(record, pid=event.pid)
            return
        ready = replace(
            record, state="ready", generation=event.generation, placement=event.placement, pid=event.pid,
            since=event.at, why="", attempt=0, next_at=0.0,
        )  # fmt: skip
        self._put(parent_of(event.path) or "/", standing, ready)

    def _removed(self, path: str) -> None:
        standing = self._above(path)
        if standing is not None:
            record = standing.children.pop(name_of(path), None)
            if record is not None:
                self._close(path, record.generation)
        self.notes.pop(path, None)

    def _restarted(self, event: RestartScheduled) -> None:
        standing = self.standings.get(event.supervisor)
        if standing is None:
            self.unknown.add(event.supervisor)
            return
        if not event.parked:
            standing.window.append(event.at)
        name = name_of(event.path)
        record = standing.children.get(name)
        if record is None or len(event.group) != 1 or event.delay != 0:
            return  # its record is told as well
        window = (*record.window, event.at) if record.intensity >= 0 else ()
        pid = 0 if record.placement in _ELSEWHERE else standing.header.pid
        again = replace(
            record, state="starting", generation=event.generation + 1, since=event.at, why="", attempt=event.attempt,
            restarts=record.restarts + 1, next_at=0.0, last_reason=one_line(event.reason), pid=pid, window=window,
        )  # fmt: skip
        self._put(event.supervisor, standing, again)


def fold(events: Iterable[Event], picture: Picture | None = None) -> Picture:
    """Return the picture after `events`, in their order; `picture`, where given, is gone on with, and changed."""
    picture = picture if picture is not None else Picture()
    for event in events:
        picture.take(event)
    return picture


def views(picture: Picture, at: float) -> tuple[NodeView, ...]:
    """Return the tree at `at`, parents before their children, as `tree` showed it then.

    Args:
        picture: After the events up to `at`.
        at: Seconds since the epoch.

    Empty where the root is not known or did not run. Figures that only the running node knows are at their defaults.
    """
    root = picture.standings.get("/")
    if root is None:
        return ()
    found: list[NodeView] = []
    found.append(_UNREAD)
    ready, total = _below(picture, "/", root, at, found)
    state = {"starting": NodeState.STARTING, "ready": NodeState.READY}.get(root.header.state, NodeState.STOPPING)
    found[0] = NodeView(
        path="/", kind=NodeKind.SUPERVISOR, state=state, placement="pool", generation=1, pid=root.header.pid,
        restart="permanent", **_own(root, at, ready, total),
    )  # fmt: skip
    return tuple(found)


def _own(standing: Standing, at: float, ready: int, total: int) -> dict[str, Any]:
    header = standing.header
    used = _used(standing.window, header.period, at)
    limit = BudgetView(restarts=used, intensity=header.intensity, period=header.period)
    return {"strategy": header.strategy, "limit": limit, "ready": ready, "total": total}


def _below(picture: Picture, path: str, standing: Standing, at: float, found: list[NodeView]) -> tuple[int, int]:
    """Append the views of everything below a supervisor; return how many workers are ready, and should be."""
    ready = total = 0
    for record in sorted(standing.children.values(), key=_position):
        below = join(path, record.id)
        fields = _fields(record, below, at)
        note = picture.notes.get(below)
        if note is not None and note[0] == record.generation and record.state in _WITH_INSTANCE:
            fields["note"] = note[1]
        if record.kind == "worker":
            found.append(NodeView(kind=NodeKind.WORKER, **fields))
            ready += record.state in _UP
            total += record.state not in _NOT_EXPECTED
            continue
        fields["strategy"] = record.strategy
        fields.pop("note", None)
        place = len(found)
        found.append(_UNREAD)
        if picture.is_running(below):
            inner = picture.standings[below]
            counts = _below(picture, below, inner, at, found)
            fields |= _own(inner, at, *counts)
        else:
            counts = (0, 1)
        found[place] = NodeView(kind=NodeKind.SUPERVISOR, **fields)
        ready += counts[0]
        total += counts[1]
    return ready, total


def _fields(record: ChildRecord, path: str, at: float) -> dict[str, Any]:
    is_up = record.state in _UP
    fields: dict[str, Any] = {
        "path": path,
        "state": NodeState(record.state),
        "why": record.why,
        "placement": record.placement or "",
        "pid": record.pid or None,
        "generation": record.generation,
        "state_at": instant(record.since) if record.since else None,
        "restart": record.restart,
        "significant": record.significant,
        "restarts": record.restarts,
        "attempt": record.attempt,
        "last_reason": record.last_reason,
        "stopped_by": record.stopped_by,
        "stopped_why": record.stopped_why,
    }
    if is_up:
        fields["uptime"] = max(0.0, at - record.since)
    if record.next_at:
        fields["next_at"] = instant(record.next_at)
        fields["next_in"] = max(0.0, record.next_at - at)
    if record.intensity >= 0:
        used = _used(record.window, record.period, at)
        fields["budget"] = BudgetView(restarts=used, intensity=record.intensity, period=record.period)
    return fields


def _used(window: Iterable[float], period: float, at: float) -> int:
    return sum(1 for one in window if one >= at - period)


def _position(record: ChildRecord) -> int:
    return record.position


_UNREAD: Final = NodeView(path="", kind=NodeKind.SUPERVISOR, state=NodeState.WAITING)
"""Keeps a supervisor's place before its children until they have been read."""
