"""How a node's state looks: glyph, word and colour, and the phrase that says what matters about it now. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from supervisors.cli.terminal import Style, Terminal
from supervisors.cli.texts import duration, plural, printable
from supervisors.views import BudgetView, NodeKind, NodeState, NodeView


class Look(Struct, frozen=True, gc=False):
    """Glyph, its ASCII form, the word, the colour."""

    glyph: str
    plain: str
    word: str
    style: Style | None


LOOKS: Final = {
    NodeState.WAITING: Look("◌", ".", "waiting", Style.WARNING),
    NodeState.STARTING: Look("◐", "~", "starting", Style.WARNING),
    NodeState.READY: Look("●", "*", "ready", Style.GOOD),
    NodeState.SUSPENDED: Look("‖", "=", "suspended", Style.WARNING),
    NodeState.RESTARTING: Look("↻", "@", "restarting", Style.WARNING),
    NodeState.STOPPING: Look("◑", "~", "stopping", Style.WARNING),
    NodeState.STOPPED: Look("■", "#", "stopped", Style.DIM),
    NodeState.FINISHED: Look("✓", "+", "finished", Style.DIM),
    NodeState.NOT_CONFIGURED: Look("○", "o", "not configured", Style.DIM),
    NodeState.QUARANTINED: Look("⊘", "X", "quarantined", Style.BAD),
    NodeState.PARKED: Look("⊝", "X", "parked", Style.BAD),
    NodeState.ABANDONED: Look("†", "!", "abandoned", Style.BAD),
    NodeState.FAILED: Look("✗", "X", "failed", Style.BAD),
    NodeState.UNKNOWN: Look("?", "?", "unknown", Style.BAD),
}

DEGRADED: Final = Look("▲", "^", "", Style.WARNING)
"""A supervisor that runs with workers missing."""

HEALTHY: Final = frozenset({NodeState.READY, NodeState.FINISHED})


def look(node: NodeView) -> Look:
    """Return how `node` looks; a ready supervisor with workers missing is degraded."""
    if node.kind is NodeKind.SUPERVISOR and node.state is NodeState.READY and node.ready < node.total:
        return DEGRADED
    return LOOKS[node.state]


def mark(node: NodeView, terminal: Terminal) -> str:
    """Return the glyph of `node` for `terminal`, coloured."""
    found = look(node)
    return terminal.paint(terminal.glyph(found.glyph, found.plain), found.style)


def is_healthy(node: NodeView) -> bool:
    """Whether nothing about `node`, or below it, asks for a look."""
    if node.kind is NodeKind.SUPERVISOR and node.ready < node.total:
        return False
    return node.state in HEALTHY and all(is_healthy(child) for child in node.children)


def limit(budget: BudgetView | None) -> str:
    """Return `2/10 in 60s`."""
    return f"{budget.restarts}/{budget.intensity} in {duration(budget.period)}" if budget is not None else ""


def phrase(node: NodeView) -> str:
    """Return the words for the state: `ready`, `restarting in 41s (try 4, back-off 80s)`, `stopped by uid 1000`."""
    word = LOOKS[node.state].word
    match node.state:
        case NodeState.READY if node.kind is NodeKind.SUPERVISOR:
            return f"ready {node.ready}/{node.total}"
        case NodeState.RESTARTING:
            when = f" in {duration(node.next_in)}" if node.next_in is not None else ""
            details = [f"try {node.attempt}"] if node.attempt else []
            details += [f"back-off {duration(node.backoff)}"] if node.backoff else []
            return f"{word}{when}" + (f" ({', '.join(details)})" if details else "")
        case NodeState.NOT_CONFIGURED:
            return _after(word, _without(node.why, "not configured"))
        case NodeState.WAITING:
            return _after(word, _without(node.why, "waiting"), " ")
        case NodeState.STOPPED | NodeState.SUSPENDED:
            by = f"{word} by {node.stopped_by}" if node.stopped_by else word
            return _after(by, node.stopped_why or node.why)
        case NodeState.QUARANTINED:
            return _after(word, f"{limit(node.budget)} used up" if node.budget else node.why)
        case NodeState.PARKED | NodeState.FAILED | NodeState.ABANDONED | NodeState.STARTING | NodeState.STOPPING:
            return _after(word, node.why)
        case NodeState.UNKNOWN:
            return _after(word, node.why)
        case _:
            return word


def why_last(node: NodeView) -> str:
    """Return why the instance before ended, where that explains the state."""
    explained = {NodeState.RESTARTING, NodeState.QUARANTINED, NodeState.FAILED, NodeState.PARKED}
    return printable(node.last_reason) if node.state in explained and node.last_reason else ""


def counts(root: NodeView) -> str:
    """Return `4 supervisors, 24 workers, 1 restarting`, counted below `root`."""
    below = list(_below(root))
    supervisors = sum(node.kind is NodeKind.SUPERVISOR for node in below)
    parts = [plural(supervisors, "supervisor")] if supervisors else []
    parts.append(plural(len(below) - supervisors, "worker"))
    for state in NodeState:
        count = sum(node.state is state and node.kind is NodeKind.WORKER for node in below)
        if count and state not in HEALTHY:
            parts.append(f"{count} {LOOKS[state].word}")
    return ", ".join(parts)


def _below(node: NodeView) -> Iterator[NodeView]:
    for child in node.children:
        yield child
        yield from _below(child)


def _after(word: str, rest: str, mark: str = ": ") -> str:
    return f"{word}{mark}{printable(rest)}" if rest else word


def _without(text: str, prefix: str) -> str:
    return text.removeprefix(prefix).lstrip(": ")
