"""When a breaker opens, lets probes through, and closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.policies.breaker import Breaker, Closed, HalfOpen, Open, admit, forgo, settle, word

RULE = Breaker(failures=3, open_for=10.0, probes=2)


def after(rule: Breaker, *oks: bool, now: float = 0.0):
    state = Closed()
    for ok in oks:
        state, _ = admit(state, rule, now)
        state = settle(state, rule, now, ok=ok)
    return state


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    assert after(RULE, False, False, False) == Open(10.0)
    assert word(after(RULE, False, False, True, False, False)) == "closed"


def test_failures_far_apart_do_not_count_together():
    rule = Breaker(failures=2, within=5.0, open_for=1.0)
    state = settle(Closed(), rule, 0.0, ok=False)

    assert word(settle(state, rule, 6.0, ok=False)) == "closed"
    assert word(settle(state, rule, 5.0, ok=False)) == "open"


def test_nothing_is_let_through_while_it_is_open():
    state, why = admit(Open(10.0), RULE, 4.0)

    assert (state, why) == (Open(10.0), "breaker open for 6 s more")


def test_half_open_lets_as_many_probes_through_as_the_rule_says():
    state, first = admit(Open(10.0), RULE, 10.0)
    state, second = admit(state, RULE, 10.0)
    state, third = admit(state, RULE, 10.0)

    assert (first, second) == ("", "")
    assert "2 of 2 probes" in third
    assert state == HalfOpen((10.0, 10.0))


def test_it_closes_after_as_many_successes_and_opens_after_one_failure():
    half = HalfOpen((10.0, 10.0))

    once = settle(half, RULE, 11.0, ok=True)
    assert once == HalfOpen((10.0,), 1)
    assert settle(once, RULE, 11.0, ok=True) == Closed()
    assert settle(once, RULE, 11.0, ok=False) == Open(21.0)


def test_a_probe_that_is_never_settled_gives_its_place_back():
    state, why = admit(HalfOpen((10.0, 10.0)), RULE, 20.0)

    assert why == ""
    assert state == HalfOpen((20.0,))


def test_a_cancelled_probe_gives_its_place_back():
    assert forgo(HalfOpen((1.0, 2.0))) == HalfOpen((2.0,))
    assert forgo(Closed((1.0,))) == Closed((1.0,))


def test_the_end_of_an_attempt_from_before_it_opened_changes_nothing():
    assert settle(Open(10.0), RULE, 1.0, ok=True) == Open(10.0)
    assert settle(HalfOpen(), RULE, 1.0, ok=True) == HalfOpen()


@given(
    st.builds(
        Breaker,
        failures=st.integers(1, 4),
        within=st.sampled_from([0.0, 3.0]),
        open_for=st.sampled_from([1.0, 5.0]),
        probes=st.integers(1, 3),
    ),
    st.lists(st.tuples(st.sampled_from(["admit", "ok", "failed", "cancelled"]), st.floats(0.0, 3.0)), max_size=40),
)
def test_half_open_never_has_more_probes_under_way_than_allowed(rule, events):
    state, now, begun = Closed(), 0.0, 0
    for what, wait in events:
        now += wait
        if what == "admit":
            state, why = admit(state, rule, now)
            begun += not why
        elif begun:
            begun -= 1
            state = forgo(state) if what == "cancelled" else settle(state, rule, now, ok=what == "ok")

        assert not isinstance(state, HalfOpen) or len(state.begun) <= rule.probes
        assert not isinstance(state, Closed) or len(state.failed_at) < rule.failures


@pytest.mark.parametrize(
    "changes", [{"failures": 0}, {"within": -1.0}, {"open_for": 0.0}, {"probes": 0}], ids=lambda c: next(iter(c))
)
def test_a_number_out_of_range_is_refused(changes):
    with pytest.raises(ValueError, match=r"got|needs"):
        Breaker(**changes)
