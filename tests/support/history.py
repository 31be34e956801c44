"""Events, batches and open history files for tests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorReported,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    AskFailed,
    BreakerChanged,
    CommandDone,
    CrashRecorded,
    DeadLettered,
    Event,
    HistoryLost,
    JobRetried,
    JobsDisabled,
    JobsRecovered,
    LimitReached,
    LogLevelChanged,
    MetricSampled,
    NodeChanged,
    PeerRefused,
    QueueChanged,
    RestartScheduled,
    RunFinished,
    ScheduleChanged,
    SpareChanged,
    TreeChanged,
    UsageHigh,
)
from actors.exits import Cause, ExitKind, ExitReason
from actors.flightrecord import FlightRecord, LastMessage
from actors.history.batching import BatchMaker
from actors.history.protocol import Outcome, Query, QueryAnswer, QueryResult, Store, TableRows, encode_rows
from actors.history.rows import NodeRun
from actors.history.schema import BY_NAME
from actors.history.store import HistoryStore
from actors.treeevents import ChildRecord

NOW = 1_750_000_000.0
RUN = NodeRun("node", 7, 4121, "0.1.0", NOW - 3_600.0)


def crashed(error: BaseException | None = None) -> ExitReason:
    """Return the reason for an error that was really raised."""
    try:
        raise error if error is not None else ValueError("no such mail")
    except BaseException as raised:
        return ExitReason.crashed(raised)


def gave_up() -> ExitReason:
    """Return the reason of a supervisor two levels above a crash."""
    below = ExitReason(ExitKind.SHUTDOWN, "gave-up", None, Cause("/io/mail/imap", crashed()))
    return ExitReason(ExitKind.SHUTDOWN, "gave-up", None, Cause("/io/mail", below))


def flight_record() -> FlightRecord:
    last = LastMessage("Fetch", {"folder": "inbox", "password": "***"}, in_hand=True)
    return FlightRecord(messages=(last,), handled=7, handler="Mail.fetch", seconds=0.5, log=("a line",))


def restarting_child() -> ChildRecord:
    return ChildRecord("mail", 1, "restarting", 2, attempt=1, next_at=NOW + 1.5, last_reason="crashed: boom")


def one_of_each() -> list[Event]:
    """Return an event of every class."""
    return [
        ActorStarted(NOW, "/io/mail", 1, "pool", 4121, 0.003),
        ActorIgnored(NOW, "/io/phone", 1, "not configured: set io.phone.number"),
        ActorStateChanged(NOW, "/io/mail", 1, "suspended", "by a person"),
        ActorReported(NOW, "/io/mail", 1, "3 of 7 read", {"read": 3, "of": [7]}),
        ActorStartFailed(NOW, "/io/mail", 2, crashed(), 1),
        ActorExited(NOW, "/io/mail", 1, crashed(), 12.5, "running", False),
        CrashRecorded(NOW, "/io/mail", 1, "crashed: builtins.ValueError: boom", flight_record()),
        RestartScheduled(NOW, "/io/mail", "/io", "rest_for_one", 1, 2, 0.5, ("/io/mail", "/io/sms"), 2, 5, crashed()),
        TreeChanged(NOW, "/io", "ready", 1, 4121, "one_for_one", 5, 60.0, (restarting_child(),), True, (NOW,)),
        LimitReached(NOW, "/io", "supervisor", "escalate", 6, 5, 60.0, gave_up()),
        UsageHigh(NOW, "/io/mail", "memory", 2e9, 1e9),
        DeadLettered(NOW, "/io/mail", "Fetch", "restarting", "/agents/01"),
        AskFailed(NOW, "/io/mail", "Fetch", "AskTimeoutError: no answer", 5.0),
        CommandDone(NOW, "/io/mail", "restart", "uid 1000", "it hung", "ok", 0.02, "k1"),
        JobsRecovered(NOW, "/work/jobs", 3, 1),
        JobRetried(NOW, "/work/mail#1", "job-7", "mail.send", "mail", 1, 2.0, "OSError: no such mailbox"),
        JobsDisabled(NOW, "/work/jobs", 2, "shop: no such module"),
        QueueChanged(NOW, "/work/jobs", "mail", "paused", "the server moves"),
        ScheduleChanged(NOW, "/sys/scheduler", "backup", "paused", "new disk"),
        BreakerChanged(NOW, "/sys/scheduler", "backup", "open"),
        RunFinished(NOW, "/agents/01", "inbox", "failed", 1.25, "no such mail"),
        MetricSampled(NOW, "/", "memory", 0.5, "ratio"),
        SpareChanged(NOW, "/work/task#1", "lost", "actors.jobs.running:JobProcess", 7, "it ended"),
        HistoryLost(NOW, "/", 12, "the buffer was full"),
        NodeChanged(NOW, "/", "ready"),
        PeerRefused(NOW, "/", "127.0.0.1", "key ann", "its key is not authorised", 3),
        LogLevelChanged(NOW, "/io/mail", "/io/mail", "debug", 600.0, "uid 1000", "it is slow"),
    ]


def open_store(folder: Path, **settings: Any) -> HistoryStore:
    """Open the history file in `folder`."""
    return HistoryStore(folder / "history.duckdb", now=time.time, **settings)


def metric_rows(count: int, first: int = 0) -> list[list[Any]]:
    """Return rows of `metrics` whose `seq` and `value` count from `first`."""
    return [[first + n, 7, NOW + n, "/", "n", float(first + n), "count"] for n in range(count)]


def batch_of(
    number: int,
    rows: Sequence[Sequence[Any]] | None = None,
    *,
    table: str = "metrics",
    columns: tuple[str, ...] | None = None,
    source: str = "node#7",
    acknowledged: int = 0,
) -> Store:
    """Return a batch of rows of one table; ten metrics of its own unless rows are given."""
    rows = metric_rows(10, number * 10) if rows is None else rows
    wanted = columns if columns is not None else BY_NAME[table].column_names
    data = encode_rows([TableRows(table, wanted, [list(row) for row in rows])])
    return Store(source, number, data, len(rows), acknowledged)


def batches_of(events: Sequence[Event], run: NodeRun = RUN) -> list[Store]:
    """Return the batches a feed makes of `events`, numbered from 1."""
    made: list[Store] = []
    source = f"{run.node}#{run.epoch}"
    maker = BatchMaker(
        run,
        lambda rows, count: made.append(Store(source, len(made) + 1, rows, count)),
        rows_limit=1_000,
        bytes_limit=1_000_000,
    )
    for seq, event in enumerate(events, 1):
        maker.add(seq, event)
    maker.finish()
    return made


def keep(store: HistoryStore, events: Sequence[Event], run: NodeRun = RUN) -> None:
    """Store `events` as a feed and a recorder do."""
    for batch in batches_of(events, run):
        answer = store.store(batch)
        assert answer.outcome is Outcome.STORED, answer
        assert answer.rejected == 0, store.execute("SELECT * EXCLUDE rejected_at FROM rejects")


def ask(store: HistoryStore, query: Query) -> QueryResult:
    """Run `query` as the recorder does and return its rows; it must have some answer."""
    from actors.history.runner import QueryRunner

    runner = QueryRunner(store.reading)
    try:
        answer: QueryAnswer = runner.submit(query).result(60.0)
    finally:
        runner.close()
    assert isinstance(answer, QueryResult), answer
    return answer
