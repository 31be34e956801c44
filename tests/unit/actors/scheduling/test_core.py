"""Slots: due, skipped, missed; and that nothing makes a run look under way for ever."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scheduling.core import (
    Cron,
    Dispatch,
    Ended,
    Every,
    Forget,
    Looked,
    Miss,
    Now,
    OwnerDown,
    Plan,
    Registered,
    Requested,
    Skip,
    State,
    Unregistered,
    next_due,
    step,
    why_not_now,
)
from actors.scheduling.cron import check
from actors.scheduling.zones import zone_of

START = datetime(2025, 5, 5, 12, 0, 0, tzinfo=UTC).timestamp()
UTC_ZONE = zone_of("UTC")


def cron(text: str) -> Cron:
    return Cron(check(text), UTC_ZONE)


def plan(when: Cron | Every, path: str = "/agents/00", priority: str = "normal") -> Plan:
    return Plan(path, f"loop{path[-2:]}", when, priority)


def now(seconds: float, step_of_wall: float = 0.0) -> Now:
    return Now(START + seconds + step_of_wall, 1000.0 + seconds)


def after(*events: tuple[object, Now]) -> tuple[State, tuple[object, ...]]:
    state, effects = State(), ()
    for event, at in events:
        state, effects = step(state, event, at)
    return state, effects


def test_a_slot_is_sent_off_once_when_it_is_due():
    state, effects = after((Registered(plan(cron("*/30 * * * * *"))), now(1)), (Looked(), now(29.9)))
    assert effects == ()

    state, effects = step(state, Looked(), now(30.01))
    assert effects == (Dispatch("/agents/00", START + 30),)

    assert step(state, Looked(), now(30.02))[1] == ()


def test_a_slot_is_skipped_while_the_run_before_it_is_under_way():
    state, effects = after((Registered(plan(cron("*/30 * * * * *"))), now(1)), (Looked(), now(30)), (Looked(), now(60)))

    assert effects == (Skip("/agents/00", "loop00", START + 60, "overlap: the run of 12:00:30 is still under way"),)
    assert state.entries["/agents/00"].skipped == 1


def test_a_run_that_ended_lets_the_next_slot_run():
    _, effects = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)),
        (Looked(), now(30)),
        (Ended("/agents/00", START + 30), now(40)),
        (Looked(), now(60)),
    )

    assert effects == (Dispatch("/agents/00", START + 60),)


def test_an_end_of_another_slot_leaves_the_run_under_way():
    state, _ = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)),
        (Looked(), now(30)),
        (Ended("/agents/00", START), now(40)),
    )

    assert state.entries["/agents/00"].running == START + 30


def test_a_crash_during_a_run_does_not_leave_it_under_way():
    _, effects = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)),
        (Looked(), now(30)),
        (OwnerDown("/agents/00", expected=False), now(35)),
        (Registered(plan(cron("*/30 * * * * *"))), now(36)),
        (Looked(), now(60)),
    )

    assert effects == (Dispatch("/agents/00", START + 60),)


def test_a_slot_of_an_actor_that_is_down_is_skipped_as_not_running():
    _, effects = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)),
        (OwnerDown("/agents/00", expected=False), now(5)),
        (Looked(), now(30)),
    )

    assert effects == (Skip("/agents/00", "loop00", START + 30, "not running"),)


def test_an_actor_that_was_stopped_has_no_schedule_any_more():
    state, _ = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)), (OwnerDown("/agents/00", expected=True), now(5))
    )

    assert state == State()


def test_an_actor_away_for_long_is_forgotten():
    state, effects = after(
        (Registered(plan(cron("0 0 1 1 *"))), now(1)),
        (OwnerDown("/agents/00", expected=False), now(5)),
        (Looked(), now(605)),
    )

    assert effects == (Forget("/agents/00", "loop00"),)
    assert state == State()


def test_after_a_sleep_the_latest_slot_runs_once_and_those_before_it_are_missed():
    state, effects = after((Registered(plan(cron("*/10 * * * *"))), now(0)), (Looked(), now(0, 3_700)))

    assert effects == (
        Miss("/agents/00", "loop00", START + 600, START + 3_000, 5),
        Dispatch("/agents/00", START + 3_600),
    )
    assert state.entries["/agents/00"].missed == 5
    assert state.entries["/agents/00"].due_at == START + 4_200


def test_a_slot_later_than_a_day_is_missed_and_not_run():
    monday = cron("0 13 * * MON")

    _, effects = after((Registered(plan(monday)), now(0)), (Looked(), now(0, 3 * 86_400)))

    assert effects == (Miss("/agents/00", "loop00", START + 3_600, START + 3_600, 1),)


def test_a_long_sleep_is_counted_to_a_thousand_and_the_latest_slot_still_found():
    _, effects = after((Registered(plan(cron("* 0 * * *"))), now(0)), (Looked(), now(0, 30 * 86_400 - 12 * 3_600)))

    missed, run = effects
    assert missed.count == 1_000
    assert missed.at_least
    assert run == Dispatch("/agents/00", START + 30 * 86_400 - 12 * 3_600)


def test_a_clock_set_back_repeats_no_slot():
    state, _ = after(
        (Registered(plan(cron("*/30 * * * * *"))), now(1)),
        (Looked(), now(30)),
        (Ended("/agents/00", START + 30), now(31)),
    )

    assert step(state, Looked(), now(60, -60))[1] == ()
    assert step(state, Looked(), now(120, -60))[1] == (Dispatch("/agents/00", START + 60),)


def test_an_interval_follows_the_monotonic_clock_through_a_step_of_the_wall_clock():
    state, _ = after((Registered(plan(Every(30.0))), now(0)))

    state, early = step(state, Looked(), now(29, 7_200))
    _, due = step(state, Looked(), now(31, -7_200))

    assert early == ()
    assert due == (Dispatch("/agents/00", START + 30 - 7_200),)


def test_an_interval_with_several_slots_past_runs_once():
    _, effects = after((Registered(plan(Every(10.0))), now(0)), (Looked(), now(35)))

    assert effects == (
        Miss("/agents/00", "loop00", START + 10, START + 20, 2),
        Dispatch("/agents/00", START + 30),
    )


def test_of_several_due_at_once_the_high_priority_goes_first():
    minute = cron("* * * * *")
    _, effects = after(
        (Registered(plan(minute, "/agents/01", "low")), now(1)),
        (Registered(plan(minute, "/agents/02", "normal")), now(1)),
        (Registered(plan(minute, "/agents/03", "high")), now(1)),
        (Looked(), now(60)),
    )

    assert [effect.path for effect in effects] == ["/agents/03", "/agents/02", "/agents/01"]


def test_registering_again_changes_no_slot():
    first, _ = after((Registered(plan(cron("*/10 * * * *"))), now(1)))

    again, effects = step(first, Registered(plan(cron("*/10 * * * *"))), now(599))

    assert effects == ()
    assert again == first


def test_another_expression_makes_no_missed_slot():
    state, _ = after((Registered(plan(cron("*/10 * * * *"))), now(1)))

    state, _ = step(state, Registered(plan(cron("0 * * * *"))), now(700))

    assert state.entries["/agents/00"].due_at == START + 3_600
    assert step(state, Looked(), now(701))[1] == ()


def test_a_first_run_can_be_asked_for_beside_the_schedule():
    state, effects = after((Registered(plan(cron("0 2 * * *")), run_now=True), now(1)))

    assert effects == (Dispatch("/agents/00", START + 1),)
    assert state.entries["/agents/00"].due_at == START + 14 * 3_600


def test_a_run_by_hand_is_refused_while_one_is_under_way():
    state, effects = after((Registered(plan(cron("0 2 * * *"))), now(1)), (Requested("/agents/00"), now(2)))
    assert effects == (Dispatch("/agents/00", START + 2, by_hand=True),)

    assert "still under way" in why_not_now(state, "/agents/00")
    assert step(state, Requested("/agents/00"), now(3)) == (state, ())


def test_what_is_unregistered_never_comes_due():
    state, _ = after((Registered(plan(cron("* * * * *"))), now(1)), (Unregistered("/agents/00"), now(2)))

    assert next_due(state, now(2)) is None
    assert step(state, Looked(), now(3_600))[1] == ()


@pytest.mark.parametrize(("when", "seconds"), [(cron("*/30 * * * * *"), 29.0), (Every(20.0), 20.0)])
def test_the_wait_is_until_the_earliest_slot(when, seconds):
    state, _ = after((Registered(plan(when)), now(1)), (Registered(plan(cron("0 2 * * *"), "/agents/01")), now(1)))

    assert next_due(state, now(1)) == seconds


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["look", "end", "crash", "register", "request"]),
            st.floats(0, 400),
            st.sampled_from([0.0, 0.0, 0.0, 120.0, -90.0]),
        ),
        max_size=40,
    )
)
def test_every_slot_has_exactly_one_end_whatever_happens(happenings):
    path = "/agents/00"
    at, shift = 1.0, 0.0
    state, _ = step(State(), Registered(plan(cron("* * * * *"), path)), now(at))
    ledger: list[float] = []
    for kind, seconds, jump in happenings:
        at += seconds
        shift += jump
        running = state.entries[path].running
        event = {
            "look": Looked(),
            "end": Ended(path, running or 0.0),
            "crash": OwnerDown(path, expected=False),
            "register": Registered(plan(cron("* * * * *"), path)),
            "request": Requested(path),
        }[kind]
        state, effects = step(state, event, now(at, shift), forget_after=1e9)
        for effect in effects:
            match effect:
                case Dispatch(_, slot_at, by_hand):
                    ledger.extend([] if by_hand else [slot_at])
                case Skip(_, _, slot_at, _):
                    ledger.append(slot_at)
                case Miss(_, _, first_at, last_at, count):
                    slots = [first_at + 60 * n for n in range(count)]
                    assert slots[-1] == last_at
                    ledger.extend(slots)

    assert ledger == [START + 60 * (n + 1) for n in range(len(ledger))]
