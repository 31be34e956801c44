"""How many durable jobs a second go from added to done, and how long does an add take?

    pool       50 in flight, 50 workers on the pool; an add is answered, and an end told, once it is on disk
    process    the same with two worker processes of 25 places each
    relaxed    on the pool, in a queue that does not wait for the disk
    add        one add after another, beside three fsyncs of this disk

In the same run, where they are installed: BullMQ on Redis with appendfsync always and everysec (Debian's redis-server;
`npm install` in peers/bullmq is done here), huey and persist-queue, which know no concurrency: one job after another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.core.outcomes import Incarnation, Outcome, Started
from actors.core.system import ActorSystem
from actors.jobs.accepting import Accepted
from actors.jobs.client import Jobs
from actors.jobs.engine import Engine
from actors.jobs.handlers import job, spec_of
from actors.jobs.locating import engine_at
from actors.jobs.orders import Announce
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from supervisors.children import LaunchRequest
from supervisors.processes.host import ProcessLauncher
from supervisors.specs import ChildSpec, ImportStart

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "jobs.json"
CONCURRENCY = 50
LIMIT = 60.0


@job("bench.noop")
def noop(number: int) -> int:
    return number


@contextmanager
def queues(home: Path, workers: int, *, processes: int = 0, **rules: Any) -> Iterator[tuple[Engine, Jobs]]:
    """Run queues with workers on the pool, or with places for as many jobs in so many processes."""
    system = ActorSystem("bench")
    ready = threading.Semaphore(0)

    def on_outcome(outcome: Outcome) -> None:
        if isinstance(outcome, Started):
            ready.release()

    def spawn(make: Any, path: str) -> None:
        system.spawn(make, path=path, placement="thread" if path == "/work/jobs" else "pool", on_outcome=on_outcome)
        assert ready.acquire(timeout=LIMIT)

    queue = {"name": "default", "workers": ["/work/w*"], **rules}
    spawn(lambda: JobQueues(home=str(home), queues=[queue]), "/work/jobs")
    launcher = ProcessLauncher(system, home) if processes else None
    for number in range(0 if processes else workers):
        spawn(JobWorker, f"/work/w{number}")
    for number in range(processes):
        assert launcher is not None
        kwargs = {"handlers": [Path(__file__).stem], "places": workers // processes}
        start = ImportStart("actors.jobs.running:JobProcess", kwargs=kwargs)
        spec = ChildSpec(f"w{number}", start, runs_in="process")
        launcher.launch(LaunchRequest(f"/work/w{number}", spec, Incarnation()), on_outcome)
        assert ready.acquire(timeout=LIMIT)
        system.ref(f"/work/w{number}").tell(Announce())  # no supervisor is here, whose events the queues would see
    engine = engine_at(system, "/work/jobs")
    assert engine is not None
    try:
        yield engine, Jobs(system)
    finally:
        if launcher is not None:
            launcher.close()
        system.shutdown()


def end_to_end(seconds: float, **rules: Any) -> dict[str, float]:
    """Keep `CONCURRENCY` jobs between added and done; return jobs a second and the time of one."""
    with tempfile.TemporaryDirectory(dir=HERE) as folder, queues(Path(folder), CONCURRENCY, **rules) as (engine, _):
        took: list[float] = []
        ending = threading.Event()
        over = threading.Semaphore(0)

        def begin() -> None:
            since = time.perf_counter()

            def done(_: object) -> None:
                took.append(time.perf_counter() - since)
                if ending.is_set():
                    over.release()
                else:
                    begin()

            def added(answer: object) -> None:
                assert isinstance(answer, Accepted), answer
                if not engine.watch(int(answer.ids[0][4:]), done):
                    done(None)  # it was done before this

            engine.add([spec_of(noop, 5)], added)

        for _ in range(CONCURRENCY):
            begin()
        time.sleep(1.0)  # warm
        count, since, processor = len(took), time.perf_counter(), time.process_time()
        time.sleep(seconds)
        count, elapsed = len(took) - count, time.perf_counter() - since
        processor = time.process_time() - processor
        ending.set()
        for _ in range(CONCURRENCY):
            assert over.acquire(timeout=LIMIT)
    took = sorted(took[-count:])
    return {
        "jobs_per_second": round(count / elapsed),
        "ms_p50": took[len(took) // 2] * 1e3,
        "ms_p99": took[len(took) * 99 // 100] * 1e3,
        "cpu_us_per_job": processor / count * 1e6,
    }


def adding(count: int) -> dict[str, float]:
    """Add jobs one after another, and sync a file in between; return medians in ms."""
    with tempfile.TemporaryDirectory(dir=HERE) as folder, queues(Path(folder), 0) as (_, jobs):
        adds, syncs = [], []
        number = os.open(Path(folder) / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for _ in range(count):
            since = time.perf_counter()
            jobs.add(noop, 1)
            adds.append(time.perf_counter() - since)
            since = time.perf_counter()
            os.write(number, b"x" * 128)
            os.fsync(number)
            syncs.append(time.perf_counter() - since)
        os.close(number)
    add, sync = statistics.median(adds) * 1e3, statistics.median(syncs) * 1e3
    return {"add_ms_p50": add, "fsync_ms_p50": sync, "bound_ms": 3 * sync + 0.1}


@contextmanager
def redis(appendfsync: str) -> Iterator[Path]:
    """Run a Redis server of its own on a socket."""
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        path = Path(folder) / "r.sock"
        options = ["--port", "0", "--unixsocket", str(path), "--dir", folder, "--appendonly", "yes", "--save", ""]
        command = ["redis-server", *options, "--appendfsync", appendfsync]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                until = time.monotonic() + LIMIT
                while not path.exists():
                    assert time.monotonic() < until, "redis-server does not come up"
                    time.sleep(0.05)
                yield path
            finally:
                server.terminate()
                server.wait(LIMIT)


def bullmq(appendfsync: str, seconds: float) -> dict[str, float] | None:
    """Ask BullMQ; None where it cannot be asked."""
    folder = HERE / "peers" / "bullmq"
    if not all(map(shutil.which, ("redis-server", "node", "npm"))):
        return None
    if not (folder / "node_modules").is_dir():
        subprocess.run(["npm", "install", "--silent", "--no-package-lock"], cwd=folder, check=True)
    with redis(appendfsync) as path:
        command = ["node", "bench.js", str(path), str(CONCURRENCY), str(seconds)]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=LIMIT + seconds)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def python_peers(count: int) -> dict[str, dict[str, float]]:
    """Ask huey and persist-queue, where they are installed: add, take, done, each on disk, one after another."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        try:
            from huey import SqliteHuey

            huey = SqliteHuey(filename=f"{folder}/huey.db", fsync=True)
            task = huey.task()(lambda number: number)
            since = time.perf_counter()
            for number in range(count):
                task(number)
                huey.execute(huey.dequeue())
            found["huey"] = {"jobs_per_second": round(count / (time.perf_counter() - since))}
        except ImportError:
            pass
        try:
            from persistqueue import SQLiteAckQueue

            queue = SQLiteAckQueue(f"{folder}/ack", auto_commit=True)
            since = time.perf_counter()
            for number in range(count):
                queue.put(number)
                queue.ack(queue.get())
            found["persist-queue"] = {"jobs_per_second": round(count / (time.perf_counter() - since))}
        except ImportError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of ours and BullMQ's, by turns")
    parser.add_argument("--no-save", action="store_true", help="do not keep the result")
    options = parser.parse_args()
    figures: dict[str, list[dict[str, float]]] = {"pool": [], "bullmq always": [], "bullmq everysec": []}
    for _ in range(options.rounds):
        figures["pool"].append(end_to_end(options.seconds))
        for word in ("always", "everysec"):
            answer = bullmq(word, options.seconds)
            if answer is not None:
                figures[f"bullmq {word}"].append(answer)
    found: dict[str, Any] = {
        name: max(rounds, key=lambda figure: figure["jobs_per_second"]) for name, rounds in figures.items() if rounds
    }
    found["rounds"] = {name: [figure["jobs_per_second"] for figure in rounds] for name, rounds in figures.items()}
    found["process"] = end_to_end(options.seconds, processes=2)
    found["relaxed"] = end_to_end(options.seconds, relaxed=True)
    found["add"] = adding(500)
    found |= python_peers(500)
    ours = statistics.median(found["rounds"]["pool"])
    found["ratios"] = {
        name: round(ours / statistics.median(rates), 2)
        for name, rates in found["rounds"].items()
        if name != "pool" and rates
    }
    found["machine"] = {
        "python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "version": version("actorctl"), "concurrency": CONCURRENCY,
    }  # fmt: skip
    for name, figure in found.items():
        print(f"  {name:<16} {json.dumps(figure)}")
    if not options.no_save:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
