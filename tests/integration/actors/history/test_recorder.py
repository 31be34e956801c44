from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial

import duckdb
import pytest
from support.history import NOW, RUN, batch_of, metric_rows, one_of_each
from support.waiting import WAIT, until

from actors import ActorExitedError, ActorSystem, Exited, Started, StartFailed
from actors.events import ActorStarted, MetricSampled
from actors.exits import ExitKind, ExitReason
from actors.history import reckoning
from actors.history import recorder as recorder_module
from actors.history.connecting import feed_recorder
from actors.history.errors import QueryProblem
from actors.history.figures import FeedLimits
from actors.history.migrations import MIGRATIONS, Migration, migrate
from actors.history.protocol import (
    Checkpoint,
    Outcome,
    Prune,
    Query,
    QueryFailed,
    QueryResult,
    Statistics,
)
from actors.history.recorder import Recorder, Tend
from actors.history.retention import DAY
from actors.history.runner import QueryRunner

ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c"
PATH = "/sys/recorder"


class Supervised:
    """A recorder launched as a supervisor does, and what became of it."""

    def __init__(self, system: ActorSystem, folder, **options) -> None:
        self.system = system
        self.outcomes: list[object] = []
        self._known = threading.Condition()
        self.launch = system.spawn(
            partial(Recorder, str(folder / "history.duckdb"), **options),
            path=PATH,
            placement="thread",
            on_outcome=self._take,
        )

    def _take(self, outcome: object) -> None:
        with self._known:
            self.outcomes.append(outcome)
            self._known.notify_all()

    def wait(self, kind: type) -> object:
        with self._known:
            assert self._known.wait_for(lambda: any(isinstance(o, kind) for o in self.outcomes), WAIT), self.outcomes
            return next(o for o in self.outcomes if isinstance(o, kind))

    def stop(self) -> ExitReason:
        self.launch.stop(ExitReason.shutdown())
        exited = self.wait(Exited)
        assert isinstance(exited, Exited)
        return exited.reason


@pytest.fixture
def system():
    system = ActorSystem("node")
    yield system
    assert system.shutdown(WAIT)


@pytest.fixture
def recorder(system, tmp_path):
    supervised = Supervised(system, tmp_path)
    supervised.wait(Started)
    return supervised


@pytest.fixture
def ref(recorder):
    return recorder.launch.ref


def test_what_is_stored_can_be_asked_for(ref):
    stored = ref.ask(batch_of(1), timeout=WAIT)
    result = ref.ask(Query("SELECT count(*) FROM metrics"), timeout=WAIT)

    assert stored.outcome is Outcome.STORED
    assert isinstance(result, QueryResult)
    assert result.rows == [[10]]


def test_a_batch_stored_before_a_restart_is_a_duplicate_after_it(recorder, system, tmp_path):
    recorder.launch.ref.ask(batch_of(1), timeout=WAIT)
    assert recorder.stop().kind is ExitKind.SHUTDOWN
    again = Supervised(system, tmp_path)
    again.wait(Started)

    assert again.launch.ref.ask(batch_of(1), timeout=WAIT).outcome is Outcome.DUPLICATE


def test_storing_goes_on_while_heavy_queries_run_and_they_end_in_time(ref):
    heavy = [ref.ask(Query(ENDLESS, timeout=2.0), block=False) for _ in range(2)]

    answers = [ref.ask(batch_of(number), timeout=WAIT) for number in range(1, 20)]

    assert all(answer.outcome is Outcome.STORED for answer in answers)
    for future in heavy:
        answer = future.get(timeout=WAIT)
        assert isinstance(answer, QueryFailed)
        assert answer.problem is QueryProblem.TIMEOUT


@pytest.mark.parametrize("sql", ["DROP TABLE events", "SELECT * FROM read_text('/etc/passwd')", "nonsense", "\ud800"])
def test_a_hostile_statement_is_answered_and_the_recorder_lives(ref, sql):
    answer = ref.ask(Query(sql), timeout=WAIT)

    assert isinstance(answer, QueryFailed)
    assert ref.ask(batch_of(1), timeout=WAIT).outcome is Outcome.STORED


def test_statistics_tell_what_it_did(ref):
    ref.ask(batch_of(1), timeout=WAIT)
    ref.ask(batch_of(1), timeout=WAIT)
    ref.ask(batch_of(2, [*metric_rows(2), ["bad"]]), timeout=WAIT)
    ref.ask(Query("SELECT 1"), timeout=WAIT)
    ref.ask(Query("nonsense"), timeout=WAIT)

    statistics = ref.ask(Statistics(), timeout=WAIT)

    assert (statistics.batches, statistics.rows, statistics.duplicates, statistics.rejected) == (2, 12, 1, 1)
    assert (statistics.queries, statistics.failed_queries, statistics.running_queries) == (1, 1, 0)
    assert statistics.schema_version >= 1
    assert statistics.wal_bytes > 0
    assert statistics.last_stored_at > NOW
    assert statistics.problem == ""


def test_a_checkpoint_empties_the_log(ref):
    ref.ask(batch_of(1, metric_rows(1_000)), timeout=WAIT)

    assert ref.ask(Checkpoint(), timeout=WAIT).done
    assert ref.ask(Statistics(), timeout=WAIT).wal_bytes < 1_000


def test_pruning_forgets_what_is_old_and_tells_how_much(ref):
    ref.ask(batch_of(1), timeout=WAIT)

    assert ref.ask(Prune(metrics_age=1.0), timeout=WAIT).rows == {"metrics": 10}
    assert "positive" in ref.ask(Prune(events_age=-1.0), timeout=WAIT).why


class Clocks:
    """The clocks of a recorder, moved by hand."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self, monkeypatch) -> None:
        self.wall_ahead = self.monotonic_ahead = 0.0
        for module in (recorder_module, reckoning):
            monkeypatch.setattr(module, "time", self)

    def time(self) -> float:
        return time.time() + self.wall_ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.monotonic_ahead

    def tend(self, ref) -> int:
        """Let the recorder prune as it does each hour; return what is left of the metrics."""
        self.monotonic_ahead += recorder_module.PRUNE_INTERVAL + 1.0
        self.wall_ahead += recorder_module.PRUNE_INTERVAL + 1.0
        ref.ask(Tend(), timeout=WAIT)
        return int(ref.ask(Query("SELECT count(*) FROM metrics"), timeout=WAIT).rows[0][0])


def test_a_clock_that_leaps_ahead_costs_no_rows_before_it_has_gone_on_for_a_day(system, tmp_path, monkeypatch):
    clocks = Clocks(monkeypatch)
    first = Supervised(system, tmp_path)
    first.wait(Started)
    row = [1, 7, time.time(), "/", "n", 1.0, "count"]
    assert first.launch.ref.ask(batch_of(1, [row]), timeout=WAIT).outcome is Outcome.STORED

    clocks.wall_ahead += 3_650 * DAY
    left = [clocks.tend(first.launch.ref)]
    first.stop()
    second = Supervised(system, tmp_path)  # finds the clock as it is, and what was believed of it
    second.wait(Started)
    left.append(clocks.tend(second.launch.ref))
    asked = second.launch.ref.ask(Prune(is_dry_run=True), timeout=WAIT)
    clocks.wall_ahead += DAY
    clocks.monotonic_ahead += DAY
    gone = clocks.tend(second.launch.ref)

    assert left == [1, 1]
    assert sum(part.rows for part in asked.parts) == 1, "a person who asks goes by the clock as it is"
    assert gone == 0
    second.stop()


def test_rows_beyond_their_age_go_at_the_hour_where_the_clock_is_in_step(system, tmp_path, monkeypatch):
    clocks = Clocks(monkeypatch)
    supervised = Supervised(system, tmp_path, metrics_age=DAY)
    supervised.wait(Started)
    rows = [[n, 7, time.time() - n * DAY, "/", "n", 1.0, "count"] for n in range(4)]
    supervised.launch.ref.ask(batch_of(1, rows), timeout=WAIT)

    assert clocks.tend(supervised.launch.ref) == 1
    supervised.stop()


def test_tending_a_quiet_file_empties_its_log_and_a_busy_one_is_left_alone(ref):
    ref.ask(batch_of(1, metric_rows(1_000)), timeout=WAIT)
    ref.ask(Tend(), timeout=WAIT)
    busy = ref.ask(Statistics(), timeout=WAIT).wal_bytes
    ref.ask(Tend(), timeout=WAIT)
    quiet = ref.ask(Statistics(), timeout=WAIT).wal_bytes

    assert busy > quiet


def test_its_state_is_there_to_look_at(tmp_path):
    actor_ref = Recorder.start(str(tmp_path / "history.duckdb"))
    try:
        actor_ref.ask(batch_of(1), timeout=WAIT)
        view = actor_ref.proxy().state_view().get(timeout=WAIT)
    finally:
        actor_ref.stop()

    assert view["batches"] == 1
    assert view["path"] == str(tmp_path / "history.duckdb")


HOLDER = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read(); c.close()"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the history file until it is let go."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "history.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate(timeout=WAIT)


def test_a_file_held_by_another_process_refuses_by_name_and_is_opened_when_it_is_let_go(system, tmp_path, holder):
    recorder = Supervised(system, tmp_path)
    recorder.wait(Started)
    ref = recorder.launch.ref

    refused = ref.ask(batch_of(1), timeout=WAIT)
    unanswered = ref.ask(Query("SELECT 1"), timeout=WAIT)
    problem = ref.ask(Statistics(), timeout=WAIT).problem
    pruned = ref.ask(Prune(), timeout=WAIT)
    checkpointed = ref.ask(Checkpoint(), timeout=WAIT)

    assert refused.outcome is Outcome.REFUSED
    assert isinstance(unanswered, QueryFailed)
    assert unanswered.problem is QueryProblem.UNAVAILABLE
    for said in (refused.why, unanswered.message, problem, pruned.why, checkpointed.why):
        assert f"process {holder.pid}" in said
    holder.communicate(timeout=WAIT)
    until(lambda: ref.ask(batch_of(1), timeout=WAIT).outcome is not Outcome.REFUSED)
    assert ref.ask(Statistics(), timeout=WAIT).problem == ""
    assert ref.ask(Query("SELECT count(*) FROM metrics"), timeout=WAIT).rows == [[10]]


def test_a_file_of_a_newer_program_is_refused_and_left_alone(system, tmp_path):
    path = tmp_path / "history.duckdb"
    connection = duckdb.connect(str(path))
    migrate(connection, str(path), (*MIGRATIONS, Migration(MIGRATIONS[-1].version + 1, "newer", ())))
    connection.close()
    before = path.read_bytes()
    recorder = Supervised(system, tmp_path)
    recorder.wait(Started)

    answer = recorder.launch.ref.ask(batch_of(1), timeout=WAIT)

    assert answer.outcome is Outcome.REFUSED
    assert "newer program" in answer.why
    assert path.read_bytes() == before


def test_too_many_queries_that_cannot_be_interrupted_end_the_recorder(system, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "STUCK_LIMIT", 0)
    monkeypatch.setattr(recorder_module, "QueryRunner", partial(QueryRunner, grace=0.01))
    recorder = Supervised(system, tmp_path)
    recorder.wait(Started)
    ref = recorder.launch.ref
    uninterruptible = Query("SELECT length(repeat('x', 400000000))", timeout=0.01)

    def has_ended() -> bool:
        with suppress(ActorExitedError, recorder_module.StuckQueriesError):
            assert isinstance(ref.ask(uninterruptible, timeout=WAIT), QueryFailed)
            ref.ask(Tend(), timeout=WAIT)
        return not ref.is_alive()

    until(has_ended)  # again where the query ended before it had begun, or before it was tended to

    ended = recorder.wait(Exited)
    assert isinstance(ended, Exited)
    assert ended.reason.crash is not None
    assert "StuckQueriesError" in ended.reason.crash.type_name
    until(lambda: all(thread.name != "history-query" for thread in threading.enumerate()))  # it ends by itself


def test_a_damaged_file_is_mended_at_the_start_and_told_of_with_the_first_answer(system, tmp_path):
    (tmp_path / "history.duckdb").write_text("nothing of DuckDB's")
    recorder = Supervised(system, tmp_path)
    recorder.wait(Started)

    answer = recorder.launch.ref.ask(batch_of(1), timeout=WAIT)

    assert answer.outcome is Outcome.STORED
    assert "damaged" in answer.notices[0].why


@pytest.mark.parametrize("options", [{"events_age": -1.0}, {"max_bytes": 5}])
def test_a_retention_that_cannot_be_carried_out_fails_the_start(system, tmp_path, options):
    failed = Supervised(system, tmp_path, **options).wait(StartFailed)

    assert isinstance(failed, StartFailed)
    assert failed.reason.crash is not None
    assert failed.reason.crash.type_name == "builtins.ValueError"


def test_everything_published_on_a_bus_is_asked_for_in_sql(system, recorder, tmp_path):
    feed = feed_recorder(system.bus, system.ref(PATH), run=RUN, home=tmp_path)
    feed.start()
    for event in one_of_each():
        system.bus.publish(event)

    assert feed.flush(WAIT)
    result = recorder.launch.ref.ask(Query("SELECT path, error_type, phase FROM crashes ORDER BY seq"), timeout=WAIT)
    feed.close(WAIT)

    assert result.rows == [
        ["/io/mail", "builtins.ValueError", "starting"],
        ["/io/mail", "builtins.ValueError", "running"],
    ]


def test_no_event_is_lost_or_doubled_while_the_recorder_is_restarted_again_and_again(system, tmp_path):
    limits = FeedLimits(interval=0.005, batch_rows=50, retry_after=0.01, answer_timeout=5.0)
    recorder = Supervised(system, tmp_path)
    recorder.wait(Started)
    feed = feed_recorder(system.bus, system.ref(PATH), run=RUN, home=tmp_path, limits=limits, recorder_path=PATH)
    feed.start()
    stop = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not stop.wait(0.0005):
            system.bus.publish(MetricSampled(time.time(), "/", "n", float(published), "count"))
            published += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    for generation in range(2, 8):
        acknowledged = feed.statistics().acknowledged_batches
        until(lambda acknowledged=acknowledged: feed.statistics().acknowledged_batches > acknowledged + 3)
        recorder.stop()
        recorder = Supervised(system, tmp_path)
        recorder.wait(Started)
        system.bus.publish(ActorStarted(time.time(), PATH, generation, "thread", 1, 0.1))
    stop.set()
    publisher.join()
    assert feed.flush(WAIT)

    result = recorder.launch.ref.ask(Query("SELECT count(*), count(DISTINCT value) FROM metrics"), timeout=WAIT)
    gaps = recorder.launch.ref.ask(Query("SELECT * FROM gaps"), timeout=WAIT)
    feed.close(WAIT)

    assert result.rows == [[published, published]]
    assert gaps.rows == []
    assert feed.statistics().lost_rows == feed.statistics().dropped_events == 0
