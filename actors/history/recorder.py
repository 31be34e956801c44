"""The recorder: the actor that owns the history file. In the product it runs in a process of its own.

    Store  ──► writer thread (one): the file's only writer, one commit a batch ──► Stored
    Query  ──► query threads (two): cursors of the same file, read only       ──► QueryResult | QueryFailed

The actor itself only passes work on and waits, so a heavy query never holds up storing, and a checkpoint never holds up
a query. An error of DuckDB's is answered, not raised: a full disk refuses a batch, a bad statement gets `QueryFailed`.
What ends the recorder, for its supervisor to start another: the file cannot be opened (again), or more queries than
`STUCK_LIMIT` run that nothing can interrupt. Unacknowledged batches are sent again to the next instance.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, TypeVar

from actors.core.actor import Actor
from actors.core.mailbox import MailboxSpec
from actors.history.errors import HistoryError, HistoryLockedError
from actors.history.files import MEBIBYTE, FileSettings, size_of, wal_of
from actors.history.protocol import (
    Checkpoint,
    CheckpointDone,
    Prune,
    Pruned,
    Query,
    QueryFailed,
    QueryResult,
    RecorderStatistics,
    Statistics,
    Store,
    Stored,
)
from actors.history.pruning import prune
from actors.history.retention import DAY, Retention, check_retention
from actors.history.runner import QueryRunner
from actors.history.store import HistoryStore
from actors.messages import Message, on

_log = logging.getLogger(__name__)

T = TypeVar("T")

STUCK_LIMIT = 2
"""Queries that cannot be interrupted which the recorder lives with; one more and it ends."""

TEND_INTERVAL = 30.0
"""Seconds between two looks at the log, the queries and the retention."""

PRUNE_INTERVAL = 3_600.0
"""Seconds between two prunings."""

BUSY_WAL_BYTES = 64 * MEBIBYTE
"""Size of the log from which it is moved into the file although batches keep coming."""


class StuckQueriesError(HistoryError, RuntimeError):
    """More queries than the recorder lives with cannot be interrupted; only a new process is rid of them."""


class Tend(Message[None], frozen=True):
    """The recorder's own reminder to look after its file."""


class Recorder(Actor):
    """Owns the history file: stores batches, answers queries, forgets what is old.

    Args:
        path: The history file; made if there is none, mended if it is damaged.
        events_age: Seconds that events are kept.
        metrics_age: Seconds that metrics are kept.
        max_bytes: Bytes of the file above which the oldest rows go, 16 MiB or more; 0: no such limit.
        memory_bytes: Most memory of DuckDB.
        wal_bytes: Size of the write-ahead log at which a commit moves it into the file.
        lock_timeout: Seconds to wait at the start for another process (`actorctl sql` without a node) to let go.
        query_threads: Queries that run at once.

    Raises:
        ValueError: An age or the budget cannot be carried out.
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
        wal_bytes: int = 256 * MEBIBYTE,
        lock_timeout: float = 3.0,
        query_threads: int = 2,
    ) -> None:
        super().__init__()
        self._path = Path(path)
        self._retention = check_retention(Retention(events_age, metrics_age, max_bytes))
        self._settings = FileSettings(
            memory_bytes=memory_bytes, query_memory_bytes=memory_bytes // 2, wal_bytes=wal_bytes
        )
        self._lock_timeout = lock_timeout
        self._query_threads = query_threads
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-writer")
        self._store: HistoryStore | None = None
        self._runner: QueryRunner | None = None
        self._batches_tended = 0
        self._prune_at = 0.0

    def on_start(self) -> None:
        """Open the file.

        Raises:
            HistoryError: It cannot be opened; a file that is damaged is mended instead.
        """
        try:
            self._store = self._writer.submit(self._open).result()
        except BaseException:
            self._writer.shutdown()
            raise
        self._runner = QueryRunner(self._store.reading, self._settings, threads=self._query_threads)
        self._prune_at = time.monotonic() + TEND_INTERVAL
        self.every(TEND_INTERVAL, Tend())

    async def on_stop(self) -> None:  # type: ignore[override] # pykka's hook is plain, the kernel takes both
        """Close the file; its log is moved into it."""
        await asyncio.to_thread(self._close)

    def on_failure(self, *_: object) -> None:
        """Close the file, so that the next instance can open it."""
        self._close()

    def state_view(self) -> dict[str, object]:
        """Return what `describe --state` shows."""
        statistics = self._statistics()
        return {name: getattr(statistics, name) for name in statistics.__struct_fields__}

    @on(Store)
    async def store(self, batch: Store) -> Stored:
        """Store a batch, all or none; what is answered with `stored` survives kill -9."""
        return await self._write(lambda store: store.store(batch))

    @on(Query)
    async def query(self, query: Query) -> QueryResult | QueryFailed:
        """Run one reading statement within its limits."""
        assert self._runner is not None  # made in on_start
        return await asyncio.wrap_future(self._runner.submit(query))

    @on(Checkpoint)
    async def checkpoint(self, _: Checkpoint) -> CheckpointDone:
        """Move the write-ahead log into the file."""
        began = time.perf_counter()
        why = await self._write(lambda store: store.checkpoint())
        return CheckpointDone(not why, time.perf_counter() - began, why)

    @on(Prune)
    async def prune(self, wanted: Prune) -> Pruned:
        """Delete what is too old, or too much."""
        kept = self._retention
        retention = Retention(
            kept.events_age if wanted.events_age is None else wanted.events_age,
            kept.metrics_age if wanted.metrics_age is None else wanted.metrics_age,
            kept.max_bytes,
        )
        try:
            check_retention(retention)
        except ValueError as error:
            return Pruned({}, 0, 0, str(error))
        return await self._write(lambda store: prune(store, retention, time.time()))

    @on(Statistics)
    async def statistics(self, _: Statistics) -> RecorderStatistics:
        """Tell how the recorder is."""
        return self._statistics()

    @on(Tend)
    async def tend(self, _: Tend) -> None:
        """Look after the file: checkpoint when it is quiet, prune when it is time, end when queries are stuck.

        Raises:
            StuckQueriesError: Too many queries cannot be interrupted.
        """
        assert self._store is not None  # made in on_start, as the next
        assert self._runner is not None
        stuck = self._runner.statistics().stuck
        if stuck > STUCK_LIMIT:
            raise StuckQueriesError(f"{stuck} queries do not let themselves be interrupted")
        batches, self._batches_tended = self._batches_tended, self._store.counts.batches
        wal_bytes = size_of(wal_of(self._path))
        if wal_bytes and (batches == self._batches_tended or wal_bytes > BUSY_WAL_BYTES):
            why = await self._write(lambda store: store.checkpoint())
            if why:
                _log.warning("history was not checkpointed: %s", why)
        now = time.monotonic()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_INTERVAL
            pruned = await self._write(lambda store: prune(store, self._retention, time.time()))
            if pruned.why:
                _log.warning("history was not pruned whole: %s", pruned.why)

    async def _write(self, work: Callable[[HistoryStore], T]) -> T:
        """Run `work` on the thread that owns the file."""
        store = self._store
        assert store is not None  # made in on_start
        return await asyncio.wrap_future(self._writer.submit(work, store))

    def _open(self) -> HistoryStore:
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                return HistoryStore(self._path, self._settings, now=time.time)
            except HistoryLockedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LOCK_INTERVAL)

    def _close(self) -> None:
        if self._runner is not None and not self._runner.close(_CLOSE_TIMEOUT):
            _log.error("queries still run in the recorder's process, which is about to end")
        if self._store is not None:
            self._writer.submit(self._store.close).result()
        self._writer.shutdown()

    def _statistics(self) -> RecorderStatistics:
        store, runner = self._store, self._runner
        assert store is not None  # made in on_start, as the next
        assert runner is not None
        counts = store.counts
        queries = runner.statistics()
        return RecorderStatistics(
            path=str(self._path),
            schema_version=store.schema_version,
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
            problem=store.problem,
        )


_LOCK_INTERVAL = 0.1
_CLOSE_TIMEOUT = 2.0
