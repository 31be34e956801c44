"""How long is an actor away when it crashes under its supervisor, with everything recorded?

From the moment its handler raises to the moment the next instance's `on_start` runs, one actor among ten, history feed
on. Beside it, in the same run, plain pykka by hand: `on_failure` starts the next actor, and that is all it does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

import pykka
from measuring import Spread, interleave, percentile, pin, ratios, save, say

from actors.core.actor import Actor
from actors.core.outcomes import Incarnation
from actors.core.system import ActorSystem
from actors.history.feed import HistoryFeed
from actors.history.protocol import Store
from actors.history.rows import NodeRun
from actors.messages import Message, on
from supervisors.children import LocalLauncher
from supervisors.specs import ChildSpec, LocalStart, SupervisorSpec
from supervisors.supervisor import Services, Subtree

CRASHES = 400
ROUNDS = 7

marks: list[int] = []
up = threading.Semaphore(0)


class Crash(Message[None], frozen=True):
    """Ask the actor to crash."""


class Ours(Actor):
    """Says when it is up, crashes on demand."""

    def on_start(self) -> None:
        marks.append(time.perf_counter_ns())
        up.release()

    @on(Crash)
    def crash(self, _message: Crash) -> None:
        marks.append(time.perf_counter_ns())
        raise ValueError("crashed")


class Theirs(pykka.ThreadingActor):
    """The same by hand on pykka."""

    use_daemon_thread = True
    current: Any = None

    def on_start(self) -> None:
        marks.append(time.perf_counter_ns())
        Theirs.current = self.actor_ref
        up.release()

    def on_receive(self, message: Any) -> Any:
        marks.append(time.perf_counter_ns())
        raise ValueError("crashed")

    def on_failure(self, *_: Any) -> None:
        Theirs.start()


class Family:
    """Ten actors under one supervisor; the fourth is crashed."""

    def __init__(self, placement: Any) -> None:
        self._system = ActorSystem("bench")
        feed: HistoryFeed

        def store(batch: Store) -> None:  # a recorder that stores at once: its cost is another process's
            from actors.history.protocol import Outcome, Stored

            feed.stored(Stored(batch.source, batch.batch, Outcome.STORED))

        feed = HistoryFeed(self._system.bus, store, run=NodeRun("bench", 1, os.getpid(), "0", 0.0), home=None)
        feed.start()
        services = Services(self._system, {placement: LocalLauncher(self._system, placement)})
        children = tuple(ChildSpec(f"a{n}", LocalStart(Ours), runs_in=placement) for n in range(10))
        spec = SupervisorSpec(intensity=10**6, period=1.0, children=children)
        ready = threading.Event()
        Subtree(lambda _outcome: ready.set()).run(spec, "/", services, Incarnation())
        assert ready.wait(10)
        for _ in children:
            up.acquire()

    def away(self) -> float:
        """Crash it again and again; return the median time away in microseconds."""
        times = []
        for _ in range(CRASHES):
            while (ref := self._system.registry.get("/a3")) is None or ref.generation == 0:
                time.sleep(0)
            marks.clear()
            ref.tell(Crash())
            up.acquire()
            times.append((marks[1] - marks[0]) / 1000)
        return percentile(times, 0.5)


def plain() -> float:
    """The same with plain pykka."""
    times = []
    for _ in range(CRASHES):
        marks.clear()
        Theirs.current.tell("crash")
        up.acquire()
        times.append((marks[1] - marks[0]) / 1000)
    return percentile(times, 0.5)


def main() -> None:
    """Measure and report."""
    logging.disable(logging.CRITICAL)
    pinned = pin()
    pool, thread = Family("pool"), Family("thread")
    Theirs.start()
    up.acquire()
    figures = interleave(ROUNDS, {"pykka": plain, "pool": pool.away, "thread": thread.away})
    say(f"crash -> restarted under its supervisor, history on ({'one core' if pinned else 'unpinned'}), p50 in us")
    result: dict[str, Any] = {"pinned": pinned}
    for name, values in figures.items():
        found = Spread.of(values)
        result[name] = {"p50_us": found.median, "rounds": values}
        faster = ratios(figures["pykka"], values).show("x faster than plain pykka by hand") if name != "pykka" else ""
        say(f"  {name:<8} {found.show('us'):<30} {faster}")
    result["times_faster"] = {name: ratios(figures["pykka"], figures[name]).median for name in ("pool", "thread")}
    save("restart", result)
    os._exit(0)  # the actors are left as they are


if __name__ == "__main__":
    main()
