"""A world for the supervisor's core: performs its effects on instances that exist only as names, and checks the shell's
contract at each step, so that every test of the core is also a test that no effect is ever absurd."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from actors.exits import KILLED, SHUTDOWN, ExitReason
from actors.policies.backoff import Backoff
from supervisors.core import (
    ArmTimer,
    AskStop,
    BaseRequest,
    Begin,
    CancelTimer,
    ChildAbandoned,
    ChildExited,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    DeleteChild,
    Done,
    Effect,
    End,
    Event,
    Fact,
    Hold,
    Kill,
    Launch,
    Ready,
    Refused,
    Reply,
    Reread,
    Resume,
    StopAsked,
    StopChild,
    Suspend,
    SuspendChild,
    TerminateChild,
    Timer,
    TimerFired,
    TimerKind,
    new,
    status,
    step,
)
from supervisors.specs import Budget, ChildSpec, LocalStart, Restart, Strategy, SupervisorSpec

T = TypeVar("T")

STARTING, RUNNING = "starting", "running"


def make() -> object:
    """Stands for an actor class; the core never calls it."""
    raise AssertionError("the core starts nothing itself")


def crashed(text: str = "boom") -> ExitReason:
    return ExitReason.crashed(ValueError(text))


def child(id: str, restart: Restart = Restart.PERMANENT, **fields: Any) -> ChildSpec:
    return ChildSpec(id, LocalStart(make), restart, **fields)


def supervisor(*children: ChildSpec, strategy: Strategy = Strategy.ONE_FOR_ONE, **fields: Any) -> SupervisorSpec:
    return SupervisorSpec(strategy, children=children, **fields)


class World:
    """One supervisor and its instances.

    With `obeys` (the default) instances start, stop and die at once, in the order asked; `starts` says otherwise for
    single launches. Without it nothing answers until the test says so. With `blocks` their answers overtake whatever
    else waits to be fed, as if the supervisor waited inside its calls: OTP's way.

    Attributes:
        live: The instances that exist: (id, generation) -> `starting` or `running`.
        timers: The armed timers and when they are due.
        replies: What was answered, by request.
        done: Every event fed with its effects.
        starts: For each id the outcomes of its next launches: `ok`, `fail`, `ignore`, `hang`.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        *,
        obeys: bool = True,
        blocks: bool = False,
        begins: bool = True,
        starts: dict[str, list[str]] | None = None,
        holds: dict[str, Hold] | None = None,
        path: str = "/s",
    ) -> None:
        self.state = new(spec, path)
        self.first = self.state
        self.now = 100.0
        self.chance = 0.5
        self.obeys = obeys
        self.blocks = blocks
        self.starts = {id: deque(outcomes) for id, outcomes in (starts or {}).items()}
        self.live: dict[tuple[str, int], str] = {}
        self.abandoned: set[tuple[str, int]] = set()
        self.generations: dict[str, int] = {}
        self.timers: dict[Timer, float] = {}
        self.used_timers: set[Timer] = set()
        self.requests: set[int] = set()
        self.replies: dict[int, Done | Refused] = {}
        self.done: list[tuple[Event, tuple[Effect, ...]]] = []
        self.is_ready = False
        self.ended: ExitReason | None = None
        self.watch: Callable[[World], None] = lambda world: None
        self._queue: deque[Event] = deque()
        if begins:
            self.feed(Begin(holds or {}, now=self.now))

    # what a test does

    def feed(self, event: Event) -> list[Effect]:
        """Feed an event, and what obedient instances answer; return every effect since."""
        return self.feed_all([event])

    def feed_all(self, events: Iterable[Event]) -> list[Effect]:
        """Feed events that arrive together, and what obedient instances answer; return every effect since."""
        before = len(self.done)
        self._queue.extend(events)
        while self._queue:
            self._step(self._queue.popleft())
        return [effect for _, effects in self.done[before:] for effect in effects]

    def started(self, id: str, info: object = None) -> list[Effect]:
        return self.feed(ChildStarted(id, self.generation(id), info, now=self.now, chance=self.chance))

    def start_failed(self, id: str, reason: ExitReason | None = None) -> list[Effect]:
        reason = reason or crashed("no start")
        return self.feed(ChildStartFailed(id, self.generation(id), reason, now=self.now, chance=self.chance))

    def ignored(self, id: str, why: str = "not configured") -> list[Effect]:
        return self.feed(ChildIgnored(id, self.generation(id), why, now=self.now, chance=self.chance))

    def exited(self, id: str, reason: ExitReason | None = None) -> list[Effect]:
        reason = reason or crashed()
        return self.feed(ChildExited(id, self.generation(id), reason, now=self.now, chance=self.chance))

    def abandon(self, id: str) -> list[Effect]:
        return self.feed(ChildAbandoned(id, self.generation(id), now=self.now, chance=self.chance))

    def stop(self, reason: ExitReason = SHUTDOWN) -> list[Effect]:
        return self.feed(StopAsked(reason, now=self.now, chance=self.chance))

    def call(self, request: Callable[..., Event], *args: Any, **fields: Any) -> Done | Refused | None:
        """Make a management call; return its answer, or None while there is none."""
        number = len(self.requests) + 1
        self.feed(request(*args, request=number, now=self.now, chance=self.chance, **fields))
        return self.replies.get(number)

    def pass_time(self, seconds: float) -> list[Effect]:
        """Let time pass, firing what is due on the way in order."""
        effects: list[Effect] = []
        until = self.now + seconds
        while self.timers:
            timer, due = min(self.timers.items(), key=lambda item: item[1])
            if due > until:
                break
            self.now = max(self.now, due)
            effects += self.fire(timer)
        self.now = until
        return effects

    def fire(self, timer: Timer) -> list[Effect]:
        """Fire one armed timer, whatever the time."""
        del self.timers[timer]
        return self.feed(TimerFired(timer, now=self.now, chance=self.chance))

    # what a test looks at

    def generation(self, id: str) -> int:
        """The newest instance of a child."""
        return self.generations[id]

    def is_live(self, id: str) -> bool:
        return (id, self.generations.get(id, 0)) in self.live

    def running(self) -> list[str]:
        """Ids with a running instance, in start order."""
        order = sorted(self.state.children.values(), key=lambda c: c.position)
        return [c.id for c in order if self.live.get((c.id, c.generation)) == RUNNING]

    def words(self) -> dict[str, str]:
        """The state of each child in one word, in start order."""
        order = sorted(self.state.children.values(), key=lambda c: c.position)
        return {c.id: status(c)[0] for c in order}

    def timer(self, kind: TimerKind, id: str = "") -> Timer:
        """The armed timer of that kind."""
        (found,) = [timer for timer in self.timers if timer.kind is kind and timer.id == id]
        return found

    # the shell

    def _step(self, event: Event) -> None:
        if isinstance(event, ChildIgnored | ChildStartFailed | ChildExited):
            self.live.pop((event.id, event.generation), None)
            self.abandoned.discard((event.id, event.generation))
        elif isinstance(event, ChildAbandoned):
            self.live.pop((event.id, event.generation), None)
            self.abandoned.add((event.id, event.generation))
        elif isinstance(event, ChildStarted) and (event.id, event.generation) in self.live:
            self.live[event.id, event.generation] = RUNNING
        elif isinstance(event, BaseRequest):
            self.requests.add(event.request)
        assert self.ended is None or not self.live
        was_over = self.ended is not None
        self.state, effects = step(self.state, event)
        self.done.append((event, effects))
        for effect in effects:
            assert not was_over or isinstance(effect, Reply | Fact), f"{effect} after the end"
            assert self.ended is None or was_over, f"{effect} after End"
            self._perform(effect)
        self.watch(self)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Launch(id, generation):
                before = self.generations.get(id, 0)
                assert not any((id, n) in self.live for n in range(max(0, before - 5), before + 1)), f"two of {id}"
                assert generation > self.generations.get(id, 0), f"{id} gets generation {generation} again"
                self.generations[id] = generation
                self.live[id, generation] = STARTING
                outcome = self.starts[id].popleft() if self.starts.get(id) else "ok" if self.obeys else "hang"
                self._answer_launch(id, generation, outcome)
            case AskStop(id, generation, reason):
                assert (id, generation) in self.live, f"{effect} for no instance"
                if self.obeys:
                    self._end(id, generation, reason)
            case Kill(id, generation):
                assert (id, generation) in self.live, f"{effect} for no instance"
                if self.obeys:
                    self._end(id, generation, KILLED)
            case Suspend(id, generation) | Resume(id, generation) | Reread(id, generation):
                assert self.live.get((id, generation)) == RUNNING, f"{effect} for no running instance"
            case ArmTimer(timer, delay):
                assert delay >= 0
                assert timer not in self.used_timers, f"{timer} armed twice"
                self.used_timers.add(timer)
                self.timers[timer] = self.now + delay
            case CancelTimer(timer):
                assert timer in self.timers, f"{timer} cancelled, but it is not armed"
                del self.timers[timer]
            case Reply(request, result):
                assert request in self.requests, f"nobody asked {request}"
                assert request not in self.replies, f"{request} answered twice"
                self.replies[request] = result
            case Ready():
                assert not self.is_ready
                self.is_ready = True
            case End(reason):
                assert not self.live, f"ends with {self.live} alive"
                assert not self.timers, f"ends with {self.timers} armed"
                assert self.requests == set(self.replies), "ends with calls unanswered"
                self.ended = reason
            case _:
                assert isinstance(effect, Fact)

    def _answer_launch(self, id: str, generation: int, outcome: str) -> None:
        now, chance = self.now, self.chance
        match outcome:
            case "ok":
                self._answer(ChildStarted(id, generation, None, now=now, chance=chance))
            case "fail":
                self._answer(ChildStartFailed(id, generation, crashed("no start"), now=now, chance=chance))
            case "ignore":
                self._answer(ChildIgnored(id, generation, "not configured", now=now, chance=chance))
            case "hang":
                pass
            case _:
                raise AssertionError(outcome)

    def _end(self, id: str, generation: int, reason: ExitReason) -> None:
        for event in self._queue:
            if isinstance(event, ChildExited | ChildStartFailed) and (event.id, event.generation) == (id, generation):
                if self.blocks:
                    self._queue.remove(event)
                    self._answer(event)
                return
        kind = ChildStartFailed if self.live[id, generation] == STARTING else ChildExited
        self._answer(kind(id, generation, reason, now=self.now, chance=self.chance))

    def _answer(self, event: Event) -> None:
        if self.blocks:
            self._queue.appendleft(event)
        else:
            self._queue.append(event)


def of(kind: type[T], effects: Iterable[Effect]) -> list[T]:
    """The effects of one class, in order."""
    return [effect for effect in effects if isinstance(effect, kind)]


def launched(effects: Iterable[Effect]) -> list[str]:
    """Ids launched, in order."""
    return [effect.id for effect in of(Launch, effects)]


def stopped(effects: Iterable[Effect]) -> list[str]:
    """Ids asked to stop or killed, in order, each once."""
    return list(dict.fromkeys(effect.id for effect in effects if isinstance(effect, AskStop | Kill)))


def world_with_b(state: str, strategy: Strategy = Strategy.ONE_FOR_ONE) -> World:
    """Children a, b, c; a and c run, b is in `state`."""
    budget = Budget(0, 10.0) if state == "quarantined" else None
    b = child("b", backoff=Backoff(first=10.0), budget=budget, shutdown="infinity")
    world = World(supervisor(child("a"), b, child("c"), strategy=strategy, intensity=9))
    world.obeys = False
    match state:
        case "running":
            pass
        case "suspended":
            world.call(SuspendChild, "b")
        case "none":
            world.obeys = True
            world.call(TerminateChild, "b")
            world.obeys = False
        case "held":
            world.obeys = True
            world.call(StopChild, "b", Hold("ann", "noisy"))
            world.obeys = False
        case "restarting":
            world.exited("b")
        case "starting":
            world.exited("b")
            world.pass_time(20.0)
        case "stopping":
            world.call(TerminateChild, "b")
        case "quarantined":
            world.exited("b")
        case "unknown":
            world.obeys = True
            world.call(TerminateChild, "b")
            world.call(DeleteChild, "b")
            world.obeys = False
        case _:
            raise AssertionError(state)
    return world
