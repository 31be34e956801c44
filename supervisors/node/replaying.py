"""Past events for readers of the taps: streams of what the history holds, page by page, as fast as the reader reads.

    replay --> flush the feed --> plan: spans of numbers --> page --> part --> page --> part ... --> last answer
                                                              ^         |
                                                              +-- credit

One page is in memory at a time, and the next is only asked for when the reader has granted credit for it: a reader that
stops costs nothing but the call. Pages are windows of numbers rather than `LIMIT`s, so that each touches only the part
of the file that it needs. Nothing here waits on the control server's thread, or on the desk's.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from actors.core.context import never_waiting
from actors.history.payloads import event_of
from actors.history.protocol import Query, QueryFailed, QueryResult
from supervisors.requests import ReplayArguments, SnapshotArguments
from supervisors.views import ReplayView, SnapshotView, to_wire
from transport.control.server import Responder
from transport.errors import OutboxFullError
from transport.taps.frames import CLASSES, body_of, header_of, message_of, prefixes_of, topic_of, type_named
from transport.taps.publisher import TapSnapshot

logger = logging.getLogger(__name__)

REPLAYS_MAX: Final = 64
"""Replays open at a time; more are refused."""

PART_EVENTS: Final = 500
"""Events of one part, which takes one credit."""

FLUSH: Final = 2.0
"""Longest wait for the history to take in what has happened before the replay was asked for, in seconds."""

QUERY: Final = 20.0
"""Longest run of one query, in seconds."""

_PAGE_BYTES: Final = 2 * 1024 * 1024
_WINDOW: Final = 2_000
_WINDOW_MAX: Final = 4_000_000


class Feed(Protocol):
    """What a replay asks of the history feed (`actors.history.feed.HistoryFeed`)."""

    def flush(self, timeout: float) -> bool:
        """Wait until all that has happened is stored."""
        ...


class _Span(Struct):
    """Numbers of one run of the node that are still to be replayed: beyond `after`, up to `through`."""

    epoch: int
    after: int
    through: int


class Replays:
    """Answers `replay` and `snapshot` for one node. Its methods may be called on any thread and never block.

    Args:
        node: The node's name.
        epoch: This run of it.
        head: Returns the newest number on the bus.
        ask: Puts a query to the recorder and returns the future of its answer.
        feed: Returns the history feed.
        snapshot: The tap publisher's (`TapPublisher.snapshot`).
    """

    def __init__(
        self,
        *,
        node: str,
        epoch: int,
        head: Callable[[], int],
        ask: Callable[[Query], Any],
        feed: Callable[[], Feed | None],
        snapshot: Callable[[tuple[bytes, ...]], TapSnapshot],
    ) -> None:
        self.node = node
        self.epoch = epoch
        self.head = head
        self.ask = ask
        self.feed = feed
        self._snapshot = snapshot
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="replay")
        self._lock = threading.Lock()
        self._open: set[_Stream] = set()

    def replay(self, wanted: ReplayArguments, responder: Responder) -> None:
        """Stream past events; the answer says what is wrong with the question."""
        if _is_streamed(responder) and _is_about_something(wanted.classes, wanted.path, responder):
            try:
                first = (int(wanted.after_epoch or 0), wanted.after_seq)
                last = (int(wanted.through_epoch), wanted.through_seq) if wanted.through_epoch else None
            except ValueError:
                responder.fail("usage", "replay: an epoch is the number of a run of the node, as text")
                return
            self._begin(_Replay(self, wanted, responder, first, last or (self.epoch, self.head())))

    def snapshot(self, wanted: SnapshotArguments, responder: Responder) -> None:
        """Stream the newest event of each topic."""
        if _is_streamed(responder) and _is_about_something(wanted.classes, wanted.path, responder):
            taken = self._snapshot(prefixes_of(wanted.classes or None, wanted.path))
            self._begin(_Snapshot(self, taken, responder))

    def close(self) -> None:
        """Begin nothing more; what is open ends with the control server."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, stream: _Stream) -> None:
        with self._lock:
            if len(self._open) >= REPLAYS_MAX:
                stream.responder.fail("conflict", f"{REPLAYS_MAX} replays are open already", "try again in a moment")
                return
            self._open.add(stream)
        stream.responder.on_cancel(lambda _why: self.ended(stream))
        stream.responder.on_ready(stream.turn)
        stream.turn()

    # For the streams.

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on a thread of the replays; not at all once they are closed."""
        try:
            self._threads.submit(work)
        except RuntimeError:
            return

    def ended(self, stream: _Stream) -> None:
        """Forget `stream`."""
        with self._lock:
            self._open.discard(stream)


class _Stream(ABC):
    """One open stream: works while there is credit, and rests otherwise. `_step` runs once at a time."""

    def __init__(self, owner: Replays, responder: Responder) -> None:
        self.owner = owner
        self.responder = responder
        self.events = 0
        self._lock = threading.Lock()
        self._is_resting = True

    def turn(self) -> None:
        """Go on, if it rests and there is credit."""
        with self._lock:
            if not self._is_resting or not self.responder.is_ready:
                return
            self._is_resting = False
        self.owner.submit(self._guarded_step)

    def _guarded_step(self) -> None:
        try:
            self._step()
        except OutboxFullError:  # cannot be: it is only called with credit
            self.fail("internal", "the stream was given more than its reader had asked for")
        except Exception as error:
            logger.exception("a stream of past events failed")
            self.fail("internal", f"{type(error).__name__}: {error}")

    @abstractmethod
    def _step(self) -> None:
        """Send what credit there is for."""

    def rest(self) -> None:
        """The step is done: go on with the next when there is credit."""
        with self._lock:
            self._is_resting = True
        self.turn()

    def part(self, messages: list[Any]) -> None:
        """Send one part."""
        self.events += len(messages)
        self.responder.part({"items": messages})

    def fail(self, code: str, message: str, hint: str = "") -> None:
        """End it with an error."""
        self.owner.ended(self)
        self.responder.fail(code, message, hint)

    def finish(self, view: SnapshotView | ReplayView) -> None:
        """End it with its last answer."""
        self.owner.ended(self)
        self.responder.reply(to_wire(view))


class _Snapshot(_Stream):
    def __init__(self, owner: Replays, taken: TapSnapshot, responder: Responder) -> None:
        super().__init__(owner, responder)
        self._taken = taken
        self._left = deque(taken.messages)

    def _step(self) -> None:
        if not self._left:
            self.finish(SnapshotView(epoch=self._taken.epoch, seq=self._taken.seq, events=self.events))
            return
        self.part([self._left.popleft()() for _ in range(min(PART_EVENTS, len(self._left)))])
        self.rest()


class _Replay(_Stream):
    def __init__(
        self,
        owner: Replays,
        wanted: ReplayArguments,
        responder: Responder,
        after: tuple[int, int],
        last: tuple[int, int],
    ) -> None:
        super().__init__(owner, responder)
        self._is_planned = False
        self._is_stored = True
        self._lost = 0
        self._spans: deque[_Span] = deque()
        self._window = _WINDOW
        where, self._parameters = _conditions(wanted)
        self._where = where
        self._plan_parameters = {
            "after_epoch": after[0], "after_seq": after[1], "through_epoch": last[0], "through_seq": last[1],
        }  # fmt: skip

    def _step(self) -> None:
        if not self._is_planned:
            feed = self.owner.feed()
            self._is_stored = feed is not None and feed.flush(FLUSH)
            self._query(_plan_sql(self._where), self._plan_parameters, self._planned)
        elif not self._spans:
            self.finish(ReplayView(events=self.events, is_stored=self._is_stored, lost=self._lost))
        else:
            span = self._spans[0]
            through = min(span.through, span.after + self._window)
            bounds = {"epoch": span.epoch, "after_seq": span.after, "through_seq": through}
            self._query(_page_sql(self._where), bounds, lambda found: self._paged(span, through, found))

    def _query(self, sql: str, parameters: dict[str, int], answer: Callable[[QueryResult], None]) -> None:
        query = Query(
            sql, {**self._parameters, **parameters}, limit_rows=PART_EVENTS, limit_bytes=_PAGE_BYTES, timeout=QUERY
        )
        with never_waiting():
            future = self.owner.ask(query)

        def answered() -> None:
            try:
                found = future.get(timeout=0)
            except Exception as error:
                self.fail("conflict", f"the recorder gave no answer: {error}", "try again in a moment")
                return
            if isinstance(found, QueryFailed):
                code = "timeout" if found.problem.value == "timeout" else "conflict"
                self.fail(code, f"the history cannot be read: {found.message}", found.hint)
                return
            self.owner.submit(lambda: self._take(answer, found))

        future.add_done_callback(answered)

    def _take(self, answer: Callable[[QueryResult], None], found: QueryResult) -> None:
        try:
            answer(found)
        except Exception as error:
            logger.exception("a page of the history could not be replayed")
            self.fail("internal", f"{type(error).__name__}: {error}")
        else:
            self.rest()

    def _planned(self, found: QueryResult) -> None:
        self._is_planned = True
        for epoch, first, last, lost in found.rows:
            self._lost = lost
            if first is not None:
                self._spans.append(_Span(epoch, first - 1, last))

    def _paged(self, span: _Span, through: int, found: QueryResult) -> None:
        rows = found.rows
        if found.truncated:
            through = rows[-1][0]
            self._window = max(_WINDOW // 4, self._window // 2)
        elif len(rows) < PART_EVENTS // 4:
            self._window = min(_WINDOW_MAX, self._window * 4)
        span.after = through
        if span.after >= span.through:
            self._spans.popleft()
        if rows:
            self.part([self._message(span.epoch, row) for row in rows])

    def _message(self, epoch: int, row: list[Any]) -> list[Any]:
        seq, microseconds, kind, topic, severity, path, payload, traceback, name, value, unit = row
        at = microseconds / 1e6
        if name is not None:
            body: dict[str, Any] = {"at": at, "path": path, "name": name, "value": value, "unit": unit}
        else:
            body = _body(kind, at, path, payload, traceback)
        header = header_of(
            type_named(kind), node=self.owner.node, epoch=str(epoch), at=at, path=path, seq=seq, severity=severity
        )
        return message_of(topic_of(topic, path), header, body)


def _is_streamed(responder: Responder) -> bool:
    if not responder.is_stream:
        responder.fail("usage", f"{responder.request.command} answers in parts: grant credit with the call")
    return responder.is_stream


def _is_about_something(classes: tuple[str, ...], path: str, responder: Responder) -> bool:
    try:
        prefixes_of(classes or None, path)
    except ValueError as error:
        responder.fail("usage", f"{responder.request.command}: {error}")
        return False
    return True


def _body(kind: str, at: float, path: str, payload: str | None, traceback: str | None) -> dict[str, Any]:
    """Return the fields of an event as its tap has them; those of a class this program does not know as they are."""
    try:
        body = body_of(event_of(kind, at, path, payload))
    except ValueError:
        return {"at": at, "path": path, **(msgspec.json.decode(payload, type=dict[str, Any]) if payload else {})}
    if traceback:
        body["reason"]["crash"]["traceback"] = traceback
    return body


def _conditions(wanted: ReplayArguments) -> tuple[str, dict[str, Any]]:
    """Return what rows have to fulfil, by table alias `e`, and the parameters it names."""
    found = ["TRUE"]
    parameters: dict[str, Any] = {}
    if wanted.classes and set(wanted.classes) < set(CLASSES):
        found.append(f"e.topic IN ({', '.join(repr(name) for name in wanted.classes)})")
    if wanted.path != "/":
        found.append("(e.path = $path OR starts_with(e.path, $path || '/'))")
        parameters["path"] = wanted.path
    if wanted.since_at is not None:
        found.append("e.happened_at >= to_timestamp($since)")
        parameters["since"] = _seconds(wanted.since_at)
    return " AND ".join(found), parameters


def _seconds(at: datetime) -> float:
    return at.timestamp()


_ALL: Final = """
    SELECT seq, epoch, happened_at, type, topic, severity, path, payload,
           NULL AS name, NULL AS value, NULL AS unit FROM events
    UNION ALL
    SELECT seq, epoch, happened_at, 'MetricSampled', 'metric', 'info', path, NULL, name, value, unit FROM metrics
"""


def _plan_sql(where: str) -> str:
    """Return the statement that says which numbers of which runs there are to replay, and what was lost meanwhile."""
    return f"""
    WITH chosen AS (
        SELECT e.epoch, e.seq, e.happened_at FROM ({_ALL}) e
        WHERE {where}
          AND (e.epoch > $after_epoch OR (e.epoch = $after_epoch AND e.seq > $after_seq))
          AND (e.epoch < $through_epoch OR (e.epoch = $through_epoch AND e.seq <= $through_seq))
    ), missed AS (
        SELECT coalesce(sum(rows), 0)::BIGINT AS rows FROM lost
        WHERE happened_at >= (SELECT min(happened_at) FROM chosen)
    )
    SELECT epoch, min(seq), max(seq), (SELECT rows FROM missed) FROM chosen GROUP BY epoch ORDER BY epoch
    """


def _page_sql(where: str) -> str:
    """Return the statement for the rows of one window of numbers, one more than a part holds."""
    window = "epoch = $epoch AND seq > $after_seq AND seq <= $through_seq"
    return f"""
    SELECT e.seq, epoch_us(e.happened_at), e.type, e.topic, e.severity, e.path, e.payload, x.traceback,
           e.name, e.value, e.unit
    FROM (SELECT * FROM ({_ALL}) WHERE {window}) e
    LEFT JOIN (SELECT seq, traceback FROM exits WHERE {window}) x ON x.seq = e.seq
    WHERE {where}
    ORDER BY e.seq
    LIMIT {PART_EVENTS + 1}
    """
