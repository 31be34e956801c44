"""`sql`: questions to the history, of the running node or of its file.

A running node holds the history file, so it answers itself; when no node runs, the file is opened here, for reading
alone, and a note says so. One reading statement is taken; what writes, reads other files or changes settings is refused
by whoever runs it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Format, Listing
from supervisors.cli.rowfiles import check_target, write_rows
from supervisors.cli.sqlprogress import shown
from supervisors.cli.texts import duration, plural, printable
from supervisors.cli.unfinished import until_given_up
from supervisors.node.durations import parse_duration, parse_size
from supervisors.requests import SqlArguments
from supervisors.views import ColumnView, QueryView, SqlView

app = typer.Typer()

HISTORY_NAME: Final = "history.duckdb"
ROW_LIMIT: Final = 10_000
QUERY_LIMIT: Final = 100_000
"""The longest statement read, in characters."""

TABLES_HINT: Final = 'actorctl sql --list has the tables; actorctl sql "describe events" has the columns of one'

_TABLES: Final = (Format.TABLE, Format.WIDE)
_NUMBERS: Final = ("DOUBLE", "FLOAT", "DECIMAL", "REAL")


@command(
    app,
    "sql",
    panel=Panel.EVENTS,
    document="Rows",
    shape=Shape.LIST,
    own_timeout=True,
    examples=(
        'sql "select path, count(*) as restarts from restarts group by path"',
        "sql --list",
        "sql -f report.sql -o csv",
        'sql "select * from events where path = $path" --set path=/io/gmail',
    ),
)
def sql(
    call: Call,
    query: Annotated[
        str | None,
        typer.Argument(metavar="[QUERY|NAME]", help="One SELECT; or a table or analysis of --list; - is stdin."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--from", "-f", metavar="FILE", help="Read the statement; - is stdin.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="List the analyses and tables.")] = False,
    values: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Value of $NAME.")] = None,
    history: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Read this history file, whether a node runs or not.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="DURATION", parser=parse_duration, show_default="10s", help="Longest run."),
    ] = 10.0,
    memory: Annotated[
        int, typer.Option("--memory", metavar="SIZE", parser=parse_size, help="Most memory of sorts and hash tables.")
    ] = 0,
    most_bytes: Annotated[
        int, typer.Option("--max-size", metavar="SIZE", parser=parse_size, help="Most bytes of the answer.")
    ] = 0,
    write: Annotated[
        str | None, typer.Option("--to", metavar="FILE", help="Write the rows: .parquet, .arrow, .csv, .json, .jsonl.")
    ] = None,
) -> Listing | None:
    """Ask the history in SQL, while the node runs and after.

    One reading statement, or the name of a table or analysis. When no node runs, its file is read.
    """
    if names:
        return _named_analyses()
    statement, parameters = _statement(query, file, values or [])
    arguments = SqlArguments(
        query=statement,
        parameters=parameters,
        limit=call.choice.limit if call.choice.limit is not None else ROW_LIMIT,
        timeout=timeout,
        size=most_bytes,
        memory=memory,
        key=os.urandom(12).hex(),
    )
    if write is not None:
        check_target(write)
    view = ask_history(call, arguments, history)
    if write is not None:
        _write(call, view, write)
        return None
    if not call.format.is_json:
        call.note(f"({plural(len(view.rows), 'row')}, {duration(view.seconds)}, {view.source})")
    if call.format in _TABLES and [column.name for column in view.columns] == ["explain_key", "explain_value"]:
        call.output.lines(line for _, plan in view.rows for line in printable(str(plan), lines=True).splitlines())
        return None  # a drawing of many lines is no cell
    return _listing(view)


def ask_history(call: Call, arguments: SqlArguments, history: str | None = None, *, quiet: bool = False) -> SqlView:
    """Ask the running node, or its history file where none runs.

    Args:
        call: Its settings say where to look.
        arguments: The question.
        history: A history file that is read whether a node runs or not.
        quiet: Do not say that the file is read.

    Raises:
        CommandError: There is no result, and why.
    """
    if history is not None:
        return query_history(Path(history), arguments)
    try:
        with connect(call) as node, shown(call, arguments):
            view: SqlView = node.request("sql", arguments, SqlView, timeout=arguments.timeout)
            return view
    except CommandError as error:
        if error.code == "usage" and not error.hint:
            raise CommandError(error.code, error.message, TABLES_HINT) from None
        file = home_of(call.settings) / HISTORY_NAME
        if error.code != "unreachable" or not file.exists():
            raise
        if not quiet:
            call.note(f"{error.message}; reading {file}")
        return query_history(file, arguments)


def query_history(file: Path, arguments: SqlArguments) -> SqlView:
    """Run a query on a history file that no node holds.

    Raises:
        CommandError: There is no result, and why.
    """
    from actors.history.errors import (
        HistoryError,
        HistoryLockedError,
        HistoryUnavailableError,
        QueryError,
        QueryProblem,
    )
    from actors.history.protocol import QUERY_BYTES_LIMIT, Query
    from actors.history.sql import query_file, said_of_stuck

    query = Query(
        arguments.query,
        arguments.parameters,
        limit_rows=arguments.limit,
        limit_bytes=arguments.size or QUERY_BYTES_LIMIT,
        timeout=arguments.timeout,
        memory_bytes=arguments.memory,
    )
    try:
        found = until_given_up(lambda give_up: query_file(file, query, on_stuck=give_up), "the query")
    except TimeoutError:
        raise CommandError("timeout", said_of_stuck(query), "narrow it") from None
    except QueryError as error:
        codes = {QueryProblem.TIMEOUT: "timeout", QueryProblem.REFUSED: "denied", QueryProblem.INVALID: "usage"}
        raise CommandError(codes.get(error.problem, "failed"), error.message, error.hint or TABLES_HINT) from None
    except HistoryLockedError as error:
        raise CommandError("conflict", str(error), "leave --file out: the running node answers itself") from None
    except HistoryUnavailableError as error:
        raise CommandError("not_found", str(error), "name it with --file, or its home with --home") from None
    except HistoryError as error:
        raise CommandError("failed", str(error), "actorctl doctor") from None
    columns = tuple(ColumnView(name=n, type=t) for n, t in zip(found.columns, found.types, strict=True))
    return SqlView(
        columns=columns,
        rows=tuple(map(tuple, found.rows)),
        is_truncated=found.truncated,
        seconds=found.seconds,
        source="file",
    )


def _write(call: Call, view: SqlView, target: str) -> None:
    """Write the rows of `view` to the file `target`, and say so."""
    keys = _unique([column.name for column in view.columns])
    columns = [ColumnView(name=key, type=c.type) for key, c in zip(keys, view.columns, strict=True)]
    write_rows(target, columns, view.rows)
    call.note(f"({plural(len(view.rows), 'row')} written to {target})")
    if view.is_truncated:
        call.note(f"there were more; --limit N and --max-size SIZE allow more than {plural(len(view.rows), 'row')}")


def _statement(query: str | None, file: str | None, values: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the statement and its parameters."""
    if query == "-" and file is None:
        query, file = None, "-"
    if (query is None) == (file is None):
        raise usage("sql takes one of: a statement, the name of an analysis, or --from FILE", "actorctl sql --list")
    if file is not None:
        try:
            text = sys.stdin.read(QUERY_LIMIT + 1) if file == "-" else _read(Path(file))
        except (OSError, UnicodeDecodeError) as error:
            raise usage(f"cannot read {file}: {error}", "actorctl sql --from FILE; - is stdin") from None
        query = text
    assert query is not None
    if len(query) > QUERY_LIMIT:
        raise usage(f"the statement is longer than {QUERY_LIMIT:,} characters", "ask for less at once")
    if not query.strip():
        raise usage("the statement is empty", 'actorctl sql "select * from events limit 10"')
    is_name = file is None and query.replace("-", "").replace("_", "").isalnum()
    given = _given(values)
    if is_name:
        return _of_name(query, given)
    return query, {name: _scalar(text) for name, text in given.items()}


def _read(file: Path) -> str:
    """Return the statement in `file`, or as much of it as shows that it is too long: a device may have no end."""
    with file.open(encoding="utf-8") as opened:
        return opened.read(QUERY_LIMIT + 1)


def _given(values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.isidentifier():
            raise usage(f"--set {value!r} is no NAME=VALUE", "--set path=/io/gmail")
        found[name] = text
    return found


def _scalar(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _listing(view: SqlView) -> Listing:
    keys = _unique([column.name for column in view.columns])
    columns = [
        Column(key, _getter(key), _shower(key), is_right=_is_number(column.type))
        for key, column in zip(keys, view.columns, strict=True)
    ]
    items = [dict(zip(keys, row, strict=True)) for row in view.rows]
    return Listing(
        "Rows",
        items,
        columns,
        lambda row: str(next(iter(row.values()), "")),
        is_truncated=view.is_truncated,
        sql_columns=tuple(ColumnView(name=key, type=c.type) for key, c in zip(keys, view.columns, strict=True)),
    )


def _is_number(kind: str) -> bool:
    return kind.endswith("INT") or kind == "INTEGER" or kind.startswith(_NUMBERS)


def _getter(key: str) -> Any:
    return lambda row: row[key]


def _shower(key: str) -> Any:
    def show(row: dict[str, Any]) -> str:
        value = row[key]
        if value is None:
            return "NULL"
        return f"{value:.6g}" if isinstance(value, float) else printable(str(value))

    return show


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, those that repeat with a number: `path`, `path_2`."""
    found: list[str] = []
    for name in names:
        number, key = 1, name
        while key in found:
            number += 1
            key = f"{name}_{number}"
        found.append(key)
    return found


def _named_analyses() -> Listing:
    from actors.history.queries import ANALYSES
    from actors.history.schema import TABLES, VIEWS

    items = [
        QueryView(name=name, kind="analysis", about=found.about, columns=tuple(p.name for p in found.parameters))
        for name, found in ANALYSES.items()
    ]
    items += [QueryView(name=view.name, kind="view", about=view.about) for view in VIEWS if view.name not in ANALYSES]
    items += [QueryView(name=t.name, kind="table", about=t.about, columns=t.column_names) for t in TABLES]
    columns = (
        Column("name", lambda q: q.name),
        Column("kind", lambda q: q.kind),
        Column("about", lambda q: q.about),
        Column("columns", lambda q: q.columns, lambda q: ", ".join(q.columns), is_wide=True),
    )
    return Listing("QueryList", items, columns, lambda q: str(q.name), hints=("actorctl sql NAME",))


def _of_name(name: str, given: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the statement of an analysis with its arguments, or that which shows a view or table."""
    from actors.history.queries import ANALYSES, bind
    from actors.history.schema import TABLES, VIEWS

    if name in ANALYSES:
        try:
            bound = bind(name, given, time.time())
        except ValueError as error:
            raise usage(str(error), f"actorctl sql {name} --set since=24h") from None
        return bound.sql, dict(bound.parameters)
    known = [*ANALYSES, *(view.name for view in VIEWS), *(table.name for table in TABLES)]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}; a statement has more than one word"
        )
        raise CommandError("not_found", f"there is no table or analysis {name!r}", hint)
    return f"SELECT * FROM {name}", {}
