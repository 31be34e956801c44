"""What is left in the history of what the rings hold, after rows were deleted by age or for room."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import duckdb

from actors.history.publication import Slot, ring_file
from actors.history.schema import SEGMENT


def left_in(connection: duckdb.DuckDBPyConnection, slots: Sequence[Slot]) -> dict[str, int]:
    """Return how many rows of each table of each slot the history has, by the file.

    Raises:
        duckdb.Error: A table cannot be read.
    """
    held: dict[str, tuple[list[int], list[int]]] = {}
    for table in {table for slot in slots for table in slot.rows}:
        found = connection.execute(
            f"SELECT {SEGMENT.name}, count(*) FROM main.{table} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        held[table] = [segment for segment, _ in found], [count for _, count in found]
    left: dict[str, int] = {}
    for slot in slots:
        for table in slot.rows:
            segments, counts = held[table]
            within = slice(bisect_left(segments, slot.first), bisect_right(segments, slot.last))
            left[ring_file(table, slot)] = sum(counts[within])
    return left
