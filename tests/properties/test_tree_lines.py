"""A tree read again and again says what a first reading would say, in views and bytes, whatever happened in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from actors.core.cell import Cell
from actors.core.mailbox import MailboxSpec, Pressure
from actors.core.ref import ActorRef
from actors.exits import KILLED, ExitReason
from actors.testing import ManualClock
from supervisors.core import (
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    Fresh,
    Held,
    Hold,
    Quarantined,
    Restarting,
    Running,
    Starting,
    State,
    Stopping,
)
from supervisors.core.states import Origin, Then
from supervisors.intensity import EMPTY
from supervisors.lines import Lines
from supervisors.specs import Budget, ChildSpec, LocalStart, SupervisorSpec
from supervisors.tree import count_ready, encoded, nodes
from supervisors.views import NodeKind, NodeView

CRASHED = ExitReason.crashed(ValueError("first line\nsecond line"))
IDS = ("a", "b", "c", "d", "s", "t")
BUDGET = Budget(intensity=3, period=5.0)


class Handle:
    """An instance: of this process, where it has a cell."""

    def __init__(self, cell: Cell | None, pid: int | None = None) -> None:
        self.ref = cell
        self.pid = pid
        self.note = ""
        self.usage = None
        self.told: Any = None

    def figures(self) -> Any:
        return ActorRef.statistics(self.ref) if self.ref is not None else self.told  # type: ignore[arg-type]


class World:
    """A tree of two levels that is what a list of happenings made it: no actor runs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.services: Any = SimpleNamespace(
            system=SimpleNamespace(clock=self.clock), supervisors={}, trunk=SimpleNamespace(branches={}), pid=77
        )
        self.begin("/")

    def begin(self, path: str) -> None:
        """Put a new supervisor at `path`, with no children."""
        state = State(path, SupervisorSpec(), phase=Active(None) if path != "/" else Fresh())
        self.services.supervisors[path] = SimpleNamespace(published=state, handles={}, lines=Lines())

    def put(self, path: str, id: str, state: Any, number: int) -> None:
        """Give the child `id` a record with this state, and an instance where the state has one."""
        supervisor = self.services.supervisors[path]
        is_supervisor = path == "/" and id in {"s", "t"}
        old = supervisor.published.children.get(id)
        if old is None:
            start: Any = SupervisorSpec() if is_supervisor else LocalStart(object)
            spec = ChildSpec(id, start, budget=BUDGET if id in {"a", "s"} else None)
            old = Child(id, spec, number, 0, Down(DownWhy.WAITING))
        window = EMPTY if number % 2 else old.window.record(self.clock.monotonic(), BUDGET.period)
        child = structs.replace(
            old,
            state=state,
            generation=number % 3,
            attempt=number % 2,
            restarts=number % 4,
            last_exit=CRASHED if number % 5 == 0 else old.last_exit,
            window=window,
        )
        self.publish(path, supervisor.published.children.insert(id, child))
        supervisor.handles.pop(id, None)
        if isinstance(state, (Running, Starting, Stopping)):
            is_here = not isinstance(state, Starting) and id != "c"
            cell = Cell(MailboxSpec(), id, lambda _: None) if is_here else None
            supervisor.handles[id] = (child.generation, Handle(cell))
        if is_supervisor and isinstance(state, Running):
            self.begin(f"/{id}")
        elif is_supervisor:
            self.services.supervisors.pop(f"/{id}", None)

    def remove(self, path: str, id: str) -> None:
        """Take the child's record away, and all below it."""
        supervisor = self.services.supervisors[path]
        self.publish(path, supervisor.published.children.remove(id))
        supervisor.handles.pop(id, None)
        if path == "/":
            self.services.supervisors.pop(f"/{id}", None)

    def publish(self, path: str, children: Any) -> None:
        supervisor = self.services.supervisors[path]
        supervisor.published = structs.replace(supervisor.published, children=children)

    def work(self, path: str, id: str, number: int) -> None:
        """Let the instance of a child do something, as far as its figures show it."""
        held = self.services.supervisors[path].handles.get(id)
        if held is None:
            return
        handle = held[1]
        cell = handle.ref
        if cell is None and number % 2:  # of another process: its pid is known
            handle.pid, handle.note = 500 + number % 3, "listening" if number % 4 == 3 else ""
        elif cell is None:  # and its heartbeat comes
            other = Cell(MailboxSpec(), id, lambda _: None)
            other._handled = number
            handle.told = ActorRef.statistics(other)  # type: ignore[arg-type]
        elif number % 5 == 0:
            cell._queue = deque(range(number))
        elif number % 5 == 1:
            cell._handling, cell._turn_at = "a message", self.clock.monotonic()
        elif number % 5 == 2:
            cell._handled += number
            cell._failed += number % 3
            cell._handling = cell._queue = None
        elif number % 5 == 3:
            cell._queue.clear() if cell._queue is not None else None
        else:
            cell._pressure = cell._pressure or Pressure()
            cell._pressure.dropped += 1


STATES = st.sampled_from(
    [
        Running(990.0),
        Running(999.5, suspended=True),
        Running(1001.0),
        Starting(999.0, None, Origin.INITIAL),
        Restarting(1003.0, 1),
        Restarting(999.0, 0, parked=True),
        Stopping(None, Then.DOWN, killed=True),
        Ended(998.0, CRASHED),
        Held(Hold("uid 1000", "for a test", 5.0)),
        Quarantined(KILLED),
        *[Down(why) for why in DownWhy],
    ]
)
PATHS = st.sampled_from(["/", "/", "/s", "/t"])
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PATHS, st.sampled_from(IDS), STATES, st.integers(0, 30)),
        st.tuples(st.just("work"), st.just("/"), st.sampled_from(["b", "c"]), st.integers(0, 30)),
        st.tuples(st.just("work"), PATHS, st.sampled_from(IDS), st.integers(0, 30)),
        st.tuples(st.just("remove"), PATHS, st.sampled_from(IDS)),
        st.tuples(st.just("advance"), st.sampled_from([0.0, 0.25, 2.0, 7.0])),
        st.tuples(st.just("step_wall"), st.sampled_from([-3600.0, 0.5])),
    ),
    max_size=6,
)


def happen(world: World, what: tuple[Any, ...]) -> None:
    name, *given_ = what
    if name in {"advance", "step_wall"}:
        getattr(world.clock, name)(*given_)
    elif given_[0] in world.services.supervisors:
        getattr(world, name)(*given_)


@contextmanager
def afresh(world: World) -> Iterator[None]:
    """Read as if nobody had read before; the lines kept so far are there again afterwards."""
    supervisors = list(world.services.supervisors.values())
    kept = [supervisor.lines for supervisor in supervisors]
    for supervisor in supervisors:
        supervisor.lines = Lines()
    yield
    for supervisor, lines in zip(supervisors, kept, strict=True):
        supervisor.lines = lines


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(HAPPENINGS, st.sampled_from([None, None, 0, 1])), min_size=2, max_size=6))
def test_a_later_reading_says_what_a_first_one_would(rounds):
    world = World()
    for id in IDS:
        world.put("/", id, Running(990.0), 2)
    for happenings, depth in rounds:
        for what in happenings:
            happen(world, what)

        again = nodes(world.services, "/", depth)
        wire = encoded(world.services, "/", depth)
        ready = count_ready(world.services)

        assert wire is not None
        assert msgspec.msgpack.decode(wire, type=tuple[NodeView, ...]) == again
        with afresh(world):
            assert ready == count_ready(world.services)
            assert again == nodes(world.services, "/", depth)
        assert ready == (again[0].ready, again[0].total)


@settings(max_examples=50, deadline=None)
@given(HAPPENINGS)
def test_what_a_supervisor_counts_is_what_stands_below_it(happenings):
    world = World()
    for id in IDS:
        world.put("/", id, Running(990.0), 2)
    for what in happenings:
        happen(world, what)

    found = {node.path: node for node in nodes(world.services)}

    for path, node in found.items():
        if node.kind is NodeKind.SUPERVISOR and path in world.services.supervisors:
            below = [
                n for n in found.values() if n.path.startswith(path.rstrip("/") + "/") and n.kind is NodeKind.WORKER
            ]
            assert node.ready == sum(n.state.value in {"ready", "suspended"} for n in below)
            part = nodes(world.services, path)
            assert part == tuple(
                n
                for n in found.values()
                if n.path == path or n in below or (path == "/" and n.kind is NodeKind.SUPERVISOR)
            )
