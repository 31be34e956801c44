"""How a history file gets its schema: numbered steps that only go forward.

A step, once released, is never edited: later ones add to it. Steps never rename or retype a column; they add one, and
views hide the difference. All steps a file lacks run in one transaction and are followed by a checkpoint, because
replaying DDL from the write-ahead log is DuckDB's least trodden path. Comments and views are no data: they are written
anew from `schema` whenever a step ran or this program's differ from the file's.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from actors.history.errors import HistoryVersionError
from actors.history.schema import SEGMENT, TABLES, VIEWS

if TYPE_CHECKING:
    import duckdb


class Migration(Struct, frozen=True):
    """One step: `version` after it, what it changes, and the statements that do it."""

    version: int
    about: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "first schema",
        (
            """CREATE TABLE schema_version (version INTEGER, applied_at TIMESTAMPTZ, about VARCHAR)""",
            """CREATE TABLE runs_of_node (
                node VARCHAR, epoch BIGINT, started_at TIMESTAMPTZ, pid BIGINT, version VARCHAR)""",
            """CREATE TABLE events (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, type VARCHAR, topic VARCHAR, severity VARCHAR,
                path VARCHAR, generation BIGINT, summary VARCHAR, payload VARCHAR)""",
            """CREATE TABLE starts (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR, generation BIGINT,
                placement VARCHAR, pid BIGINT, seconds DOUBLE)""",
            """CREATE TABLE exits (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR, generation BIGINT,
                kind VARCHAR, detail VARCHAR, error_type VARCHAR, error_message VARCHAR, traceback VARCHAR,
                causes VARCHAR, uptime DOUBLE, phase VARCHAR, expected BOOLEAN, attempt BIGINT)""",
            """CREATE TABLE restarts (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR, generation BIGINT,
                supervisor VARCHAR, strategy VARCHAR, attempt BIGINT, delay DOUBLE, group_paths VARCHAR[],
                restarts BIGINT, intensity BIGINT,
                kind VARCHAR, detail VARCHAR, error_type VARCHAR, error_message VARCHAR)""",
            """CREATE TABLE limits (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                scope VARCHAR, action VARCHAR, restarts BIGINT, intensity BIGINT, period DOUBLE,
                kind VARCHAR, detail VARCHAR, error_type VARCHAR, error_message VARCHAR, causes VARCHAR)""",
            """CREATE TABLE commands (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                command VARCHAR, caller VARCHAR, why VARCHAR, code VARCHAR, seconds DOUBLE, idempotency_key VARCHAR)""",
            """CREATE TABLE failed_asks (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                message_type VARCHAR, error VARCHAR, seconds DOUBLE)""",
            """CREATE TABLE dead_letters (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                message_type VARCHAR, why VARCHAR, sender VARCHAR)""",
            """CREATE TABLE runs (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                run VARCHAR, outcome VARCHAR, seconds DOUBLE, detail VARCHAR)""",
            """CREATE TABLE metrics (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR,
                name VARCHAR, value DOUBLE, unit VARCHAR)""",
            """CREATE TABLE lost (
                seq BIGINT, epoch BIGINT, happened_at TIMESTAMPTZ, path VARCHAR, rows BIGINT, why VARCHAR)""",
            """CREATE TABLE batches (
                source VARCHAR, first_batch BIGINT, batch BIGINT, rows BIGINT, stored_at TIMESTAMPTZ)""",
            """CREATE TABLE rejects (
                rejected_at TIMESTAMPTZ, source VARCHAR, batch BIGINT, table_name VARCHAR, error VARCHAR,
                content VARCHAR)""",
        ),
    ),
    Migration(
        2,
        "segments: what is published of each table, and how far it is sealed",
        (
            *(
                f"ALTER TABLE {table} ADD COLUMN seg BIGINT DEFAULT 0"
                for table in (
                    *("schema_version", "runs_of_node", "events", "starts", "exits", "restarts", "limits", "commands"),
                    *("failed_asks", "dead_letters", "runs", "metrics", "lost", "batches", "rejects"),
                )
            ),
            """CREATE TABLE published (sealed BIGINT)""",
            """INSERT INTO published VALUES (-1)""",
        ),
    ),
    Migration(
        3,
        "how late runs began, for which schedule or queue",
        (
            "ALTER TABLE runs ADD COLUMN schedule VARCHAR",
            "ALTER TABLE runs ADD COLUMN slot_at TIMESTAMPTZ",
            "ALTER TABLE runs ADD COLUMN slots BIGINT",
            "ALTER TABLE runs ADD COLUMN waited DOUBLE",
            "ALTER TABLE runs ADD COLUMN queue VARCHAR",
            "ALTER TABLE runs ADD COLUMN job_kind VARCHAR",
        ),
    ),
)


def migrate(
    connection: duckdb.DuckDBPyConnection, path: str, migrations: tuple[Migration, ...] = MIGRATIONS
) -> tuple[int, ...]:
    """Bring the file behind `connection` to the newest schema and return the versions that were added.

    All or nothing: killed at any point, the file has its old schema or the new one.

    Raises:
        HistoryVersionError: The file's schema is newer than the last of `migrations`.
    """
    current = version_of(connection)
    known = migrations[-1].version
    if current > known:
        raise HistoryVersionError(path, current, known)
    missing = tuple(step for step in migrations if step.version > current)
    mark = f"views and comments {_fingerprint()}"
    if not missing and _mark_of(connection) == mark:
        return ()
    connection.execute("BEGIN")
    try:
        for step in missing:
            for statement in step.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_version (version, applied_at, about) VALUES (?, ?, ?)",
                [step.version, datetime.now(UTC), step.about],
            )
        _describe(connection, mark)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("CHECKPOINT")
    return tuple(step.version for step in missing)


def version_of(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version of the file, 0 for a file without one."""
    found = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'schema_version'").fetchone()
    if found is None:
        return 0
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


def _describe(connection: duckdb.DuckDBPyConnection, mark: str) -> None:
    present = {
        (table, column)
        for table, column in connection.execute("SELECT table_name, column_name FROM duckdb_columns()").fetchall()
    }
    for table in TABLES:
        if not any(name == table.name for name, _ in present):
            continue
        for column in (*table.columns, SEGMENT):
            if (table.name, column.name) in present:
                connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {_text(column.about)}")
        about = mark if table.name == "schema_version" else table.about
        connection.execute(f"COMMENT ON TABLE {table.name} IS {_text(about)}")
    for view in VIEWS:
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {view.sql}")
        connection.execute(f"COMMENT ON VIEW {view.name} IS {_text(view.about)}")


def _mark_of(connection: duckdb.DuckDBPyConnection) -> str | None:
    row = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'schema_version'").fetchone()
    return row[0] if row is not None else None


def _fingerprint() -> str:
    text = repr((TABLES, VIEWS))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
