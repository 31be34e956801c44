"""How much later does an actor's loop come to its turns while the node's history is fed?

    with       p99 of how late the turns of a loop of one each millisecond are, beside 5,000 events a second and the
               feed that makes batches of them
    without    the same beside the events alone, in turns

On a machine with nothing else to do: neighbours count. Real-time priority is no way out, the threads of one program
get in each other's way then (1.1 ms where it is 0.2 ms).
"""

from __future__ import annotations

import os
import threading
import time

from measuring import Row, Spread, arguments, percentile, report

from actors.core.actor import Actor
from actors.core.bus import EventBus
from actors.core.system import ActorSystem
from actors.events import ActorStateChanged
from actors.history.feed import HistoryFeed
from actors.history.protocol import Outcome, Stored
from actors.history.rows import NodeRun
from actors.messages import Message, on

EVENTS_A_SECOND = 5_000
SECONDS = 3.0
TURN = 0.001


class Turns(Message[list[float]], frozen=True):
    """Take a turn each `TURN` seconds, so often; answer how late each was, in seconds."""

    count: int


class Looping(Actor):
    """An actor with a loop of its own."""

    dispatcher = "thread"

    @on(Turns)
    def take(self, turns: Turns) -> list[float]:
        late: list[float] = []
        due = time.perf_counter()
        for _ in range(turns.count):
            due += TURN
            time.sleep(max(0.0, due - time.perf_counter()))
            late.append(time.perf_counter() - due)
            due = max(due, time.perf_counter() - TURN)
        return late


def lateness_of_turns(events_a_second: int, seconds: float, *, with_feed: bool) -> list[float]:
    """Return how late the turns of an actor's loop are, in milliseconds, beside an actor that publishes events."""
    bus = EventBus()
    feed = HistoryFeed(
        bus,
        lambda batch: feed.stored(Stored(batch.source, batch.batch, Outcome.STORED)),
        run=NodeRun("bench", 1, os.getpid(), "0", time.time()),
        home=None,
    )
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.wait(0.01):
            for _ in range(events_a_second // 100):
                number += 1
                bus.publish(ActorStateChanged(time.time(), f"/agents/{number % 50:02}", 3, "suspended", f"at {number}"))

    if with_feed:
        feed.start()
    system = ActorSystem("jitter")
    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        system.spawn(Looping, path="/looping", placement="thread", on_outcome=lambda _: None)
        late = system.ref("/looping").ask(Turns(int(seconds / TURN)), timeout=seconds * 20 + 60.0)
    finally:
        ended.set()
        publisher.join()
        if with_feed:
            feed.close(30.0)
        system.shutdown(10.0)
    return [one * 1e3 for one in late]


def jitter(rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """Return the p99 of the lateness of a loop's turns in each round, with the feed and without."""
    with_feed, without = [], []
    for _ in range(rounds):
        without.append(percentile(lateness_of_turns(EVENTS_A_SECOND, seconds, with_feed=False), 0.99))
        with_feed.append(percentile(lateness_of_turns(EVENTS_A_SECOND, seconds, with_feed=True), 0.99))
    return with_feed, without


def main() -> None:
    options = arguments(__doc__ or "", 5)
    with_feed, without = jitter(options.rounds, SECONDS)
    added = Spread.of([one - other for one, other in zip(with_feed, without, strict=True)])
    ratio = Spread.of([one / other for one, other in zip(with_feed, without, strict=True)])
    row = Row(
        "jitter of an actor's loop, p99 added", "< 1 ms; plain = p99 without", added.median < 1.0, added,
        Spread.of(without), ratio, "ms",
    )  # fmt: skip
    report("An actor's loop beside the feed of a history", "jitter", [row], keep=not options.no_save)


if __name__ == "__main__":
    main()
