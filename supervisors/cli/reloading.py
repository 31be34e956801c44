"""`reload`: read the configuration again, show what it changes, and change that and nothing else."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.ending import Reason
from supervisors.cli.failures import CommandError
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.selecting import checked
from supervisors.cli.terminal import Style
from supervisors.cli.texts import duration, plural, printable
from supervisors.node.durations import parse_duration
from supervisors.requests import ReloadArguments
from supervisors.views import ReloadItem, ReloadView

app = typer.Typer()

RELOAD_SECONDS: Final = 120.0
"""Longest wait for a reload, unless `--timeout` says otherwise: workers have time to stop and to start."""

_STYLES: Final = {"failed": Style.BAD, "done": Style.GOOD}

COLUMNS: Final = (
    Column("action", lambda i: i.action),
    Column("path", lambda i: i.path),
    Column("outcome", lambda i: i.outcome, style=lambda i: _STYLES.get(i.outcome)),
    Column("changes", lambda i: "; ".join(i.changes), lambda i: printable("; ".join(i.changes))),
    Column("message", lambda i: i.message, lambda i: printable(i.message)),
)


@command(
    app,
    "reload",
    panel=Panel.DAEMON,
    document="ReloadList",
    shape=Shape.LIST,
    own_timeout=True,
    examples=(
        "reload --dry-run",
        "reload --reason 'another mail server'",
        "reload --dry-run --exit-code",
        "reload --only /io/gmail",
    ),
)
def reload(
    call: Call,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: end with 5 where something would change.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SELECTOR", help="Only this path and below, or glob. May be given again."),
    ] = None,
    reason: Reason = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="DURATION", parser=parse_duration, show_default="2m", help="Longest wait; it goes on."
        ),
    ] = RELOAD_SECONDS,
) -> Listing:
    """Read the configuration again, and change in the running tree what differs.

    A configuration with faults is refused whole (8) and nothing is changed. Several instances of one worker are
    replaced one after another, behind one more that is ready first. The signal HUP does the same. With --only,
    whatever else differs waits for another reload, settings of the node too.
    """
    with connect(call) as node:
        arguments = ReloadArguments(dry_run=dry_run, only=tuple(checked(selector) for selector in only or ()))
        view: ReloadView = node.request("reload", arguments, ReloadView, timeout=timeout, reason=reason)
    failure = None
    if view.code:
        raise CommandError(view.code, view.faults[0], "actorctl reload --dry-run")
    if view.faults:
        for fault in view.faults:
            call.note(fault)
        failure = CommandError("invalid", f"{plural(len(view.faults), 'fault')}; nothing was changed", "actorctl check")
    failed = [item for item in view.items if item.outcome == "failed"]
    if failed:
        some = ", ".join(item.path for item in failed)
        failure = CommandError("partial", f"not everything came up: {some}", f"actorctl why {failed[0].path}")
    elif dry_run and exit_code and view.items:
        failure = CommandError("condition", f"{plural(len(view.items), 'change')}", "actorctl reload")
    if failure is None:
        restarts = sum(item.action == "needs-restart" for item in view.items)
        how = f"{'planned' if dry_run else 'done'} in {duration(view.seconds)}"
        call.note(f"{plural(view.unchanged, 'worker')} unchanged, {how}")
        if restarts:
            call.note(
                f"{plural(restarts, 'setting')} of the node count from its next start on: actorctl daemon restart"
            )
    return Listing(
        "ReloadList", view.items, COLUMNS, _path, None, "nothing changes" if not view.faults else "", failure=failure
    )


def _path(item: ReloadItem) -> str:
    return item.path
