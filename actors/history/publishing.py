"""Publishing: what is stored becomes files that any tool reads while the recorder writes on.

`publication` decides; here files are written, replaced and dropped. Everything blocks and belongs to one thread, the
publisher's; what has to happen where the file is written goes through `Writing`. An error leaves what was published as
it was, and the next turn takes the rest along.

    files of the rows  →  manifest  →  bounds  →  what comes next in the rings is retired

The manifest is what the recorder goes by, the bounds are what readers go by. Killed at any point: readers see what they
saw; the next start tells them the bounds of the manifest. What no manifest counts on is retired then and its turn left
out, and of a merge that was begun only those files are written again that are not there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any

import duckdb
from msgspec import structs

from actors.history.catalog import (
    CATALOG,
    MANIFEST,
    copy,
    every_ring,
    every_row,
    flowing,
    is_catalog,
    is_prepared,
    prepare,
    quoted,
    whole,
    whole_file,
    write_bounds,
    write_catalog,
)
from actors.history.files import is_damage
from actors.history.folder import day_of, drop, give_back, quarantine, remove_blank, save_manifest
from actors.history.publication import (
    BOUNDS,
    GRACE,
    LEVELS,
    SEALED,
    Manifest,
    Slot,
    begun,
    due_merge,
    file_of,
    free_turn,
    level_ring,
    merged,
    next_slot,
    published,
    ring_file,
    snapshot_ring,
)
from actors.history.rings import Rings, is_whole
from actors.history.schema import BY_NAME, SEGMENT, Keep, Table
from actors.history.source import Source, Writing, noting
from actors.history.takeover import remove_earlier, take_over
from actors.history.thinning import left_in

_log = logging.getLogger(__name__)

BATCHES_MERGED = 2_000
"""Rows of `batches` from which those that are published are merged: each publication writes all of them."""


class Publisher:
    """Publishes what a recorder stores. One thread, the same always.

    Args:
        folder: Where the files go.
        writing: Runs something on the thread that writes the history file.
        now: Wall clock, seconds since the epoch.

    Attributes:
        problem: Why the last turn did not succeed, or "".
        is_damaged: Whether that was because something cannot be read.
        published_at: Wall clock of the last publication, 0 before the first.
    """

    def __init__(self, folder: Path, writing: Writing, *, now: Callable[[], float]) -> None:
        self.folder = folder
        self.problem = ""
        self.is_damaged = False
        self.published_at = 0.0
        self._writing = writing
        self._now = now
        self._source: Source | None = None
        self._manifest = Manifest()
        self._waiting: dict[str, int] = {}
        self._last = -1
        self._whole_due: set[str] = set()
        self._merge_at: float | None = None
        self._rings = Rings(folder)
        self._told = 0

    def turn(self, *, is_last: bool = False) -> bool:
        """Publish what was stored since the last turn, go on with merges. Returns whether everything is published.

        Args:
            is_last: The file is about to be closed: no merge is begun.
        """
        try:
            source = self._writing(lambda source: source)
            if source is None:
                return False
            if source is not self._source or not (self.folder / MANIFEST).exists():
                self._begin(source)
            if self._told != self._manifest.edition:  # an error came between
                self._tell(source)
            if not is_last:
                self._go_on_merging(source)
            self._take_fresh()
            if self._waiting:
                self._publish(source)
            if not is_last:
                self._begin_merge(source)
        except (duckdb.Error, OSError) as error:
            self.is_damaged = isinstance(error, duckdb.Error) and is_damage(error)
            said = str(error).partition("\n")[0]
            if self.problem != said:
                self.problem = said
                _log.error("history is not published: %s", said)
            return False
        self.problem = ""
        self.is_damaged = False
        return True

    def rewrite(self) -> None:
        """Take deleted rows out of the rings: what lost all is retired, what lost some is written anew in its place.

        On the publisher's thread. A query fails that knows one of the latter files and has not come to its rows yet.

        Raises:
            duckdb.Error: A file cannot be written; what it had is in it still.
            OSError: It cannot be put in place.
        """
        source = self._source
        if source is None:
            return
        slots = self._manifest.slots
        with source.reading() as connection:
            left = left_in(connection, slots)
            self._export_again(
                source, connection, lambda table, slot: 0 < left[ring_file(table, slot)] < slot.rows[table], left
            )
        for slot in slots:
            for table in (table for table in slot.rows if not left[ring_file(table, slot)]):
                ring = level_ring(table, slot.level)
                self._rings.retire(ring, frozenset({slot.number % ring.size}))

    def mend(self) -> None:
        """Look for files that were deleted, cut or overwritten since: rings are written anew, sealed ones put aside.

        Raises:
            duckdb.Error: A file cannot be written.
            OSError: It cannot be put in place.
        """
        source = self._source
        if source is None:
            return
        for notice in quarantine(self.folder):
            _log.error("history mended: %s", notice.why)
            self._writing(noting(notice))
        with source.reading() as connection:
            if not is_prepared(self.folder):
                prepare(connection, self.folder)
            give_back(self.folder)
            self._export_again(source, connection, self._is_torn)
            self._mend_rings(source, connection)
        if not is_catalog(self.folder):
            write_catalog(self.folder)

    def drop(self, ages: dict[Keep, float], *, most_bytes: int = 0, now: float | None = None) -> dict[str, int]:
        """Drop sealed days that are over for longer than their age, then the oldest while there are too many bytes.

        A file is retired, so that a query that knows it finds it; `mend` takes its bytes away a minute later, and its
        name goes when a node next starts.

        Args:
            ages: Seconds that rows are kept, by the kind of their table.
            most_bytes: Bytes of all sealed files above which the oldest go; 0: no such limit.
            now: What ages are counted from; None is what the clock says.

        Returns:
            Bytes dropped, by table.
        """
        at = datetime.fromtimestamp(self._now() if now is None else now, UTC)
        return drop(self.folder, at, ages, most_bytes)

    def _mend_rings(self, source: Source, connection: duckdb.DuckDBPyConnection) -> None:
        """Take damaged files that do not count out of readers' way, write bounds and snapshots that do anew."""
        manifest = self._manifest
        lost = [table for table in whole() if not is_whole(self.folder / whole_file(manifest, table.name))]
        is_told = is_whole(self.folder / BOUNDS.file(manifest.edition))
        for ring in every_ring():
            self._rings.retire(ring, self._rings.damaged(ring))
        if lost:
            self._save(source, manifest, self._export_whole(connection, lost, manifest, manifest.through))
        if lost or not is_told:
            self._tell(source)

    def _begin(self, source: Source) -> None:
        """Take over what is published, once for each opening of the file."""
        with source.reading() as connection:
            if not is_prepared(self.folder):
                prepare(connection, self.folder)
                (self.folder / CATALOG).unlink(missing_ok=True)
            self._rings = Rings(self.folder)
            manifest = take_over(connection, self.folder, self._rings, source.manifest)
            lacking = [table for table in whole() if table.name not in manifest.snapshots]
            self._save(source, manifest, self._export_whole(connection, lacking, manifest, manifest.through))
            self._tell(source)
            self._export_again(source, connection, self._is_torn)
            if self._manifest.merging is not None:
                self._write_merge(connection, self._manifest.merging)
                self._merge_at = monotonic() + GRACE
        self._whole_due = {table.name for table in whole()}
        self._waiting, self._last = {}, self._manifest.through
        if not is_catalog(self.folder):
            write_catalog(self.folder)
        remove_earlier(self.folder)
        remove_blank(self.folder)
        self._source = source

    def _take_fresh(self) -> None:
        fresh = self._writing(lambda source: source.turn_segment())
        if fresh is None:
            return
        self._last = fresh.last
        for table, count in fresh.rows.items():
            self._waiting[table] = self._waiting.get(table, 0) + count

    def _publish(self, source: Source) -> None:
        small = {table for table in self._waiting if BY_NAME[table].keep is Keep.ALWAYS}
        slot = next_slot(self._manifest, self._last, self._today(), {})
        with source.reading() as connection:
            rows = {
                table: self._export(connection, BY_NAME[table], slot) for table in sorted(self._waiting.keys() - small)
            }
            due = [BY_NAME[table] for table in sorted(self._whole_due | small)]
            snapshots = self._export_whole(connection, due, self._manifest, self._last)
        slot = structs.replace(slot, rows={table: count for table, count in rows.items() if count})
        before = self._manifest
        self._save(source, published(before, slot, self._now()), snapshots)
        self._waiting, self._whole_due = {}, set()
        self.published_at = self._manifest.published_at
        self._tell(source)
        self._retire(before)

    def _save(self, source: Source, manifest: Manifest, snapshots: dict[str, int] | None = None) -> None:
        """Let `manifest`, with newer `snapshots`, be what the recorder goes by; `_tell` readers next."""
        manifest = structs.replace(
            manifest, edition=manifest.edition + 1, snapshots={**manifest.snapshots, **(snapshots or {})}
        )
        save_manifest(self.folder, manifest)
        self._manifest = source.manifest = manifest

    def _tell(self, source: Source) -> None:
        """Let readers go by the manifest."""
        with source.reading() as connection:
            write_bounds(connection, self.folder, self._manifest, self._rings.wrote(BOUNDS, self._manifest.edition))
        self._told = self._manifest.edition
        self._rings.retire_ahead(BOUNDS, self._told + 1, frozenset())

    def _retire(self, before: Manifest) -> None:
        """Retire what comes next in the rings, except what a reader counts on that still goes by `before`."""
        now = self._manifest
        for level in range(LEVELS):
            counting = now.counting(level) | before.counting(level)
            for table in flowing():
                self._rings.retire_ahead(level_ring(table.name, level), now.turns[level], counting)
        for name, number in now.snapshots.items():
            self._rings.retire_ahead(snapshot_ring(name), number + 1, frozenset())

    def _begin_merge(self, source: Source) -> None:
        merge = due_merge(self._manifest, self._today())
        if merge is None:
            return
        manifest = begun(self._manifest, merge)  # nothing is another for readers: no other edition
        save_manifest(self.folder, manifest)
        self._manifest = source.manifest = manifest
        self._merge_at = None
        with source.reading() as connection:
            self._write_merge(connection, merge)
        self._merge_at = monotonic() + GRACE

    def _is_torn(self, table: str, slot: Slot) -> bool:
        return not is_whole(self.folder / ring_file(table, slot))

    def _export_again(
        self,
        source: Source,
        connection: duckdb.DuckDBPyConnection,
        is_due: Callable[[str, Slot], bool],
        left: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Write those files anew that `is_due` names; let the manifest say what they hold, and others by `left`."""
        slots = list(self._manifest.slots)
        for at, slot in enumerate(slots):
            rows = {
                table: self._export(connection, BY_NAME[table], slot)
                if is_due(table, slot)
                else left.get(ring_file(table, slot), count)
                for table, count in slot.rows.items()
            }
            slots[at] = structs.replace(slot, rows={table: count for table, count in rows.items() if count})
        if tuple(slots) != self._manifest.slots:
            self._save(source, structs.replace(self._manifest, slots=tuple(slots)))
            self._tell(source)

    def _go_on_merging(self, source: Source) -> None:
        merge = self._manifest.merging
        if merge is None:
            return
        if self._merge_at is None:  # it was begun, and an error came between
            with source.reading() as connection:
                self._write_merge(connection, merge)
            self._merge_at = monotonic() + GRACE
        if monotonic() < self._merge_at:
            return
        manifest = merged(self._manifest)
        self._save(source, manifest)
        self._merge_at = None
        self._tell(source)
        if merge.level == SEALED:
            self._writing(lambda source: source.seal(manifest.sealed))
        self._writing(lambda source: source.merge_batches(manifest.ring0))

    def _write_merge(self, connection: duckdb.DuckDBPyConnection, merge: Slot) -> None:
        """Write the files of `merge`; one that is there already and has as many rows stays, readers may know it."""
        for table in merge.rows:
            path = self.folder / file_of(table, merge)
            there = _span(connection, f"read_parquet('{quoted(path)}')") if is_whole(path) else None
            if there is None or there != _span(connection, f"({self._rows_of(BY_NAME[table], merge)})"):
                self._export(connection, BY_NAME[table], merge)

    def _rows_of(self, table: Table, slot: Slot) -> str:
        return f"{every_row(table)} WHERE {SEGMENT.name} >= {slot.first} AND {SEGMENT.name} <= {slot.last}"

    def _export(self, connection: duckdb.DuckDBPyConnection, table: Table, slot: Slot) -> int:
        target = self.folder / file_of(table.name, slot)
        if slot.level != SEALED:
            target = self._rings.wrote(level_ring(table.name, slot.level), slot.number)
        compression = "snappy" if slot.level == 0 else "zstd"
        return copy(connection, self._rows_of(table, slot), self.folder, target, compression, durable=True)

    def _export_whole(
        self, connection: duckdb.DuckDBPyConnection, tables: list[Table], manifest: Manifest, last: int
    ) -> dict[str, int]:
        """Write a snapshot of each of `tables`, its rows up to segment `last`; return their numbers."""
        numbers: dict[str, int] = {}
        for table in tables:
            ring = snapshot_ring(table.name)
            number = free_turn(ring, manifest.snapshots.get(table.name, -1) + 1, self._rings.held(ring), frozenset())
            statement = f"{every_row(table, number)} WHERE {SEGMENT.name} <= {last}"
            copy(connection, statement, self.folder, self._rings.wrote(ring, number), "snappy", durable=True)
            numbers[table.name] = number
        return numbers

    def _today(self) -> str:
        return day_of(self._now())


def _span(connection: duckdb.DuckDBPyConnection, source: str) -> tuple[Any, ...] | None:
    """Return how many rows `source` has, and of which segments; None for no rows."""
    row = connection.execute(f"SELECT count(*), min({SEGMENT.name}), max({SEGMENT.name}) FROM {source}").fetchone()
    return row if row is not None and row[0] else None
