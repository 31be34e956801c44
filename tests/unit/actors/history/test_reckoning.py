"""A clock that leaps is doubted until it has gone on for a day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.history.reckoning import BELIEVED_AFTER, FILE, LEAP, Reckoning, TrustedClock, reckon
from actors.history.retention import DAY

NOW = 1_800_000_000.0
YEAR = 365 * DAY


def test_a_clock_in_step_is_what_ages_are_counted_by():
    assert reckon(Reckoning(NOW), NOW + 60.0, 60.0) == Reckoning(NOW + 60.0)
    assert reckon(Reckoning(NOW), NOW + LEAP, None) == Reckoning(NOW + LEAP)
    assert reckon(Reckoning(NOW), NOW - LEAP, None) == Reckoning(NOW - LEAP)


@pytest.mark.parametrize("leap", [LEAP + 1.0, YEAR, 1_000 * YEAR])
def test_a_leap_ahead_is_doubted_and_time_goes_on_from_before_it(leap):
    known = reckon(Reckoning(NOW), NOW + leap, 0.0)
    later = reckon(known, NOW + leap + 60.0, 60.0)

    assert known.instant(NOW + leap) == NOW
    assert later.instant(NOW + leap + 60.0) == NOW + 60.0


def test_a_leap_is_believed_once_the_clock_has_gone_on_for_a_day_from_there():
    known = reckon(Reckoning(NOW), NOW + YEAR, 0.0)
    for _ in range(23):
        known = reckon(known, known.seen + 3_600.0, 3_600.0)
        assert known.doubted is not None

    assert reckon(known, known.seen + 3_600.0, 3_600.0) == Reckoning(NOW + YEAR + BELIEVED_AFTER)


def test_a_node_that_runs_for_a_minute_each_week_believes_the_clock_at_its_next_run():
    known = reckon(Reckoning(NOW), NOW + 7 * DAY, None)

    assert known.doubted is not None
    assert reckon(known, NOW + 14 * DAY, None) == Reckoning(NOW + 14 * DAY)


def test_a_clock_that_comes_back_is_believed_at_once():
    known = reckon(Reckoning(NOW), NOW + YEAR, 0.0)

    assert reckon(known, NOW + 90.0, 90.0) == Reckoning(NOW + 90.0)


def test_a_second_leap_begins_the_day_anew():
    known = reckon(Reckoning(NOW), NOW + YEAR, 0.0)
    known = reckon(known, NOW + YEAR + 3_600.0, 3_600.0)
    known = reckon(known, NOW + 2 * YEAR, 60.0)

    assert known.doubted == 0.0
    assert known.instant(NOW + 2 * YEAR) == NOW + 3_660.0


def test_a_clock_that_fell_behind_makes_no_row_older_and_is_believed_after_a_day():
    known = reckon(Reckoning(NOW), 0.0, 0.0)

    assert known.instant(0.0) == 0.0
    assert reckon(known, BELIEVED_AFTER, BELIEVED_AFTER) == Reckoning(BELIEVED_AFTER)


@given(st.lists(st.tuples(st.floats(-50 * YEAR, 50 * YEAR), st.floats(0.0, 3_600.0)), max_size=20))
def test_whatever_the_clock_does_within_a_day_no_row_looks_older_than_it_is_by_more_than_a_leap_for_each_look(steps):
    known, lived = Reckoning(NOW), 0.0
    for number, (ahead, step) in enumerate(steps, 1):
        lived += step
        wall = NOW + lived + ahead
        known = reckon(known, wall, step)

        assert known.instant(wall) <= NOW + lived + number * LEAP


def test_what_is_believed_is_there_for_the_next_process_and_a_file_that_is_garbage_is_done_without(tmp_path, caplog):
    wall = [NOW + YEAR]
    first = TrustedClock(tmp_path, NOW, now=lambda: wall[0], monotonic=lambda: 5.0)
    second = TrustedClock(tmp_path, NOW + YEAR, now=lambda: wall[0], monotonic=lambda: 9.0)

    assert first.look() == second.look() == NOW
    assert "until it has gone on from there for a day" in caplog.text
    (tmp_path / FILE).write_bytes(b"\xff{")
    assert TrustedClock(tmp_path, None, now=lambda: wall[0], monotonic=lambda: 9.0).look() == NOW + YEAR


def test_a_folder_that_cannot_be_written_only_costs_the_memory_of_it(tmp_path):
    (tmp_path / "file").write_text("")

    assert TrustedClock(tmp_path / "file", NOW, now=lambda: NOW, monotonic=lambda: 0.0).look() == NOW
