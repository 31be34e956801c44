"""`cron explain`, `cron next` and `cron check`: what an expression means. They need no node and start nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from supervisors.cli import cronos, schedules
from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.cronapp import app, cron_app
from supervisors.cli.cronoptions import zone as zone_of_option
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing, Page, facts
from supervisors.cli.terminal import Style, Terminal
from supervisors.cli.texts import duration, plural, printable
from supervisors.views import CronView, RunView, SyntaxFaultView

__all__ = ["app", "cronos", "schedules"]

SHOWN = 60
"""Characters of an expression in a table."""

Text = Annotated[str, typer.Argument(metavar="EXPRESSION", help="5 fields, 6 with seconds first, or a name: @daily.")]
Zone = Annotated[str, typer.Option("--tz", metavar="ZONE", help="Whose wall clock: an IANA name.")]
From = Annotated[str, typer.Option("--from", metavar="INSTANT", help="Count from then, ISO 8601; else from now.")]


@command(
    cron_app,
    "explain",
    panel=Panel.PROJECT,
    document="CronList",
    shape=Shape.PAGE,
    is_local=True,
    examples=('cron explain "0 0 15W * *"', 'cron explain "30 2 * * *" --tz America/New_York', "cron explain @daily"),
)
def explain(call: Call, expression: Text, tz: Zone = "UTC", since: From = "") -> Page:
    """Explain an expression: in words, its next runs, and what to beware of.

    Also the smallest and the largest gap, and days on which clocks change.
    """
    view = _view(expression, tz, since)
    if view.error is not None:
        raise CommandError("invalid", view.error.message, "actorctl cron explain --help shows what there is")
    return Page("CronList", (view,), lambda terminal: _lines(view, terminal), lambda item: str(item.canonical))


@command(
    cron_app,
    "next",
    panel=Panel.PROJECT,
    document="RunList",
    shape=Shape.LIST,
    is_local=True,
    examples=('cron next "0 9 * * MON-FRI"', 'cron next "30 1 * * *" --tz Europe/London --from 2026-10-24 -n 3'),
)
def show_next(
    call: Call,
    expression: Text,
    tz: Zone = "UTC",
    since: From = "",
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=10_000, help="How many.")] = 10,
) -> Listing:
    """List the next runs, with the offset from UTC that clocks show then."""
    from actors.scheduling.cron import check, next_after
    from actors.scheduling.expression import CronError

    zone, start = zone_of_option(tz), _start(since, tz)
    runs: list[RunView] = []
    try:
        checked = check(expression)
        at = start
        for _ in range(count):
            at = next_after(checked, zone, at)
            runs.append(RunView(at=at, local=at.astimezone(zone).isoformat(), after=(at - start).total_seconds()))
    except CronError as error:
        if not runs:
            raise CommandError("invalid", str(error), f'actorctl cron explain "{expression}"') from None
        call.note(str(error))
    columns = (
        Column("local", lambda run: run.local),
        Column("in", lambda run: run.after, lambda run: duration(run.after), is_right=True),
        Column("at", lambda run: run.at.isoformat(), is_wide=True),
    )
    return Listing("RunList", runs, columns, lambda run: str(run.local))


@command(
    cron_app,
    "check",
    panel=Panel.PROJECT,
    document="CronList",
    shape=Shape.LIST,
    is_local=True,
    examples=('cron check "0 0 L * *" "0 0 30 2 *"', 'cron check "*/7 * * * *" -o json'),
)
def check_all(
    call: Call,
    expressions: Annotated[list[str], typer.Argument(metavar="EXPRESSION", help="As many as there are.")],
    tz: Zone = "UTC",
    since: From = "",
) -> Listing:
    """Check expressions: each is sound or its fault is named. Ends with 8 when one is not."""
    views = [_view(text, tz, since) for text in expressions]
    bad = sum(not view.valid for view in views)
    failure = CommandError("invalid", f"{bad} of {plural(len(views), 'expression')} not sound") if bad else None
    columns = (
        Column("expression", lambda view: view.expression, lambda view: _short(view.expression)),
        Column("valid", lambda view: view.valid, lambda view: "yes" if view.valid else "no", _colour),
        Column("next", lambda view: view.next_runs[0] if view.next_runs else None),
        Column("meaning", lambda view: view.description or view.error.message),
        Column("warnings", lambda view: "; ".join(view.warnings)),
    )
    return Listing("CronList", views, columns, lambda view: str(view.expression), failure=failure)


def _short(text: str) -> str:
    """Return `text` as a table has room for it; what is printed for programs has all of it."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _view(text: str, tz: str, since: str) -> CronView:
    from actors.scheduling.explaining import explain as explanation

    zone = zone_of_option(tz)
    found = explanation(text, zone, _start(since, tz))
    error = None
    if found.error is not None:
        fault = found.error
        error = SyntaxFaultView(fault.message, fault.field, fault.token, fault.position, fault.hint)
    return CronView(
        expression=found.expression,
        valid=found.valid,
        canonical=found.canonical,
        description=found.description,
        timezone=found.zone,
        next_runs=tuple(run.isoformat() for run in found.next_runs),
        smallest_gap=found.smallest_gap,
        largest_gap=found.largest_gap,
        error=error,
        warnings=found.warnings,
    )


def _start(text: str, tz: str) -> datetime:
    """Return the instant that `--from` names; one without an offset is read in the zone."""
    if not text:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise usage(
            f"--from: {text!r} is no instant", "e.g. --from 2026-03-08 or --from 2026-03-08T01:30-05:00"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=zone_of_option(tz))
    if not 1970 < found.year < 9900:
        raise usage(f"--from: {text!r} is none of the years 1971 to 9899")
    return found


def _lines(view: CronView, terminal: Terminal) -> Iterable[str]:
    yield terminal.paint(printable(view.expression), Style.STRONG)
    gaps = duration(view.smallest_gap)
    if view.largest_gap != view.smallest_gap:
        gaps += f" to {duration(view.largest_gap)}"
    yield from facts(
        [
            ("meaning", view.description),
            ("canonical", view.canonical),
            ("timezone", view.timezone),
            ("gaps", gaps),
            *(("next" if not index else " ", run) for index, run in enumerate(view.next_runs)),
            *(("beware" if not index else " ", text) for index, text in enumerate(view.warnings)),
        ],
        terminal,
        "  ",
    )


def _colour(view: CronView) -> Style | None:
    return None if view.valid else Style.BAD
