"""`daemon`: start, stop, restart, status, logs, drain, pause and resume of the node as a whole.

What these words do to one actor is said without `daemon`: `restart /io/gmail`. So no forgotten path restarts it all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import Node, connect
from supervisors.cli.ending import Drain, Reason, down, end_node
from supervisors.cli.failures import CommandError
from supervisors.cli.logs import logs
from supervisors.cli.reloading import reload
from supervisors.cli.rendering import Page
from supervisors.cli.running import ServiceName, run
from supervisors.cli.services import carry_out
from supervisors.cli.starting import READY_SECONDS, ConfigFile, NoWait, Patience, Tree, check_startable, start
from supervisors.cli.terminal import Terminal
from supervisors.cli.texts import plural
from supervisors.cli.trees import status
from supervisors.node.install.choosing import KINDS, Installed, is_usually_system, read_installed
from supervisors.requests import Arguments, ReloadArguments
from supervisors.views import PauseView, ReloadView

CHECK_SECONDS: Final = 60.0
"""Longest wait for a node to have read its configuration anew."""

app = typer.Typer()
daemon_app = typer.Typer(help="Start, end and pause the node as a whole.", no_args_is_help=False)
app.add_typer(daemon_app, name="daemon", rich_help_panel=Panel.DAEMON.value)


@command(
    daemon_app,
    "start",
    panel=Panel.DAEMON,
    is_local=True,
    own_timeout=True,
    examples=("daemon start", "daemon start --foreground", "daemon start -c deploy/actors.toml"),
)
def start_daemon(
    call: Call,
    tree: Tree = None,
    config: ConfigFile = None,
    timeout: Patience = READY_SECONDS,
    no_wait: NoWait = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here until it ends, as run does.")] = False,
    service: ServiceName = "",
) -> None:
    """Start a node in the background, as up does, or in the foreground."""
    if foreground:
        run(call, tree, config, service)
    else:
        start(call, tree=tree, config=config, timeout=0.0 if no_wait else timeout)


command(
    daemon_app,
    "stop",
    panel=Panel.DAEMON,
    document="Down",
    shape=Shape.PAGE,
    own_timeout=True,
    examples=("daemon stop", "daemon stop --drain 2m", "daemon stop --now"),
)(down)


@command(
    daemon_app,
    "restart",
    panel=Panel.DAEMON,
    own_timeout=True,
    examples=("daemon restart", "daemon restart --drain 2m --reason upgrade"),
)
def restart(
    call: Call,
    drain: Drain = None,
    reason: Reason = "",
    timeout: Patience = READY_SECONDS,
) -> None:
    """End the node and start it again as it was started: same file, same home, same folder.

    Its configuration is checked first, and its disk: where that has faults, or is full, nothing is stopped. A node that
    a service manager keeps is restarted by that manager.
    """
    from supervisors.node.statefile import read_state

    with connect(call) as node:
        home = node.place.home
        record = read_state(home)
        if record is not None and record.service:
            _check_as_the_node_reads_it(call, node)
    if record is None:
        raise CommandError(
            "failed",
            f"{home}/run/state.json does not say how the node was started; nothing was stopped",
            "actorctl down, then start it as before",
        )
    if record.service:
        kind, _, name = record.service.partition(":")
        installed = read_installed(home) or Installed(kind, name, is_usually_system())
        if kind not in KINDS:
            raise CommandError(
                "conflict",
                f"the node is kept by {record.service}, which would start it again by itself; nothing was stopped",
                "restart it there",
            )
        carry_out(call, "restart", installed)
        return
    directory = record.directory if os.path.isdir(record.directory) else None
    check_startable(call, tree=record.app or None, config=record.config or None, home=home, directory=directory)
    call.write(end_node(call, drain=drain, reason=reason))
    if call.exit_code:
        return
    call.settings = call.settings.at_home(str(home.absolute()))
    start(call, tree=record.app or None, config=record.config or None, timeout=timeout, directory=directory)


command(
    daemon_app,
    "status",
    panel=Panel.DAEMON,
    document="Status",
    shape=Shape.PAGE,
    examples=("daemon status", "daemon status --check"),
)(status)

command(
    daemon_app,
    "logs",
    panel=Panel.DAEMON,
    document="LogList",
    shape=Shape.LIST,
    is_local=True,
    examples=("daemon logs", "daemon logs -n 100 -f"),
)(logs)


@command(
    daemon_app,
    "drain",
    panel=Panel.DAEMON,
    document="Down",
    shape=Shape.PAGE,
    examples=("daemon drain", "daemon drain --drain 10m --reason maintenance"),
)
def drain_node(call: Call, drain: Drain = None, reason: Reason = "") -> Page:
    """Let work in flight end and then end the node; return when that has begun."""
    return end_node(call, drain=drain, reason=reason, no_wait=True)


@command(
    daemon_app,
    "pause",
    panel=Panel.DAEMON,
    document="Paused",
    shape=Shape.PAGE,
    examples=("daemon pause", "daemon pause --reason 'the database moves'"),
)
def pause(call: Call, reason: Reason = "") -> Page:
    """Let every worker's messages wait; nothing is stopped, and /sys goes on.

    What starts meanwhile is suspended too. The pause ends with daemon resume, or with the node.
    """
    return _paused(call, "pause", reason)


@command(
    daemon_app,
    "resume",
    panel=Panel.DAEMON,
    document="Paused",
    shape=Shape.PAGE,
    examples=("daemon resume",),
)
def resume(call: Call, reason: Reason = "") -> Page:
    """Let the workers go on that a pause suspended."""
    return _paused(call, "unpause", reason)


command(
    daemon_app,
    "reload",
    panel=Panel.DAEMON,
    document="ReloadList",
    shape=Shape.LIST,
    own_timeout=True,
    examples=("daemon reload --dry-run", "daemon reload"),
)(reload)


def _check_as_the_node_reads_it(call: Call, node: Node) -> None:
    """See that the configuration is sound in the environment that the manager gives the node.

    A node that does not answer, or that starts or ends, is restarted all the same.

    Raises:
        CommandError: `invalid`; nothing was stopped.
    """
    try:
        view: ReloadView = node.request("reload", ReloadArguments(dry_run=True), ReloadView, timeout=CHECK_SECONDS)
    except CommandError as error:
        if error.code in {"unreachable", "timeout", "conflict"}:
            return
        raise
    if view.faults:
        for fault in view.faults:
            call.note(fault)
        raise CommandError("invalid", f"{plural(len(view.faults), 'fault')}; nothing was stopped", "actorctl check")


def _paused(call: Call, verb: str, reason: str) -> Page:
    with connect(call) as node:
        view: PauseView = node.request(verb, Arguments(), PauseView, timeout=15.0, reason=reason)
        name = node.endpoints.name
    failure = None
    if view.pending:
        failure = CommandError("timeout", f"not within its time: {', '.join(view.pending)}; it goes on", "actorctl ps")

    def lines(_terminal: Terminal) -> Iterator[str]:
        did = "suspended" if verb == "pause" else "let go on"
        yield f"{name} is {view.state}: {plural(view.workers, 'worker')} {did}"

    return Page("Paused", (view,), lines, lambda item: str(item.state), failure=failure)
