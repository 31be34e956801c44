"""`wait`: until the node runs and what is meant in its tree is in a state."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer
from msgspec.structs import replace

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

LOOK_EVERY: Final = 0.1
"""Seconds between two looks for a node that does not run."""


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
        "wait --if-running --timeout 5s",
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
    if_running: Annotated[
        bool, typer.Option("--if-running", help="Do not wait for the node itself: 4 where none runs.")
    ] = False,
) -> Page:
    """Wait until nodes are in a state; 6 when they are not in time.

    A node that does not run yet, or is being restarted, is waited for too. With --for gone, one that does not run has
    nothing any more. 4 when there is no node until the end.
    """
    arguments = WaitArguments(
        selectors=tuple(checked(selector) for selector in selectors or ()),
        condition=_checked_condition(condition),
        timeout=timeout,
    )
    view = _await(call, arguments, is_patient=not if_running)
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


def _await(call: Call, wanted: WaitArguments, *, is_patient: bool) -> WaitView:
    """Return what the node answers, the first that does: one that is gone before it answered is waited for again.

    Raises:
        CommandError: It refuses; `unreachable`: none came in time, or none is there and `is_patient` is False.
    """
    began = time.monotonic()
    has_told = False
    while True:
        left = max(0.0, wanted.timeout - (time.monotonic() - began))
        try:
            with connect(call) as node:
                view: WaitView = node.request("wait", replace(wanted, timeout=left), WaitView, timeout=left)
                return replace(view, seconds=time.monotonic() - began)
        except CommandError as error:
            if error.code != "unreachable" or not is_patient:
                raise
            if wanted.condition == "gone":
                call.note(error.message)
                return WaitView(condition="gone", is_met=True, seconds=time.monotonic() - began, matched=0, pending=())
            if left <= LOOK_EVERY:
                message = f"{error.message}; waited {duration(wanted.timeout)} for it"
                raise CommandError(error.code, message, error.hint) from None
            if not has_told:
                call.note(f"{error.message}; waiting for it")
                has_told = True
        time.sleep(LOOK_EVERY)


def _checked_condition(condition: str) -> str:
    key, equals, value = condition.partition("=")
    states = [state.value for state in NodeState]
    if condition == "gone" or (key in {"state", "state!"} and equals and value in states):
        return condition
    if key in {"state", "state!"} and equals:
        raise usage(f"--for: {value!r} is no state", f"states: {', '.join(states)}")
    raise usage(f"--for: {condition!r} is no condition", "write state=ready, state!=restarting or gone")
