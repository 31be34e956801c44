"""The notes of batches in the file: which are stored, by source; an unbroken run of many becomes one row."""

from __future__ import annotations

import duckdb

from actors.history.ledger import Ledger


def read_ledger(connection: duckdb.DuckDBPyConnection) -> Ledger:
    """Return which batches the file has.

    Raises:
        duckdb.Error: It cannot be read.
    """
    ledger = Ledger()
    rows = connection.execute(
        """
        SELECT source, min(first_batch), max(batch)
        FROM (SELECT *, sum(starts) OVER (PARTITION BY source ORDER BY first_batch) AS island
              FROM (SELECT source, first_batch, batch,
                           first_batch > 1 + lag(batch, 1, -1) OVER (PARTITION BY source ORDER BY first_batch) AS starts
                    FROM batches))
        GROUP BY source, island
        """
    ).fetchall()
    for source, first, last in rows:
        ledger.add(source, first, last)
    return ledger


def merge(connection: duckdb.DuckDBPyConnection, which: str) -> None:
    """Make one row of each unbroken run of those notes that the condition `which` names, in one transaction.

    Raises:
        duckdb.Error: They cannot be merged.
    """
    connection.execute("BEGIN")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE merged AS
        SELECT source, min(first_batch) AS first_batch, max(batch) AS batch, sum(rows)::BIGINT AS rows,
               max(stored_at) AS stored_at, max(seg) AS seg
        FROM (SELECT *, sum(starts::INTEGER) OVER (PARTITION BY source ORDER BY first_batch) AS island
              FROM (SELECT *, first_batch > 1 + lag(batch, 1, -1)
                              OVER (PARTITION BY source ORDER BY first_batch) AS starts
                    FROM batches WHERE {which}))
        GROUP BY source, island
        """
    )
    connection.execute(f"DELETE FROM batches WHERE {which}")
    connection.execute("INSERT INTO batches SELECT source, first_batch, batch, rows, stored_at, seg FROM merged")
    connection.execute("DROP TABLE merged")
    connection.execute("COMMIT")
