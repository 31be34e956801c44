"""Kill -9 of a runtime with queues under load, round after round, and a ledger of what became of each job.

    PYTHONPATH=. python tests/support/job_trial.py --rounds 500 --result benchmarks/results/job_kills.json

Each round a process adds jobs from three threads, does them with four workers, and writes down each acceptance and each
begun try outside the file of state. It is killed at a random moment. At the end the jobs left are done, and then:

- each accepted job has exactly one record, and it is an end;
- each job that was ever begun twice is marked with as many repeats;
- nothing begun was unknown to the file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from actors.core.outcomes import Outcome, Started
from actors.core.system import ActorSystem
from actors.jobs.accepting import JobsRefusedError
from actors.jobs.client import Jobs
from actors.jobs.handlers import DoNotRetry, Run, job, spec_of
from actors.jobs.locating import engine_at
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120.0
BACKLOG = 2_000
"""Jobs that wait when no more are added for a moment."""


def serve(home: Path, *, is_last: bool) -> None:
    """Run the queues of `home`: under load until killed, or until every job has ended."""
    tries = os.open(home / "tries", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    accepted = os.open(home / "accepted", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    @job("trial")
    def trial(number: int, run: Run) -> int:
        os.write(tries, f"{run.job} {run.attempt} {run.repeats}\n".encode())
        if number % 7 == 0:
            time.sleep(0.002)
        if number % 11 == 0:
            raise DoNotRetry("as it should")
        if number % 13 == 0 and run.attempt == 1:
            raise OSError("once")
        if number % 17 == 0:
            run.add(trial, 1)
        return number

    system = ActorSystem("trial")
    queue = {
        "name": "default", "workers": ["/work/w*"], "repeats": 1000, "backoff": {"first": 0.01, "max": 0.01},
        "keep": {"most": 1_000_000},  # the ledger is compared with every one
    }  # fmt: skip
    started = threading.Semaphore(0)

    def on_outcome(outcome: Outcome) -> None:
        if isinstance(outcome, Started):
            started.release()

    system.spawn(
        lambda: JobQueues(home=str(home), queues=[queue]), path="/work/jobs", placement="thread",
        on_outcome=on_outcome,
    )  # fmt: skip
    assert started.acquire(timeout=LIMIT)
    for worker in range(4):
        system.spawn(JobWorker, path=f"/work/w{worker}", on_outcome=on_outcome)
        assert started.acquire(timeout=LIMIT)
    jobs = Jobs(system)
    engine = engine_at(system, "/work/jobs")
    assert engine is not None
    if is_last:
        until = time.monotonic() + LIMIT
        while engine.ledger.jobs and time.monotonic() < until:
            time.sleep(0.02)
        assert not engine.ledger.jobs, f"{len(engine.ledger.jobs)} jobs do not end"
        system.shutdown()
        return

    def add(seed: int) -> None:
        chance = random.Random(seed)
        while True:
            while len(engine.ledger.jobs) > BACKLOG:  # nobody is to wait for ever for the last of them to end
                time.sleep(0.001)
            specs = [spec_of(trial, chance.randrange(1000)) for _ in range(chance.choice((1, 1, 3)))]
            try:
                ids = jobs.add_many(specs)
            except JobsRefusedError as error:
                os.write(1, f"refused: {error}\n".encode())
                os._exit(3)
            os.write(accepted, "".join(f"{id}\n" for id in ids).encode())

    for thread in range(3):
        threading.Thread(target=add, args=(os.getpid() * 10 + thread,), daemon=True).start()
    os.write(1, b"ready\n")
    threading.Event().wait()


def run_round(home: Path, delay: float | None) -> None:
    """Start the process and kill it `delay` seconds after it is ready; let it end by itself for None."""
    arguments = [sys.executable, __file__, "--serve", str(home), *(["--last"] if delay is None else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        if delay is None:
            assert process.wait(LIMIT * 2) == 0
            return
        line = process.stdout.readline()
        assert line == b"ready\n", line
        time.sleep(delay)  # the load is on: any moment will do
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        assert rest == b"", rest


def verdict(home: Path) -> dict[str, int]:
    """Return the figures of the trial.

    Raises:
        AssertionError: A promise was broken.
    """
    accepted = (home / "accepted").read_text().split()
    tries = [line.split() for line in (home / "tries").read_text().splitlines()]
    with sqlite3.connect(home / "state.db") as file:
        rows = file.execute("SELECT 'job-' || number, state, attempt, repeats FROM jobs_all").fetchall()
    records = {id: (state, attempt, repeats) for id, state, attempt, repeats in rows}
    assert len(set(accepted)) == len(accepted), "an id was given twice"
    missing = [id for id in accepted if id not in records]
    assert not missing, f"lost: {missing[:10]}"
    open_ones = [id for id, (state, _, _) in records.items() if state not in {"succeeded", "failed"}]
    assert not open_ones, f"no end: {open_ones[:10]}"
    counts = Counter(id for id, _, _ in tries)
    unknown = [id for id in counts if id not in records]
    assert not unknown, f"begun and not on disk: {unknown[:10]}"
    for id, count in counts.items():
        _, attempt, repeats = records[id]
        assert count <= attempt + repeats, f"{id}: begun {count} times, {attempt} tries and {repeats} repeats"
    doubles = [key for key, count in Counter(map(tuple, tries)).items() if count > 1]
    assert not doubles, f"the same try twice: {doubles[:10]}"
    never = [id for id in records if id not in counts]
    assert not never, f"ended and never begun: {never[:10]}"
    return {
        "accepted": len(accepted),
        "records": len(records),
        "tries": len(tries),
        "repeated": sum(1 for _, _, repeats in records.values() if repeats),
        "begun_twice": sum(1 for id, count in counts.items() if count > records[id][1]),
        "lost": 0,
    }


def trial(home: Path, rounds: int, seed: int) -> dict[str, int]:
    """Do `rounds` rounds and return the figures."""
    chance = random.Random(seed)
    for _ in range(rounds):
        run_round(home, chance.uniform(0.0, 0.4))
    run_round(home, None)
    return {"rounds": rounds, **verdict(home)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--last", action="store_true")
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve, is_last=given.last)
        return
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        figures = trial(Path(folder), given.rounds, given.seed)
    figures["seconds"] = round(time.monotonic() - began)
    sys.stdout.write(json.dumps(figures) + "\n")
    if given.result is not None:
        given.result.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
