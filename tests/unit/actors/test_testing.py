"""The tools for tests of actors do what they say."""

from __future__ import annotations

import threading

import pytest

from actors import Actor, ActorExitedError, ActorSystem, Exited, Ignore, Started
from actors.exits import SHUTDOWN
from actors.testing import Collector, ManualClock, Probe, launch


def test_a_manual_clock_stands_still_until_it_is_advanced():
    clock = ManualClock(10.0, 1000.0)

    assert (clock.monotonic(), clock.time()) == (10.0, 1000.0)
    assert clock.advance(2.5) == 0
    assert (clock.monotonic(), clock.time()) == (12.5, 1002.5)


def test_the_wall_clock_may_step_and_the_monotonic_one_does_not():
    clock = ManualClock(10.0, 1000.0)

    clock.step_wall(-500.0)

    assert (clock.monotonic(), clock.time()) == (10.0, 500.0)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1.0)


def test_a_manual_clock_drives_several_systems_in_one_order():
    clock = ManualClock(0.0)
    with ActorSystem("one", clock=clock) as one, ActorSystem("two", clock=clock) as two:
        calls = []
        one.schedule(2.0, lambda: calls.append(("one", clock.monotonic())))
        two.schedule(1.0, lambda: calls.append(("two", clock.monotonic())))
        one.schedule(3.0, lambda: calls.append(("one", clock.monotonic())))

        assert clock.advance(10.0) == 3

    assert calls == [("two", 1.0), ("one", 2.0), ("one", 3.0)]


def test_what_is_expected_is_taken_and_what_is_not_is_kept():
    collector = Collector()
    for value in (1, "a", 2, "b", 0):
        collector(value)

    assert collector.expect(str) == "a"
    assert collector.expect(int, where=lambda n: n > 1) == 2
    assert collector.expect(int) == 1
    assert collector.expect(int) == 0
    assert collector.all == (1, "a", 2, "b", 0)
    assert collector.expect(str) == "b"


def test_what_does_not_come_fails_and_says_what_came():
    collector = Collector()
    collector("something else")

    with pytest.raises(AssertionError, match=r"no int within 0\.01 s; there is \['something else'\]"):
        collector.expect(int, timeout=0.01)
    with pytest.raises(AssertionError, match="1 of 2 came"):
        collector.wait_count(2, timeout=0.01)


def test_an_expectation_is_met_by_what_comes_later():
    collector = Collector()
    thread = threading.Thread(target=lambda: collector("now"))
    thread.start()

    assert collector.expect(str) == "now"
    thread.join()


def test_a_probe_keeps_messages_and_answers():
    with ActorSystem("test") as system:
        probe = Probe(system, answer=lambda message: message * 2)
        probe.ref.tell(1)

        assert probe.ref.ask(21) == 42
        assert (probe.expect(int), probe.expect(int)) == (1, 21)
        assert probe.received.all == (1, 21)


def test_a_probe_that_raises_ends_like_any_actor():
    def refuse(_message):
        raise ValueError("no")

    with ActorSystem("test") as system:
        probe = Probe(system, "/refusing", answer=refuse, placement="thread")

        with pytest.raises(ValueError, match="no"):
            probe.ref.ask(1)

        assert probe.launched.outcomes.expect(Exited).reason.crash.message == "no"
        with pytest.raises(ActorExitedError):
            probe.ref.ask(1)


def test_a_launch_waits_for_the_start_and_fails_where_there_is_none():
    class Unwilling(Actor):
        def on_start(self):
            return Ignore("off")

    with ActorSystem("test") as system:
        started = launch(system, Actor, path="/a")
        assert started.outcomes.all == (Started(started.ref),)
        with pytest.raises(AssertionError, match="off"):
            launch(system, Unwilling, path="/b")
        started.stop(SHUTDOWN)
        assert started.outcomes.expect(Exited).reason == SHUTDOWN
