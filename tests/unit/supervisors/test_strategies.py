"""Which children a restart binds, and in which order they stop and start: every cell, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.specs import Restart, Strategy
from supervisors.strategies import Member, Plan, binds_siblings, plan_restart

A, B, C, D = (Member(id, Restart.PERMANENT, has_instance=True) for id in "abcd")
ENDED_B = Member("b", Restart.PERMANENT, has_instance=False)


@pytest.mark.parametrize(
    ("strategy", "group", "stop", "start"),
    [
        (Strategy.ONE_FOR_ONE, "b", "", "b"),
        (Strategy.SIMPLE_ONE_FOR_ONE, "b", "", "b"),
        (Strategy.ONE_FOR_ALL, "abcd", "dca", "abcd"),
        (Strategy.REST_FOR_ONE, "bcd", "dc", "bcd"),
    ],
)
def test_a_strategy_binds_and_orders_as_otp_says(strategy: Strategy, group: str, stop: str, start: str):
    plan = plan_restart(strategy, [A, ENDED_B, C, D], "b")

    assert plan == Plan(tuple(group), tuple(stop), tuple(start), drop=())


@pytest.mark.parametrize(
    ("strategy", "binds"),
    [
        (Strategy.ONE_FOR_ONE, False),
        (Strategy.SIMPLE_ONE_FOR_ONE, False),
        (Strategy.ONE_FOR_ALL, True),
        (Strategy.REST_FOR_ONE, True),
    ],
)
def test_two_strategies_bind_siblings(strategy: Strategy, binds: bool):
    assert binds_siblings(strategy) is binds


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_temporary_siblings_are_stopped_and_not_started(strategy: Strategy):
    temporary = Member("t", Restart.TEMPORARY, has_instance=True)

    plan = plan_restart(strategy, [ENDED_B, temporary, D], "b")

    assert plan == Plan(("b", "t", "d"), ("d", "t"), ("b", "d"), ("t",))


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_every_remaining_record_is_started_one_without_an_instance_too(strategy: Strategy, restart: Restart):
    finished = Member("f", restart, has_instance=False)

    plan = plan_restart(strategy, [ENDED_B, finished], "b")

    assert plan == Plan(("b", "f"), (), ("b", "f"), ())


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_what_a_person_stopped_or_is_quarantined_stays_away(strategy: Strategy):
    held = Member("h", Restart.PERMANENT, has_instance=False, stays_away=True)

    assert plan_restart(strategy, [ENDED_B, held, D], "b").start == ("b", "d")


def test_a_pivot_that_is_no_child_is_refused():
    with pytest.raises(ValueError, match="'x'"):
        plan_restart(Strategy.ONE_FOR_ALL, [A], "x")


@st.composite
def families(draw: st.DrawFn) -> list[Member]:
    size = draw(st.integers(1, 6))
    return [
        Member(f"c{n}", draw(st.sampled_from(Restart)), draw(st.booleans()), draw(st.booleans())) for n in range(size)
    ]


@given(st.sampled_from(Strategy), families(), st.data())
def test_no_lasting_child_is_stopped_without_being_started(
    strategy: Strategy, family: list[Member], data: st.DataObject
):
    pivot = data.draw(st.sampled_from(family)).id
    lasting = {m.id for m in family if m.restart is not Restart.TEMPORARY and not m.stays_away}

    plan = plan_restart(strategy, family, pivot)

    assert set(plan.stop) & lasting <= set(plan.start)


@given(st.sampled_from(Strategy), families(), st.data())
def test_stops_run_backwards_and_starts_forwards_within_the_group(
    strategy: Strategy, family: list[Member], data: st.DataObject
):
    pivot = data.draw(st.sampled_from(family)).id
    places = {member.id: at for at, member in enumerate(family)}

    plan = plan_restart(strategy, family, pivot)

    assert [places[id] for id in plan.stop] == sorted((places[id] for id in plan.stop), reverse=True)
    assert [places[id] for id in plan.start] == sorted(places[id] for id in plan.start)
    assert {*plan.stop, *plan.start, *plan.drop} <= set(plan.group)
    assert pivot in plan.group
