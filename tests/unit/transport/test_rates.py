"""What one peer may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.rates import PEERS, REPORT_EVERY, Allowance


def test_a_burst_is_let_through_and_then_the_rate():
    allowance = Allowance(10.0, 5)

    at_once = [allowance.take("ann", 0.0) for _ in range(7)]
    later = [allowance.take("ann", 0.3) for _ in range(4)]

    assert at_once == [True] * 5 + [False] * 2
    assert later == [True, True, True, False]
    assert allowance.refused == 3


def test_one_peers_flood_is_not_anothers():
    allowance = Allowance(1.0, 1)
    for _ in range(100):
        allowance.take("ann", 0.0)

    assert allowance.take("bob", 0.0) is True


def test_a_flood_is_told_of_now_and_then_with_its_count():
    told: list[tuple[str, int]] = []
    allowance = Allowance(1.0, 1, lambda peer, count: told.append((peer, count)))

    for number in range(1_000):
        allowance.take("ann", number / 1_000)
    for _ in range(3):
        allowance.take("ann", REPORT_EVERY + 1)

    assert told == [("ann", 1), ("ann", 999)]
    assert allowance.refused == 1_001


def test_many_peers_cost_bounded_memory():
    allowance = Allowance(1.0, 1)

    for number in range(PEERS + 100):
        allowance.take(str(number), 0.0)

    assert len(allowance) == PEERS


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_what_would_let_nothing_through_is_refused(rate, burst):
    with pytest.raises(ValueError, match="positive"):
        Allowance(rate, burst)


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 100),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_no_peer_ever_gets_more_than_burst_and_rate_allow(rate, burst, gaps):
    allowance = Allowance(rate, burst)
    now, taken = 0.0, 0

    for gap in gaps:
        now += gap
        taken += allowance.take("ann", now)

    assert taken <= burst + rate * (now - gaps[0]) + 1e-6
