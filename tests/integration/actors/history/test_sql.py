from __future__ import annotations

import threading
from contextlib import suppress

import duckdb
import pytest
from support.history import NOW, batch_of, keep, metric_rows, one_of_each, open_store
from support.waiting import WAIT

from actors.history.errors import HistoryUnavailableError, QueryError, QueryProblem
from actors.history.files import FileSettings
from actors.history.protocol import RESULT_BYTES_LIMIT, Outcome, Query, QueryResult
from actors.history.sql import STATEMENT_LIMIT, query_file, run
from actors.history.watch import Watch


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    keep(store, one_of_each())
    yield store
    store.close()


@pytest.fixture
def ask(store):
    """Run a statement as the recorder does, on a cursor of its own."""
    watch = Watch("test-watch")

    def ask(sql: str, **options) -> QueryResult:
        query = Query(sql, **{"timeout": WAIT, **options})
        with store.reading() as connection, watch.over(connection.interrupt, query.timeout) as watched:
            return run(connection, query, watched, store.settings)

    yield ask
    watch.close()


def refused(ask, sql, **options) -> QueryError:
    with pytest.raises(QueryError) as caught:
        ask(sql, **options)
    return caught.value


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT path, kind FROM exits ORDER BY seq", [["/io/mail", "crashed"]] * 2),
        ("from starts select placement;", [["pool"]]),
        ("WITH a AS (SELECT 1 AS x) SELECT x FROM a -- the end", [[1]]),
        ("VALUES (1), (2)", [[1], [2]]),
        ("TABLE missing_nothing", None),
        ("SELECT count(*) FROM range(10)", [[10]]),
        ("SELECT unnest([1, 2])", [[1], [2]]),
        ("SELECT payload->>'state' FROM events WHERE type = 'NodeChanged'", [["ready"]]),
        ("SELECT 1.5, NULL, TRUE", [[1.5, None, True]]),
    ],
)
def test_a_reading_statement_gives_its_rows(ask, sql, rows):
    if rows is None:
        assert refused(ask, sql).problem is QueryProblem.INVALID
    else:
        assert ask(sql).rows == rows


@pytest.mark.parametrize(
    "sql", ["DESCRIBE events", "SHOW TABLES", "SUMMARIZE events", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1"]
)
def test_what_tells_about_the_tables_runs_too(ask, sql):
    assert ask(sql).count > 0


def test_columns_and_types_are_those_of_the_statement_even_where_they_repeat(ask):
    result = ask('SELECT 1 AS a, \'x\' AS a, now() AS "the ""time"""')

    assert result.columns == ("a", "a", 'the "time"')
    assert result.types == ("INTEGER", "VARCHAR", "TIMESTAMP WITH TIME ZONE")


def test_instants_are_utc_and_keep_their_order(ask):
    result = ask("SELECT happened_at, [happened_at] FROM starts")

    assert result.rows == [["2025-06-15T15:06:40Z", ["2025-06-15T15:06:40Z"]]]
    ordered = ask("SELECT to_timestamp(x) AS t FROM range(500) r(x) ORDER BY x DESC").rows
    assert ordered == sorted(ordered, reverse=True)
    assert len(ordered) == 500


def test_an_instant_can_be_compared_with_now(ask):
    assert ask("SELECT count(*) FROM events WHERE happened_at > now() - INTERVAL 1 HOUR").rows == [[0]]
    assert ask(f"SELECT count(*) FROM starts WHERE happened_at = to_timestamp({NOW})").rows == [[1]]


def test_parameters_are_values_and_never_sql(ask):
    hostile = "'; DROP TABLE events; --"

    assert ask("SELECT $a, $b + 1", parameters={"a": hostile, "b": 1}).rows == [[hostile, 2]]
    assert ask("SELECT count(*) FROM events WHERE path = $path", parameters={"path": hostile}).rows == [[0]]


HOSTILE = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM parquet_scan('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM duckdb_secrets()",
    "ATTACH '/tmp/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH history",
    "USE memory",
    "COPY events TO '/tmp/events.csv'",
    "COPY events FROM '/tmp/events.csv'",
    "EXPORT DATABASE '/tmp/all'",
    "IMPORT DATABASE '/tmp/all'",
    "PRAGMA database_list",
    "PRAGMA table_info('events')",
    "PRAGMA memory_limit='10GB'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 8",
    "SET GLOBAL memory_limit = '10GB'",
    "RESET lock_configuration",
    "DELETE FROM events",
    "UPDATE events SET path = '/'",
    "INSERT INTO events (seq) VALUES (1)",
    "MERGE INTO events USING events e ON false WHEN NOT MATCHED THEN INSERT",
    "TRUNCATE events",
    "DROP TABLE events",
    "ALTER TABLE events DROP COLUMN path",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "COMMENT ON TABLE events IS 'mine'",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "CALL pragma_version()",
    "BEGIN",
    "COMMIT",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SELECT 1; DROP TABLE events",
    "SELECT 1;;SELECT 2",
    "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO events (seq) VALUES (1) RETURNING *) SELECT * FROM new",
    "SELECT * FROM (SELECT 1) WHERE EXISTS (WITH d AS (UPDATE events SET path = '/' RETURNING 1) SELECT * FROM d)",
    "EXPLAIN ANALYZE DELETE FROM events",
    "EXPLAIN /* x */ (ANALYZE) DELETE FROM events",
    "EXPLAIN ANALYZE SELECT sleep_ms(10000)",
    "SUMMARIZE SELECT sleep_ms(10000)",
    "SELECT sleep_ms(10000)",
    'SELECT "sleep_ms" /* x */ (10000)',
    "SELECT system.main.sleep_ms(10000)",
    "SELECT list_transform([1], lambda x: sleep_ms(x))",
    "SELECT (SELECT max(sleep_ms(1)) FROM range(3))",
    "SELECT * FROM events ORDER BY sleep_ms(1)",
    "SELECT * FROM query('SELECT sleep_ms(10000)')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM pandas_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "SELECT * FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "SELECT * FROM seq_scan('events')",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM truncate_duckdb_logs()",
    "SELECT write_log('x')",
    "SELECT setseed(0.5)",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_writes_reaches_out_or_holds_a_thread_is_refused(ask, store, sql):
    before = store.execute("SELECT count(*), max(seq) FROM events")

    assert refused(ask, sql).problem is QueryProblem.REFUSED
    assert store.execute("SELECT count(*), max(seq) FROM events") == before


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ;; ",
        "-- nothing",
        "SELECT",
        "SELECT frob FROM events",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT $missing",
        "SELECT '\ud800'",
        "SELECT 1/0 + 'x'::INTEGER",
        "SELECT error('no')",
        "SELECT " + "1+" * 5_000 + "1",
        "EXPLAIN",
        "\x00",
    ],
)
def test_what_cannot_run_is_told_so(ask, sql):
    error = refused(ask, sql)

    assert error.problem is QueryProblem.INVALID
    assert error.message


@pytest.mark.parametrize("pair", ["()", "[]", "{}"])
@pytest.mark.parametrize("depth", [1_001, 49_000])
def test_deep_nesting_is_told_so_before_anything_is_parsed(ask, monkeypatch, pair, depth):
    monkeypatch.setattr("actors.history.sql._parsed", None)

    error = refused(ask, "SELECT " + pair[0] * depth + "1" + pair[1] * depth)

    assert error.problem is QueryProblem.INVALID
    assert "nested deeper than 1,000" in error.message


@pytest.mark.parametrize("depth", [900, 1_000])
def test_nesting_that_is_allowed_is_answered_and_nothing_breaks(ask, depth):
    with suppress(QueryError):  # how deep is too deep is DuckDB's to say
        ask("(" * depth + "SELECT 1" + ")" * depth)

    assert ask("SELECT ')(' || ']'").rows == [[")(]"]]


UNPLANNABLE = {
    "union": " UNION ALL ".join(["SELECT 1"] * 3_000),
    "join": "SELECT count(*) FROM " + ", ".join(f"events e{n}" for n in range(250)),
    "subqueries": "SELECT count(*) FROM " + ", ".join(f"(SELECT {n}) e{n}" for n in range(250)),
    "doubling": "WITH c0 AS (SELECT 1 AS a), "
    + ", ".join(f"c{n} AS NOT MATERIALIZED (FROM c{n - 1} UNION ALL FROM c{n - 1})" for n in range(1, 30))
    + " SELECT count(*) FROM C29",
    "doubling inside": "SELECT count(*) FROM (WITH c0 AS (SELECT 1 AS a), "
    + ", ".join(f"c{n} AS (FROM c{n - 1}, c{n - 1} AS other{n})" for n in range(1, 30))
    + " SELECT * FROM c29)",
    "explained": "EXPLAIN " + " UNION ALL ".join(["SELECT 1"] * 3_000),
    "never named": "WITH " + ", ".join(f"c{n} AS (SELECT {n})" for n in range(250)) + " SELECT 1",
}


@pytest.mark.parametrize("name", UNPLANNABLE)
def test_a_statement_that_would_take_long_to_plan_is_refused_for_planning_cannot_be_interrupted(ask, name):
    error = refused(ask, UNPLANNABLE[name])

    assert error.problem is QueryProblem.INVALID
    assert "more than 200 SELECTs and tables" in error.message


def test_many_selects_a_recursion_and_long_lists_are_answered(ask):
    assert ask(f"SELECT count(*) FROM ({' UNION ALL '.join(['SELECT 1'] * 150)})").rows == [[150]]
    assert ask("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT max(n) FROM r").rows
    assert ask(f"SELECT count(*) FROM range(9) WHERE range IN ({', '.join(map(str, range(5_000)))})").rows == [[9]]


@pytest.mark.parametrize("size", [STATEMENT_LIMIT + 1, 10_000_000])
def test_a_statement_that_is_too_long_is_told_so(ask, size):
    assert "100,000 are the most" in refused(ask, "SELECT 1 --" + "x" * (size - 11)).message
    assert ask("SELECT 1 --" + "x" * (STATEMENT_LIMIT - 11)).rows == [[1]]


def test_who_asks_a_file_is_told_of_a_query_that_cannot_be_interrupted(store, monkeypatch):
    monkeypatch.setattr("actors.history.sql.GRACE", 0.05)
    store.close()
    told = threading.Event()
    endless = "SELECT levenshtein(repeat('ab', 10000), repeat('ba', 10000))"

    with suppress(QueryError):  # it ends at last, its time over
        query_file(store.path, Query(endless, timeout=0.05), on_stuck=told.set)

    assert told.is_set()


def test_python_variables_are_no_tables(ask):
    secret = [{"password": "x"}]

    assert refused(ask, "SELECT * FROM secret").problem is QueryProblem.INVALID
    assert secret


ENDLESS = [
    "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c",
    "SELECT count(*) FROM events a, range(100000000) b, range(100000000) c WHERE a.seq + b.range = c.range",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000) a, range(1000000) b",
    "SUMMARIZE SELECT a.range + b.range FROM range(1000000) a, range(1000000) b",
]


@pytest.mark.parametrize("sql", ENDLESS)
def test_a_query_without_end_is_interrupted(ask, sql):
    assert refused(ask, sql, timeout=0.3).problem is QueryProblem.TIMEOUT
    assert ask("SELECT 1").rows == [[1]]


def test_the_watch_interrupts_a_statement_that_has_no_limit_of_its_own(store):
    watch = Watch("test-watch")
    with store.reading() as connection, watch.over(connection.interrupt, 0.2) as watched:
        with pytest.raises(duckdb.InterruptException):
            connection.execute(ENDLESS[0]).fetchall()
        assert watched.is_over
    watch.close()


def test_a_query_that_wants_too_much_memory_is_told_so_and_storing_goes_on(tmp_path):
    settings = FileSettings(memory_bytes=200_000_000, query_memory_bytes=50_000_000, spill_bytes=1_000_000)
    store = open_store(tmp_path, settings=settings)
    watch = Watch("test-watch")
    query = Query("SELECT list(range) FROM range(30000000)", timeout=60.0)
    with store.reading() as connection, watch.over(connection.interrupt, 60.0) as watched:
        with pytest.raises(QueryError) as caught:
            run(connection, query, watched, settings)
    watch.close()

    assert caught.value.problem is QueryProblem.MEMORY
    assert store.store(batch_of(1)).outcome is Outcome.STORED
    store.close()


@pytest.mark.parametrize(("limit", "count", "truncated"), [(9, 9, True), (10, 10, False), (11, 10, False)])
def test_rows_are_limited_and_the_result_says_so(ask, limit, count, truncated):
    result = ask("SELECT * FROM range(10)", limit_rows=limit)

    assert (result.count, len(result.rows), result.truncated) == (count, count, truncated)


def test_a_result_without_end_is_cut_at_its_limits(ask):
    result = ask("SELECT * FROM range(100000000000)", limit_rows=5_000)

    assert (result.count, result.truncated) == (5_000, True)
    assert result.rows[-1] == [4_999]


def test_bytes_are_limited_and_the_first_row_is_always_there(ask):
    many = ask("SELECT repeat('x', 1000) FROM range(100)", limit_bytes=10_000)
    one = ask("SELECT repeat('x', 100000) FROM range(100)", limit_bytes=10)

    assert (many.count, many.truncated) == (9, True)
    assert (one.count, one.truncated) == (1, True)
    assert len(many.cells) <= 10_010


def test_a_row_no_answer_can_carry_is_refused(ask):
    error = refused(ask, f"SELECT repeat('x', {RESULT_BYTES_LIMIT + 1})", timeout=60.0)

    assert error.problem is QueryProblem.MEMORY
    assert str(RESULT_BYTES_LIMIT) in error.message


@pytest.mark.parametrize("options", [{"timeout": 0.0}, {"limit_rows": 0}, {"limit_bytes": -1}])
def test_limits_are_positive(ask, options):
    assert refused(ask, "SELECT 1", **options).problem is QueryProblem.INVALID


def test_a_query_sees_what_was_committed_before_it_began(ask, store):
    assert ask("SELECT count(*) FROM metrics").rows == [[1]]
    store.store(batch_of(2, metric_rows(5)))

    assert ask("SELECT count(*) FROM metrics").rows == [[6]]


def test_the_file_of_a_node_that_is_down_answers_the_same(ask, store):
    sql = "SELECT * FROM events ORDER BY seq"
    running = ask(sql)
    store.close()
    before = store.path.stat().st_mtime_ns

    down = query_file(store.path, Query(sql))

    assert (down.columns, down.types, down.rows) == (running.columns, running.types, running.rows)
    assert store.path.stat().st_mtime_ns == before


@pytest.mark.parametrize("sql", ["DELETE FROM events", "SELECT * FROM read_text('/etc/passwd')", "ATTACH 'x' AS y"])
def test_the_file_of_a_node_that_is_down_is_guarded_the_same(store, sql):
    store.close()

    with pytest.raises(QueryError) as caught:
        query_file(store.path, Query(sql))

    assert caught.value.problem is QueryProblem.REFUSED


def test_a_missing_file_is_told_so_and_not_made(tmp_path):
    with pytest.raises(HistoryUnavailableError, match="no such file"):
        query_file(tmp_path / "history.duckdb", Query("SELECT 1"))

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_so_and_left_as_it_is(tmp_path):
    path = tmp_path / "history.duckdb"
    path.write_text("nothing of DuckDB's")

    with pytest.raises(HistoryUnavailableError, match="repaired when the node starts"):
        query_file(path, Query("SELECT 1"))

    assert path.read_text() == "nothing of DuckDB's"
