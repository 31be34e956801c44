"""The queue that indexes files, with real workers: what they find gets into the index, and is not lost on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue

import msgspec
import pytest
from support.working import Stage

from actors import Actor, on
from actors.events import ActorStateChanged, RunFinished
from actors.exits import KILLED, SHUTDOWN
from actors.jobs import index
from actors.jobs.client import Jobs
from actors.jobs.files import FileRecord
from actors.jobs.indexing import QUEUE, Findings, HashFile, IndexFiles, hash_file, index_files, indexing_job
from actors.jobs.indexkeeper import ForgetFiles, GetIndex, IndexKeeper
from actors.jobs.orders import ChangedJobs, ChangeJobs, FindJobs, FoundJobs, ListQueues, WhyJob
from actors.jobs.queues import JobQueues
from actors.jobs.records import Job
from actors.jobs.running import JobWorker
from actors.jobs.selecting import Selection
from actors.jobs.viewing import view
from actors.jobs.workers import Reload
from actors.messages import Message

JOBS, INDEX, TASK = "/work/jobs", "/work/index", "/work/task#{}"
LIMIT = 60.0
SOON = {"first": 0.001, "factor": 1.0, "max": 0.001, "jitter": 0.0}
RULES = {"name": QUEUE, "handlers": ["actors.jobs.indexing"], "workers": ["/work/task#*"], "backoff": SOON}


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


def files(tmp_path, count):
    for number in range(count):
        (tmp_path / f"f{number}").write_text("line\n" * number)
    return [str(tmp_path / f"f{number}") for number in range(count)]


def queues(stage, tmp_path, generation=1, **rules):
    stage.start(JOBS, JobQueues, home=str(tmp_path / "home"), queues=[{**RULES, **rules}], generation=generation)
    return Jobs(stage.system)


def worker(stage, number=1, generation=1, **arguments):
    return stage.start(TASK.format(number), JobWorker, queue=QUEUE, generation=generation, **arguments)


def keeper(stage, tmp_path, generation=1):
    return stage.start(INDEX, IndexKeeper, home=str(tmp_path / "home"), generation=generation)


def settled(stage, ref):
    """Wait until what jobs found is in the index, and return how it is."""

    def look():
        view = ref.ask(GetIndex(), timeout=LIMIT)
        return None if view.pending else view

    return stage.wait(look, "the index")


def records(tmp_path):
    found, damaged = index.load(tmp_path / "home" / "index.jsonl")
    assert damaged == 0
    return found


def done(jobs, id):
    view = jobs.wait(id, LIMIT)
    assert view is None or view.state == "succeeded"  # None: it is in the index already


def test_what_jobs_find_gets_into_the_index_and_the_jobs_go(stage, tmp_path):
    paths = files(tmp_path, 4)
    jobs = queues(stage, tmp_path)
    index_ref = keeper(stage, tmp_path)
    worker(stage)

    first, second = jobs.add_many([indexing_job(paths[:3], "loop-x"), indexing_job([paths[3], "/never/there"], "")])
    for id in (first, second):
        stage.event(RunFinished, run=f"{id} index-files" + " for loop-x" * (id == first), outcome="succeeded")
    stage.wait(lambda: len(records(tmp_path)) == 5 or None, "the index")
    settled(stage, index_ref)

    found = records(tmp_path)
    assert found[paths[3]].sha256 == hashlib.sha256(b"line\n" * 3).hexdigest()
    assert (found[paths[3]].lines, found[paths[0]].kind) == (3, "empty")
    assert "FileNotFoundError" in found["/never/there"].error
    assert jobs.find(Selection(queue=QUEUE)) == ()


@pytest.mark.parametrize("ended_by", [SHUTDOWN, KILLED], ids=str)
def test_what_was_found_while_nobody_kept_the_index_is_taken_in_later(stage, tmp_path, ended_by):
    (path,) = files(tmp_path, 1)
    jobs = queues(stage, tmp_path)
    keeper(stage, tmp_path)
    worker(stage)
    stage.stop(INDEX, ended_by)
    done(jobs, jobs.add(index_files, IndexFiles((path,))))

    again = keeper(stage, tmp_path, generation=2)

    stage.wait(lambda: path in records(tmp_path) or None, "the index")
    assert settled(stage, again).gathered == 1


def test_an_index_that_cannot_be_written_costs_nothing_that_was_found(stage, tmp_path):
    (path,) = files(tmp_path, 1)
    home = tmp_path / "home"
    jobs = queues(stage, tmp_path)
    index_ref = keeper(stage, tmp_path)
    settled(stage, index_ref)
    (home / "index.jsonl").mkdir()  # in the way of the file
    worker(stage)
    id = jobs.add(index_files, IndexFiles((path,)))

    trouble = stage.wait(lambda: index_ref.ask(GetIndex(), timeout=LIMIT).trouble or None, "the failure")
    assert "IsADirectoryError" in trouble
    assert [view.id for view in jobs.find(Selection(queue=QUEUE))] == [id]
    (home / "index.jsonl").rmdir()
    stage.wait(lambda: not index_ref.ask(GetIndex(), timeout=LIMIT).trouble or None, "the end of the trouble")
    settled(stage, index_ref)

    assert list(records(tmp_path)) == [path]
    assert jobs.find(Selection(queue=QUEUE)) == ()


def test_an_index_that_cannot_be_read_fails_the_start(stage, tmp_path):
    (tmp_path / "home" / "index.jsonl").mkdir(parents=True)

    reason = stage.failed(INDEX, IndexKeeper, home=str(tmp_path / "home"))

    assert "IsADirectoryError" in reason.crash.type_name


def test_the_index_is_taken_up_again_and_forgets_what_it_is_told(stage, tmp_path):
    paths = files(tmp_path, 3)
    jobs = queues(stage, tmp_path)
    first = keeper(stage, tmp_path)
    worker(stage)
    jobs.add(index_files, IndexFiles(tuple(paths)))
    stage.wait(lambda: first.ask(GetIndex(), timeout=LIMIT).gathered or None, "the index")
    stage.stop(INDEX)

    again = keeper(stage, tmp_path, generation=2)

    assert again.ask(ForgetFiles((paths[0], "/never/seen")), timeout=LIMIT) == 1
    assert settled(stage, again).indexed == 2
    assert sorted(records(tmp_path)) == paths[1:]


def test_the_same_files_are_one_job_while_it_is_not_done(stage, tmp_path):
    jobs = queues(stage, tmp_path)

    first = jobs.add_many([indexing_job(["/a", "/b"], "x"), indexing_job(["/b", "/a"], "x")])
    second = jobs.add_many([indexing_job(["/a", "/b"], "y"), indexing_job(["/a/b"], "y")])

    assert first == ("job-1", "job-2")
    assert second == ("job-1", "job-3")


def test_a_file_that_cannot_be_hashed_is_a_dead_letter_until_it_can(stage, tmp_path):
    (path,) = files(tmp_path, 1)
    os.unlink(path)
    jobs = queues(stage, tmp_path, attempts=2)
    keeper(stage, tmp_path)
    worker(stage)
    id = jobs.add(hash_file, HashFile(path))

    letter = jobs.wait(id, LIMIT)
    assert (letter.state, letter.attempt) == ("failed", 2)
    assert "No such file" in letter.why
    files(tmp_path, 1)
    assert jobs.retry(id) == (id,)

    stage.wait(lambda: path in records(tmp_path) or None, "the index")


def test_workers_have_options_and_take_over_new_ones_with_the_next_job(stage, tmp_path):
    (_, _, path) = files(tmp_path, 3)
    jobs = queues(stage, tmp_path)
    ref = worker(stage, options={"max_file_bytes": 4})
    done(jobs, jobs.add(index_files, IndexFiles((path,))))

    ref.ask(Reload({"max_file_bytes": 100}), timeout=LIMIT)
    done(jobs, jobs.add(index_files, IndexFiles((path,))))
    ref.ask(Reload({"chunk_bytes": 0}), timeout=LIMIT)
    refused = jobs.wait(jobs.add(hash_file, HashFile(path), attempts=1), LIMIT)

    first, second, _ = (view.result for view in jobs.find(Selection(queue=QUEUE)))
    assert "larger than 4 bytes" in first
    assert '"lines":2' in second
    assert refused.why == "ValueError: option chunk_bytes of a worker is bytes, 1 or more, got 0"


def test_a_suspended_worker_gets_no_job_until_it_is_resumed_and_costs_none_a_try(stage, tmp_path):
    jobs = queues(stage, tmp_path)
    ref = worker(stage)
    bus = stage.system.bus
    stage.wait(lambda: workers_of(stage) or None, "the worker")
    ref.target.suspend()
    bus.publish(ActorStateChanged(0.0, TASK.format(1), 1, "suspended"))
    stage.wait(lambda: not workers_of(stage) or None, "the worker to be passed over")

    id = jobs.add(index_files, IndexFiles(tuple(files(tmp_path, 1))))
    assert jobs.wait(id, 0.0).state == "waiting"
    assert why(stage, id) == "workers of task are suspended: /work/task#1"
    ref.target.resume()
    bus.publish(ActorStateChanged(0.0, TASK.format(1), 1, "resumed"))

    view = jobs.wait(id, LIMIT)
    assert (view.state, view.attempt) == ("succeeded", 1)


def workers_of(stage):
    return stage.system.ref(JOBS).ask(ListQueues(QUEUE), timeout=LIMIT).items[0].workers


def why(stage, id):
    return stage.system.ref(JOBS).ask(WhyJob(id), timeout=LIMIT)


asked_to_delete: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()


class LetGo(Message[None], frozen=True, local=True):
    """Carry out the deletes that were held."""


class HeldQueues(Actor):
    """Has one job that found the file `found`, and is slow to delete it."""

    reentrant = True

    def __init__(self, found: str) -> None:
        super().__init__()
        self._found = msgspec.json.encode(Findings((FileRecord(found, 1, 1.0),), 1)).decode()
        self._is_there = True

    async def on_start(self):
        self._let_go = asyncio.Event()

    @on(FindJobs)
    async def find(self, _: FindJobs) -> FoundJobs:
        job = Job(1, QUEUE, "index-files", "null", state="succeeded", result=self._found)
        return FoundJobs((view(job, full=True),) if self._is_there else ())

    @on(ChangeJobs)
    async def change(self, message: ChangeJobs) -> ChangedJobs:
        asked_to_delete.put(message.ids)
        await self._let_go.wait()
        self._is_there = False
        return ChangedJobs(message.ids)

    @on(LetGo)
    async def let_go(self, _: LetGo) -> None:
        self._let_go.set()


def test_a_file_is_forgotten_once_no_job_is_left_that_would_bring_it_back(stage, tmp_path):
    held = stage.start(JOBS, HeldQueues, found="/gone")
    index_ref = keeper(stage, tmp_path)
    assert asked_to_delete.get(timeout=LIMIT) == ("job-1",)
    assert list(records(tmp_path)) == ["/gone"]

    forgotten = index_ref.ask(ForgetFiles(("/gone", "/never")), block=False)
    assert index_ref.ask(GetIndex(), timeout=LIMIT).indexed == 1  # both were heard, and a kill now would keep it
    assert list(records(tmp_path)) == ["/gone"]
    held.tell(LetGo())

    assert forgotten.get(timeout=LIMIT) == 1
    assert records(tmp_path) == {}
