"""Many rows go in as columns, few by the appender: what is in the file afterwards is the same."""

from __future__ import annotations

import gc
import math
import random

import duckdb
import pytest
from msgspec import structs
from support.history import NOW, batch_of, open_store

from actors.history import appending
from actors.history.columns import Columns
from actors.history.migrations import migrate
from actors.history.packing import can_pack, pack
from actors.history.protocol import Outcome, Store, Stored, encode_rows
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


@pytest.mark.parametrize("table", [t.name for t in TABLES if can_pack(t) and t.instant])
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
        columns.fill(pack(table, [[n, None, NOW, "/a", "é", float(n), None] for n in range(count)]))
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


@pytest.mark.parametrize("count", [1, 2_047, 2_048, 2_049, 4_000])
def test_packed_rows_go_in_whether_their_texts_repeat_or_not(tmp_path, count):
    table = BY_NAME["metrics"]
    store = open_store(tmp_path)
    for number, texts in enumerate((2, count, 3, 1), 1):
        rows = [[n, 1, NOW + n, f"/é/{n % texts}", None if n % 3 else "a", float(n), ""] for n in range(count)]
        batch = Store("node#7", number, encode_rows([pack(table, rows)]), count, 0)

        assert store.store(batch) == Stored("node#7", number, Outcome.STORED)
        found = store.execute("SELECT seq, path, name, unit, epoch(happened_at) FROM metrics ORDER BY seq")
        assert found == [(row[0], row[3], row[4], row[6], row[2]) for row in rows]
        assert store.execute("SELECT rows FROM batches WHERE batch = $1", [number]) == [(count,)]
        store.execute("DELETE FROM metrics")
    store.close()


def test_packed_rows_of_an_older_program_and_for_no_table_are_not_lost(tmp_path):
    store = open_store(tmp_path)
    packed = pack(BY_NAME["metrics"], [[n, 1, NOW, "/", "n", 1.0, "count"] for n in range(20)])
    older = structs.replace(packed, columns=packed.columns[:-1], cells=packed.cells[:-1])
    foreign = structs.replace(packed, table="nothing")

    answer = store.store(Store("node#7", 1, encode_rows([older, foreign]), 40, 0))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, 20)
    assert store.execute("SELECT count(*), count(unit) FROM metrics") == [(20, 0)]
    assert store.execute("SELECT count(*), max(table_name) FROM rejects") == [(20, "nothing")]
    store.close()


def test_packed_rows_that_lead_outside_their_buffers_are_one_reject(tmp_path):
    store = open_store(tmp_path)
    packed = pack(BY_NAME["metrics"], [[n, 1, NOW, "/", "n", 1.0, "count"] for n in range(20)])
    torn = structs.replace(packed, cells=(structs.replace(packed.cells[0], data=b"\0" * 8), *packed.cells[1:]))

    answer = store.store(Store("node#7", 1, encode_rows([torn]), 20, 0))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, 1)
    assert "unreadable batch of 20 rows" in store.execute("SELECT error FROM rejects")[0][0]
    store.close()
