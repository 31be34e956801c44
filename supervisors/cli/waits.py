"""`wait`: until nodes are in a state."""

from __future__ import annotations

from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Page
from supervisors.cli.selecting import checked
from supervisors.cli.states import mark, phrase
from supervisors.cli.texts import duration, plural
from supervisors.node.durations import parse_duration
from supervisors.requests import WaitArguments
from supervisors.views import NodeState, WaitView

app = typer.Typer()


@command(
    app,
    "wait",
    panel=Panel.INSPECT,
    document="Wait",
    shape=Shape.PAGE,
    own_timeout=True,
    examples=(
        "wait --timeout 30s",
        "wait /io/gmail --for state=ready --timeout 30s",
        "wait '/work/**' --for state!=restarting",
    ),
)
def wait(
    call: Call,
    selectors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SELECTOR]...",
            help="Paths, globs or @STATE; none is the whole tree.",
            autocompletion=complete_paths,
        ),
    ] = None,
    condition: Annotated[
        str, typer.Option("--for", metavar="CONDITION", help="state=STATE, state!=STATE or gone.")
    ] = "state=ready",
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="DURATION", parser=parse_duration, show_default="30s", help="Give up then."),
    ] = 30.0,
) -> Page:
    """Wait until nodes are in a state; 6 when they are not in time."""
    arguments = WaitArguments(
        selectors=tuple(checked(selector) for selector in selectors or ()),
        condition=_checked_condition(condition),
        timeout=timeout,
    )
    with connect(call) as node:
        view: WaitView = node.request("wait", arguments, WaitView, timeout=timeout)
    failure = None
    if not view.is_met:
        said = "; ".join(f"{n.path} is {phrase(n)}" for n in view.pending[:5])
        more = f" and {len(view.pending) - 5} more" if len(view.pending) > 5 else ""
        message = f"not {condition} within {duration(timeout)}: {said or 'nothing matches'}{more}"
        hint = f"actorctl why {view.pending[0].path}" if view.pending else "actorctl ps"
        failure = CommandError("timeout", message, hint)
    return Page(
        "Wait",
        (view,),
        lambda terminal: (
            [f"{condition} after {duration(view.seconds)} ({plural(view.matched, 'node')})"]
            if view.is_met
            else [f"{mark(n, terminal)} {n.path}  {phrase(n)}" for n in view.pending]
        ),
        lambda item: str(item.condition),
        failure=failure,
    )


def _checked_condition(condition: str) -> str:
    key, equals, value = condition.partition("=")
    states = [state.value for state in NodeState]
    if condition == "gone" or (key in {"state", "state!"} and equals and value in states):
        return condition
    if key in {"state", "state!"} and equals:
        raise usage(f"--for: {value!r} is no state", f"states: {', '.join(states)}")
    raise usage(f"--for: {condition!r} is no condition", "write state=ready, state!=restarting or gone")
