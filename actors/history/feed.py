"""From the event bus to the recorder: takes events in well under a microsecond, ships them on a thread of its own.

    publisher ── buffer (bounded, the oldest go first) ── feed thread: rows, batches ── outbox ── send ── recorder
                                                                                          └────── stored ◄──┘

The publishing thread does nothing but append; traceback formatting, encoding and sending happen on the feed's thread.
Nothing here ever blocks an actor: whatever there is no room for is counted and reported as a `HistoryLost` event, once
for each interval in which something was lost. Batches are resent until the recorder has acknowledged them; what is
unacknowledged when the node ends waits in `history.spool` for the next start.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Protocol

from actors.clock import Clock, SystemClock
from actors.events import ActorStarted, Event, HistoryLost
from actors.history.batching import BatchMaker
from actors.history.figures import DEFAULT_LIMITS, FeedLimits, FeedStatistics
from actors.history.outbox import Outbox
from actors.history.protocol import Outcome, Store, Stored
from actors.history.rows import NodeRun
from actors.history.spool import Spool

_log = logging.getLogger(__name__)

SPOOL_NAME = "history.spool"


class Bus(Protocol):
    """What the feed asks of the event bus (`actors.core.bus.EventBus`)."""

    def publish(self, event: Event) -> int: ...

    def subscribe(self, callback: Callable[[int, Event], object]) -> Cancellable: ...


class Cancellable(Protocol):
    """A subscription."""

    def cancel(self) -> None: ...


class HistoryFeed:
    """Ships every event of a bus to a recorder. `start()` once, `close()` once; other methods on any thread.

    Args:
        bus: Where the events are.
        send: Hands a batch to the recorder; called on the feed's thread, must not wait for the answer, which goes to
            `stored`. It raises where there is no recorder to send to.
        run: This run of the node; its first batch says so.
        home: Directory of the spool file; None: no spool, what memory cannot hold is dropped.
        limits: The bounds.
        clock: Time.
        path: Path the feed's own `HistoryLost` events are about.
        recorder_path: When an actor with this path starts, everything unanswered is sent again at once; "": only after
            `answer_timeout`, or when `send_again` is called.

    A spool file of an earlier run that cannot be opened is told of by an event, and the feed runs without a spool.
    """

    def __init__(
        self,
        bus: Bus,
        send: Callable[[Store], None],
        *,
        run: NodeRun,
        home: Path | None,
        limits: FeedLimits = DEFAULT_LIMITS,
        clock: Clock | None = None,
        path: str = "/",
        recorder_path: str = "",
    ) -> None:
        self._bus = bus
        self._send = send
        self._limits = limits
        self._clock = clock if clock is not None else SystemClock()
        self._path = path
        self._recorder_path = recorder_path
        self._spool: Spool | None = None
        self._spool_error = ""
        if home is not None:
            try:
                self._spool = Spool(home / SPOOL_NAME, limits.spool_bytes)
            except OSError as error:
                self._spool_error = f"{SPOOL_NAME} cannot be used: {error}"
                _log.error("%s", self._spool_error)
        self._outbox = Outbox(
            f"{run.node}#{run.epoch}",
            self._spool,
            memory_bytes=limits.unacknowledged_bytes,
            in_flight=limits.in_flight,
            answer_timeout=limits.answer_timeout,
        )
        self._maker = BatchMaker(
            run, self._outbox.put, rows_limit=limits.batch_rows, bytes_limit=limits.batch_bytes, between=_let_in
        )
        self._buffer: deque[tuple[int, Event]] = deque()
        self._crowd = limits.batch_rows
        self._answers: deque[tuple[Stored, bool]] = deque()
        self._wake = threading.Event()
        self._settled = threading.Condition()
        self._flushes = 0  # asked for
        self._flushes_collected = 0  # those whose events are in batches
        self._flush_through = 0  # the last of these batches
        self._flushed = 0  # done
        self._again = False
        self._closing = False
        self._subscription: Cancellable | None = None
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._reported_dropped = 0
        self._reported_lost = 0
        self._reported_damage = 0
        self._rows_of_reports = 0
        self._report_at = 0.0
        self._acknowledged_batches = 0
        self._acknowledged_rows = 0
        self._rejected = 0
        self._refused = 0
        self._problem = ""
        self._is_warned = False
        self._is_left = False

    @property
    def source(self) -> str:
        """Who numbers this feed's batches."""
        return self._outbox.source

    def start(self) -> None:
        """Subscribe, and start the thread. Events published before are not in the history."""
        if self._thread is not None:
            raise RuntimeError("a feed is started once")
        self._thread = threading.Thread(target=self._run, name="history-feed", daemon=True)
        self._subscription = self._bus.subscribe(self._take)
        self._thread.start()
        if self._spool_error:
            self._bus.publish(HistoryLost(self._clock.time(), self._path, 0, self._spool_error))

    def stored(self, answer: Stored, *, is_absent: bool = False) -> None:
        """Take the recorder's answer to a batch. Any thread; never blocks.

        Args:
            answer: What became of the batch.
            is_absent: There was no recorder to answer: normal before its first start and after its end.
        """
        self._answers.append((answer, is_absent))
        self._wake.set()

    def leave(self) -> None:
        """Send nothing until the next recorder has started: this one is about to end. Any thread; never blocks.

        What comes meanwhile waits as it does at any time without a recorder.
        """
        with self._settled:
            self._is_left = True
            self._settled.notify_all()

    def send_again(self) -> None:
        """Send everything unanswered again now: there is a new recorder. Any thread; never blocks."""
        self._again = True
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Ship what was published so far and wait until it is stored; False where `timeout` seconds were not enough.

        What was lost (and counted) on the way is not waited for.
        """
        with self._settled:
            self._flushes += 1
            wanted = self._flushes
            self._wake.set()
            return self._settled.wait_for(
                lambda: self._flushed >= wanted or self._closing or self._is_left, timeout
            ) and (self._flushed >= wanted)

    def close(self, timeout: float) -> bool:
        """Stop taking events, flush for `timeout` seconds, keep the rest in the spool, end the thread.

        Returns:
            Whether everything is stored. What is not waits in the spool for the next start; what the spool has no room
            for is counted in `lost_rows`.
        """
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
        thread = self._thread
        is_stored = thread is not None and thread.is_alive() and self.flush(timeout)
        with self._settled:
            self._closing = True
            self._settled.notify_all()
        self._wake.set()
        if thread is not None:
            thread.join()
        self._collect()
        self._outbox.spill()
        if self._spool is not None:
            self._spool.close()
        unreported = self._dropped + self._outbox.lost_rows - self._reported_dropped - self._reported_lost
        if unreported:
            _log.error("%d rows of history were lost as the node ended: %s", unreported, self._problem or "too fast")
        return is_stored

    def statistics(self) -> FeedStatistics:
        """Return a snapshot; its numbers may be one batch apart from each other."""
        outbox = self._outbox
        return FeedStatistics(
            events=self._maker.events,
            rows=self._maker.rows,
            dropped_events=self._dropped,
            lost_rows=outbox.lost_rows,
            batches=outbox.batches_made,
            acknowledged_batches=self._acknowledged_batches,
            acknowledged_rows=self._acknowledged_rows,
            acknowledged_through=outbox.acknowledged_through,
            rejected_rows=self._rejected,
            refused=self._refused,
            resent=outbox.resent,
            waiting_events=len(self._buffer),
            waiting_batches=outbox.waiting_batches,
            waiting_bytes=outbox.waiting_bytes,
            spool_bytes=self._spool.size_bytes if self._spool is not None else 0,
            problem=self._problem,
        )

    def _take(self, seq: int, event: Event) -> None:
        """The subscriber: on the publishing thread, one at a time."""
        buffer = self._buffer
        buffer.append((seq, event))
        if len(buffer) >= self._crowd:
            self._make_room()

    def _make_room(self) -> None:
        """Wake the thread, and drop the oldest events where it has not kept up."""
        if not self._wake.is_set():
            self._wake.set()
        while len(self._buffer) > self._limits.buffer_events:
            try:
                self._buffer.popleft()
            except IndexError:  # the thread has just taken them
                return
            self._dropped += 1

    def _run(self) -> None:
        collect_at = self._clock.monotonic() + self._limits.interval
        while not self._closing:
            now = self._clock.monotonic()
            wait = collect_at - now
            due = None if self._is_left else self._outbox.next_due_in(now)
            self._wake.wait(max(0.0, wait if due is None else min(wait, due)))
            self._wake.clear()
            try:
                collect_at = self._turn(collect_at)
            except Exception:  # the history must not end because one turn failed
                _log.exception("the history feed failed in an unforeseen way")
                self._wake.wait(self._limits.retry_after)

    def _turn(self, collect_at: float) -> float:
        """Do what there is to do now; return when events are collected next."""
        flushes = self._flushes
        now = self._clock.monotonic()
        self._take_answers(now)
        if now >= collect_at or len(self._buffer) >= self._crowd or flushes > self._flushes_collected:
            self._collect()
            if flushes > self._flushes_collected:
                self._flushes_collected = flushes
                self._flush_through = self._outbox.batches_made
            collect_at = now + self._limits.interval
        self._report(now)  # the buffer has room for it now
        if self._again:
            self._again = self._is_left = False
            self._outbox.send_again()
        if not self._is_left:
            self._deliver()
        if self._flushes_collected > self._flushed and self._outbox.acknowledged_through >= self._flush_through:
            with self._settled:
                self._flushed = self._flushes_collected
                self._settled.notify_all()
        return collect_at

    def _collect(self) -> None:
        """Make batches of everything in the buffer."""
        buffer = self._buffer
        maker = self._maker
        for number in range(len(buffer)):
            try:
                seq, event = buffer.popleft()
            except IndexError:  # the publisher has just dropped them
                break
            maker.add(seq, event)
            if isinstance(event, ActorStarted) and event.path == self._recorder_path:
                self._again = True
            if number % _EVENTS_A_SLICE == _EVENTS_A_SLICE - 1:
                _let_in()
        maker.finish()

    def _deliver(self) -> None:
        now = self._clock.monotonic()
        batches = self._outbox.due(now)
        for number, batch in enumerate(batches):
            try:
                self._send(batch)
            except Exception as error:  # whatever stands between here and the recorder
                self._note(f"{type(error).__name__}: {error}", is_expected=self._may_be_absent)
                self._outbox.not_sent(batches[number:], now + self._limits.retry_after)
                return

    def _take_answers(self, now: float) -> None:
        while self._answers:
            answer, is_absent = self._answers.popleft()
            rows = self._outbox.settle(answer, now)
            if answer.outcome is Outcome.REFUSED:
                self._refused += 1
                self._note(answer.why, is_expected=is_absent and self._may_be_absent)
            elif rows:
                self._acknowledged_batches += 1
                self._acknowledged_rows += rows
                self._rejected += answer.rejected
                self._problem = ""
                self._is_warned = False
            for notice in answer.notices:
                self._bus.publish(HistoryLost(self._clock.time(), self._path, notice.rows, notice.why))

    @property
    def _may_be_absent(self) -> bool:
        """Whether it is no news that there is no recorder: it has not been there yet, or it or the node is ending."""
        return self._acknowledged_batches == 0 or self._is_left or self._subscription is None

    def _note(self, problem: str, *, is_expected: bool = False) -> None:
        if not is_expected and not self._is_warned:
            self._is_warned = True
            _log.warning("history is not being stored: %s", problem)
        self._problem = problem

    def _report(self, now: float) -> None:
        """Publish what was lost since the last report."""
        dropped = self._dropped - self._reported_dropped
        lost = self._outbox.lost_rows - self._reported_lost
        damage = self._spool.damaged_bytes - self._reported_damage if self._spool is not None else 0
        if (dropped + lost <= self._rows_of_reports and not damage) or now < self._report_at:
            return  # nothing, or no more than the rows of the last report: telling of them would go on for ever
        self._report_at = now + self._limits.report_interval
        self._reported_dropped += dropped
        self._reported_lost += lost
        self._reported_damage += damage
        self._rows_of_reports = _ROWS_OF_A_REPORT * ((dropped > 0) + (lost > 0) + (damage > 0))
        for rows, why in (
            (dropped, "events came faster than the history feed ships them"),
            (lost, f"neither memory nor {SPOOL_NAME} had room: {self._problem or 'the recorder is too slow'}"),
        ):
            if rows:
                self._bus.publish(HistoryLost(self._clock.time(), self._path, rows, why))
        if damage:
            why = f"{damage} bytes of {SPOOL_NAME} were torn or damaged"
            self._bus.publish(HistoryLost(self._clock.time(), self._path, 0, why))


_ROWS_OF_A_REPORT = 2
_EVENTS_A_SLICE = 16
"""Events made into rows, some 50 us, before other threads are let in."""

_MOMENT = 1e-6


def _let_in() -> None:
    """Give the interpreter lock to an actor that waits for it.

    A sleep of nothing is over before the other thread is awake, and this one has the lock again.
    """
    sleep(_MOMENT)
