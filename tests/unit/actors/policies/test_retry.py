"""Whether a failed attempt is made again, and when."""

from __future__ import annotations

import pytest

from actors.policies.retry import Again, Enough, Failure, Retry, Strategy, again_after, failure_of

GONE = failure_of(ConnectionResetError("the peer is gone"))


@pytest.mark.parametrize(
    ("rule", "delays"),
    [
        (Retry(4, Strategy.FIXED, first=2.0), [2.0, 2.0, 2.0]),
        (Retry(4, Strategy.LINEAR, first=2.0), [2.0, 4.0, 6.0]),
        (Retry(4, Strategy.EXPONENTIAL, first=2.0, factor=3.0), [2.0, 6.0, 18.0]),
        (Retry(4, Strategy.EXPONENTIAL, first=2.0, factor=3.0, max=5.0), [2.0, 5.0, 5.0]),
        (Retry(4, Strategy.CUSTOM, delays=(1.0, 9.0)), [1.0, 9.0, 9.0]),
    ],
    ids=["fixed", "linear", "exponential", "capped", "custom"],
)
def test_the_delay_grows_by_the_strategy_and_the_last_attempt_is_the_last(rule, delays):
    assert [again_after(rule, attempt, GONE) for attempt in (1, 2, 3)] == [Again(delay) for delay in delays]
    assert again_after(rule, 4, GONE) == Enough("after 4 attempts")


def test_huge_attempts_do_not_overflow():
    assert again_after(Retry(1_000, first=1.0, factor=1_000.0, max=60.0), 999, GONE) == Again(60.0)


def test_jitter_takes_and_adds_its_share():
    rule = Retry(2, Strategy.FIXED, first=10.0, jitter=0.5)

    assert again_after(rule, 1, GONE, 0.0) == Again(5.0)
    assert again_after(rule, 1, GONE, 0.5) == Again(10.0)


@pytest.mark.parametrize("pattern", ["ConnectionResetError", "OSError", "builtins.OSError", "peer is"])
def test_an_error_is_known_by_its_class_one_above_it_or_its_text(pattern):
    assert isinstance(again_after(Retry(2, only=(pattern,)), 1, GONE), Again)
    assert again_after(Retry(2, never=(pattern,)), 1, GONE) == Enough(f"not retried: {pattern!r} is never")


def test_never_goes_before_only():
    rule = Retry(2, only=("OSError",), never=("gone",))

    assert isinstance(again_after(rule, 1, GONE), Enough)


def test_an_error_that_is_not_among_the_only_ones_is_not_retried():
    assert isinstance(again_after(Retry(2, only=("ValueError",)), 1, GONE), Enough)


def test_a_function_of_the_attempt_replaces_the_strategy_within_the_cap():
    rule = Retry(9, max=10.0)

    assert again_after(rule, 3, GONE, delay=lambda attempt: attempt * 2.0) == Again(6.0)
    assert again_after(rule, 7, GONE, delay=lambda attempt: attempt * 2.0) == Again(10.0)


def test_one_attempt_means_none_again_and_nothing_to_say():
    assert again_after(Retry(), 1, Failure()) == Enough("")


@pytest.mark.parametrize(
    "changes",
    [
        {"attempts": 0},
        {"first": -1.0},
        {"factor": 0.5},
        {"jitter": 2.0},
        {"delays": (-1.0,)},
        {"attempts": 2, "strategy": Strategy.CUSTOM},
        {"max": float("nan")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_number_out_of_range_is_refused(changes):
    with pytest.raises(ValueError, match=r"got|needs"):
        Retry(**changes)
