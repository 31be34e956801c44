"""`run`: the node, in the foreground. The one command that becomes the node instead of asking it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, command

app = typer.Typer()


@command(
    app,
    "run",
    panel=Panel.PROJECT,
    is_local=True,
    examples=("run", "run -c deploy/actors.toml", "run --home /var/lib/actors", "run my_package.app:tree"),
)
def run(
    call: Call,
    tree: Annotated[
        str | None, typer.Argument(metavar="[MODULE:NAME]", help="A tree written in Python, run beside /sys.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="Else actors.toml here, else the built-in system."),
    ] = None,
) -> None:
    """Run a tree here, in the foreground, until Ctrl-C.

    Ctrl-C drains, a second one hurries, a third kills.
    """
    from supervisors.node.lifecycle import run_foreground

    home = Path(call.settings.home) if call.settings.home else None
    call.end(int(run_foreground(config=Path(config) if config else None, home=home, app=tree)))
