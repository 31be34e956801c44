"""What a supervisor's state looks like from outside: pure reading, for `tree`, `describe` and OTP's three questions."""

from __future__ import annotations

from typing import Literal, assert_never

from msgspec import Struct

from actors.exits import ExitReason
from supervisors.core.states import (
    UP,
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    Fresh,
    GoingDown,
    Held,
    Over,
    Quarantined,
    Restarting,
    Running,
    Starting,
    StartingUp,
    State,
    Stopping,
)
from supervisors.specs import ChildSpec, ChildType, Strategy


class ChildView(Struct, frozen=True):
    """One child as a tree shows it.

    Attributes:
        id: Its name.
        state: One word: `running`, `suspended`, `starting`, `restarting`, `stopping`, `stopped`, `waiting`,
            `not started`, `finished`, `ignored`, `failed`, `quarantined`, `abandoned`.
        detail: What the word leaves open: why it was ignored, who stopped it and why.
        generation: Its newest instance.
        attempt: Restarts decided since it last ran quietly.
        restarts: Restarts decided since it was last reset.
        since: Monotonic instant since when it runs or starts; None where it does neither.
        next_at: Monotonic instant of its next try while `restarting`, else None.
        parked: Whether its limit was reached and it is tried slowly.
        held: Whether a person stopped it.
        abandoned: Instances cut off and not known to have ended.
        last_exit: How the last instance ended, or why the last start failed.
        spec: Its child spec.
    """

    id: str
    state: str
    detail: str
    generation: int
    attempt: int
    restarts: int
    since: float | None
    next_at: float | None
    parked: bool
    held: bool
    abandoned: int
    last_exit: ExitReason | None
    spec: ChildSpec


class SupervisorView(Struct, frozen=True):
    """A supervisor as a tree shows it.

    Attributes:
        path: Where it stands.
        state: `not started`, `starting`, `running`, `restarting` (a group restart is in progress), `stopping`, `ended`.
        strategy: Its strategy's word.
        restarts: Restarts inside the window.
        intensity: How many are allowed.
        period: In how many seconds.
        reason: Why it is stopping or has ended, else None.
        counts: Of its children.
    """

    path: str
    state: str
    strategy: str
    restarts: int
    intensity: int
    period: float
    reason: ExitReason | None
    counts: Counts


class Counts(Struct, frozen=True, gc=False):
    """OTP's `count_children`.

    Attributes:
        specs: Records; always 1 for a dynamic supervisor.
        active: Children that are alive now.
        supervisors: Children that are supervisors, alive or not.
        workers: Children that are workers, alive or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


class WhichChild(Struct, frozen=True):
    """One line of OTP's `which_children`.

    Attributes:
        id: Its name.
        instance: `running` (the shell puts its ref there), `none` or `restarting`.
        generation: The instance's.
        type: Worker or supervisor.
    """

    id: str
    instance: Literal["running", "none", "restarting"]
    generation: int
    type: ChildType


def describe(state: State, now: float) -> SupervisorView:
    """Return the view of the supervisor itself."""
    phase = state.phase
    reason: ExitReason | None = None
    match phase:
        case Fresh():
            word = "not started"
        case StartingUp():
            word = "starting"
        case Active():
            word = "running" if phase.round is None else "restarting"
        case GoingDown():
            word, reason = "stopping", phase.reason
        case Over():
            word, reason = "ended", phase.reason
        case _:
            assert_never(phase)
    spec = state.spec
    restarts = state.window.count(now, spec.period)
    counts = count_children(state)
    return SupervisorView(state.path, word, spec.strategy.value, restarts, spec.intensity, spec.period, reason, counts)


def budget_left(state: State, now: float) -> int:
    """Return how many restarts are still allowed at `now`."""
    return max(0, state.spec.intensity - state.window.count(now, state.spec.period))


def view_children(state: State) -> list[ChildView]:
    """Return the view of every child, in start order."""
    abandoned: dict[str, int] = {}
    for id, _ in state.ledger.abandoned:
        abandoned[id] = abandoned.get(id, 0) + 1
    return [_view(child, abandoned.get(child.id, 0)) for child in in_start_order(state)]


def view_child(state: State, id: str) -> ChildView | None:
    """Return the view of one child, or None."""
    child = state.children.get(id)
    if child is None:
        return None
    return _view(child, sum(1 for name, _ in state.ledger.abandoned if name == id))


def which_children(state: State) -> list[WhichChild]:
    """Return OTP's `which_children`: newest first."""
    return [
        WhichChild(child.id, _instance(child), child.generation, child.spec.type)
        for child in reversed(in_start_order(state))
    ]


def count_children(state: State) -> Counts:
    """Return OTP's `count_children`."""
    active = supervisors = 0
    for child in state.children.values():
        active += _is_active(child)
        supervisors += child.spec.type is ChildType.SUPERVISOR
    size = len(state.children)
    specs = 1 if state.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE else size
    return Counts(specs, active, supervisors, size - supervisors)


def get_childspec(state: State, id: str) -> ChildSpec | None:
    """Return the child spec of a child, complete, or None."""
    child = state.children.get(id)
    return None if child is None else child.spec


def in_start_order(state: State) -> list[Child]:
    """Return every record in start order."""
    return sorted(state.children.values(), key=_position)


def status(child: Child) -> tuple[str, str]:
    """Return the word for a child's state, and its detail."""
    state = child.state
    match state:
        case Running():
            return ("suspended" if state.suspended else "running"), ""
        case Starting():
            return "starting", ""
        case Restarting():
            return "restarting", ""
        case Ended():
            return "restarting", "its supervisor is busy with another restart"
        case Stopping():
            return "stopping", "killed" if state.killed else ""
        case Down():
            return state.why.value, state.detail
        case Held():
            hold = state.hold
            return DownWhy.TERMINATED.value, f"by {hold.author}: {hold.why}" if hold.why else f"by {hold.author}"
        case Quarantined():
            return "quarantined", "more restarts than its own budget allows"
        case _:
            assert_never(state)


def _view(child: Child, abandoned: int) -> ChildView:
    state = child.state
    word, detail = status(child)
    return ChildView(
        child.id,
        word,
        detail,
        child.generation,
        child.attempt,
        child.restarts,
        state.since if isinstance(state, UP) else None,
        state.next_at if isinstance(state, Restarting) else None,
        child.parked,
        isinstance(state, Held),
        abandoned,
        child.last_exit,
        child.spec,
    )


def _instance(child: Child) -> Literal["running", "none", "restarting"]:
    if _is_active(child):
        return "running"
    return "restarting" if isinstance(child.state, (Restarting, Ended)) else "none"


def _is_active(child: Child) -> bool:
    state = child.state
    return isinstance(state, Running) or (isinstance(state, Stopping) and state.ready_at is not None)


def _position(child: Child) -> int:
    return child.position
