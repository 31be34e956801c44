"""The group of commands that `actorctl jobs` is; two modules lay their commands into it."""

from __future__ import annotations

from typing import Annotated

import typer

from supervisors.cli.calling import Panel

app = typer.Typer()
jobs_app = typer.Typer(help="Jobs: add, look, retry, cancel.", no_args_is_help=False)
app.add_typer(jobs_app, name="jobs", rich_help_panel=Panel.INSPECT.value)

Id = Annotated[str, typer.Argument(metavar="ID", help="Which: job-7.")]
