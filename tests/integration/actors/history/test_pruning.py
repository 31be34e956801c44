from __future__ import annotations

import time

import pytest
from support.history import batch_of, keep, metric_rows, one_of_each, open_store

from actors.events import EVENT_TYPES
from actors.history.protocol import Outcome
from actors.history.pruning import prune, usage
from actors.history.retention import DAY, SMALLEST_BUDGET, Retention
from actors.history.schema import BY_NAME

DAY_ROWS = 20_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def fill_day(store, number: int, day: int, table: str = "metrics") -> float:
    """Store a day of metrics, in batches of 1000, and return the instant the day begins."""
    began = day * DAY
    for part in range(DAY_ROWS // 1_000):
        rows = [
            [seq, 7, began + seq, f"/a/{seq % 50}", f"name {seq % 7}", float(hash((seq, day)) % 1_000_003), "count"]
            for seq in range(part * 1_000, (part + 1) * 1_000)
        ]
        answer = store.store(batch_of(number * 1_000 + part, rows, table=table, source="filler#1"))
        assert answer.outcome is Outcome.STORED
    return began


def test_rows_beyond_their_age_go_and_the_others_stay(store):
    keep(store, one_of_each())
    days = {day: fill_day(store, day, day) for day in range(20_000, 20_004)}
    now = days[20_003] + DAY

    pruned = prune(store, Retention(events_age=100_000 * DAY, metrics_age=2 * DAY), now)

    assert pruned.rows == {"metrics": 2 * DAY_ROWS}
    assert pruned.why == ""
    assert store.execute("SELECT count(*), min(epoch(happened_at)) FROM metrics WHERE path <> '/'") == [
        (2 * DAY_ROWS, days[20_002])
    ]
    assert store.execute("SELECT count(*) FROM events") == [(len(EVENT_TYPES) - 1,)]


def test_everything_made_of_events_goes_with_them_and_what_lasts_stays(store):
    keep(store, one_of_each())

    prune(store, Retention(events_age=1.0, metrics_age=1.0), time.time())

    left = {name: store.execute(f"SELECT count(*) FROM {name}")[0][0] for name in BY_NAME}
    assert {name for name, count in left.items() if count} == {"schema_version", "runs_of_node", "batches"}


def test_the_file_does_not_grow_while_as_much_goes_as_comes(store):
    sizes = []
    for day in range(20_000, 20_016):
        began = fill_day(store, day, day)
        prune(store, Retention(metrics_age=4 * DAY), began + DAY)
        sizes.append(store.path.stat().st_size)

    assert store.execute("SELECT count(*) FROM metrics") == [(4 * DAY_ROWS,)]
    assert max(sizes[8:]) <= 1.5 * max(sizes[3:8])


def test_above_its_budget_the_oldest_go_whatever_their_age(store):
    store.execute(
        """
        INSERT INTO events (seq, epoch, happened_at, path, payload)
        SELECT range, 7, to_timestamp(1700000000 + range), '/', concat(md5(range::VARCHAR), md5(range || 'x'),
               md5(range || 'y'), md5(range || 'z'), md5(range || 'a'), md5(range || 'b'))
        FROM range(500000)
        """
    )
    assert store.checkpoint() == ""
    before, _ = usage(store)
    budget = before // 2
    assert budget > SMALLEST_BUDGET

    pruned = prune(store, Retention(events_age=1_000_000 * DAY, max_bytes=budget), 1_700_500_000.0)

    assert pruned.why == ""
    assert pruned.used_bytes <= budget
    ((left, newest),) = store.execute("SELECT count(*), max(seq) FROM events")
    assert 100_000 < left == 500_000 - pruned.rows["events"]
    assert newest == 499_999


def test_notes_of_old_batches_are_merged_and_still_make_a_batch_count_once(store):
    for number in (*range(1, 30), *range(40, 50)):
        store.store(batch_of(number))
    store.store(batch_of(1, source="node#8"))

    prune(store, Retention(), time.time() + 2 * 3_600.0)

    assert store.execute("SELECT source, first_batch, batch, rows FROM batches ORDER BY source, batch") == [
        ("node#7", 1, 29, 290),
        ("node#7", 40, 49, 100),
        ("node#8", 1, 1, 10),
    ]
    assert store.execute("SELECT first_missing, last_missing FROM gaps") == [(30, 39)]
    assert store.store(batch_of(17)).outcome is Outcome.DUPLICATE
    assert store.store(batch_of(30)).outcome is Outcome.STORED
    assert store.store(batch_of(50)).outcome is Outcome.STORED


def test_notes_of_young_batches_are_left_alone(store):
    for number in range(1, 10):
        store.store(batch_of(number))

    prune(store, Retention(), time.time())

    assert store.execute("SELECT count(*) FROM batches") == [(9,)]


def test_merged_notes_are_merged_again_with_what_follows_them(store):
    later = time.time() + 2 * 3_600.0
    for number in range(1, 10):
        store.store(batch_of(number))
    prune(store, Retention(), later)
    for number in range(10, 20):
        store.store(batch_of(number))
    prune(store, Retention(), later)

    assert store.execute("SELECT first_batch, batch, rows FROM batches") == [(1, 19, 190)]


def test_pruning_leaves_what_comes_after_to_be_stored(store):
    store.store(batch_of(1, metric_rows(1_000)))
    prune(store, Retention(metrics_age=1.0), time.time())

    assert store.store(batch_of(2, metric_rows(5))).outcome is Outcome.STORED
    assert store.execute("SELECT count(*) FROM metrics") == [(5,)]


def test_an_age_that_is_not_positive_is_refused(store):
    with pytest.raises(ValueError, match="positive"):
        prune(store, Retention(events_age=-1.0), time.time())
