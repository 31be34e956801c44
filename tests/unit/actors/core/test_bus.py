"""The event bus, the dead letters and the registry."""

from __future__ import annotations

import threading

from actors.core.bus import EventBus
from actors.core.deadletters import DeadLetters
from actors.core.registry import Registry
from actors.events import DeadLettered, NodeChanged
from actors.testing import ManualClock


def _event(n: int) -> NodeChanged:
    return NodeChanged(float(n), "/", "ready", str(n))


def test_events_are_numbered_from_one_and_reach_those_who_want_their_kind():
    bus = EventBus()
    everything, dead = [], []
    bus.subscribe(lambda number, event: everything.append((number, type(event))))
    bus.subscribe(lambda number, event: dead.append(number), (DeadLettered,))

    assert bus.publish(_event(1)) == 1
    assert bus.publish(DeadLettered(0.0, "/a", "str", "not running")) == 2

    assert (everything, dead, bus.head) == ([(1, NodeChanged), (2, DeadLettered)], [2], 2)


def test_a_cancelled_subscription_gets_nothing_more_and_a_later_one_only_what_comes():
    bus = EventBus()
    first, second = [], []
    subscription = bus.subscribe(lambda number, _event: first.append(number))
    bus.publish(_event(1))
    subscription.cancel()
    bus.subscribe(lambda number, _event: second.append(number))
    bus.publish(_event(2))

    assert (first, second) == ([1], [2])


def test_a_subscriber_that_raises_is_counted_and_the_next_one_still_called():
    bus = EventBus()
    got = []

    def broken(_number, _event):
        raise ValueError

    subscription = bus.subscribe(broken)
    bus.subscribe(lambda number, _event: got.append(number))

    assert bus.publish(_event(1)) == 1
    assert (got, subscription.errors) == ([1], 1)


def test_an_event_published_by_a_subscriber_comes_after_the_one_in_hand_for_everybody():
    bus = EventBus()
    first, last = [], []

    def answer(number, event):
        first.append(number)
        if event.detail == "1":
            bus.publish(_event(2))

    bus.subscribe(answer)
    bus.subscribe(lambda number, _event: last.append(number))
    bus.publish(_event(1))

    assert (first, last) == ([1, 2], [1, 2])


def test_every_subscriber_sees_the_events_of_many_threads_in_the_same_order():
    bus = EventBus()
    seen = [[], []]
    for into in seen:
        bus.subscribe(lambda number, event, into=into: into.append((number, event.detail)))

    def publish(k: int) -> None:
        for n in range(500):
            bus.publish(_event(k * 1000 + n))

    threads = [threading.Thread(target=publish, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen[0] == seen[1]
    assert [number for number, _ in seen[0]] == list(range(1, 2001))


def test_dead_letters_are_bounded_counted_and_published():
    clock = ManualClock(time=50.0)
    bus = EventBus()
    events = []
    bus.subscribe(lambda _number, event: events.append(event))
    letters = DeadLetters(clock, bus, capacity=3)

    for n in range(5):
        letters.put("/a", n, "not running", "/b")

    assert letters.count == 5
    assert [letter.message for letter in letters.recent()] == [2, 3, 4]
    assert [letter.message for letter in letters.recent(2)] == [3, 4]
    assert letters.recent(0) == ()
    assert events[0] == DeadLettered(50.0, "/a", "int", "not running", "/b")


def test_a_registry_knows_who_is_where_and_why_the_others_are_not():
    registry = Registry()
    one, two = object(), object()

    assert registry.claim("/a", one)
    assert not registry.claim("/a", two)
    assert registry.claim("/a/b", two)
    registry.set_absent("/c", "restarting")

    assert registry.get("/a") is one
    assert registry.below("/a") == (one, two)
    assert registry.below("/a/b") == (two,)
    assert (len(registry), "/a" in registry, "/c" in registry) == (2, True, False)
    assert (registry.why_absent("/c"), registry.why_absent("/d")) == ("restarting", "not running")
    registry.release("/a", two)  # not there: nothing happens
    assert registry.get("/a") is one
    registry.release("/a", one)
    registry.set_absent("/c", None)
    assert (registry.get("/a"), registry.why_absent("/c")) == (None, "not running")
