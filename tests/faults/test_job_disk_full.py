"""Queues on a file system that is full, a real one: refused in words, nothing lost, and on it goes when there is room.

A process of its own mounts a small tmpfs in a mount namespace of its own, which needs no root where the kernel lets
users have namespaces; where it does not, the test is skipped with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces are Linux's"),
    pytest.mark.timeout(600),
]

MOUNT = ("unshare", "-r", "-m", "--", "sh", "-c", 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"', "sh")
FILLING = """
import json, sys, threading
from collections import Counter
from pathlib import Path

from actors import Actor
from actors.core.outcomes import Started
from actors.core.system import ActorSystem
from actors.jobs.accepting import JobsRefusedError
from actors.jobs.client import Jobs
from actors.jobs.handlers import job
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from actors.jobs.selecting import Selection
from actors.state.file import StateError
from actors.state.snapshots import Keeps

disk = Path(sys.argv[1])
ballast = disk / "ballast"
ballast.write_bytes(bytes(3 << 20))
gate, begun, runs = threading.Event(), threading.Event(), Counter()

@job("fill")
def fill(letter: str) -> int:
    begun.set()
    assert gate.wait(120)
    return len(letter)

@job("small")
def small(number: int) -> int:
    runs[number] += 1
    return number

class Keeper(Keeps, Actor):
    def on_receive(self, message):
        return message(self)

system = ActorSystem("full")
system.home = disk
ready = threading.Semaphore(0)

def start(make, path, placement="pool"):
    def told(outcome):
        if isinstance(outcome, Started):
            ready.release()

    system.spawn(make, path=path, placement=placement, on_outcome=told)
    assert ready.acquire(timeout=60)

queue = {"name": "default", "workers": ["/work/w*"]}
start(lambda: JobQueues(home=str(disk), queues=[queue]), "/work/jobs", "thread")
for number in range(2):
    start(JobWorker, f"/work/w{number}", "thread")
start(Keeper, "/keeper", "thread")
keeper = system.ref("/keeper")
keeper.ask(lambda actor: actor.keep("before"), timeout=60)

jobs = Jobs(system)
accepted, refused = [], ""
for number in range(2_000):
    try:
        accepted.append(jobs.add("fill", "x" * 50_000))
    except JobsRefusedError as error:
        refused = str(error)
        break
assert begun.wait(60)
waiting = threading.Event()
while True:  # until there is no room for a small one either: that was tried, not refused unseen
    try:
        accepted.append(jobs.add("fill", "x"))
    except JobsRefusedError as error:
        if "nothing can be written" not in str(error):
            break
        waiting.wait(0.1)
try:
    jobs.add("small", -1)
    again = ""
except JobsRefusedError as error:
    again = str(error)

def keep_much(actor):
    try:
        actor.keep("y" * 2_000_000)
        return ""
    except StateError as error:
        return str(error)

not_kept = keeper.ask(keep_much, timeout=60)
kept = keeper.ask(lambda actor: actor.kept(str), timeout=60)
gate.set()
ballast.unlink()

later, tries = [], 0
while len(later) < 20:
    try:
        later.append(jobs.add("small", len(later)))
    except JobsRefusedError:
        tries += 1
        assert tries < 600, "it never went on"
        waiting.wait(0.1)  # room is noticed within a second
states = Counter()
for id in (*accepted, *later):
    view = jobs.wait(id, 120)
    states[view.state if view is not None else "lost"] += 1
found = jobs.find(Selection(limit=10_000))
keeper.ask(lambda actor: actor.keep("after"), timeout=60)
print(json.dumps({
    "accepted": len(accepted), "refused": refused, "again": again, "states": states, "records": len(found),
    "ends": sorted({view.attempt for view in found}), "runs": sorted(set(runs.values())),
    "strangers": runs[-1], "not_kept": not_kept, "kept": kept,
    "kept_later": keeper.ask(lambda actor: actor.kept(str), timeout=60),
}))
system.shutdown()
"""


def why_not() -> str:
    """Return why no file system can be mounted here, or ""."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "unshare or mount is not installed"
    done = subprocess.run([*MOUNT, "64k", "/mnt", "true"], check=False, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else f"a tmpfs in a namespace is not permitted: {done.stderr.strip()}"


def run_on_a_small_disk(program: str, size: str, tmp_path: Path) -> Any:
    """Run a program on a disk of `size`, and return what it found."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        [*MOUNT, size, str(disk), sys.executable, "-c", program, str(disk)],
        check=False,
        capture_output=True,
        text=True,
        timeout=540,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_full_disk_refuses_jobs_and_snapshots_loses_none_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    found = run_on_a_small_disk(FILLING, "8m", tmp_path)

    assert found["accepted"] > 10
    assert "disk is full" in found["refused"]
    assert "disk is full" in found["again"]
    assert found["states"] == {"succeeded": found["accepted"] + 20}
    assert found["records"] == found["accepted"] + 20  # what was refused is not there
    assert (found["ends"], found["runs"], found["strangers"]) == ([1], [1], 0)
    assert "disk is full" in found["not_kept"]
    assert (found["kept"], found["kept_later"]) == ("before", "after")


LARGE = """
import json, sys, threading
from pathlib import Path

from support.disks import fill

from actors.core.outcomes import Started
from actors.core.system import ActorSystem
from actors.jobs.accepting import JobsRefusedError
from actors.jobs.client import Jobs
from actors.jobs.handlers import job
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from actors.jobs.selecting import Selection

disk = Path(sys.argv[1])
room = threading.Event()

@job("large")
def large(size: int) -> str:
    assert room.wait(120)
    return "x" * size

@job("small")
def small(number: int) -> int:
    return number

@job("keep")
def keep(text: str) -> int:
    return len(text)

system = ActorSystem("full")
system.home = disk
ready = threading.Semaphore(0)

def start(make, path):
    def told(outcome):
        if isinstance(outcome, Started):
            ready.release()

    system.spawn(make, path=path, placement="thread", on_outcome=told)
    assert ready.acquire(timeout=60)

queue = {"name": "default", "workers": ["/work/w*"], "payload_max_bytes": 8 << 20}
start(lambda: JobQueues(home=str(disk), queues=[queue]), "/work/jobs")
for number in range(2):
    start(JobWorker, f"/work/w{number}")
jobs = Jobs(system)
for number in range(20):
    assert jobs.wait(jobs.add("small", number), 120).state == "succeeded"

heavy = jobs.add("large", 4_000_000)
after = jobs.add("small", 1, after=[heavy])
ballast = disk / "ballast"
ballast.write_bytes(bytes(3 << 20))
files = fill(disk)
ballast.unlink()  # three megabytes are free: room for many small ends, and none for one of four
room.set()
try:
    jobs.add("keep", "y" * 4_000_000)
    refused = ""
except JobsRefusedError as error:
    refused = str(error)
failed = jobs.wait(heavy, 120)
later = [jobs.wait(jobs.add("small", number), 120).state for number in range(10)]
dependent = jobs.wait(after, 120)
for file in files:
    file.unlink()
print(json.dumps({
    "refused": refused, "state": failed.state, "why": failed.why, "later": later,
    "dependent": [dependent.state, dependent.why], "again": jobs.wait(jobs.add("large", 4_000_000), 120).state,
    "records": len(jobs.find(Selection(limit=1_000))),
}))
system.shutdown()
"""


def test_one_result_that_is_too_large_for_the_disk_fails_its_job_alone_and_small_ones_go_on(tmp_path: Path) -> None:
    found = run_on_a_small_disk(LARGE, "12m", tmp_path)

    assert "disk is full" in found["refused"]
    assert found["state"] == "failed"
    assert "4,000,002 characters, for which there was no room" in found["why"]
    assert "disk is full" in found["why"]
    assert found["later"] == ["succeeded"] * 10
    assert found["dependent"] == ["failed", "job-21, which it comes after, failed"]
    assert found["again"] == "succeeded"
    assert found["records"] == 20 + 2 + 10 + 1
