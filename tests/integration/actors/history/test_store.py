from __future__ import annotations

import math

import pytest
from support.history import NOW, RUN, batch_of, batches_of, keep, metric_rows, one_of_each, open_store

from actors.events import EVENT_TYPES
from actors.history.files import FileSettings
from actors.history.protocol import Outcome, Store, TableRows, encode_rows
from actors.history.schema import BY_NAME


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def count(store, table="metrics"):
    ((found,),) = store.execute(f"SELECT count(*) FROM {table}")
    return found


def test_events_of_every_class_are_stored_in_their_tables(store):
    keep(store, one_of_each())

    found = {table: count(store, table) for table in BY_NAME if table not in {"schema_version", "batches"}}
    assert found == {
        "runs_of_node": 1,
        "events": len(EVENT_TYPES) - 1,
        "starts": 1,
        "exits": 2,
        "restarts": 1,
        "limits": 1,
        "commands": 1,
        "failed_asks": 1,
        "dead_letters": 1,
        "runs": 1,
        "metrics": 1,
        "lost": 1,
        "rejects": 0,
    }
    assert store.execute("SELECT epoch(happened_at), group_paths, delay FROM restarts") == [
        (NOW, ["/io/mail", "/io/sms"], 0.5)
    ]


def test_a_batch_that_is_sent_twice_is_stored_once_by_the_next_instance_too(store, tmp_path):
    first = store.store(batch_of(1))
    again = store.store(batch_of(1))
    store.close()
    reopened = open_store(tmp_path)
    later = reopened.store(batch_of(1))

    assert (first.outcome, again.outcome, later.outcome) == (Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE)
    assert count(reopened) == 10
    reopened.close()


def test_a_batch_is_noted_with_its_rows(store):
    store.store(batch_of(1))
    store.store(batch_of(2, metric_rows(3)))

    assert store.execute("SELECT source, first_batch, batch, rows FROM batches ORDER BY batch") == [
        ("node#7", 1, 1, 10),
        ("node#7", 2, 2, 3),
    ]


ODD_METRICS = [
    [1, 7, NOW, "/", "nan", math.nan, "count"],
    [2, 7, NOW, "/", "inf", -math.inf, "count"],
    [3, 7, NOW, "/", "nul \x00 byte", 1.0, "count"],
    [4, 7, NOW, "/", "x" * 1_048_576, 1.0, "count"],
    [5, 7, None, "/", "no instant", None, None],
    [6, 7, 0.0, "/", "1970", 1, "count"],
    [7, 7, NOW, "/", "é\U0001f600", 1.0, "count"],
]


def test_odd_values_are_stored_as_they_are(store):
    answer = store.store(batch_of(1, ODD_METRICS))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, 0)
    found = store.execute("SELECT seq, name, value, epoch(happened_at) FROM metrics ORDER BY seq")
    assert [row[1] for row in found] == [row[4] for row in ODD_METRICS]
    assert math.isnan(found[0][2])
    assert found[1][2] == -math.inf
    assert found[4][2:] == (None, None)
    assert found[5][3] == 0.0


BAD_METRICS = [
    ["one", 7, NOW, "/", "text for a number", 1.0, "count"],
    [2**63, 7, NOW, "/", "more than 64 bits", 1.0, "count"],
    [3, 7, math.nan, "/", "no instant", 1.0, "count"],
    [4, 7, math.inf, "/", "no instant", 1.0, "count"],
    [5, 7, 1e30, "/", "beyond time", 1.0, "count"],
    [6, 7, "noon", "/", "text for an instant", 1.0, "count"],
    [7, 7, NOW, "/", "too few"],
    [8, 7, NOW, "/", "too many", 1.0, "count", "more"],
    [],
]


def test_rows_a_table_cannot_take_are_kept_as_text_and_the_others_are_stored(store):
    good = metric_rows(5, 100)
    mixed = [row for pair in zip(good, BAD_METRICS[:5], strict=True) for row in pair] + BAD_METRICS[5:]

    answer = store.store(batch_of(1, mixed))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, len(BAD_METRICS))
    assert store.execute("SELECT seq FROM metrics ORDER BY seq") == [(100,), (101,), (102,), (103,), (104,)]
    rejects = store.execute("SELECT source, batch, table_name, error, content FROM rejects")
    assert {row[:3] for row in rejects} == {("node#7", 1, "metrics")}
    assert len(rejects) == len(BAD_METRICS)
    assert all(error for _, _, _, error, _ in rejects)
    assert any("too many" in content for *_, content in rejects)
    assert store.execute("SELECT rows FROM batches") == [(5,)]


def test_a_bad_row_spoils_neither_the_batch_before_nor_the_one_after(store):
    store.store(batch_of(1))
    store.store(batch_of(2, [*metric_rows(2, 50), BAD_METRICS[0]]))
    store.store(batch_of(3))

    assert count(store) == 22


def test_a_batch_that_failed_leaves_nothing_behind_for_the_next(store):
    store.store(batch_of(1))
    store.execute("ALTER TABLE metrics RENAME TO elsewhere")

    refused = store.store(batch_of(2))

    assert refused.outcome is Outcome.REFUSED
    assert refused.retry_after > 0
    assert "metrics" in store.problem
    store.execute("ALTER TABLE elsewhere RENAME TO metrics")
    assert store.store(batch_of(3)).outcome is Outcome.STORED
    assert store.store(batch_of(2)).outcome is Outcome.STORED
    assert store.problem == ""
    assert store.execute("SELECT count(*), count(DISTINCT seq) FROM metrics") == [(30, 30)]
    assert store.execute("SELECT batch FROM batches ORDER BY batch") == [(1,), (2,), (3,)]


def test_rows_for_tables_and_columns_that_do_not_exist_are_kept_as_text(store):
    data = encode_rows(
        [
            TableRows("nothing", ("a",), [[1]]),
            TableRows("metrics", ("seq", "colour"), [[1, "red"]]),
            TableRows('metrics"; DROP TABLE metrics; --', ("a",), [[1]]),
            TableRows("metrics", BY_NAME["metrics"].column_names, metric_rows(1)),
        ]
    )

    answer = store.store(Store("node#7", 1, data, 4))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, 3)
    assert count(store) == 1


def test_rows_of_an_older_program_fit_a_table_that_has_more_columns(store):
    store.store(batch_of(1, [[1, 7, NOW], [2, 7, NOW]], columns=("seq", "epoch", "happened_at")))

    assert store.execute("SELECT seq, name FROM metrics ORDER BY seq") == [(1, None), (2, None)]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90garbage", b"\x91\x01", encode_rows([])[:-1]])
def test_a_batch_that_cannot_be_read_is_counted_and_not_asked_for_again(store, data):
    answer = store.store(Store("node#7", 1, data, 9))

    assert (answer.outcome, answer.rejected) == (Outcome.STORED, 1)
    ((said,),) = store.execute("SELECT error FROM rejects")
    assert "9 rows" in said
    assert store.store(Store("node#7", 1, data, 9)).outcome is Outcome.DUPLICATE


def test_batches_that_were_acknowledged_and_are_gone_are_told_of_once(store):
    store.store(batch_of(3, acknowledged=2))
    second = store.store(batch_of(4, acknowledged=3))

    assert second.notices == ()
    assert store.execute("SELECT first_missing, last_missing, missing FROM gaps") == [(1, 2, 2)]


def test_the_notice_names_source_and_batches(store):
    answer = store.store(batch_of(6, acknowledged=5))

    (notice,) = answer.notices
    assert notice.why == "node#7: stored before and gone from the file: batches 1 to 5"


def test_batches_still_unanswered_are_not_called_gone(store):
    assert store.store(batch_of(5, acknowledged=0)).notices == ()


def test_a_checkpoint_moves_the_log_into_the_file(store):
    store.store(batch_of(1, metric_rows(1_000)))
    wal = store.path.with_name(store.path.name + ".wal")
    before = wal.stat().st_size

    assert store.checkpoint() == ""

    assert before > 10_000
    assert not wal.exists() or wal.stat().st_size < before


def test_batches_of_several_sources_do_not_mix(store):
    store.store(batch_of(1, source="node#7"))
    store.store(batch_of(1, source="node#8"))

    assert count(store) == 20


def test_the_ledger_of_a_reopened_file_is_that_of_before(store, tmp_path):
    for number in (1, 2, 3, 7, 9):
        store.store(batch_of(number))
    before = store._ledger.ranges("node#7")
    store.close()

    reopened = open_store(tmp_path)

    assert reopened._ledger.ranges("node#7") == before == ((1, 3), (7, 7), (9, 9))
    reopened.close()


def test_a_store_has_its_memory_limit(tmp_path):
    store = open_store(tmp_path, settings=FileSettings(memory_bytes=300_000_000))

    ((said,),) = store.execute("SELECT current_setting('memory_limit')")
    store.close()

    assert said == "286.1 MiB"


def test_a_run_of_the_node_is_kept(store):
    keep(store, [])

    assert store.execute("SELECT node, epoch, epoch(started_at), pid, version FROM runs_of_node") == [
        ("node", 7, RUN.started_at, 4121, "0.1.0")
    ]
    assert len(batches_of([])) == 1
