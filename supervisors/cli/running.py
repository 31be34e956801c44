"""`run`: the node, in the foreground. The one command that becomes the node instead of asking it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, command
from supervisors.cli.failures import usage

app = typer.Typer()

ServiceName = Annotated[
    str,
    typer.Option(
        "--service", metavar="MANAGER:NAME", help="Who starts it again; a duplicate then waits for the other's end."
    ),
]


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
    service: ServiceName = "",
    background: Annotated[bool, typer.Option("--background", hidden=True)] = False,
) -> None:
    """Run a tree here, in the foreground, until Ctrl-C.

    Ctrl-C drains, a second one hurries, a third kills.
    """
    from supervisors.node.lifecycle import run_foreground

    if tree is not None and tree.endswith(".toml"):
        raise usage(f"{tree} is a file, not a tree in Python", f"actorctl run -c {shlex.quote(tree)}")
    home = Path(call.settings.home) if call.settings.home else None
    file = Path(config) if config else None
    call.end(int(run_foreground(config=file, home=home, app=tree, service=service, is_background=background)))
