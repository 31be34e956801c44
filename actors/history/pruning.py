"""Forgetting: deletes what `retention` says, merges the notes of old batches, and gives the room back.

Each table is one transaction, so a kill leaves some tables pruned and none damaged. DuckDB gives deleted rows' blocks
back at the checkpoint that follows; new rows take them, and a free tail leaves the file.
"""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from actors.history.protocol import Pruned
from actors.history.retention import Cut, Retention, cuts_by_age, cuts_for_room
from actors.history.schema import TABLES, Keep
from actors.history.store import HistoryStore

_ROUNDS = 60
_MERGE_AGE = 3_600.0


def prune(store: HistoryStore, retention: Retention, now: float) -> Pruned:
    """Delete what `retention` does not keep. On the thread that owns `store`.

    Raises:
        HistoryError: The file had to be opened again and could not be.
        ValueError: The retention cannot be carried out.
    """
    rows: dict[str, int] = {}
    why = ""
    try:
        _delete(store, cuts_by_age(now, retention), rows)
        _merge_batches(store, now)
        why = store.checkpoint()
        used, free = usage(store)
        rounds = 0
        while 0 < retention.max_bytes < used and rounds < _ROUNDS and not why:
            oldest = _oldest(store)
            if oldest is None:
                break
            _delete(store, cuts_for_room(now, oldest), rows)
            why = store.checkpoint()
            used, free = usage(store)
            rounds += 1
    except duckdb.Error as error:
        store.recover(error)
        why = str(error).partition("\n")[0]
        used, free = usage(store)
    return Pruned(rows, used, free, why)


def usage(store: HistoryStore) -> tuple[int, int]:
    """Return the bytes of the file in use, and those free for new rows, as of the last checkpoint."""
    ((used, free),) = store.execute(_USAGE)
    return int(used), int(free)


def usage_of(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return the same of the file behind `connection`."""
    ((used, free),) = connection.execute(_USAGE).fetchall()
    return int(used), int(free)


_USAGE = "SELECT used_blocks * block_size, free_blocks * block_size FROM pragma_database_size()"


def _delete(store: HistoryStore, cuts: tuple[Cut, ...], rows: dict[str, int]) -> None:
    for cut in cuts:
        before = datetime.fromtimestamp(cut.before, UTC)
        ((deleted,),) = store.execute(f"DELETE FROM {cut.table} WHERE {cut.instant} < ?", [before])
        if deleted:
            rows[cut.table] = rows.get(cut.table, 0) + int(deleted)


def _merge_batches(store: HistoryStore, now: float) -> None:
    """Make one row of the notes of each unbroken run of old batches: `batches` then grows with the sources alone."""
    before = datetime.fromtimestamp(max(now - _MERGE_AGE, 0.0), UTC)
    store.merge_notes(f"stored_at < TIMESTAMPTZ '{before.isoformat()}'")


def _oldest(store: HistoryStore) -> float | None:
    oldest: float | None = None
    for table in TABLES:
        if table.keep is Keep.ALWAYS:
            continue
        ((found,),) = store.execute(f"SELECT epoch(min({table.instant})) FROM {table.name}")
        if found is not None and (oldest is None or found < oldest):
            oldest = float(found)
    return oldest
