"""The events of a supervisor, folded, say after each step what its tree shows; those of a running tree as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.supervision import World, supervisor
from support.supervision import child as spec_of
from support.supervision_strategies import Chaos, supervisor_specs

from actors.events import Event
from actors.history.payloads import event_of, payload_of
from supervisors.announcing import Announcer
from supervisors.core import Begin, Fact, Reconfigure, State
from supervisors.core.states import Fresh, Over
from supervisors.lines import Lines
from supervisors.past.folding import Picture, fold, views
from supervisors.specs import Restart, Strategy, SupervisorSpec
from supervisors.telling import Teller, process_finder
from supervisors.tree import nodes
from supervisors.views import NodeView

OWN_PID = 77
EPOCH = 1_700_000_000.0

thorough = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Instance:
    """A launched instance of this process that says nothing."""

    pid, ref, note, usage = None, None, "", None

    def figures(self) -> None:
        return None


class Told:
    """Beside a world of the core: tells its steps as a supervisor does, and folds what was told."""

    def __init__(self, world: World, *, through_rows: bool = False) -> None:
        self.world = world
        self.picture = Picture()
        self.before = world.first
        self.seen = 0
        self.handles: dict[str, tuple[int, Any]] = {}
        self.through_rows = through_rows
        clock = SimpleNamespace(monotonic=lambda: world.now, time=lambda: EPOCH + world.now)
        registry = SimpleNamespace(set_absent=lambda path, state: None)
        self.system: Any = SimpleNamespace(bus=SimpleNamespace(publish=self.take), clock=clock, registry=registry)
        self.announcer = Announcer("/", self.system, OWN_PID, world.first)
        self.announcements = self.announcer.announcements()
        self.teller = Teller("/", self.system, OWN_PID, process_finder(self.handles))
        self.supervisor = SimpleNamespace(published=world.first, handles=self.handles, lines=Lines())
        self.services: Any = SimpleNamespace(
            system=self.system, supervisors={"/": self.supervisor}, trunk=SimpleNamespace(branches={}), pid=OWN_PID
        )

    def take(self, event: Event) -> None:
        if self.through_rows:
            event = event_of(type(event).__name__, event.at, event.path, payload_of(event))
        fold([event], self.picture)

    def follow(self, world: World) -> None:
        """Tell the step that was made last, and compare."""
        event, effects = world.done[-1]
        state: State = world.state
        self.handles.clear()
        self.handles.update({id: (generation, Instance()) for id, generation in world.live})
        for id, child in state.children.items():  # an abandoned instance is nobody's any more
            held = self.handles.get(id)
            if held is not None and (id, child.generation) in world.live:
                self.handles[id] = (child.generation, Instance())
        self.announcer.state = self.supervisor.published = state
        for effect in effects:
            if isinstance(effect, Fact):
                self.announcements[type(effect)](effect)
        if state is not self.before:
            self.teller.tell(self.before, state, event, effects)
        self.before = state
        self.check()

    def check(self) -> None:
        state = self.world.state
        if isinstance(state.phase, Over):
            assert views(self.picture, EPOCH + self.world.now) == ()
        elif not isinstance(state.phase, Fresh):
            was, live = shown(views(self.picture, EPOCH + self.world.now)), shown(nodes(self.services))
            assert [node["path"] for node in was] == [node["path"] for node in live]
            for one, other in zip(was, live, strict=True):
                assert dict(one.items() - other.items()) == dict(other.items() - one.items())


def shown(tree: tuple[NodeView, ...]) -> list[dict[str, Any]]:
    """The views as plain data, instants as seconds to the millisecond."""
    found = []
    for view in tree:
        plain = msgspec.structs.asdict(view)
        for name in ("state_at", "next_at"):
            plain[name] = round(plain[name].timestamp(), 2) if plain[name] is not None else None
        for name in ("uptime", "next_in"):
            plain[name] = round(plain[name], 2) if plain[name] is not None else None
        found.append(plain)
    return found


@thorough
@given(supervisor_specs(), st.data())
def test_after_every_step_the_events_so_far_say_what_the_tree_shows(spec: SupervisorSpec, data: st.DataObject):
    world = World(spec, obeys=False, begins=False, path="/")
    world.watch = Told(world).follow
    world.feed(Begin(now=world.now))

    Chaos(world, data).run(data.draw(st.integers(0, 40)))


@settings(thorough, max_examples=60)
@given(supervisor_specs(), st.data())
def test_the_events_say_so_after_they_were_rows_of_the_history_and_from_any_keyframe_on(
    spec: SupervisorSpec, data: st.DataObject
):
    world = World(spec, obeys=True, begins=False, path="/")
    told = Told(world, through_rows=True)
    world.watch = told.follow
    world.feed(Begin(now=world.now))
    Chaos(world, data).run(data.draw(st.integers(0, 15)))
    if world.ended is None:
        told.picture = Picture()
        told.teller.keyframe(world.state)
        told.check()

    Chaos(world, data).run(data.draw(st.integers(0, 15)))


def test_a_new_specification_that_waited_for_a_start_is_told_with_it():
    """Found by the property above: what was new of the child that became ready in that very step was not told."""
    one_for_all = Strategy.ONE_FOR_ALL
    spec = supervisor(spec_of("a"), spec_of("b", Restart.TRANSIENT), strategy=one_for_all)
    world = World(spec, obeys=False, begins=False, path="/")
    told = Told(world)
    world.watch = told.follow
    world.feed(Begin(now=world.now))
    world.started("a")
    world.started("b")
    world.exited("a")
    world.exited("b")
    world.started("a")

    world.call(Reconfigure, supervisor(spec_of("a"), spec_of("b"), strategy=one_for_all), apply=False)
    world.started("b")

    assert world.state.children["b"].spec.restart is Restart.PERMANENT
    told.check()
