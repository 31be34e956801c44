"""The tree as lines of text. Pure: a view and a terminal in, lines out.

    openclaw  up 3d04h  pid 4121  ready 27/28  restarts 24h: 4
    /                 one_for_one     ●  4 supervisors, 24 workers, 1 restarting  limit 2/10 in 60s
    ├─ io             one_for_one     ▲  ready 4/5  limit 3/5 in 5m
    │  ├─ gmail       process 4130    ●  ready  11h  mbox 2
    │  └─ browser     process 9911    ↻  restarting in 41s (try 4, back-off 1m20s)  killed (memory-limit)
    └─ agents         one_for_one     ●  ready 15/15

Healthy siblings beyond `SHOWN` are counted instead of shown; a sibling that is not healthy is always shown. Where the
aligned lines are wider than the terminal, what is said of a node moves below its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from msgspec import Struct

from actors.addresses import name_of
from supervisors.cli.rendering import GAP
from supervisors.cli.states import LOOKS, counts, is_healthy, limit, look, mark, phrase, why_last
from supervisors.cli.terminal import Style, Terminal, cell_width, pad, wrap
from supervisors.cli.texts import duration, instant, printable
from supervisors.views import HeaderView, NodeKind, NodeState, NodeView

SHOWN = 8
"""So many healthy siblings are shown one by one."""


_IN_PROCESSES = frozenset({"process", "program"})
"""Placements whose process is worth its number."""


class Line(Struct, frozen=True):
    """One line before alignment.

    Attributes:
        stem: Branches and name.
        below: Branches for lines that continue it.
        what: Strategy or placement.
        node: The node; None for a line that counts others.
        says: Phrases, the most important first.
    """

    stem: str
    below: str
    what: str
    node: NodeView | None
    says: tuple[str, ...]


def tree_lines(
    header: HeaderView,
    root: NodeView,
    terminal: Terminal,
    *,
    everything: bool = False,
    zone: tzinfo | None = None,
) -> list[str]:
    """Return the header and the tree.

    Args:
        header: The node that answered.
        root: With its children.
        terminal: Where it is shown.
        everything: Do not count healthy siblings together.
        zone: Of the instant it was, None this machine's.
    """
    is_past = header.at is not None
    lines = list(_walk(root, "", "", terminal, everything, is_root=True, is_past=is_past))
    return [*header_lines(header, terminal, zone), *_laid_out(lines, terminal)]


def header_lines(header: HeaderView, terminal: Terminal, zone: tzinfo | None = None) -> list[str]:
    """Return the line about the node itself; `zone` is that of the instant it was, None this machine's."""
    parts = [f"up {duration(header.uptime)}", f"pid {header.pid}", f"ready {header.ready}/{header.total}"]
    parts.append(f"restarts 24h: {header.restarts_day}")
    if header.state != "running":
        parts.append(header.state)
    if header.at is not None:
        parts.insert(0, f"as of {instant(header.at, datetime.now(UTC), zone)}")
    if header.level:
        parts.append(f"level {header.level}")
    line = GAP.join([header.name, *parts])
    if terminal.width is not None and cell_width(line) > terminal.width:
        return [terminal.paint(header.name, Style.STRONG), *wrap(" ".join(parts), terminal.width, "  ")]
    return [GAP.join([terminal.paint(header.name, Style.STRONG), *parts])]


def suggestion(root: NodeView) -> str:
    """Return the command that explains the first thing that is wrong, or ""."""
    unhealthy = _first(root)
    return f"actorctl why {unhealthy.path}" if unhealthy is not None else ""


def _first(node: NodeView) -> NodeView | None:
    for child in node.children:
        found = _first(child)
        if found is not None:
            return found
    quiet = {NodeState.READY, NodeState.FINISHED, NodeState.NOT_CONFIGURED, NodeState.STARTING, NodeState.STOPPING}
    return None if node.state in quiet else node


def _walk(
    node: NodeView,
    branch: str,
    below: str,
    terminal: Terminal,
    everything: bool,
    *,
    is_root: bool = False,
    is_past: bool = False,
) -> Iterator[Line]:
    name = node.path if is_root else name_of(node.path)
    yield Line(branch + printable(name), below, _what(node), node, _says(node, is_root, is_past))
    tee, corner, bar = terminal.glyph("├─ ", "|- "), terminal.glyph("└─ ", "`- "), terminal.glyph("│  ", "|  ")
    shown, hidden = _shown(node.children, everything)
    rest = hidden or bool(node.hidden)
    for number, child in enumerate(shown):
        is_last = number == len(shown) - 1 and not rest
        yield from _walk(
            child,
            below + (corner if is_last else tee),
            below + ("   " if is_last else bar),
            terminal,
            everything,
            is_past=is_past,
        )
    if rest:
        dots = terminal.glyph("…", "...")
        text = f"{dots} {hidden} more ready (--all)" if hidden else f"{dots} {node.hidden} below (--depth)"
        yield Line(below + corner + text, below + "   ", "", None, ())


def _shown(children: Sequence[NodeView], everything: bool) -> tuple[list[NodeView], int]:
    healthy = [child.path for child in children if is_healthy(child)]
    if everything or len(healthy) <= SHOWN + 1:  # a line that says "1 more" would save nothing
        return list(children), 0
    hidden = set(healthy[SHOWN:])
    return [child for child in children if child.path not in hidden], len(hidden)


def _what(node: NodeView) -> str:
    if node.kind is NodeKind.SUPERVISOR:
        return node.strategy
    return (
        f"{node.placement} {node.pid}" if node.placement in _IN_PROCESSES and node.pid is not None else node.placement
    )


def _says(node: NodeView, is_root: bool, is_past: bool) -> tuple[str, ...]:
    said = [phrase(node)]
    if node.kind is NodeKind.SUPERVISOR:
        if is_root and node.state is NodeState.READY and node.children:
            said = [counts(node)]
        said.append(why_last(node))
        said.append(f"process {node.pid}" if node.placement == "process" and node.pid is not None else "")
        said.append(f"limit {limit(node.limit)}" if node.limit is not None else "")
        said.append("significant" if node.significant else "")
        said.append(printable(node.note) if node.state is NodeState.READY else "")
        return tuple(part for part in said if part)
    said.append(why_last(node))
    if node.state is NodeState.READY:
        said.append(duration(node.uptime) if node.uptime is not None else "")
        said.append(f"mbox {node.mailbox}" if node.placement != "program" and not is_past else "")
        said.append(f"restarts {node.restarts}" if node.restarts else "")
        said.append(f"in {node.handling} {duration(node.handling_for)}" if (node.handling_for or 0.0) >= 1.0 else "")
        said.append(printable(node.note))
    elif node.mailbox:
        said.append(f"mbox {node.mailbox}")
    return tuple(part for part in said if part)


def _laid_out(lines: Sequence[Line], terminal: Terminal) -> list[str]:
    stems = max(cell_width(line.stem) for line in lines if line.node is not None)
    whats = max(cell_width(line.what) for line in lines)
    word = max((cell_width(line.says[0]) for line in lines if _is_short(line)), default=0)
    found: list[str] = []
    for line in lines:
        if line.node is None:
            found.append(terminal.paint(line.stem, Style.DIM))
            continue
        first = pad(line.says[0], word) if _is_short(line) and len(line.says) > 1 else line.says[0]
        plain_mark = terminal.glyph(look(line.node).glyph, look(line.node).plain)
        rest = GAP.join([first, *line.says[1:]])
        start = GAP.join([pad(line.stem, stems), pad(line.what, whats)])
        if terminal.width is None or cell_width(start) + 2 * len(GAP) + 1 + cell_width(rest) <= terminal.width:
            first = terminal.paint(first, look(line.node).style)
            found.append(GAP.join([start, mark(line.node, terminal), first, *line.says[1:]]))
        else:
            found.extend(_narrow(line, plain_mark, terminal))
    return found


def _narrow(line: Line, glyph: str, terminal: Terminal) -> list[str]:
    assert line.node is not None
    assert terminal.width is not None
    style = look(line.node).style
    short = f"{line.stem} {glyph} {line.says[0]}"
    if cell_width(short) <= terminal.width:
        head = f"{line.stem} {mark(line.node, terminal)} {terminal.paint(line.says[0], style)}"
        rest = line.says[1:]
    else:
        head = f"{line.stem} {mark(line.node, terminal)}"
        rest = line.says
    hanging = line.below + terminal.glyph("│  ", "|  ") if line.node.children else line.below + "   "
    said = GAP.join(part for part in (line.what, *rest) if part)
    return [head, *(wrap(said, terminal.width, hanging) if said else [])]


def _is_short(line: Line) -> bool:
    node = line.node
    return node is not None and node.kind is NodeKind.WORKER and line.says[0] == LOOKS[node.state].word
