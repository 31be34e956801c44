"""Which worker gets which job, and what becomes of a job whose worker failed it. Pure.

    Submitted --> waiting --a worker is idle--> assigned --Done--> finished
                     ^                             |
                     +----- WorkerLost, Failed ----+--> failed, after `attempts` tries or when not retryable

First come, first served; a job to be tried again goes to the front. A worker is `idle`, `busy` or unknown: one that was
lost, or refused a job, is unknown until it is seen again. In memory only: what waits here does not survive the actor
that holds it.
"""

from __future__ import annotations

from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from actors.jobs.kinds import Job


class Ticket(Struct, frozen=True):
    """One job on its way. `attempt` counts the tries begun."""

    id: str
    job: Job
    source: str = ""
    attempt: int = 0


class State(Struct, frozen=True):
    """Attributes:
    waiting: Jobs without a worker, first to go first.
    busy: The ticket each busy worker holds, by path.
    idle: Workers without one, the longest idle first.
    """

    waiting: tuple[Ticket, ...] = ()
    busy: dict[str, Ticket] = {}
    idle: tuple[str, ...] = ()


class Rules(Struct, frozen=True):
    """`capacity`: most waiting jobs; `attempts`: most tries of one job, the first included."""

    capacity: int = 1000
    attempts: int = 3


class Submitted(Struct, frozen=True):
    tickets: tuple[Ticket, ...]


class WorkerSeen(Struct, frozen=True):
    """The worker at `path` is there."""

    path: str


class WorkerLost(Struct, frozen=True):
    """The worker at `path` ended, or gave no answer, with whatever it held."""

    path: str
    why: str


class Done(Struct, frozen=True):
    path: str
    ticket_id: str


class Failed(Struct, frozen=True):
    """The worker lives; the job did not work out."""

    path: str
    ticket_id: str
    why: str
    retryable: bool


class Refused(Struct, frozen=True):
    """The worker did not take the job: it is paused, or does something else. It counts as no try."""

    path: str
    ticket_id: str


Event = Submitted | WorkerSeen | WorkerLost | Done | Failed | Refused


class Assign(Struct, frozen=True):
    path: str
    ticket: Ticket


class Retry(Struct, frozen=True):
    """The job goes back to the front of the queue."""

    ticket: Ticket
    path: str
    why: str


class GiveUp(Struct, frozen=True):
    """The job has failed for good."""

    ticket: Ticket
    path: str
    why: str


class Refuse(Struct, frozen=True):
    """These found no room."""

    tickets: tuple[Ticket, ...]


Effect = Assign | Retry | GiveUp | Refuse
Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, rules: Rules) -> Step:
    """Return the state after `event` and what is to be done, in order."""
    match event:
        case Submitted(tickets):
            room = max(0, rules.capacity - len(state.waiting))
            state = replace(state, waiting=state.waiting + tickets[:room])
            effects: tuple[Effect, ...] = (Refuse(tickets[room:]),) if tickets[room:] else ()
        case WorkerSeen(path):
            if path in state.busy or path in state.idle:
                return state, ()
            state, effects = replace(state, idle=(*state.idle, path)), ()
        case WorkerLost(path, why):
            held = state.busy.get(path)
            state = replace(state, idle=tuple(p for p in state.idle if p != path), busy=_without(state.busy, path))
            state, effects = (state, ()) if held is None else _failed(state, held, path, why, True, rules)
        case Done(path, ticket_id):
            held = state.busy.get(path)
            if held is None or held.id != ticket_id:
                return state, ()  # an answer to a task that was taken away meanwhile
            state, effects = _freed(state, path), ()
        case Failed(path, ticket_id, why, retryable):
            held = state.busy.get(path)
            if held is None or held.id != ticket_id:
                return state, ()
            state, effects = _failed(_freed(state, path), held, path, why, retryable, rules)
        case Refused(path, ticket_id):
            held = state.busy.get(path)
            if held is None or held.id != ticket_id:
                return state, ()
            back = replace(held, attempt=held.attempt - 1)
            state = replace(state, waiting=(back, *state.waiting), busy=_without(state.busy, path))
            effects = ()
        case _:
            assert_never(event)
    state, assigned = _assign(state)
    return state, effects + assigned


def _assign(state: State) -> Step:
    count = min(len(state.waiting), len(state.idle))
    if not count:
        return state, ()
    begun = tuple(replace(ticket, attempt=ticket.attempt + 1) for ticket in state.waiting[:count])
    pairs = tuple(zip(state.idle[:count], begun, strict=True))
    state = State(state.waiting[count:], {**state.busy, **dict(pairs)}, state.idle[count:])
    return state, tuple(Assign(path, ticket) for path, ticket in pairs)


def _failed(state: State, ticket: Ticket, path: str, why: str, retryable: bool, rules: Rules) -> Step:
    if retryable and ticket.attempt < rules.attempts:
        return replace(state, waiting=(ticket, *state.waiting)), (Retry(ticket, path, why),)
    return state, (GiveUp(ticket, path, why),)


def _freed(state: State, path: str) -> State:
    return replace(state, busy=_without(state.busy, path), idle=(*state.idle, path))


def _without(busy: dict[str, Ticket], path: str) -> dict[str, Ticket]:
    return {p: ticket for p, ticket in busy.items() if p != path}
