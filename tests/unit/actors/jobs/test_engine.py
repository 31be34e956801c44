"""The engine over a store that fails: nothing begins that is not written, and nothing that ended is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.jobs import viewing
from actors.jobs.accepting import Accepted, JobsRefusedError
from actors.jobs.engine import Engine
from actors.jobs.handlers import job as handler
from actors.jobs.handlers import spec_of
from actors.jobs.jobtable import FileTable, JobTable, MemoryTable, QueueState
from actors.jobs.records import Again, Begin, Ended, Halt, Stop
from actors.jobs.selecting import Selection
from actors.jobs.specs import QueueSpec
from actors.jobs.tables import Changes
from actors.jobs.viewing import end_of
from actors.policies.backoff import Backoff
from actors.policies.ratelimit import RateLimit
from actors.state.file import StateError


@handler("engine.work")
def work(_: int) -> None:
    """Never called."""


class FullTable(FileTable):
    """A file whose disk is full while `fails` says so."""

    fails: str | None = None

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        if self.fails is None:
            super().submit(take, done)
            return
        take()
        done(StateError(Path("state.db"), self.fails))

    def settle(self) -> None:
        """Wait until what was submitted is written."""
        self.select(Selection())


@handler("engine.text")
def text(_: str) -> None:
    """Never called."""


class Bench:
    """An engine over memory, with a clock moved by hand, and what it wanted done."""

    def __init__(self, table: JobTable | None = None, **rules: object) -> None:
        self.now = 1_000.0
        self.ahead = 0.0
        self.effects: list[object] = []
        self.table: Any = table if table is not None else MemoryTable()
        self.engine = Engine(
            self.table, now=lambda: self.now, steady=lambda: self.now - self.ahead,
            perform=self.effects.extend, alarm=lambda _: None
        )  # fmt: skip
        self.engine.open([QueueSpec(name="default", backoff=Backoff(first=1.0, jitter=0.0), **rules)])  # type: ignore[arg-type]

    def add(self, count: int = 1, **options: object) -> list[int]:
        answers: list[Accepted | JobsRefusedError] = []
        self.engine.add([spec_of(work, 1, **options) for _ in range(count)], answers.append)
        if isinstance(self.table, FullTable):
            self.table.settle()
        (answer,) = answers
        if isinstance(answer, JobsRefusedError):
            raise answer
        return [int(id.removeprefix("job-")) for id in answer.ids]

    def clock_set(self, by: float) -> None:
        """Set the wall clock, while real time stands still."""
        self.now += by
        self.ahead += by

    def workers(self, count: int) -> None:
        for number in range(count):
            self.engine.worker_free("default", f"/w/{number}", 1)

    def begun(self) -> list[int]:
        return [effect.job.number for effect in self.effects if isinstance(effect, Begin)]

    def states(self) -> dict[int, str]:
        return {job.number: job.state for job in self.table.select(Selection())}


class SlowTable(MemoryTable):
    """Memory in which nothing is written yet."""

    def submit(self, take: Callable[[], Changes], done: Callable[[BaseException | None], None]) -> None:
        """Leave it for later."""


def test_who_asks_for_the_end_of_a_relaxed_job_that_is_not_on_disk_yet_is_told_of_it():
    bench = Bench(table=SlowTable(), relaxed=True)
    bench.workers(1)
    (number,) = bench.add()
    bench.engine.finished(number, 1, "7")
    told: list[Any] = []

    assert bench.engine.watch(number, told.append)

    assert [job.result for job in told] == ["7"]


def test_an_end_that_could_not_be_written_is_written_in_whole_with_the_next_commit(tmp_path):
    bench = Bench(table=FullTable(tmp_path / "state.db"))
    bench.workers(1)
    (number,) = bench.add()
    bench.engine.failed(number, 1, "the line was busy", True)
    bench.now += 1.0
    bench.engine.pass_time()
    bench.table.settle()
    bench.table.fails = "no space left"

    bench.engine.finished(number, 2, "7")
    bench.table.settle()
    assert bench.engine.trouble
    bench.table.fails = None
    bench.engine.pass_time()
    bench.table.settle()

    (found,) = bench.table.select(Selection())
    assert (found.state, found.attempt, found.result, found.why) == ("succeeded", 2, "7", "")
    bench.engine.close()


def test_on_a_full_disk_new_jobs_are_refused_nothing_begins_and_what_ended_is_written_later():
    bench = Bench()
    bench.workers(1)
    first, second = bench.add(2)
    bench.table.fails = "no space left"

    bench.engine.finished(first, 1, "1")
    with pytest.raises(JobsRefusedError, match="no space left"):
        bench.add()
    assert bench.begun() == [first]
    assert bench.states() == {first: "running", second: "waiting"}
    bench.table.fails = None
    bench.engine.pass_time()

    assert bench.begun() == [first, second]
    assert bench.states() == {first: "succeeded", second: "running"}
    assert [effect.job.number for effect in bench.effects if isinstance(effect, Ended)] == [first]
    assert bench.add() == [second + 1]


def test_a_rate_bounds_what_begins_and_time_brings_more():
    bench = Bench(rate=RateLimit(2, 1.0))
    bench.workers(5)
    ids = bench.add(5)

    assert bench.begun() == ids[:2]
    assert bench.engine.ledger.alarm == pytest.approx(1_000.5)
    bench.now += 0.5
    bench.engine.pass_time()
    assert bench.begun() == ids[:3]
    bench.now -= 3_600.0
    bench.engine.pass_time()
    assert bench.begun() == ids[:3]


def test_a_job_over_its_time_is_asked_to_end_then_its_worker_is_ended_and_its_try_has_failed():
    bench = Bench(timeout=10.0, grace=2.0, attempts=2)
    bench.workers(1)
    (id,) = bench.add()

    bench.now += 10.0
    bench.engine.pass_time()
    assert bench.effects[-1] == Halt(id, "/w/0", "not done within 10 s")
    bench.now += 2.0
    bench.engine.pass_time()
    assert isinstance(bench.effects[-1], Stop)
    bench.engine.worker_lost("default", "/w/0", "/w/0 was killed")

    again = bench.effects[-1]
    assert isinstance(again, Again)
    assert (again.attempt, again.why) == (1, "not done within 10 s: /w/0 was killed")


def test_an_end_tells_how_long_its_last_try_waited_for_a_worker_and_not_for_its_time_or_other_jobs():
    bench = Bench()
    (first,) = bench.add()
    (late,) = bench.add(delay=10.0)
    (then,) = bench.add(after=(f"job-{first}",))
    bench.now += 4.0

    bench.workers(1)
    bench.now += 20.0
    bench.engine.finished(first, 1, "1")
    bench.now += 3.0
    bench.engine.finished(then, 1, "1")
    bench.engine.pass_time()
    bench.engine.failed(late, 1, "no", True)  # due again a second later
    bench.now += 3.0
    bench.engine.pass_time()
    bench.engine.finished(late, 2, "1")
    _, waiting = bench.add(2)
    bench.engine.cancel([waiting], "by hand")

    ends = [end_of(effect.job, "/q") for effect in bench.effects if isinstance(effect, Ended)]
    assert [(end.outcome, end.waited) for end in ends] == [
        ("succeeded", 4.0),
        ("succeeded", 0.0),
        ("succeeded", 2.0),
        ("cancelled", None),
    ]
    assert {(end.queue, end.kind) for end in ends} == {("default", "engine.work")}


def test_a_recurring_job_keeps_its_slots_and_counts_those_that_passed():
    bench = Bench()
    bench.workers(1)
    (id,) = bench.add(every=10.0)
    bench.now += 35.0
    bench.engine.finished(id, 1, "1")

    following = bench.engine.live(id + 1)
    assert following is not None
    assert (following.run_at, following.note) == (1_040.0, f"3 slots before it passed while job-{id} was not done")


def test_old_jobs_are_forgotten_by_age_and_number_but_never_unfinished_ones():
    from actors.jobs.specs import Keep

    bench = Bench()
    bench.workers(1)
    done = bench.add(3)
    for id in done:
        bench.engine.finished(id, 1, "1")
    (open_one,) = bench.add()

    assert bench.table.expire("default", Keep(most=2), bench.now) == 1
    assert set(bench.states()) == {*done[1:], open_one}
    assert bench.table.expire("default", Keep(succeeded=5.0), bench.now + 6.0) == 2
    assert set(bench.states()) == {open_one}


def test_a_recurring_job_that_failed_and_is_sent_round_again_does_not_begin_a_second_chain():
    from support import job_handlers as handlers

    from actors.jobs.ledger import Ledger
    from actors.jobs.records import Job
    from actors.jobs.recovering import revive
    from actors.jobs.specs import QueueSpec

    ledger = Ledger()
    ledger.open_queue(QueueSpec(name="default"), 0.0)
    ledger.last = 1
    job = Job(1, "default", handlers.send.__job__, "null", attempts=1, every=10.0)
    ledger.add(job, 0.0)
    ledger.worker_free("default", "/w", 1, 0.0)
    ledger.failed(1, 1, "no", False, 35.0, 0.5)
    assert [(number, job.run_at, job.note[:7]) for number, job in ledger.jobs.items()] == [(2, 40.0, "3 slots")]

    assert revive(ledger, 1, job, 36.0)
    ledger.claim("default", 36.0)
    ledger.succeeded(1, 1, "null", 37.0)

    assert list(ledger.jobs) == [2]


def test_missed_slots_of_an_expression_are_merged_and_its_end_is_said():
    from actors.jobs.records import Job
    from actors.jobs.recurring import MISSED_MAX, following

    def each_ten(expression, zone, after):
        if after >= 1e6:
            raise ValueError("no further slot")
        return (after // 10 + 1) * 10

    job = Job(1, "default", "test.send", "null", cron="x", timezone="UTC", slot_at=0.0)

    assert (following(job, 2, 35.0, each_ten).run_at, following(job, 2, 35.0, each_ten).note[:7]) == (40.0, "3 slots")
    assert following(job, 2, 999_985.0, each_ten).run_at == 999_990.0
    assert following(job, 2, 999_985.0, each_ten).note.startswith(f"{MISSED_MAX} slots")
    with pytest.raises(ValueError, match="no further slot"):
        following(job, 2, 2e6, each_ten)


def test_of_what_came_after_a_job_the_highest_priority_goes_first():
    from actors.jobs.ledger import Ledger
    from actors.jobs.records import Job
    from actors.jobs.specs import QueueSpec

    ledger = Ledger()
    ledger.open_queue(QueueSpec(name="default"), 0.0)
    for number, priority in ((1, 0), (2, -1), (3, 5)):
        after = {1} if number > 1 else set()
        ledger.add(Job(number, "default", "test.send", "null", priority=priority, after=after), 0.0)
    ledger.worker_free("default", "/w", 1, 0.0)

    ledger.succeeded(1, 1, "null", 1.0)

    assert {number: job.state for number, job in ledger.jobs.items()} == {2: "waiting", 3: "running"}


def test_a_long_chain_of_jobs_fails_to_its_end_when_the_first_fails_and_takes_nothing_with_it():
    bench = Bench()
    answers: list[Accepted | JobsRefusedError] = []
    chain = [spec_of(work, 1), *(spec_of(work, 1, after=(f"+{number}",)) for number in range(5_000))]
    bench.engine.add([*chain, spec_of(work, 1, after=("+5000",), even_if=True)], answers.append)

    assert bench.engine.cancel([1], "enough") == [1]

    states = {job.number: job.state for job in bench.table.select(Selection(limit=10_000))}
    assert states == {1: "cancelled", **dict.fromkeys(range(2, 5_002), "failed"), 5_002: "waiting"}
    assert list(bench.engine.ledger.jobs) == [5_002]
    ends = [effect.job.number for effect in bench.effects if isinstance(effect, Ended)]
    assert ends == list(range(1, 5_002))


def test_a_job_after_many_is_written_when_it_may_run_and_not_each_time_one_of_them_ends():
    bench = Bench()
    bench.workers(3)
    first = bench.add(3)
    (then,) = bench.add(after=tuple(f"job-{number}" for number in first))
    written = bench.table.find([then])[0].after

    bench.engine.finished(first[0], 1, "1")
    bench.engine.finished(first[1], 1, "1")
    assert written == bench.table.find([then])[0].after == set(first)
    assert bench.engine.ledger.jobs[then].after == {first[2]}
    bench.engine.finished(first[2], 1, "1")

    assert bench.begun()[-1] == then
    assert bench.table.find([then])[0].after == set()


def test_a_clock_set_forward_ends_no_try_and_brings_no_rate():
    bench = Bench(rate=RateLimit(2, 60.0), timeout=10.0)
    bench.workers(3)
    bench.add(3)
    bench.clock_set(8 * 3_600.0)
    bench.engine.pass_time()
    assert bench.begun() == [1, 2]
    assert not [effect for effect in bench.effects if isinstance(effect, Halt)]

    bench.now += 10.0
    bench.engine.pass_time()

    assert [effect.number for effect in bench.effects if isinstance(effect, Halt)] == [1, 2]


def test_a_clock_set_back_lets_no_try_go_on_for_ever_and_makes_no_back_off_longer():
    bench = Bench(timeout=10.0, grace=5.0)
    bench.workers(3)
    runs, fails, cancelled = bench.add(3)
    bench.engine.failed(fails, 1, "once", True)
    bench.engine.cancel([cancelled], "enough")
    bench.clock_set(-2 * 3_600.0)

    bench.now += 1.0
    bench.engine.pass_time()
    assert bench.begun()[3:] == [fails]
    bench.now += 9.0
    bench.engine.pass_time()

    assert [effect.number for effect in bench.effects if isinstance(effect, Halt)] == [cancelled, runs]
    assert [effect.number for effect in bench.effects if isinstance(effect, Stop)] == [cancelled]


def test_a_recurring_job_comes_again_in_time_though_the_clock_was_set_back():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add(every=60.0)
    bench.engine.finished(first, 1, "1")
    bench.clock_set(-3_600.0)

    bench.now += 60.0
    bench.engine.pass_time()
    bench.engine.finished(first + 1, 1, "1")
    bench.now += 60.0
    bench.engine.pass_time()

    assert bench.begun() == [first, first + 1, first + 2]


def test_the_key_of_a_job_that_was_deleted_is_free_whatever_its_window():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add(key="k", window=3_600.0)
    bench.engine.finished(first, 1, "1")
    assert bench.add(key="k", window=3_600.0) == [first]

    assert bench.engine.delete([first]) == [first]

    assert bench.add(key="k", window=3_600.0) == [first + 1]


@pytest.mark.parametrize("after", ["+-1", "+1", "+ 0", "+", "+0x0", "+" + "9" * 5_000, "+\u0660"])
def test_a_place_in_the_call_that_is_none_is_refused(after):
    bench = Bench()
    answers: list[Accepted | JobsRefusedError] = []

    bench.engine.add([spec_of(work, 1), spec_of(work, 1, after=(after,))], answers.append)

    assert str(answers[0]).startswith("after: +")
    assert not bench.engine.ledger.jobs


def test_a_window_without_a_key_is_refused():
    with pytest.raises(JobsRefusedError, match="there is no key"):
        Bench().add(window=60.0)


def test_what_a_running_job_adds_is_taken_by_a_queue_that_is_being_drained():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add()
    bench.engine.set_queue(bench.engine.ledger.queues["default"].spec, QueueState(draining=True))
    with pytest.raises(JobsRefusedError, match="drained"):
        bench.add()

    bench.engine.finished(first, 1, "1", [spec_of(work, 2)])

    assert bench.states() == {first: "succeeded", first + 1: "running"}


def test_a_long_text_is_cut_where_that_is_asked_for_and_says_so():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add()
    bench.engine.finished(first, 1, '"' + "x" * 1_998 + '"')

    (cut,) = viewing.find(bench.engine, Selection(), True, 100)
    (whole,) = viewing.find(bench.engine, Selection(), True, 2_000)

    assert cut.result == '"' + "x" * 99 + "… (1,900 more characters)"
    assert (len(whole.result), whole.payload, cut.payload) == (2_000, "1", "1")


def test_a_job_whose_end_cannot_be_written_says_so():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add()
    bench.table.fails = "no space left"

    bench.engine.finished(first, 1, "1")

    assert viewing.why(bench.engine, f"job-{first}").startswith("it ended, and that is not written yet: nothing can")
    bench.table.fails = None
    bench.engine.pass_time()
    assert viewing.why(bench.engine, f"job-{first}") == "it succeeded at try 1 of 3"


def test_a_job_that_was_asked_to_end_as_the_runtime_was_killed_is_cancelled_and_not_done_again():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add()
    bench.engine.cancel([first], "enough")
    again = Engine(
        bench.table, now=lambda: bench.now, steady=lambda: bench.now - bench.ahead, perform=bench.effects.extend,
        alarm=lambda _: None,
    )  # fmt: skip

    again.open([QueueSpec(name="default")])
    again.worker_free("default", "/w/0", 1)

    assert bench.states() == {first: "cancelled"}
    assert bench.begun() == [first]


def test_what_was_due_is_due_for_the_next_runtime_though_the_clock_was_set_back():
    bench = Bench()
    bench.workers(1)
    runs, waits = bench.add(2)
    (delayed,) = bench.add(delay=60.0)
    bench.engine.close()
    bench.clock_set(-3_600.0)
    again = Engine(
        bench.table, now=lambda: bench.now, steady=lambda: bench.now - bench.ahead, perform=bench.effects.extend,
        alarm=lambda _: None,
    )  # fmt: skip

    again.open([QueueSpec(name="default")])

    assert {job.number: job.state for job in again.ledger.jobs.values()} == {
        runs: "waiting",
        waits: "waiting",
        delayed: "delayed",
    }


def test_who_no_longer_waits_for_a_job_is_not_told_of_its_end_and_costs_nothing():
    bench = Bench()
    bench.workers(1)
    (first,) = bench.add()
    told: list[str] = []

    def one(_: object) -> None:
        told.append("one")

    def other(_: object) -> None:
        told.append("other")

    assert bench.engine.watch(first, one)
    assert bench.engine.watch(first, other)
    bench.engine.unwatch(first, one)
    bench.engine.finished(first, 1, "1")

    assert told == ["other"]
    bench.engine.unwatch(first, other)
    assert not bench.engine.watch(first, one)


LARGE_END = "x" * 50_000


def full_but_for_small(**rules: object) -> Bench:
    """A bench whose store takes what is small."""
    bench = Bench(**rules)
    bench.workers(2)
    bench.table.room = 30_000
    return bench


def pass_seconds(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.now += 1.0
        bench.engine.pass_time()


def test_a_large_end_that_the_store_does_not_take_is_given_up_and_small_ones_go_on():
    bench = full_but_for_small()
    large, small = bench.add(2)
    (after,) = bench.add(after=(f"job-{large}",))
    (even_if,) = bench.add(after=(f"job-{large}",), even_if=True)
    told: list[object] = []
    assert bench.engine.watch(large, told.append)

    bench.engine.finished(large, 1, LARGE_END)
    bench.engine.finished(small, 1, "1")
    pass_seconds(bench, 4)  # there may be room soon
    assert bench.states() == {large: "running", small: "running", after: "blocked", even_if: "blocked"}
    assert "no room" in viewing.why(bench.engine, f"job-{large}")
    assert told == []
    pass_seconds(bench, 1)

    assert bench.states() == {large: "failed", small: "succeeded", after: "failed", even_if: "running"}
    (job,) = bench.table.find([large])
    assert "50,000 characters, for which there was no room" in job.why
    assert job.result is None
    assert bench.begun() == [large, small, even_if]
    assert sorted(effect.job.number for effect in bench.effects if isinstance(effect, Ended)) == [large, small, after]
    assert [end_of(effect.job, "/").outcome for effect in bench.effects if isinstance(effect, Ended)].count(
        "failed"
    ) == 2
    assert len(told) == 1
    assert bench.engine.trouble == ""

    bench.engine.finished(even_if, 1, LARGE_END)  # from here on none holds up others
    assert bench.states()[even_if] == "failed"
    bench.table.room = None
    assert bench.engine.retry([large]) == [large]
    bench.engine.finished(large, 1, LARGE_END)
    assert bench.states()[large] == "succeeded"


def test_the_jobs_that_a_large_end_adds_are_not_there_when_it_is_given_up():
    bench = full_but_for_small()
    (parent,) = bench.add()

    children = [spec_of(work, 2), spec_of(work, 3, after=("+0",))]
    bench.engine.finished(parent, 1, LARGE_END, children)
    pass_seconds(bench, 5)

    assert bench.states() == {parent: "failed"}
    assert bench.begun() == [parent]
    assert bench.engine.ledger.jobs == {}
    assert sorted(bench.add(2)) == [parent + 3, parent + 4]
    assert bench.begun() == [parent, parent + 3, parent + 4]  # both workers are free


def test_no_end_is_given_up_while_nothing_at_all_can_be_written():
    bench = full_but_for_small()
    (large,) = bench.add()
    bench.table.fails = "no space left"

    bench.engine.finished(large, 1, LARGE_END)
    pass_seconds(bench, 100)
    bench.table.room = bench.table.fails = None
    pass_seconds(bench, 1)

    assert bench.states() == {large: "succeeded"}


def test_a_job_too_large_for_the_store_is_refused_by_itself():
    bench = full_but_for_small()
    (small,) = bench.add()

    refused: list[Accepted | JobsRefusedError] = []
    bench.engine.add([spec_of(text, LARGE_END)], refused.append)

    assert "no room" in str(refused[0])
    assert bench.engine.trouble == ""
    bench.engine.finished(small, 1, "1")
    assert bench.states() == {small: "succeeded"}
    assert len(bench.add()) == 1


def test_a_large_end_of_a_relaxed_queue_loses_its_result_alone_since_it_was_told_of():
    bench = full_but_for_small(relaxed=True)
    (large,) = bench.add()

    bench.engine.finished(large, 1, LARGE_END)
    pass_seconds(bench, 5)

    (job,) = bench.table.find([large])
    assert (job.state, job.result) == ("succeeded", None)
    assert "no room" in job.why
