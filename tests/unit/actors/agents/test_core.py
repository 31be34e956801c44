"""A loop's step: what is run, what is skipped and why, how it rests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agents.core import (
    Act,
    Done,
    Due,
    Finished,
    Outcome,
    Priority,
    Report,
    Resting,
    Working,
    step,
)

NORMAL = Priority.NORMAL


def test_a_due_slot_is_run():
    assert step(Resting(), Due(100.0, now=5.0), NORMAL) == (Working(100.0, 5.0, 0, 0), (Act(100.0),))


def test_a_slot_during_a_run_is_skipped_and_settled():
    state = Working(100.0, 5.0, 0, 0)

    after, effects = step(state, Due(130.0, now=35.0), NORMAL)

    assert after == state
    assert effects == (Report("skipped", 0.0, "overlap: the run before it is still under way"), Done(130.0))


def test_the_slot_under_way_sent_once_more_is_passed_over():
    state = Working(100.0, 5.0, 0, 0)

    assert step(state, Due(100.0, now=6.0), NORMAL) == (state, ())


def test_a_run_that_ended_is_told_and_settled():
    after, effects = step(Working(100.0, 5.0, 2, 7), Finished(Outcome.SUCCEEDED, 7.5, "3 files"), NORMAL)

    assert after == Resting()
    assert effects == (Report("succeeded", 2.5, "3 files"), Done(100.0))


def test_nothing_is_run_while_a_service_is_away():
    after, effects = step(Resting(), Due(100.0, 5.0, absent=("/io/browser",)), NORMAL)

    assert after == Resting()
    assert effects == (Report("skipped", 0.0, "waiting for /io/browser"), Done(100.0))


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_a_loop_rests_after_a_failure_for_longer_each_time(outcome):
    state, pauses = Resting(), []
    for _ in range(4):
        state, _ = step(Working(1.0, 0.0, state.failures, 0), Finished(outcome, 100.0, "bad"), NORMAL)
        pauses.append(state.rest_until - 100.0)

    assert pauses == [5.0, 10.0, 20.0, 40.0]
    after, effects = step(state, Due(2.0, now=110.0), NORMAL)
    assert after == state
    assert effects == (Report("skipped", 0.0, "resting 30 s more after 4 failures in a row"), Done(2.0))
    assert step(state, Due(2.0, now=140.0), NORMAL)[1] == (Act(2.0),)


@pytest.mark.parametrize(("priority", "longest"), [("high", 60.0), ("normal", 300.0), ("low", 900.0)])
def test_the_longest_rest_is_its_prioritys(priority, longest):
    state, _ = step(Working(1.0, 0.0, 50, 0), Finished(Outcome.FAILED, 0.0, "bad"), Priority(priority))

    assert state.rest_until == longest


def test_a_run_by_hand_passes_over_rest_absence_and_idleness():
    state = Resting(failures=3, rest_until=1e9, idle=100, pass_over=3)

    assert step(state, Due(1.0, 0.0, by_hand=True, absent=("/io/x",)), NORMAL)[1] == (Act(1.0),)


@pytest.mark.parametrize(("priority", "run_of_ten"), [("high", 10), ("normal", 2), ("low", 1)])
def test_a_loop_that_finds_nothing_stretches_its_pace_unless_its_priority_is_high(priority, run_of_ten):
    state, ran = Resting(idle=199), 0
    state, _ = step(Working(0.0, 0.0, 0, 199), Finished(Outcome.IDLE, 0.0, ""), Priority(priority))
    for slot in range(10):
        state, effects = step(state, Due(float(slot), 0.0), Priority(priority))
        if effects == (Act(float(slot)),):
            ran += 1
            state, _ = step(state, Finished(Outcome.IDLE, 0.0, ""), Priority(priority))
        else:
            assert "idle: nothing to do in the last" in effects[0].detail

    assert ran == run_of_ten


def test_something_to_do_ends_the_stretch():
    state, _ = step(Working(1.0, 0.0, 0, 500), Finished(Outcome.SUCCEEDED, 1.0, ""), NORMAL)

    assert state == Resting()


def test_an_idle_run_is_told_as_succeeded():
    _, effects = step(Working(1.0, 0.0, 0, 0), Finished(Outcome.IDLE, 1.0, "nothing waits"), NORMAL)

    assert effects[0] == Report("succeeded", 1.0, "nothing waits")


def test_a_cancelled_run_leaves_the_failures_as_they_were():
    state, effects = step(Working(1.0, 0.0, 2, 0), Finished(Outcome.CANCELLED, 1.0, "stopped"), NORMAL)

    assert state == Resting(failures=2)
    assert effects == (Report("cancelled", 1.0, "stopped"), Done(1.0))


def test_an_end_without_a_run_changes_nothing():
    assert step(Resting(), Finished(Outcome.FAILED, 1.0, ""), NORMAL) == (Resting(), ())


@given(
    st.lists(
        st.one_of(
            st.builds(Due, st.integers(0, 1000).map(float), st.floats(0, 1e6), st.booleans()),
            st.builds(Finished, st.sampled_from(Outcome), st.floats(0, 1e6), st.just("x"), st.floats(0, 0.99)),
        )
    ),
    st.sampled_from(Priority),
)
def test_every_slot_is_either_run_or_told_and_settled_once(events, priority):
    state, open_slots, settled = Resting(), [], []
    for number, event in enumerate(events):
        if isinstance(event, Due):
            event = Due(float(number), event.now, event.by_hand)  # slots are different
            open_slots.append(event.slot_at)
        state, effects = step(state, event, priority)
        reports = [e for e in effects if isinstance(e, Report)]
        done = [e.slot_at for e in effects if isinstance(e, Done)]
        assert len(reports) == len(done) <= 1
        settled.extend(done)

    running = [state.slot_at] if isinstance(state, Working) else []
    assert sorted(settled + running) == open_slots
