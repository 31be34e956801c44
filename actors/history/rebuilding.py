"""What a damaged or lost history file gets back from what was published: the rows that are not sealed yet.

Sealed files need no way back, the views read them where they are. The rings hold what was stored since, up to the last
publication; the notes of batches come along, so that what is sent again counts once. Looked at whenever the file is
opened: a log that was cut has lost rows as well, and a kill in the midst of it is gone on with the next time.
"""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb

from actors.history.catalog import SNAPSHOT, flowing, quoted, whole_file
from actors.history.protocol import Notice
from actors.history.publication import Manifest, Slot, ring_file
from actors.history.schema import BY_NAME, SEGMENT

_log = logging.getLogger(__name__)


def rebuild(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> tuple[Notice, ...]:
    """Bring what is published and not in the file back into it. Returns what is to be told, nothing where none lacked.

    A file of the rings that cannot be read is left out and told of. Rows of sealed segments are let go.

    Raises:
        duckdb.Error: The file cannot be written.
    """
    back = 0
    notices: list[Notice] = []
    missing = lacking(connection, manifest)
    for table, slot, _ in missing:
        path = folder / ring_file(table, slot)
        try:
            back += _bring_back(connection, table, slot, path)
        except duckdb.IOException as error:
            said = str(error).partition("\n")[0]
            notices.append(
                Notice(slot.rows[table], f"{path.name} of {table} cannot be read, its rows are gone: {said}")
            )
    if missing:
        _bring_notes(connection, folder, manifest)
        notices.insert(0, Notice(0, f"{back} rows were brought back from what was published in {folder.name}"))
    if _sealed(connection) != manifest.sealed:
        let_go(connection, manifest.sealed)
    return tuple(notices)


def let_go(connection: duckdb.DuckDBPyConnection, sealed: int) -> None:
    """Delete the rows of the segments up to `sealed`, which are in sealed files, and say so in the same commit.

    Raises:
        duckdb.Error: They cannot be deleted; all of them are there.
    """
    connection.execute("BEGIN")
    try:
        connection.execute("UPDATE main.published SET sealed = ?", [sealed])
        for table in flowing():
            connection.execute(f"DELETE FROM main.{table.name} WHERE {SEGMENT.name} <= {sealed}")
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def lacking(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> list[tuple[str, Slot, int]]:
    """Return the tables and files of the rings with more rows than the file has of their segments, and how many more.

    Raises:
        duckdb.Error: The file cannot be read, or has not these tables yet.
    """
    found: list[tuple[str, Slot, int]] = []
    for table in {table for slot in manifest.slots for table in slot.rows} & BY_NAME.keys():
        counts = connection.execute(
            f"SELECT {SEGMENT.name}, count(*) FROM main.{table} WHERE {SEGMENT.name} > {manifest.sealed} GROUP BY ALL"
        ).fetchall()
        for slot in manifest.slots:
            there = sum(count for segment, count in counts if slot.first <= segment <= slot.last)
            if there < slot.rows.get(table, 0):
                found.append((table, slot, slot.rows[table] - there))
    return sorted(found, key=lambda entry: (entry[1].first, entry[0]))


def _sealed(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT sealed FROM main.published").fetchone()
    return int(row[0]) if row is not None else -1


def _bring_back(connection: duckdb.DuckDBPyConnection, table: str, slot: Slot, path: Path) -> int:
    between = f"{SEGMENT.name} BETWEEN {slot.first} AND {slot.last}"
    connection.execute("BEGIN")
    try:
        deleted = connection.execute(f"DELETE FROM main.{table} WHERE {between}").fetchone()
        stored = connection.execute(
            f"INSERT INTO main.{table} BY NAME SELECT * FROM read_parquet('{quoted(path)}') WHERE {between}"
        ).fetchone()
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return int(stored[0]) - int(deleted[0]) if stored is not None and deleted is not None else 0


def _bring_notes(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest) -> None:
    """Bring back which batches are stored, and the runs of the node."""
    batches, runs = (quoted(folder / whole_file(manifest, name)) for name in ("batches", "runs_of_node"))
    through, columns = manifest.through, f"COLUMNS(lambda name: name <> '{SNAPSHOT}')"
    connection.execute("BEGIN")
    try:
        connection.execute(f"DELETE FROM main.batches WHERE {SEGMENT.name} <= {through}")
        connection.execute(
            "INSERT INTO main.batches BY NAME "
            f"SELECT {columns} FROM read_parquet('{batches}') WHERE {SEGMENT.name} <= {through}"
        )
        connection.execute(
            f"INSERT INTO main.runs_of_node BY NAME SELECT {columns} FROM read_parquet('{runs}') "
            "WHERE epoch NOT IN (SELECT epoch FROM main.runs_of_node)"
        )
        connection.execute("COMMIT")
    except duckdb.IOException as error:
        _roll_back(connection)
        _log.error("the notes of batches were not brought back: %s", error)
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        return  # the failed commit has done so
