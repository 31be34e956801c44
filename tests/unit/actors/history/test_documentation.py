from __future__ import annotations

import re

import pytest
from support import history_reference as reference

from actors.history.feed import SPOOL_NAME, FeedLimits
from actors.history.files import LOCKDOWN, FileSettings
from actors.history.protocol import QUERY_BYTES_LIMIT, QUERY_ROWS_LIMIT, QUERY_TIMEOUT, RESULT_BYTES_LIMIT
from actors.history.queries import ANALYSES
from actors.history.retention import DAY, SMALLEST_BUDGET, Retention
from actors.history.schema import TABLES, VIEWS
from actors.history.sql import FORBIDDEN_FUNCTIONS
from actors.history.store import RETRY_AFTER

MEBIBYTE = 1024 * 1024


def test_the_reference_page_shows_the_schema_the_views_and_the_analyses_as_they_are():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "write it anew: PYTHONPATH=tests python -m support.history_reference"
    )


def test_the_reference_page_has_a_heading_for_each_of_them():
    headings = re.findall(r"^### (\w+)$", reference.PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == [*(t.name for t in TABLES), *(v.name for v in VIEWS), *ANALYSES]


@pytest.mark.parametrize(
    "said",
    [
        f"| rows | {QUERY_ROWS_LIMIT:,};",
        f"| bytes | {QUERY_BYTES_LIMIT // MEBIBYTE} MiB of msgpack; the first row is always there "
        f"| {RESULT_BYTES_LIMIT // MEBIBYTE} MiB |",
        f"| time | {QUERY_TIMEOUT:.0f} s,",
        f"half of the recorder's {FileSettings().memory_bytes // MEBIBYTE} MiB",
        f"sent again every {RETRY_AFTER:.0f} seconds",
        f"kept for {Retention().events_age / DAY:.0f} days, metrics for {Retention().metrics_age / DAY:.0f}",
        f"({SMALLEST_BUDGET // MEBIBYTE} MiB or more)",
        "time zone set to UTC",
    ],
)
def test_the_numbers_on_the_reference_page_are_those_of_the_code(said):
    assert said in " ".join(reference.PAGE.read_text(encoding="utf-8").split())


def test_the_refused_functions_are_on_the_reference_page():
    page = reference.PAGE.read_text(encoding="utf-8")

    assert all(f"`{name}`" in page for name in FORBIDDEN_FUNCTIONS - {"setval"})
    assert any("UTC" in statement for statement in LOCKDOWN)


@pytest.mark.parametrize(
    "said",
    [
        f"a buffer of {FeedLimits().buffer_events:,}",
        f"batches in {FeedLimits().unacknowledged_bytes // MEBIBYTE} MiB of memory",
        f"`{SPOOL_NAME}`, {FeedLimits().spool_bytes // MEBIBYTE} MiB",
    ],
)
def test_the_bounds_of_the_feed_on_the_reference_page_are_those_of_the_code(said):
    assert said in " ".join(reference.PAGE.read_text(encoding="utf-8").split())
