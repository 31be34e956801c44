"""One step's working copy of the state: the only mutable thing in the core, made and frozen within `step`.

The rules are written as functions on a draft, since one notice may touch several children, the round and the timers;
from outside a step they are pure: the state that went in is never changed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import join
from actors.exits import Cause, ExitReason
from supervisors.core.effects import ArmTimer, CancelTimer, Done, Effect, Refusal, Refused, Reply, StateFact
from supervisors.core.events import Event, Timer, TimerKind
from supervisors.core.pages import Pages
from supervisors.core.states import (
    Active,
    Child,
    ChildState,
    Down,
    DownWhy,
    Ended,
    GoingDown,
    Held,
    Ledger,
    Phase,
    Quarantined,
    Running,
    Starting,
    StartingUp,
    State,
    Stopping,
)
from supervisors.intensity import RestartWindow
from supervisors.specs import ChildSpec, Strategy, SupervisorSpec

RETIRED_LIMIT = 1000
"""Ids without a record whose last generation is remembered one by one."""


class Draft(Struct):
    """The fields of `State`, changeable, and what the step has brought so far.

    Attributes:
        now: The event's instant.
        chance: The event's random number.
        effects: What the shell will have to do, in order.
    """

    now: float
    chance: float
    path: str
    spec: SupervisorSpec
    children: Pages[Child]
    phase: Phase
    window: RestartWindow
    deferred: tuple[Event, ...]
    ledger: Ledger
    serial: int
    start_serial: int
    start_due: float
    effects: list[Effect]

    @property
    def is_dynamic(self) -> bool:
        return self.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE

    @property
    def has_round(self) -> bool:
        """Whether stops and starts are being carried out one after another: what else would start, waits."""
        phase = self.phase
        return isinstance(phase, StartingUp) or (isinstance(phase, Active) and phase.round is not None)

    @property
    def is_going_down(self) -> bool:
        return isinstance(self.phase, GoingDown)

    def in_order(self) -> list[Child]:
        """Every record in start order."""
        return sorted(self.children.values(), key=_position)

    def put(self, child: Child) -> None:
        """Set the record of a child."""
        self.children = self.children.insert(child.id, child)

    def become(self, child: Child, state: ChildState) -> Child:
        """Set the state of a child; return its new record."""
        child = Child(
            child.id,
            child.spec,
            child.position,
            child.generation,
            state,
            child.attempt,
            child.restarts,
            child.parked,
            child.last_exit,
            child.window,
        )
        self.children = self.children.insert(child.id, child)
        return child

    def drop(self, child: Child) -> None:
        """Remove the record of a child; its last generation stays used."""
        self.children = self.children.remove(child.id)
        if not self.is_dynamic:  # generated ids never come again
            ledger = self.ledger
            retired, floor = ledger.retired.insert(child.id, child.generation), ledger.retired_floor
            if len(retired) > RETIRED_LIMIT:
                retired, floor = Pages(), max(floor, *retired.values())
            self.note(retired=retired, retired_floor=floor)
        self.effects.append(StateFact(child.id, child.generation, "removed"))

    def new_child(self, id: str, spec: ChildSpec, state: ChildState) -> Child:
        """Add a record at the end of the start order."""
        ledger = self.ledger
        generation = max(ledger.retired_floor, ledger.retired.get(id) or 0)
        child = Child(id, spec, ledger.last_position + 1, generation, state)
        self.note(last_position=child.position, retired=ledger.retired.remove(id))
        self.put(child)
        return child

    def note(self, **changes: Any) -> None:
        """Change fields of the ledger."""
        self.ledger = replace(self.ledger, **changes)

    def arm(self, kind: TimerKind, id: str, delay: float) -> int:
        """Arm a timer; return its serial."""
        self.serial += 1
        self.effects.append(ArmTimer(Timer(kind, id, self.serial), delay))
        return self.serial

    def disarm(self, kind: TimerKind, id: str, serial: int) -> None:
        """Cancel a timer; nothing for serial 0."""
        if serial:
            self.effects.append(CancelTimer(Timer(kind, id, serial)))

    def done(self, request: int | None, child: Child, generation: int = 0, info: object = None) -> None:
        """Answer a request, if there is one, that it was carried out."""
        if request is not None:
            self.effects.append(Reply(request, Done(child.id, generation, info)))

    def refuse(
        self, request: int | None, id: str, code: Refusal, message: str, reason: ExitReason | None = None
    ) -> None:
        """Answer a request, if there is one, that it was not carried out."""
        if request is not None:
            self.effects.append(Reply(request, Refused(id, code, message, reason)))

    def cause(self, child: Child, reason: ExitReason) -> Cause:
        """The step of a cause chain that names this child."""
        return Cause(join(self.path, child.id), reason)

    def freeze(self) -> State:
        """Return the state after the step."""
        return State(
            self.path,
            self.spec,
            self.children,
            self.phase,
            self.window,
            self.deferred,
            self.ledger,
            self.serial,
            self.start_serial,
            self.start_due,
        )


def draft_of(state: State, now: float, chance: float) -> Draft:
    """Return a draft of `state` for one step."""
    return Draft(
        now,
        chance,
        state.path,
        state.spec,
        state.children,
        state.phase,
        state.window,
        state.deferred,
        state.ledger,
        state.serial,
        state.start_serial,
        state.start_due,
        [],
    )


_WITH_INSTANCE = (Running, Starting, Stopping, Ended)
_AWAY = (Held, Quarantined)


def has_instance(state: ChildState) -> bool:
    """Whether an instance is alive, or on its way, or its end still has to be dealt with."""
    return isinstance(state, _WITH_INSTANCE)


def is_waiting(state: ChildState) -> bool:
    """Whether a child waits for its turn in a round, or for the retry of its group."""
    return isinstance(state, Down) and state.why is DownWhy.WAITING


def stays_away(state: ChildState) -> bool:
    """Whether no restart may start this child."""
    return isinstance(state, _AWAY)


def _position(child: Child) -> int:
    return child.position
