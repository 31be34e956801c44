"""Rounds: stops, then starts, one after another; a supervisor's own start, a group restart, a change of spec.

A round is data: two lists and how far it has come. What the next one waits for is read off the children's states, so
whatever happens meanwhile (a call stops one of them, one ends by itself, one ignores its start) the round goes on.
"""

from __future__ import annotations

from msgspec.structs import replace

from supervisors.core.draft import Draft, has_instance, is_waiting, stays_away
from supervisors.core.effects import Done, Ready, Refusal, Refused, Reply, StateFact
from supervisors.core.instances import cancel_retry, consume, launch, stop
from supervisors.core.states import (
    IDLE,
    UP,
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    Origin,
    Restarting,
    Round,
    RoundKind,
    Starting,
    StartingUp,
    Stopping,
    Then,
)
from supervisors.strategies import Member, Plan, binds_siblings, plan_restart

_ORIGINS = {
    RoundKind.INITIAL: Origin.INITIAL,
    RoundKind.GROUP: Origin.GROUP,
    RoundKind.CHANGE: Origin.HAND,
    RoundKind.HAND: Origin.HAND,
}


def plan_group(draft: Draft, pivot: Child) -> Plan:
    """Plan the restart of `pivot` and what the strategy binds to it, from the present state of all."""
    members = [
        Member(child.id, child.spec.restart, has_instance(child.state), stays_away(child.state))
        for child in draft.in_order()
    ]
    return plan_restart(draft.spec.strategy, members, pivot.id)


def longest_wait(draft: Draft, plan: Plan, pivot: Child, delay: float) -> float:
    """Return the delay that a group shares: the pivot's, or the longest still to run for a member that waits."""
    for id in plan.group:
        state = draft.children[id].state
        if id != pivot.id and isinstance(state, Restarting):
            delay = max(delay, state.next_at - draft.now)
    return delay


def begin_group(draft: Draft, plan: Plan, is_delayed: bool, pivot: str) -> None:
    """Begin a group restart: its stops, and unless it is delayed its starts.

    The pivot has no instance. Delayed, it is `Restarting` already and its timer begins the rest.
    """
    for id in plan.group:
        child = draft.children.get(id)
        if child is None or (is_delayed and id == pivot):
            continue
        state = child.state
        if isinstance(state, Restarting):
            cancel_retry(draft, child, Then.WAIT)
        elif isinstance(state, Ended):
            consume(draft, child, Then.WAIT)
        elif isinstance(state, Stopping):
            _enlist(draft, child, state)
        elif id in plan.drop and not has_instance(state):
            draft.drop(child)
        elif isinstance(state, Down):
            draft.become(child, Down(DownWhy.WAITING))
    if is_delayed:
        draft.phase = Active(Round(RoundKind.GROUP, plan.stop, (), pivot=pivot))
    else:
        draft.phase = Active(Round(RoundKind.GROUP, plan.stop, plan.start))


def _enlist(draft: Draft, child: Child, state: Stopping) -> None:
    """Make a child that is being stopped for another reason come back with its group."""
    if state.then in {Then.DOWN, Then.START, Then.RECYCLE, Then.RESTART, Then.FAIL}:
        draft.become(
            child,
            Stopping(state.ready_at, Then.WAIT, state.serial, state.killed, state.requests, None, state.start),
        )


def begin_hand(draft: Draft, child: Child, request: int | None, is_new: bool = False) -> None:
    """Start a child by hand; under a strategy that binds siblings this is a round, so that their ends wait for it."""
    launch(draft, child, Origin.HAND, request, is_new)
    if binds_siblings(draft.spec.strategy) and not draft.has_round:
        draft.phase = Active(Round(RoundKind.HAND, (), (child.id,)))


def then_of(draft: Draft, round: Round, id: str) -> Then:
    """What becomes of a child that the round stops.

    It waits for its start; its record goes with a new spec; or, if the try that its group is to wait for was cancelled
    meanwhile, it stays down.
    """
    if round.kind is RoundKind.CHANGE and id not in round.starts:
        return Then.DROP
    if round.pivot:
        pivot = draft.children.get(round.pivot)
        if pivot is None or not isinstance(pivot.state, Restarting):
            return Then.DOWN
    return Then.WAIT


def advance(draft: Draft) -> bool:
    """Carry the round in progress as far as it goes without waiting; return whether it is done.

    A round that is done leaves `Active(None)`; the supervisor's own start says `Ready` then.
    """
    phase = draft.phase
    assert isinstance(phase, (StartingUp, Active))
    round = phase.round
    assert round is not None
    at, stops = round.at, round.stops
    while at < len(stops):
        child = draft.children.get(stops[at])
        if child is not None:
            if isinstance(child.state, UP):
                stop(draft, child, then_of(draft, round, child.id))
                child = draft.children[child.id]
            if isinstance(child.state, Stopping):
                _note(draft, round, at)
                return False
            if isinstance(child.state, Ended):
                consume(draft, child, then_of(draft, round, child.id))
        at += 1
    while at < len(stops) + len(round.starts):
        child = draft.children.get(round.starts[at - len(stops)])
        if child is not None:
            if is_waiting(child.state):
                launch(draft, child, _ORIGINS[round.kind])
                _note(draft, round, at)
                return False
            if isinstance(child.state, (Starting, Stopping)):
                _note(draft, round, at)
                return False
        at += 1
    draft.phase = IDLE
    if round.kind is RoundKind.INITIAL:
        draft.effects.append(Ready())
    elif round.request is not None:
        _answer(draft, round, round.request)
    return True


def _note(draft: Draft, round: Round, at: int) -> None:
    """Note how far the round has come."""
    if at != round.at:
        round = Round(round.kind, round.stops, round.starts, at, round.request, round.pivot)
        draft.phase = StartingUp(round) if round.kind is RoundKind.INITIAL else Active(round)


def _answer(draft: Draft, round: Round, request: int) -> None:
    """Answer a change of spec: with the children that failed to start, if any."""
    failed = [
        child
        for child in (draft.children.get(id) for id in round.starts)
        if child is not None and isinstance(child.state, Down) and child.state.why is DownWhy.FAILED
    ]
    if failed:
        message = "failed to start: " + ", ".join(child.id for child in failed)
        first = failed[0]
        draft.effects.append(Reply(request, Refused(first.id, Refusal.START_FAILED, message, first.last_exit)))
    else:
        draft.effects.append(Reply(request, Done("")))


def leave_group(draft: Draft, pivot: Child) -> None:
    """After the retry of `pivot` was cancelled: what waits for it stays down until somebody starts it (as in OTP).

    What another round is about to start does not wait for it.
    """
    if not binds_siblings(draft.spec.strategy):
        return
    phase = draft.phase
    starts = phase.round.starts if isinstance(phase, Active) and phase.round is not None else ()
    for id in plan_group(draft, pivot).group:
        child = draft.children[id]
        if id in starts:
            continue
        if is_waiting(child.state):
            draft.become(child, Down(DownWhy.TERMINATED))
            draft.effects.append(StateFact(id, child.generation, "stopped", f"the restart of {pivot.id} was cancelled"))
        elif isinstance(child.state, Stopping) and child.state.then is Then.WAIT:
            draft.become(child, replace(child.state, then=Then.DOWN))
