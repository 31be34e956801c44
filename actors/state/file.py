"""The file of acknowledged state: what a write's future said is done is there after kill -9 and power loss.

    write(work) --> queue of the writer --> one transaction for all that wait --> COMMIT (fsync) --> the futures

One SQLite file, `state.db` in the runtime's home, in write-ahead mode with synchronous FULL; one thread writes it. Many
writers share a commit: the more wait, the cheaper each. Whose tables are in it is `migrations`'. Within a process all
who open a path share one file and one writer; the last to close it ends them.

A damaged file is moved aside whole (`state.db.damaged-1`) and a new one begun; a file of a newer program is refused.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from actors.errors import ActorRuntimeError
from actors.state.migrations import Migrations, NewerFileError, begin, bring_up

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
Done = Callable[[BaseException | None, Any], None]
Alone = Callable[[], tuple[str, tuple[Any, ...]] | None]
_Entry = tuple[Work, Done, Alone | None]

_BATCH: Final = 1_000


class StateError(ActorRuntimeError, OSError):
    """The file of state cannot be used, or something could not be written to it.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class StateFile:
    """One file and its writer; made by `open_state`. All methods may be called on any thread.

    Attributes:
        path: Where it is.
        damaged: Where a damaged file was moved to as this one was opened, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: Path | None = None
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._users = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._open()
        except NewerFileError as error:
            raise StateError(path, str(error)) from error
        except (sqlite3.Error, OSError) as error:
            raise StateError(path, str(error)) from error
        self._writer = threading.Thread(target=self._write_all, name="state-writer", daemon=True)
        self._writer.start()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Do `work` on the writer's thread, in a transaction; the future has its result once it is on disk.

        `work` must not end the transaction. Where another one in the same transaction fails, it is done once more, so
        it changes nothing but the file. The future fails with a `StateError` where it could not be written (a full
        disk), and with what `work` raised where that was no error of SQLite; then nothing of it was written.
        """
        future: Future[T] = Future()

        def settle(error: BaseException | None, result: T) -> None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.submit(work, settle)
        return future

    def submit(self, work: Work, done: Done, alone: Alone | None = None) -> None:
        """Like `write`, but call `done(error, result)`, on the writer's thread; it must be quick and never raise.

        Where `work` is all that waits, and `alone` returns the one statement (with its values) that does the same, that
        statement is the transaction: the interpreter is free for other threads until it is on disk, and asked for once.
        Its result is None.
        """
        with self._lock:
            if not self._closed:
                self._waiting.put((work, done, alone))
                return
        done(StateError(self.path, "the file is closed"), None)

    def read(self, query: Callable[[sqlite3.Connection], T], *, settled: bool = True) -> T:
        """Return what `query` finds on a connection of its own that cannot write; blocks.

        What was handed to `write` before is in it, unless it could not be written; with `settled=False` only what is
        on disk at this moment is, and nothing is waited for.

        Raises:
            StateError: The file cannot be read.
        """
        if settled:
            with contextlib.suppress(StateError):
                self.write(lambda _: None).result()  # its turn comes after theirs
        try:
            with contextlib.closing(self._connect()) as reader:
                reader.execute("PRAGMA query_only = 1")
                return query(reader)
        except sqlite3.Error as error:
            raise StateError(self.path, str(error)) from error

    def bring_up(self, owner: Migrations) -> None:
        """Bring the tables of `owner` to their last version; blocks.

        Raises:
            StateError: That failed, or the tables are of a newer program.
        """
        try:
            with contextlib.closing(self._connect()) as connection:
                bring_up(connection, owner)
        except (NewerFileError, sqlite3.Error) as error:
            raise StateError(self.path, str(error)) from error

    def close(self) -> None:
        """Take no further part in the file; the last user's call writes what waits and closes it."""
        with _lock:
            if self._users > 1:
                self._users -= 1
                return
            self._users = 0
            if _open_files.get(self.path) is self:
                del _open_files[self.path]
            with self._lock:
                if not self._closed:
                    self._closed = True
                    self._waiting.put(None)
            self._writer.join()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, unwritable, full: not damage
                raise
            self.damaged = self._move_aside()
            return self._prepare()

    def _prepare(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            self.path.chmod(0o600)  # here alone: on a disk that became read-only nothing else would be read
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the file is damaged")
            connection.execute("PRAGMA journal_mode = WAL")
            begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the disk there
        return connection

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        return aside

    def _write_all(self) -> None:
        """The writer's thread: whatever waits goes into one transaction."""
        waiting = self._waiting
        open_for_more = True
        while open_for_more:
            batch = [waiting.get()]
            while len(batch) < _BATCH and not waiting.empty():
                batch.append(waiting.get())
            open_for_more = None not in batch
            self._settle([entry for entry in batch if entry is not None])
        self._connection.close()

    def _settle(self, entries: list[_Entry], *, is_again: bool = False) -> None:
        """Write `entries` together; where that fails, each by itself, so that one cannot cost the others theirs."""
        if len(entries) == 1 and self._is_written_alone(entries[0]):
            return
        results: list[Any] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work, _, _ in entries:
                results.append(work(self._connection))
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
                self._connection.execute("ROLLBACK")
            if len(entries) > 1:
                for entry in entries:
                    self._settle([entry])
                return
            if not is_again and self._is_log_emptied(error):
                self._settle(entries, is_again=True)
                return
            reported = StateError(self.path, f"not written: {error}") if isinstance(error, sqlite3.Error) else error
            for _, done, _ in entries:
                done(reported, None)
            return
        for (_, done, _), result in zip(entries, results, strict=True):
            done(None, result)

    def _is_log_emptied(self, error: BaseException) -> bool:
        """On a full disk, bring all of the log into the file; return whether that was possible.

        The room of the log is used again then: what changes rows, or fits where others were, goes on.
        """
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL:
            return False
        try:
            _, pages, brought_in = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:  # the file would have to grow
            return False
        return bool(pages == brought_in)

    def _is_written_alone(self, entry: _Entry) -> bool:
        """Write `entry` by one statement that commits itself; return whether that was possible, and done."""
        _, done, alone = entry
        if alone is None:
            return False
        try:
            statement = alone()
        except BaseException as error:
            done(error, None)
            return True
        if statement is None:
            return False
        try:
            self._connection.execute(*statement)
        except sqlite3.Error:  # `work`, in a transaction, meets it again and reports it
            return False
        done(None, None)
        return True


_lock = threading.Lock()
_open_files: dict[Path, StateFile] = {}


@contextlib.contextmanager
def shared_file(path: Path) -> Iterator[StateFile | None]:
    """Hand out the file at `path` while this lasts where the process has it open already, else None."""
    path = path.absolute()
    with _lock:
        found = _open_files.get(path)
        if found is not None:
            found._users += 1
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def open_state(path: Path, *owners: Migrations) -> StateFile:
    """Return the file at `path` with the tables of `owners` in their last version; blocks. `close` it when done.

    Raises:
        StateError: It cannot be opened, another process writes it, or a newer program made it.
    """
    path = path.absolute()
    with _lock:
        found = _open_files.get(path)
        if found is None:
            found = _open_files[path] = StateFile(path)
        found._users += 1
    try:
        for owner in owners:
            found.bring_up(owner)
    except BaseException:
        found.close()
        raise
    return found
