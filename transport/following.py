"""Following a node's events without losing any: taps, with what they lack fetched through control RPC.

    with Follower(tap, node, lossless=True) as events:
        while (item := events.read(timeout=5.0)) is not None: ...

What comes first is chosen at the start (`Since`): nothing, the newest event of each topic (a snapshot), or what the
history holds from some moment on. In every case the tap was subscribed to before: what it brings that is not newer
than what was fetched is dropped, so there is neither a gap nor a duplicate between the two.

A `lossless` follower fills the tap's gaps from the history. A gap says which numbers on the bus the missing events
have; the replay of these is merged into what the tap brought, by number. Each topic's events come in their order; what
the history could not give is a `Gap` that says so. While a replay runs the tap is not read: at most `LOOKAHEAD` of its
events wait here, the rest in ZeroMQ's bounded queues, and what these lose is the next gap. So a slow reader needs no
memory here or in the node, however slow it is. Belongs to one thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from time import monotonic, sleep, time
from types import TracebackType
from typing import Any, Final, Protocol

from msgspec import Struct

from transport.errors import ControlError
from transport.fetching import Fetch, Floor, topic_name
from transport.taps import Gap, Origin, Restarted, TapEvent, TapItem, TapReader
from transport.taps.frames import read_message

LOOKAHEAD: Final = 5_000
"""Events of the tap that wait here while a replay fills what is missing before them."""

PATIENCE: Final = 30.0
"""Seconds for which a replay that fails is tried again, before the gap is reported as it is."""

AGAIN: Final = 0.5
"""Seconds between two tries."""

REPORT: Final = 5.0
"""Seconds between two reports to the node."""

CREDIT: Final = 4
"""Parts of a replay that may be under way."""

_LONG: Final = 3_600.0


class Stream(Protocol):
    """What is needed of a stream (`transport.control.client.Stream`)."""

    result: Any

    def read(self, timeout: float | None = None) -> tuple[bool, Any]:
        """Return `(True, part)`, or `(False, None)` at the end; `TimeoutError` where none came in time."""
        ...

    def close(self) -> None:
        """Want no more."""
        ...


class Client(Protocol):
    """What is needed of a control client (`transport.control.client.ControlClient`)."""

    def call(self, command: str, args: Mapping[str, Any] | None = None, *, timeout: float = 10.0) -> Any:
        """Carry out a command."""
        ...

    def stream(self, command: str, args: Mapping[str, Any] | None = None, *, credit: int = 64) -> Any:
        """Start a command that answers in parts."""
        ...


class Since(Struct, frozen=True):
    """What comes before the live events: at most one of the two.

    Attributes:
        at: What the history has from this instant on.
        has_snapshot: The newest event of each topic.
    """

    at: datetime | None = None
    has_snapshot: bool = False


class FollowerStatistics(Struct, frozen=True, gc=False):
    """What a follower has given out so far.

    Attributes:
        events: Events.
        replayed: How many of them came from the history.
        missed: Events that the tap lost.
        unfilled: How many of those the history could not give either.
        lost: Rows that the history itself says it lost, in the time that was replayed.
        lag: Seconds between the newest event given out and now; 0 where no more has arrived.
    """

    events: int
    replayed: int
    missed: int
    unfilled: int
    lost: int
    lag: float


class Follower:
    """Follows one node's events. Close it, or use it in a `with`; tap and control client are closed by their owner."""

    def __init__(
        self,
        tap: TapReader,
        node: Client,
        *,
        classes: tuple[str, ...] = (),
        path: str = "/",
        since: Since = Since(),  # noqa: B008  # frozen
        lossless: bool = False,
        name: str = "",
        report_every: float = REPORT,
    ) -> None:
        """Begin.

        Args:
            tap: Subscribed to `classes` and `path`, and not read yet.
            node: Control client of the same node.
            classes: Event classes; none is every one.
            path: About this path and what lies below it.
            since: What comes first.
            lossless: Fill gaps from the history; else they are handed on.
            name: What the reader calls itself where the node shows who reads; "" for the process's id.
            report_every: Seconds between two reports to the node; 0 for none.

        Raises:
            ControlError: The node does not give the snapshot.
        """
        self._tap = tap
        self._node = node
        self._wanted: dict[str, Any] = {"classes": list(classes), "path": path}
        self._is_lossless = lossless
        self._out: deque[TapItem] = deque()
        self._live: deque[TapItem] = deque()  # read off the tap, and waiting for a replay
        self._floor = Floor(tap.epoch, 0)
        self._fetch: Fetch | None = None
        self._retry_at = self._give_up_at = 0.0
        self._snapshot: Stream | None = None
        self._stream: Stream | None = None  # the replay under way
        self._restarted: Restarted | None = None
        self._events = self._replayed = self._missed = self._unfilled = self._lost = 0
        self._newest_at = 0.0
        self._name = name or f"pid {os.getpid()}"
        self._report_every = report_every
        self._report_at = monotonic()
        if since.has_snapshot:
            self._snapshot = node.stream("snapshot", self._wanted, credit=CREDIT)
        elif since.at is not None:
            self._floor = Floor(tap.epoch, tap.joined_at_seq)
            self._begin(Fetch(("", 0), (tap.epoch, tap.joined_at_seq), since=since.at))

    def read(self, timeout: float | None = None) -> TapItem | None:
        """Return the next event, gap or restart; None where none came within `timeout` seconds.

        Raises:
            ControlError: What was to come first cannot be had, or the node no longer lets this key in.
        """
        until = None if timeout is None else monotonic() + timeout
        while not self._out:
            self._report_if_due()
            left = _LONG if until is None else max(0.0, until - monotonic())
            if self._report_every > 0:
                left = min(left, max(0.0, self._report_at - monotonic()))
            if self._snapshot is not None:
                self._read_snapshot(self._snapshot, left)
            elif self._fetch is not None:
                self._read_replay(self._fetch, left)
            else:
                self._read_tap(left)
            if until is not None and not self._out and monotonic() >= until:
                return None
        self._report_if_due()
        item = self._out.popleft()
        if isinstance(item, TapEvent):
            self._events += 1
            self._newest_at = float(item.body.get("at", 0.0))
        return item

    @property
    def is_live(self) -> bool:
        """Whether nothing is being fetched."""
        return self._snapshot is None and self._fetch is None

    def statistics(self) -> FollowerStatistics:
        """Return what it has done so far."""
        is_behind = bool(self._out or self._live) or not self.is_live
        lag = max(0.0, time() - self._newest_at) if is_behind and self._newest_at else 0.0
        return FollowerStatistics(self._events, self._replayed, self._missed, self._unfilled, self._lost, lag)

    def close(self) -> None:
        """Want no more; idempotent."""
        for stream in (self._snapshot, self._stream):
            if stream is not None:
                stream.close()
        self._snapshot = self._stream = self._fetch = None
        if self._report_every > 0:
            self._report_every = 0.0
            self._report(is_leaving=True)

    def _report_if_due(self) -> None:
        if self._report_every > 0 and monotonic() >= self._report_at:
            self._report_at = monotonic() + self._report_every
            self._report()

    def _report(self, *, is_leaving: bool = False) -> None:
        """Tell the node where this reader is; a report that gets lost is made good by the next."""
        figures = self.statistics()
        said = {
            **self._wanted,
            "reader": self._name,
            "mode": "lossless" if self._is_lossless else "live" if self.is_live else "replay",
            "read": figures.events,
            "replayed": figures.replayed,
            "missed": figures.missed,
            "unfilled": figures.unfilled,
            "heard_seq": self._tap.heard_seq,
            "lag": figures.lag,
            "is_leaving": is_leaving,
        }
        with suppress(ControlError):
            self._node.call("tap-report", said, timeout=1.0)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- the tap ----------------------------------------------------------------------------------------

    def _read_tap(self, timeout: float) -> None:
        if self._restarted is not None:
            self._join_again(self._restarted, timeout)
            return
        item = self._live.popleft() if self._live else self._tap.read(timeout)
        if isinstance(item, TapEvent):
            if not self._floor.covers(item):
                self._out.append(item)
        elif isinstance(item, Gap):
            self._take_gap(item)
        elif item is not None:
            self._floor = Floor(item.now, 0)
            self._out.append(item)
            if self._is_lossless:
                self._restarted = item

    def _take_gap(self, gap: Gap) -> None:
        left = self._floor.beyond(gap)
        if left is None:
            return
        if self._is_lossless:
            self._live.appendleft(left)
            self._begin_fill()
        else:
            self._missed += left.missing
            self._unfilled += left.missing
            self._out.append(left)

    def _begin_fill(self) -> None:
        """Ask for what the tap has lost, of all topics that it knows of by now; what it brought waits."""
        while len(self._live) < LOOKAHEAD:
            item = self._tap.read(0)
            if item is None:
                break
            self._live.append(item)
            if isinstance(item, Restarted):
                break
        gaps: list[Gap] = []
        waiting: deque[TapItem] = deque()
        for item in self._live:
            gap = self._floor.beyond(item) if isinstance(item, Gap) else None
            if gap is not None and (not gaps or gap.epoch == gaps[0].epoch):
                gaps.append(gap)
                self._missed += gap.missing
            elif gap is not None or not isinstance(item, Gap):
                waiting.append(item)
        self._live = waiting
        self._begin(Fetch.of_gaps(gaps))

    def _join_again(self, restarted: Restarted, timeout: float) -> None:
        """Ask for what the earlier run did after it was heard last, and the present one before it was joined."""
        if not self._tap.is_joined:
            item = self._tap.read(min(timeout, AGAIN))
            if item is not None:
                self._live.append(item)
            return
        self._restarted = None
        self._floor = Floor(restarted.now, self._tap.joined_at_seq)
        self._begin(Fetch.of_restart(restarted, self._tap.joined_at_seq))

    # -- what is fetched --------------------------------------------------------------------------------

    def _begin(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._retry_at = 0.0
        self._give_up_at = monotonic() + PATIENCE

    def _read_snapshot(self, stream: Stream, timeout: float) -> None:
        try:
            has_part, part = stream.read(timeout)
        except TimeoutError:
            return
        if has_part:
            for message in part["items"]:
                event = TapEvent(*read_message(message), Origin.SNAPSHOT)
                self._floor.shown[topic_name(event)] = event.header.tseq
                self._out.append(event)
            return
        self._floor.epoch, self._floor.seq = str(stream.result["epoch"]), int(stream.result["seq"])
        self._snapshot = None
        stream.close()

    def _read_replay(self, fetch: Fetch, timeout: float) -> None:
        try:
            if self._stream is None:
                wait = self._retry_at - monotonic()
                if wait > 0:  # the tap goes on in ZeroMQ's queues
                    sleep(min(wait, timeout))
                    return
                self._stream = self._node.stream("replay", {**self._wanted, **fetch.arguments()}, credit=CREDIT)
            has_part, part = self._stream.read(timeout)
        except TimeoutError:
            return
        except ControlError as error:
            self._fetch_failed(fetch, error)
            return
        if has_part:
            self._give_up_at = monotonic() + PATIENCE
            for message in part["items"]:
                self._take_replayed(fetch, TapEvent(*read_message(message), Origin.REPLAY))
            return
        result = self._stream.result
        self._stream.close()
        self._stream = None
        if result.get("is_stored", True) or fetch.is_filled:
            self._lost += int(result.get("lost", 0))
            self._end_fetch(fetch, "")
        else:
            self._try_again(fetch, "the history has not taken in everything yet")

    def _take_replayed(self, fetch: Fetch, event: TapEvent) -> None:
        if fetch.wants(event):
            self._release_older(event.header.epoch, event.header.seq)
            self._replayed += 1
            self._out.append(event)

    def _release_older(self, epoch: str, seq: int) -> None:
        """Give out what the tap brought that is older than number `seq`."""
        while self._live:
            item = self._live[0]
            if not isinstance(item, TapEvent) or item.header.epoch != epoch or item.header.seq > seq:
                return
            self._live.popleft()
            if not self._floor.covers(item):
                self._out.append(item)

    def _fetch_failed(self, fetch: Fetch, error: ControlError) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if error.code in {"usage", "denied"}:
            raise error
        self._try_again(fetch, str(error))

    def _try_again(self, fetch: Fetch, why: str) -> None:
        if monotonic() < self._give_up_at:
            self._retry_at = monotonic() + AGAIN
        else:
            self._end_fetch(fetch, why)

    def _end_fetch(self, fetch: Fetch, why: str) -> None:
        """Report what could not be filled, `why` where the replay was not whole; what waited comes next."""
        self._fetch = None
        for gap in fetch.unfilled(why, self._wanted["path"]):
            self._unfilled += gap.missing
            self._out.append(gap)
