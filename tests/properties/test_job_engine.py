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
from actors.jobs.records import Begin, Ended, Halt
from actors.jobs.selecting import Selection
from actors.jobs.specs import QueueSpec
from actors.policies.backoff import Backoff

LIMIT = 30.0
ATTEMPTS = 2
WINDOW = 20.0
TIMEOUT = 15.0
WORKERS = ("/w/1", "/w/2")
SPEC = QueueSpec(
    name="default", attempts=ATTEMPTS, capacity=12, repeats=3, timeout=TIMEOUT,
    backoff=Backoff(first=10.0, max=10.0, jitter=0.0),
)  # fmt: skip
ENDS = {"succeeded", "failed", "cancelled"}


@handler("model.work")
def work(_: int) -> None:
    """Never called: the machine says how tries end."""


class Known(Struct):
    """What the model knows of one job.

    Attributes:
        window_at: Until when its key is held though it has ended.
        begun: Real seconds at which its try began.
        is_cancelled: It runs, and was asked to end.
    """

    state: str
    priority: int = 0
    run_at: float = 0.0
    attempt: int = 0
    repeats: int = 0
    key: str = ""
    window_at: float = 0.0
    after: frozenset[str] = frozenset()
    even_if: bool = False
    worker: str = ""
    begun: float = 0.0
    is_cancelled: bool = False


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
        self.asked_to_end: list[str] = []
        self.queue = QueueState()
        self.open()

    def open_table(self):
        raise NotImplementedError

    def open(self) -> None:
        self.engine = Engine(
            self.open_table(), now=lambda: self.now, steady=lambda: self.now - self.ahead, perform=self.perform,
            alarm=lambda _: None, chance=random.Random(0),
        )  # fmt: skip
        self.engine.open([SPEC])
        for worker in WORKERS:
            self.engine.worker_free("default", worker, 1)
        self.present = set(WORKERS)
        self.suspended: set[str] = set()
        self.settle()

    def perform(self, effects) -> None:
        for effect in effects:
            if isinstance(effect, Ended):
                self.ends.append(f"job-{effect.job.number}")
            elif isinstance(effect, Begin):
                self.begun.add(f"job-{effect.job.number} {effect.attempt}")
            elif isinstance(effect, Halt):
                self.asked_to_end.append(f"job-{effect.number}")

    def settle(self) -> None:
        until = time.monotonic() + LIMIT
        while not self.engine.is_settled:
            assert time.monotonic() < until, "the engine does not come to rest"
            time.sleep(0)

    # -- the model's rules ------------------------------------------------------------------------

    def claim(self) -> None:
        self.settle()
        waiting = sorted(
            (id for id, job in self.model.items() if job.state == "waiting"),
            key=lambda id: (-self.model[id].priority, number(id)),
        )
        busy = {self.model[id].worker for id in self.running()}
        free = self.present - self.suspended - busy
        for id in waiting[: 0 if self.queue.paused else len(free)]:
            job = self.model[id]
            job.state = "running"
            job.attempt += 1
            job.begun = self.now - self.ahead
            live = self.engine.live(number(id))
            assert live is not None, id
            assert live.worker in free, id
            job.worker = live.worker
            free.discard(job.worker)

    def place(self, job: Known) -> None:
        job.state = "blocked" if job.after else "delayed" if job.run_at > self.now else "waiting"

    def end(self, id: str, state: str) -> None:
        self.model[id].state = state
        self.model[id].is_cancelled = False
        for other, job in self.model.items():
            if id in job.after and job.state == "blocked":
                if state != "succeeded" and not job.even_if:
                    self.end(other, "failed")
                else:
                    job.after -= {id}
                    if not job.after:
                        self.place(job)

    def fail(self, id: str, retryable: bool) -> None:
        job = self.model[id]
        if job.is_cancelled:
            self.end(id, "cancelled")
        elif not retryable or job.attempt >= ATTEMPTS:
            self.end(id, "failed")
        else:
            job.run_at = self.now + 10.0
            self.place(job)

    def holder(self, key: str) -> str | None:
        held = [id for id in self.unfinished() if key and self.model[id].key == key]
        held += [id for id, job in self.model.items() if key and job.key == key and job.window_at > self.now]
        return held[0] if held else None

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
        window=st.sampled_from([0.0, WINDOW]),
        after=st.lists(ids, max_size=2),
        even_if=st.booleans(),
    )
    def add(self, priority, delay, key, window, after, even_if):
        after = [id for id in after if id]
        window = window if key else 0.0
        answers: list[Accepted | JobsRefusedError] = []
        spec = spec_of(
            work, 1, priority=priority, delay=delay, key=key, window=window, after=tuple(after), even_if=even_if
        )
        self.engine.add([spec], answers.append)
        self.settle()
        (answer,) = answers
        held = self.holder(key)
        full = len(self.unfinished()) >= SPEC.capacity or self.queue.draining
        states = [self.model[id].state if id in self.model else "gone" for id in after]
        broken = "gone" in states or (not even_if and {"failed", "cancelled"} & set(states))
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
        job = self.model[id] = Known(
            "waiting", priority, self.now + delay, key=key, window_at=self.now + window if window else 0.0, after=waits,
            even_if=even_if,
        )  # fmt: skip
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
        else:
            self.engine.failed(number(id), job.attempt, "no", outcome == "again")
            self.fail(id, outcome == "again")
        self.claim()

    @rule(id=ids)
    def end_of_a_try_that_is_no_more(self, id):
        if id in self.model:
            self.engine.finished(number(id), self.model[id].attempt + 1, "1")
            self.engine.failed(number(id), 0, "late", True)

    @rule(id=ids, hears=st.booleans())
    def cancel(self, id, hears):
        job = self.model.get(id)
        if job is None:
            return
        cancelled = self.engine.cancel([number(id)], "enough")
        assert bool(cancelled) == (job.state not in ENDS and not job.is_cancelled)
        if job.state == "running":
            job.is_cancelled = True
            if hears:
                self.engine.failed(number(id), job.attempt, "it heard of it", True)
                self.fail(id, True)
        elif cancelled:
            self.end(id, "cancelled")
        self.claim()

    @rule(id=ids)
    def promote(self, id):
        job = self.model.get(id)
        if job is not None:
            assert bool(self.engine.promote([number(id)])) == (job.state == "delayed")
            if job.state == "delayed":
                job.run_at = self.now
                self.place(job)
                self.claim()

    @rule(id=consumes(ids))
    def retry(self, id):
        job = self.model.get(id)
        if job is None:
            return
        self.settle()
        is_held = job.key and any(self.model[other].key == job.key for other in self.unfinished())
        revived = self.engine.retry([number(id)])
        assert bool(revived) == (job.state in {"failed", "cancelled"} and not is_held)
        if revived:
            self.ends.remove(id)
            job.attempt, job.run_at, job.after = 0, self.now, frozenset()
            self.place(job)
            self.claim()

    @rule(id=ids)
    def delete(self, id):
        if id in self.model:
            self.settle()
            is_gone = self.model[id].state in ENDS
            assert self.engine.delete([number(id)]) == [number(id)] * is_gone
            if is_gone:
                del self.model[id]
                self.ends.remove(id)

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.look_at_the_clock()

    @rule(by=st.sampled_from([-500.0, 500.0]))
    def the_clock_is_set(self, by):
        if by < 0 and any(job.window_at for job in self.model.values()):
            return  # a window that has closed does not open again, but with the next runtime
        self.now += by
        self.ahead += by
        for job in self.model.values():
            if by < 0 and job.state == "delayed" and job.attempt:
                job.run_at += by
        self.look_at_the_clock()

    def look_at_the_clock(self):
        self.settle()
        self.asked_to_end.clear()
        self.engine.pass_time()
        self.settle()
        for id in self.asked_to_end:
            assert self.model[id].state == "running"
            assert self.now - self.ahead - self.model[id].begun >= TIMEOUT, f"{id} was not late"
        for job in self.model.values():
            if job.state == "delayed" and job.run_at <= self.now:
                job.state = "waiting"
        self.claim()

    @rule(paused=st.booleans(), draining=st.booleans())
    def hold(self, paused, draining):
        self.queue = QueueState(paused=paused, draining=draining)
        self.engine.set_queue(SPEC, self.queue)
        self.claim()

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_ends_with_what_it_has_or_comes_back(self, worker):
        if worker in self.present:
            self.present.discard(worker)
            self.suspended.discard(worker)
            self.engine.worker_lost("default", worker, "its lease ended")
            for id in self.running():
                if self.model[id].worker == worker:
                    self.fail(id, True)
        else:
            self.present.add(worker)
            self.engine.worker_free("default", worker, 1)
        self.claim()

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_is_suspended_or_resumed(self, worker):
        if worker in self.present:
            self.suspended ^= {worker}
            self.engine.worker_suspended("default", worker, worker in self.suspended)
            self.claim()

    @rule()
    def begin_anew(self):
        """The runtime ends while jobs run, and another begins."""
        self.settle()
        self.engine.close()
        self.begun.clear()
        ran = self.running()
        for id in ran:
            job = self.model[id]
            job.attempt -= 1
            job.repeats += 1
            job.state = "waiting"
        for id in ran:
            job = self.model[id]
            if job.is_cancelled or job.repeats > SPEC.repeats:
                self.end(id, "cancelled" if job.is_cancelled else "failed")
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
            waits = {f"job-{n}" for n in job.after} if known.state == "blocked" else set()
            told = (job.state, job.attempt, job.repeats, waits)
            after = set(known.after) if known.state == "blocked" else set()
            assert told == (known.state, known.attempt, known.repeats, after), id
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
