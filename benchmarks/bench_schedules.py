"""How late do schedules fire when a thousand are due on the same second, and what do a hundred thousand idle ones cost?

    second     1,000 schedules due on each second, slots claimed on disk before dispatch: every slot once, lateness
    burst      10,000 due on one second, likewise
    idle       100,000 schedules due much later: add, pause, remove in memory; start from disk; processor while idle
    year       a simulated year of the fifteen loops, spread over six zones: every slot accounted for

Beside `second`, in the same seconds: a bare sleeper in a process of its own, which is the floor, and after it
APScheduler 3 with its default store in memory, where it is installed. Lateness is from the whole second to the first
line of what is run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.core.outcomes import Incarnation, Started
from actors.core.system import ActorSystem
from actors.scheduling.engine import Engine
from actors.scheduling.ledger import Batch, DiskLedger, Wanted
from actors.scheduling.plans import Schedule, plan_of
from actors.scheduling.scheduler import SchedulerTick
from actors.scheduling.states import Begin, Ended, Now, Paused, Resumed, Settle, Standing

RESULTS = Path(__file__).parent / "results" / "schedules.json"
HANDLER = "bench_schedules:work"
LOOPS = (
    *("*/30 * * * * *", "*/2 * * * *", "* * * * *", "*/5 * * * * *", "* * * * *", "*/30 * * * * *", "*/5 * * * *"),
    *("* * * * *", "*/10 * * * *", "*/15 * * * *", "0 * * * *", "*/30 * * * *", "* * * * *", "*/5 * * * *"),
    "0 2 * * *",
)
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")
AWAY = 5
"""Seconds from which the one second of `burst` is away, so that all is loaded by then."""
SHORT = 30.0
"""Loops of less than this many seconds run for a month instead of a year."""

late: list[float] = []
"""Lateness of each run, in seconds; `list.append` is atomic."""


def work() -> None:
    """Note how late this is after a whole second."""
    now = time.time()
    late.append(now - int(now))


SLEEPER = """
import time
while True:
    time.sleep(1.0 - time.time() % 1.0)
    now = time.time()
    print(now - int(now) if now % 1.0 < 0.9 else 0.0, flush=True)
"""


class Floor:
    """A process that sleeps to each whole second and does nothing else."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-I", "-c", SLEEPER], stdout=subprocess.PIPE, text=True)

    def late(self) -> list[float]:
        """End it; return how late it was each time."""
        self._process.terminate()
        told, _ = self._process.communicate(timeout=30)
        return [float(line) for line in told.splitlines() if line.endswith(tuple("0123456789"))]


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    return {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "max_ms": ordered[-1] * 1000}


class Bench:
    """A scheduler with a file of state in a system of its own."""

    def __init__(self, home: str, schedules: list[dict[str, Any]], **arguments: Any) -> None:
        self.system = ActorSystem("bench")
        ready = threading.Event()

        def heard(outcome: object) -> None:
            if isinstance(outcome, Started):
                ready.set()

        self._launch = self.system.spawn(
            lambda: SchedulerTick(home=home, schedules=schedules, **arguments),
            path="/sys/scheduler",
            placement="thread",
            incarnation=Incarnation(),
            on_outcome=heard,
        )
        began = time.perf_counter()
        assert ready.wait(120)
        self.start_seconds = time.perf_counter() - began

    def close(self) -> None:
        self.system.shutdown(10.0)


def second(count: int, seconds: int) -> dict[str, Any]:
    """Run `count` schedules on each of so many seconds; with 1, on one second that is some seconds away."""
    late.clear()
    with tempfile.TemporaryDirectory() as home:
        time.sleep(1.2 - time.time() % 1.0)
        at = time.gmtime(time.time() + AWAY)
        cron = "* * * * * *" if seconds > 1 else f"{at.tm_sec} {at.tm_min} {at.tm_hour} * * *"
        schedules = [{"id": f"s{n}", "cron": cron, "handler": HANDLER} for n in range(count)]
        bench, floor = Bench(home, schedules), Floor()
        gc.collect()
        gc.freeze()
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        began = time.time()
        time.sleep((seconds if seconds > 1 else AWAY) - (began % 1.0) + 0.7)
        deadline = time.time() + 10.0
        while not late and time.time() < deadline:  # a machine that does too much at once
            time.sleep(0.5)
        used = resource.getrusage(resource.RUSAGE_SELF)
        floored = floor.late()
        wall = time.time() - began
        bench.close()
        gc.unfreeze()
        ledger = DiskLedger(Path(home) / "state.db")
        slots = ledger.slots(Wanted(limit=10_000_000))
        ledger.close()
    instants = {slot.slot_at for slot in slots}
    states = {state: sum(s.count for s in slots if s.state == state) for state in {s.state for s in slots}}
    ours, base = spread(late), spread(floored)
    return {
        "count": count,
        "seconds": len(instants),
        "slots": sum(slot.count for slot in slots),
        "expected": count * len(instants),
        "states": states,
        "runs": len(late),
        "ours": ours,
        "floor": base,
        "above_floor_p50_ms": ours["p50_ms"] - base["p50_ms"],
        "above_floor_p99_ms": ours["p99_ms"] - base["p99_ms"],
        "cpu_share": (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) / wall,
    }


def peer(count: int, seconds: int) -> dict[str, Any] | None:
    """Run APScheduler 3 with as many jobs in memory, where it is installed."""
    try:
        from apscheduler.schedulers.background import BackgroundScheduler
    except ImportError:
        return None
    late.clear()
    scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": 30})
    for n in range(count):
        scheduler.add_job(work, "cron", second="*", id=f"s{n}")
    time.sleep(1.2 - time.time() % 1.0)
    scheduler.start()
    time.sleep(seconds + 0.5)
    scheduler.shutdown(wait=True)
    return {"version": version("apscheduler"), "runs": len(late), "expected": count * seconds, **spread(late)}


def idle(count: int) -> dict[str, Any]:
    """Add, pause, remove `count` schedules in memory; start from disk; look at the processor."""
    engine, now = Engine(), Now(time.time(), time.monotonic())
    crons = [f"{n % 60} {n // 60 % 24} 1 1 *" for n in range(count)]  # 1,440 different ones, due next January
    schedules = [Schedule(id=f"s{n}", cron=cron, handler=HANDLER) for n, cron in enumerate(crons)]
    taken: dict[str, list[float]] = {"add": [], "pause": [], "resume": [], "remove": []}

    def timed(name: str, call: Any) -> None:
        began = time.perf_counter()
        call()
        taken[name].append(time.perf_counter() - began)

    for schedule in schedules:
        timed("add", lambda schedule=schedule: engine.put(plan_of(schedule), now))
    for schedule in schedules[:10_000]:
        timed("pause", lambda id=schedule.id: engine.feed(id, Paused("x"), now))
        timed("resume", lambda id=schedule.id: engine.feed(id, Resumed(), now))
        timed("remove", lambda id=schedule.id: engine.remove(id))
    with tempfile.TemporaryDirectory() as home:
        ledger = DiskLedger(Path(home) / "state.db")
        done = threading.Event()
        standing = Standing(since=now.wall)
        ledger.write(Batch(schedules=[(s, standing) for s in schedules]), lambda why: done.set())
        assert done.wait(60)
        ledger.close()
        bench = Bench(home, [])
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(10.0)
        used = resource.getrusage(resource.RUSAGE_SELF)
        start_seconds = bench.start_seconds
        bench.close()
    return {
        "count": count,
        "start_seconds": start_seconds,
        "cpu_share": (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) / 10.0,
        **{f"{name}_p50_us": statistics.median(values) * 1e6 for name, values in taken.items()},
    }


def year(days: int = 365) -> dict[str, Any]:
    """Run the fifteen loops through a simulated year; count what became of every slot."""
    begin = 1_767_225_600  # 2026-01-01
    began = time.perf_counter()
    engine, ends, plans = Engine(), {}, {}
    now = Now(float(begin), 0.0)
    for number, cron in enumerate(LOOPS):
        zone = ZONES[number % len(ZONES)]
        plan = plan_of(Schedule(id=f"loop-{number}", cron=cron, timezone=zone, handler=HANDLER))
        plans[plan.schedule.id] = plan
        engine.put(plan, now, Standing(since=now.wall))
    month, last = begin + 30 * 86_400, begin + days * 86_400
    short = [id for id in plans if cron_gap(plans[id], begin) <= SHORT]
    while True:
        wait = engine.wait(now)
        if wait is None or now.wall + wait > last:
            break
        now = Now(now.wall + wait, now.mono + wait)
        if short and now.wall > month:
            for id in short:
                engine.remove(id)
            short = []
        effects = engine.look(now)
        while effects:
            more = []
            for id, effect in effects:
                if type(effect) is Begin:
                    more += engine.feed(id, Ended(effect.run.slot_at, effect.run.round, "succeeded"), now)
                elif type(effect) is Settle:
                    ends[id, effect.state] = ends.get((id, effect.state), 0) + effect.count
            effects = more
    seconds = time.perf_counter() - began
    accounted = {id: sum(count for (known, _), count in ends.items() if known == id) for id in plans}
    exact = True
    for id, plan in plans.items():
        until = month if cron_gap(plan, begin) <= SHORT else last
        expected, at = 0, plan.after(float(begin))
        while at is not None and at <= until:
            expected += 1
            at = plan.after(at)
        exact = exact and expected == accounted[id]
    return {"seconds": seconds, "slots": sum(accounted.values()), "is_exact": exact}


def cron_gap(plan: Any, begin: float) -> float:
    """Return the seconds between its first two slots."""
    first = plan.after(float(begin))
    return plan.after(first) - first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="second,burst,idle,year")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",")
    found: dict[str, Any] = {"machine": platform.platform(), "python": platform.python_version()}
    found["load"] = os.getloadavg()
    if "second" in wanted:
        found["second"] = second(1_000, options.seconds)
        found["apscheduler"] = peer(1_000, min(options.seconds, 10))
    if "burst" in wanted:
        found["burst"] = second(10_000, 1)
    if "idle" in wanted:
        found["idle"] = idle(100_000)
    if "year" in wanted:
        found["year"] = year()
    for name, figures in found.items():
        print(f"{name}: {json.dumps(figures, indent=1) if isinstance(figures, dict) else figures}")
    if not options.no_save:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.modules["bench_schedules"] = sys.modules["__main__"]
    raise SystemExit(main())
