"""`start`, `stop`, `restart`, `suspend`, `resume`, `kill` and `reset`: what changes nodes of the tree.

Each takes targets, never none. What a person stops stays stopped until a person starts it. `--dry-run` answers with
the plan: what would stop and start, in which order, and what is left of the restart budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing
from supervisors.cli.selecting import WHOLE_TREE, targets
from supervisors.cli.states import LOOKS, limit
from supervisors.cli.terminal import Style
from supervisors.cli.texts import duration, plural, printable
from supervisors.node.durations import parse_duration
from supervisors.requests import TargetArguments, TreeArguments
from supervisors.views import CommandView, NodeKind, TargetOutcome, TargetView, TreeView

app = typer.Typer()

Selectors = Annotated[
    list[str] | None,
    typer.Argument(metavar="SELECTOR...", help="Paths, globs or @STATE.", autocompletion=complete_paths),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        parser=parse_duration,
        show_default="30s",
        help="Longest wait for the end result.",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return when the command is accepted.")]
Rolling = Annotated[
    bool,
    typer.Option(
        "--rolling", help="One worker after another, asks held and answered; one more instance is ready before."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]

VERBS: Final = {
    "start": "Start what is stopped, quarantined or failed.",
    "stop": "Stop actors; they stay stopped until a person starts them.",
    "restart": "Stop actors and start them anew.",
    "reread": "Have programs read their configuration again; they run on.",
    "suspend": "Hold back the messages of actors.",
    "resume": "Let the messages of suspended actors through.",
    "kill": "End actors at once; their supervisor restarts them.",
    "reset": "Forget restart counts and back-off; try again now.",
}
"""Every control verb and what it does."""

_WHOLE: Final = {
    "start": "actorctl run",
    "stop": "actorctl down, or: actorctl stop '/*' --yes",
    "restart": "actorctl daemon restart, or: actorctl restart '/*' --yes",
    "suspend": "actorctl daemon pause",
    "resume": "actorctl daemon resume",
    "kill": "actorctl kill '/*' --yes",
}
_OUTCOMES: Final = {
    TargetOutcome.DONE: Style.GOOD,
    TargetOutcome.UNCHANGED: Style.DIM,
    TargetOutcome.ACCEPTED: Style.DIM,
    TargetOutcome.PENDING: Style.WARNING,
    TargetOutcome.FAILED: Style.BAD,
    TargetOutcome.PLANNED: None,
}


def _declare(verb: str, about: str) -> Callable[..., Any]:
    examples = [f"{verb} /io/gmail", f"{verb} '/io/*' --reason maintenance", f"{verb} /work --dry-run"]
    if verb in {"start", "restart", "reset"}:
        examples.append(f"{verb} @failed --no-wait")
    if verb == "restart":
        examples.append("restart --rolling '/work/task#*' --timeout 5m")

    def control(
        call: Call,
        selectors: Selectors = None,
        reason: Reason = "",
        timeout: Timeout = 30.0,
        no_wait: NoWait = False,
        dry_run: DryRun = False,
    ) -> Listing:
        wanted = TargetArguments(selectors=(), wait=not no_wait, timeout=timeout, dry_run=dry_run)
        return _carry_out(call, verb, selectors, wanted, reason)

    def restart(
        call: Call,
        selectors: Selectors = None,
        rolling: Rolling = False,
        reason: Reason = "",
        timeout: Timeout = 30.0,
        no_wait: NoWait = False,
        dry_run: DryRun = False,
    ) -> Listing:
        wanted = TargetArguments(selectors=(), wait=not no_wait, timeout=timeout, dry_run=dry_run, rolling=rolling)
        return _carry_out(call, verb, selectors, wanted, reason)

    function = restart if verb == "restart" else control
    function.__doc__ = about
    return command(
        app,
        verb,
        panel=Panel.CONTROL,
        document="CommandResult",
        shape=Shape.LIST,
        asks=True,
        own_timeout=True,
        examples=tuple(examples),
    )(function)


def _carry_out(call: Call, verb: str, selectors: list[str] | None, wanted: TargetArguments, reason: str) -> Listing:
    from msgspec import structs

    chosen = targets(verb, selectors, _WHOLE.get(verb, f"actorctl {verb} '/**' --yes"))
    with connect(call) as node:
        if not wanted.dry_run and WHOLE_TREE.intersection(chosen):
            _confirm(call, verb, node)
        arguments = structs.replace(wanted, selectors=chosen)
        view: CommandView = node.request(verb, arguments, CommandView, timeout=wanted.timeout, reason=reason)
    return _result(verb, view, wanted.timeout)


def _confirm(call: Call, verb: str, node: Any) -> None:
    """Ask before the whole tree is touched; without a terminal `--yes` must have been given."""
    settings = call.settings
    if settings.yes:
        return
    view: TreeView = node.request("tree", TreeArguments(), TreeView)
    workers = sum(item.kind is NodeKind.WORKER for item in view.nodes)
    question = f"{verb} all {plural(workers, 'worker')} of {view.header.name}"
    import sys

    if settings.no_input or not sys.stdin.isatty() or not call.output.err_terminal.is_tty:
        raise usage(
            f"this would {question}, and nobody can be asked", f"say --yes, or name a part: actorctl {verb} /PATH"
        )
    call.output.err.write(f"{question}? [y/N] ")
    call.output.err.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("failed", f"{verb}: not confirmed, nothing was changed", f"actorctl {verb} /PATH for a part")


def _result(verb: str, view: CommandView, timeout: float) -> Listing:
    failed = [item for item in view.items if item.outcome is TargetOutcome.FAILED]
    pending = [item for item in view.items if item.outcome is TargetOutcome.PENDING]
    return Listing(
        "CommandResult",
        view.items,
        PLAN_COLUMNS if any(item.plan is not None for item in view.items) else RESULT_COLUMNS,
        lambda item: str(item.path),
        nothing=f"nothing to {verb}",
        failure=_failure(verb, failed, pending, len(view.items), timeout),
    )


def _failure(
    verb: str, failed: list[TargetView], pending: list[TargetView], count: int, timeout: float
) -> CommandError | None:
    if not failed and not pending:
        return None
    first = (failed or pending)[0]
    hint = first.hint or f"actorctl why {first.path}"
    if not failed:
        paths = ", ".join(item.path for item in pending[:5]) + (" …" if len(pending) > 5 else "")
        return CommandError("timeout", f"{verb}: still pending after {duration(timeout)}: {paths}; it goes on", hint)
    message = f"{verb} {first.path}: {first.message or 'failed'}"
    if len(failed) == count:
        same = {item.code for item in failed}
        code = first.code if len(same) == 1 and first.code else "failed"
        more = f" (and {len(failed) - 1} more)" if count > 1 else ""
        return CommandError(code, message + more, hint)
    return CommandError("partial", f"{message}; {len(failed)} of {count} targets failed", hint)


RESULT_COLUMNS: Final = (
    Column("path", lambda t: t.path),
    Column("outcome", lambda t: t.outcome.value, style=lambda t: _OUTCOMES[t.outcome]),
    Column("state", lambda t: t.state.value if t.state else None, lambda t: LOOKS[t.state].word if t.state else "-"),
    Column("took", lambda t: t.seconds, lambda t: duration(t.seconds), is_right=True),
    Column("code", lambda t: t.code, is_wide=True),
    Column("message", lambda t: t.message),
)
PLAN_COLUMNS: Final = (
    Column("path", lambda t: t.path),
    Column("outcome", lambda t: t.outcome.value),
    Column("stops", lambda t: t.plan.stops if t.plan else (), lambda t: " ".join(t.plan.stops) if t.plan else "-"),
    Column("starts", lambda t: t.plan.starts if t.plan else (), lambda t: " ".join(t.plan.starts) if t.plan else "-"),
    Column("supervisor", lambda t: t.plan.supervisor if t.plan else "", is_wide=True),
    Column("limit", lambda t: limit(t.plan.limit) if t.plan else ""),
    Column(
        "gives_up",
        lambda t: t.plan.gives_up if t.plan else None,
        lambda t: "yes" if t.plan and t.plan.gives_up else "no",
    ),
    Column("message", lambda t: t.message, lambda t: printable(t.message)),
)

for _verb, _about in VERBS.items():
    _declare(_verb, _about)
