"""Forgetting all of a history: sealed days first, then rows of the file, then of the rings that still hold them.

`plan` says what goes and touches nothing; `forget` does it and says what went.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from msgspec import structs

from actors.history.catalog import quoted
from actors.history.files import size_of
from actors.history.folder import empty_file, files_to_drop
from actors.history.protocol import Pruned, PrunedPart
from actors.history.pruning import prune, usage_of
from actors.history.publishing import Publisher
from actors.history.retention import Retention, cuts_by_age
from actors.history.rings import is_blank
from actors.history.schema import BY_NAME, Keep
from actors.history.store import HistoryStore

_log = logging.getLogger(__name__)

Writing = Callable[[Callable[[HistoryStore], Any]], Any]
"""Runs something on the thread that writes the history file and returns its result; None where no file is open."""


def plan(
    connection: duckdb.DuckDBPyConnection, path: Path, folder: Path, retention: Retention, now: float
) -> tuple[PrunedPart, ...]:
    """Return what `retention` does not keep of the history at `path`: sealed files, then rows by table.

    Which rows of the file go for its budget is not among it: that is known once the room of others is given back.

    Args:
        connection: An open connection to the file, which reaches `folder`.
        path: The file.
        folder: What is published of it.
        retention: What is kept.
        now: Seconds since the epoch.

    Raises:
        duckdb.Error: The file cannot be read.
        ValueError: The retention cannot be carried out.
    """
    parts = list(_sealed_parts(connection, path, folder, retention, now))
    for cut in cuts_by_age(now, retention):
        before = datetime.fromtimestamp(cut.before, UTC)
        found = connection.execute(f"SELECT count(*) FROM main.{cut.table} WHERE {cut.instant} < ?", [before])
        ((rows,),) = found.fetchall()
        if rows:
            parts.append(PrunedPart(cut.table, rows))
    return tuple(parts)


def forget(
    publisher: Publisher, writing: Writing, retention: Retention, now: float, *, is_dry_run: bool = False
) -> Pruned | None:
    """Delete what `retention` does not keep and say what that was; None where no file is open.

    On the publisher's thread: nobody else touches sealed files and rings.

    Args:
        publisher: It drops and rewrites files.
        writing: Runs something on the thread that writes the history file.
        retention: What is kept; it can be carried out.
        now: Seconds since the epoch; what ages are counted from.
        is_dry_run: Delete nothing; the answer says what would go.
    """
    store: HistoryStore | None = writing(lambda store: store)
    if store is None:
        return None
    try:
        with store.reading() as connection:
            parts = (
                plan(connection, store.path, publisher.folder, retention, now)
                if is_dry_run
                else _sealed_parts(connection, store.path, publisher.folder, retention, now)
            )
            if is_dry_run:
                used, free = usage_of(connection)
                return Pruned({}, used, free, _over_budget(used, retention), parts=parts)
        ages, most_bytes = _sealed_limits(store.path, retention)
        dropped = publisher.drop(ages, most_bytes=most_bytes, now=now)
        parts = tuple(part for part in parts if not _holds_rows(publisher.folder, part))
    except (duckdb.Error, OSError) as error:
        _log.warning("sealed history was not dropped: %s", error)
        dropped, parts = {}, ()
        if is_dry_run:
            return Pruned({}, 0, 0, str(error).partition("\n")[0])
    pruned: Pruned | None = writing(lambda store: prune(store, retention, now))
    if pruned is None:
        return None
    if pruned.rows:
        try:
            publisher.rewrite()
        except (duckdb.Error, OSError) as error:
            _log.warning("published history still holds rows that were deleted: %s", error)
    parts += tuple(PrunedPart(table, rows) for table, rows in pruned.rows.items())
    return structs.replace(pruned, dropped_bytes=dropped, parts=parts)


def _sealed_limits(path: Path, retention: Retention) -> tuple[dict[Keep, float], int]:
    """Return how long sealed rows are kept by the kind of their table, and their budget, 0 for none."""
    ages = {Keep.EVENTS: retention.events_age, Keep.METRICS: retention.metrics_age}
    return ages, max(retention.max_bytes - size_of(path), 1) if retention.max_bytes else 0


def _sealed_parts(
    connection: duckdb.DuckDBPyConnection, path: Path, folder: Path, retention: Retention, now: float
) -> tuple[PrunedPart, ...]:
    ages, most_bytes = _sealed_limits(path, retention)
    at = datetime.fromtimestamp(now, UTC)
    parts: list[PrunedPart] = []
    try:
        for table, file in files_to_drop(folder, at, ages, most_bytes):
            size = file.stat().st_size
            if not is_blank(file, empty_file(folder, table)):
                rows = _rows_in(connection, file)
                parts.append(PrunedPart(table.name, rows, size, str(file.relative_to(folder))))
    except FileNotFoundError:
        return ()  # nothing is published there yet
    return tuple(parts)


def _rows_in(connection: duckdb.DuckDBPyConnection, file: Path) -> int:
    try:
        row = connection.execute(f"SELECT count(*) FROM read_parquet('{quoted(file)}')").fetchone()
    except duckdb.Error:
        return 0  # it is damaged; it goes all the same
    return int(row[0]) if row is not None else 0


def _holds_rows(folder: Path, part: PrunedPart) -> bool:
    """Whether the file of `part` is still what it was: dropping stopped before it."""
    try:
        return not is_blank(folder / part.file, empty_file(folder, BY_NAME[part.table]))
    except FileNotFoundError:
        return False


def _over_budget(used: int, retention: Retention) -> str:
    if 0 < retention.max_bytes < used:
        return (
            f"the file itself uses {used} of {retention.max_bytes} bytes: its rows go too, the oldest tenth of the "
            "time again and again, until it is within"
        )
    return ""
