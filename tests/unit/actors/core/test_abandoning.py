"""Giving up an instance whose thread cannot be killed: it is cut off, and nothing else is held up."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support.waiting import until, until_idle

from actors import AbandonedError, Actor, ActorExitedError, ActorSystem, Down, Exited, Message, Started, on
from actors.exits import KILLED, ExitKind
from actors.testing import PATIENCE, Collector, Probe, launch


class Stick(Message[None], frozen=True, local=True):
    entered: threading.Event
    go_on: threading.Event


class Hello(Message[str], frozen=True):
    pass


class Sticky(Actor):
    def __init__(self, victim=None, seen=None) -> None:
        super().__init__()
        self.victim = victim
        self.seen = seen

    @on(Stick)
    def stick(self, message: Stick) -> None:
        message.entered.set()
        assert message.go_on.wait(PATIENCE)
        if self.victim is not None:
            for attempt in (
                lambda: self.victim.tell("late"),
                lambda: self.victim.ask("late"),
                lambda: self.system.ref("/victim").tell("late"),
                lambda: self.after(0, "late"),
                lambda: self.monitor(self.victim),
                lambda: self.link(self.victim),
                lambda: self.system.spawn(Sticky, path="/late", on_outcome=print),
            ):
                try:
                    attempt()
                except AbandonedError:
                    self.seen("refused")
                else:
                    self.seen("went through")
            self.seen("over")

    @on(Hello)
    def hello(self, _message: Hello) -> str:
        return "hello"


@pytest.fixture
def gate():
    made = Stick(threading.Event(), threading.Event())
    yield made
    made.go_on.set()


def test_what_an_abandoned_instance_still_does_reaches_nobody(system: ActorSystem, placement, gate):
    victim = Probe(system, "/victim")
    seen = Collector()
    stuck = launch(system, lambda: Sticky(victim.ref, seen), path="/stuck", placement=placement)
    asked = stuck.ref.ask(gate, block=False)
    assert gate.entered.wait(PATIENCE)
    waiting = stuck.ref.ask(Hello(), block=False)
    stuck.ref.tell(Hello())

    assert stuck.launch.abandon() is False

    for future in (asked, waiting):
        with pytest.raises(ActorExitedError):
            future.get(timeout=PATIENCE)
    assert system.abandoned == ("/stuck",)
    assert stuck.launch.is_finished
    gate.go_on.set()
    seen.expect(str, where=lambda what: what == "over")
    assert set(seen.all) == {"refused", "over"}
    assert victim.received.all == ()
    assert stuck.outcomes.all == (Started(stuck.ref),)  # not one word more


def test_the_path_is_free_at_once_and_the_next_instance_works(system: ActorSystem, placement, gate):
    stuck = launch(system, Sticky, path="/a", placement=placement)
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)

    stuck.launch.abandon()

    again = launch(system, Sticky, path="/a", placement=placement)
    assert again.ref.ask(Hello(), timeout=PATIENCE) == "hello"
    assert system.ref("/a").ask(Hello(), timeout=PATIENCE) == "hello"


def test_an_abandoned_instance_that_comes_back_is_no_longer_listed(system: ActorSystem, placement, gate):
    stuck = launch(system, Sticky, path="/a", placement=placement)
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)
    stuck.launch.abandon()

    gate.go_on.set()

    until(lambda: system.abandoned == ())


def test_who_monitors_an_abandoned_instance_learns_it_at_once(system: ActorSystem, placement, gate):
    downs = Collector()

    class Watcher(Actor):
        def __init__(self, ref) -> None:
            super().__init__()
            self.monitor(ref)

        @on(Down)
        def down(self, message: Down) -> None:
            downs(message)

    stuck = launch(system, Sticky, path="/a", placement=placement)
    launch(system, lambda: Watcher(stuck.ref), path="/watcher")
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)

    stuck.launch.abandon()

    assert downs.expect(Down).reason.kind is ExitKind.KILLED


def test_abandoning_an_idle_instance_really_ends_it_without_its_hooks(system: ActorSystem, placement):
    calls = Collector()

    class Hooked(Sticky):
        def on_stop(self) -> None:
            calls("on_stop")

    idle = launch(system, Hooked, path="/a", placement=placement)
    until_idle(idle.ref)

    assert idle.launch.abandon() is True

    assert (calls.all, system.abandoned, "/a" in system.registry) == ((), (), False)
    with pytest.raises(ActorExitedError):
        idle.ref.ask(Hello())


def test_other_actors_of_the_pool_go_on_and_the_stuck_worker_takes_no_other(system: ActorSystem, gate):
    stuck = launch(system, Sticky, path="/stuck")
    others = [launch(system, Sticky, path=f"/other{n}") for n in range(5)]
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)
    stuck.launch.abandon()

    assert [other.ref.ask(Hello(), timeout=PATIENCE) for other in others] == ["hello"] * 5
    gate.go_on.set()
    assert [other.ref.ask(Hello(), timeout=PATIENCE) for other in others] == ["hello"] * 5


def test_an_innocent_actor_run_on_the_thread_of_an_abandoned_one_may_send(system: ActorSystem):
    entered, go_on = threading.Event(), threading.Event()
    probe = Probe(system)

    class Inner(Actor):
        def on_receive(self, message):
            entered.set()
            assert go_on.wait(PATIENCE)
            probe.ref.tell("from inner")
            return "done"

    class Outer(Actor):
        def on_receive(self, message):
            return inner.ref.ask(message)

    inner = launch(system, Inner, path="/inner")
    outer = launch(system, Outer, path="/outer")
    outer.ref.tell("go")
    assert entered.wait(PATIENCE)

    outer.launch.abandon()
    go_on.set()

    assert probe.expect(str) == "from inner"
    assert inner.ref.is_alive()


def test_abandoning_an_awaiting_instance_cancels_it(system: ActorSystem, placement):
    entered, cancelled = threading.Event(), threading.Event()

    class Awaiting(Actor):
        async def on_receive(self, message):
            entered.set()
            try:
                await asyncio.sleep(1000)
            finally:
                cancelled.set()

    stuck = launch(system, Awaiting, path="/a", placement=placement)
    asked = stuck.ref.ask("go", block=False)
    assert entered.wait(PATIENCE)

    stuck.launch.abandon()

    assert cancelled.wait(PATIENCE)
    with pytest.raises(ActorExitedError):
        asked.get(timeout=PATIENCE)


def test_abandoning_an_instance_that_waits_for_its_first_turn_never_makes_it(system: ActorSystem, gate):
    made = Collector()

    class Made(Actor):
        def __init__(self) -> None:
            super().__init__()
            made("made")

    stuck = launch(system, Sticky, path="/stuck")
    system.pool._spares = 0  # so that nobody takes over
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)
    outcomes = Collector()
    late = system.spawn(Made, path="/late", on_outcome=outcomes)

    late.abandon()
    gate.go_on.set()

    assert stuck.ref.ask(Hello(), timeout=PATIENCE) == "hello"
    stuck.stop(KILLED)
    stuck.outcomes.expect(Exited)
    assert (made.all, outcomes.all) == ((), ())


def test_a_system_that_shuts_down_does_not_wait_for_what_was_abandoned_before(system: ActorSystem, gate):
    stuck = launch(system, Sticky, path="/stuck", placement="pool")
    stuck.ref.tell(gate)
    assert gate.entered.wait(PATIENCE)
    assert stuck.launch.abandon() is False

    assert system.shutdown(3600.0) is False  # the handler is still inside; waiting would see its end
