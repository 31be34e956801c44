from __future__ import annotations

import threading
from contextlib import contextmanager

import duckdb
import pytest
from support.history import batch_of, open_store
from support.waiting import WAIT, until

from actors.history.errors import QueryProblem
from actors.history.protocol import Outcome, Query, QueryFailed, QueryResult
from actors.history.runner import QueryRunner
from actors.history.watch import Watch

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c"


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def runner(store):
    runner = QueryRunner(store.reading, threads=2, waiting_limit=3)
    yield runner
    assert runner.close()


def test_many_queries_are_answered_on_few_threads(runner):
    futures = []
    for number in range(100):
        future = runner.submit(Query("SELECT $n", {"n": number}))
        if number % 3 == 2:
            future.result(WAIT)
        futures.append(future)

    answers = [future.result(WAIT) for future in futures]

    assert [answer.rows for answer in answers] == [[[n]] for n in range(100)]
    assert len(runner._threads) <= 2
    assert runner.statistics().answered == 100


def test_a_failed_query_is_an_answer(runner):
    answer = runner.submit(Query("DROP TABLE events")).result(WAIT)

    assert isinstance(answer, QueryFailed)
    assert answer.problem is QueryProblem.REFUSED
    assert runner.statistics().failed == 1


def test_storing_goes_on_while_heavy_queries_run(store, runner):
    heavy = [runner.submit(Query(ENDLESS, timeout=600.0)) for _ in range(2)]
    until(lambda: runner.statistics().running == 2)

    answers = [store.store(batch_of(number)) for number in range(1, 30)]

    assert all(answer.outcome is Outcome.STORED for answer in answers)
    assert not any(future.done() for future in heavy)
    for future in heavy:
        future.cancel()


def test_beyond_what_may_wait_a_query_is_told_to_come_again(runner):
    running = [runner.submit(Query(ENDLESS, timeout=600.0)) for _ in range(2)]
    until(lambda: runner.statistics().running == 2)
    waiting = [runner.submit(Query("SELECT 1")) for _ in range(3)]

    answer = runner.submit(Query("SELECT 1")).result(WAIT)

    assert isinstance(answer, QueryFailed)
    assert answer.problem is QueryProblem.BUSY
    for future in running:
        future.cancel()
    assert all(isinstance(future.result(WAIT), QueryResult) for future in waiting)


def test_a_query_nobody_waits_for_any_more_is_interrupted(runner):
    future = runner.submit(Query(ENDLESS, timeout=600.0))
    until(lambda: runner.statistics().running == 1)

    future.cancel()

    until(lambda: runner.statistics().running == 0)


def test_a_query_nobody_waits_for_any_more_is_not_begun(runner):
    running = [runner.submit(Query(ENDLESS, timeout=600.0)) for _ in range(2)]
    until(lambda: runner.statistics().running == 2)
    waiting = runner.submit(Query("SELECT 1"))

    waiting.cancel()

    assert runner.statistics().waiting == 0
    for future in running:
        future.cancel()


def test_closing_interrupts_what_runs_and_answers_what_waits(store):
    runner = QueryRunner(store.reading, threads=1)
    running = runner.submit(Query(ENDLESS, timeout=600.0))
    until(lambda: runner.statistics().running == 1)
    waiting = runner.submit(Query("SELECT 1"))

    assert runner.close()

    stopped = {QueryProblem.TIMEOUT, QueryProblem.UNAVAILABLE}  # in the middle, or before it had begun
    assert running.result(WAIT).problem in stopped  # type: ignore[union-attr]
    assert waiting.result(WAIT).problem is QueryProblem.UNAVAILABLE  # type: ignore[union-attr]
    assert runner.submit(Query("SELECT 1")).result(WAIT).problem is QueryProblem.UNAVAILABLE  # type: ignore[union-attr]


def test_a_query_that_cannot_be_interrupted_is_answered_and_its_thread_replaced(store):
    runner = QueryRunner(store.reading, threads=1, grace=0.01)

    said = ""
    while "does not let itself be interrupted" not in said:  # where the machine is slow, it ends before it has begun
        answer = runner.submit(Query("SELECT length(repeat('x', 400000000))", timeout=0.01)).result(WAIT)
        assert isinstance(answer, QueryFailed)
        assert answer.problem is QueryProblem.TIMEOUT
        said = answer.message
    assert runner.statistics().stuck == 1
    assert isinstance(runner.submit(Query("SELECT 1")).result(WAIT), QueryResult)
    until(lambda: runner.statistics().stuck == 0)
    assert runner.close()


def test_without_a_file_a_query_is_told_that_it_cannot_be_read():
    @contextmanager
    def closed():
        raise duckdb.ConnectionException("closed")
        yield

    runner = QueryRunner(closed)
    answer = runner.submit(Query("SELECT 1")).result(WAIT)
    runner.close()

    assert isinstance(answer, QueryFailed)
    assert answer.problem is QueryProblem.UNAVAILABLE


def test_a_watch_interrupts_in_the_order_of_time_and_not_what_has_ended(monkeypatch):
    now = 0.0
    monkeypatch.setattr("actors.history.watch.monotonic", lambda: now)
    called: list[str] = []
    done = threading.Event()
    watch = Watch("test-watch")
    with watch.over(lambda: called.append("ended"), 0.05):
        pass
    late = watch.over(lambda: (called.append("late"), done.set()), 0.1)
    with watch.over(lambda: called.append("early"), 0.01) as early:
        now = 1.0
        assert done.wait(WAIT)
    watch.close()

    assert called == ["early", "late"]
    assert early.is_over
    assert late.is_over
    with pytest.raises(RuntimeError, match="closed"):
        watch.over(done.set, 1.0)


def test_a_watch_interrupts_again_until_it_is_left():
    calls = threading.Semaphore(0)
    watch = Watch("test-watch")

    with watch.over(calls.release, 600.0) as watched:
        assert not watched.is_over
        watched.cut_short()
        for _ in range(3):
            assert calls.acquire(timeout=WAIT)

    watch.close()
