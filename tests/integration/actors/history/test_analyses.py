from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support.history import NOW, ask, batch_of, crashed, keep, one_of_each, open_store

from actors.events import (
    ActorExited,
    ActorStarted,
    ActorStateChanged,
    AskFailed,
    CommandDone,
    DeadLettered,
    MetricSampled,
    NodeChanged,
    RestartScheduled,
    RunFinished,
)
from actors.exits import KILLED, NORMAL, SHUTDOWN
from actors.history.protocol import Query, QueryResult
from actors.history.queries import ANALYSES, bind
from actors.history.rows import NodeRun

HOUR = 3_600.0
START = NOW - 10 * HOUR


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def analyse(store, analysis: str, now: float = NOW, **arguments: str) -> list[dict[str, object]]:
    statement = bind(analysis, arguments, now)
    result: QueryResult = ask(store, Query(statement.sql, statement.parameters))
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def as_dicts(store, sql: str) -> list[dict[str, object]]:
    result: QueryResult = ask(store, Query(sql))
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


def start(at: float, path: str, generation: int = 1) -> ActorStarted:
    return ActorStarted(at, path, generation, "pool", 1, 0.01)


def end(at: float, path: str, uptime: float, generation: int = 1, reason=None, expected: bool = False) -> ActorExited:
    return ActorExited(at, path, generation, reason or crashed(), uptime, "running", expected)


def restart(at: float, path: str, generation: int = 1, reason=None) -> RestartScheduled:
    return RestartScheduled(at, path, "/io", "one_for_one", generation, 1, 0.5, (path,), 1, 5, reason or crashed())


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_runs_on_an_empty_history(store, name):
    assert analyse(store, name) == []


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_runs_on_events_of_every_class(store, name):
    keep(store, one_of_each())

    analyse(store, name, NOW + 1.0)


def test_restarts_are_counted_with_reason_uptime_and_outage(store):
    keep(
        store,
        [
            start(START, "/io/mail"),
            end(START + 100.0, "/io/mail", 100.0),
            restart(START + 100.0, "/io/mail"),
            start(START + 104.0, "/io/mail", 2),
            end(START + 304.0, "/io/mail", 200.0, 2, KILLED),
            restart(START + 304.0, "/io/mail", 2, KILLED),
            start(START + 310.0, "/io/mail", 3),
            start(START, "/io/sms"),
            restart(START - 30 * HOUR, "/io/sms"),
        ],
    )

    (row,) = analyse(store, "restarts")

    assert row["path"] == "/io/mail"
    assert row["restarts"] == 2
    assert row["last_reason"] == "killed"
    assert row["median_uptime"] == 150.0
    assert row["mttr"] == 5.0


def test_restarts_take_a_glob_and_a_span(store):
    keep(store, [restart(START, "/io/mail"), restart(START, "/agents/01"), restart(START - HOUR, "/agents/02")])

    assert {row["path"] for row in analyse(store, "restarts", path="/agents/*")} == {"/agents/01", "/agents/02"}
    assert {row["path"] for row in analyse(store, "restarts", since="10h")} == {"/io/mail", "/agents/01"}
    assert analyse(store, "restarts", path="/agents") == []


def test_crashes_are_the_ends_nobody_asked_for_newest_first(store):
    keep(
        store,
        [
            end(START, "/a", 1.0),
            end(START + 1.0, "/a", 2.0, 2, NORMAL, True),
            end(START + 2.0, "/b", 3.0, 1, KILLED),
        ],
    )

    rows = analyse(store, "crashes")

    assert [(row["path"], row["error"]) for row in rows] == [
        ("/b", "killed"),
        ("/a", "builtins.ValueError: no such mail"),
    ]
    assert len(analyse(store, "crashes", limit="1")) == 1


def test_crash_loops_are_paths_that_crash_again_and_again(store):
    keep(store, [end(NOW - 100.0 + n, "/loop", 0.1, n) for n in range(5)] + [end(NOW - 50.0, "/once", 9.0)])

    (row,) = analyse(store, "crash_loops")

    assert (row["path"], row["crashes"], row["median_uptime"], row["errors"]) == ("/loop", 5, 0.1, 1)
    assert analyse(store, "crash_loops", at_least="6") == []


def test_slow_runs_are_ordered_by_what_most_of_them_stay_below(store):
    keep(
        store,
        [RunFinished(START + n, "/agents/01", "inbox", "succeeded", float(n)) for n in range(1, 101)]
        + [RunFinished(START, "/agents/02", "index", "failed", 500.0)]
        + [RunFinished(START, "/agents/03", "skip", "skipped", 900.0)],
    )

    slow, usual = analyse(store, "slow_runs")

    assert (slow["run"], slow["runs"], slow["longest"]) == ("index", 1, 500.0)
    assert (usual["run"], usual["runs"], usual["p50"], usual["longest"]) == ("inbox", 100, 50.5, 100.0)
    assert 94.0 < usual["p95"] < 97.0  # type: ignore[operator]


def test_lateness_is_from_the_slot_to_the_start_and_tells_of_slots_without_a_run(store):
    def slot(n: int, outcome: str, waited: float | None, schedule: str = "backup", slots: int = 1) -> RunFinished:
        at = START + 60.0 * n
        return RunFinished(at + 5.0, "/work/a", "B", outcome, 1.0, "", at, slots, waited, schedule)

    keep(
        store,
        [slot(n, "succeeded", n / 100) for n in range(1, 101)]
        + [slot(101, "failed", 5.0), slot(102, "skipped", None), slot(103, "missed", None, slots=7)]
        + [slot(1, "succeeded", 0.5, "index")],
    )

    backup, index = analyse(store, "lateness")

    assert (backup["schedule"], backup["runs"], backup["p50"], backup["longest"]) == ("backup", 101, 0.51, 5.0)
    assert backup["longest_at"] == datetime.fromtimestamp(START + 60.0 * 101, UTC).isoformat().replace("+00:00", "Z")
    assert (backup["skipped"], backup["missed"], backup["merged"]) == (1, 7, 0)
    assert (index["schedule"], index["runs"], index["p99"]) == ("index", 1, 0.5)
    assert [row["schedule"] for row in analyse(store, "lateness", schedule="in%")] == ["index"]
    assert analyse(store, "lateness", path="/agents/**") == []


def test_queue_latency_is_what_jobs_waited_by_queue_and_kind(store):
    def job(queue: str, kind: str, waited: float | None) -> RunFinished:
        return RunFinished(START, "/work/a", "job-1", "succeeded", 2.0, waited=waited, queue=queue, kind=kind)

    keep(
        store,
        [job("mail", "send", n / 10) for n in range(11)]
        + [job("mail", "send", None), job("mail", "fetch", 9.0), job("index", "send", 0.1)]
        + [RunFinished(START, "/agents/01", "inbox", "succeeded", 1.0)],
    )

    found = analyse(store, "queue_latency")

    assert [(row["queue"], row["job_kind"], row["jobs"], row["p50"], row["longest"]) for row in found] == [
        ("mail", "fetch", 1, 9.0, 9.0),
        ("mail", "send", 11, 0.5, 1.0),
        ("index", "send", 1, 0.1, 0.1),
    ]
    assert {row["queue"] for row in analyse(store, "queue_latency", queue="mail")} == {"mail"}


def test_a_flight_record_is_a_row_with_its_figures_and_its_last_message(store):
    keep(store, one_of_each())

    (row,) = as_dicts(store, "SELECT * FROM flight_records")

    assert (row["path"], row["generation"], row["source"]) == ("/io/mail", 1, "actor")
    assert (row["last_message"], row["handler"], row["handled"]) == ("Fetch", "Mail.fetch", 7)
    assert (row["seconds_in_hand"], row["waiting"], row["suppressed"]) == (0.5, 0, 0)
    assert row["reason"] == "crashed: builtins.ValueError: boom"
    assert json.loads(row["messages"])[0]["fields"] == {"folder": "inbox", "password": "***"}
    assert json.loads(row["log"]) == ["a line"]
    assert row["state"] is None


def test_failures_are_everything_that_did_not_succeed(store):
    keep(
        store,
        [
            RunFinished(START, "/a", "inbox", "failed", 1.0, "no such mail"),
            RunFinished(START, "/a", "inbox", "succeeded", 1.0),
            RunFinished(START, "/a", "inbox", "skipped", 1.0),
            AskFailed(START, "/a", "Fetch", "late", 5.0),
            DeadLettered(START, "/a", "Fetch", "not running"),
            CommandDone(START, "/a", "stop", "uid 0", "", "ok", 0.1),
            CommandDone(START, "/a", "stop", "uid 0", "", "not_found", 0.1),
            end(START, "/a", 1.0),
            end(START, "/a", 1.0, 2, SHUTDOWN, True),
        ],
    )

    assert [row["what"] for row in analyse(store, "failures")] == [
        "crash",
        "command",
        "dead letter",
        "ask",
        "run failed",
    ]


def test_availability_is_the_share_of_the_time_a_path_was_up_while_it_was_meant_to_be(store):
    keep(
        store,
        [
            start(START, "/steady"),
            start(START, "/shaky"),
            end(START + 2 * HOUR, "/shaky", 2 * HOUR),
            start(START + 3 * HOUR, "/shaky", 2),
            end(START + 6 * HOUR, "/shaky", 3 * HOUR, 2),
            start(START + 7 * HOUR, "/shaky", 3),
            start(START, "/stopped"),
            end(START + HOUR, "/stopped", HOUR, 1, SHUTDOWN, True),
        ],
        NodeRun("node", 7, 1, "0.1.0", START),
    )

    rows = {row["path"]: row for row in analyse(store, "availability")}

    assert rows["/steady"]["availability"] == 1.0
    assert rows["/steady"]["up"] == 10 * HOUR
    assert rows["/stopped"]["availability"] == 1.0
    assert rows["/stopped"]["up"] == HOUR
    shaky = rows["/shaky"]
    assert (shaky["availability"], shaky["up"], shaky["down"]) == (0.8, 8 * HOUR, 2 * HOUR)
    assert (shaky["outages"], shaky["mttr"], shaky["mtbf"]) == (2, HOUR, 4 * HOUR)


def test_availability_looks_no_further_back_than_asked(store):
    keep(store, [start(START, "/a"), end(START + HOUR, "/a", HOUR), start(START + 5 * HOUR, "/a", 2)])

    (row,) = analyse(store, "availability", since="7h")

    assert (row["up"], row["down"]) == (5 * HOUR, 2 * HOUR)


@pytest.mark.parametrize(("last", "down"), [("ready", 2 * HOUR), ("stopped", 0.0)])
def test_a_node_that_was_killed_counts_as_an_outage_of_all_and_one_that_was_stopped_does_not(store, last, down):
    keep(
        store,
        [start(START, "/a"), NodeChanged(START + 3 * HOUR, "/", last)],
        NodeRun("node", 7, 1, "0.1.0", START),
    )
    keep(store, [start(START + 5 * HOUR, "/a")], NodeRun("node", 8, 2, "0.1.0", START + 5 * HOUR))

    (row,) = analyse(store, "availability")

    assert (row["up"], row["down"]) == (8 * HOUR, down)


def test_commands_are_told_with_who_and_why(store):
    keep(store, [CommandDone(START, "/a", "restart", "uid 1000 pid 5", "it hung", "ok", 0.25)])

    (row,) = analyse(store, "commands")

    assert (row["command"], row["caller"], row["why"], row["code"]) == ("restart", "uid 1000 pid 5", "it hung", "ok")


def test_metrics_are_summed_up_without_what_is_no_number(store):
    values = [1.0, 3.0, float("nan"), float("inf"), 2.0]
    keep(store, [MetricSampled(NOW - 10.0 + n, "/", "memory", value, "ratio") for n, value in enumerate(values)])

    (row,) = analyse(store, "metrics", name="mem%")

    assert (row["samples"], row["least"], row["mean"], row["greatest"], row["newest"]) == (3, 1.0, 2.0, 3.0, 2.0)
    assert analyse(store, "metrics", name="cpu") == []


def test_handlers_that_held_an_actor_are_told_with_the_time_until_it_recovered(store):
    keep(
        store,
        [
            ActorStateChanged(START, "/a", 1, "stuck", "handling Fetch for 30 s, 4 messages wait"),
            ActorStateChanged(START + 12.0, "/a", 1, "recovered", "after 42 s"),
            ActorStateChanged(START + 99.0, "/a", 1, "growing", "1200 messages wait, 900 two looks ago"),
            ActorStateChanged(NOW - 5.0, "/b", 1, "stuck", "handling Read for 30 s, 0 messages wait"),
        ],
    )

    rows = analyse(store, "slow_handlers")

    assert [(row["path"], row["message_type"], row["times"], row["longest"]) for row in rows] == [
        ("/a", "Fetch", 1, 42.0),
        ("/b", "Read", 1, 35.0),
    ]


def test_mailboxes_are_told_with_how_fast_they_fill(store):
    depths = [(0, 10.0), (600, 20.0), (1_200, 30.0)]
    keep(store, [MetricSampled(NOW - 1_800 + at, "/a", "actor.mailbox", depth, "count") for at, depth in depths])

    (row,) = analyse(store, "mailbox_growth")

    assert (row["looks"], row["mean_depth"], row["most"], row["newest"]) == (3, 20.0, 30.0, 30.0)
    assert row["growth_an_hour"] == pytest.approx(60.0)


def test_what_an_actor_costs_is_its_runs_its_process_and_its_restarts(store):
    keep(
        store,
        [
            RunFinished(START, "/a", "inbox", "succeeded", 1.5),
            RunFinished(START, "/a", "inbox", "failed", 0.5),
            MetricSampled(START, "/p", "process.cpu", 0.5, "ratio"),
            MetricSampled(START, "/p", "process.memory", 4e6, "bytes"),
            restart(START, "/p"),
        ],
    )

    rows = analyse(store, "cost")

    assert [list(row.values()) for row in rows] == [
        ["/a", 2, 1, 2.0, None, None, 0],
        ["/p", 0, 0, 0.0, 0.5, 4e6, 1],
    ]


def test_what_the_history_misses_is_told_from_all_sides(store):
    keep(store, one_of_each())
    store.store(batch_of(9, [["bad"]], source="node#9"))

    rows = analyse(store, "lost", since="36500d")

    assert {row["what"] for row in rows} == {"dropped", "missing", "rejected"}


def test_runs_of_the_node_are_told_with_what_happened_in_them(store):
    keep(store, [start(START, "/a"), end(START + 5.0, "/a", 5.0)], NodeRun("node", 7, 1, "0.1.0", START))

    (row,) = analyse(store, "node_runs")

    assert (row["epoch"], row["events"], row["crashes"]) == (7, 2, 1)


def test_the_views_answer_what_they_are_named_for(store):
    keep(
        store,
        [
            start(START, "/a"),
            end(START + 10.0, "/a", 10.0),
            restart(START + 10.0, "/a"),
            start(START + 12.0, "/a", 2),
            end(START + 20.0, "/a", 8.0, 2, SHUTDOWN, True),
            end(START + 30.0, "/b", 8.0),
            MetricSampled(START, "/", "memory", 0.5, "ratio"),
        ],
    )

    assert store.execute("SELECT path, error FROM crashes ORDER BY seq") == [
        ("/a", "builtins.ValueError: no such mail"),
        ("/b", "builtins.ValueError: no such mail"),
    ]
    assert store.execute("SELECT path, restarts, last_reason FROM restarts_by_path") == [
        ("/a", 1, "builtins.ValueError: no such mail")
    ]
    assert store.execute("SELECT path, kind FROM last_exit ORDER BY path") == [("/a", "shutdown"), ("/b", "crashed")]
    assert store.execute("SELECT path, seconds FROM recoveries ORDER BY path") == [("/a", 2.0), ("/b", None)]
    assert store.execute("SELECT count(*), count(DISTINCT seq) FROM timeline") == [(7, 7)]
