"""How a supervisor ends: all children stopped in reverse start order, dynamic ones all at once, then `End`."""

from __future__ import annotations

from actors.exits import KILLED, ExitReason
from supervisors.core.draft import Draft, has_instance, is_waiting
from supervisors.core.effects import End, Refusal, Refused, Reply
from supervisors.core.events import BaseRequest, TimerKind
from supervisors.core.instances import cancel_retry, consume, kill, stop
from supervisors.core.states import (
    UP,
    Active,
    Down,
    DownWhy,
    Ended,
    GoingDown,
    Over,
    Restarting,
    Running,
    Starting,
    StartingUp,
    Stopping,
    Then,
)

SHUTTING_DOWN = "the supervisor is shutting down"


def go_down(draft: Draft, reason: ExitReason, is_killed: bool = False) -> None:
    """Begin the end: cancel every wait, answer what waits, and note what is to be stopped, in reverse start order.

    Args:
        draft: The step's draft.
        reason: What the supervisor will end with.
        is_killed: Whether every instance is killed at once rather than asked.
    """
    phase = draft.phase
    if isinstance(phase, (StartingUp, Active)) and phase.round is not None and phase.round.request is not None:
        draft.refuse(phase.round.request, "", Refusal.SHUTTING_DOWN, SHUTTING_DOWN)
    for event in draft.deferred:
        if isinstance(event, BaseRequest):
            draft.effects.append(Reply(event.request, Refused("", Refusal.SHUTTING_DOWN, SHUTTING_DOWN)))
    draft.deferred = ()
    draft.disarm(TimerKind.START, "", draft.start_serial)
    draft.start_serial = 0
    stops = []
    for child in reversed(draft.in_order()):
        state = child.state
        if isinstance(state, Restarting):
            cancel_retry(draft, child, Then.DOWN)
        elif isinstance(state, Ended):
            consume(draft, child, Then.DOWN)
        elif is_waiting(state):
            draft.become(child, Down(DownWhy.NOT_STARTED if child.generation == 0 else DownWhy.TERMINATED))
        elif has_instance(state):
            stops.append(child.id)
    serial = 0
    if is_killed:
        _kill_all(draft)
    elif draft.is_dynamic and stops:
        serial = _stop_together(draft, stops)
    draft.phase = GoingDown(reason, tuple(stops), 0, serial)


def _stop_together(draft: Draft, ids: list[str]) -> int:
    """Ask all children of a dynamic supervisor to stop; return the serial of the timer they share."""
    for id in ids:
        child = draft.children[id]
        if isinstance(child.state, UP):
            stop(draft, child, Then.DOWN, shared=True)
    rule = draft.spec.children[0].shutdown
    if isinstance(rule, str) or rule == 0:
        return 0
    return draft.arm(TimerKind.STOP_ALL, "", rule)


def _kill_all(draft: Draft) -> None:
    """Kill every instance that was not killed yet, in reverse start order."""
    for child in reversed(draft.in_order()):
        state = child.state
        if isinstance(state, Running):
            child = draft.become(child, Stopping(state.since, Then.DOWN))
            kill(draft, child)
        elif isinstance(state, Starting):
            child = draft.become(child, Stopping(None, Then.DOWN, start=state))
            kill(draft, child)
        elif isinstance(state, Stopping) and not state.killed:
            kill(draft, child)


def kill_down(draft: Draft) -> None:
    """The supervisor is killed: kill all its children, then end with `killed`."""
    phase = draft.phase
    if isinstance(phase, GoingDown):
        draft.disarm(TimerKind.STOP_ALL, "", phase.serial)
        draft.phase = GoingDown(KILLED, phase.stops, phase.at)
        _kill_all(draft)
    else:
        go_down(draft, KILLED, is_killed=True)


def time_over(draft: Draft, serial: int) -> None:
    """The shared time to stop is over: kill the rest together."""
    phase = draft.phase
    if isinstance(phase, GoingDown) and serial and phase.serial == serial:
        draft.phase = GoingDown(phase.reason, phase.stops, phase.at)
        _kill_all(draft)


def advance_end(draft: Draft) -> None:
    """Stop the next child, or end when none is left."""
    phase = draft.phase
    assert isinstance(phase, GoingDown)
    at = phase.at
    while at < len(phase.stops):
        child = draft.children.get(phase.stops[at])
        if child is not None:
            if isinstance(child.state, UP):
                stop(draft, child, Then.DOWN)
                child = draft.children[child.id]
            if isinstance(child.state, Stopping):
                if at != phase.at:
                    draft.phase = GoingDown(phase.reason, phase.stops, at, phase.serial)
                return
        at += 1
    draft.disarm(TimerKind.STOP_ALL, "", phase.serial)
    draft.phase = Over(phase.reason)
    draft.effects.append(End(phase.reason))
