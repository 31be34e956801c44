"""Hypothesis strategies for supervisor specs, and a driver that lets anything happen to a supervisor's core."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from support.supervision import RUNNING, STARTING, World, child, crashed, supervisor

from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitReason
from actors.policies.backoff import Backoff
from supervisors.core import (
    ChildAbandoned,
    ChildAsksRestart,
    ChildExited,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    DeleteChild,
    Event,
    Hold,
    KillAsked,
    KillChild,
    Reconfigure,
    ResetChild,
    RestartChild,
    ResumeChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopAsked,
    StopChild,
    SuspendChild,
    TerminateChild,
    Timer,
    TimerFired,
    TimerKind,
)
from supervisors.specs import (
    AutoShutdown,
    Budget,
    ChildSpec,
    OnLimit,
    Restart,
    Strategy,
    SupervisorSpec,
)

REASONS = (NORMAL, SHUTDOWN, ExitReason.shutdown("gave-up"), KILLED, crashed())
NAMES = ("a", "b", "c", "d", "e")

reasons = st.sampled_from(REASONS)
chances = st.sampled_from((0.0, 0.5, 0.999))
backoffs = st.sampled_from(
    (Backoff(), Backoff(first=1.0, reset_after=2.0), Backoff(first=4.0, factor=3.0, reset_after=5.0))
)
budgets = st.sampled_from((None, None, Budget(0, 5.0), Budget(2, 5.0)))


@st.composite
def child_specs(draw: st.DrawFn, id: str, auto_shutdown: AutoShutdown) -> ChildSpec:
    restart = draw(st.sampled_from(Restart))
    significant = (
        draw(st.booleans()) if restart is not Restart.PERMANENT and auto_shutdown is not AutoShutdown.NEVER else False
    )
    return child(
        id,
        restart,
        shutdown=draw(st.sampled_from((5.0, 5.0, 0, "infinity", "brutal_kill"))),
        significant=significant,
        start_timeout=draw(st.sampled_from((None, 10.0, 30.0))),
        backoff=draw(backoffs),
        budget=None if restart is Restart.TEMPORARY else draw(budgets),
        restart_on_gave_up=restart is Restart.TRANSIENT and draw(st.booleans()),
    )


@st.composite
def supervisor_specs(draw: st.DrawFn, strategies: tuple[Strategy, ...] = tuple(Strategy)) -> SupervisorSpec:
    strategy = draw(st.sampled_from(strategies))
    auto_shutdown = draw(st.sampled_from(AutoShutdown))
    is_dynamic = strategy is Strategy.SIMPLE_ONE_FOR_ONE
    ids = NAMES[:1] if is_dynamic else NAMES[: draw(st.integers(0, 4))]
    return supervisor(
        *(draw(child_specs(id, auto_shutdown)) for id in ids),
        strategy=strategy,
        intensity=draw(st.sampled_from((0, 1, 3, 100, 100))),
        period=5.0,
        auto_shutdown=auto_shutdown,
        on_limit=draw(st.sampled_from(OnLimit)),
        park_every=20.0,
        max_children=draw(st.sampled_from((None, 3))) if is_dynamic else None,
    )


def like(spec: SupervisorSpec) -> tuple[Strategy, ...]:
    """The strategies that a running supervisor can change to."""
    dynamic = Strategy.SIMPLE_ONE_FOR_ONE
    return (dynamic,) if spec.strategy is dynamic else tuple(s for s in Strategy if s is not dynamic)


class Chaos:
    """Lets anything happen that can, and much that cannot, drawn step by step."""

    def __init__(self, world: World, data: st.DataObject, *, calls: bool = True, ignores: bool = True) -> None:
        self.world = world
        self._data = data
        self._calls = calls
        self._ignores = ignores

    def run(self, steps: int) -> None:
        if self._data.draw(st.integers(0, 3), "in the middle of the start") > 0:
            obey(self.world, fires=False)
        for _ in range(steps):
            self.world.chance = self._data.draw(chances, "chance")
            self.world.now += self._data.draw(st.sampled_from((0.0, 0.0, 0.5, 3.0, 7.0)), "time passes")
            self.one()

    def one(self) -> None:
        world, draw = self.world, self._data.draw
        kinds = ["notice", "notice", "notice", "timer"]
        if self._calls:
            kinds += ["call", "call", "stale"]
        kind = draw(st.sampled_from(kinds), "kind")
        if kind == "notice" and (world.live or world.abandoned):
            world.feed(self._notice())
        elif kind == "timer" and world.timers:
            timers = sorted(world.timers.items(), key=lambda item: item[1])
            timer = draw(st.sampled_from([timer for timer, _ in timers]), "timer")
            world.now = max(world.now, world.timers[timer])
            world.fire(timer)
        elif kind == "call":
            self._call()
        elif kind == "stale":
            world.feed(self._stale())

    def _notice(self) -> Event:
        world, draw = self.world, self._data.draw
        fields: dict[str, Any] = {"now": world.now, "chance": world.chance}
        id, generation = draw(st.sampled_from(sorted({*world.live, *world.abandoned})), "instance")
        where = world.live.get((id, generation))
        if where == STARTING:
            outcomes = ["started", "started", "failed", "exited"] + (["ignored"] if self._ignores else [])
            match draw(st.sampled_from(outcomes), "outcome"):
                case "started":
                    return ChildStarted(id, generation, **fields)
                case "failed":
                    return ChildStartFailed(id, generation, draw(reasons), **fields)
                case "ignored":
                    return ChildIgnored(id, generation, "why not", **fields)
                case _:
                    return ChildExited(id, generation, draw(reasons), **fields)
        if where == RUNNING and self._calls and draw(st.integers(0, 4)) == 0:
            return ChildAsksRestart(id, generation, "leaks", draw(st.booleans()), **fields)
        if where == RUNNING and draw(st.integers(0, 9)) == 0:
            return ChildAbandoned(id, generation, **fields)
        return ChildExited(id, generation, draw(reasons), **fields)

    def _stale(self) -> Event:
        """A notice or timer that a correct shell could not feed now."""
        world, draw = self.world, self._data.draw
        fields: dict[str, Any] = {"now": world.now, "chance": world.chance}
        id = draw(st.sampled_from((*NAMES, "a#1", "a#2")))
        newest = world.generations.get(id, 0)
        live = {generation for name, generation in world.live if name == id}
        generation = draw(st.sampled_from([g for g in range(newest + 3) if g not in live]))
        match draw(st.integers(0, 5)):
            case 0:
                return ChildStarted(id, generation, **fields)
            case 1:
                return ChildExited(id, generation, draw(reasons), **fields)
            case 2:
                return ChildStartFailed(id, generation, draw(reasons), **fields)
            case 3:
                return ChildIgnored(id, generation, "", **fields)
            case 4 if generation <= newest:
                return ChildExited(id, generation, draw(reasons), **fields)
            case 4:
                return ChildAsksRestart(id, generation, "", **fields)
            case _:
                kind = draw(st.sampled_from(TimerKind))
                timer = Timer(kind, draw(st.sampled_from((id, ""))), draw(st.integers(0, 99)))
                if timer.serial in {armed.serial for armed in world.timers}:
                    timer = Timer(timer.kind, timer.id, 1000)
                return TimerFired(timer, **fields)

    def _call(self) -> None:
        world, draw = self.world, self._data.draw
        id = draw(st.sampled_from((*NAMES, "a#1", "a#2", "nobody")), "id")
        match draw(st.integers(0, 15), "call"):
            case 0 | 1:
                world.call(StartChild, draw(child_specs(draw(st.sampled_from(NAMES)), world.state.spec.auto_shutdown)))
            case 2 | 3:
                world.call(SpawnChild, draw(st.sampled_from(((), (1,)))))
            case 4 | 5:
                world.call(TerminateChild, id)
            case 6:
                world.call(RestartChild, id)
            case 7:
                world.call(RestartChild, id, stop_first=True)
            case 8:
                world.call(DeleteChild, id)
            case 9:
                world.call(StopChild, id, Hold("ann", "noisy"))
            case 10:
                world.call(StartStopped, id)
            case 11:
                world.call(draw(st.sampled_from((SuspendChild, ResumeChild))), id)
            case 12:
                world.call(KillChild, id)
            case 13:
                world.call(ResetChild, draw(st.sampled_from((id, ""))))
            case 14:
                spec = draw(st.none() | supervisor_specs(like(world.state.spec)))
                world.call(Reconfigure, spec, apply=draw(st.booleans()))
            case _:
                if draw(st.integers(0, 4)) == 0:
                    fields: dict[str, Any] = {"now": world.now, "chance": world.chance}
                    world.feed(KillAsked(**fields) if draw(st.booleans()) else StopAsked(draw(reasons), **fields))


def obey(world: World, *, fires: bool = True, limit: int = 1000) -> None:
    """From here on every instance does what it is asked, and every start succeeds; fire what is armed, in order."""
    for _ in range(limit):
        asked = [
            key for key, where in world.live.items() if where == STARTING or world.words().get(key[0]) == "stopping"
        ]
        if asked:
            id, generation = asked[0]
            if world.live[asked[0]] == STARTING and world.words().get(id) != "stopping":
                world.feed(ChildStarted(id, generation, now=world.now))
            else:
                world.feed(ChildExited(id, generation, SHUTDOWN, now=world.now))
        elif fires and world.timers:
            timer, due = min(world.timers.items(), key=lambda item: item[1])
            world.now = max(world.now, due)
            world.fire(timer)
        else:
            return
    raise AssertionError("the supervisor never comes to rest")
