"""Targets on the command line: checked before a node is asked."""

from __future__ import annotations

from collections.abc import Sequence

from supervisors.cli.failures import CommandError, usage
from supervisors.selectors import GLOB_CHARACTERS, SelectorError, check_selector

WHOLE_TREE = frozenset({"/", "/**", "**", "/*"})
"""Selectors that mean everything."""


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
