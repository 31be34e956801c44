"""The pool: fair, bounded, and not stopped by an actor that blocks."""

from __future__ import annotations

import threading

import pytest
from support.waiting import until

from actors import Actor, ActorSystem, Message, on
from actors.clock import SystemClock
from actors.core.pool import Pool
from actors.testing import PATIENCE, Collector, launch


class Block(Message[None], frozen=True, local=True):
    until: threading.Event


class Hello(Message[str], frozen=True):
    pass


class Down(Message[int], frozen=True):
    depth: int


class Plain(Actor):
    @on(Block)
    def block(self, message: Block) -> None:
        assert message.until.wait(60)

    @on(Hello)
    def hello(self, _message: Hello) -> str:
        return "hello"


def test_a_handler_that_blocks_does_not_hold_up_the_others(system: ActorSystem):
    go_on = threading.Event()
    for n in range(10):
        launch(system, Plain, path=f"/blocking{n}").ref.tell(Block(go_on))

    other = launch(system, Plain, path="/other").ref

    assert other.ask(Hello(), timeout=PATIENCE) == "hello"
    assert system.pool.statistics().stuck >= 9
    go_on.set()
    until(lambda: system.pool.statistics().stuck == 0)


def test_spares_are_bounded_and_the_rest_runs_when_they_come_back():
    pool = Pool("bounded", 1, spares=3, clock=SystemClock())
    system = ActorSystem("test")
    system.pool = pool
    go_on = threading.Event()
    blocked = [launch_blocked(system, n, go_on) for n in range(10)]

    until(lambda: pool.statistics().stuck == 4)
    at_the_bound = pool.statistics()
    go_on.set()

    assert at_the_bound.threads == 4
    assert [launched.outcomes for launched in blocked]
    until(lambda: all(system.ref(f"/b{n}").statistics().handled == 1 for n in range(10)))
    assert system.shutdown(PATIENCE)


def launch_blocked(system, n, go_on):
    class Started(Plain):
        pass

    outcomes = Collector()
    system.spawn(Started, path=f"/b{n}", on_outcome=outcomes)
    system.ref(f"/b{n}").tell(Block(go_on))
    return type("Launched", (), {"outcomes": outcomes})


class Chain(Actor):
    def __init__(self, following=None, timeout: float | None = None) -> None:
        super().__init__()
        self.following = following
        self.timeout = timeout

    @on(Down)
    def down(self, message: Down) -> int:
        if self.following is None:
            return message.depth
        return self.following.ask(Down(message.depth + 1), timeout=self.timeout)


@pytest.mark.parametrize("timeout", [None, 60.0], ids=["run by the asker", "through mailboxes"])
def test_a_chain_of_nested_asks_far_deeper_than_the_pool_goes_through(system: ActorSystem, timeout):
    ref = None
    for n in range(101):
        ref = launch(system, lambda ref=ref: Chain(ref, timeout), path=f"/c{n}").ref

    assert ref.ask(Down(0), timeout=60) == 100


def test_a_cycle_of_asks_does_not_run_an_actor_twice_at_once(system: ActorSystem):
    inside = Collector()

    class One(Actor):
        is_inside = False

        def on_receive(self, message):
            assert not self.is_inside
            self.is_inside = True
            try:
                if message == "go":
                    answer = two.ref.ask("back", block=False)
                    inside("one")
                    return answer.wait(0.05)
                return "again"
            finally:
                self.is_inside = False

    class Two(Actor):
        def on_receive(self, message):
            return one.ref.ask("again")

    one = launch(system, One, path="/one")
    two = launch(system, Two, path="/two")

    assert one.ref.ask("go") is False  # `two` waits for `one`, which is busy: nobody runs it a second time
    assert one.ref.is_alive()


def test_actors_take_turns_however_much_one_of_them_has_to_do(system: ActorSystem):
    order = []

    class Counting(Actor):
        def on_receive(self, message):
            order.append(self.path)
            if message is not None:
                message()

    busy = launch(system, Counting, path="/busy").ref
    other = launch(system, Counting, path="/other").ref
    busy.suspend()
    done, all_done = threading.Event(), threading.Event()
    busy.tell(lambda: other.tell(done.set))  # while it has much to do
    for _ in range(10_000):
        busy.tell(None)
    busy.tell(all_done.set)
    busy.resume()

    assert done.wait(PATIENCE)
    assert all_done.wait(PATIENCE)
    assert order.index("/other") < 5000  # one turn or a few, not all of it


def test_idle_actors_cost_no_threads(system: ActorSystem, monkeypatch):
    monkeypatch.setattr("actors.core.pool.SPARE_IDLE", 0.01)  # a busy machine has the pool make spares, for a while
    before = threading.active_count()
    for n in range(2000):
        system.spawn(Plain, path=f"/a{n}", on_outcome=lambda _outcome: None)

    assert [system.ref(f"/a{n}").ask(Hello(), timeout=PATIENCE) for n in range(0, 2000, 100)] == ["hello"] * 20

    until(lambda: threading.active_count() - before <= 3, what="no more than a thread or two")


def test_a_pool_of_several_threads_runs_actors_side_by_side():
    with ActorSystem("test", pool_threads=3) as system:
        together = threading.Barrier(3)

        class Meeting(Actor):
            def on_receive(self, message):
                return together.wait(PATIENCE)

        asked = [launch(system, Meeting, path=f"/m{n}").ref.ask("meet", block=False) for n in range(3)]

        assert sorted(future.get(timeout=PATIENCE) for future in asked) == [0, 1, 2]


def test_a_spare_ends_when_it_was_idle_for_a_while(system: ActorSystem, monkeypatch):
    monkeypatch.setattr("actors.core.pool.SPARE_IDLE", 0.01)
    go_on = threading.Event()
    for n in range(3):
        launch(system, Plain, path=f"/blocking{n}").ref.tell(Block(go_on))
    assert launch(system, Plain, path="/other").ref.ask(Hello(), timeout=PATIENCE) == "hello"

    go_on.set()

    until(lambda: system.pool.statistics().threads == 1)
    assert system.ref("/other").ask(Hello(), timeout=PATIENCE) == "hello"


@pytest.mark.parametrize("wrong", [{"size": 0}, {"spares": -1}])
def test_a_pool_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="size is 1 or more"):
        Pool("wrong", **wrong, clock=SystemClock())


def test_what_becomes_ready_while_the_last_worker_parks_is_not_forgotten():
    ran = threading.Event()

    class Ready:
        def _run(self, _cell: object) -> None:
            ran.set()

    class Cutting(Pool):
        """Lets a sender cut in just before a parking worker says that one more may run."""

        cut = False
        stored = True

        def _watch(self) -> None:
            """No monitor: it would feed the pool, 10 ms later, whatever was forgotten."""

        @property
        def _hungry(self) -> bool:
            return self.stored

        @_hungry.setter
        def _hungry(self, value: bool) -> None:
            if self.cut and value and not self.stored:
                self.cut = False
                self.submit(Ready())
            self.stored = value

    pool = Cutting("cutting", clock=SystemClock())
    first = threading.Event()
    pool.submit(type("First", (), {"_run": lambda _self, _cell: first.set()})())
    assert first.wait(PATIENCE)
    until(lambda: pool.statistics().parked == 1)

    pool.cut = True
    pool.submit(type("Second", (), {"_run": lambda _self, _cell: None})())

    assert ran.wait(PATIENCE)
    assert pool.close(PATIENCE) == 0
