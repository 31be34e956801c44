"""Queries beside the storing: threads of their own, a bounded queue, an answer in time whatever the query does.

    submit ── waiting (bounded, else busy) ── running ── answer
                                                 └── time over, interrupted, and still running: stuck


A query that cannot be interrupted is answered with a time-out after `grace` more seconds; its thread is counted as
stuck and another takes its place. A thread cannot be killed: the owner of too many stuck ones ends its process.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, suppress

import duckdb
from msgspec import Struct

from actors.history.errors import HistoryError, QueryError, QueryProblem
from actors.history.files import DEFAULT_SETTINGS, FileSettings
from actors.history.protocol import Query, QueryAnswer, QueryFailed
from actors.history.sql import run, said_of_stuck
from actors.history.watch import GRACE, Watch, Watched

_log = logging.getLogger(__name__)


class RunnerStatistics(Struct, frozen=True):
    """A snapshot: queries `waiting` and `running` now, `stuck` threads, and how many were `answered` and `failed`."""

    waiting: int
    running: int
    stuck: int
    answered: int
    failed: int


class _Job:
    __slots__ = ("connection", "future", "is_cut", "is_stuck", "query", "watched")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.future: Future[QueryAnswer] = Future()
        self.watched: Watched | None = None
        self.connection: duckdb.DuckDBPyConnection | None = None
        self.is_stuck = False
        self.is_cut = False


class QueryRunner:
    """Runs queries on threads of its own. Every method may be called on any thread.

    Args:
        reading: Opens the connection a query runs on, and closes it after; raises `duckdb.Error` or `HistoryError`
            where it cannot.
        settings: Memory limit of a query.
        threads: Queries that run at once.
        waiting_limit: Queries that wait beyond those; the next is answered `busy`.
        grace: Seconds an interrupted query has to end before it is called stuck.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
        settings: FileSettings = DEFAULT_SETTINGS,
        *,
        threads: int = 2,
        waiting_limit: int = 32,
        grace: float = GRACE,
    ) -> None:
        self._reading = reading
        self._settings = settings
        self._threads_limit = threads
        self._waiting_limit = waiting_limit
        self._grace = grace
        self._watch = Watch("history-query-watch")
        self._lock = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._stuck = 0
        self._answered = 0
        self._failed = 0
        self._closed = False

    def submit(self, query: Query) -> Future[QueryAnswer]:
        """Run `query` and return the future of its answer, which comes within its time-out and `grace` of its turn.

        A future that is cancelled takes its query along.
        """
        job = _Job(query)
        job.future.add_done_callback(lambda future: self._forget(job) if future.cancelled() else None)
        with self._lock:
            if self._closed:
                job.future.set_result(QueryFailed(QueryProblem.UNAVAILABLE, "the history is being closed"))
                return job.future
            if len(self._waiting) >= self._waiting_limit:
                self._failed += 1
                busy = f"{len(self._running)} queries run and {len(self._waiting)} wait"
                job.future.set_result(QueryFailed(QueryProblem.BUSY, busy, "ask again in a moment"))
                return job.future
            self._waiting.append(job)
            if self._idle < len(self._waiting) and len(self._threads) - self._stuck < self._threads_limit:
                self._start_thread()
            self._lock.notify()
        return job.future

    def cut_short(self, key: str) -> bool:
        """Interrupt the query called `key`, or take it out of the line; False where there is none."""
        with self._lock:
            job = next((job for job in (*self._running, *self._waiting) if key and job.query.key == key), None)
            if job is None:
                return False
            job.is_cut = True
            if job in self._waiting:
                self._waiting.remove(job)
            watched = job.watched
        if watched is None:
            _answer(job.future, _CUT_SHORT)
        else:
            with suppress(RuntimeError):  # the watch is closed, and with it all it watched
                watched.cut_short()
        return True

    def progress(self, key: str) -> float:
        """Return how far the query called `key` is, 0 to 100; -1 where that is not known."""
        with self._lock:
            job = next((job for job in self._running if key and job.query.key == key), None)
            if job is None or job.connection is None:
                return -1.0
            return float(job.connection.query_progress())

    def statistics(self) -> RunnerStatistics:
        """Return a snapshot."""
        with self._lock:
            return RunnerStatistics(
                len(self._waiting), len(self._running) - self._stuck, self._stuck, self._answered, self._failed
            )

    def close(self, timeout: float = 5.0) -> bool:
        """Interrupt what runs, answer what waits, end the threads; False where a stuck one would not end."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            running = [job.watched for job in self._running if job.watched is not None]
            threads = list(self._threads)
            self._lock.notify_all()
        for watched in running:
            watched.cut_short()
        for job in waiting:
            _answer(job.future, QueryFailed(QueryProblem.UNAVAILABLE, "the history is being closed"))
        for thread in threads:
            thread.join(timeout)
        self._watch.close()
        return not any(thread.is_alive() for thread in threads)

    def _forget(self, job: _Job) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            watched = job.watched
        if watched is not None:
            with suppress(RuntimeError):  # the watch is closed, and with it all it watched
                watched.cut_short()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="history-query", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        thread = threading.current_thread()
        while True:
            with self._lock:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._lock.wait()
                self._idle -= 1
                if self._closed:
                    self._threads.discard(thread)
                    return
                job = self._waiting.popleft()
                self._running.add(job)
            answer = self._run(job)
            with self._lock:
                self._running.discard(job)
                if isinstance(answer, QueryFailed):
                    self._failed += 1
                else:
                    self._answered += 1
                ends = job.is_stuck  # another thread has its place
                if ends:
                    self._stuck -= 1
                    self._threads.discard(thread)
            _answer(job.future, answer)
            if ends:
                return

    def _run(self, job: _Job) -> QueryAnswer:
        try:
            with self._reading() as connection:
                return self._run_on(connection, job)
        except QueryError as error:
            return QueryFailed(error.problem, error.message, error.hint)
        except (duckdb.Error, HistoryError) as error:
            return QueryFailed(QueryProblem.UNAVAILABLE, str(error).partition("\n")[0])
        except Exception as error:  # a query must not end the thread, whatever DuckDB's bindings raise
            _log.exception("a query failed in an unforeseen way")
            return QueryFailed(QueryProblem.INVALID, f"{type(error).__name__}: {error}")

    def _run_on(self, connection: duckdb.DuckDBPyConnection, job: _Job) -> QueryAnswer:
        timeout = max(job.query.timeout, 0.0)
        try:
            interrupting = self._watch.over(connection.interrupt, timeout)
            calling_stuck = self._watch.over(lambda: self._call_stuck(job), timeout + self._grace)
        except RuntimeError:
            return QueryFailed(QueryProblem.UNAVAILABLE, "the history is being closed")
        with interrupting, calling_stuck:
            with self._lock:
                job.watched = interrupting
                gone = self._closed or job.future.cancelled() or job.is_cut
                job.connection = connection
            if gone:
                return QueryFailed(QueryProblem.UNAVAILABLE, "nobody waits for it any more")
            try:
                return run(connection, job.query, interrupting, self._settings)
            except QueryError:
                if job.is_cut:
                    return _CUT_SHORT
                raise
            finally:
                with self._lock:
                    job.connection = None  # it is closed next

    def _call_stuck(self, job: _Job) -> None:
        with self._lock:
            if job not in self._running or job.is_stuck:
                return
            job.is_stuck = True
            self._stuck += 1
            if not self._closed:
                self._start_thread()
        _log.error("a query does not let itself be interrupted", extra={"sql": job.query.sql[:500]})
        hint = "it still takes a thread of the recorder"
        _answer(job.future, QueryFailed(QueryProblem.TIMEOUT, said_of_stuck(job.query), hint))


_CUT_SHORT = QueryFailed(QueryProblem.CANCELLED, "it was interrupted by who asked")


def _answer(future: Future[QueryAnswer], answer: QueryAnswer) -> None:
    try:
        future.set_result(answer)
    except InvalidStateError:
        return  # it was answered while it was stuck, or nobody waits any more
