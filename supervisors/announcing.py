"""What a supervisor's core found worth telling, put on the bus: a fact becomes one event, with path and wall clock.

Beside it, the registry learns why nobody is at a path, so that dead letters and refused asks can say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.addresses import join
from actors.core.system import ActorSystem
from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    LimitReached,
    RestartScheduled,
)
from supervisors.core import State, get_childspec
from supervisors.core import effects as fx
from supervisors.holdings import Holdings

_ABSENT = frozenset({"stopped", "quarantined", "abandoned", "waiting"})
"""States in which messages to the path become dead letters that name the state."""


class Paths(dict[str, str]):
    """Paths of the children of the supervisor at `own`, by id; each is made when it is first asked for."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self.own = own

    def __missing__(self, id: str) -> str:
        path = self[id] = join(self.own, id)
        return path


class Announcer:
    """Announces for the supervisor at one path; used on that supervisor's turns alone.

    Attributes:
        paths: The children's paths, by id.
        holdings: The messages held for them while they are restarted.
        pids: The process each child was started in, by id, from its start to its announcement.
        state: The supervisor's state after the step whose facts are announced.
    """

    def __init__(self, path: str, system: ActorSystem, own_pid: int, state: State) -> None:
        self._own = path
        self._own_pid = own_pid
        self._publish = system.bus.publish
        self._wall = system.clock.time
        self._set_absent = system.registry.set_absent
        self.paths = Paths(path)
        self.holdings = Holdings(system, self.paths)
        self._held = self.holdings.held
        self.pids: dict[str, int | None] = {}
        self.state = state
        self._spec, self._strategy = state.spec, state.spec.strategy.value

    def announcements(self) -> dict[type, Callable[[Any], None]]:
        """Return what announces each kind of fact."""
        return {
            fx.StartedFact: self._started,
            fx.IgnoredFact: self._ignored,
            fx.StartFailedFact: self._start_failed,
            fx.ExitedFact: self._exited,
            fx.StateFact: self._changed,
            fx.RestartFact: self._restart,
            fx.LimitFact: self._limit,
        }

    def _started(self, fact: fx.StartedFact) -> None:
        spec = get_childspec(self.state, fact.id)
        if spec is not None and spec.when_down == "hold":
            self.holdings.started(spec, fact.id)
        placement = spec.placement if spec is not None else "pool"
        pid = self.pids.pop(fact.id, None) or self._own_pid
        self._publish(ActorStarted(self._wall(), self.paths[fact.id], fact.generation, placement, pid, fact.seconds))

    def _ignored(self, fact: fx.IgnoredFact) -> None:
        if self._held:
            self.holdings.judge(fact.id, self.state)
        self._publish(ActorIgnored(self._wall(), self.paths[fact.id], fact.generation, fact.why))

    def _start_failed(self, fact: fx.StartFailedFact) -> None:
        if self._held:
            self.holdings.judge(fact.id, self.state)
        path = self.paths[fact.id]
        self._publish(ActorStartFailed(self._wall(), path, fact.generation, fact.reason, fact.attempt))

    def _exited(self, fact: fx.ExitedFact) -> None:
        if self._held:
            self.holdings.judge(fact.id, self.state)
        path = self.paths[fact.id]
        at = self._wall()
        self._publish(ActorExited(at, path, fact.generation, fact.reason, fact.uptime, fact.phase, fact.expected))

    def _changed(self, fact: fx.StateFact) -> None:
        path = self.paths[fact.id]
        if fact.state in _ABSENT:
            self._set_absent(path, fact.state)
        if self._held:
            self.holdings.judge(fact.id, self.state)
        if fact.state == "removed":
            self._set_absent(path, None)
            del self.paths[fact.id]
        self._publish(ActorStateChanged(self._wall(), path, fact.generation, fact.state, fact.detail))

    def _restart(self, fact: fx.RestartFact) -> None:
        spec = self.state.spec
        if spec is not self._spec:
            self._spec, self._strategy = spec, spec.strategy.value  # the value of an Enum is slow to look up
        path = self.paths[fact.id]
        group = (path,) if fact.group == (fact.id,) else tuple(map(self.paths.__getitem__, fact.group))
        for bound in group:
            self._set_absent(bound, "restarting")
        if self._held:
            for id in fact.group:
                self.holdings.judge(id, self.state)
        self._publish(
            RestartScheduled(
                self._wall(), path, self._own, self._strategy, fact.generation, fact.attempt,
                fact.delay, group, fact.restarts, spec.intensity, fact.reason, fact.parked,
            )
        )  # fmt: skip

    def _limit(self, fact: fx.LimitFact) -> None:
        path = self._own if fact.scope == "supervisor" else self.paths[fact.id]
        if fact.action == "escalate":  # the supervisor ends: this child is not restarted, as it was before
            self._set_absent(self.paths[fact.id], "stopped")
        at = self._wall()
        self._publish(
            LimitReached(
                at, path, fact.scope, fact.action, fact.restarts, fact.intensity, fact.period, fact.reason
            )
        )  # fmt: skip
