"""Handlers and callers that give what no file takes: it costs them their job at most, and nobody else anything."""

from __future__ import annotations

import sqlite3

import pytest
from support import odd_work
from support.working import Stage

from actors.jobs.client import Jobs
from actors.jobs.orders import AddJobs, ChangeJobs, ChangeQueue, FindJobs, GrepJobs, ListQueues, ReadLines
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from actors.jobs.selecting import Selection
from actors.jobs.specs import JobSpec
from actors.policies.backoff import Backoff

PATH = "/work/jobs"
LIMIT = 60.0
LONE = "\ud800"


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


def begin(stage, home, generation=1):
    queue = {"name": "default", "workers": ["/work/w0"], "handlers": ["support.odd_work"], "attempts": 1}
    stage.start(PATH, JobQueues, home=str(home), queues=[queue], generation=generation)
    stage.start("/work/w0", JobWorker, placement="pool", generation=generation)
    return Jobs(stage.system)


def ask(stage, message):
    return stage.system.ref(PATH).ask(message, timeout=LIMIT)


def still_works(jobs):
    return jobs.wait(jobs.add("odd.logger"), LIMIT).state == "succeeded"


@pytest.mark.parametrize(
    ("kind", "state", "note", "said"),
    [
        ("odd.note", "succeeded", "caf\\udce9", ""),
        ("odd.long", "succeeded", "x" * 1_000, ""),
        ("odd.none", "succeeded", "None", ""),
        ("odd.line", "succeeded", "", "read caf\\udce9"),
        ("odd.logger", "succeeded", "", "read caf\\udce9"),
        ("odd.error", "failed", "", "no such file"),
        ("odd.silent", "failed", "", "SilentError"),
        ("odd.result", "failed", "", "not to be written as JSON"),
        ("odd.child", "failed", "", "not to be written as JSON"),
    ],
)
def test_whatever_a_handler_says_its_job_has_its_end_on_disk_and_others_go_on(stage, tmp_path, kind, state, note, said):
    jobs = begin(stage, tmp_path)

    view = jobs.wait(jobs.add(kind), LIMIT)

    assert (view.state, view.note) == (state, note)
    assert said in "".join(line.text for line in ask(stage, ReadLines(view.id)).items)
    assert still_works(jobs)


def test_the_error_of_a_job_is_kept_though_its_text_is_none_or_cannot_be_made(stage, tmp_path):
    jobs = begin(stage, tmp_path)

    assert "caf\\udce9" in jobs.wait(jobs.add("odd.error"), LIMIT).why
    assert "str() of the error failed" in jobs.wait(jobs.add("odd.silent"), LIMIT).why


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("odd.exit", "SystemExit: 3"),
        ("odd.async_exit", "SystemExit: 3"),
        ("odd.interrupt", "KeyboardInterrupt"),
        ("odd.cancelled", "a task that it awaited was cancelled"),
    ],
)
def test_a_handler_that_would_end_a_program_fails_its_job_and_neither_worker_nor_loop(stage, tmp_path, kind, why):
    jobs = begin(stage, tmp_path)

    view = jobs.wait(jobs.add(kind), LIMIT)

    assert view.state == "failed"
    assert why in view.why
    assert still_works(jobs)
    assert len(stage.outcomes["/work/w0"]) == 1  # it was started, and has not ended


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": f'"{LONE}"'}, {"payload": b"1"}, {"key": LONE}, {"key": 5}, {"batch": LONE}, {"source": LONE},
        {"priority": 1.5}, {"priority": True}, {"attempts": 2.0}, {"timeout": "5"}, {"delay": "5"}, {"after": (5,)},
        {"queue": 5}, {"kind": LONE}, {"backoff": Backoff(first=True)}, {"every": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_job_that_could_not_be_written_is_refused_and_holds_up_nobody(stage, tmp_path, fields):
    jobs = begin(stage, tmp_path)

    answer = ask(stage, AddJobs((JobSpec(**{"kind": "odd.logger", "payload": "1", **fields}),)))

    assert answer.ids == ()
    assert answer.why
    assert still_works(jobs)


@pytest.mark.parametrize(
    "message",
    [
        FindJobs(Selection(where=LONE)),
        FindJobs(Selection(queue=LONE)),
        GrepJobs(LONE),
        ChangeQueue("default", "rate", rate="5/inf"),
        ChangeQueue("default", "rate", rate="5/1e-320"),
        ChangeQueue("default", "rate", rate="9" * 5_000),
        ChangeJobs("cancel", (LONE,)),
    ],
    ids=["where", "queue", "grep", "endless rate", "tiny rate", "huge rate", "id"],
)
def test_a_question_that_means_nothing_is_answered_with_what_is_wrong(stage, tmp_path, message):
    jobs = begin(stage, tmp_path)

    assert ask(stage, message).why
    assert still_works(jobs)


def test_the_note_of_a_queue_is_kept_as_text(stage, tmp_path):
    begin(stage, tmp_path)

    ask(stage, ChangeQueue("default", "pause", note=odd_work.NAME))

    assert ask(stage, ListQueues("default")).items[0].note == "caf\\udce9"


def test_a_row_with_a_back_off_that_cannot_be_read_keeps_no_queue_from_beginning(stage, tmp_path):
    jobs = begin(stage, tmp_path)
    id = jobs.add("odd.logger", None, delay=3600.0, backoff=Backoff(first=5.0))
    stage.kill("/work/w0")
    stage.kill(PATH)
    with sqlite3.connect(tmp_path / "state.db") as state:
        state.execute("UPDATE jobs_all SET backoff = '{\"first\": true}'")
    state.close()

    jobs = begin(stage, tmp_path, generation=2)

    assert jobs.find(Selection(ids=(id,)))[0].state == "delayed"
    assert still_works(jobs)
