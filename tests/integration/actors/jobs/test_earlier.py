"""A file of an earlier version, whose jobs of the index had a table of their own: they become jobs of the queue."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from support import working
from support.processes import TIMEOUT, process

from actors.events import JobsRecovered
from actors.jobs.client import Jobs
from actors.jobs.indexing import QUEUE
from actors.jobs.jobtable import FileTable
from actors.jobs.queues import JobQueues
from actors.jobs.schema import JOBS
from actors.jobs.selecting import Selection

DUMP = Path(working.__file__).with_name("jobs_of_an_earlier_version.sql").read_text()
NOTE = "from /work/queue of an earlier version, job-{} there"
RULES = {"name": QUEUE, "handlers": ["actors.jobs.indexing"], "workers": ["/work/task#*"]}


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "state.db"
    change(found, DUMP)
    return found


def change(path, sql):
    connection = sqlite3.connect(path)
    connection.executescript(sql)
    connection.close()


def query(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def bring_over(path):
    FileTable(path).close()


def test_what_was_not_done_waits_in_the_queue_and_what_failed_is_a_dead_letter(tmp_path, path):
    with working.Stage() as stage:
        stage.start("/work/jobs", JobQueues, home=str(tmp_path), queues=[RULES])
        jobs = {view.id: view for view in Jobs(stage.system).find(Selection(queue=QUEUE))}

        assert {id: (view.state, view.kind, view.payload) for id, view in jobs.items()} == {
            "job-1": ("failed", "hash-file", '{"path":"/never/there"}'),
            "job-3": ("waiting", "hash-file", '{"path":"/srv/large-file"}'),
            "job-4": ("waiting", "index-files", '{"paths":["/srv/a","/srv/b c","/srv/ü"]}'),
            "job-5": ("waiting", "hash-file", '{"path":"/srv/d"}'),
        }
        assert jobs["job-1"].why.startswith("OSError: /never/there: FileNotFoundError")
        assert (jobs["job-1"].attempt, jobs["job-3"].attempt, jobs["job-3"].repeats) == (2, 0, 1)
        assert jobs["job-3"].why == "in flight on a worker of an earlier version as the runtime ended"
        assert {view.source for view in jobs.values()} == {"loop-daily-maintenance"}
        assert {id: view.note for id, view in jobs.items()} == {id: NOTE.format(id[4:]) for id in jobs}
        recovered = stage.event(JobsRecovered)
        assert (recovered.waiting, recovered.repeated, recovered.failed) == (2, 1, 0)
        assert Jobs(stage.system).add("hash-file", {"path": "/new"}) == "job-6"


def test_it_happens_once(path):
    bring_over(path)
    change(path, "DELETE FROM jobs_all WHERE number = 5")

    bring_over(path)

    assert query(path, "SELECT number FROM jobs_all") == [(1,), (3,), (4,)]
    assert query(path, "SELECT name FROM sqlite_master WHERE name = 'jobs'") == []
    assert query(path, "SELECT number FROM jobs_last") == [(5,)]


def test_an_id_that_another_job_may_have_had_is_not_given_again(path):
    change(path, "UPDATE jobs_last SET number = 3")

    bring_over(path)

    assert query(path, "SELECT number, note FROM jobs_all") == [
        (4, NOTE.format(4)),
        (5, NOTE.format(5)),
        (6, NOTE.format(1)),
        (7, NOTE.format(3)),
    ]


def test_a_row_that_cannot_be_read_becomes_a_dead_letter_with_what_was_in_it(path):
    change(path, "UPDATE jobs SET job = X'C1FF' WHERE number = 4; UPDATE jobs SET job = X'80' WHERE number = 5")

    bring_over(path)

    found = query(path, "SELECT number, state, payload, why FROM jobs_all WHERE number >= 4")
    assert [row[:3] for row in found] == [(4, "failed", '{"unread":"wf8="}'), (5, "failed", '{"unread":"gA=="}')]
    assert all(row[3].startswith("what an earlier version wrote cannot be read: ") for row in found)


def test_a_step_that_fails_leaves_the_old_table_as_it_was(path):
    change(path, "CREATE TRIGGER no BEFORE INSERT ON jobs_all WHEN new.number = 5 BEGIN SELECT RAISE(FAIL, 'no'); END")

    with pytest.raises(Exception, match="no"):
        bring_over(path)

    assert query(path, "SELECT number FROM jobs") == [(1,), (3,), (4,), (5,)]
    assert query(path, "SELECT count(*) FROM jobs_all") == [(0,)]
    change(path, "DROP TRIGGER no")
    bring_over(path)
    assert query(path, "SELECT count(*) FROM jobs_all") == [(4,)]


KILLED = """
import os, signal
from pathlib import Path
from actors.jobs import earlier
from actors.jobs.jobtable import FileTable
steps = {steps}

def traced(connection):
    left = steps

    def at(_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.set_trace_callback(at)
    earlier.bring_over(connection)
    connection.set_trace_callback(None)

import actors.jobs.jobtable as jobtable
from actors.state.migrations import Migrations
steps_of_jobs = (traced if step is earlier.bring_over else step for step in jobtable.JOBS.steps)
jobtable.JOBS = Migrations("jobs", tuple(steps_of_jobs))
FileTable(Path({path!r})).close()
print("done", flush=True)
"""


@pytest.mark.parametrize("steps", [1, 4, 6, 9])
def test_a_kill_in_the_middle_costs_nothing(path, steps):
    with process(KILLED.format(path=str(path), steps=steps)) as killed:
        assert killed.wait(TIMEOUT) == -9

    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    assert query(copy, "SELECT number FROM jobs") == [(1,), (3,), (4,), (5,)]
    bring_over(path)

    assert query(path, "SELECT number FROM jobs_all") == [(1,), (3,), (4,), (5,)]
    assert query(path, "SELECT version FROM migrations WHERE owner = 'jobs'") == [(len(JOBS.steps),)]
