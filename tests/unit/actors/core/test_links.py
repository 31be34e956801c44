"""Monitors, links and exit signals."""

from __future__ import annotations

import pytest

from actors import Actor, ActorSystem, Down, Exited, ExitSignal, Message, on
from actors.core.links import NOPROC
from actors.exits import NORMAL, SHUTDOWN, ExitKind, ExitReason
from actors.testing import PATIENCE, Collector, Launched, launch


class Do(Message[object], frozen=True, local=True):
    call: object


class Node(Actor):
    def __init__(self, seen: Collector | None = None) -> None:
        super().__init__()
        self.seen = seen if seen is not None else Collector()

    @on(Do)
    def do(self, message: Do) -> object:
        return message.call(self)

    @on(Down)
    def down(self, message: Down) -> None:
        self.seen(message)

    @on(ExitSignal)
    def signal(self, message: ExitSignal) -> None:
        self.seen(message)


class Trapping(Node):
    trap_exits = True


def _do(launched: Launched, call):
    return launched.ref.ask(Do(call), timeout=PATIENCE)


def _crash(launched: Launched) -> None:
    def raise_it(_actor):
        raise ValueError("bad")

    launched.ref.tell(Do(raise_it))


@pytest.fixture
def seen():
    return Collector()


@pytest.fixture
def watcher(system: ActorSystem, placement, seen):
    return launch(system, lambda: Node(seen), path="/watcher", placement=placement)


def test_a_monitor_gets_one_down_with_the_reason(system: ActorSystem, watcher, seen):
    target = launch(system, Node, path="/target")
    monitor = _do(watcher, lambda actor: actor.monitor(target.ref))

    _crash(target)

    down = seen.expect(Down)
    assert (down.ref_address, down.monitor, down.reason.kind) == ("test/target@1", monitor.number, ExitKind.CRASHED)
    assert seen.all == (down,)


def test_down_comes_after_all_the_target_had_sent(system: ActorSystem, watcher, seen):
    class Telling(Node):
        @on(Do)
        def do(self, message: Do) -> object:
            for n in range(100):
                watcher.ref.tell(Do(lambda actor, n=n: actor.seen(n)))
            self.stop()
            return None

    target = launch(system, Telling, path="/target", placement="thread")
    _do(watcher, lambda actor: actor.monitor(target.ref))

    target.ref.tell(Do(None))

    seen.expect(Down)
    assert seen.all[:-1] == tuple(range(100))


def test_monitoring_who_has_ended_gets_its_reason_at_once(system: ActorSystem, watcher, seen):
    target = launch(system, Node, path="/target")
    target.stop(ExitReason.shutdown("reload"))
    target.outcomes.expect(Exited)

    _do(watcher, lambda actor: actor.monitor(target.ref))

    assert seen.expect(Down).reason == ExitReason.shutdown("reload")


def test_monitoring_a_path_with_nobody_there_gets_noproc(system: ActorSystem, watcher, seen):
    _do(watcher, lambda actor: actor.monitor(system.ref("/nobody")))

    down = seen.expect(Down)
    assert (down.ref_address, down.reason) == ("test/nobody", NOPROC)


def test_two_monitors_of_one_actor_get_a_down_each(system: ActorSystem, watcher, seen):
    target = launch(system, Node, path="/target")
    numbers = {_do(watcher, lambda actor: actor.monitor(target.ref)).number for _ in range(2)}

    target.stop(SHUTDOWN)

    assert {seen.expect(Down).monitor, seen.expect(Down).monitor} == numbers


def test_after_demonitor_no_down_is_handled_even_one_that_waits_already(system: ActorSystem, watcher, seen):
    target = launch(system, Node, path="/target")

    def demonitor_when_down_waits(actor):
        monitor = actor.monitor(target.ref)
        target.stop(SHUTDOWN)
        target.outcomes.expect(Exited)
        actor.demonitor(monitor)

    _do(watcher, demonitor_when_down_waits)
    _do(watcher, lambda actor: actor.seen("next"))

    assert seen.all == ("next",)


def test_monitors_of_an_actor_that_ended_reach_nobody(system: ActorSystem, watcher, seen):
    target = launch(system, Node, path="/target")
    _do(watcher, lambda actor: actor.monitor(target.ref))
    watcher.stop(SHUTDOWN)
    watcher.outcomes.expect(Exited)

    target.stop(SHUTDOWN)
    target.outcomes.expect(Exited)

    assert (seen.all, system.dead_letters.count) == ((), 0)


@pytest.mark.parametrize("which", ["linker", "linked"])
def test_the_abnormal_end_of_one_ends_the_other(system: ActorSystem, placement, which):
    one = launch(system, Node, path="/one", placement=placement)
    two = launch(system, Node, path="/two", placement=placement)
    _do(one, lambda actor: actor.link(two.ref))
    first, second = (one, two) if which == "linker" else (two, one)

    _crash(first)

    assert first.outcomes.expect(Exited).reason.crash.message == "bad"
    assert second.outcomes.expect(Exited).reason.crash.message == "bad"


def test_a_shutdown_passes_on_and_a_normal_end_does_not(system: ActorSystem, placement):
    one = launch(system, Node, path="/one", placement=placement)
    two = launch(system, Node, path="/two", placement=placement)
    three = launch(system, Node, path="/three", placement=placement)
    _do(two, lambda actor: actor.link(one.ref))
    _do(three, lambda actor: actor.link(one.ref))
    _do(three, lambda actor: actor.unlink(one.ref))

    one.stop(NORMAL)
    one.outcomes.expect(Exited)
    assert _do(two, lambda actor: "lives") == "lives"
    _do(three, lambda actor: actor.link(two.ref))
    two.stop(SHUTDOWN)

    assert three.outcomes.expect(Exited).reason == SHUTDOWN


def test_an_actor_that_traps_exits_gets_a_message_for_every_reason(system: ActorSystem, placement, seen):
    trapping = launch(system, lambda: Trapping(seen), path="/trapping", placement=placement)
    for name, end in (("normal", lambda a: a.stop(NORMAL)), ("crash", _crash)):
        other = launch(system, Node, path=f"/{name}")
        _do(trapping, lambda actor, other=other: actor.link(other.ref))
        end(other)
        signal = seen.expect(ExitSignal)
        assert signal.ref_address == f"test/{name}@1"

    assert _do(trapping, lambda actor: "lives") == "lives"


def test_linking_twice_from_either_side_is_one_link(system: ActorSystem, seen):
    trapping = launch(system, lambda: Trapping(seen), path="/trapping")
    other = launch(system, Node, path="/other")
    for _ in range(2):
        _do(trapping, lambda actor: actor.link(other.ref))
    _do(other, lambda actor: actor.link(trapping.ref))

    _crash(other)
    seen.expect(ExitSignal)
    _do(trapping, lambda actor: actor.seen("next"))

    assert [type(what) for what in seen.all] == [ExitSignal, str]


def test_unlinking_from_either_side_ends_the_link(system: ActorSystem, placement):
    one = launch(system, Node, path="/one", placement=placement)
    two = launch(system, Node, path="/two", placement=placement)
    _do(one, lambda actor: actor.link(system.ref("/two")))
    _do(two, lambda actor: actor.unlink(one.ref))

    _crash(one)
    one.outcomes.expect(Exited)

    assert _do(two, lambda actor: "lives") == "lives"


def test_linking_with_nobody_is_an_exit_signal(system: ActorSystem, placement):
    one = launch(system, Node, path="/one", placement=placement)

    one.ref.tell(Do(lambda actor: actor.link(system.ref("/nobody"))))

    assert one.outcomes.expect(Exited).reason == NOPROC


def test_links_hold_for_actors_started_by_their_class_too(system: ActorSystem):
    ended = Collector()
    plain = Node.start()
    supervised = launch(system, Node, path="/supervised")
    plain.ask(Do(lambda actor: actor.link(supervised.ref)))
    plain.watch(ended)

    _crash(supervised)

    ended.expect(ExitReason)
    assert not plain.is_alive()


def test_a_crash_passes_along_a_ring_of_links_once(system: ActorSystem):
    ring = [launch(system, Node, path=f"/n{n}") for n in range(20)]
    for n, one in enumerate(ring):
        _do(one, lambda actor, n=n: actor.link(ring[(n + 1) % 20].ref))

    _crash(ring[7])

    assert {one.outcomes.expect(Exited).reason.crash.message for one in ring} == {"bad"}
    assert all(len(one.outcomes.all) == 2 for one in ring)
