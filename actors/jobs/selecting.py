"""Which jobs are meant: by id, queue, state, kind, batch, or by a condition in SQL.

A condition is what may stand after WHERE over the view `jobs_view`. It is evaluated where nothing can be written, reads
that view alone, and is cut off after a bounded time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.jobs.specs import STATES

CAP: Final = 10_000
"""Most jobs of one selection."""
SECONDS: Final = 5.0
"""Longest time of a condition."""
VALUE_BYTES: Final = 256 << 20
"""Largest text that a condition may make, and largest row that it may read."""

_ALLOWED: Final = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_TABLES: Final = {"jobs_all", "jobs_view", "jobs_lines"}
_FORBIDDEN: Final = {"load_extension", "readfile", "writefile", "randomblob", "zeroblob", "printf", "format"}
"""Functions that reach outside, or that work for a minute on a long text and hear nothing meanwhile."""


class SelectionError(ActorRuntimeError, ValueError):
    """A selection means nothing: an id, a state or a condition is malformed."""


class Selection(Struct, frozen=True, kw_only=True):
    """Jobs that meet all of these; empty ones ask for nothing.

    Attributes:
        ids: Ids: `job-7`.
        states: States.
        where: A condition in SQL over the columns of `jobs_view`.
        newest: Whether the newest come first, and the oldest are left out; else the other way round.
        limit: At most so many.
    """

    ids: tuple[str, ...] = ()
    queue: str = ""
    states: tuple[str, ...] = ()
    kind: str = ""
    batch: str = ""
    where: str = ""
    newest: bool = False
    limit: int = 1_000


def number_of(id: str) -> int:
    """Return the number in an id.

    Raises:
        SelectionError: It is none.
    """
    number = id.removeprefix("job-")
    if not number.isascii() or not number.isdecimal() or len(number) > 18:
        raise SelectionError(f"an id is job-N, as `actorctl jobs list` shows it; got {id[:100]!r}")
    return int(number)


def check(selection: Selection) -> None:
    """See that the selection means something.

    Raises:
        SelectionError: It does not.
    """
    for id in selection.ids:
        number_of(id)
    for state in selection.states:
        if state not in STATES:
            raise SelectionError(f"there is no state {state!r}; there are {', '.join(STATES)}")
    if not 1 <= selection.limit <= CAP:
        raise SelectionError(f"a selection has 1 to {CAP} jobs, got {selection.limit}")
    if len(selection.where) > 10_000:
        raise SelectionError("a condition has at most 10,000 characters")
    try:
        f"{selection.where}{selection.queue}{selection.kind}{selection.batch}".encode()
    except UnicodeEncodeError:
        raise SelectionError("a selection holds a lone surrogate, which is no text") from None


def numbers(connection: sqlite3.Connection, selection: Selection) -> list[int]:
    """Return the numbers of the jobs meant, on a connection for reading that nobody else uses.

    Raises:
        SelectionError: The condition is no SQL, wants more than to read jobs, or takes too long.
    """
    check(selection)
    tests: list[str] = []
    values: list[Any] = []
    for column, value in (("queue", selection.queue), ("kind", selection.kind), ("batch", selection.batch)):
        if value:
            tests.append(f"{column} = ?")
            values.append(value)
    if selection.states:
        tests.append(f"state IN ({', '.join('?' * len(selection.states))})")
        values += selection.states
    if selection.ids:
        tests.append("number IN (SELECT value FROM json_each(?))")
        values.append("[" + ",".join(str(number_of(id)) for id in selection.ids) + "]")
    order = "DESC" if selection.newest else "ASC"
    if not selection.where:
        where = " AND ".join(tests) or "1"
        sql = f"SELECT number FROM jobs_all WHERE {where} ORDER BY number {order} LIMIT ?"
        return [row[0] for row in connection.execute(sql, (*values, selection.limit))]
    where = " AND ".join([*tests, f"({selection.where}\n)"])  # the line break ends a comment at its end
    sql = f"SELECT number FROM jobs_view WHERE {where} ORDER BY number {order} LIMIT ?"
    connection.set_authorizer(_authorizer(connection))
    longest = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    bell = threading.Timer(SECONDS, connection.interrupt)
    bell.daemon = True
    bell.start()
    try:
        return [row[0] for row in connection.execute(sql, (*values, selection.limit))]
    except (sqlite3.Error, sqlite3.Warning) as error:
        said = f"took more than {SECONDS:g} s" if "interrupted" in str(error) else str(error)
        raise SelectionError(f"the condition {selection.where[:200]!r}: {said}") from None
    finally:
        bell.cancel()
        bell.join()  # an interrupt that comes now must not end what is read next
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        connection.set_authorizer(None)


def _authorizer(connection: sqlite3.Connection) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    """Return what lets a condition read jobs, and names of its own, and nothing else of the file."""
    others = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")} - _TABLES

    def authorize(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
        name = first or ""
        if action not in _ALLOWED:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ and (name in others or name.lower().startswith(("sqlite_", "pragma_"))):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    return authorize
