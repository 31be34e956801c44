"""The group of commands that `actorctl history` is, which several modules lay commands into; which file is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import usage
from supervisors.cli.queries import HISTORY_NAME

app = typer.Typer()
history_app = typer.Typer(help="The files of the history, and their care.", no_args_is_help=False)
app.add_typer(history_app, name="history", rich_help_panel=Panel.EVENTS.value)

File = Annotated[
    str | None, typer.Option("--file", metavar="FILE", help="This history file; else the one in the node's home.")
]


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
