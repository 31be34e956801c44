"""What becomes of a run that is due while another is under way."""

from __future__ import annotations

import pytest

from actors.policies.overlap import Delay, Overlap, Policy, Queue, Refuse, Replace, Start, decide


@pytest.mark.parametrize("policy", Policy)
def test_with_nothing_under_way_every_policy_starts(policy):
    assert decide(Overlap(policy), live=0, waiting=0, streak=0) == Start()


@pytest.mark.parametrize(
    ("rule", "live", "waiting", "streak", "kind"),
    [
        (Overlap(Policy.SKIP), 1, 0, 0, Refuse),
        (Overlap(Policy.QUEUE, limit=2), 1, 1, 0, Queue),
        (Overlap(Policy.QUEUE, limit=2), 1, 2, 0, Refuse),
        (Overlap(Policy.DELAY, delay=3.0), 1, 0, 0, Delay),
        (Overlap(Policy.DELAY), 1, 1, 0, Refuse),
        (Overlap(Policy.TIMEOUT), 1, 0, 0, Refuse),
        (Overlap(Policy.TIMEOUT), 1, 0, 1, Refuse),
        (Overlap(Policy.TIMEOUT), 1, 0, 2, Replace),
        (Overlap(Policy.TIMEOUT), 1, 1, 2, Refuse),
        (Overlap(Policy.CONCURRENT, limit=2), 1, 0, 0, Start),
        (Overlap(Policy.CONCURRENT, limit=2), 2, 0, 0, Refuse),
        (Overlap(Policy.CANCEL_OTHER), 1, 0, 0, Replace),
        (Overlap(Policy.CANCEL_OTHER), 1, 1, 0, Replace),
        (Overlap(Policy.ALLOW_ALL), 9, 3, 0, Start),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (value.policy.value if isinstance(value, Overlap) else None),
)
def test_an_overlap_is_met_as_the_policy_says(rule, live, waiting, streak, kind):
    assert isinstance(decide(rule, live, waiting, streak), kind)


def test_a_refusal_says_why_and_counts_the_overlaps():
    decision = decide(Overlap(Policy.TIMEOUT), 1, 0, 1)

    assert decision == Refuse("overlap 2 of 3: the run before it is still under way")


@pytest.mark.parametrize("changes", [{"limit": 0}, {"delay": 0.0}, {"delay": float("nan")}], ids=str)
def test_a_number_out_of_range_is_refused(changes):
    with pytest.raises(ValueError, match="overlap"):
        Overlap(**changes)
