from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from actors.history.cells import cell, wire_cells

CASES = [
    (None, None),
    (True, True),
    (2**63 - 1, 2**63 - 1),
    (2**63, str(2**63)),
    (-(2**63), -(2**63)),
    (1.5, 1.5),
    ("é", "é"),
    (Decimal("1.5"), 1.5),
    (Decimal("0.1"), 0.1),
    (Decimal("12345678901234567890.123"), "12345678901234567890.123"),
    (dt.datetime.fromisoformat("2026-11-21T14:02:11.482"), "2026-11-21T14:02:11.482000"),
    (dt.datetime(2026, 11, 21, tzinfo=dt.UTC), "2026-11-21T00:00:00+00:00"),
    (dt.date(2026, 11, 21), "2026-11-21"),
    (dt.time(14, 2), "14:02:00"),
    (dt.timedelta(hours=1, milliseconds=5), 3600.005),
    (b"a\\\xff", "a\\x5C\\xFF"),
    (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ({1: Decimal("1.5"), "a": [b"\x00"]}, {"1": 1.5, "a": ["\\x00"]}),
    ([(1, 2), None], [[1, 2], None]),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[repr(value) for value, _ in CASES])
def test_a_value_becomes_what_msgpack_and_json_both_have(value, expected):
    found = cell(value)

    assert found == expected
    assert type(found) is type(expected)
    assert msgspec.json.decode(msgspec.json.encode(found)) == expected
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found)) == expected


def test_a_number_that_is_none_stays_one():
    assert math.isnan(cell(math.nan))


def test_an_instant_with_a_zone_says_that_it_is_utc_inside_containers_too():
    convert = wire_cells(["TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "STRUCT(a TIMESTAMP WITH TIME ZONE[])"])
    at = dt.datetime.fromisoformat("2026-11-21")

    assert convert((at, at, {"a": [at]})) == [
        "2026-11-21T00:00:00Z",
        "2026-11-21T00:00:00",
        {"a": ["2026-11-21T00:00:00Z"]},
    ]
