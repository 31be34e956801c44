"""The views that make one table of what lies in several places, each row once: in the recorder, and for other tools.

    history.duckdb   schema `everything`: rows of the live tables that are not sealed, and the sealed files
    catalog.duckdb   views alone, no data: sealed files and rings by the manifest; any DuckDB from 1.2 on opens it

A view names files by patterns, which DuckDB resolves when it binds a query, before anything is read; the end of each
file is read then as well. The bounds that say which rows count are files too, and bound first: whatever is published
while the rest is bound or read, is beyond them. An empty file in each folder keeps a pattern from matching nothing, and
gives a table written before it had a column that column.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from actors.history.publication import BOUNDS, LEVELS, Manifest, Ring, level_ring, sealed_through, snapshot_ring
from actors.history.rings import is_whole
from actors.history.schema import SEGMENT, TABLES, VIEWS, Keep, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOG = "catalog.duckdb"
MANIFEST = "manifest.json"
SCHEMA = "everything"
"""The schema of the recorder's views; queries look there first. The name of the file must not be the same."""

STORAGE_VERSION = "v1.2.0"
"""Of `catalog.duckdb`: the oldest that DuckDB 2.0 and the releases back to 1.2 both read."""

SEARCH_PATH = f"{SCHEMA},main"

SNAPSHOT = "snapshot"
"""The column of a whole table's files that has their number."""


def folder_of(path: Path) -> Path:
    """Return the folder of what is published of the history file at `path`."""
    return path.with_name(f"{path.stem}-files")


def flowing() -> tuple[Table, ...]:
    """Return the tables whose rows flow through rings into sealed files."""
    return tuple(table for table in TABLES if table.keep is not Keep.ALWAYS)


def whole() -> tuple[Table, ...]:
    """Return the small tables that are published whole, each time in a file of its own."""
    return tuple(table for table in TABLES if table.keep is Keep.ALWAYS)


def whole_file(manifest: Manifest, table: str) -> str:
    """Return the path of the snapshot of a whole table that counts, below the folder; or of an earlier program's."""
    number = manifest.snapshots.get(table)
    return f"whole/{table}.parquet" if number is None else snapshot_ring(table).file(number)


def columns_of(table: Table) -> str:
    """Return the columns of `table` for a SELECT, without its segment."""
    return ", ".join(table.column_names)


def prepare(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the folders and the empty files in them. `connection` has the tables.

    Raises:
        duckdb.Error: A file cannot be written.
        OSError: A folder cannot be made.
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    copy(connection, f"SELECT {_bounds_of(Manifest())} LIMIT 0", folder, folder / BOUNDS.empty)
    for table in TABLES:
        first, *others = (folder / empty for empty in _empties(table))
        copy(connection, f"{every_row(table)} LIMIT 0", folder, first)
        for target in others:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(first, target)
    (folder / "schema").write_text(fingerprint(folder), encoding="utf-8")


def is_prepared(folder: Path) -> bool:
    """Whether the folders and empty files are there, whole, and of this program's schema."""
    try:
        return (folder / "schema").read_text(encoding="utf-8") == fingerprint(folder) and all(
            is_whole(folder / empty)
            for empty in (BOUNDS.empty, *(path for table in TABLES for path in _empties(table)))
        )
    except OSError:
        return False


def every_row(table: Table, number: int = 0) -> str:
    """Return the statement for the rows of `table` as its files have them; of a whole one, in the snapshot `number`."""
    extra = f", {number}::BIGINT AS {SNAPSHOT}" if table.keep is Keep.ALWAYS else ""
    return f"SELECT {columns_of(table)}, {SEGMENT.name}{extra} FROM main.{table.name}"


def write_bounds(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: Manifest, target: Path) -> None:
    """Write the bounds of `manifest` to `target`.

    Raises:
        duckdb.Error: They cannot be written.
        OSError: The file cannot be put in place.
    """
    copy(connection, f"SELECT {_bounds_of(manifest)}", folder, target, "uncompressed", durable=True)


def newest_bounds(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[int, dict[str, int]]:
    """Return the edition that readers of `folder` see, 0 for none, and the number of each whole table's snapshot.

    Raises:
        duckdb.Error: The bounds cannot be read.
    """
    names = [table.name for table in whole()]
    row = connection.execute(f"SELECT edition, {', '.join(names)} FROM ({_newest_bounds(folder)})").fetchone()
    if row is None or row[0] is None:
        return 0, {}
    return int(row[0]), {name: int(number) for name, number in zip(names, row[1:], strict=True) if number is not None}


def every_ring() -> Iterator[Ring]:
    """Return the names of all files that are used in turns."""
    yield BOUNDS
    for table in TABLES:
        if table.keep is Keep.ALWAYS:
            yield snapshot_ring(table.name)
        else:
            yield from (level_ring(table.name, level) for level in range(LEVELS))


def copy(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    folder: Path,
    target: Path,
    compression: str = "zstd",
    *,
    durable: bool = False,
) -> int:
    """Write the rows of `statement` to `target`, which is there whole or as it was before. Returns how many.

    Raises:
        duckdb.Error: They cannot be read or written.
        OSError: The file cannot be put in place.
    """
    temporary = folder / "tmp" / f"{target.parent.parent.name}-{target.parent.name}-{target.name}"
    row = connection.execute(
        f"COPY ({statement}) TO '{quoted(temporary)}' (FORMAT parquet, COMPRESSION {compression})"
    ).fetchone()
    put(temporary, target, durable=durable)
    return int(row[0]) if row is not None else 0


def put(temporary: Path, target: Path, *, durable: bool) -> None:
    """Let `temporary` take the place of `target`; `durable`: so that it is whole after a power cut.

    Raises:
        OSError: It cannot.
    """
    if durable:
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)


def make_views(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the recorder's views, in the open transaction or in one of their own.

    Raises:
        duckdb.Error: A view cannot be bound.
    """
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for table in TABLES:
        connection.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.{table.name} AS {_live_view(table, folder)}")
        connection.execute(f"COMMENT ON VIEW {SCHEMA}.{table.name} IS {_text(table.about)}")
    connection.execute(f"SET search_path = '{SEARCH_PATH}'")
    try:
        for view in VIEWS:
            connection.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.{view.name} AS {view.sql}")
            connection.execute(f"COMMENT ON VIEW {SCHEMA}.{view.name} IS {_text(view.about)}")
    finally:
        connection.execute("SET search_path = 'main'")
    connection.execute(f"COMMENT ON TABLE main.published IS '{fingerprint(folder)}'")


def views_mark(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the fingerprint the recorder's views were made by; None where there are none."""
    row = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'published'").fetchone()
    return row[0] if row is not None else None


def make_temporary_views(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the recorder's views for one connection alone: for a file that was moved, or is read only.

    Raises:
        duckdb.Error: A view cannot be bound.
    """
    row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None  # a SELECT of one value
    main = '"{}".main'.format(row[0].replace('"', '""'))
    for table in flowing():
        connection.execute(f"CREATE TEMP VIEW {table.name} AS {_live_view(table, folder, main)}")
    for view in VIEWS:
        connection.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")


def write_catalog(folder: Path) -> None:
    """Write `catalog.duckdb`, which replaces the one that is there.

    Raises:
        duckdb.Error: It cannot be written.
        OSError: It cannot be put in place.
    """
    temporary = folder / "tmp" / CATALOG
    temporary.unlink(missing_ok=True)
    connection = duckdb.connect(config={"threads": "1", "autoinstall_known_extensions": "false"})
    try:
        connection.execute(f"ATTACH '{quoted(temporary)}' AS catalog_file (STORAGE_VERSION '{STORAGE_VERSION}')")
        connection.execute("USE catalog_file")
        for name, about, statement in _catalog_views(folder):
            connection.execute(f"CREATE VIEW {name} AS {statement}")
            connection.execute(f"COMMENT ON VIEW {name} IS {_text(about)}")
        for table in TABLES:
            for column in table.columns:
                connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {_text(column.about)}")
        connection.execute("USE memory")
        connection.execute("DETACH catalog_file")
    finally:
        connection.close()
    put(temporary, folder / CATALOG, durable=True)


def is_catalog(folder: Path) -> bool:
    """Whether `catalog.duckdb` is there and can be opened."""
    path = folder / CATALOG
    try:
        with duckdb.connect(str(path), read_only=True, config={"autoinstall_known_extensions": "false"}) as connection:
            found = connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchone()
    except duckdb.Error:
        return False
    return found is not None and found[0] > 0


def fingerprint(folder: Path) -> str:
    """Return a text that is another one when the views or the folder are."""
    said = repr((TABLES, VIEWS, str(folder), STORAGE_VERSION, [_published_view(table, folder) for table in TABLES]))
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def quoted(path: Path | str) -> str:
    """Return `path` for a text in SQL."""
    return str(path).replace("'", "''")


def sealed_numbers(folder: Path) -> list[int]:
    """Return the last segments of the sealed files in `folder`."""
    return [sealed_through(path.name) for path in (folder / "sealed").glob("*/day=*/part-*.parquet")]


def _live_view(table: Table, folder: Path, main: str = "main") -> str:
    columns = columns_of(table)
    if table.keep is Keep.ALWAYS:
        return f"SELECT {columns} FROM {main}.{table.name}"
    sealed = f"(SELECT sealed FROM {main}.published)"
    return (
        f"SELECT {columns} FROM {main}.{table.name} WHERE {SEGMENT.name} > {sealed} UNION ALL "
        f"SELECT {columns} FROM {_sealed(table, folder)} WHERE {SEGMENT.name} <= {sealed}"
    )


def _catalog_views(folder: Path) -> Iterator[tuple[str, str, str]]:
    columns = "through, ring0, ring1, sealed, published_at, edition"
    published = f"SELECT {columns}, to_timestamp(published_at) AS at FROM ({_newest_bounds(folder)})"
    yield "published", "How far the files go, and since when.", published
    for table in TABLES:
        yield table.name, table.about, _published_view(table, folder)
    for view in VIEWS:
        yield view.name, view.about, view.sql


def _published_view(table: Table, folder: Path) -> str:
    """Return the view of `table`: its files, and the bounds, which are named once and first.

    First: whatever is published while the files are listed is beyond them. Once: a common table that is named again is
    bound again, and to later bounds, by releases before 1.4, to which no materialization comes through a catalog.
    """
    if table.keep is Keep.ALWAYS:
        files = _parquet(folder / snapshot_ring(table.name).pattern)
        condition = f"files.{SNAPSHOT} = bounds.{table.name}"
    else:
        columns = columns_of(table)
        places = (
            _sealed(table, folder),
            *(_parquet(folder / level_ring(table.name, level).pattern) for level in reversed(range(LEVELS))),
        )
        files = "(" + " UNION ALL ".join(
            f"SELECT {columns}, {SEGMENT.name}, {level} AS place FROM {place}"
            for level, place in zip(range(LEVELS, -1, -1), places, strict=True)
        ) + ")"  # fmt: skip
        low = f"CASE place WHEN {LEVELS} THEN -1 WHEN 2 THEN bounds.sealed WHEN 1 THEN ring1 ELSE ring0 END"
        high = f"CASE place WHEN {LEVELS} THEN bounds.sealed WHEN 2 THEN ring1 WHEN 1 THEN ring0 ELSE through END"
        condition = f"files.{SEGMENT.name} > {low} AND files.{SEGMENT.name} <= {high}"
    wanted = ", ".join(f"files.{name}" for name in table.column_names)
    return f"SELECT {wanted} FROM ({_newest_bounds(folder)}) AS bounds CROSS JOIN {files} AS files WHERE {condition}"


def _bounds_of(manifest: Manifest) -> str:
    """Return the bounds of `manifest` for a SELECT."""
    numbers = {
        "edition": manifest.edition,
        "through": manifest.through,
        "ring0": manifest.ring0,
        "ring1": manifest.ring1,
        "sealed": manifest.sealed,
        **{table.name: manifest.snapshots.get(table.name, -1) for table in whole()},
    }
    columns = [f"{number}::BIGINT AS {name}" for name, number in numbers.items()]
    return f"{', '.join(columns)}, {manifest.published_at!r}::DOUBLE AS published_at"


def _newest_bounds(folder: Path) -> str:
    """Return the statement for the newest bounds. An order with a limit would be read in two goes, the second of them
    by files as they are then (DuckDB 2.0.0, late materialization)."""
    columns = ["through", "ring0", "ring1", "sealed", "published_at", *(table.name for table in whole())]
    newest = ", ".join(f"arg_max({column}, edition) AS {column}" for column in columns)
    return f"SELECT max(edition) AS edition, {newest} FROM {_parquet(folder / BOUNDS.pattern)}"


def _sealed(table: Table, folder: Path) -> str:
    return _parquet(folder / "sealed" / table.name / "*" / "*.parquet")


def _parquet(pattern: Path) -> str:
    return f"read_parquet('{quoted(pattern)}', union_by_name = true, hive_partitioning = false)"


def _empties(table: Table) -> Iterator[str]:
    if table.keep is Keep.ALWAYS:
        yield snapshot_ring(table.name).empty
        return
    yield f"sealed/{table.name}/empty/empty.parquet"
    for level in range(LEVELS):
        yield level_ring(table.name, level).empty


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
