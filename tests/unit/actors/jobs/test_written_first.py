"""What waits for the disk: a job of a queue that is not relaxed is accepted, begun and ended once that is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.jobs.engine import Engine
from actors.jobs.handlers import job as handler
from actors.jobs.handlers import spec_of
from actors.jobs.jobtable import MemoryTable
from actors.jobs.records import Begin, Ended
from actors.jobs.specs import QueueSpec
from actors.jobs.tables import Changes


@handler("written.work")
def work(_: int) -> None:
    """Never called."""


class SlowTable(MemoryTable):
    """A table whose commits are under way until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        self.waiting.append(lambda: super(SlowTable, self).submit(take, done))

    def let_go(self) -> None:
        """Have what is under way written, and what follows from it."""
        while self.waiting:
            self.waiting.pop(0)()


class Bench:
    """An engine with a durable queue `kept` and a relaxed one `quick`, with two workers each."""

    def __init__(self) -> None:
        self.table = SlowTable()
        self.effects: list[object] = []
        self.answered: list[object] = []
        self.engine = Engine(
            self.table, now=lambda: 1_000.0, steady=lambda: 0.0, perform=self.effects.extend, alarm=lambda _: None
        )
        self.engine.open([QueueSpec(name="kept"), QueueSpec(name="quick", relaxed=True)])
        for queue in ("kept", "quick"):
            self.engine.worker_free(queue, f"/w/{queue}", 2)
        self.table.let_go()

    def add(self, queue: str) -> None:
        self.engine.add([spec_of(work, 1, queue=queue)], self.answered.append)

    def seen(self, kind: type) -> list[str]:
        return [effect.job.queue for effect in self.effects if isinstance(effect, kind)]  # type: ignore[attr-defined]


@pytest.fixture
def bench():
    return Bench()


def test_a_job_is_accepted_and_begun_once_it_is_written(bench):
    bench.add("kept")
    assert (bench.answered, bench.effects) == ([], [])

    bench.table.let_go()

    assert len(bench.answered) == 1
    assert bench.seen(Begin) == ["kept"]


def test_a_relaxed_queue_waits_for_nothing_and_takes_no_other_along(bench):
    bench.add("kept")
    bench.add("quick")

    assert len(bench.answered) == 1
    assert bench.seen(Begin) == ["quick"]
    bench.table.let_go()
    assert sorted(bench.seen(Begin)) == ["kept", "quick"]


def test_an_end_is_told_once_it_is_written_and_that_of_a_relaxed_queue_at_once(bench):
    bench.add("kept")
    bench.add("quick")
    bench.table.let_go()

    bench.engine.finished(1, 1, "1")
    bench.engine.finished(2, 1, "2")

    assert bench.seen(Ended) == ["quick"]
    bench.table.let_go()
    assert sorted(bench.seen(Ended)) == ["kept", "quick"]
