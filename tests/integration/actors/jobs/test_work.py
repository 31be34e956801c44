"""A worker on its own: tasks, pause, reload, shutdown, time limits."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest
from support.working import Stage

from actors.exits import KILLED, ExitKind
from actors.jobs.kinds import HashFile, IndexFiles
from actors.jobs.protocol import (
    GetStatus,
    Pause,
    Reload,
    Resume,
    Shutdown,
    Task,
    TaskComplete,
    TaskError,
)
from actors.jobs.work import TaskWorker

PATH = "/work/task#1"


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture
def large(tmp_path):
    """A file that takes some hundred thousand steps to read in chunks of one byte."""
    path = tmp_path / "large"
    path.write_bytes(b"x" * 400_000)
    return path


def task(job, *, name="t1", timeout=60.0):
    return Task(name, 1, job, timeout)


def slow(stage, large):
    """Start a worker that is busy for a while, and return it with the future of its answer."""
    worker = stage.start(PATH, TaskWorker, chunk_bytes=1)
    answer = worker.ask(task(HashFile(str(large))), block=False)
    stage.wait(lambda: worker.ask(GetStatus(), timeout=10).task_id == "t1" or None, "the task to begin")
    return worker, answer


def test_a_file_is_hashed(stage, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\n")
    worker = stage.start(PATH, TaskWorker, index=4)

    answer = worker.ask(task(HashFile(str(path))), timeout=10)

    assert isinstance(answer, TaskComplete)
    (record,) = answer.result.files
    assert (record.sha256, record.lines, record.kind) == (hashlib.sha256(b"one\ntwo\n").hexdigest(), 2, "text")
    status = worker.ask(GetStatus(), timeout=10)
    assert (status.index, status.pid, status.state, status.completed) == (4, os.getpid(), "idle", 1)


def test_a_file_that_cannot_be_read_is_a_task_error_and_the_worker_lives(stage, tmp_path):
    worker = stage.start(PATH, TaskWorker)

    answer = worker.ask(task(HashFile(str(tmp_path / "none"))), timeout=10)

    assert isinstance(answer, TaskError)
    assert "FileNotFoundError" in answer.error
    assert answer.retryable
    assert worker.ask(GetStatus(), timeout=10).failed == 1


def test_an_unreadable_file_among_many_is_a_record_with_its_error(stage, tmp_path):
    (tmp_path / "a").write_text("x")
    worker = stage.start(PATH, TaskWorker)

    answer = worker.ask(task(IndexFiles((str(tmp_path / "a"), str(tmp_path / "none")))), timeout=10)

    assert [bool(record.error) for record in answer.result.files] == [False, True]
    assert answer.result.size_bytes == 1


def test_a_busy_worker_is_answerable_and_takes_no_second_task(stage, large):
    worker, answer = slow(stage, large)

    second = worker.ask(task(HashFile("/x"), name="t2"), timeout=10)

    assert isinstance(second, TaskError)
    assert second.error == "the worker is busy with t1"
    assert second.retryable
    assert isinstance(answer.get(timeout=60), TaskComplete)


def test_a_paused_task_holds_until_it_is_resumed(stage, large):
    worker, answer = slow(stage, large)

    assert worker.ask(Pause(), timeout=10).state == "paused"
    refused = worker.ask(task(HashFile("/x"), name="t2"), timeout=10)
    assert refused.error == "the worker is paused"
    assert not answer.done
    assert worker.ask(Resume(), timeout=10).state == "busy"

    assert isinstance(answer.get(timeout=60), TaskComplete)


def test_a_task_past_its_time_is_ended(stage, large):
    worker = stage.start(PATH, TaskWorker, chunk_bytes=1)
    worker.ask(Pause(), timeout=10)
    worker.ask(Resume(), timeout=10)
    first = worker.ask(task(HashFile(str(large)), timeout=0.01), timeout=30)

    assert isinstance(first, TaskError)
    assert first.error == "not done within 0.01 s"
    assert not first.retryable
    again = worker.ask(task(HashFile(str(large.parent / "none"))), timeout=30)
    assert "FileNotFoundError" in again.error  # the thread of the first is gone: there is room for one


def test_settings_are_reloaded(stage, large):
    worker = stage.start(PATH, TaskWorker)

    worker.ask(Reload(max_file_bytes=10), timeout=10)

    answer = worker.ask(task(HashFile(str(large))), timeout=10)
    assert "larger than 10 bytes" in answer.error


def test_shutdown_finishes_the_task_and_ends_normally(stage, large):
    worker, answer = slow(stage, large)

    assert worker.ask(Shutdown(), timeout=10).state == "stopping"

    assert isinstance(answer.get(timeout=60), TaskComplete)
    assert stage.exit_of(PATH).kind is ExitKind.NORMAL


def test_an_idle_worker_shuts_down_at_once(stage):
    worker = stage.start(PATH, TaskWorker)

    worker.ask(Shutdown(), timeout=10)

    assert stage.exit_of(PATH).kind is ExitKind.NORMAL


def test_a_stopped_worker_leaves_no_thread_at_work(stage, large):
    _, answer = slow(stage, large)

    stage.stop(PATH, KILLED)

    with pytest.raises(Exception, match="task#1"):
        answer.get(timeout=10)
    stage.wait(
        lambda: not any(thread.name == "task-0-call" for thread in threading.enumerate()) or None,
        "the end of the thread",
    )


@pytest.mark.parametrize("arguments", [{"chunk_bytes": 0}, {"max_file_bytes": 0}])
def test_a_worker_with_impossible_settings_does_not_start(stage, arguments):
    assert "1 or more" in stage.failed(PATH, TaskWorker, **arguments).crash.message
