from __future__ import annotations

import math

import pytest
from support.history import NOW, RUN

from actors.events import ActorStarted, Event, MetricSampled, RunFinished
from actors.history.batching import PACKED_FROM, BatchMaker
from actors.history.packing import PackedRows
from actors.history.protocol import TableRows, decode_rows, decode_tables
from actors.history.schema import BY_NAME


class Made:
    """Collects what a maker hands on."""

    def __init__(self, rows_limit: int = 1_000, bytes_limit: int = 1_000_000) -> None:
        self.sizes: list[int] = []
        self.counts: list[int] = []
        self.tables: list[TableRows] = []
        self.packed: set[str] = set()
        self.maker = BatchMaker(RUN, self._put, rows_limit=rows_limit, bytes_limit=bytes_limit)

    def _put(self, data: bytes, count: int) -> None:
        self.sizes.append(len(data))
        self.counts.append(count)
        self.tables += decode_rows(data)
        self.packed |= {part.table for part in decode_tables(data) if isinstance(part, PackedRows)}

    def rows(self, table: str) -> list[dict[str, object]]:
        return [
            dict(zip(part.columns, row, strict=True))
            for part in self.tables
            if part.table == table
            for row in part.rows
        ]


def test_the_first_batch_tells_of_the_run_of_the_node():
    made = Made()
    made.maker.finish()

    assert made.rows("runs_of_node") == [
        {"node": "node", "epoch": 7, "started_at": RUN.started_at, "pid": 4121, "version": "0.1.0"}
    ]


def test_rows_go_by_table_with_the_columns_of_the_schema():
    made = Made()
    made.maker.add(1, ActorStarted(NOW, "/a", 1, "pool", 5, 0.1))
    made.maker.add(2, MetricSampled(NOW, "/", "memory", math.nan, "ratio"))
    made.maker.finish()

    assert {part.table: part.columns for part in made.tables} == {
        name: BY_NAME[name].column_names for name in ("runs_of_node", "events", "starts", "metrics")
    }
    assert made.maker.rows == sum(made.counts) == 4


def test_many_rows_of_a_table_are_packed_and_few_are_not():
    made = Made()
    for seq in range(PACKED_FROM):
        made.maker.add(seq, MetricSampled(NOW, "/", "memory", math.inf, "ratio"))
    made.maker.add(PACKED_FROM, ActorStarted(NOW, "/a", 1, "pool", 5, 0.1))
    made.maker.finish()

    assert made.packed == {"metrics"}
    assert [row["seq"] for row in made.rows("metrics")] == list(range(PACKED_FROM))
    assert len(made.rows("starts")) == 1


def test_one_row_that_cannot_be_packed_leaves_all_of_its_table_as_rows():
    made = Made()
    for seq in range(PACKED_FROM):
        made.maker.add(seq, MetricSampled(NOW if seq else 1e10, "/", "memory", 0.5, "ratio"))
    made.maker.finish()

    assert made.packed == set()
    assert len(made.rows("metrics")) == PACKED_FROM
    assert made.rows("rejects") == []


def test_a_batch_is_full_at_its_limit_of_rows():
    made = Made(rows_limit=10)
    for seq in range(35):
        made.maker.add(seq, MetricSampled(NOW, "/", "memory", 0.5, "ratio"))
    made.maker.finish()

    assert max(made.counts) == 10
    assert sum(made.counts) == 36


def test_a_batch_is_full_at_its_limit_of_text():
    made = Made(bytes_limit=10_000)
    for seq in range(50):
        made.maker.add(seq, RunFinished(NOW, "/a", "inbox", "failed", 1.0, "x" * 1_000))
    made.maker.finish()

    assert max(made.sizes) < 15_000
    assert len(made.rows("runs")) == 50


def test_nothing_to_hand_on_makes_no_batch():
    made = Made()
    made.maker.finish()
    made.maker.finish()

    assert made.counts == [1]


@pytest.mark.parametrize(
    "event",
    [
        ActorStarted(NOW, "/a", 2**70, "pool", 5, 0.1),
        ActorStarted(NOW, "/a", 1, "pool", 5, object()),  # type: ignore[arg-type]
        RunFinished(NOW, "/a", "inbox", "failed", "soon"),  # type: ignore[arg-type]
        MetricSampled("never", "/", "memory", {1: object()}, "ratio"),  # type: ignore[arg-type]
    ],
    ids=["huge integer", "object for a number", "text for a number", "nothing fits"],
)
def test_an_event_that_cannot_be_stored_is_kept_as_text_and_spoils_no_other(event):
    made = Made()
    made.maker.add(1, MetricSampled(NOW, "/", "memory", 0.5, "ratio"))
    made.maker.add(2, event)
    made.maker.add(3, MetricSampled(NOW, "/", "memory", 0.5, "ratio"))
    made.maker.finish()

    assert [row["seq"] for row in made.rows("metrics")] == [1, 3]
    assert made.rows("rejects")
    for row in made.rows("rejects"):
        assert row["error"]
        assert "/" in str(row["content"])


def test_a_batch_with_one_huge_event_passes_as_one_frame():
    class Huge(Event, frozen=True):
        a: str

    made = Made()
    giant = "\U0001f600" * 1_000_000
    made.maker.add(1, Huge(NOW, giant, giant))
    made.maker.add(2, RunFinished(NOW, "/a", giant, giant, 1.0, giant))
    made.maker.finish()

    assert max(made.sizes) < 12 * 1024 * 1024
    assert len(made.rows("runs")) == 1
