"""Actors started by their class's `start`: pykka's rules, beyond what pykka's own suite asks."""

from __future__ import annotations

import threading

import pykka
import pytest
from support.waiting import until_idle

from actors import Actor, ActorExitedError, Ignore, Message, on
from actors.testing import PATIENCE, Collector


class Fail(Message[None], frozen=True):
    pass


class Hello(Message[str], frozen=True):
    pass


@pytest.fixture(params=["thread", "pool"])
def actor_class(request):
    class Plain(Actor):
        dispatcher = request.param

        def __init__(self, seen: Collector | None = None) -> None:
            super().__init__()
            self.seen = seen if seen is not None else Collector()

        @on(Fail)
        def fail(self, _message: Fail) -> None:
            raise ValueError("bad")

        @on(Hello)
        def hello(self, _message: Hello) -> str:
            return "hello"

        def on_failure(self, exception_type, exception_value, traceback) -> None:
            self.seen(exception_type.__name__)

    yield Plain
    pykka.ActorRegistry.stop_all()


@pytest.mark.parametrize("timeout", [None, 10])
def test_an_error_on_an_ask_goes_to_the_asker_and_the_actor_lives(actor_class, timeout):
    ref = actor_class.start()

    with pytest.raises(ValueError, match="bad"):
        ref.ask(Fail(), timeout=timeout)

    assert ref.ask(Hello()) == "hello"


def test_an_error_on_a_tell_ends_the_actor_after_on_failure(actor_class):
    seen, ended = Collector(), Collector()
    ref = actor_class.start(seen)
    ref.watch(ended)

    ref.tell(Fail())

    assert ended.wait_count(1)[0].crash.message == "bad"
    assert seen.all == ("ValueError",)
    assert not ref.is_alive()


def test_telling_or_asking_a_stopped_actor_raises_pykkas_error(actor_class):
    ref = actor_class.start()
    ref.stop()

    with pytest.raises(pykka.ActorDeadError):
        ref.tell(Hello())
    with pytest.raises(ActorExitedError):
        ref.ask(Hello())


def test_ctrl_c_while_the_main_thread_runs_an_ask_leaves_the_actor_alive():
    class Interrupted(Actor):
        dispatcher = "pool"

        def on_receive(self, message):
            if message == "interrupt":
                raise KeyboardInterrupt
            return message

    ref = Interrupted.start()
    until_idle(ref)

    with pytest.raises(KeyboardInterrupt):
        ref.ask("interrupt")

    assert ref.ask("still there") == "still there"
    assert ref.stop()


def test_a_plain_actor_that_ignores_its_start_is_gone(actor_class):
    class Ignoring(actor_class):
        def on_start(self):
            return Ignore("off")

    ref = Ignoring.start()

    assert ref.actor_stopped.wait(PATIENCE)
    assert ref not in pykka.ActorRegistry.get_all()


def test_a_base_exception_stops_every_plain_actor(actor_class):
    class Broken(actor_class):
        def on_receive(self, message):
            raise BaseException("everybody")

    others = [actor_class.start() for _ in range(3)]
    broken = Broken.start()

    broken.tell("go")

    for ref in (*others, broken):
        assert ref.actor_stopped.wait(PATIENCE)


def test_plain_actors_have_timers_and_monitors(actor_class):
    class Timed(actor_class):
        def on_start(self) -> None:
            self.after(0.01, "later")

        def on_receive(self, message):
            self.seen(message)

    seen = Collector()
    Timed.start(seen)

    assert seen.expect(str) == "later"


def test_many_plain_actors_start_and_stop_in_parallel(actor_class):
    def work() -> None:
        for _ in range(20):
            ref = actor_class.start()
            assert ref.ask(Hello()) == "hello"
            assert ref.stop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert pykka.ActorRegistry.get_all() == []


def test_an_unknown_dispatcher_is_refused():
    class Odd(Actor):
        dispatcher = "process"

    with pytest.raises(ValueError, match="thread or pool"):
        Odd.start()
