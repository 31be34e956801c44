"""Queues with real workers on the pool: what is asked of a job is what becomes of it."""

from __future__ import annotations

import sqlite3

import pytest
from support import job_handlers as handlers
from support.waiting import until
from support.working import Stage

from actors.events import JobRetried, JobsDisabled, JobsRecovered, QueueChanged, RunFinished
from actors.jobs.accepting import JobsRefusedError
from actors.jobs.client import Jobs
from actors.jobs.handlers import spec_of
from actors.jobs.orders import ChangeJobs, ChangeQueue, GrepJobs, ListQueues, ReadLines, WhyJob
from actors.jobs.queues import JobQueues
from actors.jobs.running import JobWorker
from actors.jobs.selecting import Selection, SelectionError

PATH = "/work/jobs"
LIMIT = 60.0
SOON = {"first": 0.001, "factor": 1.0, "max": 0.001, "jitter": 0.0}


@pytest.fixture
def stage():
    handlers.GATE.clear()
    with Stage() as stage:
        yield stage
        handlers.GATE.set()


def begin(stage, home, *, workers=2, generation=1, **rules):
    queue = {"name": "default", "workers": ["/work/w*"], "handlers": ["support.job_handlers"], "backoff": SOON, **rules}
    stage.start(PATH, JobQueues, home=str(home), queues=[queue], generation=generation)
    for number in range(workers):
        stage.start(f"/work/w{number}", JobWorker, placement="pool", generation=generation)
    until(lambda: queue_of(stage).workers >= workers, what="the queue has its workers")
    return Jobs(stage.system)


def ended(jobs, id):
    view = jobs.wait(id, LIMIT)
    assert view is not None
    return view


def queue_of(stage):
    return stage.system.ref(PATH).ask(ListQueues("default"), timeout=LIMIT).items[0]


def test_a_job_is_done_and_its_result_is_kept_with_its_payload(stage, tmp_path):
    jobs = begin(stage, tmp_path)

    view = ended(jobs, jobs.add(handlers.send, handlers.Mail("you")))

    assert (view.state, view.payload, view.result, view.attempt) == ("succeeded", '{"to":"you"}', '"sent to you"', 1)
    event = stage.event(RunFinished, run=f"{view.id} test.send")
    assert (event.path, event.outcome) == (view.worker, "succeeded")
    assert (event.queue, event.kind, event.waited) == ("default", "test.send", view.begun_at - view.run_at)


def test_a_job_that_fails_is_tried_again_and_then_a_dead_letter_until_somebody_retries_it(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=2)

    view = ended(jobs, jobs.add("test.fail", "no such mailbox"))

    assert (view.state, view.attempt, view.why) == ("failed", 2, "OSError: no such mailbox")
    assert stage.event(JobRetried, job=view.id).attempt == 1
    assert jobs.retry(view.id) == (view.id,)
    assert ended(jobs, view.id).state == "failed"
    assert jobs.retry("job-999") == ()


SLOTS = "actors.scheduling.recurrence:next_slot"


def test_a_job_comes_again_at_each_slot_of_an_expression_until_it_is_cancelled(stage, tmp_path):
    queue = {"name": "default", "workers": ["/work/w*"], "handlers": ["support.job_handlers"], "backoff": SOON}
    stage.start(PATH, JobQueues, home=str(tmp_path), queues=[queue], slots=SLOTS, timezone="Europe/Berlin")
    stage.start("/work/w0", JobWorker, placement="pool")
    jobs = Jobs(stage.system)

    first = jobs.add(handlers.send, handlers.Mail("you"), cron="* * * * * *", key="each-second")
    done = ended(jobs, first)

    assert (done.state, done.cron, done.timezone) == ("succeeded", "* * * * * *", "Europe/Berlin")
    assert done.run_at == int(done.run_at)
    (following,) = jobs.find(Selection(where=f"run_at > {done.run_at}", limit=1))
    assert (following.cron, following.key) == ("* * * * * *", "each-second")
    stage.system.ref(PATH).ask(ChangeQueue("default", "pause"), timeout=LIMIT)
    for view in jobs.find(Selection(states=("running",))):
        ended(jobs, view.id)
    live = jobs.add(handlers.send, handlers.Mail("you"), cron="@daily", key="each-second")
    assert int(live[4:]) > int(first[4:])  # the key is the chain's: there is one of it
    assert jobs.cancel(live) == (live,)
    assert jobs.find(Selection(states=("delayed", "waiting", "running"))) == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cron": "61 * * * *"}, "cron: "),
        ({"cron": "0 0 30 2 *"}, "never fires"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, "Mars/Base"),
        ({"cron": "@daily", "every": 60.0}, "an interval, or an expression"),
        ({"timezone": "UTC"}, "an interval, or an expression"),
        ({"cron": "*" * 10_000}, "1,000 characters"),
    ],
    ids=["minute", "date", "zone", "both", "alone", "long"],
)
def test_an_expression_that_means_nothing_is_refused(stage, tmp_path, options, said):
    stage.start(PATH, JobQueues, home=str(tmp_path), queues=[{"name": "default"}], slots=SLOTS)

    with pytest.raises(JobsRefusedError, match=said):
        Jobs(stage.system).add(handlers.send, handlers.Mail("you"), **options)


def test_queues_without_slots_take_no_expression(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=0)

    with pytest.raises(JobsRefusedError, match="know no cron expressions"):
        jobs.add(handlers.send, handlers.Mail("you"), cron="@daily")


def lines_of(stage, id, **more):
    return stage.system.ref(PATH).ask(ReadLines(id, **more), timeout=LIMIT)


def grep(stage, text, **more):
    return stage.system.ref(PATH).ask(GrepJobs(text, **more), timeout=LIMIT)


def test_what_a_handler_says_is_kept_with_the_job_and_goes_with_it(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=2)

    id = jobs.add("test.chatty", 2)
    assert ended(jobs, id).state == "failed"

    found = lines_of(stage, id)
    assert found.state == "failed"
    assert [(line.attempt, line.level) for line in found.items] == [
        (attempt, level) for attempt in (1, 2) for level in ("warning", "warning", "debug", "error")
    ]
    assert [line.text for line in found.items[:3]] == ["line 0", "line 1", "by itself"]
    assert found.items[3].text.startswith("Traceback")
    assert found.items[3].text.endswith("OSError: no such mailbox")
    assert [line.text for line in lines_of(stage, id, after=found.items[0].line, limit=1).items] == [
        found.items[-1].text
    ]
    (view,) = jobs.find(Selection(where="log LIKE '%line 1%'"))
    assert view.id == id
    stage.system.ref(PATH).ask(ChangeJobs("delete", (id,)), timeout=LIMIT)
    assert lines_of(stage, id).state == ""
    with sqlite3.connect(tmp_path / "state.db") as reader:
        assert reader.execute("SELECT count(*) FROM jobs_lines").fetchone() == (0,)
    reader.close()


def test_what_an_async_handler_logs_is_kept_with_its_own_job(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=5)

    ids = [jobs.add("test.murmur", f"w{number}") for number in range(20)]
    for id in ids:
        assert ended(jobs, id).state == "succeeded"

    assert [[line.text for line in lines_of(stage, id).items] for id in ids] == [
        [f"heard w{number}"] for number in range(20)
    ]


def test_of_a_chatty_try_the_first_and_the_last_lines_are_kept(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=2)

    id = jobs.add("test.chatty", 3_000)
    assert ended(jobs, id).state == "failed"

    lines = lines_of(stage, id, limit=10_000).items
    assert len(lines) == 2_000  # over both tries
    texts = [line.text for line in lines if line.attempt == 2]
    assert texts[:2] == ["line 0", "line 1"]
    assert texts[899:902] == ["line 899", "2002 lines are left out here", "line 2902"]
    assert texts[-3:-1] == ["line 2999", "by itself"]


def test_text_is_found_in_what_jobs_carry_and_in_what_they_said(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=1)
    chatty = jobs.add("test.chatty", 1)
    mail = jobs.add(handlers.send, handlers.Mail("Line street 7"), key="street")
    for id in (chatty, mail):
        ended(jobs, id)

    found = [(line.id, line.level, line.text) for line in grep(stage, "LINE ").items]
    assert found[:1] == [(chatty, "warning", "line 0")]
    assert (mail, "payload", '{"to":"Line street 7"}') in found
    assert (mail, "result", '"sent to Line street 7"') in found
    assert {line.id for line in grep(stage, "line ", selection=Selection(states=("succeeded",))).items} == {mail}
    assert [line.level for line in grep(stage, "mailbox").items] == ["why", "error"]
    assert grep(stage, "nowhere").items == ()
    assert "1 to 1,000 characters" in grep(stage, "").why
    assert "1 to 10000 lines" in lines_of(stage, chatty, limit=0).why
    assert "an id is job-N" in lines_of(stage, "x").why


def test_a_handler_can_say_that_no_other_try_helps(stage, tmp_path):
    jobs = begin(stage, tmp_path)

    view = ended(jobs, jobs.add("test.fail", "never mind"))

    assert (view.state, view.attempt, view.why) == ("failed", 1, "never mind")


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("test.sent", {"to": "x"}, "did you mean test.send?"),
        ("test.send", {"to": 3}, "Expected `str`, got `int` - at `$.to`"),
        ("test.send", {"too": "x"}, "missing required field `to`"),
        ("test.send", {"to": "x" * 2_000_000}, "1048576 bytes are allowed"),
    ],
    ids=["kind", "type", "field", "size"],
)
def test_what_no_handler_takes_is_refused_in_words(stage, tmp_path, kind, payload, said):
    jobs = begin(stage, tmp_path, workers=0)

    with pytest.raises(JobsRefusedError) as refused:
        jobs.add(kind, payload)

    assert said in str(refused.value)
    assert jobs.find(Selection()) == ()


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"to":"x"', "\x00", '{"to":"' + "y" * 100 + '"}' * 9])
def test_hostile_payloads_are_refused_and_the_queue_goes_on(stage, tmp_path, payload):
    from actors.jobs.specs import JobSpec

    jobs = begin(stage, tmp_path)

    with pytest.raises(JobsRefusedError):
        jobs.add_many([JobSpec(kind="test.send", payload=payload)])

    assert ended(jobs, jobs.add("test.send", {"to": "you"})).state == "succeeded"


def test_jobs_of_one_call_are_taken_all_or_none(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=0, capacity=3)
    one = spec_of("test.send", {"to": "x"})

    with pytest.raises(JobsRefusedError, match="is full"):
        jobs.add_many([one] * 4)
    with pytest.raises(JobsRefusedError, match="no handler"):
        jobs.add_many([one, spec_of("test.nobody")])

    assert len(jobs.add_many([one] * 3)) == 3


def test_the_highest_priority_goes_first_then_the_oldest(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=1)
    first = jobs.add("test.gated", "first")
    later = [jobs.add("test.send", {"to": name}, priority=p) for name, p in (("a", 0), ("b", 5), ("c", 0), ("d", 9))]

    handlers.GATE.set()
    views = [ended(jobs, id) for id in [first, *later]]

    order = sorted(views, key=lambda view: (view.begun_at, view.id))
    assert [view.payload for view in order] == ['"first"', *(f'{{"to":"{name}"}}' for name in "dbac")]


def test_a_key_makes_two_jobs_one_until_the_first_has_ended(stage, tmp_path):
    jobs = begin(stage, tmp_path)
    held = jobs.add("test.gated", "x", key="k")

    assert jobs.add("test.gated", "y", key="k") == held
    handlers.GATE.set()
    assert ended(jobs, held).state == "succeeded"
    after = jobs.add("test.gated", "z", key="k", window=60)
    assert after != held
    assert ended(jobs, after).state == "succeeded"
    assert jobs.add("test.gated", "again", key="k") == after


def test_a_job_comes_after_those_it_depends_on_and_fails_with_them(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=1)
    good, bad = jobs.add("test.gated", "x"), jobs.add("test.fail", "no")

    then, never = jobs.add("test.send", {"to": "x"}, after=(good,)), jobs.add("test.gated", "y", after=(good,))
    assert {view.state for view in jobs.find(Selection(ids=(then, never)))} == {"blocked"}
    handlers.GATE.set()

    assert ended(jobs, then).state == ended(jobs, never).state == "succeeded"
    assert ended(jobs, bad).state == "failed"
    with pytest.raises(JobsRefusedError, match=f"{bad} failed"):
        jobs.add("test.send", {"to": "x"}, after=(bad,))
    anyway = jobs.add("test.send", {"to": "x"}, after=(bad,), even_if=True)
    assert ended(jobs, anyway).state == "succeeded"


def test_a_batch_has_a_last_job_that_waits_for_all_others(stage, tmp_path):
    jobs = begin(stage, tmp_path)

    ids = jobs.add_batch([spec_of("test.gated", str(n)) for n in range(3)], "b1", spec_of("test.send", {"to": "all"}))

    assert jobs.find(Selection(ids=ids[-1:]))[0].after == ids[:-1]
    handlers.GATE.set()
    assert ended(jobs, ids[-1]).state == "succeeded"
    assert {view.state for view in jobs.find(Selection(batch="b1"))} == {"succeeded"}


def test_the_last_job_of_a_batch_comes_after_what_it_was_to_come_after_besides(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=0)
    other = jobs.add("test.send", {"to": "you"})

    ids = jobs.add_batch([spec_of("test.send", {"to": "a"})], "b1", spec_of("test.send", {"to": "z"}, after=(other,)))

    assert set(jobs.find(Selection(ids=ids[-1:]))[0].after) == {other, ids[0]}


def test_jobs_that_a_handler_adds_are_there_with_its_end_or_not_at_all(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=1)

    assert ended(jobs, jobs.add("test.parent", ["a", "b"])).state == "succeeded"
    failed = ended(jobs, jobs.add("test.parent", ["c", "none"]))

    assert failed.state == "failed"
    assert "test.nobody" in failed.why
    assert len(jobs.find(Selection(kind="test.send"))) == 2


def test_a_running_job_is_asked_to_end(stage, tmp_path):
    jobs = begin(stage, tmp_path)
    plain, loop = jobs.add("test.long", "plain"), jobs.add("test.patient", "long")
    stage.wait(lambda: jobs.find(Selection(ids=(plain,)))[0].note or None, "its report")

    assert set(jobs.cancel(plain, loop, why="enough")) == {plain, loop}

    assert ended(jobs, plain).state == ended(jobs, loop).state == "cancelled"
    assert jobs.cancel(plain) == ()
    assert ended(jobs, jobs.add("test.patient", "short")).result == '"short"'


def test_a_job_over_its_time_is_asked_to_end_and_counts_as_failed(stage, tmp_path):
    jobs = begin(stage, tmp_path, attempts=1)

    view = ended(jobs, jobs.add("test.long", "x", timeout=0.05))

    assert view.state == "failed"
    assert view.why.startswith("not done within 0.05 s")


def test_a_paused_queue_begins_nothing_and_says_so_until_it_is_resumed_after_a_restart_too(stage, tmp_path):
    jobs = begin(stage, tmp_path)
    ref = stage.system.ref(PATH)
    ref.ask(ChangeQueue("default", "pause", "the server moves"), timeout=LIMIT)
    waits = jobs.add("test.send", {"to": "you"})

    assert ref.ask(WhyJob(waits), timeout=LIMIT) == "the queue default is paused: the server moves"
    assert stage.event(QueueChanged, state="paused").detail == "the server moves"
    for path in ("/work/w0", "/work/w1", PATH):
        stage.stop(path)
    jobs = begin(stage, tmp_path, generation=2)
    assert queue_of(stage).state == "paused"
    ref.ask(ChangeQueue("default", "resume"), timeout=LIMIT)
    assert ended(jobs, waits).state == "succeeded"


def test_a_drained_queue_does_what_it_has_and_takes_nothing(stage, tmp_path):
    jobs = begin(stage, tmp_path)
    last = jobs.add("test.gated", "x")
    stage.system.ref(PATH).ask(ChangeQueue("default", "drain"), timeout=LIMIT)

    with pytest.raises(JobsRefusedError, match="drained"):
        jobs.add("test.send", {"to": "x"})
    handlers.GATE.set()

    assert ended(jobs, last).state == "succeeded"


def test_concurrency_bounds_what_runs_whatever_workers_there_are(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=4, concurrency=2)
    ids = [jobs.add("test.gated", str(n)) for n in range(5)]

    assert (queue_of(stage).running, queue_of(stage).waiting) == (2, 3)
    handlers.GATE.set()
    assert {ended(jobs, id).state for id in ids} == {"succeeded"}


def test_a_recurring_job_is_added_again_when_it_ended(stage, tmp_path):
    jobs = begin(stage, tmp_path)

    first = jobs.add("test.send", {"to": "you"}, every=3600.0, key="hourly")
    assert ended(jobs, first).state == "succeeded"

    (following,) = jobs.find(Selection(states=("delayed",)))
    assert following.run_at == pytest.approx(ended(jobs, first).run_at + 3600.0)
    assert (following.every, following.key) == (3600.0, "hourly")
    assert jobs.cancel(following.id) == (following.id,)
    assert jobs.find(Selection(states=("delayed",))) == ()


def test_jobs_without_a_handler_are_disabled_with_the_reason_and_go_on_when_there_is_one(stage, tmp_path):
    jobs = begin(stage, tmp_path, workers=0)
    id = jobs.add("test.send", {"to": "you"})
    stage.stop(PATH)
    with sqlite3.connect(tmp_path / "state.db") as file:
        file.execute("UPDATE jobs_all SET kind = 'test.gone'")

    jobs = begin(stage, tmp_path, generation=2)
    (view,) = jobs.find(Selection(ids=(id,)))
    assert (view.state, view.why.split(";")[0]) == ("disabled", "no handler for jobs of kind 'test.gone'")
    assert stage.event(JobsDisabled).count == 1
    for path in ("/work/w0", "/work/w1", PATH):
        stage.stop(path)
    with sqlite3.connect(tmp_path / "state.db") as file:
        file.execute("UPDATE jobs_all SET kind = 'test.send'")

    assert ended(begin(stage, tmp_path, generation=3), id).state == "succeeded"


@pytest.mark.parametrize(("in_flight", "state"), [("retry", "succeeded"), ("fail", "failed")])
def test_what_was_in_flight_is_done_again_and_marked_or_failed_as_the_queue_says(stage, tmp_path, in_flight, state):
    jobs = begin(stage, tmp_path, workers=0)
    id = jobs.add("test.send", {"to": "you"})
    stage.stop(PATH)
    with sqlite3.connect(tmp_path / "state.db") as file:
        file.execute("UPDATE jobs_all SET state = 'running', attempt = 1, worker = '/work/w9'")

    jobs = begin(stage, tmp_path, generation=2, in_flight=in_flight)

    view = ended(jobs, id)
    assert (view.state, view.repeats) == (state, 1)
    event = stage.event(JobsRecovered)
    assert (event.repeated, event.failed) == ((1, 0) if in_flight == "retry" else (0, 1))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("kind = ", "incomplete input|syntax error"),
        ("1); DELETE FROM jobs_all; --", "syntax error|one statement|not authorized"),
        ("number IN (SELECT name FROM sqlite_master)", "not authorized|prohibited"),
        ("load_extension('x')", "not authorized"),
        ("kindd = 'x'", "no such column"),
    ],
)
def test_a_condition_can_only_choose(stage, tmp_path, where, said):
    jobs = begin(stage, tmp_path)
    id = jobs.add("test.send", {"to": "you"})

    with pytest.raises(SelectionError, match=said):
        jobs.find(Selection(where=where))

    assert [view.id for view in jobs.find(Selection(where="payload ->> '$.to' = 'you'"))] == [id]


def test_a_condition_that_never_ends_is_cut_off(stage, tmp_path, monkeypatch):
    monkeypatch.setattr("actors.jobs.selecting.SECONDS", 0.05)
    jobs = begin(stage, tmp_path)
    jobs.add("test.send", {"to": "you"})
    endless = "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n) > 0"

    with pytest.raises(SelectionError, match=r"took more than 0.05 s"):
        jobs.find(Selection(where=endless))


def test_a_condition_that_makes_long_texts_is_cut_off_too(stage, tmp_path, monkeypatch):
    monkeypatch.setattr("actors.jobs.selecting.SECONDS", 0.05)
    jobs = begin(stage, tmp_path)
    ids = jobs.add_many([spec_of("test.send", {"to": "you"})] * 20)
    all_of_them = " || ".join(f"{name}.payload" for name in "abcde")  # so that no loop can be left out
    long = f"replace(hex({all_of_them}), '7', hex(hex(hex(hex(e.payload)))))"
    millions = ", ".join(f"jobs_view {name}" for name in "abcde")

    with pytest.raises(SelectionError, match="not authorized"):
        jobs.find(Selection(where="length(printf('%.*c', 900000000, 'x')) > 0"))
    with pytest.raises(SelectionError, match=r"took more than 0.05 s"):
        jobs.find(
            Selection(where=f"(SELECT count(*) FROM {millions} WHERE length(replace({long}, '7', {long})) > 1) = 0")
        )

    monkeypatch.undo()
    assert len(jobs.find(Selection(where="attempts > 0"))) == len(ids)
