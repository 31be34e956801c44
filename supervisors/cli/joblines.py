"""`jobs logs` and `jobs grep`: what handlers said, and where a text is in jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
import typer

from supervisors.cli import jobbing
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.connection import connect
from supervisors.cli.failures import CommandError
from supervisors.cli.jobapp import Id, jobs_app
from supervisors.cli.jobbing import Batch, Kind, Most, Queue, States, Where
from supervisors.cli.rendering import Column, Listing, Page
from supervisors.cli.terminal import Style
from supervisors.cli.texts import printable
from supervisors.node.durations import parse_duration
from supervisors.views import JobLineView

LOOK: Final = 0.5
"""Seconds between two looks at a job that is waited for."""

Limit = Annotated[int, typer.Option("--lines", metavar="N", min=1, max=10_000, help="The newest N.")]


@command(
    jobs_app,
    "logs",
    panel=Panel.INSPECT,
    document="JobLines",
    shape=Shape.PAGE,
    examples=("jobs logs job-7", "jobs logs job-7 --lines 20", "jobs logs job-7 --wait 10m"),
)
def logs(
    call: Call,
    id: Id,
    lines: Limit = 1_000,
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="DURATION", parser=parse_duration, help="Until it ends, that long."),
    ] = 0.0,
) -> Page:
    """Show what a job's handler logged, in all its tries: kept with the job, also while it runs."""
    until = time.monotonic() + wait
    with connect(call) as node:
        while True:
            answer = jobbing.ask(node, "ReadLines", {"id": id, "limit": lines})
            if not answer["state"]:
                raise CommandError("not_found", f"there is no {id}", "actorctl jobs list")
            if answer["state"] in jobbing.STATES[5:] or time.monotonic() >= until:
                break
            time.sleep(LOOK)
    found = msgspec.convert(answer["items"], list[JobLineView])
    return Page("JobLines", found, lambda _: _page(found), _name)


@command(
    jobs_app,
    "grep",
    panel=Panel.INSPECT,
    document="JobLines",
    shape=Shape.LIST,
    examples=("jobs grep timeout", "jobs grep you@example.org --queue mail --state failed"),
)
def grep(
    call: Call,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="In whatever case.")],
    queue: Queue = "",
    state: States = None,
    kind: Kind = "",
    batch: Batch = "",
    where: Where = "",
    most: Most = 10_000,
    lines: Limit = 1_000,
) -> Listing:
    """Find a text in jobs: in what they carry, why they failed, and what their handlers logged.

    It looks at the newest `--most` jobs.
    """
    chosen = jobbing.choice(None, queue, state, kind, batch, where, most, True)
    with connect(call) as node:
        asked = {"text": text, "selection": msgspec.to_builtins(chosen), "limit": lines}
        found = msgspec.convert(jobbing.ask(node, "GrepJobs", asked)["items"], list[JobLineView])
    shown = (
        Column("id", lambda line: line.id),
        Column("at", lambda line: line.at, _clock),
        Column("try", lambda line: line.attempt, lambda line: str(line.attempt or "-"), is_right=True),
        Column("where", lambda line: line.level, style=lambda line: _STYLES.get(line.level)),
        Column("text", lambda line: line.text, lambda line: _match(line.text, text.lower())),
    )
    return Listing("JobLines", found, shown, _name, nothing="no job has it")


def _page(lines: Sequence[JobLineView]) -> Iterator[str]:
    """Yield what was said as one reads a log: further lines of a text stand below its first."""
    for line in lines:
        first, *more = line.text.splitlines() or [""]
        yield f"{_clock(line)}  try {line.attempt}  {line.level:<8} {printable(first)}"
        for further in more:
            yield f"    {printable(further)}"


def _match(text: str, wanted: str) -> str:
    """Return the line of a text that was looked for, or the whole where it goes over several."""
    return next((line.strip() for line in text.splitlines() if wanted in line.lower()), text)


def _clock(line: JobLineView) -> str:
    return time.strftime("%H:%M:%S", time.localtime(line.at))


def _name(line: JobLineView) -> str:
    return f"{line.id}:{line.line}"


_STYLES: Final = {"error": Style.BAD, "critical": Style.BAD, "debug": Style.DIM}
