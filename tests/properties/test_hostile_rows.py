"""Whatever a program puts into an event, the history keeps it or counts it, and keeps what is around it.

The feed, the recorder's process, the file and the files for other tools are the real ones.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command_line import run
from support.history import NOW, RUN
from support.hostile_events import (
    AFTER_INSTANTS,
    FIRST_INSTANT,
    MONSTERS,
    Foreign,
    hostile_events,
    instants,
    nested,
    numbers,
    texts,
)
from support.launching import Launching, launching
from support.waiting import WAIT, until

from actors.core.bus import EventBus
from actors.events import ActorReported, Event, MetricSampled, RestartScheduled, RunFinished
from actors.exits import ExitReason
from actors.history.catalog import CATALOG, folder_of
from actors.history.connecting import feed_recorder
from actors.history.payloads import event_of
from actors.history.protocol import Query, QueryResult, RecorderStatistics, Statistics
from actors.history.schema import TABLES
from actors.history.sql import query_file
from supervisors.specs import ChildSpec, ImportStart

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="process children are tried on POSIX"),
    pytest.mark.timeout(600),
]

KEPT = [table.name for table in TABLES if table.instant]
FOR_EVER = {"events_age": 1e12, "metrics_age": 1e12}
ALL_ROWS = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) AS rows FROM {table}" for table in KEPT)
thorough = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


class History:
    """A feed, the process its recorder runs in, and what both have kept."""

    def __init__(self, launched: Launching, home: Path) -> None:
        self.file = home / "history.duckdb"
        self.bus = EventBus()  # of its own: what the launcher tells of its child is not counted
        spec = ChildSpec(
            "recorder",
            ImportStart("actors.history.recorder:Recorder", {"path": str(self.file), "publish_every": 0.5, **FOR_EVER}),
            runs_in="process",
        )
        self.recorder = launched.launch(spec, "/sys/recorder")
        self.ref: Any = self.recorder.started()
        self.feed = feed_recorder(self.bus, self.ref, run=RUN, home=home)
        self.feed.start()
        self.neighbours = 0

    def publish(self, *events: Event) -> list[int]:
        """Publish `events`, each between two that are sound, and wait until all are stored; return their numbers."""
        numbers = []
        self._publish_neighbour()
        for event in events:
            numbers.append(self.bus.publish(event))
            self._publish_neighbour()
        assert self.feed.flush(WAIT), self.feed.statistics()
        return numbers

    def _publish_neighbour(self) -> None:
        self.bus.publish(MetricSampled(NOW, "/neighbour", "n", float(self.neighbours), "count"))
        self.neighbours += 1

    def rows(self, sql: str) -> list[list[Any]]:
        answer = self.ref.ask(Query(sql, limit_bytes=12 * 1024 * 1024), timeout=WAIT)
        assert isinstance(answer, QueryResult), answer
        return answer.rows

    def counts(self) -> dict[str, int]:
        return dict(self.rows(ALL_ROWS))

    def check_whole(self) -> None:
        """See that every row that was made is in the file, and every neighbour among them, once."""
        made = self.feed.statistics()
        assert (made.dropped_events, made.lost_rows, made.refused) == (0, 0, 0), made
        assert made.acknowledged_rows == made.rows
        assert sum(self.counts().values()) == made.rows - 1  # one is of the run
        found = self.rows("SELECT value FROM metrics WHERE path = '/neighbour' ORDER BY value")
        assert found == [[float(n)] for n in range(self.neighbours)]


@pytest.fixture(scope="module")
def history() -> Iterator[History]:
    with tempfile.TemporaryDirectory() as folder, launching(Path(folder) / "run") as launched:
        history = History(launched, Path(folder))
        yield history
        history.check_whole()
        statistics = history.ref.ask(Statistics(), timeout=WAIT)
        assert isinstance(statistics, RecorderStatistics)
        assert (statistics.problem, statistics.publish_problem) == ("", "")
        counts = history.counts()
        published = folder_of(history.file)
        until(lambda: foreign(published) == counts, WAIT, f"{counts} in the published files")
        assert history.feed.close(WAIT)
        history.recorder.handle.stop(ExitReason.shutdown())
        history.recorder.exited()
        assert dict(query_file(history.file, Query(ALL_ROWS)).rows) == counts
        with duckdb.connect(str(published / CATALOG), read_only=True) as connection:
            for table in KEPT:
                connection.execute(f"SELECT bit_xor(hash(t)) FROM {table} t").fetchall()
        for table in ("events", "metrics", "rejects"):
            check_shown(history.file, table)


def check_shown(file: Path, table: str) -> None:
    """See that `actorctl` shows the rows of `table` in each format, and a terminal no control characters."""
    asked = ("sql", f"SELECT * FROM {table} LIMIT 100", "--file", str(file))
    shown = {format: run(*asked, "-o", format) for format in ("table", "csv", "json")}
    assert [one.code for one in shown.values()] == [0, 0, 0], shown
    assert {control for control in "\0\a\b\x1b\x7f\x9b" if control in shown["table"].out} == set()
    assert isinstance(json.loads(shown["json"].out)["items"], list)


def foreign(folder: Path) -> dict[str, int]:
    """What another tool counts."""
    with duckdb.connect(str(folder / CATALOG), read_only=True) as connection:
        return dict(connection.execute(ALL_ROWS).fetchall())


@thorough
@given(st.lists(hostile_events(), min_size=1, max_size=6))
def test_whatever_an_event_holds_each_of_its_rows_is_kept_or_counted(history, events):
    before = Counter(history.counts())
    made = history.feed.statistics().rows

    numbers = history.publish(*events)

    after = Counter(history.counts())
    assert (after - before).total() == history.feed.statistics().rows - made
    found = {seq for (seq,) in history.rows("SELECT seq FROM events UNION SELECT seq FROM metrics")}
    gone = [event for seq, event in zip(numbers, events, strict=True) if seq not in found]
    assert after["rejects"] - before["rejects"] >= len(gone), gone


@thorough
@given(st.lists(st.tuples(instants, texts, numbers), min_size=1, max_size=6))
def test_a_value_its_column_can_hold_is_there_bit_by_bit(history, values):
    events = [MetricSampled(at, "/odd", name, value, "count") for at, name, value in values]

    numbers = history.publish(*events)

    listed = ", ".join(map(str, numbers))
    found = {
        row[0]: row[1:]
        for row in history.rows(f"SELECT seq, epoch_us(happened_at), name, value FROM metrics WHERE seq IN ({listed})")
    }
    for seq, (at, name, value) in zip(numbers, values, strict=True):
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:  # what the wire has no form for
            assert seq not in found
            continue
        wanted = datetime.fromtimestamp(at, UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        said = name.encode("utf-8", "backslashreplace").decode()
        assert found[seq][:2] == [wanted // timedelta(microseconds=1), said]
        assert bits(found[seq][2]) == bits(float(value))


def bits(value: float) -> bytes:
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monster_is_kept_as_json_that_can_be_read_or_counted_and_costs_nothing_else(history, name):
    events = [
        Foreign(NOW, "/monster", MONSTERS[name]),
        ActorReported(NOW, "/monster", 1, "here", {"it": MONSTERS[name]}),
        RunFinished(NOW, "/monster", "run", "failed", 1.0, MONSTERS[name]),  # type: ignore[arg-type]
    ]

    numbers = history.publish(*events)

    listed = ", ".join(map(str, numbers))
    found = history.rows(
        f"SELECT seq, type, epoch(happened_at), path, json_valid(payload) FROM events WHERE seq IN ({listed})"
    )
    assert [row[0] for row in sorted(found)] == numbers
    assert {row[4] for row in found} == {True}
    ((payload,),) = history.rows(f"SELECT payload FROM events WHERE seq = {numbers[1]}")
    assert isinstance(event_of("ActorReported", NOW, "/monster", payload), ActorReported)
    history.check_whole()


def test_a_huge_group_of_a_restart_costs_nothing_else(history):
    group = tuple(f"/work/{n:050}" for n in range(400_000))

    history.publish(
        RestartScheduled(NOW, "/work", "/", "one_for_all", 1, 1, 0.5, group, 1, 5, ExitReason.killed()),
        Foreign(NOW, "/work", nested(3)),
    )

    history.check_whole()


@pytest.mark.parametrize(("first", "last"), [(FIRST_INSTANT, AFTER_INSTANTS - 1.0), (AFTER_INSTANTS - 1.0, -1.5)])
def test_a_clock_that_steps_from_one_end_of_time_to_the_other_costs_no_row(history, first, last):
    steps = [first, last, NOW, last, first]

    numbers = history.publish(*(MetricSampled(at, "/clock", "n", float(n), "count") for n, at in enumerate(steps)))

    listed = ", ".join(map(str, numbers))
    found = history.rows(f"SELECT epoch(happened_at) FROM metrics WHERE seq IN ({listed}) ORDER BY seq")
    assert found == [[at] for at in steps]
