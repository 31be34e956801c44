"""`history export`: events of the history for other systems, as CloudEvents 1.0: JSON lines or Parquet."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from actors.addresses import is_within, matches
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.historyapp import File, history_app
from supervisors.cli.past import when_of
from supervisors.cli.queries import ask_history
from supervisors.cli.selecting import checked
from supervisors.cli.texts import plural
from supervisors.requests import SqlArguments
from supervisors.selectors import GLOB_CHARACTERS

PAGE: Final = 5_000
"""Numbers of events that are asked for at once; halved where their rows take more than an answer holds."""

SECONDS: Final = 60.0
"""Longest run of one question, unless `--timeout` says otherwise."""


@command(
    history_app,
    "export",
    panel=Panel.EVENTS,
    shape=Shape.NOTHING,
    is_local=True,
    examples=(
        "history export events.jsonl --since 7d",
        "history export - '/io/**' --type 'actor.*' --since yesterday | jq .data",
        "history export events.parquet --since 2026-11-01 --until 2026-12-01",
    ),
)
def export(
    call: Call,
    to: Annotated[str, typer.Argument(metavar="FILE", help="events.jsonl or events.parquet; - is stdout, JSON lines.")],
    selectors: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Only about these and what is below; or globs.")
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="From then on: 7d, 'yesterday', ISO.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Before then.")] = "",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="A topic or type: actor.exit, ActorExited, actor.*"),
    ] = None,
    has_metrics: Annotated[bool, typer.Option("--metrics", help="Measured values too, each an event.")] = False,
    history: File = None,
) -> None:
    """Write events of the history as CloudEvents 1.0, oldest first: JSON lines, or Parquet."""
    span = {
        "since": when_of(call, since, "--since") if since else None,
        "until": when_of(call, until, "--until") if until else None,
    }
    paths = [checked(path) for path in selectors or ()]
    if any(path.startswith("@") for path in paths):
        raise usage("events are about paths, not about states", "actorctl history export - '/io/*'")
    if to != "-" and Path(to).suffix not in {".jsonl", ".json", ".parquet"}:
        raise usage(f"{to}: its name says no format", "end it in .jsonl or .parquet, or write to stdout with -")
    instants = {name: _iso(at) for name, at in span.items()}
    chosen = (
        event
        for row_kind, event in _events(call, history, instants, has_metrics=has_metrics)
        if _is_wanted(event["subject"], paths) and _is_type(row_kind, types or ())
    )
    if to == "-":
        _write_lines(chosen, sys.stdout)
        return
    count = _write_file(Path(to).absolute(), chosen)
    call.note(f"({plural(count, 'event')} written to {to})")


def _events(
    call: Call, history: str | None, span: dict[str, str | None], *, has_metrics: bool
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield each event with its topic and type, page by page."""
    from actors.history.cloudevents import cloud_event, page_sql, plan_sql

    timeout = call.settings.timeout or SECONDS
    plan = SqlArguments(query=plan_sql(has_metrics=has_metrics), parameters=span, timeout=timeout)
    for epoch, first, last, node in ask_history(call, plan, history).rows:
        size, at = PAGE, first
        while at <= last:
            window = {"epoch": epoch, "first": at, "last": min(at + size - 1, last)}
            page = SqlArguments(
                query=page_sql(has_metrics=has_metrics), parameters={**span, **window}, limit=2 * PAGE, timeout=timeout
            )
            found = ask_history(call, page, history, quiet=True)
            if found.is_truncated and size > 1:
                size = max(1, size // 4)
                continue
            for row in found.rows:
                yield (row[4], row[3]), cloud_event(node, row)
            at += size
            size = min(size * 2, PAGE)


def _write_lines(events: Iterable[dict[str, Any]], file: Any) -> int:
    count = 0
    for event in events:
        file.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    return count


def _write_file(path: Path, events: Iterable[dict[str, Any]]) -> int:
    """Write the file, which is whole or as it was before; return how many events it has."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".parquet":
            count = _write_parquet(temporary, events)
        else:
            with open(temporary, "w", encoding="utf-8") as file:
                count = _write_lines(events, file)
        os.replace(temporary, path)
    except OSError as error:
        raise CommandError("failed", f"{path} cannot be written: {error}", "name another file") from None
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write_parquet(path: Path, events: Iterable[dict[str, Any]]) -> int:
    """Write the events as a table; they pass through a file of DuckDB's, not through memory."""
    import duckdb

    from actors.history.catalog import quoted
    from actors.history.cloudevents import COLUMNS

    staged = path.with_name(f"{path.name}.rows")
    names = [name for name, _ in COLUMNS]
    try:
        with duckdb.connect(
            str(staged), config={"autoinstall_known_extensions": "false", "threads": "1"}
        ) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE TABLE events ({', '.join(f'{name} {kind}' for name, kind in COLUMNS)})")
            appender = connection.appender("events")
            count = 0
            for event in events:
                event["data"] = json.dumps(event["data"], ensure_ascii=False)
                event["time"] = datetime.fromisoformat(event["time"])
                appender.append_row(*(event[name] for name in names))
                count += 1
                if count % PAGE == 0:
                    appender.flush()
            appender.flush()
            del appender
            connection.execute(f"COPY events TO '{quoted(path)}' (FORMAT parquet, COMPRESSION zstd)")
        return count
    except duckdb.Error as error:
        raise OSError(str(error)) from None
    finally:
        for left in (staged, staged.with_name(f"{staged.name}.wal")):
            left.unlink(missing_ok=True)


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _is_wanted(path: str, wanted: list[str]) -> bool:
    return not wanted or any(
        matches(path, one) if GLOB_CHARACTERS & set(one) else is_within(path, one) for one in wanted
    )


def _is_type(kind: tuple[str, str], wanted: Iterable[str]) -> bool:
    chosen = list(wanted)
    return not chosen or any(fnmatchcase(name, one) for one in chosen for name in kind)
