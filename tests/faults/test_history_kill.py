from __future__ import annotations

import random
import sys
import threading

import pytest
from support.history import RUN, open_store
from support.history_children import ServedRecorder, rows_in, start
from support.history_kills import rounds
from support.waiting import WAIT, until

from actors.core.bus import EventBus
from actors.events import MetricSampled
from actors.history.feed import FeedLimits, HistoryFeed
from actors.history.protocol import Query
from actors.history.sql import query_file

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows"),
    pytest.mark.timeout(600),
]

KILLS = 10

BY_BATCH = "SELECT seq // 1000 AS batch, count(*), count(DISTINCT seq) FROM metrics GROUP BY batch ORDER BY batch"


def test_no_batch_acknowledged_before_a_kill_is_lost_doubled_or_torn(tmp_path):
    chance = random.Random(3)
    acknowledged = 0
    for _ in range(KILLS):
        child = start("keep", str(tmp_path), str(acknowledged + 1))
        assert child.stdout is not None
        wanted = chance.randrange(1, 25)
        for line in child.stdout:
            assert not line.startswith(b"notice"), line
            acknowledged = int(line)
            wanted -= 1
            if wanted <= 0:
                break
        threading.Event().wait(chance.random() * 0.01)  # somewhere inside the next batch, checkpoint or merge
        child.kill()
        for line in child.stdout:  # what was acknowledged before the kill arrived
            assert not line.startswith(b"notice"), line
            acknowledged = int(line)
        assert child.wait(WAIT) == -9
        child.stdout.close()

        there = query_file(
            tmp_path / "history.duckdb",
            Query(
                "SELECT seq // 1000 AS batch, count(*), count(DISTINCT seq) FROM metrics GROUP BY batch ORDER BY batch"
            ),
        ).rows
        assert [batch for batch, _, _ in there] in (
            list(range(1, acknowledged + 1)),
            list(range(1, acknowledged + 2)),  # the last one was stored, and its acknowledgement killed
        )
        for batch, rows, distinct in there:
            assert rows == distinct == rows_in(batch)

    store = open_store(tmp_path)
    assert store.execute("SELECT count(*) FROM gaps") == [(0,)]
    ((batches,),) = store.execute("SELECT sum(batch - first_batch + 1) FROM batches")
    store.close()
    assert acknowledged <= batches <= acknowledged + 1


def test_after_kills_of_recorder_and_runtime_each_acknowledged_row_is_there_once_in_every_view(tmp_path):
    done = list(rounds(4, 5, tmp_path))

    assert all(one.acknowledged for one in done)


def test_no_event_is_lost_or_doubled_while_the_recorder_is_killed_again_and_again(tmp_path):
    chance = random.Random(4)
    bus = EventBus()
    recorder = ServedRecorder(tmp_path)
    limits = FeedLimits(interval=0.005, batch_rows=100, retry_after=0.01, answer_timeout=60.0)
    feed = HistoryFeed(bus, recorder.send, run=RUN, home=tmp_path, limits=limits)
    recorder.answer = feed.stored
    recorder.start()
    feed.start()
    stop = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not stop.wait(0.005):
            made = feed.statistics()
            if made.rows - made.acknowledged_rows + made.waiting_events > 2_000:
                continue  # a machine that stalls is to store it as fast as it comes
            for _ in range(5):
                bus.publish(MetricSampled(float(published), "/", "n", float(published), "count"))
                published += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for _ in range(KILLS):
            wanted = feed.statistics().acknowledged_batches + chance.randrange(1, 15)
            until(lambda wanted=wanted: feed.statistics().acknowledged_batches >= wanted)
            recorder.kill()
            recorder.start()
            feed.send_again()
    finally:
        stop.set()
        publisher.join()
    assert feed.flush(WAIT)
    feed.close(WAIT)
    recorder.close()

    statistics = feed.statistics()
    assert statistics.dropped_events == statistics.lost_rows == 0
    path = tmp_path / "history.duckdb"
    assert query_file(path, Query("SELECT count(*), count(DISTINCT value) FROM metrics")).rows == [
        [published, published]
    ]
    assert query_file(path, Query("SELECT count(*) FROM gaps")).rows == [[0]]
    assert query_file(path, Query("SELECT count(*) FROM lost")).rows == [[0]]


def test_events_of_a_node_that_ends_while_its_recorder_is_dead_are_stored_by_the_next_run(tmp_path):
    bus = EventBus()
    recorder = ServedRecorder(tmp_path)
    feed = HistoryFeed(bus, recorder.send, run=RUN, home=tmp_path, limits=FeedLimits(interval=0.005))
    recorder.answer = feed.stored
    recorder.start()
    feed.start()
    bus.publish(MetricSampled(1.0, "/", "n", 1.0, "count"))
    assert feed.flush(WAIT)
    recorder.kill()
    for number in range(2, 500):
        bus.publish(MetricSampled(float(number), "/", "n", float(number), "count"))
    assert not feed.close(0.1)

    recorder.start()
    again = HistoryFeed(EventBus(), recorder.send, run=RUN, home=tmp_path)
    recorder.answer = again.stored
    again.start()
    until(lambda: again.statistics().acknowledged_rows >= 498)
    assert again.close(WAIT)
    recorder.close()

    assert query_file(
        tmp_path / "history.duckdb", Query("SELECT count(*), count(DISTINCT value), max(value) FROM metrics")
    ).rows == [[499, 499, 499.0]]
