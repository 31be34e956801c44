"""The restart window: OTP's algorithm on a fine clock, at a cost that does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.intensity import EMPTY, LEAF, RestartWindow


def recorded(times: list[float], period: float) -> RestartWindow:
    window = EMPTY
    for at in times:
        window = window.record(at, period)
    return window


@pytest.mark.parametrize(
    ("times", "now", "count"),
    [
        ([], 0.0, 0),
        ([10.0], 10.0, 1),
        ([10.0], 15.0, 1),  # the boundary is inclusive
        ([10.0], 15.001, 0),
        ([10.0, 10.0, 10.0], 12.0, 3),
        ([10.0, 14.0], 15.5, 1),
        ([1.05, 2.85], 2.85, 2),
    ],
)
def test_a_restart_counts_up_to_exactly_one_period_later(times: list[float], now: float, count: int):
    assert recorded(times, 5.0).count(now, 5.0) == count


def test_a_recorded_restart_counts_itself():
    assert EMPTY.record(3.0, 5.0).size == 1


@pytest.mark.parametrize("phase", [0.05, 0.5, 0.95])
def test_the_answer_does_not_depend_on_the_phase_of_the_clock(phase: float):
    apart = recorded([phase, phase + 1.8], 1.0)
    together = recorded([phase, phase + 0.9], 1.0)

    assert (apart.size, together.size) == (1, 2)


def test_an_instant_before_the_last_one_counts_as_the_last_one():
    window = recorded([10.0, 9.0], 5.0)

    assert window.newest == (10.0, 10.0)
    assert window.size == 2


@given(
    st.lists(st.floats(0, 3, allow_nan=False), max_size=300),
    st.floats(0.1, 20),
    st.floats(0, 5),
)
def test_the_window_agrees_with_the_algorithm_of_otp(gaps: list[float], period: float, later: float):
    now, times, window = 0.0, list[float](), EMPTY
    for gap in gaps:
        now += gap
        times = [now] + [t for t in times if t >= now - period]
        window = window.record(now, period)

        assert window.size == len(times)

    assert window.count(now + later, period) == sum(1 for t in times if t >= now + later - period)


@pytest.mark.parametrize("period", [1.0, 6.3, 6.4, 6.5, 20.0])
def test_the_window_agrees_with_the_algorithm_of_otp_over_many_leaves(period: float):
    times, window = list[float](), EMPTY
    for n in range(10 * LEAF):
        now = n * 0.1 if n % 100 else n * 0.1 + 0.05
        times = [t for t in times if t >= now - period] + [now]
        window = window.record(now, period)

        assert window.size == len(times)
        assert window.count(now, period) == len(times)


@given(st.integers(0, 5 * LEAF), st.integers(1, 5 * LEAF))
def test_a_change_of_period_only_shortens_what_is_remembered(count: int, kept: int):
    window = recorded([float(n) for n in range(count)], 1000.0)

    shorter = window.record(float(count), float(kept))

    assert shorter.size == min(count, kept) + 1


def test_a_hundred_thousand_restarts_in_one_window_stay_cheap_to_record():
    window = recorded([n / 1000 for n in range(100_000)], 1000.0)

    after = window.record(100.0, 1000.0)

    assert after.size == 100_001
    assert len(after.newest) <= LEAF
    assert after.older is window.older or len(window.newest) == LEAF
