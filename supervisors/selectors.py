"""Which nodes of a tree a person means: paths, globs and states, resolved against a tree.

    /io/gmail        that node
    /io/*            the children of /io
    /agents/**       /agents and everything below it
    @failed          every node in a state a person should look at: failed, quarantined, abandoned, parked
    @restarting      every node in that state; so for each name in `NodeState`

Pure: node and client share these rules, so that `ps SELECTOR` shows exactly what `stop SELECTOR` would stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from actors.addresses import check_path, matches
from actors.errors import ActorRuntimeError, AddressError
from supervisors.views import NodeState, NodeView


class SelectorError(ActorRuntimeError, ValueError):
    """A selector that is malformed (`code` is `usage`) or chooses nothing (`not_found`)."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


GLOB_CHARACTERS = frozenset("*?")

STARTING = frozenset({"created", "starting"})
"""States of a node in which what is not found may only not be there yet."""

CANDIDATES = 1_000
"""Paths compared with a misspelt one at most; comparing costs some 20 us each."""

UNHEALTHY = frozenset(
    {
        NodeState.RESTARTING,
        NodeState.FAILED,
        NodeState.QUARANTINED,
        NodeState.ABANDONED,
        NodeState.PARKED,
        NodeState.UNKNOWN,
    }
)
"""States a person should look at."""

_FAILED = UNHEALTHY - {NodeState.RESTARTING, NodeState.UNKNOWN}
_STATES: dict[str, frozenset[NodeState]] = {
    **{state.value: frozenset({state}) for state in NodeState},
    "failed": frozenset(_FAILED),
    "unhealthy": UNHEALTHY,
}


def state_selectors() -> tuple[str, ...]:
    """Return every selector by state: `@ready`, `@failed`, …"""
    return tuple(f"@{name}" for name in _STATES)


def check_selector(selector: str) -> str:
    """Return `selector` if it can select something, a path without its trailing slash.

    Raises:
        SelectorError: With code `usage`: it is empty, no path, or names no state.
    """
    if not selector.strip():
        raise SelectorError("usage", "the path is empty", "was a shell variable unset? name a path, such as /io/gmail")
    if selector.startswith("@"):
        if selector[1:] not in _STATES:
            near = get_close_matches(selector[1:], _STATES, n=1)
            known = ", ".join(f"@{name}" for name in _STATES)
            raise SelectorError(
                "usage", f"{selector} is no state", f"did you mean @{near[0]}?" if near else f"states: {known}"
            )
        return selector
    selector = selector.rstrip("/") or "/"
    if GLOB_CHARACTERS.isdisjoint(selector):
        try:
            return check_path(selector)
        except AddressError as error:
            hint = f"did you mean /{selector}?" if not selector.startswith("/") else "see: actorctl help paths"
            raise SelectorError("usage", str(error), hint) from None
    if not selector.startswith(("/", "**")):
        raise SelectorError("usage", f"{selector!r} is no glob of paths", f"did you mean '/{selector}'?")
    return selector


def select(nodes: Sequence[NodeView], selectors: Iterable[str]) -> tuple[NodeView, ...]:
    """Return the nodes the selectors choose, each once, in the order of `nodes` (a flat tree, `TreeView.nodes`).

    A state that no node is in chooses nothing; a path or glob that nothing matches is an error.

    Raises:
        SelectorError: With code `usage`: a selector is malformed. With code `not_found`: nothing is there; the hint
            names what is near, or what exists.
    """
    chosen: set[str] = set()
    for selector in selectors:
        selector = check_selector(selector)
        if selector.startswith("@"):
            states = _STATES[selector[1:]]
            chosen.update(node.path for node in nodes if node.state in states)
            continue
        found = [node.path for node in nodes if matches(node.path, selector)]
        if not found:
            raise not_found(selector, [node.path for node in nodes])
        chosen.update(found)
    return tuple(node for node in nodes if node.path in chosen)


def find(nodes: Sequence[NodeView], path: str) -> NodeView:
    """Return the node at `path`.

    Raises:
        SelectorError: As `select`; a glob or a state is refused with `usage`, since one node is asked for.
    """
    path = check_selector(path)
    if path.startswith("@") or not GLOB_CHARACTERS.isdisjoint(path):
        raise SelectorError("usage", f"{path} may select several; this takes one path", f"see: actorctl ps '{path}'")
    for node in nodes:
        if node.path == path:
            return node
    raise not_found(path, [node.path for node in nodes])


def not_found(selector: str, paths: list[str]) -> SelectorError:
    """Return the error for a selector that nothing matches, naming what is near or what exists."""
    kind = "nothing matches" if GLOB_CHARACTERS & set(selector) else "there is no actor at"
    near = get_close_matches(selector, _candidates(selector, paths), n=3, cutoff=0.6)
    if near:
        return SelectorError("not_found", f"{kind} {selector}", f"did you mean {' or '.join(near)}?")
    top = [path for path in paths if path.count("/") == 1 and path != "/"] or paths[:10]
    shown = ", ".join(top[:10]) + (f" and {len(top) - 10} more" if len(top) > 10 else "")
    return SelectorError("not_found", f"{kind} {selector}", f"there are {shown or 'no actors yet'}; see: actorctl ps")


def _candidates(selector: str, paths: list[str]) -> list[str]:
    """Return the paths worth comparing with a misspelt one: its siblings, its namesakes, then others, not too many."""
    parent, _, name = selector.rpartition("/")
    likely = [path for path in paths if path.rpartition("/")[0] == parent or path.rpartition("/")[2] == name]
    return list(dict.fromkeys([*likely[:CANDIDATES], *paths[:CANDIDATES]]))
