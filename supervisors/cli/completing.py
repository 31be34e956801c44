"""Live paths for the shells' completion: silent, and within 150 ms, whatever happens."""

from __future__ import annotations

from typing import Final

import typer

COMPLETION_SECONDS: Final = 0.15


def complete_paths(context: typer.Context, incomplete: str) -> list[str]:
    """Return the paths that begin with `incomplete`; none when the node is away or slow."""
    try:
        from supervisors.cli.calling import Settings, make_call
        from supervisors.cli.connection import connect
        from supervisors.requests import TreeArguments
        from supervisors.selectors import state_selectors
        from supervisors.views import TreeView

        if incomplete.startswith("@"):
            return [name for name in state_selectors() if name.startswith(incomplete)]
        root = context.find_root()
        settings = Settings(
            home=root.params.get("home"), endpoint=root.params.get("endpoint"), timeout=COMPLETION_SECONDS
        )
        with connect(make_call("", settings), patience=COMPLETION_SECONDS) as node:
            view: TreeView = node.request("tree", TreeArguments(), TreeView)
        return [item.path for item in view.nodes if item.path.startswith(incomplete)]
    except Exception:
        return []  # a shell's prompt is no place for errors
