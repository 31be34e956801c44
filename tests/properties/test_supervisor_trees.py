"""Random trees of supervisors, each with its own core, wired as the shell wires them: order over the whole tree,
escalation from level to level, and the chain of causes from the top to the leaf."""

from __future__ import annotations

import itertools
from collections import deque

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.supervision import child, crashed, supervisor

from actors.addresses import join, parent_of
from actors.exits import KILLED, NORMAL, SHUTDOWN, ExitReason
from supervisors.core import (
    ArmTimer,
    AskStop,
    Begin,
    ChildExited,
    ChildStarted,
    ChildStartFailed,
    Down,
    DownWhy,
    End,
    Event,
    Kill,
    KillAsked,
    Launch,
    Ready,
    State,
    StopAsked,
    TimerFired,
    TimerKind,
    new,
    step,
    validate_tree,
)
from supervisors.specs import ChildSpec, Restart, Strategy, SupervisorSpec

thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STATIC = [strategy for strategy in Strategy if strategy is not Strategy.SIMPLE_ONE_FOR_ONE]


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> SupervisorSpec:
    children = []
    for n in range(draw(st.integers(1, 3))):
        id = f"{'abc'[n]}{depth}"
        restart = draw(st.sampled_from(Restart))
        if depth > 1 and draw(st.booleans()):
            children.append(ChildSpec(id, draw(trees(depth - 1)), restart))
        else:
            children.append(child(id, restart))
    return supervisor(*children, strategy=draw(st.sampled_from(STATIC)), intensity=draw(st.integers(0, 3)))


class Forest:
    """All supervisors of one tree, and workers that obey at once.

    Attributes:
        states: The state of each live supervisor, by path.
        workers: Live workers by path, with their generation.
        log: ("start" | "stop", path) of workers, in order.
    """

    def __init__(self, spec: SupervisorSpec) -> None:
        self.states: dict[str, State] = {}
        self.workers: dict[str, int] = {}
        self.log: list[tuple[str, str]] = []
        self.ended: ExitReason | None = None
        self.now = 0.0
        self._ready: set[str] = set()
        self._generations: dict[str, int] = {}
        self._queue: deque[tuple[str, Event]] = deque()
        self._launch_supervisor("/", spec)
        self.run()

    def feed(self, path: str, event: Event) -> None:
        self._queue.append((path, event))
        self.run()

    def crash(self, path: str, reason: ExitReason) -> None:
        """The worker at `path` ends by itself."""
        supervisor, id = parent_of(path), path.rpartition("/")[2]
        assert supervisor is not None
        self.feed(supervisor, ChildExited(id, self.workers.pop(path), reason, now=self.now))

    def run(self) -> None:
        while self._queue:
            path, event = self._queue.popleft()
            if path not in self.states:
                continue
            self.states[path], effects = step(self.states[path], event)
            for effect in effects:
                self._perform(path, effect)

    def _perform(self, path: str, effect: object) -> None:
        match effect:
            case Launch(id, generation, spec=spec):
                below = join(path, id)
                assert below not in self.workers
                assert below not in self.states
                if isinstance(spec.start, SupervisorSpec):
                    self._generations[below] = generation
                    self._launch_supervisor(below, spec.start)
                else:
                    self.log.append(("start", below))
                    self.workers[below] = generation
                    self._queue.append((path, ChildStarted(id, generation, now=self.now)))
            case AskStop(id, generation, reason):
                below = join(path, id)
                if below in self.states:
                    self._queue.append((below, StopAsked(reason, now=self.now)))
                else:
                    self._end_worker(path, id, generation, reason)
            case Kill(id, generation):
                below = join(path, id)
                if below in self.states:
                    self._queue.append((below, KillAsked(now=self.now)))
                else:
                    self._end_worker(path, id, generation, KILLED)
            case ArmTimer(timer, _) if timer.kind is TimerKind.RETRY:
                self._queue.append((path, TimerFired(timer, now=self.now)))
            case Ready():
                self._ready.add(path)
                self._tell_parent(path, lambda id, n: ChildStarted(id, n, now=self.now))
            case End(reason):
                assert not any(parent_of(worker) == path for worker in self.workers)
                del self.states[path]
                if path in self._ready:
                    self._ready.discard(path)
                    self._tell_parent(path, lambda id, n: ChildExited(id, n, reason, now=self.now))
                else:
                    self._tell_parent(path, lambda id, n: ChildStartFailed(id, n, reason, now=self.now))
                if path == "/":
                    self.ended = reason
            case _:
                pass

    def _launch_supervisor(self, path: str, spec: SupervisorSpec) -> None:
        self.states[path] = new(spec, path)
        self._queue.append((path, Begin(now=self.now)))

    def _tell_parent(self, path: str, make: object) -> None:
        above = parent_of(path)
        if above is not None:
            self._queue.append((above, make(path.rpartition("/")[2], self._generations[path])))  # type: ignore[operator]

    def _end_worker(self, path: str, id: str, generation: int, reason: ExitReason) -> None:
        below = join(path, id)
        if self.workers.get(below) == generation:
            del self.workers[below]
            self.log.append(("stop", below))
            self._queue.append((path, ChildExited(id, generation, reason, now=self.now)))


def depth_first(spec: SupervisorSpec, path: str = "/") -> list[str]:
    """Paths of all workers as they stand in the tree."""
    found = []
    for one in spec.children:
        below = join(path, one.id)
        found += depth_first(one.start, below) if isinstance(one.start, SupervisorSpec) else [below]
    return found


@thorough
@given(trees())
def test_a_tree_starts_depth_first_and_stops_in_exactly_the_reverse_order(tree: SupervisorSpec):
    forest = Forest(tree)
    started = [path for what, path in forest.log if what == "start"]

    forest.feed("/", StopAsked(SHUTDOWN, now=1.0))
    stopped = [path for what, path in forest.log if what == "stop"]

    assert validate_tree(tree) == []
    assert started == depth_first(tree)
    assert stopped == started[::-1]
    assert forest.ended == SHUTDOWN
    assert forest.states == {}


@thorough
@given(trees(), st.data())
def test_after_any_crashes_what_should_run_runs_or_the_top_has_ended_with_the_chain_to_the_leaf(
    tree: SupervisorSpec, data: st.DataObject
):
    forest = Forest(tree)
    for _ in range(data.draw(st.integers(1, 12))):
        if not forest.workers:
            break
        victim = data.draw(st.sampled_from(sorted(forest.workers)), "victim")
        forest.now += data.draw(st.sampled_from((0.0, 1.0, 20.0)))
        forest.crash(victim, data.draw(st.sampled_from((NORMAL, SHUTDOWN, KILLED, crashed(victim))), "reason"))

        if forest.ended is not None:
            assert forest.ended.detail == "gave-up"
            paths = ["/", *(cause.path for cause in forest.ended.chain())]
            assert all(parent_of(below) == above for above, below in itertools.pairwise(paths))
            assert paths[-1] == victim
            assert (forest.workers, forest.states) == ({}, {})
            return
        check(forest, tree, "/")


def check(forest: Forest, spec: SupervisorSpec, path: str) -> None:
    """Below a live supervisor every permanent child runs, and what does not run has a reason."""
    state = forest.states[path]
    for one in spec.children:
        below = join(path, one.id)
        runs = below in forest.workers or below in forest.states
        record = state.children.get(one.id)
        if one.restart is Restart.PERMANENT:
            assert runs
        elif one.restart is Restart.TRANSIENT:
            assert record is not None
            assert runs is not (record.state == Down(DownWhy.FINISHED))
        else:
            assert runs is (record is not None)
        if below in forest.states and isinstance(one.start, SupervisorSpec):
            check(forest, one.start, below)


@thorough
@given(trees(), st.data())
def test_killing_the_top_kills_everything(tree: SupervisorSpec, data: st.DataObject):
    forest = Forest(tree)
    if data.draw(st.booleans()) and forest.workers:
        forest.crash(data.draw(st.sampled_from(sorted(forest.workers))), crashed())

    if forest.ended is None:
        forest.feed("/", KillAsked(now=1.0))
        assert forest.ended == KILLED

    assert (forest.workers, forest.states) == ({}, {})
