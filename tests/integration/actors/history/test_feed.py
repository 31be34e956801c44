from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from support.history import NOW, RUN, one_of_each, open_store
from support.waiting import WAIT, until

from actors.core.bus import EventBus
from actors.events import EVENT_TYPES, ActorExited, ActorStarted, Event, HistoryLost, MetricSampled, NodeChanged
from actors.exits import ExitReason
from actors.history.feed import SPOOL_NAME, HistoryFeed
from actors.history.figures import FeedLimits
from actors.history.protocol import Notice, Outcome, Store, Stored, decode_rows
from actors.history.rows import NodeRun


class Receiver:
    """Stands where the recorder is: takes batches, answers them when told to.

    Attributes:
        answers: Whether batches are answered at once.
        error: Raised in place of taking a batch.
        gate: Clear: whoever sends waits.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Event()
        self.batches: list[Store] = []
        self.feed: HistoryFeed | None = None

    def send(self, batch: Store) -> None:
        self.at_gate.set()
        assert self.gate.wait(WAIT)
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        if self.answers:
            self.answer(batch)

    def answer(self, batch: Store, outcome: Outcome = Outcome.STORED, **more: Any) -> None:
        assert self.feed is not None
        self.feed.stored(Stored(batch.source, batch.batch, outcome, **more))

    def rows(self, table: str) -> list[list[Any]]:
        """The rows of `table` in all batches, each batch once."""
        unique = {(batch.source, batch.batch): batch for batch in self.batches}
        return [
            row
            for batch in unique.values()
            for part in decode_rows(batch.rows)
            if part.table == table
            for row in part.rows
        ]


@pytest.fixture
def made():
    """Make feeds that are closed when the test is over."""
    feeds: list[HistoryFeed] = []

    def make(bus: EventBus, receiver: Receiver, home=None, *, run: NodeRun = RUN, **options) -> HistoryFeed:
        limits = FeedLimits(**{"report_interval": 0.0, "retry_after": 0.01, **options.pop("limits", {})})
        feed = HistoryFeed(bus, receiver.send, run=run, home=home, limits=limits, **options)
        receiver.feed = feed
        feeds.append(feed)
        feed.start()
        return feed

    yield make
    for feed in feeds:
        feed.close(0.0)


def metrics(count: int, first: int = 0) -> list[Event]:
    return [MetricSampled(NOW + n, "/", "n", float(first + n), "count") for n in range(count)]


def publish(bus: EventBus, events: list[Event]) -> None:
    for event in events:
        bus.publish(event)


@pytest.mark.parametrize(("leaves", "warnings"), [(True, 0), (False, 1)])
def test_what_was_under_way_to_a_recorder_that_was_left_is_no_news(made, caplog, leaves, warnings):
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver, limits={"interval": 600.0, "retry_after": 600.0})
    publish(bus, metrics(1))
    assert feed.flush(WAIT)
    receiver.answers = False
    publish(bus, metrics(1))
    feed.flush(0.0)
    until(lambda: len(receiver.batches) == 2)

    if leaves:
        feed.leave()
    last = receiver.batches[-1]
    feed.stored(Stored(last.source, last.batch, Outcome.REFUSED, why="ended", retry_after=600.0), is_absent=True)
    until(lambda: feed.statistics().refused == 1)

    assert sum("history is not being stored" in record.message for record in caplog.records) == warnings


def test_an_event_is_shipped_by_itself_with_the_run_of_the_node(made):
    bus, receiver = EventBus(), Receiver()
    made(bus, receiver)

    seq = bus.publish(NodeChanged(NOW, "/", "ready"))

    until(lambda: receiver.rows("events"))
    assert receiver.rows("events")[0][:4] == [seq, 7, NOW, "NodeChanged"]
    assert receiver.rows("runs_of_node") == [["node", 7, RUN.started_at, 4121, "0.1.0"]]


def test_flush_returns_when_everything_published_is_stored(made):
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver, limits={"interval": 600.0})
    publish(bus, one_of_each())

    assert feed.flush(WAIT)

    statistics = feed.statistics()
    assert len(receiver.rows("events")) == len(EVENT_TYPES) - 1
    assert statistics.acknowledged_through == statistics.batches == statistics.acknowledged_batches
    assert statistics.rows == statistics.acknowledged_rows
    assert statistics.events == len(EVENT_TYPES)


def test_a_full_batch_does_not_wait_for_the_interval(made):
    bus, receiver = EventBus(), Receiver()
    made(bus, receiver, limits={"interval": 600.0, "batch_rows": 100})

    publish(bus, metrics(1_000))

    until(lambda: len(receiver.rows("metrics")) >= 900)
    assert max(batch.count for batch in receiver.batches) <= 101


def test_flush_returns_although_publishing_goes_on(made):
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver, limits={"interval": 0.001})
    stop = threading.Event()

    def publish_on() -> None:
        while not stop.wait(0.0001):
            bus.publish(NodeChanged(NOW, "/", "ready"))

    publisher = threading.Thread(target=publish_on)
    publisher.start()
    try:
        assert feed.flush(WAIT)
    finally:
        stop.set()
        publisher.join()


def test_flush_gives_up_when_nothing_is_answered(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver)
    publish(bus, metrics(5))

    assert not feed.flush(0.05)


def test_a_batch_that_is_not_answered_is_sent_again_until_it_is(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver, limits={"answer_timeout": 0.02})
    publish(bus, metrics(5))
    until(lambda: len(receiver.batches) >= 3)

    receiver.answers = True

    assert feed.flush(WAIT)
    assert len({batch.batch for batch in receiver.batches}) == feed.statistics().batches
    assert feed.statistics().resent >= 2


def test_a_recorder_that_cannot_be_reached_is_tried_again(made):
    bus, receiver = EventBus(), Receiver()
    receiver.error = ConnectionError("nobody there")
    feed = made(bus, receiver)
    publish(bus, metrics(5))
    until(lambda: "nobody there" in feed.statistics().problem)

    receiver.error = None

    assert feed.flush(WAIT)
    assert [row[5] for row in receiver.rows("metrics")] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert feed.statistics().problem == ""


def test_a_new_recorder_gets_what_the_old_one_did_not_answer(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver, recorder_path="/sys/recorder", limits={"answer_timeout": 600.0})
    publish(bus, metrics(5))
    until(lambda: receiver.batches)

    receiver.answers = True
    bus.publish(ActorStarted(NOW, "/sys/recorder", 2, "process", 99, 0.1))

    assert feed.flush(WAIT)
    assert Counter(batch.batch for batch in receiver.batches)[1] == 2


def test_send_again_does_the_same_without_an_event(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver, limits={"answer_timeout": 600.0})
    publish(bus, metrics(5))
    until(lambda: receiver.batches)

    receiver.answers = True
    feed.send_again()

    assert feed.flush(WAIT)


def test_a_refused_batch_comes_again_and_the_reason_is_shown(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver)
    publish(bus, metrics(5))
    until(lambda: receiver.batches)

    receiver.answer(receiver.batches[0], Outcome.REFUSED, why="disk full", retry_after=0.01)
    until(lambda: len(receiver.batches) >= 2)

    assert feed.statistics().problem == "disk full"
    assert feed.statistics().refused == 1
    receiver.answers = True
    receiver.answer(receiver.batches[0])
    assert feed.flush(WAIT)


def test_publishing_goes_on_while_sending_hangs_and_the_oldest_events_go_counted(made):
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver, limits={"buffer_events": 500, "batch_rows": 100, "interval": 0.01})
    receiver.gate.clear()
    publish(bus, metrics(1))
    assert receiver.at_gate.wait(WAIT)
    until(lambda: feed.statistics().waiting_events == 0)
    before = feed.statistics().events

    publish(bus, metrics(2_000, 1_000))

    assert feed.statistics().dropped_events == 1_500
    assert feed.statistics().waiting_events == 500
    receiver.gate.set()
    assert feed.flush(WAIT)
    assert [row[5] for row in receiver.rows("metrics")][-500:] == [float(n) for n in range(2_500, 3_000)]
    until(lambda: receiver.rows("lost"))
    ((*_, rows, why),) = receiver.rows("lost")
    assert rows == 1_500
    assert "faster" in why
    assert before == 1


def test_what_is_lost_is_reported_once(made):
    bus, receiver = EventBus(), Receiver()
    lost: list[Event] = []
    bus.subscribe(lambda _, event: lost.append(event), (HistoryLost,))
    receiver.answers = False
    feed = made(bus, receiver, limits={"unacknowledged_bytes": 1_500, "interval": 0.01})
    for number in range(50):
        publish(bus, metrics(10, number * 10))
        assert not feed.flush(0.0)
    until(lambda: feed.statistics().waiting_events == 0 and feed.statistics().lost_rows)
    receiver.answers = True
    feed.send_again()
    assert feed.flush(WAIT)
    until(lambda: sum(event.rows for event in lost) == feed.statistics().lost_rows)  # type: ignore[attr-defined]

    statistics = feed.statistics()
    assert statistics.rows == statistics.acknowledged_rows + statistics.lost_rows
    assert statistics.batches == statistics.acknowledged_batches


def test_every_event_is_in_a_row_or_counted_whatever_happens_on_the_way(made, tmp_path):
    bus, receiver = EventBus(), Receiver()
    feed = made(
        bus,
        receiver,
        tmp_path,
        limits={"buffer_events": 300, "batch_rows": 50, "interval": 0.002, "unacknowledged_bytes": 20_000},
    )
    stop = threading.Event()

    def trouble() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            receiver.error = ConnectionError("gone") if number % 3 == 0 else None
            receiver.answers = number % 4 != 0
            if number % 5 == 0:
                feed.send_again()
            stop.wait(0.003)

    troubled = threading.Thread(target=trouble)
    troubled.start()
    publishers = [threading.Thread(target=publish, args=(bus, metrics(3_000, 10_000 * n))) for n in range(4)]
    for thread in publishers:
        thread.start()
    for thread in publishers:
        thread.join()
    stop.set()
    troubled.join()
    receiver.error, receiver.answers = None, True
    feed.send_again()
    assert feed.flush(WAIT)

    statistics = feed.statistics()
    shipped = [row[5] for row in receiver.rows("metrics")]
    assert len(shipped) == len(set(shipped))
    assert statistics.lost_rows == 0
    assert statistics.events + statistics.dropped_events == bus.head
    assert statistics.acknowledged_rows == statistics.rows


def test_a_traceback_is_formatted_on_the_thread_of_the_feed(made):
    formatted: list[str] = []

    class Telling(Exception):
        def __str__(self) -> str:
            formatted.append(threading.current_thread().name)
            return "told"

    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver)
    bus.publish(ActorExited(NOW, "/a", 1, ExitReason.crashed(Telling()), 1.0, "running", False))
    assert feed.flush(WAIT)

    assert set(formatted) == {"history-feed"}
    assert receiver.rows("exits")[0][8] == "told"


def test_what_the_recorder_has_to_report_becomes_an_event(made):
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver)
    publish(bus, metrics(1))
    until(lambda: receiver.batches)

    receiver.answers = True
    receiver.answer(receiver.batches[0], notices=(Notice(0, "the file was damaged"),))

    until(lambda: receiver.rows("lost"))
    assert receiver.rows("lost")[0][4:] == [0, "the file was damaged"]
    assert feed.flush(WAIT)


def test_what_is_not_stored_when_the_node_ends_is_stored_by_the_next_run(made, tmp_path):
    bus, receiver = EventBus(), Receiver()
    receiver.error = ConnectionError("nobody there")
    feed = made(bus, receiver, tmp_path)
    publish(bus, metrics(20))

    assert not feed.close(0.05)

    assert (tmp_path / SPOOL_NAME).exists()
    later = Receiver()
    next_feed = made(EventBus(), later, tmp_path, run=NodeRun("node", 8, 1, "0.1.0", NOW))
    until(lambda: len(later.rows("metrics")) == 20)
    assert next_feed.close(WAIT)
    assert {batch.source for batch in later.batches} == {"node#7", "node#8"}
    assert not (tmp_path / SPOOL_NAME).exists()
    assert feed.statistics().lost_rows == 0


def test_a_recorder_that_stays_away_fills_memory_then_the_spool_then_costs_rows(made, tmp_path):
    bus, receiver = EventBus(), Receiver()
    receiver.error = ConnectionError("nobody there")
    limits = {"unacknowledged_bytes": 50_000, "spool_bytes": 100_000, "interval": 0.005, "batch_rows": 100}
    feed = made(bus, receiver, tmp_path, limits=limits)  # a batch alone is never more than memory, however late it is
    for number in range(200):
        publish(bus, metrics(100, number * 100))
        feed.flush(0.0)
    until(lambda: feed.statistics().waiting_events == 0 and feed.statistics().lost_rows > 0)

    statistics = feed.statistics()
    assert statistics.waiting_bytes <= 50_000
    assert 50_000 < statistics.spool_bytes <= 100_000
    receiver.error = None
    assert feed.flush(WAIT)
    until(lambda: feed.statistics().waiting_batches == 0)
    assert feed.statistics().rows == feed.statistics().acknowledged_rows + feed.statistics().lost_rows


def test_a_store_gets_every_row_exactly_once_from_a_feed_that_sends_twice(made, tmp_path):
    store = open_store(tmp_path)
    bus, receiver = EventBus(), Receiver(answers=False)
    feed = made(bus, receiver, limits={"answer_timeout": 0.01, "batch_rows": 50, "interval": 0.005})

    def take(batch: Store) -> None:
        answer = store.store(batch)
        if batch.batch % 3:
            feed.stored(answer)
        else:
            feed.stored(store.store(batch))

    feed._send = take
    publish(bus, metrics(2_000))
    assert feed.flush(WAIT)
    feed.close(WAIT)

    assert store.execute("SELECT count(*), count(DISTINCT value) FROM metrics") == [(2_000, 2_000)]
    assert store.execute("SELECT count(*) FROM gaps") == [(0,)]
    store.close()


def test_a_feed_is_started_once(made):
    feed = made(EventBus(), Receiver())

    with pytest.raises(RuntimeError, match="once"):
        feed.start()


def test_a_feed_that_was_closed_takes_no_more_events(made):
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver)
    feed.close(WAIT)

    publish(bus, metrics(5))

    assert feed.statistics().events == 0
    assert feed.statistics().waiting_events == 0


def test_a_spool_that_cannot_be_used_is_told_of_and_the_feed_runs_without(made, tmp_path):
    (tmp_path / SPOOL_NAME).mkdir()
    bus, receiver = EventBus(), Receiver()
    feed = made(bus, receiver, tmp_path)
    publish(bus, metrics(5))

    assert feed.flush(WAIT)

    assert len(receiver.rows("metrics")) == 5
    ((*_, rows, why),) = receiver.rows("lost")
    assert (rows, SPOOL_NAME in why) == (0, True)
