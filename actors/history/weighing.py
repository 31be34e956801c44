"""How much work a statement is to plan: the SELECTs and tables in it, each as often as the planner comes by.

Planning cannot be interrupted, and its time grows with the square of what it counts here: three thousand SELECTs with a
UNION in between keep a thread, and what it holds, for half a minute. A `WITH` that is named twice may be planned twice,
and one that names another twice four times.
"""

from __future__ import annotations

from typing import Any

WEIGHT_LIMIT = 200
"""Most SELECTs and tables in a statement."""

_COUNTED = frozenset({"SELECT_NODE", "BASE_TABLE", "TABLE_FUNCTION", "EXPRESSION_LIST"})


def weight(tree: Any) -> int:
    """Return how many SELECTs and tables the parsed statement `tree` has, those of a `WITH` wherever it is named.

    It is counted up to somewhat above `WEIGHT_LIMIT`; a `WITH` that nothing names counts as well. Names are taken to
    mean the same everywhere in the statement: of two with the same name the heavier one counts.
    """
    bodies: dict[str, list[Any]] = {}
    whole = _part(tree, bodies)
    parts: dict[str, list[_Part]] = {}
    while bodies:  # bodies have bodies
        inner: dict[str, list[Any]] = {}
        for name, trees in bodies.items():
            parts.setdefault(name, []).extend(_part(body, inner) for body in trees)
        bodies = inner
    written = whole.count + sum(part.count for named in parts.values() for part in named)
    return written if written > WEIGHT_LIMIT else max(written, _planned(whole, parts, {}))


class _Part:
    """The statement, or the body of a `WITH`, without the bodies in it: what it counts, and what it names."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []


def _part(tree: Any, bodies: dict[str, list[Any]]) -> _Part:
    """Count `tree`, and put the bodies in it into `bodies`."""
    part = _Part()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            kind = node.get("type")
            part.count += kind in _COUNTED
            if kind == "BASE_TABLE":
                part.names.append(str(node.get("table_name", "")).lower())
            for key, value in node.items():
                if key != "cte_map":
                    waiting.append(value)
                    continue
                for entry in value.get("map", ()):
                    bodies.setdefault(str(entry.get("key", "")).lower(), []).append(entry.get("value"))
    return part


def _planned(part: _Part, parts: dict[str, list[_Part]], known: dict[str, int]) -> int:
    """Return what `part` counts with what it names. No deeper than `WEIGHT_LIMIT`: there are not more bodies."""
    found = part.count
    for name in part.names:
        if name in parts and name not in known:
            known[name] = 0  # what names itself, a recursion, is planned once
            known[name] = max(_planned(named, parts, known) for named in parts[name])
        found += known.get(name, 0)
        if found > WEIGHT_LIMIT:
            break
    return found
