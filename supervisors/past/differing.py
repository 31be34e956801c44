"""What changed in a tree from one instant to another: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supervisors.views import ChangeView, NodeView

COMPARED: Final = ("state", "generation", "pid", "placement", "restart", "strategy", "stopped_by", "restarts")
"""The fields whose change is told, beside nodes that came or went."""


def differences(before: tuple[NodeView, ...], after: tuple[NodeView, ...]) -> tuple[ChangeView, ...]:
    """Return what differs, in the order of the later tree, with what is gone where it stood."""
    old, new = _by_path(before), _by_path(after)
    found: list[ChangeView] = []
    for path in _merged(before, after):
        was, now = old.get(path), new.get(path)
        if was is None and now is not None:
            found.append(ChangeView(path=path, change="appeared", after=_shown(now), node=now))
        elif was is not None and now is None:
            found.append(ChangeView(path=path, change="went", before=_shown(was), node=was))
        elif was is not None and now is not None:
            differing = [name for name in COMPARED if getattr(was, name) != getattr(now, name)]
            if differing:
                said = {name: _plain(getattr(was, name)) for name in differing}
                says = {name: _plain(getattr(now, name)) for name in differing}
                found.append(ChangeView(path=path, change="changed", before=said, after=says, node=now))
    return tuple(found)


def _shown(node: NodeView) -> dict[str, Any]:
    return {"state": node.state.value, "generation": node.generation}


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _by_path(nodes: tuple[NodeView, ...]) -> Mapping[str, NodeView]:
    return {node.path: node for node in nodes}


def _merged(before: tuple[NodeView, ...], after: tuple[NodeView, ...]) -> list[str]:
    """Return every path, those of `after` in order, each that went behind what stood before it."""
    found = [node.path for node in after]
    known = set(found)
    previous = ""
    for node in before:
        if node.path not in known:
            known.add(node.path)
            found.insert(found.index(previous) + 1 if previous else 0, node.path)
        previous = node.path
    return found
