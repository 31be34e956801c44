"""`down`: end the node, and wait until its process is gone."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import Node, connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Page
from supervisors.cli.terminal import Terminal, wrap
from supervisors.cli.texts import duration, plural
from supervisors.node.durations import parse_duration
from supervisors.node.statefile import read_state
from supervisors.requests import ShutdownArguments, TreeArguments
from supervisors.views import DownOutcome, DownView, NodeKind, NodeState, ShutdownView, TreeView

app = typer.Typer()

KILL_SECONDS: Final = 30.0
"""Seconds beyond the drain within which a node is gone: what is left is killed, the history is written."""

LOOK_EVERY: Final = 0.05

_RUNNING: Final = frozenset({NodeState.READY, NodeState.SUSPENDED, NodeState.STARTING, NodeState.STOPPING})


Drain = Annotated[
    float | None,
    typer.Option(
        "--drain",
        metavar="DURATION",
        parser=parse_duration,
        show_default="runtime.drain",
        help="Let actors finish for so long, then kill.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]


@command(
    app,
    "down",
    panel=Panel.DAEMON,
    document="Down",
    shape=Shape.PAGE,
    own_timeout=True,
    examples=("down", "down --drain 2m --reason upgrade", "down --now", "down --no-wait"),
)
def down(
    call: Call,
    drain: Drain = None,
    now: Annotated[bool, typer.Option("--now", help="Kill at once.")] = False,
    reason: Reason = "",
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            parser=parse_duration,
            show_default="the drain and 30s",
            help="Longest wait for the end.",
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return when the node has begun to drain.")] = False,
) -> Page:
    """Drain the node and end it; wait until it is gone.

    On a node that drains already, a shorter drain and --now hurry it. What had to be killed is said. 6 when it is not
    gone in time; it goes on.
    """
    if now and drain is not None:
        raise usage("--now and --drain exclude each other", "--now is --drain 0s")
    return end_node(call, drain=0.0 if now else drain, reason=reason, timeout=timeout, no_wait=no_wait)


def end_node(
    call: Call, *, drain: float | None, reason: str, timeout: float | None = None, no_wait: bool = False
) -> Page:
    """Drain the node and end it; wait until it is gone, or for `timeout` seconds.

    Raises:
        CommandError: There is none, or it refuses.
    """
    began = time.monotonic()
    with connect(call) as node:
        view: ShutdownView = node.request("shutdown", ShutdownArguments(drain=drain), ShutdownView, reason=reason)
        until = began + (view.drain + KILL_SECONDS if timeout is None else timeout)
        process = node.endpoints.process
        while (is_there := process.is_alive) and not no_wait and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        waited = time.monotonic() - began
        failure = _still_there(node, waited) if is_there and not no_wait else None
    outcome = DownOutcome.GONE if not is_there else DownOutcome.PENDING if failure else DownOutcome.ACCEPTED
    record = read_state(node.place.home) if not is_there else None
    found = DownView(
        name=node.endpoints.name,
        pid=process.pid,
        home=str(node.place.home),
        outcome=outcome,
        drain=view.drain,
        workers=view.workers,
        seconds=waited,
        cut=record.cut if record is not None and record.process == process else (),
    )
    return Page(
        "Down",
        (found,),
        lambda terminal: [part for line in _lines(found) for part in _fitted(line, terminal)],
        lambda item: str(item.name),
        failure=failure,
    )


def _lines(view: DownView) -> list[str]:
    return [_line(view), *(f"cut off: {what}" for what in view.cut)]


def _fitted(line: str, terminal: Terminal) -> list[str]:
    return wrap(line, terminal.width) if terminal.width else [line]


def _line(view: DownView) -> str:
    who = f"{view.name} (process {view.pid})"
    match view.outcome:
        case DownOutcome.GONE:
            return f"{who} is gone after {duration(view.seconds)}"
        case DownOutcome.ACCEPTED:
            return f"{who} drains {plural(view.workers, 'worker')}, {duration(view.drain)} at most"
        case DownOutcome.PENDING:
            return f"{who} is still there after {duration(view.seconds)}"


def _still_there(node: Node, waited: float) -> CommandError:
    """Say who the node still waits for, where it can still say that."""
    try:
        tree: TreeView = node.request("tree", TreeArguments(), TreeView, timeout=0.0)
        left = [item.path for item in tree.nodes if item.kind is NodeKind.WORKER and item.state in _RUNNING]
    except CommandError:
        left = []
    named = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
    waits = f"; it waits for {named}" if left else ""
    return CommandError("timeout", f"down: not gone after {duration(waited)}{waits}; it goes on", "actorctl down --now")
