"""`backup` and `restore`: copies of the state that a node keeps: jobs, schedules and what else must not be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from actors.state.backup import Contents, backup, inspect, restore
from actors.state.file import StateError
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.discovery import places
from supervisors.cli.failures import CommandError
from supervisors.cli.rendering import Column, Listing
from supervisors.views.work import BackupView
from transport.endpoints import private_directory

app = typer.Typer()

STATE = "state.db"


@command(
    app,
    "backup",
    panel=Panel.EVENTS,
    document="BackupList",
    shape=Shape.LIST,
    is_local=True,
    examples=("backup state-friday.db", "backup state-friday.db --verify"),
)
def back_up(
    call: Call,
    to: Annotated[str, typer.Argument(metavar="FILE", help="A new file.")],
    verify: Annotated[bool, typer.Option("--verify", help="Only check one that is there.")] = False,
) -> Listing:
    """Copy what the node must not lose (jobs, schedules) into one file, while the node runs or not."""
    home, file = places(call.settings)[0].home, Path(to)
    try:
        if verify:
            return _listing(file, "verified", inspect(file))
        return _listing(file, "written", backup(home / STATE, file))
    except StateError as error:
        raise CommandError("failed", str(error), "") from None


@command(
    app,
    "restore",
    panel=Panel.EVENTS,
    document="BackupList",
    shape=Shape.LIST,
    is_local=True,
    examples=("restore state-friday.db",),
)
def put_back(call: Call, copy: Annotated[str, typer.Argument(metavar="FILE", help="What backup wrote.")]) -> Listing:
    """Put a backup back, once it is found sound; the node must be down. What was there is moved aside."""
    home = places(call.settings)[0].home
    try:
        with FileLock(private_directory(home / "run") / "node.lock", timeout=0):  # a node holds it for its life
            found, aside = restore(Path(copy), home / STATE)
    except Timeout:
        raise CommandError("conflict", f"a node runs in {home}", "actorctl down") from None
    except (StateError, OSError) as error:
        raise CommandError("failed", str(error), "") from None
    return _listing(home / STATE, f"restored; before: {aside}" if aside is not None else "restored", found)


def _listing(path: Path, outcome: str, contents: Contents) -> Listing:
    view = BackupView(
        path=str(path), outcome=outcome, size=contents.size_bytes, owners=contents.owners, rows=contents.rows
    )
    columns = (
        Column("path", lambda v: v.path),
        Column("outcome", lambda v: v.outcome),
        Column("size", lambda v: v.size, is_right=True),
        Column("rows", lambda v: sum(v.rows.values()), is_right=True),
    )
    return Listing("BackupList", [view], columns, lambda v: str(v.path))
