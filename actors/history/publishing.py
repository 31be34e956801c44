"""Publishing: what is stored becomes files that any tool reads while the recorder writes on.

`publication` decides; here files are written, replaced and dropped. Everything blocks and belongs to one thread, the
publisher's; what has to happen where the file is written goes through `Writing`. An error leaves what was published as
it was, and the next turn takes the rest along. Killed at any point: a merge that was begun is written again under the
same names, and a publication that no manifest counts on is overwritten by the next.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import duckdb
from msgspec import Struct, structs

from actors.history.catalog import (
    CATALOG,
    MANIFEST,
    columns_of,
    copy,
    flowing,
    is_catalog,
    is_prepared,
    prepare,
    whole,
    whole_file,
    write_catalog,
)
from actors.history.files import is_damage
from actors.history.folder import (
    day_of,
    empty_file,
    files_to_drop,
    is_whole,
    load_manifest,
    quarantine,
    save_manifest,
)
from actors.history.protocol import Notice
from actors.history.publication import (
    GRACE,
    RINGS,
    SEALED,
    Manifest,
    Slot,
    begun,
    due_merge,
    file_of,
    merged,
    next_slot,
    published,
    ring_file,
)
from actors.history.schema import BY_NAME, SEGMENT, Keep, Table

_log = logging.getLogger(__name__)

BATCHES_MERGED = 2_000
"""Rows of `batches` from which those that are published are merged: its file is written anew each time."""


class Fresh(Struct, frozen=True):
    """What was stored since the last turn: rows by table, in segments up to `last`."""

    last: int
    rows: dict[str, int]


class Source(Protocol):
    """The open history file (`store.HistoryStore`), as the publisher uses it."""

    manifest: Manifest

    def turn_segment(self) -> Fresh | None:
        """End the segment, on the writer's thread."""
        ...

    def seal(self, sealed: int) -> None:
        """Let go of the rows of sealed segments, on the writer's thread."""
        ...

    def merge_batches(self, through: int) -> None:
        """Merge the notes of published batches, on the writer's thread."""
        ...

    def note(self, notice: Notice) -> None:
        """Report something with the next answer, on the writer's thread."""
        ...

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection of its own, any thread."""
        ...


def _note(notice: Notice, source: Source) -> None:
    source.note(notice)


Writing = Callable[[Callable[[Source], Any]], Any]
"""Runs something on the writer's thread and returns its result; None where no file is open."""


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
        """Write the files of the rings anew, after rows that are in them were deleted. On the publisher's thread.

        Raises:
            duckdb.Error: A file cannot be written; what it had is in it still.
            OSError: It cannot be put in place.
        """
        source = self._source
        if source is None:
            return
        with source.reading() as connection:
            self._export_again(source, connection, lambda path: True)

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
            self._writing(partial(_note, notice))
        with source.reading() as connection:
            if not is_prepared(self.folder):
                prepare(connection, self.folder)
            self._export_again(source, connection, lambda path: not is_whole(path))
        if not is_catalog(self.folder):
            write_catalog(self.folder)

    def drop(self, ages: dict[Keep, float], *, most_bytes: int = 0) -> dict[str, int]:
        """Drop sealed days that are over for longer than their age, then the oldest while there are too many bytes.

        A file is emptied first and deleted the next time, so that a tool that has listed it finds it.

        Args:
            ages: Seconds that rows are kept, by the kind of their table.
            most_bytes: Bytes of all sealed files above which the oldest go; 0: no such limit.

        Returns:
            Bytes dropped, by table.
        """
        dropped: dict[str, int] = {}
        for table, path in files_to_drop(self.folder, datetime.fromtimestamp(self._now(), UTC), ages, most_bytes):
            self._drop(table, path, dropped)
        return dropped

    def _begin(self, source: Source) -> None:
        """Take over what is published, once for each opening of the file."""
        with source.reading() as connection:
            if not is_prepared(self.folder):
                prepare(connection, self.folder)
                (self.folder / CATALOG).unlink(missing_ok=True)
            self._manifest = source.manifest
            if load_manifest(self.folder) is None:
                self._blank_rings()
                save_manifest(self.folder, self._manifest)
            self._blank(ring_file, self._manifest.turns[0] % RINGS[0])
            self._export_again(source, connection, lambda path: not is_whole(path))
            if self._manifest.merging is not None:
                self._write_merge(connection, self._manifest.merging)
                self._merge_at = monotonic() + GRACE
        self._whole_due = {table.name for table in whole()}
        self._waiting, self._last = {}, self._manifest.through
        if not is_catalog(self.folder):
            write_catalog(self.folder)
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
            for table in sorted(self._whole_due | small):
                self._export_whole(connection, BY_NAME[table])
        slot = structs.replace(slot, rows={table: count for table, count in rows.items() if count})
        manifest = published(self._manifest, slot, self._now())
        save_manifest(self.folder, manifest)
        self._manifest = source.manifest = manifest
        self._waiting = {}
        self._whole_due = set()
        self.published_at = manifest.published_at

    def _begin_merge(self, source: Source) -> None:
        merge = due_merge(self._manifest, self._today())
        if merge is None:
            return
        manifest = begun(self._manifest, merge)
        save_manifest(self.folder, manifest)
        self._manifest = source.manifest = manifest
        self._merge_at = None
        with source.reading() as connection:
            self._write_merge(connection, merge)
        self._merge_at = monotonic() + GRACE

    def _export_again(
        self, source: Source, connection: duckdb.DuckDBPyConnection, is_due: Callable[[Path], bool]
    ) -> None:
        """Write those files of the rings anew that `is_due` names, and let the manifest say what they hold."""
        slots = list(self._manifest.slots)
        for at, slot in enumerate(slots):
            rows = {
                table: self._export(connection, BY_NAME[table], slot)
                if is_due(self.folder / ring_file(table, slot))
                else count
                for table, count in slot.rows.items()
            }
            slots[at] = structs.replace(slot, rows={table: count for table, count in rows.items() if count})
        if tuple(slots) != self._manifest.slots:
            manifest = structs.replace(self._manifest, slots=tuple(slots))
            save_manifest(self.folder, manifest)
            self._manifest = source.manifest = manifest

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
        save_manifest(self.folder, manifest)
        self._manifest = source.manifest = manifest
        self._merge_at = None
        if merge.level == SEALED:
            self._writing(lambda source: source.seal(manifest.sealed))
        self._writing(lambda source: source.merge_batches(manifest.ring0))

    def _write_merge(self, connection: duckdb.DuckDBPyConnection, merge: Slot) -> None:
        for table in merge.rows:
            self._export(connection, BY_NAME[table], merge)

    def _export(self, connection: duckdb.DuckDBPyConnection, table: Table, slot: Slot) -> int:
        name = SEGMENT.name
        return copy(
            connection,
            f"SELECT {columns_of(table)}, {name} FROM main.{table.name} "
            f"WHERE {name} >= {slot.first} AND {name} <= {slot.last}",
            self.folder,
            self.folder / file_of(table.name, slot),
            "snappy" if slot.level == 0 else "zstd",
            durable=True,
        )

    def _export_whole(self, connection: duckdb.DuckDBPyConnection, table: Table) -> None:
        statement = f"SELECT * FROM main.{table.name} WHERE {SEGMENT.name} <= {self._last}"
        copy(connection, statement, self.folder, self.folder / whole_file(table.name), "snappy", durable=True)

    def _blank_rings(self) -> None:
        for table in flowing():
            folder = self.folder / "ring" / table.name
            for path in folder.glob("[0-9]-[0-9]*.parquet"):
                self._empty(table, path)

    def _blank(self, name: Callable[[str, Slot], str], number: int) -> None:
        """Empty the files that the next publication writes: a kill may have left rows in some of them."""
        slot = Slot(0, number, 0, 0, "", {})
        for table in flowing():
            path = self.folder / name(table.name, slot)
            if path.exists():
                self._empty(table, path)

    def _empty(self, table: Table, path: Path) -> None:
        temporary = self.folder / "tmp" / f"empty-{table.name}"
        shutil.copyfile(empty_file(self.folder, table), temporary)
        os.replace(temporary, path)

    def _drop(self, table: Table, path: Path, dropped: dict[str, int]) -> None:
        size = path.stat().st_size
        if size != empty_file(self.folder, table).stat().st_size:
            self._empty(table, path)
            dropped[table.name] = dropped.get(table.name, 0) + size
            return
        path.unlink()
        with suppress(OSError):  # there are others in it
            path.parent.rmdir()

    def _today(self) -> str:
        return day_of(self._now())
