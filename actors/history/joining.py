"""A history file as it is opened, and what is published of it: brought together before anything is stored."""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb
from msgspec import Struct

from actors.history.catalog import fingerprint, is_prepared, make_views, prepare, sealed_numbers, views_mark
from actors.history.folder import load_manifest, quarantine
from actors.history.protocol import Notice
from actors.history.publication import Manifest
from actors.history.rebuilding import rebuild
from actors.history.schema import SEGMENT, TABLES

_log = logging.getLogger(__name__)


class Joined(Struct, frozen=True):
    """What the two are together.

    Attributes:
        manifest: What is published.
        segment: The number that the next rows get.
        fresh: Rows that are to be published, by table.
        has_views: Whether the views over both are there; without them queries see the file alone.
        notices: What was brought back, and what was lost.
    """

    manifest: Manifest
    segment: int
    fresh: dict[str, int]
    has_views: bool
    notices: tuple[Notice, ...]


def join_published(connection: duckdb.DuckDBPyConnection, folder: Path) -> Joined:
    """Bring the file behind `connection` and the folder together, before the connection is cut off from files.

    Where there is no manifest, what is sealed stays so and everything else is published anew. A folder that cannot be
    written leaves the file to stand alone, and is logged.

    Raises:
        duckdb.Error: The file cannot be written.
    """
    manifest = load_manifest(folder)
    if manifest is None:
        ((known,),) = connection.execute("SELECT sealed FROM main.published").fetchall()
        sealed = max(known, *sealed_numbers(folder), -1)
        manifest = Manifest(through=sealed, ring0=sealed, ring1=sealed, sealed=sealed)
    notices = rebuild(connection, folder, manifest)
    segment = manifest.through + 1
    fresh: dict[str, int] = {}
    for table in TABLES:
        ((last, count),) = connection.execute(
            f"SELECT max({SEGMENT.name}), count(*) FROM main.{table.name} WHERE {SEGMENT.name} > {manifest.through}"
        ).fetchall()
        if count:
            segment = max(segment, last + 1)
            fresh[table.name] = count
    try:
        notices += quarantine(folder)
        if not is_prepared(folder):
            prepare(connection, folder)
        if views_mark(connection) != fingerprint(folder):
            make_views(connection, folder)
            connection.execute("CHECKPOINT")
    except (duckdb.Error, OSError) as error:
        _log.error("the files for other tools cannot be made: %s", str(error).partition("\n")[0])
    return Joined(manifest, segment, fresh, views_mark(connection) is not None, notices)
