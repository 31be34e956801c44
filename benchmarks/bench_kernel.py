"""How fast and how small are the kernel's actors, beside plain pykka's in the same rounds?

    python benchmarks/bench_kernel.py            # pinned to one core: what the targets are about
    python benchmarks/bench_kernel.py --free     # as the scheduler likes: bimodal, see docs/explanation/performance.md

All features are on: bounded mailboxes, system lane, counters, supervision's outcomes. Actors are launched by
`ActorSystem.spawn`, as supervisors do, plain pykka's by `start`.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pykka
from measuring import Row, Spread, arguments, interleave, pin, quiet_gc, ratios, report

from actors import Actor, ActorSystem
from actors.testing import launch

TELLS = 200_000
RING, LAPS = 100, 1000
ASKS = 20_000
IDLE = 100_000

_number = count()


def _sink(base: Any) -> Any:
    class Sink(base):
        def __init__(self, left: int, done: threading.Event) -> None:
            super().__init__()
            self.left = left
            self.done = done

        def on_receive(self, message: Any) -> None:
            self.left -= 1
            if not self.left:
                self.done.set()

    return Sink


def _member(base: Any) -> Any:
    class Member(base):
        following: Any = None
        done: Any = None

        def on_receive(self, hops: int) -> None:
            if hops:
                self.following.tell(hops - 1)
            else:
                self.done.set()

    return Member


def _echo(base: Any) -> Any:
    class Echo(base):
        def on_receive(self, message: Any) -> Any:
            return message

    return Echo


class Side:
    """One of the two sides: how it makes actors."""

    def __init__(self, system: ActorSystem | None, placement: str = "pool") -> None:
        self.base: Any = pykka.ThreadingActor if system is None else Actor
        self._system = system
        self._placement: Any = placement

    def start(self, cls: Any, *args: Any) -> Any:
        """Start an actor and return its ref once it is ready."""
        if self._system is None:
            return cls.start(*args)
        return launch(self._system, lambda: cls(*args), path=f"/n{next(_number)}", placement=self._placement).ref


def tell(side: Side) -> float:
    """Tells per second from one thread to one actor, until the last is handled."""
    done = threading.Event()
    ref = side.start(_sink(side.base), TELLS, done)
    with quiet_gc():
        began = time.perf_counter()
        for _ in range(TELLS):
            ref.tell(1)
        done.wait()
        took = time.perf_counter() - began
    ref.stop()
    return TELLS / took


def ring(side: Side, laps: int) -> float:
    """Hops per second of one message around a ring of actors."""
    done = threading.Event()
    cls = _member(side.base)
    refs = [side.start(cls) for _ in range(RING)]
    for n, ref in enumerate(refs):
        member = ref._actor_weakref()
        member.following = refs[(n + 1) % RING]
        member.done = done
    with quiet_gc():
        began = time.perf_counter()
        refs[0].tell(RING * laps)
        done.wait()
        took = time.perf_counter() - began
    for ref in refs:
        ref.stop()
    return RING * laps / took


def ask(side: Side, timeout: float | None, into: list[float] | None = None) -> float:
    """Asks per second of one actor, one after another; the single times go `into`."""
    ref = side.start(_echo(side.base))
    ref.ask(0, timeout=10)
    clock = time.perf_counter
    times: list[float] = []
    with quiet_gc():
        for _ in range(ASKS):
            began = clock()
            ref.ask(1, timeout=timeout)
            times.append(clock() - began)
    ref.stop()
    times.sort()
    if into is not None:
        into.append(times[len(times) // 2])
    return len(times) / sum(times)


def pipelined(side: Side) -> float:
    """Asks per second with 64 of them under way."""
    ref = side.start(_echo(side.base))
    with quiet_gc():
        began = time.perf_counter()
        for _ in range(ASKS // 64):
            futures = [ref.ask(1, block=False) for _ in range(64)]
            for future in futures:
                future.get()
        took = time.perf_counter() - began
    ref.stop()
    return ASKS // 64 * 64 / took


_MEMORY = """
import gc, sys, threading, time
sys.path.insert(0, sys.argv[3])
from actors import Actor, ActorSystem

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

class Idle(Actor):
    def on_receive(self, message):
        return message

n, messaged = int(sys.argv[1]), sys.argv[2] == "messaged"
system = ActorSystem("bench")
paths = [f"/work/n{k}" for k in range(n)]
launches = []
left = [n]
ready = threading.Event()

def report(outcome):
    left[0] -= 1
    if not left[0]:
        ready.set()

gc.collect()
before = resident()
began = time.perf_counter()
for path in paths:
    launches.append(system.spawn(Idle, path=path, on_outcome=report))
ready.wait()
took = time.perf_counter() - began
if messaged:
    for launch in launches:
        launch.ref.tell(1)
    for launch in launches:
        launch.ref.ask(1)
gc.collect()
print(n / took, (resident() - before) / n, threading.active_count(), system.pool.statistics().threads)
import os
os._exit(0)
"""


def idle(messaged: bool) -> tuple[float, float, float]:
    """Spawns per second, bytes per idle actor and threads, of `IDLE` actors in a fresh process."""
    arguments_ = [sys.executable, "-c", _MEMORY, str(IDLE), "messaged" if messaged else "fresh", "."]
    done = subprocess.run(arguments_, capture_output=True, text=True, check=True)
    spawned, size, threads, _ = (float(word) for word in done.stdout.split())
    return spawned, size, threads


def start_plain() -> float:
    """Starts per second of plain pykka actors."""
    cls = _echo(pykka.ThreadingActor)
    with quiet_gc():
        began = time.perf_counter()
        refs = [cls.start() for _ in range(500)]
        took = time.perf_counter() - began
    for ref in refs:
        ref.stop()
    return len(refs) / took


def compare(
    name: str, target: str, goal: float, n: int, ours: Callable[[], float], plain: Callable[[], float], unit: str
) -> Row:
    """Measure both sides in turn and hold the median of the ratios to `goal`."""
    found = interleave(n, {"plain": plain, "ours": ours})
    ratio = ratios(found["ours"], found["plain"])
    met = ratio.median >= goal if goal else None
    return Row(name, target, met, Spread.of(found["ours"]), Spread.of(found["plain"]), ratio, unit)


def main() -> None:
    """Take the measures and print the table."""
    options = arguments(__doc__ or "", 5)
    pinned = not options.free and pin()
    wanted = set(filter(None, options.only.split(",")))
    n = options.rounds
    system = ActorSystem("bench")
    pool, thread, plain = Side(system), Side(system, "thread"), Side(None)
    rows: list[Row] = []

    def want(name: str) -> bool:
        return not wanted or name in wanted

    if want("tell"):
        rows.append(compare("tell 1 -> 1, pool", ">= 2.4 x", 2.4, n, lambda: tell(pool), lambda: tell(plain), "/s"))
        rows.append(compare("tell 1 -> 1, thread", "", 0, n, lambda: tell(thread), lambda: tell(plain), "/s"))
    if want("ring"):
        name = f"ring of {RING} x {LAPS}"
        rows.append(
            compare(name, ">= 8 x", 8.0, n, lambda: ring(pool, LAPS), lambda: ring(plain, LAPS // 10), "hops/s")
        )
    if want("ask"):
        goal = ">= 1.3 x (limit 1.52 x)"
        rows.append(
            compare(
                "ask across threads, thread", goal, 1.3, n, lambda: ask(thread, None), lambda: ask(plain, None), "/s"
            )
        )
        rows.append(
            compare("ask across threads, pool", goal, 1.3, n, lambda: ask(pool, 60.0), lambda: ask(plain, 60.0), "/s")
        )
    if want("inline"):
        medians: list[float] = []
        rows.append(
            compare(
                "ask of an idle pool actor",
                ">= 9 x",
                9.0,
                n,
                lambda: ask(pool, None, medians),
                lambda: ask(plain, None),
                "/s",
            )
        )
        p50 = Spread.of([value * 1e6 for value in medians])
        rows.append(Row("  its p50", "<= 2 us", p50.median <= 2.0, p50, None, None, "us"))
    if want("pipelined"):
        rows.append(
            compare("64 asks under way, pool", "", 0, n, lambda: pipelined(pool), lambda: pipelined(plain), "/s")
        )
    system.shutdown()
    if want("idle"):
        gc.collect()
        fresh, started = [], []
        for _ in range(n):
            started.append(start_plain())
            fresh.append(idle(False))
        messaged = idle(True)
        spawned, size = Spread.of([one[0] for one in fresh]), Spread.of([one[1] for one in fresh])
        threads = Spread.of([one[2] for one in fresh])
        ratio = ratios(spawned.values, started)
        met = spawned.median >= 80_000
        rows.append(Row("spawn", ">= 80,000/s", met, spawned, Spread.of(started), ratio, "/s"))
        rows.append(
            Row("idle pool actor", "<= 2,600 bytes (stretch 1,000)", size.median <= 2600, size, None, None, "bytes")
        )
        again = Spread.of([messaged[1]])
        rows.append(
            Row("  after its first message", "<= 2,600 bytes", again.median <= 2600, again, None, None, "bytes")
        )
        rows.append(Row(f"  threads for {IDLE:,}", "<= 4", threads.median <= 4, threads, None, None, "threads"))
    report(
        "The kernel beside plain pykka" + ("" if pinned else " (free)"),
        "kernel" if pinned else "kernel-free",
        rows,
        keep=not options.no_save,
    )


if __name__ == "__main__":
    main()
