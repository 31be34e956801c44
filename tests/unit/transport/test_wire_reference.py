"""docs/reference/wire.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from transport.control.protocol import ID_LIMIT, TEXT_LIMIT, Request
from transport.endpoints import SOCKET_PATH_LIMIT, Endpoints
from transport.envelope import Envelope, Kind
from transport.errors import ErrorCode
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS, WIRE_LIMITS
from transport.security import Role
from transport.taps.frames import CLASSES, TapHeader
from transport.taps.publisher import HEADS_MAX, TOPICS_MAX

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
CODE = {word for span in re.findall(r"`([^`]+)`", PROSE) for word in span.split()}


@pytest.mark.parametrize(
    "names",
    [Endpoints.__struct_fields__, Request.__struct_fields__, TapHeader.__struct_fields__, ErrorCode, CLASSES],
    ids=["endpoints", "request", "header", "codes", "classes"],
)
def test_every_name_is_described(names):
    assert {str(name) for name in names} <= CODE


def test_every_role_is_described():
    assert {str(role) for role in Role if role} <= CODE


def test_every_envelope_field_and_kind_is_described_by_its_number():
    for at, field in enumerate(Envelope.__struct_fields__):
        assert f"\n| {at} | {field} |" in TEXT
    kinds = re.search(r"\| 1 \| kind \| int \| (.*) \|", TEXT)
    assert kinds is not None
    assert kinds[1] == ", ".join(f"{int(kind)} {kind.name.lower()}" for kind in Kind)


@pytest.mark.parametrize(
    "said",
    [
        f"text <= {ID_LIMIT} |",
        f"text <= {TEXT_LIMIT} |",
        f"more than {SOCKET_PATH_LIMIT} bytes",
        f"A request: {REQUEST_LIMITS.max_frame_bytes // 2**20} MiB, {REQUEST_LIMITS.max_depth} deep, "
        f"{REQUEST_LIMITS.max_items:,} values, {REQUEST_LIMITS.max_array_items:,} in an array, "
        f"{REQUEST_LIMITS.max_map_items:,} pairs in a map",
        f"An answer: {RESPONSE_LIMITS.max_frame_bytes // 2**20} MiB",
        f"A frame {WIRE_LIMITS.max_frame_bytes // 2**20} MiB, {WIRE_LIMITS.max_depth} deep, "
        f"{WIRE_LIMITS.max_items:,} values, {WIRE_LIMITS.max_array_items:,} envelopes, "
        f"texts {WIRE_LIMITS.max_str_bytes:,} bytes, a payload 16 MiB",
        f"({HEADS_MAX:,} do)",
        f"A {TOPICS_MAX + 1:,}st topic",
    ],
)
def test_every_limit_is_stated_as_it_is(said):
    assert said in TEXT
