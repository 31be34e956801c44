"""The group of commands that `actorctl cron` is; two modules lay their commands into it."""

from __future__ import annotations

import typer

from supervisors.cli.calling import Panel

app = typer.Typer()
cron_app = typer.Typer(help="What runs when: schedules, and what an expression means.", no_args_is_help=False)
app.add_typer(cron_app, name="cron", rich_help_panel=Panel.INSPECT.value)
