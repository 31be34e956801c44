"""Whatever happens to a supervisor, in whatever order: what always holds. `World` checks the shell's contract as well
(never two instances, no effect on a fenced one, no timer twice, each call answered once, nothing left at the end)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.supervision import RUNNING, STARTING, World, of
from support.supervision_strategies import Chaos, obey, supervisor_specs

from actors.exits import ExitReason
from supervisors.core import (
    Active,
    AskStop,
    Down,
    DownWhy,
    Ended,
    Event,
    Fresh,
    GoingDown,
    Held,
    Kill,
    Over,
    Quarantined,
    RestartFact,
    Restarting,
    Running,
    Starting,
    StartingUp,
    Stopping,
    TimerFired,
    TimerKind,
    new,
    replay,
    step,
)
from supervisors.specs import Restart, Strategy, SupervisorSpec

thorough = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check_states(world: World) -> None:
    """Every child's state is one of the drawn ones, and true."""
    state = world.state
    phase, strategy = state.phase, state.spec.strategy
    has_round = isinstance(phase, StartingUp) or (isinstance(phase, Active) and phase.round is not None)
    armed = {(timer.kind, timer.id, timer.serial) for timer in world.timers}
    dues = [due for timer, due in world.timers.items() if timer.kind is TimerKind.START]
    seen = set()
    for record in state.children.values():
        key = (record.id, record.generation)
        seen.add(key)
        match record.state:
            case Starting(due=due):
                assert world.live.get(key) == STARTING
                if due is not None and not isinstance(phase, GoingDown):
                    assert dues
                    assert min(dues) <= due + 1e-6, "a start deadline that nothing watches"
            case Running():
                assert world.live.get(key) == RUNNING
            case Stopping(serial=serial):
                assert key in world.live
                assert not serial or (TimerKind.STOP, record.id, serial) in armed
            case Ended():
                assert has_round, "an end that nobody will decide about"
                assert any(getattr(event, "id", None) == record.id for event in state.deferred)
                assert key not in world.live
            case Restarting(serial=serial):
                assert (TimerKind.RETRY, record.id, serial) in armed or any(
                    isinstance(event, TimerFired) and event.timer.id == record.id and event.timer.serial == serial
                    for event in state.deferred
                ), "a next try that nothing will make"
                assert key not in world.live
                assert record.spec.restart is not Restart.TEMPORARY
            case Down(why=why):
                assert key not in world.live
                if why is DownWhy.WAITING and not has_round:
                    assert any(
                        isinstance(other.state, Restarting)
                        and (strategy is Strategy.ONE_FOR_ALL or other.position < record.position)
                        for other in state.children.values()
                    ), "it waits for nothing"
                    assert strategy in {Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE}
            case Held() | Quarantined():
                assert key not in world.live
    assert set(world.live) <= seen, "an instance without a record"
    assert not state.deferred or has_round, "something waits for nothing"
    assert state.ledger.abandoned == world.abandoned
    assert isinstance(phase, Fresh | StartingUp | Active | GoingDown | Over)
    assert isinstance(phase, Over) is (world.ended is not None)


def check_order_of_the_end(world: World) -> None:
    """Stops of a supervisor that goes down come in reverse start order."""
    if not isinstance(world.state.phase, GoingDown) or world.state.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
        return
    _, effects = world.done[-1]
    places = [
        world.state.children[e.id].position for e in effects if isinstance(e, AskStop) and e.id in world.state.children
    ]
    assert places == sorted(places, reverse=True)


def check_order_of_a_group(world: World) -> None:
    """Nothing of a group starts before all its old instances are gone."""
    phase = world.state.phase
    if not isinstance(phase, Active) or phase.round is None:
        return
    round = phase.round
    begun = round.at - len(round.stops)
    if begun < 0:
        return
    for id in round.stops:
        record = world.state.children.get(id)
        if record is not None and isinstance(record.state, Stopping):
            assert id in round.starts[: begun + 1], "the new meet the old"


@thorough
@given(supervisor_specs(), st.data())
def test_whatever_happens_the_states_are_true_and_the_effects_make_sense(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False)
    world.watch = lambda w: (check_states(w), check_order_of_the_end(w), check_order_of_a_group(w))

    Chaos(world, data).run(data.draw(st.integers(0, 40)))


@thorough
@given(supervisor_specs(), st.data())
def test_a_supervisor_always_ends_when_asked_with_that_reason_and_nothing_left(
    spec: SupervisorSpec, data: st.DataObject
):
    world = World(spec, obeys=False)
    Chaos(world, data).run(data.draw(st.integers(0, 25)))
    phase = world.state.phase
    reason = ExitReason.shutdown("asked")

    world.stop(reason)
    obey(world)

    assert world.ended == (phase.reason if isinstance(phase, GoingDown | Over) else reason)
    assert not world.live


@thorough
@given(supervisor_specs(), st.data())
def test_no_lasting_child_stays_stopped_unless_somebody_wanted_it(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False)
    Chaos(world, data, calls=False, ignores=False).run(data.draw(st.integers(0, 30)))

    obey(world)

    if world.ended is None:
        permanent = {c.id for c in spec.children if c.restart is Restart.PERMANENT} & {
            c.id for c in world.state.children.values()
        }
        quarantined = {c.id for c in world.state.children.values() if isinstance(c.state, Quarantined)}
        assert permanent - quarantined <= set(world.running())
        if spec.strategy is not Strategy.SIMPLE_ONE_FOR_ONE:
            assert {c.id for c in spec.children if c.restart is Restart.PERMANENT} == permanent


@thorough
@given(supervisor_specs(), st.data())
def test_intensity_is_never_exceeded(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False)
    Chaos(world, data, calls=False).run(data.draw(st.integers(0, 40)))

    times = [event.now for event, effects in world.done for fact in of(RestartFact, effects) if not fact.parked]
    for at in times:
        assert sum(1 for t in times if at - spec.period <= t <= at) <= spec.intensity


@thorough
@given(supervisor_specs(), st.data())
def test_the_same_events_give_the_same_effects(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False)
    Chaos(world, data).run(data.draw(st.integers(0, 40)))

    again = [effects for _, effects in replay(new(spec, "/s"), [event for event, _ in world.done])]

    assert again == [effects for _, effects in world.done]


@thorough
@given(supervisor_specs(), st.data())
def test_every_call_is_answered_once_the_supervisor_is_at_rest(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False)
    Chaos(world, data).run(data.draw(st.integers(0, 30)))

    obey(world)

    assert set(world.replies) == world.requests


@thorough
@given(supervisor_specs(), st.data())
def test_no_event_ever_raises_in_any_state(spec: SupervisorSpec, data: st.DataObject):
    """Events out of any order, from a shell gone mad: the effects may be nonsense, an exception must not be."""
    world = World(spec, obeys=False)
    Chaos(world, data).run(data.draw(st.integers(0, 20)))
    other = World(data.draw(supervisor_specs()), obeys=False)
    Chaos(other, data).run(data.draw(st.integers(0, 20)))
    events: list[Event] = [event for event, _ in other.done]
    state = world.state

    for event in data.draw(st.permutations(events)):
        state, effects = step(state, event)
        kills = of(Kill, effects)
        assert len(kills) == len({(kill.id, kill.generation) for kill in kills})
