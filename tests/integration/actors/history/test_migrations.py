from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest
from support.history import NOW, batch_of, keep, one_of_each, open_store

from actors.events import RunFinished
from actors.history.errors import HistoryVersionError
from actors.history.migrations import MIGRATIONS, Migration, migrate, version_of
from actors.history.rows import rows_of
from actors.history.schema import BY_NAME, INSTANT, SEGMENT, TABLES, VIEWS

NEXT = MIGRATIONS[-1].version + 1
WIDER = (
    *MIGRATIONS,
    Migration(
        NEXT,
        "tell the machine",
        (
            "ALTER TABLE events ADD COLUMN machine VARCHAR DEFAULT 'unknown'",
            "CREATE TABLE machines (name VARCHAR, cores INTEGER)",
        ),
    ),
)


@pytest.fixture
def fresh():
    connection = duckdb.connect()
    migrate(connection, "memory")
    yield connection
    connection.close()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_fresh_file_has_the_tables_the_schema_describes_with_its_comments(fresh, table):
    found = fresh.execute(
        "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [table.name],
    ).fetchall()

    assert sorted(found) == sorted((column.name, column.type, column.about) for column in (*table.columns, SEGMENT))


def test_a_fresh_file_has_no_table_and_no_view_the_schema_does_not_describe(fresh):
    tables = fresh.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    views = fresh.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()

    assert {name for (name,) in tables} == {table.name for table in TABLES} | {"published"}
    assert {name for (name,) in views} == {view.name for view in VIEWS}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_can_be_written_without_quotes(fresh, table):
    fresh.execute(f"SELECT {', '.join(table.column_names)} FROM {table.name}")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_instants_are_named_as_such_and_durations_tell_their_unit(table):
    for column in table.columns:
        assert (column.type == INSTANT) == column.name.endswith("_at")
        if column.type == "DOUBLE" and column.name != "value":
            assert "second" in column.about


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_can_be_read(fresh, view):
    assert fresh.execute(f"SELECT count(*) FROM {view.name}").fetchall() == [(0,)]


def test_a_migrated_file_is_left_alone(fresh):
    assert migrate(fresh, "memory") == ()
    assert fresh.execute("SELECT version FROM schema_version").fetchall() == [(m.version,) for m in MIGRATIONS]


def test_versions_count_up_without_gaps():
    assert [step.version for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


@pytest.mark.parametrize("old", range(1, NEXT))
def test_a_file_of_each_older_version_gets_the_newest_schema_and_keeps_its_rows(tmp_path, old):
    path = tmp_path / "history.duckdb"
    connection = duckdb.connect(str(path))
    migrate(connection, str(path), MIGRATIONS[:old])
    connection.execute("INSERT INTO events (seq, epoch, path) SELECT range, 7, '/a' FROM range(5000)")
    connection.close()
    connection = duckdb.connect(str(path))

    added = migrate(connection, str(path), WIDER)

    assert added == tuple(range(old + 1, NEXT + 1))
    assert connection.execute("SELECT count(*), sum(seq), any_value(machine) FROM events").fetchall() == [
        (5_000, 12_497_500, "unknown")
    ]
    connection.close()
    connection = duckdb.connect(str(path))
    assert version_of(connection) == NEXT
    connection.close()


@pytest.mark.parametrize("old", range(1, NEXT))
def test_rows_of_every_table_go_into_their_columns_whatever_version_made_the_file(tmp_path, old):
    connection = duckdb.connect(str(tmp_path / "history.duckdb"))
    migrate(connection, "old", MIGRATIONS[:old])
    connection.close()
    store = open_store(tmp_path)
    told = [
        *one_of_each(),
        RunFinished(NOW, "/work/a", "backup", "succeeded", 0.5, "", NOW - 2.0, 1, 1.5, "backup", "", ""),
        RunFinished(NOW, "/work/a", "job-7", "succeeded", 0.5, "", 0.0, 1, 0.25, "", "mail", "mail.send"),
    ]

    keep(store, told)

    for table in ("runs", "exits", "events", "restarts"):
        wanted = [row for seq, event in enumerate(told, 1) for name, row in rows_of(seq, 7, event) if name == table]
        names = ", ".join(
            f"epoch({column.name})" if column.type == INSTANT else column.name for column in BY_NAME[table].columns
        )
        assert store.execute(f"SELECT {names} FROM main.{table} ORDER BY seq") == wanted
    store.close()


def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "history.duckdb"
    connection = duckdb.connect(str(path))
    migrate(connection, str(path), WIDER)
    connection.close()
    before = path.read_bytes()

    with pytest.raises(HistoryVersionError, match=f"version {NEXT}.*up to {NEXT - 1}"):
        open_store(tmp_path)

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.duckdb"]


def test_a_migration_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "history.duckdb"
    open_store(tmp_path).close()
    broken = (*WIDER[:-1], Migration(NEXT, "broken", (*WIDER[-1].statements, "ALTER TABLE nothing ADD COLUMN a INT")))
    connection = duckdb.connect(str(path))

    with pytest.raises(duckdb.Error):
        migrate(connection, str(path), broken)

    assert version_of(connection) == NEXT - 1
    assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'machines'").fetchall() == [(0,)]
    connection.close()


KILLED = """
import os, signal, sys, threading
import duckdb
from actors.history.migrations import MIGRATIONS, Migration, migrate

path, delay = sys.argv[1], float(sys.argv[2])
steps = (*MIGRATIONS, *(
    Migration(version, "more", (f"ALTER TABLE events ADD COLUMN extra{version} VARCHAR DEFAULT 'x'",))
    for version in range(MIGRATIONS[-1].version + 1, MIGRATIONS[-1].version + 20)
))
connection = duckdb.connect(path)
print("ready", flush=True)
threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
migrate(connection, path, steps)
print("done", flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3])
def test_killed_at_any_point_a_file_has_its_old_schema_or_the_new_one(tmp_path, delay):
    path = tmp_path / "history.duckdb"
    store = open_store(tmp_path)
    store.store(batch_of(1))
    store.close()
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(delay)], capture_output=True, text=True, timeout=60
    )
    assert child.stdout.startswith("ready"), child.stderr

    connection = duckdb.connect(str(path))
    version = version_of(connection)
    columns = connection.execute("SELECT count(*) FROM duckdb_columns() WHERE column_name LIKE 'extra%'").fetchall()
    connection.close()

    last = MIGRATIONS[-1].version
    assert (version, columns) in [(last, [(0,)]), (last + 19, [(19,)])]
    if version == last:
        reopened = open_store(tmp_path)
        assert reopened.execute("SELECT count(*) FROM metrics") == [(10,)]
        reopened.close()
