"""A scheduler in a process whose wall clock is another one; each run begun is a line of standard output."""

from __future__ import annotations

import json
import sys
import threading
import time

from actors.core.outcomes import Incarnation, Started
from actors.core.system import ActorSystem
from actors.scheduling.running import Work
from actors.scheduling.scheduler import SchedulerTick

_lock = threading.Lock()


def work(work: Work) -> None:
    """Say what was begun, and what the wall clock says."""
    with _lock:
        sys.stdout.write(f"{work.schedule} {work.slot_at:.6f} {int(work.is_repeat)} {time.time():.6f}\n")
        sys.stdout.flush()


def main(home: str, schedules: str, catch_up: str = "{}") -> None:
    system = ActorSystem("clock")
    given = [{"handler": "support.clock_node:work", **fields} for fields in json.loads(schedules)]
    ready = threading.Event()
    system.spawn(
        lambda: SchedulerTick(home=home, schedules=given, wall_check=0.5, catch_up=json.loads(catch_up)),
        path="/sys/scheduler",
        placement="thread",
        incarnation=Incarnation(),
        on_outcome=lambda outcome: ready.set() if isinstance(outcome, Started) else None,
    )
    assert ready.wait(60)
    sys.stdin.read()  # until the test is done with it
    system.shutdown(10.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
