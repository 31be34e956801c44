"""`report`: restarts, availability, runs and load of a span of time, as one HTML file or as Markdown."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.past import Asked, wait_until_stored, when_of
from supervisors.cli.texts import duration, size

app = typer.Typer()


class Form(Enum):
    """How the report is written."""

    HTML = "html"
    MD = "md"


@command(
    app,
    "report",
    panel=Panel.EVENTS,
    shape=Shape.NOTHING,
    examples=(
        "report > report.html",
        "report --since 7d -o md",
        "report --since 'yesterday 18:00' --until 08:00 -f night.html",
    ),
)
def report(
    call: Call,
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="From when on.")] = "24h",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Up to when.")] = "now",
    output: Annotated[Form, typer.Option("--output", "-o", metavar="FORMAT", help="html or md.")] = Form.HTML,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Write it there, not to stdout.")
    ] = None,
) -> None:
    """Report on restarts, availability, runs and load.

    One page with its charts in it, which loads nothing from anywhere. When no node runs, its history file is read.
    """
    from supervisors.report.gathering import gather, span_of
    from supervisors.report.page import html, markdown

    asked = Asked(call)
    epoch = asked.running_epoch()
    try:
        span = span_of(when_of(call, since, "--since"), when_of(call, until, "--until"))
    except ValueError as error:
        raise usage(str(error), "actorctl report --since 24h --until now") from None
    wait_until_stored(span.until, epoch)
    found = gather(asked, span, running_epoch=epoch)
    write = html if output is Form.HTML else markdown
    text = write(found, duration=duration, size=lambda count: size(int(count)), zone=UTC if call.settings.utc else None)
    if file is None:
        sys.stdout.write(text)
        return
    try:
        _write(Path(file), text)
    except OSError as error:
        raise CommandError("failed", f"cannot write {file}: {error.strerror}", "name another with --file") from None
    call.note(f"written to {file}")


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        scratch.write_text(text, "utf-8")
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
