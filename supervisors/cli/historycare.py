"""`history prune`, `backup`, `restore` and `verify`: the care of the history, of a node that runs or is down.

A running node's recorder holds the file, so it is asked; else the file is opened here. DuckDB is loaded when it is
needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import Node, connect
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.historyapp import File, history_app, history_file
from supervisors.cli.queries import HISTORY_NAME, ask_history
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.texts import plural, size
from supervisors.node.durations import parse_duration, parse_size
from supervisors.requests import Arguments, HistoryCopyArguments, HistoryPruneArguments, SqlArguments
from supervisors.views import HistoryCheckView, HistoryCopyView, HistoryPrunedView, PingView, PrunedView
from supervisors.views.work import BackupView

T = TypeVar("T")

PRUNE_SECONDS: Final = 600.0
COPY_SECONDS: Final = 3_600.0
VERIFY_SECONDS: Final = 600.0
"""Longest waits for a running node, unless `--timeout` says otherwise; for one question each in `verify`."""

FOR_EVER: Final = 100.0 * 365 * 86_400
"""Seconds that a node which is down keeps what was not named."""

PRUNED_COLUMNS: Final = (
    Column("table", lambda v: v.table),
    Column("outcome", lambda v: v.outcome),
    Column("rows", lambda v: v.rows, is_right=True),
    Column("bytes", lambda v: v.size_bytes, is_right=True),
    Column("where", lambda v: v.file or HISTORY_NAME),
)
CHECK_COLUMNS: Final = (
    Column("what", lambda v: v.what),
    Column("name", lambda v: v.name),
    Column("outcome", lambda v: v.outcome),
    Column("rows", lambda v: v.rows, is_right=True),
    Column("size", lambda v: v.size_bytes, lambda v: size(v.size_bytes) if v.size_bytes else "", is_right=True),
    Column("about", lambda v: v.about),
)
BACKUP_COLUMNS: Final = (
    Column("path", lambda v: v.path),
    Column("outcome", lambda v: v.outcome),
    Column("size", lambda v: v.size, is_right=True),
    Column("rows", lambda v: sum(v.rows.values()), is_right=True),
)

Directory = Annotated[str, typer.Argument(metavar="DIR", help="A folder.")]


@command(
    history_app,
    "prune",
    panel=Panel.EVENTS,
    document="PrunedList",
    shape=Shape.LIST,
    is_local=True,
    examples=("history prune --older-than 30d --dry-run", "history prune --max-size 2GiB", "history prune"),
)
def prune(
    call: Call,
    older: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DURATION", parser=parse_duration, help="What happened longer ago."),
    ] = None,
    metrics: Annotated[
        float | None,
        typer.Option("--metrics-older-than", metavar="DURATION", parser=parse_duration, help="The same, for metrics."),
    ] = None,
    most_bytes: Annotated[
        int | None, typer.Option("--max-size", metavar="SIZE", parser=parse_size, help="The oldest beyond that.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> Listing:
    """Forget what is older, or more, than wanted; while the node runs, what is not named is as configured.

    Sealed days go as whole files, whose exact bytes are told. Rows of the database leave their room to new rows.
    """
    asked = HistoryPruneArguments(
        events_age=older,
        metrics_age=metrics if metrics is not None else older,
        max_bytes=most_bytes,
        dry_run=dry_run,
        timeout=call.settings.timeout or PRUNE_SECONDS,
    )
    view = _of_running(
        call, lambda node: node.request("history-prune", asked, HistoryPrunedView, timeout=asked.timeout)
    )
    if view is None:
        view = _prune_file(call, asked)
    if view.why:
        call.note(view.why)
    freed, rows = sum(item.size_bytes for item in view.items), sum(item.rows for item in view.items)
    would = "would be" if dry_run else "are"
    call.note(f"({plural(rows, 'row')} {would} gone, {freed} bytes of the disk {would} free)")
    return Listing(
        "PrunedList", view.items, PRUNED_COLUMNS, lambda v: str(v.file or v.table), nothing="nothing to forget"
    )


@command(
    history_app,
    "backup",
    panel=Panel.EVENTS,
    document="BackupList",
    shape=Shape.LIST,
    is_local=True,
    examples=("history backup friday", "history backup friday --verify"),
)
def back_up(
    call: Call,
    directory: Directory,
    verify_only: Annotated[bool, typer.Option("--verify", help="Only check one that is there.")] = False,
) -> Listing:
    """Copy the whole history into a new folder, while the node runs or not, and verify it.

    The copy is a history itself: sql --file DIR/history.duckdb reads it.
    """
    from actors.history import backup
    from actors.history.errors import HistoryError
    from actors.history.protocol import CopyMade

    to = Path(directory).absolute()
    with _told(HistoryError, OSError):
        if verify_only:
            return _backups(to, "verified", backup.inspect(to))
        backup.check_target(to)
        asked = HistoryCopyArguments(name=os.urandom(8).hex(), timeout=call.settings.timeout or COPY_SECONDS)
        copied = _of_running(
            call, lambda node: node.request("history-copy", asked, HistoryCopyView, timeout=asked.timeout)
        )
        if copied is None:
            return _backups(to, "written", backup.backup(history_file(call, None), to))
        made = CopyMade(copied.folder, copied.sealed, copied.rows)
        if not Path(made.folder).is_dir():
            raise CommandError("failed", "the node laid the copy on another machine", "run this where the node runs")
        return _backups(to, "written", backup.keep_copy(made, to))


@command(
    history_app,
    "restore",
    panel=Panel.EVENTS,
    document="BackupList",
    shape=Shape.LIST,
    is_local=True,
    examples=("history restore friday", "history restore friday --replace"),
)
def put_back(
    call: Call,
    directory: Directory,
    replace: Annotated[bool, typer.Option("--replace", help="Also over a history; it is moved aside.")] = False,
) -> Listing:
    """Put a backup of the history back, once it is found sound; the node must be down."""
    from actors.history import backup
    from actors.history.errors import HistoryBackupError, HistoryError

    file = history_file(call, None)
    with _told(HistoryError, OSError), _alone(call):
        try:
            found, aside = backup.restore(Path(directory).absolute(), file, replace=replace)
        except HistoryBackupError as error:
            if error.why == backup.IN_THE_WAY:
                hint = "--replace moves it aside, beside the new one"
                raise CommandError("conflict", str(error), hint) from None
            raise
    return _backups(file, f"restored; before: {aside}" if aside is not None else "restored", found)


@command(
    history_app,
    "verify",
    panel=Panel.EVENTS,
    document="HistoryCheckList",
    shape=Shape.LIST,
    is_local=True,
    examples=("history verify", "history verify --file friday/history.duckdb", "history verify -o json"),
)
def verify(call: Call, history: File = None) -> Listing:
    """Open every file of the history, read and count every row, name every gap in the batches of a run.

    It ends with 5 where something is damaged, missing or was lost. Nothing is changed.
    """
    from actors.history.catalog import folder_of
    from actors.history.errors import HistoryError, HistoryLockedError, HistoryUnavailableError
    from actors.history.verifying import Checked, Soundness, check_file, check_published

    file = history_file(call, history)

    def rows(sql: str) -> Sequence[Sequence[Any]]:
        try:
            return ask_history(call, SqlArguments(query=sql, timeout=call.settings.timeout or VERIFY_SECONDS)).rows
        except CommandError as error:
            if error.code in {"unreachable", "denied", "timeout", "conflict"}:
                raise
            raise HistoryError(error.message) from None

    found: list[Checked] | None = None
    if history is None:
        found = _of_running(call, lambda node: _checked(node, rows))
    try:
        if found is None:
            found = list(check_file(file))
        found += check_published(folder_of(file))
    except HistoryLockedError as error:
        raise CommandError("conflict", str(error), "leave --file out: the running node answers itself") from None
    except HistoryUnavailableError as error:
        raise CommandError("not_found", str(error), "name it with --file, or its home with --home") from None
    items = [
        HistoryCheckView(
            what=c.what, name=c.name, outcome=c.found.value, rows=c.rows, size_bytes=c.size_bytes, about=c.about
        )
        for c in found
    ]
    wrong = sum(c.found is not Soundness.OK for c in found)
    failure = None
    if wrong:
        hint = "what is damaged is repaired when the node next starts; actorctl sql lost says what was lost"
        failure = CommandError("condition", f"{wrong} of {plural(len(found), 'part')} are not as they should be", hint)
    return Listing("HistoryCheckList", items, CHECK_COLUMNS, lambda v: str(v.name), failure=failure)


def _checked(node: Node, rows: Callable[[str], Sequence[Sequence[Any]]]) -> list[Any]:
    """Return what the running node says of its rows; the first word shows whether there is one."""
    from actors.history.verifying import check_rows

    node.request("ping", Arguments(), PingView)
    return list(check_rows(rows))


def _prune_file(call: Call, asked: HistoryPruneArguments) -> HistoryPrunedView:
    """Prune the history of a node that is down."""
    from actors.history.catalog import folder_of
    from actors.history.errors import HistoryError
    from actors.history.files import open_read_only
    from actors.history.forgetting import forget, plan
    from actors.history.protocol import Pruned
    from actors.history.publishing import Publisher
    from actors.history.retention import Retention, check_retention
    from actors.history.store import HistoryStore

    if asked.events_age is None and asked.metrics_age is None and asked.max_bytes is None:
        raise usage("no node runs that knows how long to keep what", "name --older-than DURATION or --max-size SIZE")
    now = time.time()
    try:
        retention = check_retention(
            Retention(asked.events_age or FOR_EVER, asked.metrics_age or FOR_EVER, asked.max_bytes or 0)
        )
    except ValueError as error:
        raise usage(str(error), "actorctl history prune --help") from None
    file = history_file(call, None)
    outcome = "would go" if asked.dry_run else "gone"
    with _told(HistoryError, OSError), _alone(call):
        if not file.exists():
            raise CommandError("not_found", f"there is no history at {file}", "a node makes it when it first runs")
        pruned: Pruned | None
        if asked.dry_run:
            connection = open_read_only(file)
            try:
                parts = plan(connection, file, folder_of(file), retention, now)
            finally:
                connection.close()
            pruned = Pruned({}, 0, 0, parts=parts)
        else:
            store = HistoryStore(file, now=time.time)
            try:
                publisher = Publisher(store.folder, lambda work: work(store), now=time.time)
                publisher.turn(is_last=True)
                pruned = forget(publisher, lambda work: work(store), retention, now)
                for notice in store.take_notices():
                    call.note(notice.why)
            finally:
                store.close()
    assert pruned is not None  # the file is open
    return HistoryPrunedView(
        items=tuple(
            PrunedView(table=p.table, outcome=outcome, rows=p.rows, size_bytes=p.size_bytes, file=p.file)
            for p in pruned.parts
        ),
        used_bytes=pruned.used_bytes,
        free_bytes=pruned.free_bytes,
        why=pruned.why,
    )


def _of_running(call: Call, ask: Callable[[Node], T]) -> T | None:
    """Return the answer of the running node; None where none runs."""
    try:
        with connect(call) as node:
            return ask(node)
    except CommandError as error:
        if error.code == "unreachable":
            return None
        raise


@contextmanager
def _alone(call: Call) -> Iterator[None]:
    """Keep any node of the home from starting; refuse where one runs."""
    from filelock import FileLock, Timeout

    from transport.endpoints import private_directory

    home = home_of(call.settings)
    try:
        with FileLock(private_directory(home / "run") / "node.lock", timeout=0):  # a node holds it for its life
            yield
    except Timeout:
        raise CommandError("conflict", f"a node runs in {home}", "actorctl down") from None


@contextmanager
def _told(*kinds: type[Exception]) -> Iterator[None]:
    """Let errors of these kinds be the command's failure."""
    try:
        yield
    except kinds as error:
        raise CommandError("failed", str(error)) from None


def _backups(path: Path, outcome: str, contents: Any) -> Listing:
    view = BackupView(
        path=str(path),
        outcome=outcome,
        size=contents.size_bytes,
        owners={"history": contents.schema_version},
        rows=contents.rows,
    )
    return Listing("BackupList", [view], BACKUP_COLUMNS, lambda v: str(v.path))
