"""Taking over what is published: what a kill, damage or an earlier program left is put out of readers' way.

What counts stays as it is. Files that hold rows and do not count are what was being published: they are retired, and
since a reader may know them their names are not the next to be written.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from msgspec import structs

from actors.history.catalog import flowing, newest_bounds, whole
from actors.history.folder import load_manifest
from actors.history.publication import BOUNDS, LEVELS, Manifest, free_turn, level_ring, snapshot_ring
from actors.history.rings import Rings


def take_over(connection: duckdb.DuckDBPyConnection, folder: Path, rings: Rings, manifest: Manifest) -> Manifest:
    """Make the rings of `folder` ready for the next publication; return the manifest to go on from.

    Args:
        connection: Reads files of the folder.
        folder: What is published, its empty files there.
        rings: Of the folder.
        manifest: What counts. Where the one on disk is lost, nothing that it does not name is left with rows.

    Raises:
        duckdb.Error: The bounds cannot be read.
        OSError: A file cannot be retired.
    """
    is_lost = load_manifest(folder) is None
    rings.retire(BOUNDS, rings.damaged(BOUNDS))
    edition, snapshots = newest_bounds(connection, folder)
    manifest = structs.replace(
        manifest,
        edition=max(edition, manifest.edition),
        snapshots={name: number for name, number in {**snapshots, **manifest.snapshots}.items() if number >= 0},
    )
    for table in flowing():
        for level in range(LEVELS):
            ring = level_ring(table.name, level)
            left = rings.held(ring) if is_lost else rings.damaged(ring)
            rings.retire(ring, left - manifest.counting(level))
    for table in whole():
        ring = snapshot_ring(table.name)
        rings.retire(ring, rings.damaged(ring) if table.name in manifest.snapshots else rings.held(ring))
    return structs.replace(manifest, turns=(_next_turn(rings, manifest), *manifest.turns[1:]))


def remove_earlier(folder: Path) -> None:
    """Remove what a program before this one published and no reader knows any more.

    Raises:
        OSError: A file cannot be removed.
    """
    for table in whole():
        (folder / f"whole/{table.name}.parquet").unlink(missing_ok=True)


def _next_turn(rings: Rings, manifest: Manifest) -> int:
    """Return the turn of level 0 to go on with; what lies before it, and what is to be blank ahead, is retired."""
    level = [level_ring(table.name, 0) for table in flowing()]
    counting = manifest.counting(0)
    held = frozenset[int]().union(*(rings.held(ring) for ring in level))
    begin = manifest.turns[0]
    turn = free_turn(level[0], begin, held, counting)
    for ring in level:
        left = frozenset(number % ring.size for number in range(begin, turn))
        rings.retire(ring, (left | ring.coming(turn)) - counting)
    return turn
