from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from actors.history.retention import DAY, FIRST_INSTANT, Retention, cuts_by_age, cuts_for_room
from actors.history.schema import TABLES, Keep

NOW = 1_750_000_000.0


def test_each_table_is_cut_at_the_age_of_its_kind_and_lasting_tables_are_not_cut():
    cuts = {cut.table: cut.before for cut in cuts_by_age(NOW, Retention(90 * DAY, 14 * DAY))}

    for table in TABLES:
        match table.keep:
            case Keep.EVENTS:
                assert cuts[table.name] == NOW - 90 * DAY
            case Keep.METRICS:
                assert cuts[table.name] == NOW - 14 * DAY
            case Keep.ALWAYS:
                assert table.name not in cuts


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        (Retention(events_age=0.0), "positive"),
        (Retention(metrics_age=-1.0), "positive"),
        (Retention(events_age=math.nan), "positive"),
        (Retention(max_bytes=1), "max_bytes"),
        (Retention(max_bytes=-1), "max_bytes"),
    ],
)
def test_a_retention_that_cannot_be_carried_out_is_refused(retention, said):
    with pytest.raises(ValueError, match=said):
        cuts_by_age(NOW, retention)


@pytest.mark.parametrize("span", [1.0, 3_600.0, 90 * DAY])
def test_making_room_takes_a_tenth_of_the_time_or_ten_minutes(span):
    cuts = cuts_for_room(NOW, NOW - span)

    assert {cut.before for cut in cuts} == {NOW - span + max(span * 0.1, 600.0)}


def test_an_age_beyond_the_beginning_of_time_keeps_everything():
    cuts = cuts_by_age(NOW, Retention(events_age=1e12, metrics_age=1e300))

    assert {cut.before for cut in cuts} == {FIRST_INSTANT}
    assert datetime.fromtimestamp(FIRST_INSTANT, UTC).year == 1


def test_making_room_takes_what_a_wrong_clock_wrote_first_and_at_once():
    assert {cut.before for cut in cuts_for_room(NOW, FIRST_INSTANT)} == {0.0}
