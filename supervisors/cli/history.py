"""`history`: where its files are for other tools, and its care: prune, verify, backup, restore, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.queries import HISTORY_NAME
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.texts import size
from supervisors.views import HistoryFileView

app = typer.Typer()
history_app = typer.Typer(help="The files of the history, and their care.", no_args_is_help=False)
app.add_typer(history_app, name="history", rich_help_panel=Panel.EVENTS.value)

File = Annotated[
    str | None, typer.Option("--file", metavar="FILE", help="This history file; else the one in the node's home.")
]

FILE_COLUMNS: Final = (
    Column("what", lambda file: file.what),
    Column("path", lambda file: file.path),
    Column("size", lambda file: file.size_bytes, lambda file: size(file.size_bytes) if file.is_there else "none yet"),
    Column("about", lambda file: file.about),
)


@command(
    history_app,
    "path",
    panel=Panel.EVENTS,
    document="HistoryFileList",
    shape=Shape.LIST,
    is_local=True,
    examples=("history path", "history path -o json", "history path metrics -o name"),
)
def path(
    call: Call,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="List the Parquet files that hold this table now.")
    ] = None,
    history: File = None,
) -> Listing:
    """Say what to point other tools at: DuckDB, pandas, polars, BI.

    Without a table: the catalog, which any DuckDB from 1.2 on opens beside the running node.
    """
    from actors.history.catalog import CATALOG, MANIFEST, folder_of
    from actors.history.folder import files_to_read

    file = history_file(call, history)
    folder = folder_of(file)
    if table is None:
        views = [
            _view("catalog", folder / CATALOG, "open it with DuckDB, read only: views over all tables"),
            _view("manifest", folder / MANIFEST, "which files count now, as JSON"),
            _view("folder", folder, "the Parquet files"),
            _view("database", file, "the recorder's own; leave it to `actorctl sql`"),
        ]
    else:
        try:
            views = [_view(table, path, "") for path in files_to_read(folder, table)]
        except ValueError as error:
            raise CommandError("not_found", str(error), "actorctl sql --list") from None
        except FileNotFoundError as error:
            raise CommandError(
                "not_found", str(error), "a node publishes there once it has run; --home names it"
            ) from None
    return Listing("HistoryFileList", views, FILE_COLUMNS, lambda view: str(view.path))


def history_file(call: Call, given: str | None) -> Path:
    """Return the history file that is meant: the one given, or that of the home.

    Raises:
        CommandError: The one given is none.
    """
    if given is None:
        return (home_of(call.settings) / HISTORY_NAME).absolute()
    found = Path(given)
    if found.is_dir():
        raise usage(f"{given} is a directory", f"--file {found / HISTORY_NAME}, or --home {given}")
    return found.absolute()


def _view(what: str, path: Path, about: str) -> HistoryFileView:
    try:
        found = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        is_there = path.exists()
    except OSError:  # it is being replaced at this moment
        found, is_there = 0, path.exists()
    return HistoryFileView(what=what, path=str(path), size_bytes=found, is_there=is_there, about=about)
