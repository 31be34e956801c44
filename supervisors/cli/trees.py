"""`tree`, `ps` and `status`: the whole node at a glance."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from supervisors.cli.calling import Call, Panel, Shape, command
from supervisors.cli.completing import complete_paths
from supervisors.cli.connection import Node, connect
from supervisors.cli.discovery import places
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.rendering import Column, Listing, Page, facts, table
from supervisors.cli.selecting import chosen_nodes
from supervisors.cli.states import LOOKS, limit, look, phrase, why_last
from supervisors.cli.terminal import Style, Terminal
from supervisors.cli.texts import duration, instant, plural, printable, size
from supervisors.cli.treelines import header_lines, suggestion, tree_lines
from supervisors.node.durations import parse_duration
from supervisors.node.statefile import read_state
from supervisors.requests import Arguments, TreeArguments
from supervisors.selectors import check_selector, select
from supervisors.views import NodeKind, NodeView, StatusView, TreeView

app = typer.Typer()

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="WHEN", help="As it was, from the history: -5m, 14:00, 'yesterday 14:00', ISO."),
]
Interval = Annotated[
    float,
    typer.Option(
        "--interval", metavar="DURATION", parser=parse_duration, show_default="2s", help="Between two looks of --watch."
    ),
]

AnswerT = TypeVar("AnswerT", Listing, Page)


def remark(node: NodeView) -> str:
    """Return what matters about `node` beside its state's word."""
    said = phrase(node)
    word = LOOKS[node.state].word
    more = said[len(word) :].lstrip(": ") if said.startswith(word) and node.kind is NodeKind.WORKER else ""
    return "  ".join(part for part in (more, why_last(node), printable(node.note)) if part)


def _or_dash(value: Any, text: Callable[[Any], str]) -> str:
    return text(value) if value is not None else "-"


NODE_COLUMNS = (
    Column("path", lambda n: n.path),
    Column("state", lambda n: n.state.value, lambda n: LOOKS[n.state].word, lambda n: look(n).style),
    Column("kind", lambda n: n.kind.value, is_wide=True),
    Column("runs_in", lambda n: n.placement or n.strategy),
    Column("pid", lambda n: n.pid, is_right=True),
    Column("uptime", lambda n: n.uptime, lambda n: duration(n.uptime), is_right=True),
    Column("mailbox", lambda n: n.mailbox, is_right=True),
    Column("handled", lambda n: n.handled, is_right=True),
    Column("restarts", lambda n: n.restarts, is_right=True),
    Column("generation", lambda n: n.generation, is_right=True, is_wide=True),
    Column("restart", lambda n: n.restart, is_wide=True),
    Column("limit", lambda n: limit(n.limit or n.budget), is_wide=True),
    Column("attempt", lambda n: n.attempt or None, is_right=True, is_wide=True),
    Column("next_at", lambda n: n.next_at, lambda n: duration(n.next_in), is_wide=True),
    Column("failed", lambda n: n.failed, is_right=True, is_wide=True),
    Column("dropped", lambda n: n.dropped, is_right=True, is_wide=True),
    Column("handling", lambda n: n.handling, is_wide=True),
    Column("thread", lambda n: n.thread, is_wide=True),
    Column("memory", lambda n: n.memory_bytes, lambda n: _or_dash(n.memory_bytes, size), is_right=True, is_wide=True),
    Column("cpu", lambda n: n.cpu_ratio, lambda n: _or_dash(n.cpu_ratio, "{:.0%}".format), is_right=True, is_wide=True),
    Column("threads", lambda n: n.threads, is_right=True, is_wide=True),
    Column("open_files", lambda n: n.open_files, is_right=True, is_wide=True),
    Column("last_reason", lambda n: n.last_reason, is_wide=True),
    Column("why", lambda n: n.why or n.note, remark),
)


@command(
    app,
    "tree",
    panel=Panel.INSPECT,
    document="Tree",
    shape=Shape.PAGE,
    examples=(
        "tree",
        "tree /io --all",
        "tree --depth 1",
        "tree -w",
        "tree -o json | jq '.items[0].ready'",
        "tree --at 14:02",
        "tree --at '5 minutes ago' /io",
        "tree --diff -1h now",
    ),
)
def tree(
    call: Call,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="Show from here down.", autocompletion=complete_paths)
    ] = "/",
    depth: Annotated[int | None, typer.Option("--depth", metavar="N", min=0, help="Levels below PATH.")] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Do not count healthy siblings together.")] = False,
    watch: Watch = False,
    interval: Interval = 2.0,
    at: At = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option("--diff", metavar="WHEN WHEN", help="What changed from one to the other.")
    ] = None,
) -> Page | None:
    """Show the supervision tree, as it is or as it was.

    Healthy siblings beyond eight are counted; what is not healthy is always shown. Glyphs: actorctl help states.
    """
    path = check_selector(path)
    _check_at(at, watch, diff)
    if diff is not None:
        from supervisors.cli.past import difference_page

        return difference_page(call, *diff)
    zone = UTC if call.settings.utc else None

    def page(view: TreeView) -> Page:
        root = view.nested()
        hint = suggestion(root)
        return Page(
            "Tree",
            (root,),
            lambda terminal: tree_lines(view.header, root, terminal, everything=everything, zone=zone),
            lambda item: str(item.path),
            flat=view.nodes,
            columns=NODE_COLUMNS,
            header=view.header,
            hints=(hint,) if hint and view.header.at is None else (),
        )

    def look_once(node: Node) -> Page:
        return page(node.request("tree", TreeArguments(path=path, depth=depth), TreeView))

    if at is not None:
        from supervisors.cli.past import at_or_below, past_of

        past = past_of(call, at)
        assert past.header is not None  # as there is a tree
        return page(TreeView(header=past.header, nodes=at_or_below(past.nodes, path, depth)))
    return _once_or_watch(call, look_once, interval if watch else None)


@command(
    app,
    "ps",
    panel=Panel.INSPECT,
    document="ActorList",
    shape=Shape.LIST,
    examples=(
        "ps",
        "ps '/io/*'",
        "ps @failed",
        "ps --sort -mailbox --limit 10",
        "ps --at 14:02 @failed",
        "ps -o csv --columns path,pid,uptime",
    ),
)
def ps(
    call: Call,
    selectors: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SELECTOR]...", help="Paths, globs or @STATE.", autocompletion=complete_paths),
    ] = None,
    supervisors: Annotated[bool, typer.Option("--supervisors", help="Supervisors too.")] = False,
    watch: Watch = False,
    interval: Interval = 2.0,
    at: At = None,
) -> Listing | None:
    """List actors, one a line."""
    _check_at(at, watch)
    chosen = [check_selector(selector) for selector in selectors or ()]

    def listing(view: TreeView, found: Sequence[NodeView]) -> Listing:
        named = {item.path for item in found if item.path in chosen}
        items = [n for n in found if supervisors or n.kind is NodeKind.WORKER or n.path in named]
        columns = NODE_COLUMNS if at is None else [c for c in NODE_COLUMNS if c.key not in UNKNOWN_THEN]
        return Listing("ActorList", items, columns, lambda n: str(n.path), view.header, "no actors match")

    def look_once(node: Node) -> Listing:
        return listing(*chosen_nodes(node, chosen))

    if at is not None:
        from supervisors.cli.past import past_of

        past = past_of(call, at)
        assert past.header is not None  # as there is a tree
        return listing(
            TreeView(header=past.header, nodes=past.nodes), select(past.nodes, chosen) if chosen else past.nodes
        )
    return _once_or_watch(call, look_once, interval if watch else None)


@command(
    app,
    "status",
    panel=Panel.INSPECT,
    document="Status",
    shape=Shape.PAGE,
    examples=("status", "status --check && echo well", "status -o json | jq '.items[0].problems'"),
)
def status(
    call: Call,
    check: Annotated[bool, typer.Option("--check", help="End with 5 when something is wrong.")] = False,
) -> Page:
    """Show the node on one page, and what is wrong."""
    try:
        with connect(call) as node:
            view: StatusView = node.request("status", Arguments(), StatusView)
    except CommandError as error:
        if error.code == "unreachable":
            raise CommandError(error.code, error.message + _last_words(call), error.hint) from None
        raise
    failure = None
    if check and view.problems:
        first = f"actorctl why {view.unhealthy[0].path}" if view.unhealthy else "actorctl status"
        failure = CommandError(
            "condition", f"{plural(len(view.problems), 'problem')}: {'; '.join(view.problems)}", first
        )
    hints = () if failure or not view.unhealthy else (f"actorctl why {view.unhealthy[0].path}",)
    zone = UTC if call.settings.utc else None
    return Page(
        "Status",
        (view,),
        lambda terminal: _status_lines(view, terminal, zone),
        lambda item: str(item.header.name),
        header=view.header,
        failure=failure,
        hints=hints,
    )


def _last_words(call: Call) -> str:
    """Return what the node of this home last said of itself, "" where it never did."""
    home = places(call.settings)[0].home
    record = read_state(home)
    if record is None:
        return ""
    at = instant(datetime.fromtimestamp(record.written_at, UTC), datetime.now(UTC), UTC if call.settings.utc else None)
    detail = f" ({record.detail})" if record.detail else ""
    cut = f", with {', '.join(record.cut)} cut off" if record.cut else ""
    return f"; the last one, process {record.process.pid}, was {record.state}{detail} {at}{cut}"


def _check_at(at: str | None, watch: bool, diff: tuple[str, str] | None = None) -> None:
    """Refuse what cannot go together."""
    if watch and (at is not None or diff is not None):
        raise usage("--watch shows what is now, not what was", "leave --watch out")
    if at is not None and diff is not None:
        raise usage("--diff has its own instants; leave --at out", "actorctl tree --diff -1h now")


UNKNOWN_THEN = frozenset({"mailbox", "handled", "failed", "dropped", "handling", "thread"})
"""Columns that only the running node knows."""


def _status_lines(view: StatusView, terminal: Terminal, zone: Any) -> Iterable[str]:
    now = datetime.now(UTC)
    header, history = view.header, view.history
    yield from header_lines(header, terminal)
    states = ", ".join(f"{count} {state.replace('-', ' ')}" for state, count in view.counts.items() if count)
    pairs = [
        ("version", header.version),
        ("home", header.home),
        ("started", instant(header.started_at, now, zone)),
        ("workers", states),
        ("dead letters", str(view.dead_letters)),
        ("memory", size(view.memory_bytes) if view.memory_bytes is not None else ""),
        ("cpu", f"{view.cpu_ratio:.0%}" if view.cpu_ratio is not None else ""),
        ("threads", str(view.threads) if view.threads is not None else ""),
        ("processes", str(view.processes) if view.processes is not None else ""),
    ]
    if view.http:
        pairs.append(("health", f"{view.http}/health"))
    if history is not None:
        words = [history.state, size(history.size_bytes) if history.size_bytes else "", f"{history.stored_rows} rows"]
        words.append(f"{history.pending_rows} pending" if history.pending_rows else "")
        words.append(f"{history.lost_rows} lost" if history.lost_rows else "")
        words.append(f"last write {instant(history.last_write_at, now, zone)}" if history.last_write_at else "")
        pairs.append(("history", ", ".join(word for word in words if word)))
    yield from facts(pairs, terminal, "  ")
    if view.unhealthy:
        yield ""
        yield from table(view.unhealthy, _UNHEALTHY_COLUMNS, terminal)
    for problem in view.problems:
        yield terminal.paint(f"{terminal.glyph('▲', '!')} {printable(problem)}", Style.WARNING)


_UNHEALTHY_COLUMNS = (
    Column("path", lambda n: n.path),
    Column("state", lambda n: n.state.value, phrase, lambda n: look(n).style),
    Column("last_reason", lambda n: n.last_reason),
)


def _once_or_watch(call: Call, look_once: Callable[[Node], AnswerT], interval: float | None) -> AnswerT:
    with connect(call) as node:
        if interval is None:
            return look_once(node)
        while True:
            answer = look_once(node)
            if call.output.terminal.is_tty and not call.format.is_json:
                sys.stdout.write("\x1b[H\x1b[2J" if call.output.terminal.width is not None else "")
            call.write(answer)
            time.sleep(interval)
