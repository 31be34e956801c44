"""Many threads against the kernel at once: nothing lost, nothing twice, nobody left waiting."""

from __future__ import annotations

import asyncio
import random
import sys
import threading

import pytest
from support.waiting import until

from actors import Actor, ActorExitedError, ActorSystem, Down, Exited, MailboxSpec, Message, Started, on
from actors.exits import SHUTDOWN
from actors.testing import Collector, launch


@pytest.fixture(autouse=True)
def _threads_that_change_often():
    """Have the interpreter change threads 500 times as often as it does, to meet more orders of events."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Add(Message[int], frozen=True):
    sender: int
    n: int


class AddSlowly(Message[int], frozen=True):
    sender: int
    n: int


class Boom(Message[None], frozen=True):
    pass


class Ledger(Actor):
    """Checks what the kernel promises: one message at a time, and each sender's in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[int, int] = {}
        self.count = 0
        self.is_inside = False

    @on(Add)
    def add(self, message: Add) -> int:
        assert not self.is_inside, "two threads are inside one actor"
        self.is_inside = True
        assert message.n == self.last.get(message.sender, -1) + 1, "a message was lost, doubled or overtaken"
        self.last[message.sender] = message.n
        self.count += 1
        self.is_inside = False
        return self.count

    @on(Boom)
    def boom(self, _message: Boom) -> None:
        raise ValueError("boom")


class AsyncLedger(Ledger):
    @on(AddSlowly)
    async def add_slowly(self, message: AddSlowly) -> int:
        await asyncio.sleep(0)
        return self.add(Add(message.sender, message.n))


def _in_parallel(n: int, work) -> None:
    failed = Collector()

    def run(k: int) -> None:
        try:
            work(k)
        except BaseException as error:
            failed(error)
            raise

    threads = [threading.Thread(target=run, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a sender hangs"
    assert failed.all == ()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("capacity", [1, 7, 100_000])
@pytest.mark.parametrize("actor", [Ledger, AsyncLedger])
def test_every_message_of_many_senders_is_handled_once_and_in_order(actor, capacity, threads, placement):
    with ActorSystem("test", pool_threads=threads) as system:
        spec = MailboxSpec(capacity, "block")
        launched = launch(system, actor, path="/a", placement=placement, mailbox=spec)
        ref = launched.ref

        def send(sender: int) -> None:
            chance = random.Random(sender)
            for n in range(150):
                how = chance.random()
                slowly = actor is AsyncLedger and chance.random() < 0.3
                message = AddSlowly(sender, n) if slowly else Add(sender, n)
                if how < 0.6:
                    ref.tell(message)
                elif how < 0.8:
                    ref.ask(message)
                elif how < 0.9:
                    ref.ask(message, timeout=60)
                else:
                    system.ref("/a").ask(message, block=False)

        _in_parallel(6, send)

        assert ref.ask(Add(99, 0), timeout=60) == 901
        assert launched.outcomes.all == (Started(ref),)


def test_every_ask_is_answered_while_the_actor_is_stopped_under_way(placement):
    with ActorSystem("test", pool_threads=2) as system:
        for round_ in range(20):
            launched = launch(system, Ledger, path="/a", placement=placement)
            answered = Collector()

            def ask(sender: int, launched=launched, answered=answered) -> None:
                for n in range(50):
                    try:
                        launched.ref.ask(Add(sender, n), timeout=60 if n % 2 else None)
                    except ActorExitedError:
                        answered("ended")
                        return
                    if sender == 0 and n == 10:
                        launched.stop(SHUTDOWN)

            _in_parallel(4, ask)

            assert answered.all, f"nobody was asking any more in round {round_}"
            assert launched.outcomes.expect(Exited).reason == SHUTDOWN
            assert "/a" not in system.registry


def test_what_is_told_is_either_handled_or_a_dead_letter_when_the_actor_ends_under_way(placement):
    with ActorSystem("test", pool_threads=2) as system:
        for _ in range(20):
            before = system.dead_letters.count
            launched = launch(system, Ledger, path="/a", placement=placement)

            def tell(sender: int, launched=launched) -> None:
                for n in range(100):
                    launched.ref.tell(Add(sender, n))
                    if sender == 0 and n == 50:
                        launched.stop(SHUTDOWN)

            _in_parallel(4, tell)
            launched.outcomes.expect(Exited)

            handled = launched.ref.statistics().handled
            # what came as it ended is refused by its thread after that has told the end
            until(lambda before=before, handled=handled: handled + system.dead_letters.count - before >= 400)
            assert handled + system.dead_letters.count - before == 400


def test_an_actor_that_crashes_and_is_launched_again_keeps_answering_at_its_path(placement):
    with ActorSystem("test", pool_threads=2) as system:
        stopping = threading.Event()
        ends = Collector()

        def launch_again(outcome) -> None:
            if isinstance(outcome, Exited):
                ends(outcome)
                if not stopping.is_set():
                    system.spawn(Ledger, path="/a", placement=placement, on_outcome=launch_again)

        system.spawn(Ledger, path="/a", placement=placement, on_outcome=launch_again)
        ref = system.ref("/a")

        def work(sender: int) -> None:
            for _ in range(40):
                with pytest.raises((ValueError, ActorExitedError)):
                    ref.ask(Boom(), timeout=60)

        _in_parallel(4, work)
        stopping.set()
        ref.tell(Boom())

        assert len(ends.wait_count(1)) >= 1
        assert system.abandoned == ()


def test_every_monitor_gets_exactly_one_down_when_many_set_them_while_the_actor_ends(placement):
    with ActorSystem("test", pool_threads=2) as system:
        downs = Collector()

        class Watcher(Actor):
            def on_receive(self, message):
                if isinstance(message, Down):
                    downs(message.monitor)
                    return None
                return self.monitor(message).number

        watchers = [launch(system, Watcher, path=f"/w{n}").ref for n in range(4)]
        numbers = Collector()
        for _ in range(30):
            target = launch(system, Ledger, path="/target", placement=placement)

            def watch(k: int, target=target) -> None:
                numbers(watchers[k].ask(target.ref, timeout=60))
                if k == 0:
                    target.stop(SHUTDOWN)
                numbers(watchers[k].ask(target.ref, timeout=60))

            _in_parallel(4, watch)
            target.outcomes.expect(Exited)
        downs.wait_count(240)

        assert sorted(downs.all) == sorted(numbers.all)


def test_suspending_and_resuming_under_traffic_loses_nothing(placement):
    with ActorSystem("test", pool_threads=2) as system:
        ref = launch(system, Ledger, path="/a", placement=placement).ref

        def work(k: int) -> None:
            if k == 0:
                for _ in range(200):
                    ref.suspend()
                    ref.resume()
            else:
                for n in range(200):
                    if n % 3:
                        ref.tell(Add(k, n))
                    else:
                        ref.ask(Add(k, n))

        _in_parallel(4, work)

        assert ref.ask(Add(99, 0), timeout=60) == 601


def test_abandoning_under_traffic_answers_every_ask(placement):
    with ActorSystem("test", pool_threads=2) as system:
        for _ in range(30):
            launched = launch(system, Ledger, path="/a", placement=placement)

            def ask(k: int, launched=launched) -> None:
                for n in range(30):
                    try:
                        launched.ref.ask(Add(k, n))
                    except ActorExitedError:
                        return
                    if k == 0 and n == 5:
                        launched.launch.abandon()

            _in_parallel(3, ask)

            assert "/a" not in system.registry


def test_launches_and_stops_from_many_threads_leave_nothing_behind(placement):
    with ActorSystem("test", pool_threads=2) as system:

        def work(k: int) -> None:
            for n in range(30):
                launched = launch(system, Ledger, path=f"/k{k}/n{n}", placement=placement)
                assert launched.ref.ask(Add(0, 0)) == 1
                launched.stop(SHUTDOWN)
                launched.outcomes.expect(Exited)

        _in_parallel(4, work)

        assert len(system.registry) == 0
