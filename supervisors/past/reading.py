"""What the history knows of a node at an instant: its run, its tree, its last measured figures.

The questions are put through a `History`, whoever answers them: the recorder of the running node, or its file. For each
supervisor only what follows the last list of its children is read, so a tree of yesterday costs no more than one of
last month; `folding` makes the tree of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.events import Event
from actors.history.payloads import event_of
from supervisors.past.folding import Picture, fold, views
from supervisors.views import EventRow, HeaderView, NodeState, NodeView, instant

PAGE: Final = 10_000
"""Rows asked for at once."""

SILENCE: Final = 30.0
"""Seconds after the last word of a run that ended without saying so in which it may still have run: the resource
monitor's figures come every ten seconds."""

FIGURES_WITHIN: Final = 300.0
"""Seconds for which a measured figure is shown."""


class History(Protocol):
    """Answers questions in SQL."""

    def rows(self, sql: str, parameters: dict[str, Any], limit: int) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the rows of one reading statement, and whether there were more than `limit`, or too many bytes."""
        ...


class Reach(Enum):
    """What the history can say about an instant."""

    KNOWN = "known"
    NODE_DOWN = "node-down"
    """No node ran then."""
    TOO_EARLY = "too-early"
    """The history begins later, or what it kept of that run begins later."""


class Run(Struct, frozen=True):
    """One run of the node; instants are seconds since the epoch, 0.0 for none.

    Attributes:
        ended: When it ended, or its last word where it never said so; 0.0 while it runs.
        said_end: Whether it said that it ended, and how; "" where it did not.
        next_start: When the next run began.
    """

    node: str
    epoch: int
    started: float
    pid: int
    version: str
    ended: float = 0.0
    said_end: str = ""
    next_start: float = 0.0


class Past(Struct, frozen=True):
    """The tree at one instant.

    Attributes:
        at: The instant.
        reach: Whether there is one.
        why: Where there is none: why, in a sentence.
        begins: `TOO_EARLY`: from when on there is one, 0.0 where nobody knows.
        run: The run of the node then, or the last one before.
        header: The node then.
        nodes: As `TreeView.nodes`.
        lost: Rows of that run which never reached the history: the tree may lack what they told.
        silent: Seconds since the last word of a run that ended without saying so: it may have been dead already.
    """

    at: float
    reach: Reach
    why: str = ""
    begins: float = 0.0
    run: Run | None = None
    header: HeaderView | None = None
    nodes: tuple[NodeView, ...] = ()
    lost: int = 0
    silent: float = 0.0


def read_past(history: History, at: float, *, running_epoch: int | None, home: str = "") -> Past:
    """Return the tree at `at`.

    Args:
        history: Whom to ask.
        at: Seconds since the epoch.
        running_epoch: The run that runs now, None where none does.
        home: The node's, for the header.
    """
    found = rows_of(history, _RUN, {"at": text_of(at)}, 1)
    if not found:
        first = rows_of(history, _FIRST_OF_ALL, {}, 1)
        begins = float(first[0][0]) if first and first[0][0] is not None else 0.0
        why = "the history does not reach back that far" if begins else "the history has no run of this node yet"
        return Past(at, Reach.TOO_EARLY, why, begins)
    run, state = _run(history, found[0], at, is_running=running_epoch == int(found[0][1]))
    silent = at - run.ended if run.ended and at > run.ended and not run.said_end else 0.0
    if run.ended and at > run.ended and not 0.0 < silent <= SILENCE:
        how = f"it said: {run.said_end}" if run.said_end else "without a word, as after kill -9 or a power cut"
        return Past(at, Reach.NODE_DOWN, f"no node ran then: the run before had ended, {how}", run=run)
    picture = fold(_events(history, run.epoch, at))
    nodes = views(picture, at)
    if not nodes or picture.unknown & {node.path for node in nodes}:
        begins = _first_whole(history, run.epoch)
        if begins > at or nodes:
            return Past(at, Reach.TOO_EARLY, "the history keeps no tree of that instant any more", begins, run)
        how = "its tree had ended" if state in _ENDING | _ENDED else "its tree was not begun yet"
        return Past(at, Reach.NODE_DOWN, f"the node was {state or 'starting'} then and {how}", run=run)
    nodes = _with_figures(nodes, rows_of(history, _FIGURES, {"epoch": run.epoch, "at": text_of(at)}, PAGE), picture)
    restarts = rows_of(history, _RESTARTS, {"epoch": run.epoch, "at": text_of(at)}, 1)
    lost = rows_of(history, _LOST, {"epoch": run.epoch, "at": text_of(at)}, 1)
    header = HeaderView(
        name=run.node,
        version=run.version,
        pid=run.pid,
        home=home,
        state=state or "starting",
        uptime=max(0.0, at - run.started),
        started_at=instant_of(run.started),
        ready=nodes[0].ready,
        total=nodes[0].total,
        restarts=int(restarts[0][0]),
        restarts_day=int(restarts[0][1]),
        epoch=str(run.epoch),
        at=instant_of(at),
    )
    return Past(at, Reach.KNOWN, run=run, header=header, nodes=nodes, lost=int(lost[0][0]), silent=silent)


def read_events(history: History, path: str, epoch: int, at: float, limit: int) -> tuple[EventRow, ...]:
    """Return the newest `limit` events about `path` in a run up to `at`, oldest first."""
    wanted = {"epoch": epoch, "at": text_of(at), "path": path, "most": limit}
    rows = rows_of(history, _EVENTS, wanted, limit) if limit else []
    return tuple(
        EventRow(
            seq=int(seq), at=instant_of(float(when)), topic=str(topic), path=path, type=str(kind),
            severity=str(severity), text=str(summary), data=msgspec.json.decode(payload) if payload else {},
        )
        for seq, when, topic, kind, severity, summary, payload in reversed(rows)
    )  # fmt: skip


def _run(history: History, row: tuple[Any, ...], at: float, *, is_running: bool) -> tuple[Run, str]:
    """Return the run of a row with how it ended, and the state the node was in at `at`."""
    run = Run(str(row[0]), int(row[1]), float(row[2]), int(row[3]), str(row[4]))
    states = rows_of(history, _STATES, {"epoch": run.epoch}, PAGE)
    said = [(float(when), _state_of(payload)) for when, payload in states]
    word = next((state for when, (state, _) in reversed(said) if when <= at), "")
    following = rows_of(history, _NEXT, {"epoch": run.epoch}, 1)
    next_start = float(following[0][0]) if following and following[0][0] is not None else 0.0
    if said and said[-1][1][0] in _ENDED:
        state, detail = said[-1][1]
        run = replace(run, ended=said[-1][0], said_end=f"{state} {detail}".strip())
    elif not is_running:
        last = rows_of(history, _LAST_WORD, {"epoch": run.epoch}, 1)
        said_end = said[-1][1][0] if said and said[-1][1][0] in _ENDING else ""
        run = replace(run, ended=float(last[0][0] or run.started), said_end=said_end)
    return replace(run, next_start=next_start), word


def _state_of(payload: str | None) -> tuple[str, str]:
    event: Any = event_of("NodeChanged", 0.0, "/", payload)
    return event.state, event.detail


def _events(history: History, epoch: int, at: float) -> Iterator[Event]:
    after, is_cut = -1, True
    parameters = {"epoch": epoch, "at": text_of(at)}
    while is_cut:
        rows, is_cut = history.rows(_TREE, {**parameters, "after": after}, PAGE)
        for seq, kind, when, path, payload in rows:
            after = int(seq)
            yield event_of(str(kind), float(when), str(path), payload)
        if not rows:
            break
    for path, when, payload in rows_of(history, _REPORTS, parameters, PAGE):
        yield event_of("ActorReported", float(when), str(path), payload)


def _first_whole(history: History, epoch: int) -> float:
    found = rows_of(history, _FIRST_WHOLE, {"epoch": epoch}, 1)
    return float(found[0][0]) if found and found[0][0] is not None else 0.0


def _with_figures(
    nodes: Sequence[NodeView], figures: Sequence[tuple[Any, ...]], picture: Picture
) -> tuple[NodeView, ...]:
    """Return the views with what was measured last of the processes of workers that run."""
    measured: dict[str, dict[str, Any]] = {}
    for path, name, value in figures:
        field = _FIELDS.get(str(name))
        if field is not None:
            measured.setdefault(str(path), {})[field] = float(value) if field == "cpu_ratio" else int(value)
    found = []
    for node in nodes:
        own = measured.get(node.path)
        is_up = node.state in {NodeState.READY, NodeState.SUSPENDED}
        found.append(replace(node, **own) if own and is_up and node.path != "/" else node)
    return tuple(found)


def rows_of(history: History, sql: str, parameters: dict[str, Any], limit: int) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, `limit` at most."""
    return history.rows(sql, parameters, limit)[0]


def text_of(at: float) -> str:
    """Return an instant, in seconds since the epoch, as a parameter of a statement."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def instant_of(at: float) -> datetime:
    """Return an instant, in seconds since the epoch, as an aware datetime."""
    found = instant(at)
    assert found is not None  # made of a float
    return found


_ENDED: Final = frozenset({"stopped", "failed"})
_ENDING: Final = frozenset({"draining", "stopping"})
"""States of a node after which it runs no more, or not for long."""

_FIELDS: Final = {
    "process.rss_bytes": "memory_bytes",
    "process.cpu_ratio": "cpu_ratio",
    "process.threads": "threads",
    "process.fds": "open_files",
}

_RUN: Final = """
SELECT node, epoch, epoch(started_at), pid, version FROM runs_of_node
WHERE started_at <= CAST($at AS TIMESTAMPTZ) ORDER BY epoch DESC LIMIT 1
"""
_NEXT: Final = "SELECT min(epoch(started_at)) FROM runs_of_node WHERE epoch > $epoch"
_STATES: Final = """
SELECT epoch(happened_at), payload FROM events WHERE epoch = $epoch AND type = 'NodeChanged' ORDER BY seq
"""
_LAST_WORD: Final = """
SELECT max(word) FROM (
    SELECT max(epoch(happened_at)) AS word FROM events WHERE epoch = $epoch
    UNION ALL SELECT max(epoch(happened_at)) FROM metrics WHERE epoch = $epoch)
"""
_WHOLE: Final = "type = 'TreeChanged' AND contains(payload, '\"whole\":true')"
_FIRST_WHOLE: Final = f"""
SELECT min(epoch(happened_at)) FROM events WHERE epoch = $epoch AND path = '/' AND {_WHOLE}
"""
_FIRST_OF_ALL: Final = f"""
SELECT coalesce((SELECT min(epoch(happened_at)) FROM events WHERE path = '/' AND {_WHOLE}),
                (SELECT min(epoch(started_at)) FROM runs_of_node))
"""
"""When there first is a tree; of a history without one when its first run began."""

_TREE: Final = f"""
WITH base AS (
    SELECT path, max(seq) AS seq FROM events
    WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ) AND {_WHOLE} GROUP BY path),
first AS (SELECT coalesce(min(seq), 0) AS seq FROM base),
told AS (
    SELECT seq, type, happened_at, path, payload,
           CASE WHEN type IN ('TreeChanged', 'LimitReached') THEN path
                ELSE coalesce(nullif(regexp_extract(path, '^(.*)/[^/]*$', 1), ''), '/') END AS supervisor
    FROM events
    WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ)
      AND seq > $after AND seq >= (SELECT seq FROM first)
      AND (type IN ('TreeChanged', 'ActorStarted', 'RestartScheduled', 'LimitReached')
           OR (type = 'ActorStateChanged' AND contains(payload, '"removed"'))))
SELECT told.seq, told.type, epoch(told.happened_at), told.path, told.payload
FROM told LEFT JOIN base ON base.path = told.supervisor
WHERE base.seq IS NULL OR told.seq >= base.seq
ORDER BY told.seq
"""
_REPORTS: Final = """
SELECT path, max(epoch(happened_at)), arg_max(payload, seq) FROM events
WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ) AND type = 'ActorReported' GROUP BY path
"""
_FIGURES: Final = f"""
SELECT path, name, arg_max(value, seq) FROM metrics
WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ)
  AND happened_at > CAST($at AS TIMESTAMPTZ) - INTERVAL {FIGURES_WITHIN:.0f} SECONDS AND starts_with(name, 'process.')
GROUP BY path, name
"""
_EVENTS: Final = """
WITH newest AS MATERIALIZED (
    SELECT seq FROM events
    WHERE epoch = $epoch AND path = $path AND happened_at <= CAST($at AS TIMESTAMPTZ) ORDER BY seq DESC LIMIT $most)
SELECT seq, epoch(happened_at), topic, type, severity, summary, payload FROM events
WHERE epoch = $epoch AND path = $path AND happened_at <= CAST($at AS TIMESTAMPTZ)
  AND seq >= (SELECT min(seq) FROM newest) ORDER BY seq DESC
"""
"""The numbers first: they are found without reading the texts of every event about the path."""
_RESTARTS: Final = """
SELECT count(*), count(*) FILTER (WHERE happened_at > CAST($at AS TIMESTAMPTZ) - INTERVAL 1 DAY) FROM restarts
WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ)
"""
_LOST: Final = """
SELECT coalesce(sum(rows), 0) FROM lost WHERE epoch = $epoch AND happened_at <= CAST($at AS TIMESTAMPTZ)
"""
