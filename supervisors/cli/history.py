"""`history path`: where the files of the history are, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from supervisors.cli import historycare, historyexport
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.failures import CommandError
from supervisors.cli.historyapp import File, app, history_app, history_file
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.texts import size
from supervisors.views import HistoryFileView

__all__ = ["app", "historycare", "historyexport"]

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


def _view(what: str, path: Path, about: str) -> HistoryFileView:
    try:
        found = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        is_there = path.exists()
    except OSError:  # it is being replaced at this moment
        found, is_there = 0, path.exists()
    return HistoryFileView(what=what, path=str(path), size_bytes=found, is_there=is_there, about=about)
