"""The history file and its one writer: batches in, whole or not at all, each once.

Belongs to one thread, except `reading()`, which any thread may use. A batch is one transaction that also holds its row
of `batches`; the answer `stored` is given after the commit, which DuckDB makes durable (write-ahead log and fdatasync)
before it returns. A full disk refuses a batch and keeps the file usable; an error that leaves DuckDB's database object
unusable reopens the file.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import duckdb
import msgspec
from msgspec import Struct

from actors.history.appending import Appenders, Reject
from actors.history.catalog import SEARCH_PATH, folder_of
from actors.history.errors import HistoryUnavailableError
from actors.history.files import (
    DEFAULT_SETTINGS,
    FileSettings,
    is_damage,
    is_full,
    is_invalidated,
    lock_down,
    mend,
    open_file,
    size_of,
    wal_of,
)
from actors.history.joining import join_published
from actors.history.ledger import Range
from actors.history.migrations import migrate, version_of
from actors.history.notes import merge, read_ledger
from actors.history.protocol import Notice, Outcome, Store, Stored, decode_tables
from actors.history.publication import Manifest
from actors.history.publishing import BATCHES_MERGED
from actors.history.rebuilding import let_go
from actors.history.schema import SEGMENT
from actors.history.source import Fresh

_log = logging.getLogger(__name__)

RETRY_AFTER = 5.0
"""Seconds a source waits before it sends a refused batch again."""


class StoreCounts(Struct):
    """What a store did since it was opened; its owner reads it."""

    batches: int = 0
    rows: int = 0
    duplicates: int = 0
    refused: int = 0
    rejected: int = 0
    last_stored_at: float = 0.0
    seconds: float = 0.0


class HistoryStore:
    """The open history file.

    Args:
        path: The file; made if there is none.
        settings: Memory and log limits.
        now: Wall clock, seconds since the epoch.

    Raises:
        HistoryLockedError: Another process holds the file.
        HistoryUnavailableError: It cannot be opened.
        HistoryVersionError: Its schema is newer than this program's.
    """

    def __init__(self, path: Path, settings: FileSettings = DEFAULT_SETTINGS, *, now: Callable[[], float]) -> None:
        self.path = path
        self.folder = folder_of(path)
        self.settings = settings
        self.manifest = Manifest()
        self.segment = 0
        self.counts = StoreCounts()
        self.problem = ""
        self._now = now
        self._notices: list[Notice] = []
        self._readers: set[duckdb.DuckDBPyConnection] = set()
        self._readers_changed = threading.Condition()
        self._reopening = False
        self._greeted: set[str] = set()
        self._open()

    def _open(self) -> None:
        opened = open_file(self.path, self.settings)
        connection = opened.connection
        try:
            migrate(connection, str(self.path))
            self.schema_version = version_of(connection)
            notices, fresh = self._join_published(connection)
            lock_down(connection, self.folder)
            self._ledger = read_ledger(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        found = os.stat(self.path)
        self._identity = (found.st_dev, found.st_ino)
        self._appenders = Appenders(connection)
        self._appenders.fresh = fresh
        self._greeted.clear()
        self._notices.extend((*opened.notices, *notices))

    def _join_published(self, connection: duckdb.DuckDBPyConnection) -> tuple[tuple[Notice, ...], dict[str, int]]:
        """Bring the file and what is published together; return what is to be told and what is to be published."""
        joined = join_published(connection, self.folder)
        self.manifest = joined.manifest
        self.segment = max(joined.segment, self.segment)
        self._has_views = joined.has_views
        return joined.notices, joined.fresh

    def turn_segment(self) -> Fresh | None:
        """End the segment that rows are stored in; None where there are none."""
        if not self._appenders.fresh:
            return None
        fresh = Fresh(self.segment, self._appenders.fresh)
        self._appenders.fresh = {}
        self.segment += 1
        return fresh

    def seal(self, sealed: int) -> None:
        """Let go of the rows of segments up to `sealed`, which are in sealed files.

        Raises:
            HistoryError: The file had to be opened again and could not be.
        """
        try:
            let_go(self._connection, sealed)
        except duckdb.Error as error:
            self._recover(error)

    def close(self) -> None:
        """Close the file; its log is moved into it where the disk has room."""
        self._appenders.close()
        self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own to the open file, for one query; any thread. Waits while the file is opened again."""
        with self._readers_changed:
            self._readers_changed.wait_for(lambda: not self._reopening)
            connection = self._connection.cursor()
            self._readers.add(connection)
        try:
            if self._has_views:
                connection.execute(f"SET search_path = '{SEARCH_PATH}'")
            yield connection
        finally:
            connection.close()
            with self._readers_changed:
                self._readers.discard(connection)
                self._readers_changed.notify_all()

    def take_notices(self) -> tuple[Notice, ...]:
        """Return what is to be reported since the last time, as one notice: what happened at once is told as one."""
        notices, self._notices = self._notices, []
        if not notices:
            return ()
        return (Notice(sum(notice.rows for notice in notices), "; ".join(notice.why for notice in notices)),)

    def note(self, notice: Notice) -> None:
        """Report `notice` with the next answer; on the thread that stores."""
        self._notices.append(notice)

    def is_in_place(self) -> bool:
        """Whether the open file is still the one at its path. Any thread."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # nobody can know: the disk is away for a moment
        return (found.st_dev, found.st_ino) == self._identity

    def reopen(self, why: str) -> None:
        """Open the file at the path again, which is another one now; what was published comes back.

        Raises:
            HistoryError: It could not be opened.
        """
        self._notices.append(Notice(0, why))
        self._reopen(why)

    def condemn(self, error: duckdb.Error) -> None:
        """Move the file aside, of which `error` says that it is damaged, and begin a new one.

        Raises:
            HistoryError: It could not be moved or begun.
        """
        self._reopen(_first_line(error), error)

    def store(self, batch: Store) -> Stored:
        """Store `batch`, whole or not at all.

        Rows that a table cannot take go to `rejects` with the same commit. A batch that cannot be read at all is stored
        as one reject: sending it again would change nothing.

        Raises:
            HistoryError: The file had to be opened again and could not be.
        """
        began = perf_counter()
        self._greet(batch)
        if (batch.source, batch.batch) in self._ledger:
            self.counts.duplicates += 1
            return Stored(batch.source, batch.batch, Outcome.DUPLICATE, notices=self.take_notices())
        try:
            rejected, rows = self._commit(batch)
        except duckdb.Error as error:
            refusal = self._refused(batch, error)
            if refusal is not None:
                return refusal
            rejected, rows = 0, batch.count  # DuckDB committed, and failed at the checkpoint that followed
        else:
            self._ledger.add(batch.source, batch.batch)
            self.problem = ""
        counts = self.counts
        counts.batches += 1
        counts.rows += rows
        counts.rejected += rejected
        counts.last_stored_at = self._now()
        counts.seconds += perf_counter() - began
        return Stored(batch.source, batch.batch, Outcome.STORED, rejected, notices=self.take_notices())

    def checkpoint(self) -> str:
        """Move the write-ahead log into the file. Returns why it was not done, or "".

        Not tried where the disk has less room than twice the log: a disk that fills up during a checkpoint leaves
        DuckDB's database object unusable, and the file has to be opened again.

        Raises:
            HistoryError: The file had to be opened again and could not be.
        """
        wal_bytes = size_of(wal_of(self.path))
        free_bytes = shutil.disk_usage(self.path.parent).free
        if free_bytes < 2 * wal_bytes:
            return f"{free_bytes} bytes free, a checkpoint of {wal_bytes} bytes wants twice that"
        try:
            self._connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            self._recover(error)
            return _first_line(error)
        return ""

    def execute(self, statement: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of the recorder's own (retention) and return its rows.

        Raises:
            duckdb.Error: As DuckDB raised it; call `recover` with it.
        """
        return self._connection.execute(statement, parameters or []).fetchall()

    def recover(self, error: duckdb.Error) -> None:
        """Bring the file back to a usable state after `error` left a statement of the owner's.

        Raises:
            HistoryError: The file had to be opened again and could not be.
        """
        self._recover(error)

    def merge_batches(self, through: int) -> None:
        """Make one row of the notes of each unbroken run of batches in segments up to `through`, where they are many.

        Raises:
            HistoryError: The file had to be opened again and could not be.
        """
        try:
            ((count,),) = self.execute(f"SELECT count(*) FROM main.batches WHERE {SEGMENT.name} <= {through}")
            if count >= BATCHES_MERGED:
                self.merge_notes(f"{SEGMENT.name} <= {through}")
        except duckdb.Error as error:
            self._recover(error)

    def merge_notes(self, which: str) -> None:
        """Merge those rows of `batches` that the condition `which` names.

        Raises:
            duckdb.Error: They cannot be merged; call `recover` with it.
        """
        merge(self._connection, which)
        self._ledger = read_ledger(self._connection)

    def _greet(self, batch: Store) -> None:
        """Compare, once for each source, what it knows to be stored with what is."""
        if batch.source in self._greeted:
            return
        self._greeted.add(batch.source)
        missing = self._ledger.missing(batch.source, batch.acknowledged)
        if missing:
            said = ", ".join(_said(gap) for gap in missing[:10]) + (", …" if len(missing) > 10 else "")
            self._notices.append(Notice(0, f"{batch.source}: stored before and gone from the file: batches {said}"))

    def _commit(self, batch: Store) -> tuple[int, int]:
        """Store `batch` in one transaction; return how many rows were rejected and how many stored."""
        try:
            tables = decode_tables(batch.rows)
        except (msgspec.DecodeError, ValueError) as error:
            tables, rejects = [], [Reject("", f"unreadable batch of {batch.count} rows: {error}", "")]
        else:
            rejects = []
        self._connection.execute("BEGIN")
        stored = 0
        for table in tables:
            stored += self._appenders.append(table, self.segment, rejects)
        at = datetime.fromtimestamp(self._now(), UTC)
        if rejects:
            kept = [(at, batch.source, batch.batch, r.table, r.error, r.content, self.segment) for r in rejects]
            self._appenders.append_own("rejects", kept)
        note = (batch.source, batch.batch, batch.batch, stored, at, self.segment)
        self._appenders.append_own("batches", [note])
        self._connection.execute("COMMIT")
        return len(rejects), stored

    def _refused(self, batch: Store, error: duckdb.Error) -> Stored | None:
        """Recover from `error` and return the refusal of `batch`; None where the file has it all the same."""
        why = f"disk full: {_first_line(error)}" if is_full(error) else _first_line(error)
        if self.problem != why:
            self.problem = why
            _log.error("history refuses batches: %s", why)
        self._recover(error)
        self._ledger = read_ledger(self._connection)  # an error of COMMIT itself: the file knows best
        if (batch.source, batch.batch) in self._ledger:
            return None
        self.counts.refused += 1
        return Stored(
            batch.source,
            batch.batch,
            Outcome.REFUSED,
            why=why,
            retry_after=RETRY_AFTER,
            notices=self.take_notices(),
        )

    def _recover(self, error: duckdb.Error) -> None:
        self._appenders.clear()
        if not (is_invalidated(error) or is_damage(error)):
            try:
                self._connection.execute("ROLLBACK")
            except duckdb.TransactionException:
                return  # a failed commit has rolled back by itself
            except duckdb.Error as worse:
                error = worse
            else:
                return
        self._reopen(_first_line(error))

    def _reopen(self, why: str, condemned: duckdb.Error | None = None) -> None:
        _log.error("history file is opened again: %s", why)
        with self._readers_changed:
            self._reopening = True
            try:
                self._end_readers()
                self._appenders.close()
                self._connection.close()
                if condemned is not None:
                    self._notices.append(mend(self.path, condemned))
                self._open()
            finally:
                self._reopening = False
                self._readers_changed.notify_all()

    def _end_readers(self) -> None:
        """Interrupt every query until its connection is closed: DuckDB shares one database object among a process's
        connections to a file, so a single one left open would bring the unusable one back."""
        deadline = monotonic() + _READERS_TIMEOUT
        while self._readers:
            if monotonic() > deadline:
                raise HistoryUnavailableError(str(self.path), f"{len(self._readers)} queries do not let go of it")
            for connection in self._readers:
                with suppress(duckdb.ConnectionException):  # it is closed, and about to leave
                    connection.interrupt()
            self._readers_changed.wait(_INTERRUPT_AGAIN)


_READERS_TIMEOUT = 10.0
_INTERRUPT_AGAIN = 0.05


def _said(gap: Range) -> str:
    return str(gap[0]) if gap[0] == gap[1] else f"{gap[0]} to {gap[1]}"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
