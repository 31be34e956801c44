"""Many rows go in as columns, few by the appender: what is in the file afterwards is the same."""

from __future__ import annotations

import gc
import math
import random

import duckdb
import pytest
from support.history import NOW, batch_of, open_store

from actors.history import appending
from actors.history.columns import Columns, can_pass
from actors.history.migrations import migrate
from actors.history.protocol import Outcome
from actors.history.schema import BY_NAME, INSTANT, TABLES

MANY = appending.COLUMNS_FROM
TEXTS = ["", "a", "/agents/01", "é\0ü", "日本", "x" * 300, None]
NUMBERS = [0, 1, -1, (1 << 63) - 1, -(1 << 63), None]
FLOATS = [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1e308, 7, None]


def rows_for(table: str, count: int) -> list[list[object]]:
    """Return rows of every value that columns pass, the same ones each time."""
    chance = random.Random(4)
    made = {
        "VARCHAR": lambda: chance.choice(TEXTS),
        "BIGINT": lambda: chance.choice(NUMBERS),
        "DOUBLE": lambda: chance.choice(FLOATS),
        INSTANT: lambda: chance.uniform(0.0, 4e9),
    }
    return [[made[column.type]() for column in BY_NAME[table].columns] for _ in range(count)]


def stored(folder, batches, monkeypatch, columns_from: int) -> list[tuple[object, ...]]:
    monkeypatch.setattr(appending, "COLUMNS_FROM", columns_from)
    folder.mkdir()
    store = open_store(folder)
    for batch in batches:
        assert store.store(batch).outcome is Outcome.STORED
    (table,) = {table.name for table in TABLES if store.execute(f"SELECT 1 FROM main.{table.name} LIMIT 1")} - {
        "batches", "schema_version",
    }  # fmt: skip
    found = store.execute(f"SELECT COLUMNS(*)::VARCHAR FROM main.{table} ORDER BY rowid")
    store.close()
    return found


@pytest.mark.parametrize("table", [t.name for t in TABLES if can_pass(t) and t.instant])
def test_rows_are_the_same_whichever_way_they_went_in(tmp_path, monkeypatch, table):
    batches = [batch_of(n, rows_for(table, MANY + n), table=table) for n in (1, 2, 3)]

    columns = stored(tmp_path / "columns", batches, monkeypatch, MANY)
    appended = stored(tmp_path / "appended", batches, monkeypatch, 1 << 30)

    assert len(columns) == 3 * MANY + 6
    assert columns == appended


@pytest.mark.parametrize(
    ("column", "odd"),
    [("seq", 1 << 63), ("seq", "seven"), ("value", "much"), ("happened_at", math.nan), ("happened_at", 1e30)],
)
def test_one_odd_row_among_many_is_rejected_and_the_others_are_stored(tmp_path, column, odd):
    store = open_store(tmp_path)
    rows = rows_for("metrics", MANY)
    rows[MANY // 2][BY_NAME["metrics"].column_names.index(column)] = odd

    answer = store.store(batch_of(1, rows, table="metrics"))
    after = store.store(batch_of(2, rows_for("metrics", MANY), table="metrics"))

    assert (answer.outcome, answer.rejected, after.rejected) == (Outcome.STORED, 1, 0)
    assert store.execute("SELECT count(*) FROM metrics") == [(2 * MANY - 1,)]
    assert store.execute("SELECT table_name, batch FROM rejects") == [("metrics", 1)]
    store.close()


def test_a_row_of_the_wrong_length_among_many_is_rejected(tmp_path):
    store = open_store(tmp_path)
    rows = rows_for("metrics", MANY)
    rows[7].append("more")

    assert store.store(batch_of(1, rows, table="metrics")).rejected == 1
    store.close()


def test_an_instant_out_of_range_for_columns_and_not_for_the_table_is_stored(tmp_path):
    store = open_store(tmp_path)
    rows = rows_for("metrics", MANY)
    rows[3][2] = 5e9  # the year 2128

    assert store.store(batch_of(1, rows, table="metrics")).rejected == 0
    assert store.execute("SELECT count(*) FROM metrics WHERE happened_at > '2128-01-01'") == [(1,)]
    store.close()


def test_a_batch_that_is_rolled_back_leaves_nothing_and_the_next_one_goes_in(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    rows = rows_for("metrics", MANY)

    def fail(*_: object) -> None:
        raise duckdb.IOException("IO Error: No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(appending.Appenders, "append_own", fail)  # after the rows, before the commit
        assert store.store(batch_of(1, rows, table="metrics")).outcome is Outcome.REFUSED
    assert store.execute("SELECT count(*) FROM metrics") == [(0,)]

    assert store.store(batch_of(1, rows, table="metrics")).outcome is Outcome.STORED
    assert store.execute("SELECT count(*) FROM metrics") == [(MANY,)]
    store.close()


def test_columns_may_be_read_again_read_late_and_let_go_unread():
    table = BY_NAME["metrics"]
    connection = duckdb.connect(config={"threads": "1"})
    migrate(connection, "memory")
    columns = Columns(table)
    connection.register("source", columns)
    for count in (1, 7, 8, 9, 2_049, 10_000):
        columns.fill([[n, None, NOW, "/a", "é", float(n), None] for n in range(count)])
        for _ in range(3):
            found = connection.execute("SELECT count(*), sum(seq), count(epoch), max(name) FROM source").fetchall()
            assert found == [(count, count * (count - 1) // 2, 0, "é")]
        assert connection.execute("SELECT seq FROM source LIMIT 1").fetchall() == [(0,)]
        unread = columns.__arrow_c_stream__()
        columns.clear()
        del unread
        gc.collect()
        assert connection.execute("SELECT count(*) FROM source").fetchall() == [(0,)]
    connection.close()
