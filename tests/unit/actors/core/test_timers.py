"""Timers of systems and of actors, by a clock moved by hand and by the machine's."""

from __future__ import annotations

import threading

import pytest
from support.waiting import until

from actors import Actor, ActorSystem, Exited, Message, on
from actors.clock import SystemClock
from actors.core.timers import Timers
from actors.exits import SHUTDOWN
from actors.testing import PATIENCE, Collector, ManualClock, launch


class Tell(Message[object], frozen=True, local=True):
    call: object


class Beat(Message[None], frozen=True):
    pass


class Heart(Actor):
    def __init__(self, beats: Collector) -> None:
        super().__init__()
        self.beats = beats

    @on(Beat)
    def beat(self, _message: Beat) -> None:
        self.beats(self.system.clock.monotonic())

    @on(Tell)
    def told(self, message: Tell) -> object:
        return message.call(self)


class Held:
    """A clock that stands still until it is let go, and fires nothing itself: the timers' own thread looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return ManualClock(0.0)


@pytest.fixture
def timed(clock):
    with ActorSystem("test", clock=clock) as system:
        yield system


def test_calls_are_made_in_the_order_they_are_due(clock, timed: ActorSystem):
    calls = []
    for delay in (3.0, 1.0, 2.0, 1.0):
        timed.schedule(delay, lambda delay=delay: calls.append((delay, clock.monotonic())))

    assert clock.advance(2.5) == 3
    assert clock.advance(2.5) == 1

    assert calls == [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_a_call_that_sets_a_timer_sees_it_fire_in_the_same_advance(clock, timed: ActorSystem):
    calls = []

    def again():
        calls.append(clock.monotonic())
        timed.schedule(1.0, again)

    timed.schedule(1.0, again)
    clock.advance(3.0)

    assert calls == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_makes_no_call(clock, timed: ActorSystem):
    calls = []
    timer = timed.schedule(1.0, lambda: calls.append(1))

    timer.cancel()
    timer.cancel()

    assert (clock.advance(2.0), calls, timer.is_active) == (0, [], False)


def test_a_call_that_raises_does_not_stop_the_next(clock, timed: ActorSystem):
    calls = []

    def broken():
        raise ValueError

    timed.schedule(1.0, broken)
    timed.schedule(1.0, lambda: calls.append(1))

    assert (clock.advance(1.0), calls) == (2, [1])


def test_a_repeated_call_keeps_its_rhythm_and_skips_what_it_missed(clock):
    calls = []
    timers = Timers(clock, "test")
    timers.schedule(1.0, lambda: calls.append(clock.monotonic()), interval=1.0)

    clock.advance(2.0)
    clock._now = 5.5  # the machine slept
    timers.fire()
    clock.advance(1.0)

    assert calls == [1.0, 2.0, 5.5, 6.0]


@pytest.mark.parametrize(("delay", "interval"), [(-1.0, None), (float("nan"), None), (1.0, 0.0), (1.0, -1.0)])
def test_a_timer_that_makes_no_sense_is_refused(clock, delay, interval):
    with pytest.raises(ValueError, match="seconds"):
        Timers(clock, "test").schedule(delay, print, interval=interval)


@pytest.mark.parametrize("call", ["after", "every"])
@pytest.mark.parametrize("seconds", [-1.0, float("nan"), "2s"], ids=["negative", "nan", "text"])
def test_a_timer_of_an_actor_that_makes_no_sense_crashes_the_actor_and_leaves_nothing(call, seconds, placement):
    with ActorSystem("test") as system:
        launched = launch(system, lambda: Heart(Collector()), path="/a", placement=placement)

        with pytest.raises((ValueError, TypeError)):
            launched.ref.ask(Tell(lambda actor: getattr(actor, call)(seconds, Beat())), timeout=PATIENCE)

        assert launched.outcomes.expect(Exited).reason.crash is not None


def test_cancelled_timers_do_not_pile_up(clock):
    timers = Timers(clock, "test")
    for _ in range(10_000):
        timers.schedule(1000.0, print).cancel()

    assert len(timers._heap) < 2500


def test_a_message_comes_once_after_its_delay(clock, timed: ActorSystem, placement):
    beats = Collector()
    ref = launch(timed, lambda: Heart(beats), path="/a", placement=placement).ref
    timer = ref.ask(Tell(lambda actor: actor.after(5.0, Beat())), timeout=PATIENCE)

    clock.advance(4.9)
    assert timer.is_active
    clock.advance(0.1)

    assert beats.expect(float) == 5.0
    until(lambda: not timer.is_active)
    assert clock.advance(100.0) == 0


def test_a_message_comes_every_interval_until_it_is_cancelled(clock, timed: ActorSystem, placement):
    beats = Collector()
    ref = launch(timed, lambda: Heart(beats), path="/a", placement=placement).ref
    timer = ref.ask(Tell(lambda actor: actor.every(2.0, Beat())), timeout=PATIENCE)

    for n in range(1, 4):
        clock.advance(2.0)
        beats.wait_count(n)
    timer.cancel()
    clock.advance(10.0)

    assert ref.ask(Tell(lambda _actor: beats.all), timeout=PATIENCE) == (2.0, 4.0, 6.0)


def test_a_repetition_is_left_out_while_the_one_before_waits(clock, timed: ActorSystem, placement):
    beats = Collector()
    ref = launch(timed, lambda: Heart(beats), path="/a", placement=placement).ref
    timer = ref.ask(Tell(lambda actor: actor.every(1.0, Beat())), timeout=PATIENCE)
    ref.suspend()

    clock.advance(10.0)
    depth = ref.statistics().depth
    ref.resume()

    beats.wait_count(1)
    assert (depth, timer.skipped) == (1, 9)


def test_a_message_that_waits_is_not_handled_once_its_timer_is_cancelled(clock, timed: ActorSystem, placement):
    beats = Collector()
    ref = launch(timed, lambda: Heart(beats), path="/a", placement=placement).ref
    timer = ref.ask(Tell(lambda actor: actor.after(1.0, Beat())), timeout=PATIENCE)
    ref.suspend()
    clock.advance(1.0)

    timer.cancel()
    ref.resume()

    assert ref.ask(Tell(lambda _actor: beats.all), timeout=PATIENCE) == ()


def test_timers_end_with_their_actor(clock, timed: ActorSystem, placement):
    beats = Collector()
    launched = launch(timed, lambda: Heart(beats), path="/a", placement=placement)
    for set_one in (lambda actor: actor.after(1.0, Beat()), lambda actor: actor.every(1.0, Beat())):
        launched.ref.ask(Tell(set_one), timeout=PATIENCE)

    launched.stop(SHUTDOWN)
    launched.outcomes.expect(Exited)

    assert clock.advance(10.0) == 0
    assert timed.dead_letters.count == 0


def test_timers_by_the_machines_clock_fire_on_a_thread_of_their_own():
    fired = Collector()
    timers = Timers(SystemClock(), "test")

    timers.schedule(3600.0, lambda: fired("late"))
    timers.schedule(0.01, lambda: fired(threading.current_thread().name))

    assert fired.wait_count(1) == ("test-timers",)
    assert timers.close(PATIENCE)


def test_timers_on_their_own_thread_fire_in_the_order_they_are_due():
    clock, fired = Held(), Collector()
    timers = Timers(clock, "test")

    timers.schedule(30.0, lambda: fired("late"))
    timers.schedule(0.02, lambda: fired("second"))
    timers.schedule(0.01, lambda: fired("first"))
    clock.now = 1.0

    assert fired.wait_count(2) == ("first", "second")
    assert timers.close(PATIENCE)


def test_closed_timers_make_no_calls():
    fired = Collector()
    timers = Timers(SystemClock(), "test")
    timers.schedule(0.01, lambda: fired("too late"))
    assert timers.close(PATIENCE)

    timer = timers.schedule(0.0, lambda: fired("closed"))

    assert (timer.is_active, fired.all) in {(False, ()), (False, ("too late",))}


def test_many_timers_set_and_cancelled_on_many_threads_fire_just_the_rest():
    clock, fired = Held(), Collector()
    timers = Timers(clock, "test")

    def work(k: int) -> None:
        for n in range(200):  # a fourth of them fires while the others are set and cancelled
            timer = timers.schedule(n * 0.0001 if n % 4 else 0.0, lambda k=k, n=n: fired((k, n)))
            if n % 2:
                timer.cancel()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now = 1.0
    fired.wait_count(400)

    assert timers.close(PATIENCE)
    assert sorted(fired.all) == [(k, n) for k in range(4) for n in range(0, 200, 2)]
