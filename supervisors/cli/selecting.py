"""Targets on the command line: checked before a node is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from supervisors.cli.connection import Node
from supervisors.cli.failures import CommandError, usage
from supervisors.requests import TreeArguments
from supervisors.selectors import GLOB_CHARACTERS, STARTING, SelectorError, check_selector, select
from supervisors.views import NodeView, TreeView

WHOLE_TREE = frozenset({"/", "/**", "**", "/*"})
"""Selectors that mean everything."""


LOOK_AGAIN: Final = 0.1
"""Seconds between two looks at a node that is starting."""


def chosen_nodes(node: Node, chosen: Sequence[str]) -> tuple[TreeView, Sequence[NodeView]]:
    """Return the tree, and what of it is chosen; without selectors everything.

    Where the node is starting, what is not there yet is waited for, as long as a reading command may take.

    Raises:
        SelectorError: Nothing matches.
        CommandError: `conflict`: nothing matches yet.
    """
    deadline = time.monotonic() + node.seconds
    while True:
        view = node.request("tree", TreeArguments(), TreeView)
        try:
            return view, select(view.nodes, chosen) if chosen else view.nodes
        except SelectorError as error:
            if error.code != "not_found" or view.header.state not in STARTING:
                raise
            if time.monotonic() >= deadline:
                raise CommandError("conflict", f"the node is starting: {error} yet", "actorctl wait") from None
        time.sleep(LOOK_AGAIN)


def one_path(path: str) -> str:
    """Return `path`, checked, where a command takes exactly one node.

    Raises:
        CommandError: `usage`: it is empty, malformed, a glob or a state.
    """
    path = checked(path)
    if path.startswith("@") or not GLOB_CHARACTERS.isdisjoint(path):
        raise usage(f"{path} may mean several nodes; this takes one path", f"see: actorctl ps '{path}'")
    return path


def checked(selector: str) -> str:
    """Return `selector`, checked.

    Raises:
        CommandError: `usage`: it is empty or malformed.
    """
    try:
        return check_selector(selector)
    except SelectorError as error:
        raise CommandError(error.code, str(error), error.hint) from None


def targets(command: str, selectors: Sequence[str] | None, whole: str) -> tuple[str, ...]:
    """Return the targets of a control command; without one it is refused, for it would mean everything.

    Args:
        command: Its name.
        selectors: As typed.
        whole: What to do to the whole node instead.

    Raises:
        CommandError: `usage`: there is none, or one is empty or malformed.
    """
    if not selectors:
        raise usage(
            f"{command} needs a target: a bare '{command}' could mean one actor or everything",
            f"actorctl {command} /PATH for an actor (see: actorctl ps); for the whole node {whole}",
        )
    return tuple(checked(selector) for selector in selectors)
