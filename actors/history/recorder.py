"""The recorder: the actor that owns the history file. In the product it runs in a process of its own.

    Store  ──► writer thread (one): the file's only writer, one commit a batch ──► Stored
           ──► publisher thread: files for other tools, each second
    Query  ──► query threads (two): cursors of the same file, read only       ──► QueryResult | QueryFailed

The actor itself only passes work on and waits, so a heavy query never holds up storing, and a checkpoint never holds up
a query. Trouble with the file is answered, not raised, for a history must not stop what it tells of: a full disk
refuses a batch, a bad statement gets `QueryFailed`; a file that cannot be opened (held by another program, no rights,
written by a newer one) refuses everything with the reason and is tried again every `REOPEN_INTERVAL` seconds.

What does end it, for its supervisor to start another: more queries than `STUCK_LIMIT` that nothing can interrupt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TypeVar

import duckdb

from actors.core.actor import Actor
from actors.core.mailbox import MailboxSpec
from actors.history.catalog import folder_of
from actors.history.copying import make_copy
from actors.history.errors import HistoryError
from actors.history.files import MEBIBYTE, WAL_BYTES, FileSettings, size_of, wal_of
from actors.history.forgetting import forget
from actors.history.protocol import (
    RESULT_BYTES_LIMIT,
    CancelQuery,
    Checkpoint,
    CheckpointDone,
    Copy,
    CopyMade,
    Outcome,
    Prune,
    Pruned,
    Query,
    QueryBounds,
    QueryFailed,
    QueryProgress,
    QueryResult,
    RecorderStatistics,
    Statistics,
    Store,
    Stored,
)
from actors.history.publication import SHORTEST_INTERVAL
from actors.history.publishing import Publisher
from actors.history.reckoning import TrustedClock, clock_of
from actors.history.retention import DAY, Retention, check_retention
from actors.history.runner import QueryRunner
from actors.history.sql import DAMAGED
from actors.history.store import HistoryStore, StoreCounts
from actors.history.tending import (
    SUSPICION_INTERVAL,
    Publish,
    Reopen,
    Tend,
    replace_if_damaged,
    take_turn,
    tend_published,
)
from actors.messages import on

_log = logging.getLogger(__name__)

T = TypeVar("T")

STUCK_LIMIT = 2
"""Queries that cannot be interrupted which the recorder lives with."""

TEND_INTERVAL = 30.0
"""Seconds between two looks at the log, the queries and the retention."""

REOPEN_INTERVAL = 1.0
"""Seconds between two tries to open a file that could not be opened."""

PRUNE_INTERVAL = 3_600.0
"""Seconds between two prunings."""

PUBLISH_INTERVAL = 1.0
"""Seconds between two publications, unless configured."""

BUSY_WAL_BYTES = 64 * MEBIBYTE
"""Size of the log from which it is moved into the file although batches keep coming."""


class StuckQueriesError(HistoryError, RuntimeError):
    """More queries than the recorder lives with cannot be interrupted; only a new process is rid of them."""


class Recorder(Actor):
    """Owns the history file: stores batches, answers queries, forgets what is old by a clock that it trusts.

    Args:
        path: The history file; made if there is none, mended if it is damaged.
        events_age: Seconds that events are kept.
        metrics_age: Seconds that metrics are kept.
        max_bytes: Bytes of the file above which the oldest rows go, 16 MiB or more; 0: no such limit.
        memory_bytes: Most memory of DuckDB.
        wal_bytes: Size of the write-ahead log at which a commit moves it into the file.
        query_threads: Queries that run at once.
        publish_every: Seconds between two publications of files for other tools, 0.5 or more.
        query_timeout: Seconds that a query may run, whatever it asks for.
        query_rows: Rows that a query may return, whatever it asks for.
        query_bytes: Bytes of msgpack that a query may return, whatever it asks for; `RESULT_BYTES_LIMIT` at most.

    Raises:
        ValueError: An age, the budget or the interval cannot be carried out.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(capacity=1_000, full="reject")
    dispatcher: ClassVar[str] = "thread"
    reentrant: ClassVar[bool] = True

    def __init__(
        self,
        path: str,
        events_age: float = 90 * DAY,
        metrics_age: float = 14 * DAY,
        max_bytes: int = 0,
        memory_bytes: int = 512 * MEBIBYTE,
        wal_bytes: int = WAL_BYTES,
        query_threads: int = 2,
        publish_every: float = PUBLISH_INTERVAL,
        query_timeout: float = 3_600.0,
        query_rows: int = 1_000_000,
        query_bytes: int = RESULT_BYTES_LIMIT,
    ) -> None:
        super().__init__()
        if publish_every < SHORTEST_INTERVAL:
            raise ValueError(f"publish_every is {SHORTEST_INTERVAL} s or more, got {publish_every:g}")
        self._path = Path(path)
        self._publish_every = publish_every
        self._publishing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-publisher")
        self._publisher = Publisher(folder_of(self._path), self._on_writer, now=time.time)
        self._is_publishing = False
        self._retention = check_retention(Retention(events_age, metrics_age, max_bytes))
        self._settings = FileSettings(
            memory_bytes=memory_bytes, query_memory_bytes=memory_bytes // 2, wal_bytes=wal_bytes
        )
        self._query_threads = query_threads
        self._bounds = QueryBounds(query_timeout, query_rows, query_bytes)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-writer")
        self._runner = QueryRunner(self._reading, self._settings, threads=query_threads)
        self._store: HistoryStore | None = None
        self._clock: TrustedClock | None = None  # from when the file is first open
        self._problem = "the history file is not open yet"
        self._reopens = False  # whether a `Reopen` is on its way
        self._batches_tended = 0
        self._prune_at = 0.0
        self._suspect_at = 0.0

    def on_start(self) -> None:
        """Open the file; where it cannot be opened now, start all the same and try again later."""
        self._writer.submit(self._open).result()
        self._reopen_later()
        self._prune_at = time.monotonic() + TEND_INTERVAL
        self.every(TEND_INTERVAL, Tend())
        self.every(self._publish_every, Publish())

    async def on_stop(self) -> None:  # type: ignore[override] # pykka's hook is plain, the kernel takes both
        """Close the file; its log is moved into it."""
        await asyncio.to_thread(self._close)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, so that the next instance can open it."""
        self._close()

    def state_view(self) -> dict[str, object]:
        """Return what `describe --state` shows."""
        statistics = self._statistics()
        return {name: getattr(statistics, name) for name in statistics.__struct_fields__}

    @on(Store)
    async def store(self, batch: Store) -> Stored:
        """Store a batch, all or none; what is answered with `stored` survives kill -9."""
        stored = await self._write(lambda store: store.store(batch))
        if stored is None:
            why = self._problem
            return Stored(batch.source, batch.batch, Outcome.REFUSED, why=why, retry_after=REOPEN_INTERVAL)
        return stored

    @on(Query)
    async def query(self, query: Query) -> QueryResult | QueryFailed:
        """Run one reading statement within its limits."""
        answer = await asyncio.wrap_future(self._runner.submit(self._bounds.bound(query)))
        if isinstance(answer, QueryFailed) and answer.hint == DAMAGED:
            await self._suspect()
        return answer

    @on(CancelQuery)
    async def cancel_query(self, wanted: CancelQuery) -> bool:
        """Interrupt a query, for who asked it."""
        return self._runner.cut_short(wanted.key)

    @on(QueryProgress)
    async def query_progress(self, wanted: QueryProgress) -> float:
        """Tell how far a query is."""
        return self._runner.progress(wanted.key)

    @on(Checkpoint)
    async def checkpoint(self, _: Checkpoint) -> CheckpointDone:
        """Move the write-ahead log into the file."""
        began = time.perf_counter()
        why = await self._write(lambda store: store.checkpoint())
        if why is None:
            why = self._problem
        return CheckpointDone(not why, time.perf_counter() - began, why)

    @on(Prune)
    async def prune(self, wanted: Prune) -> Pruned:
        """Delete what is too old, or too much."""
        retention = self._retention.but(wanted.events_age, wanted.metrics_age, wanted.max_bytes)
        try:
            check_retention(retention)
        except ValueError as error:
            return Pruned({}, 0, 0, str(error))
        return await self._prune(retention, time.time(), is_dry_run=wanted.is_dry_run)

    @on(Copy)
    async def copy(self, wanted: Copy) -> CopyMade:
        """Lay a copy of all that is stored beside the published files; storing and publishing go on."""
        if self._store is None:
            return CopyMade("", why=self._problem)
        return await asyncio.to_thread(make_copy, self._store, self._publishing, wanted.name)

    @on(Statistics)
    async def statistics(self, _: Statistics) -> RecorderStatistics:
        """Tell how the recorder is."""
        return self._statistics()

    @on(Publish)
    async def publish(self, _: Publish) -> None:
        """Publish what was stored since the last time; a turn that takes long lets those that follow fall out."""
        if self._is_publishing:
            return
        self._is_publishing = True
        try:
            await asyncio.wrap_future(self._publishing.submit(take_turn, self._publisher, self._on_writer))
            if self._publisher.is_damaged:
                await self._suspect()
        finally:
            self._is_publishing = False

    @on(Reopen)
    async def reopen(self, _: Reopen) -> None:
        """Try again to open the file."""
        self._reopens = False
        if self._store is None:
            await asyncio.wrap_future(self._writer.submit(self._open))
        self._reopen_later()

    @on(Tend)
    async def tend(self, _: Tend) -> None:
        """Look after the file: checkpoint when it is quiet, prune when it is time, end when queries are stuck.

        Raises:
            StuckQueriesError: Too many queries cannot be interrupted.
        """
        stuck = self._runner.statistics().stuck
        if stuck > STUCK_LIMIT:
            raise StuckQueriesError(f"{stuck} queries do not let themselves be interrupted")
        if self._store is None:
            return
        batches, self._batches_tended = self._batches_tended, self._store.counts.batches
        wal_bytes = size_of(wal_of(self._path))
        if wal_bytes and (batches == self._batches_tended or wal_bytes > BUSY_WAL_BYTES):
            why = await self._write(lambda store: store.checkpoint())
            if why:
                _log.warning("history was not checkpointed: %s", why)
        await asyncio.wrap_future(self._publishing.submit(tend_published, self._publisher))
        trusted, now = self._clock.look() if self._clock is not None else 0.0, time.monotonic()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_INTERVAL
            pruned = await self._prune(self._retention, trusted)
            if pruned.why:
                _log.warning("history was not pruned whole: %s", pruned.why)

    async def _suspect(self) -> None:
        """Something could not be read: see whether the file is damaged, and replace it then."""
        now = time.monotonic()
        if now >= self._suspect_at:
            self._suspect_at = now + SUSPICION_INTERVAL
            await asyncio.wrap_future(self._publishing.submit(replace_if_damaged, self._publisher, self._on_writer))
            self._reopen_later()

    async def _prune(self, retention: Retention, now: float, *, is_dry_run: bool = False) -> Pruned:
        """On the publisher's thread, which alone touches sealed files and rings."""
        work = partial(forget, self._publisher, self._on_writer, retention, now, is_dry_run=is_dry_run)
        pruned = await asyncio.wrap_future(self._publishing.submit(work))
        return pruned if pruned is not None else Pruned({}, 0, 0, self._problem)

    async def _write(self, work: Callable[[HistoryStore], T]) -> T | None:
        """Run `work` on the thread that owns the file; None where there is no file, and `_problem` says why."""
        done = await asyncio.wrap_future(self._writer.submit(self._try, work))
        self._reopen_later()
        return done

    def _reopen_later(self) -> None:
        if self._store is None and not self._reopens:
            self._reopens = True
            self.after(REOPEN_INTERVAL, Reopen())

    def _on_writer(self, work: Callable[[HistoryStore], T]) -> T | None:
        """On the publisher's thread: run `work` on the thread that owns the file and wait for it."""
        return self._writer.submit(self._try, work).result()

    def _try(self, work: Callable[[HistoryStore], T]) -> T | None:
        """On the writer's thread: run `work`, let the file go where it had to be opened again and could not be."""
        store = self._store
        if store is None:
            return None
        try:
            return work(store)
        except HistoryError as error:
            self._set_problem(error)
            self._store = None
            return None

    def _open(self) -> None:
        """On the writer's thread: open the file, or note why it cannot be."""
        try:
            self._store = HistoryStore(self._path, self._settings, now=time.time)
            self._clock = self._clock or clock_of(self._store)
        except (HistoryError, duckdb.Error, OSError) as error:
            self._set_problem(error)
        else:
            self._problem = ""

    def _set_problem(self, error: Exception) -> None:
        if self._problem != str(error):
            self._problem = str(error)
            _log.error("history cannot be stored: %s", error)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one query; any thread.

        Raises:
            HistoryError: There is no open file.
        """
        store = self._store
        if store is None:
            raise HistoryError(self._problem)
        with store.reading() as connection:
            yield connection

    def _close(self) -> None:
        if not self._runner.close(_CLOSE_TIMEOUT):
            _log.error("queries still run in the recorder's process, which is about to end")
        self._publishing.submit(self._publisher.turn, is_last=True).result()
        self._publishing.shutdown()
        if self._store is not None:
            self._writer.submit(self._store.close).result()
        self._writer.shutdown()

    def _statistics(self) -> RecorderStatistics:
        store = self._store
        counts = store.counts if store is not None else StoreCounts()
        queries = self._runner.statistics()
        return RecorderStatistics(
            path=str(self._path),
            schema_version=store.schema_version if store is not None else 0,
            batches=counts.batches,
            rows=counts.rows,
            duplicates=counts.duplicates,
            refused=counts.refused,
            rejected=counts.rejected,
            queries=queries.answered,
            failed_queries=queries.failed,
            running_queries=queries.running + queries.stuck,
            file_bytes=size_of(self._path),
            wal_bytes=size_of(wal_of(self._path)),
            last_stored_at=counts.last_stored_at,
            store_seconds=counts.seconds,
            problem=store.problem if store is not None else self._problem,
            published_at=self._publisher.published_at,
            publish_problem=self._publisher.problem,
        )


_CLOSE_TIMEOUT = 2.0
