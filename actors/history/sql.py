"""Guarded SQL over the history: one reading statement, cut off from files and settings, with limits it cannot lift.

Four fences stand one behind the other, because each has a known hole:

    kind of statement    one statement, reading by its type; `WITH … DELETE` passes, being a SELECT
    its parsed tree      no writing inside, no function that sleeps, writes logs or takes raw pointers, and not so many
                         tables that planning it, which cannot be interrupted, takes long (`weighing`)
    the transaction      read only; lets CHECKPOINT and temporary tables through
    the instance         no external access, configuration locked (`files.lock_down`)

A query has a connection of its own, a time limit (DuckDB's own, and an interrupt from outside), a memory limit for its
sorts and hash tables, and limits of rows and bytes for its result. A few expressions (`repeat('x', 500000000)`) cannot
be interrupted: `runner` answers for them in time and counts them as stuck.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import msgspec

from actors.history.catalog import SEARCH_PATH, fingerprint, folder_of, make_temporary_views, views_mark
from actors.history.cells import wire_cells
from actors.history.errors import QueryError, QueryProblem
from actors.history.files import DEFAULT_SETTINGS, FileSettings, is_damage, lock_down, open_read_only
from actors.history.protocol import RESULT_BYTES_LIMIT, Query, QueryResult
from actors.history.watch import GRACE, Watch, Watched
from actors.history.weighing import WEIGHT_LIMIT, weight

DAMAGED = "part of the history file is damaged"
READING = "only SELECT, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN run here"

TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_databases",
        "duckdb_functions",
        "duckdb_indexes",
        "duckdb_keywords",
        "duckdb_memory",
        "duckdb_schemas",
        "duckdb_settings",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "generate_subscripts",
        "histogram",
        "histogram_values",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_database_size",
        "pragma_show",
        "pragma_storage_info",
        "pragma_table_info",
        "pragma_version",
        "query_table",
        "range",
        "repeat_row",
        "summary",
        "unnest",
    }
)
"""Table functions a query may call. What is left out reads files, takes raw pointers, runs text as SQL or changes the
instance."""

FORBIDDEN_FUNCTIONS = frozenset({"nextval", "setseed", "setval", "sleep_ms", "write_log"})
"""Functions a query may not call: they hold a thread, or leave something behind."""

STATEMENT_LIMIT = 100_000
"""Most characters of a statement: the parser cannot be interrupted, and nothing else runs in its process meanwhile."""

NESTING_LIMIT = 1_000
"""Most brackets inside one another; DuckDB's parser gives up there as well, after seconds for a hundred thousand."""

_PROGRESS = ("SET enable_progress_bar = true", "SET enable_progress_bar_print = false", "SET progress_bar_time = 0")
_WRITING_NODE = re.compile(r"(DELETE|INSERT|UPDATE|MERGE)\w*_NODE")
_BRACKET = re.compile(r"[(\[{}\])]")
_TIME_ZONE = " WITH TIME ZONE"
_FIRST_ROWS = 64
_MOST_ROWS_AT_ONCE = 1_024


def run(
    connection: duckdb.DuckDBPyConnection,
    query: Query,
    watched: Watched,
    settings: FileSettings = DEFAULT_SETTINGS,
) -> QueryResult:
    """Run `query` on `connection`, which is used for it alone, and return its rows.

    Blocks the calling thread for as long as `watched` lets it, a statement that cannot be interrupted apart.

    Args:
        connection: A fresh cursor of a locked down instance.
        query: Statement, parameters, limits.
        watched: Interrupts the connection when the time is over.
        settings: Where the memory limit comes from.

    Raises:
        QueryError: There is no result, and why.
    """
    if query.timeout <= 0 or query.limit_rows <= 0 or query.limit_bytes <= 0:
        raise QueryError(QueryProblem.INVALID, "timeout, limit_rows and limit_bytes are positive")
    began = perf_counter()
    try:
        connection.execute(f"SET max_execution_time = {max(1, int(query.timeout * 1000))}")
        most = settings.query_memory_bytes
        memory_bytes = min(query.memory_bytes, most) if query.memory_bytes > 0 else most
        connection.execute(f"SET operator_memory_limit = '{memory_bytes}B'")
        if query.key:  # somebody may ask how far it is
            for setting in _PROGRESS:
                connection.execute(setting)
        statement, is_plain = check(connection, query.sql)
        parameters = dict(query.parameters)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        types: list[str] = []
        if is_plain:
            statement, types = _without_time_zones(connection, statement, parameters)
        connection.execute(statement, parameters)
        described = connection.description or []
        columns = tuple(str(column[0]) for column in described)
        types = types or [str(column[1]) for column in described]
        cells, count, truncated = _fetch(connection, query, types, watched)
        connection.execute("ROLLBACK")
    except duckdb.Error as error:
        raise _explained(error, query) from None
    except (UnicodeError, OverflowError, RecursionError, MemoryError) as error:
        raise QueryError(QueryProblem.INVALID, f"the result cannot be handed out: {error!r}") from None
    return QueryResult(columns, tuple(types), cells, count, truncated, perf_counter() - began)


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, bool]:
    """Return the one statement in `sql`, and whether it is a plain query (no EXPLAIN, DESCRIBE, SHOW, SUMMARIZE).

    Raises:
        QueryError: It is not one reading statement, or calls what is not allowed.
        duckdb.Error: It cannot be parsed.
    """
    _check_text(sql)
    statements = connection.extract_statements(sql)
    if not statements:
        raise QueryError(QueryProblem.INVALID, "there is no statement", READING)
    if len(statements) > 1:
        raise QueryError(QueryProblem.REFUSED, f"{len(statements)} statements were given", "send them one at a time")
    (found,) = statements
    if found.type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        name = str(found.type).rpartition(".")[2].replace("_", " ")
        raise QueryError(QueryProblem.REFUSED, f"{name} statements do not run here", READING)
    statement = found.query.strip().rstrip(";").rstrip()
    is_explain = found.type == duckdb.StatementType.EXPLAIN
    tree = _parsed(connection, _explained_statement(statement) if is_explain else statement)
    for node in _nodes(tree):
        _check_node(node)
    if weight(tree) > WEIGHT_LIMIT:
        said = f"it has more than {WEIGHT_LIMIT} SELECTs and tables, each as often as what it is named in (WITH)"
        raise QueryError(QueryProblem.INVALID, said, "ask for less at once; pass lists as parameters: $name")
    if not is_explain and _is_show_tables(tree):
        statement = _EACH_NAME_ONCE
    return statement, not is_explain and not _is_show(tree)


def _check_text(sql: str) -> None:
    """Refuse what is not worth parsing. Brackets in texts and comments count as all others do."""
    if len(sql) > STATEMENT_LIMIT:
        said = f"the statement has {len(sql):,} characters, {STATEMENT_LIMIT:,} are the most"
        raise QueryError(QueryProblem.INVALID, said, "pass values as parameters: $name")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise QueryError(QueryProblem.INVALID, "the statement holds a lone surrogate, which is no text") from None
    depth = 0
    for bracket in _BRACKET.findall(sql):
        depth = depth + 1 if bracket in "([{" else max(0, depth - 1)
        if depth > NESTING_LIMIT:
            raise QueryError(QueryProblem.INVALID, f"brackets are nested deeper than {NESTING_LIMIT:,}")


def said_of_stuck(query: Query) -> str:
    """Return what is said of a query that goes on although its time is over."""
    return f"time was over after {query.timeout:g} s, and it does not let itself be interrupted"


def query_file(
    path: Path,
    query: Query,
    settings: FileSettings = DEFAULT_SETTINGS,
    *,
    on_stuck: Callable[[], object] = lambda: None,
) -> QueryResult:
    """Run `query` on the history file of a node that is not running.

    The file is opened for reading alone and nothing in it changes; a write-ahead log left by kill -9 is read too. While
    the query runs, a node that starts has to wait for its history file.

    Args:
        path: The file.
        query: Statement, parameters, limits.
        settings: Memory and log limits.
        on_stuck: Called on another thread, again and again, where the query goes on `GRACE` seconds after its time.

    Raises:
        QueryError: There is no result, and why.
        HistoryLockedError: A node is running and holds the file: ask it.
        HistoryUnavailableError: There is no file, or it is damaged.
    """
    connection = open_read_only(path, settings)
    watch = Watch("history-query-watch")
    try:
        look_at_everything(connection, folder_of(path))
        lock_down(connection, folder_of(path))
        stuck = watch.over(on_stuck, query.timeout + GRACE)
        with watch.over(connection.interrupt, query.timeout) as watched, stuck:
            return run(connection, query, watched, settings)
    finally:
        watch.close()
        connection.close()


def look_at_everything(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Let names stand for the views over file and sealed files; for tables alone in a file that has no views yet.

    Raises:
        QueryError: What is sealed cannot be read.
    """
    mark = views_mark(connection)
    if mark is None:
        return
    try:
        if mark != fingerprint(folder):  # another program's, or the folder was moved
            make_temporary_views(connection, folder)
        connection.execute(f"SET search_path = '{SEARCH_PATH}'")
    except duckdb.Error as error:
        said = str(error).partition("\n")[0]
        raise QueryError(QueryProblem.UNAVAILABLE, f"what is sealed in {folder} cannot be read: {said}") from None


def _fetch(
    connection: duckdb.DuckDBPyConnection, query: Query, types: list[str], watched: Watched
) -> tuple[bytes, int, bool]:
    """Return the rows as msgpack, how many they are, and whether there were more."""
    convert = wire_cells(types)
    encode = msgspec.msgpack.Encoder().encode
    limit_bytes = min(query.limit_bytes, RESULT_BYTES_LIMIT)
    encoded: list[msgspec.Raw] = []
    size = 0
    at_once = _FIRST_ROWS
    while True:
        rows = connection.fetchmany(at_once)
        if watched.is_over:
            raise QueryError(QueryProblem.TIMEOUT, f"interrupted after {query.timeout:g} s", _TIMEOUT_HINT)
        for row in rows:
            line = encode(convert(row))
            size += len(line)
            if len(encoded) == query.limit_rows or (encoded and size > limit_bytes):
                return encode(encoded), len(encoded), True
            if size > RESULT_BYTES_LIMIT:
                said = f"one row takes {size} bytes, {RESULT_BYTES_LIMIT} are the most a result can have"
                raise QueryError(QueryProblem.MEMORY, said, "cut its texts: left(column, 1000)")
            encoded.append(msgspec.Raw(line))
        if len(rows) < at_once:
            return encode(encoded), len(encoded), False
        at_once = min(at_once * 2, _MOST_ROWS_AT_ONCE, query.limit_rows + 1 - len(encoded))
        at_once = max(at_once, 1)


def _without_time_zones(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, Any]
) -> tuple[str, list[str]]:
    """Return `statement` with its instants as UTC timestamps without a zone, and the types it had.

    DuckDB 2.0 needs the package pytz to hand a `TIMESTAMP WITH TIME ZONE` to Python; the session's zone is UTC, so a
    cast says the same.
    """
    relation = connection.sql(statement, params=parameters)
    types = [str(kind) for kind in relation.types]
    if not any(_TIME_ZONE in kind for kind in types):
        return statement, types
    names = [f"c{number}" for number in range(len(types))]
    asked = [str(name).replace('"', '""') for name in relation.columns]
    listed = ", ".join(
        f'CAST({name} AS {kind.replace(_TIME_ZONE, "")}) AS "{label}"' if _TIME_ZONE in kind else f'{name} AS "{label}"'
        for name, kind, label in zip(names, types, asked, strict=True)
    )
    return f"SELECT {listed} FROM (\n{statement}\n) AS asked({', '.join(names)})", types


def _parsed(connection: duckdb.DuckDBPyConnection, statement: str) -> Any:
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchone()
    assert row is not None  # a SELECT of one value
    try:
        tree = msgspec.json.decode(row[0])
    except (RecursionError, msgspec.DecodeError):
        raise QueryError(QueryProblem.REFUSED, "the statement is nested too deeply") from None
    if tree.get("error"):
        if tree.get("error_type") == "not implemented":
            raise QueryError(QueryProblem.REFUSED, "only a query can be explained", READING)
        raise QueryError(QueryProblem.INVALID, str(tree.get("error_message")))
    return tree


def _explained_statement(statement: str) -> str:
    """Return what follows EXPLAIN and its options."""
    tokens = [at for at, kind in duckdb.tokenize(statement) if kind is not duckdb.token_type.comment]
    ends = [*tokens[1:], len(statement)]
    depth = 0
    for at, end in zip(tokens, ends, strict=True):
        word = re.split(r"\s|--|/\*", statement[at:end], maxsplit=1)[0].lower()
        if depth or word.startswith("("):
            depth += word.count("(") - word.count(")")
        elif word not in {"explain", "analyze", "verbose"}:
            return statement[at:]
    raise QueryError(QueryProblem.INVALID, "there is nothing to explain")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind == "TABLE_FUNCTION":
        name = _function_name(node.get("function"))
        if name not in TABLE_FUNCTIONS:
            raise QueryError(QueryProblem.REFUSED, f"the table function {name} does not run here")
    elif node.get("class") == "FUNCTION":
        name = _function_name(node)
        if name in FORBIDDEN_FUNCTIONS:
            raise QueryError(QueryProblem.REFUSED, f"the function {name} does not run here")
    elif _WRITING_NODE.fullmatch(kind) is not None:
        raise QueryError(QueryProblem.REFUSED, "a statement inside it writes", READING)


def _function_name(node: Any) -> str:
    return str(node.get("function_name", "")).lower() if isinstance(node, dict) else ""


def _is_show(tree: Any) -> bool:
    return _shown_name(tree) is not None


def _is_show_tables(tree: Any) -> bool:
    return _shown_name(tree) == '"tables"'


def _shown_name(tree: Any) -> str | None:
    """Return what a SHOW, DESCRIBE or SUMMARIZE names, "" where that is a query; None for another statement."""
    table = tree["statements"][0]["node"].get("from_table")
    return str(table.get("table_name")) if isinstance(table, dict) and table.get("type") == "SHOW_REF" else None


_EACH_NAME_ONCE = "SELECT DISTINCT name FROM (SHOW TABLES) ORDER BY name"
"""A table is there twice: in the file, and as the view of that name over file and sealed files."""

_TIMEOUT_HINT = "narrow it, or allow it more time"


def _explained(error: duckdb.Error, query: Query) -> QueryError:
    said = str(error)
    if isinstance(error, duckdb.InterruptException):
        return QueryError(QueryProblem.TIMEOUT, f"interrupted after {query.timeout:g} s", _TIMEOUT_HINT)
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(QueryProblem.MEMORY, said.partition("\n")[0], "narrow it: fewer rows, groups or columns")
    if isinstance(error, duckdb.PermissionException):
        return QueryError(QueryProblem.REFUSED, said, "queries reach nothing but the history")
    if "read-only mode" in said:
        return QueryError(QueryProblem.REFUSED, said, READING)
    if is_damage(error):
        return QueryError(QueryProblem.UNAVAILABLE, said, DAMAGED)
    return QueryError(QueryProblem.INVALID, said)
