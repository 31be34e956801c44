"""Jobs against a model, on both stores: whatever is done to them in whatever order, they are where the model says."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from msgspec import Struct

from actors.jobs.accepting import Accepted, JobsRefusedError
from actors.jobs.engine import Engine
from actors.jobs.handlers import job as handler
from actors.jobs.handlers import spec_of
from actors.jobs.jobtable import FileTable, MemoryTable, QueueState
from actors.jobs.records import Begin, Ended
from actors.jobs.selecting import Selection
from actors.jobs.specs import QueueSpec
from actors.policies.backoff import Backoff

LIMIT = 30.0
ATTEMPTS = 2
WORKERS = ("/w/1", "/w/2")
SPEC = QueueSpec(
    name="default", attempts=ATTEMPTS, capacity=12, repeats=3, backoff=Backoff(first=10.0, max=10.0, jitter=0.0)
)
ENDS = {"succeeded", "failed", "cancelled"}


@handler("model.work")
def work(_: int) -> None:
    """Never called: the machine says how tries end."""


class Known(Struct):
    """What the model knows of one job."""

    state: str
    priority: int = 0
    run_at: float = 0.0
    attempt: int = 0
    repeats: int = 0
    key: str = ""
    after: frozenset[str] = frozenset()


def number(id: str) -> int:
    return int(id.removeprefix("job-"))


class Machine(RuleBasedStateMachine):
    """The engine beside a model of it; `open_table` says on which store."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.ahead = 0.0
        self.model: dict[str, Known] = {}
        self.ends: list[str] = []
        self.begun: set[str] = set()
        self.paused = False
        self.open()

    def open_table(self):
        raise NotImplementedError

    def open(self) -> None:
        self.engine = Engine(
            self.open_table(), now=lambda: self.now, steady=lambda: self.now - self.ahead,
            perform=self.perform, alarm=lambda _: None,
            chance=random.Random(0),
        )  # fmt: skip
        self.engine.open([SPEC])
        for worker in WORKERS:
            self.engine.worker_free("default", worker, 1)
        self.settle()

    def perform(self, effects) -> None:
        for effect in effects:
            if isinstance(effect, Ended):
                self.ends.append(f"job-{effect.job.number}")
            elif isinstance(effect, Begin):
                self.begun.add(f"job-{effect.job.number} {effect.attempt}")

    def settle(self) -> None:
        until = time.monotonic() + LIMIT
        while not self.engine.is_settled:
            assert time.monotonic() < until, "the engine does not come to rest"
            time.sleep(0)

    # -- the model's rules ------------------------------------------------------------------------

    def claim(self) -> None:
        waiting = sorted(
            (id for id, job in self.model.items() if job.state == "waiting"),
            key=lambda id: (-self.model[id].priority, number(id)),
        )
        free = len(WORKERS) - len(self.running())
        for id in waiting[: 0 if self.paused else free]:
            self.model[id].state = "running"
            self.model[id].attempt += 1

    def place(self, job: Known) -> None:
        job.state = "blocked" if job.after else "delayed" if job.run_at > self.now else "waiting"

    def end(self, id: str, state: str) -> None:
        self.model[id].state = state
        for other, job in self.model.items():
            if id in job.after and job.state == "blocked":
                if state != "succeeded":
                    self.end(other, "failed")
                else:
                    job.after -= {id}
                    if not job.after:
                        self.place(job)

    def running(self) -> list[str]:
        return sorted((id for id, job in self.model.items() if job.state == "running"), key=number)

    def unfinished(self) -> list[str]:
        return [id for id, job in self.model.items() if job.state not in ENDS]

    # -- what is done -----------------------------------------------------------------------------

    @rule(
        target=ids,
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0.0, 0.0, 5.0]),
        key=st.sampled_from(["", "", "k"]),
        after=st.lists(ids, max_size=2),
    )
    def add(self, priority, delay, key, after):
        after = [id for id in after if id]
        answers: list[Accepted | JobsRefusedError] = []
        spec = spec_of(work, 1, priority=priority, delay=delay, key=key, after=tuple(after))
        self.engine.add([spec], answers.append)
        self.settle()
        (answer,) = answers
        held = next((id for id in self.unfinished() if key and self.model[id].key == key), None)
        full = len(self.unfinished()) >= SPEC.capacity
        broken = any(self.model[id].state in {"failed", "cancelled"} for id in after)
        if held is None and (full or broken):
            assert isinstance(answer, JobsRefusedError)
            return ""
        assert isinstance(answer, Accepted), answer
        if held is not None:
            assert answer == Accepted((held,), 1)
            return held
        (id,) = answer.ids
        assert id not in self.model
        waits = frozenset(other for other in after if self.model[other].state not in ENDS)
        job = self.model[id] = Known("waiting", priority, self.now + delay, key=key, after=waits)
        self.place(job)
        self.claim()
        return id

    @precondition(lambda self: self.running())
    @rule(which=st.integers(0, 1), outcome=st.sampled_from(["ok", "ok", "again", "never"]))
    def end_try(self, which, outcome):
        id = self.running()[which % len(self.running())]
        job = self.model[id]
        if outcome == "ok":
            self.engine.finished(number(id), job.attempt, "1")
            self.end(id, "succeeded")
        elif outcome == "never" or job.attempt >= ATTEMPTS:
            self.engine.failed(number(id), job.attempt, "no", outcome == "again")
            self.end(id, "failed")
        else:
            self.engine.failed(number(id), job.attempt, "no", True)
            job.run_at = self.now + 10.0
            self.place(job)
        self.claim()

    @rule(id=ids)
    def end_of_a_try_that_is_no_more(self, id):
        if id:
            self.engine.finished(number(id), self.model[id].attempt + 1, "1")
            self.engine.failed(number(id), 0, "late", True)

    @rule(id=ids)
    def cancel(self, id):
        if not id:
            return
        job = self.model[id]
        cancelled = self.engine.cancel([number(id)], "enough")
        assert bool(cancelled) == (job.state not in ENDS)
        if job.state == "running":
            self.engine.failed(number(id), job.attempt, "it heard of it", True)
        if cancelled:
            self.end(id, "cancelled")
            self.claim()

    @rule(id=ids)
    def promote(self, id):
        if id:
            job = self.model[id]
            assert bool(self.engine.promote([number(id)])) == (job.state == "delayed")
            if job.state == "delayed":
                job.run_at = self.now
                self.place(job)
                self.claim()

    @rule(id=consumes(ids))
    def retry(self, id):
        if not id:
            return
        self.settle()
        job = self.model[id]
        is_held = job.key and any(self.model[other].key == job.key for other in self.unfinished())
        revived = self.engine.retry([number(id)])
        assert bool(revived) == (job.state in {"failed", "cancelled"} and not is_held)
        if revived:
            self.ends.remove(id)
            job.attempt, job.run_at, job.after = 0, self.now, frozenset()
            self.place(job)
            self.claim()

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.engine.pass_time()
        for job in self.model.values():
            if job.state == "delayed" and job.run_at <= self.now:
                job.state = "waiting"
        self.claim()

    @rule(paused=st.booleans())
    def pause(self, paused):
        self.paused = paused
        self.engine.set_queue(SPEC, QueueState(paused=paused))
        self.claim()

    @rule()
    def begin_anew(self):
        """The runtime ends while jobs run, and another begins."""
        self.settle()
        self.engine.close()
        self.begun.clear()
        for id in self.running():
            job = self.model[id]
            job.attempt -= 1
            job.repeats += 1
            job.state = "waiting"
            if job.repeats > SPEC.repeats:
                self.end(id, "failed")
        for job in self.model.values():
            if job.state == "delayed" and job.run_at <= self.now:
                job.state = "waiting"
        self.open()
        self.claim()

    # -- what holds always ------------------------------------------------------------------------

    @invariant()
    def jobs_are_where_the_model_says(self):
        self.settle()
        rows = self.engine.table.select(Selection(limit=10_000))
        found = {f"job-{job.number}": job for job in self.engine.overlay(rows)}
        assert [(job.number, job.state, job.attempt, job.repeats) for job in rows] == [
            (job.number, job.state, job.attempt, job.repeats) for job in found.values()
        ]
        assert set(found) == set(self.model)
        for id, known in self.model.items():
            job = found[id]
            told = (job.state, job.attempt, job.repeats, {f"job-{n}" for n in job.after if known.state == "blocked"})
            assert told == (
                known.state,
                known.attempt,
                known.repeats,
                known.after if known.state == "blocked" else set(),
            )
        assert {f"job-{n}" for n in self.engine.ledger.jobs} == set(self.unfinished())

    @invariant()
    def each_end_is_told_once(self):
        self.settle()
        assert sorted(self.ends) == sorted(id for id, job in self.model.items() if job.state in ENDS)

    @invariant()
    def what_runs_was_given_to_a_worker(self):
        self.settle()
        running = {f"{id} {self.model[id].attempt}" for id in self.running()}
        assert running <= self.begun
        self.begun = running

    def teardown(self):
        self.settle()
        self.engine.close()


class InMemory(Machine):
    def __init__(self) -> None:
        self.table = MemoryTable()
        super().__init__()

    def open_table(self):
        return self.table

    @rule()
    def full_disk(self):
        """Nothing can be written for a while: new jobs are refused, and none of the others is lost."""
        self.settle()
        self.table.fails = "no space left"
        ended = self.running()[:1]
        for id in ended:
            self.engine.finished(number(id), self.model[id].attempt, "1")  # another one's claim is not written either
        answers: list[Accepted | JobsRefusedError] = []
        self.engine.add([spec_of(work, 1)], answers.append)
        assert isinstance(answers[0], JobsRefusedError)
        self.table.fails = None
        self.engine.pass_time()
        for id in ended:
            self.end(id, "succeeded")
        self.claim()


class OnDisk(Machine):
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().__init__()

    def open_table(self):
        return FileTable(Path(self.folder.name) / "state.db")

    def teardown(self):
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize(("machine", "examples"), [(InMemory, 60), (OnDisk, 25)], ids=["memory", "file"])
def test_jobs_are_where_a_model_says_whatever_is_done_to_them(machine, examples):
    case = machine.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None)

    case("runTest").runTest()
