"""Rows as columns of bytes: what is packed comes out the same, and what leads outside its buffers is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from actors.history.packing import (
    LAST_INSTANT,
    WORDS_LIMIT,
    Packed,
    PackedRows,
    can_pack,
    checked,
    fits,
    pack,
    unpack,
)
from actors.history.protocol import TableRows, decode_rows, decode_tables, encode_rows
from actors.history.schema import BY_NAME, INSTANT, TABLES

METRICS = BY_NAME["metrics"]
TEXT_AT, INSTANT_AT = 3, 2
VALUES = {
    "BIGINT": st.integers(-(1 << 63), (1 << 63) - 1),
    "DOUBLE": st.floats(),
    "VARCHAR": st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(["a", "é", ""]),
    INSTANT: st.floats(0.0, LAST_INSTANT, exclude_max=True),
}


def rows_of(table):
    cells = [VALUES[column.type] | st.none() for column in table.columns]
    return st.lists(st.tuples(*cells), min_size=1, max_size=60)


def metrics(count: int, text=lambda n: f"/a/{n}") -> list[tuple[object, ...]]:
    return [(n, 1, 1_750_000_000.5, text(n), "n", float(n), "count") for n in range(count)]


def same(left: object, right: object, kind: str) -> bool:
    if left is None or right is None or not isinstance(left, float):
        return left == right
    if kind == INSTANT:  # as whole microseconds
        return datetime.fromtimestamp(left, UTC) == datetime.fromtimestamp(right, UTC)  # type: ignore[arg-type]
    return left == right or (math.isnan(left) and math.isnan(right))  # type: ignore[arg-type]


@given(st.sampled_from([table for table in TABLES if can_pack(table)]).flatmap(
    lambda table: st.tuples(st.just(table), rows_of(table))
))  # fmt: skip
def test_what_is_packed_and_sent_comes_out_the_same(case):
    table, rows = case

    (found,) = decode_rows(encode_rows([pack(table, rows)]))

    assert (found.table, found.columns, len(found.rows)) == (table.name, table.column_names, len(rows))
    for before, after in zip(rows, found.rows, strict=True):
        assert all(
            same(left, right, column.type) for left, right, column in zip(before, after, table.columns, strict=True)
        )


@pytest.mark.parametrize("different", [1, 2, WORDS_LIMIT, WORDS_LIMIT + 1, 1_000])
def test_texts_that_repeat_are_there_once(different):
    rows = metrics(1_000, lambda n: f"/é/{n // 100 if n < 100 else n % different}")

    packed = pack(METRICS, rows)

    assert bool(packed.cells[TEXT_AT].codes) == (len({row[TEXT_AT] for row in rows}) <= WORDS_LIMIT)
    assert [row[TEXT_AT] for row in unpack(checked(packed))] == [row[TEXT_AT] for row in rows]


@pytest.mark.parametrize(
    ("at", "odd"),
    [(0, 1 << 63), (0, "seven"), (0, 1.5), (3, 7), (3, ["a"]), (3, "\ud800"), (5, "much"), (2, math.nan), (2, math.inf),
     (2, -1.0), (2, LAST_INSTANT), (2, "now")],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 3, 300])
def test_an_odd_value_is_not_packed(at, odd, count):
    rows = metrics(count)
    rows[-1] = (*rows[-1][:at], odd, *rows[-1][at + 1 :])

    with pytest.raises((TypeError, ValueError, OverflowError)):
        pack(METRICS, rows)


def test_others_are_let_in_before_each_column():
    let_in: list[int] = []

    packed = pack(METRICS, metrics(3), between=lambda: let_in.append(1))

    assert packed == pack(METRICS, metrics(3))
    assert len(let_in) == len(METRICS.columns)


@pytest.mark.parametrize("length", [0, 6, 8])
def test_a_row_of_the_wrong_length_is_not_packed(length):
    with pytest.raises(ValueError, match="too short or too long"):
        pack(METRICS, [*metrics(3), (1,) * length])


FAULTS = {
    "numbers-short": (0, {"data": b"\0" * 8}),
    "numbers-long": (5, {"data": b"\0" * 800}),
    "unknown-kind": (0, {"kind": "blob"}),
    "validity-short": (0, {"nulls": 1, "validity": b""}),
    "validity-unasked": (0, {"validity": b"\xff"}),
    "nulls-negative": (0, {"nulls": -1}),
    "instant-late": (INSTANT_AT, {"data": (1 << 62).to_bytes(8, "little") * 20}),
    "instant-early": (INSTANT_AT, {"data": b"\xff" * 160}),
    "code-of-no-text": (TEXT_AT, {"codes": b"\x07" * 20}),
    "codes-short": (TEXT_AT, {"codes": b"\0"}),
    "codes-gone": (TEXT_AT, {"codes": b""}),
    "lengths-odd": (TEXT_AT, {"lengths": b"\0\0\0"}),
    "lengths-huge": (TEXT_AT, {"lengths": b"\xff\xff\xff\xff" * 2}),
    "lengths-more": (TEXT_AT, {"lengths": b"\x09\0\0\0" * 2}),
    "texts-cut-inside": (TEXT_AT, {"data": "éé".encode(), "lengths": b"\x01\0\0\0\x03\0\0\0"}),
    "texts-no-utf-8": (TEXT_AT, {"data": b"\xff\xfe", "lengths": b"\x01\0\0\0\x01\0\0\0"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_leads_outside_its_buffers_is_refused(fault):
    at, change = FAULTS[fault]
    packed = pack(METRICS, metrics(20, lambda n: "ab"[n % 2]))
    cells = list(packed.cells)
    cells[at] = structs.replace(cells[at], **change)

    with pytest.raises(ValueError, match=r"metrics\."):
        decode_tables(encode_rows([structs.replace(packed, cells=tuple(cells))]))


@pytest.mark.parametrize("count", [-1, 0, 19, 21, 1 << 40])
def test_rows_of_another_number_than_said_are_refused(count):
    packed = structs.replace(pack(METRICS, metrics(20)), count=count)

    with pytest.raises(ValueError, match="metrics"):
        checked(packed)


def test_columns_that_are_not_the_tables_do_not_fit():
    packed = pack(METRICS, metrics(3))

    assert fits(packed)
    assert not fits(structs.replace(packed, table="nothing"))
    assert not fits(structs.replace(packed, columns=packed.columns[::-1]))
    assert not fits(structs.replace(packed, cells=(packed.cells[1], *packed.cells[:-1])))
    assert not fits(PackedRows("events", packed.columns, None, 1, packed.cells))


def test_rows_as_earlier_programs_sent_them_are_read():
    earlier = msgspec.msgpack.encode([["metrics", ["seq", "name"], [[1, "a"], [2, None]]]])

    assert decode_tables(earlier) == [TableRows("metrics", ("seq", "name"), [[1, "a"], [2, None]])]


def test_an_earlier_program_takes_packed_rows_for_no_rows_at_all():
    data = encode_rows([pack(METRICS, metrics(3))])

    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(data, type=list[tuple[str, tuple[str, ...], list[list[object]]]])
    assert isinstance(decode_tables(data)[0], PackedRows)
    assert all(isinstance(cells, Packed) for cells in decode_tables(data)[0].cells)  # type: ignore[union-attr]
