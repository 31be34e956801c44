"""`send` and `ask`: a message to an actor from the shell."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.failures import usage
from supervisors.cli.rendering import Page
from supervisors.cli.selecting import one_path
from supervisors.cli.terminal import Terminal
from supervisors.cli.texts import printable
from supervisors.node.durations import parse_duration
from supervisors.requests import SendArguments
from supervisors.views import AnswerView, SentView

app = typer.Typer()

Path = Annotated[str, typer.Argument(metavar="PATH", help="The actor.", autocompletion=complete_paths)]
Message = Annotated[str, typer.Argument(metavar="MESSAGE", help="A message type it handles; see describe.")]
Payload = Annotated[str, typer.Argument(metavar="[JSON|-]", help="Its fields as a JSON object; - reads stdin.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]

PAYLOAD_LIMIT = 1_000_000
"""The longest payload read, in characters; the node refuses larger requests."""


@command(
    app,
    "send",
    panel=Panel.CONTROL,
    document="Sent",
    shape=Shape.PAGE,
    examples=("""send /io/gmail Refresh '{"label": "INBOX"}'""", "send /work/index Gather"),
)
def send(call: Call, path: Path, message: Message, payload: Payload = "{}", reason: Reason = "") -> Page:
    """Send an actor a message, without waiting for an answer."""
    arguments = SendArguments(path=one_path(path), message=message, payload=read_payload(payload))
    with connect(call) as node:
        view: SentView = node.request("send", arguments, SentView, reason=reason)
    return Page(
        "Sent", (view,), lambda _: [f"{view.message} is in the mailbox of {view.path}"], lambda item: str(item.path)
    )


@command(
    app,
    "ask",
    panel=Panel.CONTROL,
    document="Answer",
    shape=Shape.PAGE,
    own_timeout=True,
    examples=(
        "ask /work/index GetIndex",
        """ask /io/gmail Fetch '{"label": "INBOX"}' --timeout 5s -o json | jq '.items[0].reply'""",
    ),
)
def ask(
    call: Call,
    path: Path,
    message: Message,
    payload: Payload = "{}",
    reason: Reason = "",
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            parser=parse_duration,
            show_default="10s",
            help="Longest wait for the answer.",
        ),
    ] = 10.0,
) -> Page:
    """Ask an actor and print its answer."""
    arguments = SendArguments(path=one_path(path), message=message, payload=read_payload(payload), timeout=timeout)
    with connect(call) as node:
        view: AnswerView = node.request("ask", arguments, AnswerView, timeout=timeout, reason=reason)
    return Page("Answer", (view,), lambda terminal: _reply(view.reply, terminal), lambda item: str(item.path))


def read_payload(text: str) -> dict[str, Any]:
    """Return the fields of a message from JSON text; `-` reads them from stdin.

    Raises:
        CommandError: `usage`: it is no JSON object.
    """
    if text == "-":
        text = sys.stdin.read(PAYLOAD_LIMIT + 1)
    if len(text) > PAYLOAD_LIMIT:
        raise usage(f"the message is longer than {PAYLOAD_LIMIT:,} characters", "send a reference to the data instead")
    try:
        found = json.loads(text or "{}")
    except RecursionError:
        raise usage("the message is nested too deeply", "send a reference to the data instead") from None
    except ValueError as error:
        raise usage(f"the message is no JSON: {error}", """quote it for the shell: '{"label": "INBOX"}'""") from None
    if not isinstance(found, dict):
        raise usage(f"the message is no JSON object but {text[:40]!r}", """write its fields: '{"label": "INBOX"}'""")
    return found


def _reply(reply: Any, terminal: Terminal) -> list[str]:
    if isinstance(reply, str):
        return printable(reply, lines=True).splitlines() or [""]
    return json.dumps(reply, indent=2, ensure_ascii=not terminal.unicode, default=str).splitlines()
