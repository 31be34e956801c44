"""A scheduler under load in a process that will be killed: twenty schedules a second; some fail, some take long."""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path

from actors.core.outcomes import Incarnation, Started
from actors.core.system import ActorSystem
from actors.scheduling.running import Work
from actors.scheduling.scheduler import SchedulerTick

COUNT = 20


def work(work: Work) -> str:
    """Leave a mark that outlives this process, then do as chance says."""
    name, _, home = str(work.payload).partition("@")
    with (Path(home) / "begun").open("a") as file:
        file.write(f"{work.schedule} {work.slot_at:.6f} {work.attempt} {int(work.is_repeat)}\n")
    if name == "slow":
        time.sleep(random.random() * 1.5)
    if name == "fails" and random.random() < 0.5:
        raise OSError("chance")
    return "done"


def schedules(home: str) -> list[dict[str, object]]:
    """Return what is scheduled: of each kind and policy something."""
    kinds, overlaps = ("plain", "slow", "fails"), ("skip", "queue", "cancel-other", "allow-all")
    return [
        {
            "id": f"s{n}",
            "cron": "* * * * * *",
            "handler": "support.scheduling_node:work",
            "payload": f'"{kinds[n % 3]}@{home}"',
            "overlap": {"policy": overlaps[n % 4]},
            "retry": {"attempts": 2, "first": 0.2} if n % 3 == 2 else {},
            "repeat": n % 5 != 0,
        }
        for n in range(COUNT)
    ]


def main(home: str) -> None:
    system = ActorSystem("killed")
    ready = threading.Event()
    system.spawn(
        lambda: SchedulerTick(home=home, schedules=schedules(home)),
        path="/sys/scheduler",
        placement="thread",
        incarnation=Incarnation(),
        on_outcome=lambda outcome: ready.set() if isinstance(outcome, Started) else None,
    )
    assert ready.wait(60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
