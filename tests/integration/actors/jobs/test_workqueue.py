"""The queue with real workers: jobs are done, retried when a worker dies, refused when there is no room."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading

import pytest
from support.working import Stage

from actors import Actor, on
from actors.events import JobsRecovered, RunFinished
from actors.exits import KILLED, SHUTDOWN
from actors.jobs import index
from actors.jobs.kinds import HashFile, IndexFiles
from actors.jobs.protocol import (
    DropJobs,
    ForgetFiles,
    GetStatus,
    ListJobs,
    Pause,
    QueueStatus,
    QueueView,
    Resume,
    RetryJobs,
    Status,
    Submit,
    Task,
    TaskComplete,
    TaskError,
)
from actors.jobs.work import TaskWorker
from actors.jobs.workqueue import WorkQueue

QUEUE = "/work/queue"


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


def files(tmp_path, count):
    for number in range(count):
        (tmp_path / f"f{number}").write_text("line\n" * number)
    return tuple(str(tmp_path / f"f{number}") for number in range(count))


def view(queue) -> QueueView:
    return queue.ask(QueueStatus(), timeout=10)


def test_jobs_are_done_and_their_findings_are_in_the_index(stage, tmp_path):
    paths = files(tmp_path, 6)
    stage.start("/work/task#1", TaskWorker)
    stage.start("/work/task#2", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))

    answer = queue.ask(Submit((IndexFiles(paths[:3]), IndexFiles(paths[3:])), "loop-x"), timeout=10)

    assert len(answer.accepted) == 2
    first = stage.event(RunFinished, run=f"{answer.accepted[0]} index 3 files for loop-x")
    assert (first.outcome, first.detail) == ("succeeded", "3 files, 15 bytes")
    stage.wait(lambda: view(queue).completed == 2 or None, "both jobs")
    stage.stop(QUEUE)
    records, damaged = index.load(tmp_path / "home" / "index.jsonl")
    assert sorted(records) == sorted(paths)
    assert damaged == 0
    assert records[paths[5]].lines == 5


def test_the_index_is_taken_up_again_and_forgets_what_it_is_told(stage, tmp_path):
    paths = files(tmp_path, 3)
    stage.start("/work/task#1", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    queue.ask(Submit((IndexFiles(paths),)), timeout=10)
    stage.wait(lambda: view(queue).completed or None, "the job")
    stage.stop(QUEUE)

    again = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), generation=2)

    assert view(again).indexed == 3
    assert again.ask(ForgetFiles((paths[0], "/never/seen")), timeout=10) == 1
    assert view(again).indexed == 2


def test_jobs_wait_for_a_worker_and_go_to_one_that_comes_later(stage, tmp_path):
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    queue.ask(Submit((IndexFiles(files(tmp_path, 1)),)), timeout=10)
    assert view(queue).waiting == 1

    stage.start("/work/task#1", TaskWorker)

    assert stage.event(RunFinished, outcome="succeeded").path == "/work/task#1"


def test_a_worker_is_used_as_soon_as_its_start_is_told(stage, tmp_path):
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))

    stage.start("/work/task#1", TaskWorker)

    assert stage.wait(lambda: view(queue).idle or None, "an idle worker") == ("/work/task#1",)


class Doomed(Actor):
    """A worker that ends itself, as a crashing process would, when it gets a task."""

    @on(GetStatus)
    def status(self, _: GetStatus) -> Status:
        return Status(0, 1, "idle", "", 0, 0, 0, 0.0)

    @on(Task)
    def do_task(self, task: Task) -> TaskComplete | TaskError:
        raise MemoryError(f"{task.task_id} is too much")


def test_a_job_that_kills_its_workers_is_failed_after_its_last_try(stage, tmp_path):
    for number in (1, 2, 3):
        stage.start(f"/work/task#{number}", Doomed)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=2)

    queue.ask(Submit((HashFile("/poison"),)), timeout=10)

    event = stage.event(RunFinished, outcome="failed")
    assert "ended: MemoryError: job-1 is too much (try 2)" in event.detail
    now = view(queue)
    assert (now.failed, now.retried, now.waiting, now.busy) == (1, 1, 0, {})


class Odd(Doomed):
    """Answers with something that no worker says."""

    def on_receive(self, message):
        return self.status(message) if isinstance(message, GetStatus) else "done"


def test_an_odd_answer_is_a_failed_try(stage, tmp_path):
    stage.start("/work/task#1", Odd)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=1)

    queue.ask(Submit((HashFile("/x"),)), timeout=10)

    assert stage.event(RunFinished).detail == "/work/task#1 answered with a str (try 1)"


def test_a_job_whose_worker_is_killed_is_done_by_another(stage, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 400_000)
    stage.start("/work/task#1", TaskWorker, chunk_bytes=1)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    queue.ask(Submit((HashFile(str(large)),)), timeout=10)
    stage.wait(lambda: view(queue).busy.get("/work/task#1"), "the job at work")
    stage.start("/work/task#2", TaskWorker)

    stage.stop("/work/task#1", KILLED)

    event = stage.event(RunFinished, outcome="succeeded")
    assert event.path == "/work/task#2"
    assert view(queue).retried == 1


def test_jobs_beyond_the_capacity_are_refused_and_told(stage, tmp_path):
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), capacity=2)

    answer = queue.ask(Submit(tuple(HashFile(f"/f{n}") for n in range(5))), timeout=10)

    assert (len(answer.accepted), answer.refused) == (2, 3)
    assert answer.why == "the queue holds 2 waiting jobs at most"
    assert len(stage.found(RunFinished, outcome="skipped", detail="the queue is full")) == 3
    assert view(queue).refused == 3


def test_an_idle_worker_that_ended_costs_no_try(stage, tmp_path):
    stage.start("/work/task#1", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=1)
    stage.wait(lambda: view(queue).idle or None, "an idle worker")

    stage.stop("/work/task#1")
    answer = queue.ask(Submit((IndexFiles(files(tmp_path, 1)),)), timeout=10)
    stage.start("/work/task#1", TaskWorker, generation=2)

    assert answer.accepted
    assert stage.event(RunFinished).outcome == "succeeded"


def test_a_paused_worker_costs_a_job_no_try_and_does_it_once_resumed(stage, tmp_path):
    worker = stage.start("/work/task#1", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=1)
    stage.wait(lambda: view(queue).idle or None, "an idle worker")
    worker.ask(Pause(), timeout=10)

    queue.ask(Submit((IndexFiles(files(tmp_path, 1)),)), timeout=10)
    stage.wait(lambda: (not view(queue).busy and view(queue).waiting == 1) or None, "the refusal")
    worker.ask(Resume(), timeout=10)

    assert stage.event(RunFinished).outcome == "succeeded"


def test_a_hanging_worker_holds_up_no_other_job(stage, tmp_path):
    gate = threading.Event()

    class Hanging(Doomed):
        @on(Task)
        def do_task(self, task: Task) -> TaskComplete | TaskError:
            gate.wait(30)
            return TaskError(task.task_id, 0.0, "woke up", retryable=False)

    stage.start("/work/task#1", Hanging)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    stage.wait(lambda: view(queue).idle or None, "an idle worker")
    queue.ask(Submit((HashFile("/hangs"),)), timeout=10)
    stage.start("/work/task#2", TaskWorker)
    try:
        queue.ask(Submit((IndexFiles(files(tmp_path, 2)),)), timeout=10)
        assert stage.event(RunFinished, outcome="succeeded").path == "/work/task#2"
    finally:
        gate.set()
    assert stage.event(RunFinished, outcome="failed").detail == "woke up (try 1)"


@pytest.mark.parametrize("ended_by", [SHUTDOWN, KILLED], ids=str)
def test_jobs_that_an_end_leaves_undone_are_done_by_the_next_queue(stage, tmp_path, ended_by):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 400_000)
    (waiting,) = files(tmp_path, 1)
    stage.start("/work/task#1", TaskWorker, chunk_bytes=1)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=1)
    queue.ask(Submit((HashFile(str(large)), HashFile(waiting)), "loop-x"), timeout=10)
    stage.wait(lambda: view(queue).busy or None, "the job at work")

    stage.stop(QUEUE, ended_by)
    stage.start("/work/task#2", TaskWorker)
    again = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), generation=2)

    stage.wait(lambda: view(again).completed == 2 or None, "both jobs")
    done = [event.run for event in stage.found(RunFinished, outcome="succeeded")]
    assert sorted(done) == [f"job-1 hash {large} for loop-x", f"job-2 hash {waiting} for loop-x"]
    assert stage.event(JobsRecovered).waiting + stage.event(JobsRecovered).repeated == 2


def test_finished_jobs_are_not_done_again(stage, tmp_path):
    stage.start("/work/task#1", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    queue.ask(Submit((IndexFiles(files(tmp_path, 1)),)), timeout=10)
    stage.wait(lambda: view(queue).completed or None, "the job")
    stage.stop(QUEUE)

    again = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), generation=2)

    assert again.ask(ListJobs(), timeout=10) == ()
    assert stage.found(JobsRecovered) == []


def test_a_job_that_waits_or_runs_is_not_queued_a_second_time(stage, tmp_path):
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), capacity=2)

    first = queue.ask(Submit((HashFile("/a"), HashFile("/b"), HashFile("/a"))), timeout=10)
    second = queue.ask(Submit((HashFile("/b"), HashFile("/c"))), timeout=10)

    assert first.accepted == ("job-1", "job-2", "job-1")
    assert (second.accepted, second.refused) == (("job-2",), 1)
    assert view(queue).waiting == 2


def test_a_job_failed_for_good_is_a_dead_letter_that_can_be_tried_again_or_dropped(stage, tmp_path):
    (later,) = files(tmp_path, 1)
    os.unlink(later)
    stage.start("/work/task#1", TaskWorker)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"), attempts=2)
    queue.ask(Submit((HashFile(later), HashFile("/never/there")), "loop-x"), timeout=10)
    stage.wait(lambda: view(queue).failed == 2 or None, "both failures")

    first, second = queue.ask(ListJobs("failed"), timeout=10)
    assert (first.id, first.state, first.attempt, first.source) == ("job-1", "failed", 2, "loop-x")
    assert "FileNotFoundError" in first.why or "No such file" in first.why
    (tmp_path / "f0").write_text("now")
    assert queue.ask(RetryJobs(("job-1", "job-99")), timeout=10) == ("job-1",)
    stage.wait(lambda: view(queue).completed == 1 or None, "the second life")
    assert queue.ask(DropJobs(), timeout=10) == (second.id,)
    assert queue.ask(ListJobs("failed"), timeout=10) == ()


def test_jobs_are_listed_with_their_worker(stage, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 400_000)
    stage.start("/work/task#1", TaskWorker, chunk_bytes=1)
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    queue.ask(Submit((HashFile(str(large)), HashFile("/waits"))), timeout=10)
    stage.wait(lambda: view(queue).busy or None, "the job at work")

    running, waiting = queue.ask(ListJobs(), timeout=10)

    assert (running.state, running.worker, running.attempt) == ("running", "/work/task#1", 1)
    assert (waiting.state, waiting.worker, waiting.job) == ("waiting", "", "hash /waits")
    assert queue.ask(ListJobs("waiting", limit=5), timeout=10) == (waiting,)


def test_jobs_that_cannot_be_written_are_refused_with_the_reason(stage, tmp_path):
    queue = stage.start(QUEUE, WorkQueue, home=str(tmp_path / "home"))
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # another program holds the file for longer than the store waits

        answer = queue.ask(Submit((HashFile("/a"),)), timeout=10)

        assert (answer.accepted, answer.refused) == ((), 1)
        assert "database is locked" in answer.why
        other.execute("ROLLBACK")
    assert queue.ask(Submit((HashFile("/a"),)), timeout=10).refused == 0


def test_an_index_that_cannot_be_read_fails_the_start(stage, tmp_path):
    (tmp_path / "home" / "index.jsonl").mkdir(parents=True)

    assert "IsADirectoryError" in stage.failed(QUEUE, WorkQueue, home=str(tmp_path / "home")).crash.type_name
