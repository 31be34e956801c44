"""Queues that are drained, and jobs that are due by a clock that is set: who comes when, and who is woken."""

from __future__ import annotations

import heapq
import math

import pytest

from actors.jobs.engine import Engine
from actors.jobs.handlers import job as handler
from actors.jobs.handlers import spec_of
from actors.jobs.jobtable import MemoryTable, QueueState
from actors.jobs.records import Begin
from actors.jobs.specs import QueueSpec

QUEUE = QueueSpec(name="default", handlers=())
OPEN, DRAINED = QueueState(), QueueState(draining=True)


@handler("draining.work")
def work(_: int) -> None:
    """Never called."""


class Bench:
    """An engine with one worker, whose alarms alone make time pass for it."""

    def __init__(self, table: MemoryTable | None = None, state: QueueState | None = None) -> None:
        self.wall, self.steady = 1_000.0, 0.0
        self.alarms: list[float] = []
        self.effects: list[object] = []
        self.table = table or MemoryTable()
        self.engine = Engine(
            self.table, now=lambda: self.wall, steady=lambda: self.steady, perform=self.effects.extend,
            alarm=lambda at: heapq.heappush(self.alarms, self.steady + max(0.0, at - self.wall)),
        )  # fmt: skip
        if state is not None:
            self.table.set_queue("default", state)
        self.engine.open([QUEUE])
        self.engine.worker_free("default", "/w", 1)

    def add(self, **options: object) -> int:
        answers: list[object] = []
        self.engine.add([spec_of(work, 1, **options)], answers.append)
        return int(answers[0].ids[0].removeprefix("job-"))  # type: ignore[attr-defined]

    def drain(self, state: QueueState = DRAINED) -> None:
        self.engine.set_queue(QUEUE, state)

    def advance(self, seconds: float) -> None:
        """Let time pass; the engine is called at the instants it asked for, and at no other."""
        end = self.steady + seconds
        while self.alarms and self.alarms[0] <= end:
            at = max(heapq.heappop(self.alarms), self.steady)
            self.wall, self.steady = self.wall + at - self.steady, at
            self.engine.pass_time()
        self.wall, self.steady = self.wall + end - self.steady, end

    @property
    def begun(self) -> list[int]:
        return [effect.job.number for effect in self.effects if isinstance(effect, Begin)]

    def state(self, number: int) -> str:
        return self.engine.ledger.jobs[number].state


def test_a_recurring_job_does_not_come_again_while_its_queue_is_drained_and_goes_on_when_it_is_resumed():
    bench = Bench()
    first = bench.add(every=60.0)
    bench.drain()
    bench.engine.finished(first, 1, "1")

    bench.advance(200.0)
    assert bench.begun == [first]
    assert bench.state(first + 1) == "delayed"
    assert "is being drained" in bench.engine.why(first + 1)
    bench.drain(OPEN)
    bench.advance(0.0)

    assert bench.begun == [first, first + 1]
    bench.engine.finished(first + 1, 1, "1")
    assert bench.engine.ledger.jobs[first + 2].note.startswith("2 slots before it passed")


def test_what_was_there_as_the_drain_began_is_done_also_a_retry_of_a_recurring_job():
    bench = Bench()
    recurring = bench.add(every=60.0)
    plain, delayed = bench.add(), bench.add(delay=100.0)
    bench.drain()

    bench.engine.failed(recurring, 1, "no luck", True)
    bench.engine.finished(plain, 1, "1")
    bench.advance(10.0)
    assert bench.begun == [recurring, plain, recurring]
    bench.engine.finished(recurring, 2, "1")
    bench.advance(100.0)

    assert bench.begun[-1] == delayed
    assert bench.state(delayed + 1) == "delayed"


def test_a_recurring_job_that_is_held_is_held_by_the_next_engine_and_runs_where_a_person_wants_it():
    bench = Bench()
    first = bench.add(every=60.0)
    bench.drain()
    bench.engine.finished(first, 1, "1")
    table, wall = bench.table, bench.wall

    later = Bench(table, DRAINED)
    later.wall = wall + 3_600.0
    later.advance(3_600.0)
    assert later.begun == []
    assert later.engine.promote([first + 1]) == [first + 1]

    assert later.begun == [first + 1]


def test_a_job_that_is_delayed_is_woken_though_the_clock_was_set_just_before():
    bench = Bench()
    bench.wall += 5_000.0

    number = bench.add(delay=5.0)
    bench.advance(5.0)

    assert bench.begun == [number]


@pytest.mark.parametrize("by", [-3_600.0, -90.0])
def test_a_clock_set_back_makes_no_delay_longer(by):
    bench = Bench()
    delayed = bench.add(delay=60.0)
    dated = bench.add(run_at=bench.wall + 60.0)
    bench.wall += by
    bench.engine.pass_time()

    bench.advance(60.0)
    assert bench.begun == [delayed]
    bench.engine.finished(delayed, 1, "1")
    bench.advance(-by)

    assert bench.begun == [delayed, dated]
    assert not math.isinf(bench.engine.ledger.jobs[dated].run_at)
