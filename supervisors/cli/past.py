"""`--at` and `--diff`: the tree as it was, from the history of the running node or from its file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from supervisors.cli.calling import Call
from supervisors.cli.connection import connect
from supervisors.cli.discovery import home_of
from supervisors.cli.failures import CommandError, usage
from supervisors.cli.queries import ask_history
from supervisors.cli.rendering import Page
from supervisors.cli.states import LOOKS
from supervisors.cli.terminal import Style, Terminal
from supervisors.cli.texts import WhenError, duration, instant, parse_when, plural, printable
from supervisors.past.differing import differences
from supervisors.past.reading import Past, Reach, read_events, read_past
from supervisors.requests import Arguments, SqlArguments
from supervisors.views import ChangeView, DescribeView, NodeState, NodeView, PingView

SECONDS: Final = 30.0
"""Longest run of one question to the history, unless `--timeout` says otherwise."""

STORED_AFTER: Final = 1.0
"""Seconds after which the events of a running node are in its history."""


class Asked:
    """The history as a command asks it; the node, where one runs, is asked first and tells which run it is."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.source = ""

    def rows(self, sql: str, parameters: dict[str, Any], limit: int) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the rows of one statement, and whether there were more."""
        used = {name: value for name, value in parameters.items() if f"${name}" in sql}
        arguments = SqlArguments(
            query=sql, parameters=used, limit=limit, timeout=self._call.settings.timeout or SECONDS
        )
        view = ask_history(self._call, arguments, quiet=bool(self.source))
        self.source = view.source
        return [tuple(row) for row in view.rows], view.is_truncated

    def running_epoch(self) -> int | None:
        """Return the run of the node that runs now, None where none does."""
        try:
            with connect(self._call) as node:
                found = node.request("ping", Arguments(), PingView)
        except CommandError as error:
            if error.code == "unreachable":
                return None
            raise
        return int(found.epoch)


def when_of(call: Call, text: str, option: str) -> float:
    """Return the instant that `text` names, in seconds since the epoch.

    Raises:
        CommandError: `usage`: it names none, or one that is yet to come.
    """
    now = datetime.now(UTC)
    try:
        found = parse_when(text, now, UTC if call.settings.utc else None)
    except WhenError as error:
        hint = f"{_shown(call)} {option} '5 minutes ago'" + (" now" if option == "--diff" else "")
        raise usage(f"{option}: {error}", hint) from None
    if found > now:
        is_clock = ":" in text and len(text.split()) == 1 and "-" not in text
        other = f"'yesterday {text}'" if is_clock else "now"
        hint = "actorctl tree --diff -1h now" if option == "--diff" else f"{_shown(call)} {option} {other}"
        raise usage(f"{option}: {text!r} is yet to come", hint)
    return found.timestamp()


def _shown(call: Call) -> str:
    """Return the command line that a hint begins with."""
    return f"actorctl {call.command}{' /PATH' if call.command in {'describe', 'why'} else ''}"


def wait_until_stored(at: float, running_epoch: int | None) -> None:
    """Wait until what a running node told up to `at` has had the time to be stored."""
    if running_epoch is not None and (left := at + STORED_AFTER - time.time()) > 0:
        time.sleep(min(left, STORED_AFTER))


def past_of(call: Call, text: str, option: str = "--at", asked: Asked | None = None) -> Past:
    """Return the tree at the instant that `text` names.

    Raises:
        CommandError: `not_found`: no node ran then, or the history does not reach back that far; says so.
    """
    asked = asked if asked is not None else Asked(call)
    at = when_of(call, text, option)
    epoch = asked.running_epoch()
    wait_until_stored(at, epoch)
    past = read_past(asked, at, running_epoch=epoch, home=str(home_of(call.settings)))
    if past.reach is not Reach.KNOWN:
        raise CommandError("not_found", *explained(call, past))
    return note_losses(call, past)


def note_losses(call: Call, past: Past) -> Past:
    """Say where the history lacks rows of that run, or the run was silent by then; return `past`."""
    if past.silent and past.run is not None:
        last = instant(
            datetime.fromtimestamp(past.run.ended, UTC), datetime.now(UTC), UTC if call.settings.utc else None
        )
        call.note(f"the node's last word was {duration(past.silent)} before, at {last}; it may not have run any more")
    if past.lost:
        rows = plural(past.lost, "row")
        call.note(
            f"{rows} of that run never reached the history: what they told may be missing here (actorctl sql lost)"
        )
    return past


def explained(call: Call, past: Past) -> tuple[str, str]:
    """Return why there is no tree at the instant, and the command that shows one."""
    zone = UTC if call.settings.utc else None
    now = datetime.now(UTC)

    def said(at: float) -> str:
        return instant(datetime.fromtimestamp(at, UTC), now, zone)

    def nearest(at: float) -> str:
        return f"{_shown(call)} --at {datetime.fromtimestamp(at, UTC).isoformat()}"

    run = past.run
    if past.reach is Reach.TOO_EARLY:
        begins = f"; it begins at {said(past.begins)}" if past.begins else ""
        return f"{said(past.at)}: {past.why}{begins}", nearest(past.begins) if past.begins else "actorctl status"
    parts = [past.why]
    if run is not None and run.ended:
        parts.append(f"that was at {said(run.ended)}")
    if run is not None and run.next_start:
        parts.append(f"the next began at {said(run.next_start)}")
    hint = nearest(run.ended - 0.001 if run.said_end else run.ended) if run is not None and run.ended else ""
    return f"{said(past.at)}: {'; '.join(parts)}", hint


def at_or_below(nodes: Sequence[NodeView], path: str, depth: int | None) -> tuple[NodeView, ...]:
    """Return the node at `path` and what is below it, `depth` levels down, as `tree` answers.

    Raises:
        SelectorError: There was none.
    """
    from msgspec.structs import replace

    from actors.addresses import is_within, parent_of
    from supervisors.selectors import find

    top = find(nodes, path)
    if depth is None:
        return tuple(node for node in nodes if is_within(node.path, path))
    base = 0 if path == "/" else path.count("/")
    hidden: dict[str, int] = {}
    found: list[NodeView] = []
    for node in nodes:
        if not is_within(node.path, path):
            continue
        level = (node.path.count("/") - base) if node.path != top.path else 0
        if level <= depth:
            found.append(node)
        elif level == depth + 1:
            above = parent_of(node.path) or "/"
            hidden[above] = hidden.get(above, 0) + 1
    return tuple(replace(node, hidden=hidden.get(node.path, 0)) for node in found)


def describe_past(call: Call, path: str, text: str, events: int) -> DescribeView:
    """Return the node at `path` as it was.

    Raises:
        CommandError: As `past_of`.
        SelectorError: There was no such node.
    """
    from msgspec.structs import replace

    asked = Asked(call)
    past = past_of(call, text, asked=asked)
    assert past.header is not None
    assert past.run is not None  # as there is a tree
    nodes = at_or_below(past.nodes, path, 1)
    node = replace(nodes[0], children=nodes[1:], hidden=0)
    seen = read_events(asked, path, past.run.epoch, past.at, events)
    return DescribeView(node=node, events=seen, at=past.header.at)


def difference_page(call: Call, first: str, second: str) -> Page:
    """Return what differs between two instants; where no node ran, there was no tree."""
    instants = [when_of(call, text, "--diff") for text in (first, second)]
    asked = Asked(call)
    epoch = asked.running_epoch()
    trees: list[tuple[NodeView, ...]] = []
    heads: list[str] = []
    zone = UTC if call.settings.utc else None
    for at in instants:
        wait_until_stored(at, epoch)
        past = read_past(asked, at, running_epoch=epoch)
        if past.reach is Reach.TOO_EARLY:
            raise CommandError("not_found", *explained(call, past))
        note_losses(call, past)
        trees.append(past.nodes)
        heads.append(_head(past, zone))
    changes = differences(trees[0], trees[1])
    return Page(
        "TreeDiff",
        changes,
        lambda terminal: _difference_lines(heads, changes, terminal),
        lambda change: str(change.path),
    )


def _head(past: Past, zone: tzinfo | None) -> str:
    when = instant(datetime.fromtimestamp(past.at, UTC), datetime.now(UTC), zone)
    if past.header is None:
        return f"{when}  {past.why}"
    header = past.header
    return f"{when}  {header.name}, pid {header.pid}, up {duration(header.uptime)}, ready {header.ready}/{header.total}"


_GLYPHS: Final = {"appeared": ("+", Style.GOOD), "went": ("-", Style.BAD), "changed": ("~", Style.WARNING)}


def _difference_lines(heads: Sequence[str], changes: Sequence[ChangeView], terminal: Terminal) -> Iterable[str]:
    yield f"from  {heads[0]}"
    yield f"to    {heads[1]}"
    if not changes:
        yield "nothing differs"
        return
    width = max(len(change.path) for change in changes)
    for change in changes:
        glyph, style = _GLYPHS[change.change]
        yield f"{terminal.paint(glyph, style)} {change.path:<{width}}  {_said(change)}"


def _said(change: ChangeView) -> str:
    if change.change == "changed":
        parts = [f"{name.replace('_', ' ')} {_value(change.before[name])} -> {_value(value)}"
                 for name, value in change.after.items()]  # fmt: skip
        node = change.node
        if node is not None and "restarts" in change.after and node.last_reason:
            parts.append(f"last: {printable(node.last_reason)}")
        return ", ".join(parts)
    shown = change.after or change.before
    word = LOOKS[NodeState(shown["state"])].word
    return f"{'now' if change.change == 'appeared' else 'was'} {word}"


def _value(value: Any) -> str:
    return printable(str(value)) if value not in (None, "") else "none"
