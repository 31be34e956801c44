"""The core beside a second, blocking supervisor (`support.supervision_model`): the same happenings must lead to the
same starts and stops in the same order, the same answers, the same children and the same end."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.supervision import World
from support.supervision_model import BlockingSupervisor
from support.supervision_strategies import NAMES, child_specs, like, reasons, supervisor_specs

from actors.exits import SHUTDOWN
from supervisors.core import (
    AskStop,
    Begin,
    ChildExited,
    DeleteChild,
    Done,
    Event,
    Hold,
    Kill,
    Launch,
    Reconfigure,
    ResetChild,
    RestartChild,
    SpawnChild,
    StartChild,
    StartStopped,
    StopAsked,
    StopChild,
    TerminateChild,
    TimerKind,
    count_children,
    which_children,
)
from supervisors.specs import SupervisorSpec

CALLS: dict[str, Any] = {
    "terminate": lambda id, **f: TerminateChild(id, **f),
    "stop": lambda id, **f: StopChild(id, Hold("ann"), **f),
    "restart_child": lambda id, **f: RestartChild(id, **f),
    "start_stopped": lambda id, **f: StartStopped(id, **f),
    "reset": lambda id, **f: ResetChild(id, **f),
    "delete": lambda id, **f: DeleteChild(id, **f),
}
IDS = (*NAMES, "a#1", "a#2", "a#3")
OUTCOMES = st.lists(st.sampled_from(("ok", "ok", "fail", "ignore")), min_size=1, max_size=4)


class SideBySide(RuleBasedStateMachine):
    world: World
    model: BlockingSupervisor

    @initialize(spec=supervisor_specs(), fates=st.dictionaries(st.sampled_from(IDS), OUTCOMES, max_size=4))
    def begin(self, spec: SupervisorSpec, fates: dict[str, list[str]]) -> None:
        self.requests = 0
        self.fates = {id: deque(outcomes) for id, outcomes in fates.items()}
        self.world = World(spec, blocks=True, begins=False, starts={id: list(o) for id, o in fates.items()})
        self.model = BlockingSupervisor(spec, self._fate, self.world.now)
        self.world.feed(Begin(now=self.world.now))
        self._let_run()

    def _fate(self, id: str) -> str:
        waiting = self.fates.get(id)
        return waiting.popleft() if waiting else "ok"

    @rule(id=st.sampled_from(IDS), outcomes=OUTCOMES)
    def next_starts_will_go(self, id: str, outcomes: list[str]) -> None:
        self.fates.setdefault(id, deque()).extend(outcomes)
        self.world.starts.setdefault(id, deque()).extend(outcomes)

    @rule(data=st.data(), size=st.sampled_from((1, 1, 2, 3)))
    def things_happen_together(self, data: st.DataObject, size: int) -> None:
        events: list[Event] = []
        for _ in range(size):
            if self.world.live and data.draw(st.booleans(), "a crash rather than a call"):
                self._crash(data, events)
            else:
                self._call(data, events)
        self.world.feed_all(events)
        self._let_run()

    def _crash(self, data: st.DataObject, events: list[Event]) -> None:
        id, generation = data.draw(st.sampled_from(sorted(self.world.live)), "which")
        if any(isinstance(event, ChildExited) and event.id == id for event in events):
            return
        reason = data.draw(reasons, "reason")
        events.append(ChildExited(id, generation, reason, now=self.world.now))
        (number,) = [n for n, name in self.model.alive.items() if name == id]
        del self.model.alive[number]
        self.model.mailbox.append(("exit", number, reason))

    def _call(self, data: st.DataObject, events: list[Event]) -> None:
        self.requests += 1
        number = self.requests
        fields: dict[str, Any] = {"request": number, "now": self.world.now}
        call = data.draw(st.sampled_from(("start_child", "spawn", "spawn", "reconfigure", *CALLS)), "call")
        if call == "start_child":
            id = data.draw(st.sampled_from(NAMES))
            spec = data.draw(child_specs(id, self.model.spec.auto_shutdown))
            events.append(StartChild(spec, **fields))
            self.model.mailbox.append((call, spec, number))
        elif call == "spawn":
            events.append(SpawnChild(**fields))
            self.model.mailbox.append((call, number))
        elif call == "reconfigure":
            spec = data.draw(supervisor_specs(like(self.model.spec)))
            events.append(Reconfigure(spec, **fields))
            self.model.mailbox.append((call, spec, number))
        else:
            id = data.draw(st.sampled_from(IDS), "id")
            events.append(CALLS[call](id, **fields))
            self.model.mailbox.append((call, id, number))

    @rule(seconds=st.sampled_from((0.5, 1.0, 3.0, 7.0, 25.0)))
    def time_passes(self, seconds: float) -> None:
        until = self.world.now + seconds
        while True:
            self._let_run()
            due = [at for timer, at in self.world.timers.items() if timer.kind is TimerKind.RETRY and at <= until]
            if not due:
                break
            self.world.now = self.model.now = min(due)
        self.world.now = self.model.now = until
        self._let_run()

    @precondition(lambda self: self.requests > 5)
    @rule()
    def it_is_asked_to_stop(self) -> None:
        self.world.feed(StopAsked(SHUTDOWN, now=self.world.now))
        self.model.mailbox.append(("down", ""))
        self._let_run()

    def _let_run(self) -> None:
        self.model.run()
        while True:
            due = [timer for timer, at in self.world.timers.items() if timer.kind is TimerKind.RETRY]
            due = [timer for timer in due if self.world.timers[timer] <= self.world.now]
            if not due:
                return
            self.world.fire(min(due, key=lambda timer: self.world.timers[timer]))

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "world"):
            return
        world, model = self.world, self.model
        assert self._log() == model.log
        assert {n: _code(result) for n, result in world.replies.items()} == model.answers
        assert (world.ended.detail if world.ended is not None else None) == model.ended
        if model.ended is None:
            assert [(line.id, line.instance) for line in which_children(world.state)] == model.which_children()
            counts = count_children(world.state)
            assert (counts.specs, counts.active, counts.supervisors, counts.workers) == model.count_children()
            assert self._window() == len([t for t in model.times if t >= model.now - model.spec.period])

    def _window(self) -> int:
        state = self.world.state
        return state.window.count(self.world.now, state.spec.period)

    def _log(self) -> list[tuple[str, str]]:
        log: list[tuple[str, str]] = []
        asked = set()
        for _, effects in self.world.done:
            for effect in effects:
                match effect:
                    case Launch(id):
                        log.append(("start", id))
                    case AskStop(id, generation) | Kill(id, generation) if (id, generation) not in asked:
                        asked.add((id, generation))
                        log.append(("stop", id))
                    case _:
                        pass
        return log


def _code(result: Any) -> str:
    return "ok" if isinstance(result, Done) else result.code.value


TestSideBySide = SideBySide.TestCase
TestSideBySide.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
