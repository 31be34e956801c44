"""Dry run: what would happen if a child ended now, or if somebody made a management call.

No second set of rules: the question is put to `step` itself, on a copy of nothing (states are immutable), with a world
in which every instance obeys at once. So the forecast is what would be done, as long as starts succeed and stops are
heard.
"""

from __future__ import annotations

from collections import deque
from typing import assert_never

from msgspec import Struct

from actors.exits import ExitReason
from supervisors.core.effects import (
    ArmTimer,
    AskStop,
    CancelTimer,
    Effect,
    End,
    ExitedFact,
    IgnoredFact,
    Kill,
    Launch,
    LimitFact,
    Ready,
    Refused,
    Reply,
    Reread,
    RestartFact,
    Resume,
    StartedFact,
    StartFailedFact,
    StateFact,
    Suspend,
)
from supervisors.core.events import ChildExited, ChildStarted, Event, Request, TimerFired, TimerKind
from supervisors.core.machine import step
from supervisors.core.states import Running, State
from supervisors.core.views import budget_left


class Forecast(Struct, frozen=True):
    """What would happen.

    Attributes:
        id: The child that would end, or that the call is about.
        reason: How it would end; None for a call.
        stops: Children that would be stopped, in that order.
        starts: Children that would be started, in that order, itself included.
        removed: Children whose records would go.
        delay: Seconds until the first start; 0 where nothing starts.
        restarts: Restarts counted against the supervisor.
        budget_left: Restarts still allowed after it.
        limit: `escalate`, `park` or `quarantine` if a limit would be exceeded, else "".
        ends_with: The supervisor's own exit reason if it would end, else None.
        refusal: Why the call would be refused, else None.
    """

    id: str
    reason: ExitReason | None
    stops: tuple[str, ...]
    starts: tuple[str, ...]
    removed: tuple[str, ...]
    delay: float
    restarts: int
    budget_left: int
    limit: str
    ends_with: ExitReason | None
    refusal: Refused | None = None


def what_if(state: State, id: str, reason: ExitReason, now: float) -> Forecast | None:
    """Return what would happen if the child ended with `reason` at `now`; jitter is left out of the delay.

    Returns:
        None if the child is not running, so that it cannot end.
    """
    child = state.children.get(id)
    if child is None or not isinstance(child.state, Running):
        return None
    return _forecast(state, ChildExited(id, child.generation, reason, now=now), id, reason)


def what_would(state: State, request: Request, id: str) -> Forecast:
    """Return what the management call `request`, which is about the child `id`, would do; as `what_if`."""
    return _forecast(state, request, id, None)


def _forecast(state: State, event: Event, id: str, reason: ExitReason | None) -> Forecast:
    now = event.now
    period = state.spec.period
    before = state.window.count(now, period)
    world = _World(state, now)
    world.feed(event)
    after = world.state.window.count(now, period)
    return Forecast(
        id,
        reason,
        tuple(world.stops),
        tuple(world.starts),
        tuple(world.removed),
        world.delay,
        after - before,
        budget_left(world.state, now),
        world.limit,
        world.ends_with,
        world.refusal,
    )


class _World:
    """Obedient instances and a clock that jumps: performs effects until nothing is left to do."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = self._begun_at = now
        self.stops: list[str] = []
        self.starts: list[str] = []
        self.removed: list[str] = []
        self.delay = 0.0
        self.limit = ""
        self.ends_with: ExitReason | None = None
        self.refusal: Refused | None = None
        self._events: deque[Event] = deque()

    def feed(self, event: Event) -> None:
        self._events.append(event)
        while self._events:
            self.state, effects = step(self.state, self._events.popleft())
            for effect in effects:
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Launch():
                if not self.starts:
                    self.delay = self.now - self._begun_at
                self.starts.append(effect.id)
                self._events.append(ChildStarted(effect.id, effect.generation, now=self.now))
            case AskStop():
                self.stops.append(effect.id)
                self._events.append(ChildExited(effect.id, effect.generation, effect.reason, now=self.now))
            case Kill():
                if effect.id not in self.stops:
                    self.stops.append(effect.id)
                self._events.append(ChildExited(effect.id, effect.generation, ExitReason.killed(), now=self.now))
            case ArmTimer():
                if effect.timer.kind is TimerKind.RETRY:
                    self.now += effect.delay
                    self._events.append(TimerFired(effect.timer, now=self.now))
            case LimitFact():
                self.limit = effect.action
            case StateFact():
                if effect.state == "removed":
                    self.removed.append(effect.id)
            case End():
                self.ends_with = effect.reason
            case Reply():
                if isinstance(effect.result, Refused):
                    self.refusal = effect.result
            case (
                CancelTimer()
                | Suspend()
                | Reread()
                | Resume()
                | Ready()
                | StartedFact()
                | IgnoredFact()
                | StartFailedFact()
                | ExitedFact()
                | RestartFact()
            ):
                pass
            case _:
                assert_never(effect)
