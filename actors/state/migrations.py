"""Whose tables are in the file and in which version: each owner has a numbered list of steps of its own.

    JOBS = Migrations("jobs", ("CREATE TABLE jobs (...)", "ALTER TABLE jobs ADD COLUMN ..."))

Step n brings the owner's tables from version n - 1 to n, by SQL or, where that cannot say it, by a function of the
connection. A step that was ever released is never changed; a change of the tables is a further step. The table
`migrations` in the file has the version of each owner.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from msgspec import Struct

FORMAT: Final = 2
"""Version of the file as a whole, in its `user_version`: 1 had the jobs alone, 2 has the table `migrations`."""


Step = str | Callable[[sqlite3.Connection], None]


class Migrations(Struct, frozen=True):
    """The steps of one owner.

    Attributes:
        owner: A word, unique in the program; its tables' names begin with it.
        steps: SQL scripts and functions, without transactions of their own, first to last.
    """

    owner: str
    steps: tuple[Step, ...]


class NewerFileError(Exception):
    """The file was written by a newer program."""


def begin(connection: sqlite3.Connection) -> None:
    """Bring the file as a whole to `FORMAT`; nothing where it is.

    Raises:
        NewerFileError: It is of a later one.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise NewerFileError(f"is of version {version}, this program knows up to {FORMAT}")
    if version < FORMAT:
        known = "INSERT INTO migrations VALUES ('jobs', 1);" if version == 1 else ""
        connection.executescript(
            "BEGIN IMMEDIATE; CREATE TABLE migrations (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;"
            f"{known} PRAGMA user_version = {FORMAT}; COMMIT"
        )


def bring_up(connection: sqlite3.Connection, owner: Migrations) -> int:
    """Carry out the steps of `owner` that the file has not seen, each in a transaction; return how many.

    Raises:
        NewerFileError: The owner's tables are of a later version than the last step.
    """
    found = connection.execute("SELECT version FROM migrations WHERE owner = ?", (owner.owner,)).fetchone()
    version = found[0] if found is not None else 0
    if version > len(owner.steps):
        raise NewerFileError(f"has {owner.owner} of version {version}, this program knows up to {len(owner.steps)}")
    for number, step in enumerate(owner.steps[version:], start=version + 1):
        try:
            if isinstance(step, str):
                connection.executescript(f"BEGIN IMMEDIATE; {step}")
            else:
                connection.execute("BEGIN IMMEDIATE")
                step(connection)
            connection.execute("INSERT OR REPLACE INTO migrations VALUES (?, ?)", (owner.owner, number))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return len(owner.steps) - version
