"""`describe` and `why`: everything about one node, and why it is in the state it is in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Annotated

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import connect
from supervisors.cli.events_table import event_columns
from supervisors.cli.failures import usage
from supervisors.cli.flights import flight_lines
from supervisors.cli.onescreen import fits, one_screen
from supervisors.cli.rendering import Format, Page, facts, table
from supervisors.cli.selecting import one_path
from supervisors.cli.states import limit, mark, phrase
from supervisors.cli.terminal import Style, Terminal, wrap
from supervisors.cli.texts import duration, instant, plural, printable, size
from supervisors.requests import DescribeArguments, WhyArguments
from supervisors.views import (
    CauseView,
    DescribeView,
    EventRow,
    NodeKind,
    NodeView,
    SendingView,
    SparesView,
    SpecView,
    WhyView,
)

app = typer.Typer()

Path = Annotated[str, typer.Argument(metavar="PATH", help="One node.", autocompletion=complete_paths)]


@command(
    app,
    "describe",
    panel=Panel.INSPECT,
    document="Description",
    shape=Shape.PAGE,
    examples=("describe /io/gmail", "describe /io/gmail --state", "describe / -o json", "describe /io/gmail --at -1h"),
)
def describe(
    call: Call,
    path: Path,
    state: Annotated[bool, typer.Option("--state", help="Also ask the actor for its state.")] = False,
    events: Annotated[int, typer.Option("--events", metavar="N", min=0, help="How many recent events.")] = 10,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="WHEN", help="As it was, from the history: -5m, 14:00, 'yesterday 14:00', ISO."),
    ] = None,
) -> Page:
    """Show everything about one node."""
    if at is not None:
        from supervisors.cli.past import describe_past

        if state:
            raise usage("--state asks the running actor; the history does not keep it", "leave --state or --at out")
        view = describe_past(call, one_path(path), at, events)
    else:
        with connect(call) as node:
            arguments = DescribeArguments(path=one_path(path), state=state, events=events)
            view = node.request("describe", arguments, DescribeView)
    zone = UTC if call.settings.utc else None
    return Page(
        "Description",
        (view,),
        lambda terminal: _description(view, terminal, zone),
        lambda item: str(item.node.path),
        hints=("actorctl reload --dry-run",) if view.drift else (),
    )


@command(
    app,
    "why",
    panel=Panel.INSPECT,
    document="Why",
    shape=Shape.PAGE,
    examples=("why /io/browser", "why / -o json", "why /io/browser --record", "why /io/browser --at '2 hours ago'"),
)
def why(
    call: Call,
    path: Path,
    record: Annotated[
        bool, typer.Option("--record", help="The whole flight record and traceback of the last crash.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="WHEN", help="As it was, from the history: -5m, 14:00, 'yesterday 14:00', ISO."),
    ] = None,
) -> Page:
    """Explain why a node is in its state, and what to do.

    The cause chain down to the leaf's traceback and last messages, who holds it, what it waits for, and what helps. At
    a terminal it keeps to one screen; `--record`, `-o wide` and a pipe always have the whole traceback and every event.
    """
    if at is not None:
        from supervisors.cli.pastcauses import why_past

        view = why_past(call, one_path(path), at)
    else:
        with connect(call) as node:
            view = node.request("why", WhyArguments(path=one_path(path)), WhyView)
    zone = UTC if call.settings.utc else None

    def explained(terminal: Terminal) -> Iterable[str]:
        lines = list(_explanation(view, terminal, zone, whole=record))
        hints = () if call.choice.is_quiet else view.hints
        height = terminal.height
        if height is None or record or call.format is Format.WIDE or fits(lines, terminal, height=height, hints=hints):
            return lines
        return one_screen(view, terminal, zone, height=height, hints=hints)

    return Page(
        "Why",
        (view,),
        explained,
        lambda item: str(item.node.path),
        hints=view.hints,
    )


def _description(view: DescribeView, terminal: Terminal, zone: tzinfo | None) -> Iterable[str]:
    node = view.node
    yield from _heading(node, terminal)
    if view.at is not None:
        yield f"  as of {instant(view.at, datetime.now(UTC), zone)}"
    around = [
        ("handles", ", ".join(view.handlers)),
        ("links", ", ".join(view.links)),
        ("monitors", ", ".join(view.monitors)),
        ("monitored by", ", ".join(view.monitored_by)),
    ]
    is_past = view.at is not None
    if view.log_level:
        around.append(
            ("log level", f"{view.log_level.level} until {instant(view.log_level.ends_at, datetime.now(UTC), zone)}")
        )
    if view.kept is not None:
        kept = view.kept
        said = f"snapshot {kept.number}, version {kept.version}, {size(kept.size_bytes)}"
        around.append(("keeps", f"{said}, of {instant(kept.kept_at, datetime.now(UTC), zone)}"))
    yield from facts([*_node_facts(node, zone, is_past=is_past), *around], terminal, "  ")
    if view.spec is not None:
        yield from _section("spec", terminal)
        yield from facts(_spec_facts(view.spec), terminal, "  ")
    if view.drift:
        yield from _section("drift", terminal)
        yield from (f"  {printable(line)}" for line in view.drift)
    if view.spares is not None:
        yield from _section("spares", terminal)
        yield from facts(_spares_facts(view.spares), terminal, "  ")
    if view.sending is not None:
        yield from _section("on its way", terminal)
        yield from facts(_sending_facts(view.sending), terminal, "  ")
    if view.state is not None:
        yield from _section("state", terminal)
        pairs = [(printable(str(key)), printable(str(value))) for key, value in view.state.items()]
        yield from facts(pairs, terminal, "  ") if pairs else ["  (the actor shows none)"]
    if node.children:
        yield from _section("children", terminal)
        for child in node.children:
            yield f"  {mark(child, terminal)} {child.path}  {phrase(child)}"
    if view.events:
        yield from _section("events", terminal)
        yield from _events(view.events, terminal, zone)


def _explanation(view: WhyView, terminal: Terminal, zone: tzinfo | None, *, whole: bool) -> Iterable[str]:
    node = view.node
    yield from _heading(node, terminal)
    yield from wrap(printable(view.summary), terminal.width or 10_000, "  ")
    if view.is_sticky:
        held = f"held by {node.stopped_by or 'a person'}" + (
            f": {printable(node.stopped_why)}" if node.stopped_why else ""
        )
        yield from wrap(f"{held}; only a command changes that", terminal.width or 10_000, "  ")
    if view.blocked_by:
        yield from _section("waits for", terminal)
        yield from (f"  {path}" for path in view.blocked_by)
    if view.causes:
        yield from _section("because", terminal)
        for number, cause in enumerate(view.causes, 1):
            yield from _cause(number, cause, terminal, zone)
    if view.flight is not None:
        yield from flight_lines(view.flight, terminal, zone, whole=whole)
    budget = node.budget or node.limit
    if budget is not None:
        yield from _section("restarts", terminal)
        yield f"  {limit(budget)}, {budget.left} left"
    if view.events:
        yield from _section("what happened", terminal)
        yield from _events(view.events, terminal, zone)


def _cause(number: int, cause: CauseView, terminal: Terminal, zone: tzinfo | None) -> Iterable[str]:
    at = f"  at {instant(cause.at, datetime.now(UTC), zone)}" if cause.at is not None else ""
    text = f"{number}. {cause.path}  {printable(cause.reason)}{at}"
    first, *rest = wrap(text, (terminal.width or 10_000) - 2)
    yield f"  {terminal.paint(first, Style.BAD)}"
    yield from (f"     {line}" for line in rest)
    for line in printable(cause.traceback, lines=True).splitlines():
        yield f"     {terminal.paint(line, Style.DIM)}"


def _heading(node: NodeView, terminal: Terminal) -> list[str]:
    line = f"{terminal.paint(node.path, Style.STRONG)}  {mark(node, terminal)} {phrase(node)}"
    return [line]


def _section(name: str, terminal: Terminal) -> list[str]:
    return ["", terminal.paint(name, Style.STRONG)]


def _events(events: tuple[EventRow, ...], terminal: Terminal, zone: tzinfo | None) -> Iterable[str]:
    shown = [column for column in event_columns(zone) if not column.is_wide and column.key != "seq"]
    return (f"  {line}" for line in table(events, shown, _narrower(terminal)))


def _narrower(terminal: Terminal) -> Terminal:
    from msgspec import structs

    return terminal if terminal.width is None else structs.replace(terminal, width=terminal.width - 2)


def _node_facts(node: NodeView, zone: tzinfo | None, *, is_past: bool) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    is_supervisor = node.kind is NodeKind.SUPERVISOR
    where = f"{node.placement}, pid {node.pid}" if node.pid is not None else node.placement
    return [
        ("kind", node.kind.value),
        ("strategy", node.strategy),
        ("limit", limit(node.limit)),
        ("own budget", limit(node.budget)),
        ("runs in", where),
        ("thread", node.thread),
        ("since", instant(node.state_at, now, zone) if node.state_at is not None else ""),
        ("uptime", duration(node.uptime) if node.uptime is not None else ""),
        ("instance", f"{node.generation}, {plural(node.restarts, 'restart')}" if node.generation else ""),
        (
            "mailbox",
            ""
            if is_supervisor or is_past or node.placement == "program"
            else f"{node.mailbox} waiting, {node.handled} handled, {node.failed} failed",
        ),
        ("uses", _uses(node)),
        ("dropped", str(node.dropped) if node.dropped else ""),
        ("handling", f"{node.handling} for {duration(node.handling_for)}" if node.handling else ""),
        ("last exit", _last_exit(node, now, zone)),
        ("says", printable(node.note)),
    ]


def _uses(node: NodeView) -> str:
    """What its process uses, as far as that was looked at."""
    parts = [
        f"memory {size(node.memory_bytes)}" if node.memory_bytes is not None else "",
        f"cpu {node.cpu_ratio:.0%}" if node.cpu_ratio is not None else "",
        plural(node.threads, "thread") if node.threads is not None else "",
        plural(node.open_files, "open file") if node.open_files is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _last_exit(node: NodeView, now: datetime, zone: tzinfo | None) -> str:
    if not node.last_reason:
        return ""
    return printable(node.last_reason) + (f"  at {instant(node.last_exit_at, now, zone)}" if node.last_exit_at else "")


def _spares_facts(spares: SparesView) -> list[tuple[str, str]]:
    waiting = f"{spares.waiting} of {spares.wanted}, {size(spares.size_bytes)}"
    nursery = f"pid {spares.nursery_pid}, {plural(spares.nurseries, 'start')}" if spares.nursery_pid else "none"
    return [
        ("waiting", waiting + (f", {spares.making} being made" if spares.making else "")),
        ("used", str(spares.used)),
        ("lost", str(spares.lost)),
        ("nursery", nursery),
        ("this start", _STARTS.get(spares.last_start, spares.last_start)),
    ]


def _sending_facts(sending: SendingView) -> list[tuple[str, str]]:
    return [
        ("waiting here", f"{sending.waiting}, {size(sending.waiting_bytes)}" if sending.waiting else "0"),
        ("under way", str(sending.under_way)),
        ("refused", str(sending.rejected) if sending.rejected else ""),
        ("dead letters", str(sending.dropped) if sending.dropped else ""),
        ("senders held up", str(sending.blocked) if sending.blocked else ""),
    ]


_STARTS = {"new": "a new interpreter", "copy": "a copy of the nursery", "spare": "a spare took over"}


def _bounds(spec: SpecView) -> str:
    told = []
    for name, value in spec.bounds.items():
        if name == "memory_warn_bytes":
            told.append(f"memory_warn {size(int(value))}")
        else:
            told.append(f"{name} {duration(value)}" if name == "max_age" else f"{name} {value:g}")
    return ", ".join(told)


def _spec_facts(spec: SpecView) -> list[tuple[str, str]]:
    capacity = f"{spec.mailbox_capacity}, when full {spec.mailbox_full}" if spec.mailbox_capacity is not None else ""
    is_program = spec.runs_in == "program"
    return [
        ("command" if is_program else "use", spec.start),
        ("arguments", ", ".join(f"{key}={printable(value)}" for key, value in spec.arguments.items())),
        ("restart", spec.restart),
        ("shutdown", spec.shutdown),
        ("significant", "yes" if spec.significant else ""),
        ("runs in", spec.runs_in),
        ("start timeout", duration(spec.start_timeout) if spec.start_timeout is not None else ""),
        ("back-off", spec.backoff),
        ("needs", ", ".join(spec.needs)),
        ("mailbox", capacity),
        ("heartbeat", duration(spec.heartbeat) if spec.heartbeat is not None else ""),
        ("memory limit", size(spec.memory_max_bytes) if spec.memory_max_bytes is not None else ""),
        ("spares", str(spec.spares) if spec.spares else ""),
        ("bounds", _bounds(spec)),
        ("written in", spec.origin),
    ]
