"""In which order siblings start, and what is wrong with what they need.

A child starts after the siblings that it, or anything below it, needs; then by `start_order`; then as written. A need
of a path elsewhere in the tree binds the two children of the nearest common supervisor that lie above both: an agent
that needs `/io/gmail` makes `/agents` start after `/io`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from actors.addresses import ROOT, is_within, parent_of
from supervisors.node.entries import Entry
from supervisors.node.faults import cut
from supervisors.node.fields import suggestion
from supervisors.node.positions import KeyPath

Complaint = tuple[KeyPath, str, str]
"""Where, what is wrong, what would be right."""


def check_needs(entries: Sequence[Entry], written: Iterable[str]) -> Iterator[Complaint]:
    """Yield what is wrong with `needs`: paths that are not there, needs of what lies above or below, cycles.

    Args:
        entries: The children of the tree.
        written: Paths of all actors that are written, the disabled ones too.
    """
    known = {path for entry in entries for path in (entry.path, *entry.paths)}
    disabled = set(written) - known
    for entry in entries:
        for number, need in enumerate(entry.needs):
            at = (*entry.at, "needs", number)
            if need in disabled:
                yield at, f"{cut(need)} is not enabled", "enable it, or leave the need out"
            elif need not in known:
                near = suggestion(need, known)
                yield at, f"there is no {cut(need)}", near or "name a path of the tree"
            elif is_within(need, entry.path) or is_within(entry.path, need):
                yield at, f"{need} lies above, below or is the child itself", "need what stands beside it"
    yield from _cycles(entries)


def in_start_order(children: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
    """Return `children` of one supervisor in the order they start.

    Args:
        children: The siblings, as written; their needs hold no cycle.
        entries: All entries of the tree.
    """
    left = sorted(children, key=lambda child: child.start_order)  # a stable sort: equal ones as written
    edges = _edges(children, entries)
    ordered: list[Entry] = []
    started: set[str] = set()
    while left:
        ready = next((child for child in left if edges[child.path] <= started), left[0])
        left.remove(ready)
        ordered.append(ready)
        started.add(ready.path)
    return ordered


def _edges(children: Sequence[Entry], entries: Sequence[Entry]) -> dict[str, set[str]]:
    """Return for each sibling the siblings that must start before it."""
    edges: dict[str, set[str]] = {child.path: set() for child in children}
    for entry in entries:
        child = _above(entry.path, edges)
        for need in entry.needs if child is not None else ():
            needed = _above(need, edges) or _above(_stem(need), edges)
            if needed is not None and needed != child and child is not None:
                edges[child].add(needed)
    return edges


def _above(path: str, siblings: dict[str, set[str]]) -> str | None:
    """Return the sibling that is `path` or lies above it."""
    step: str | None = path
    while step is not None and step not in siblings:
        step = parent_of(step)
    return step


def _stem(path: str) -> str:
    """Return the path that `path#3` is an instance of."""
    head, mark, number = path.rpartition("#")
    return head if mark and number.isdecimal() else path


def _cycles(entries: Sequence[Entry]) -> Iterator[Complaint]:
    families: dict[str, list[Entry]] = {}
    for entry in entries:
        families.setdefault(entry.parent, []).append(entry)
    for parent in sorted(families, key=lambda path: (path != ROOT, path)):
        edges = _edges(families[parent], entries)
        for cycle in _find_cycles(edges):
            at = _place(cycle, entries)
            yield at, f"needs go in a circle: {' -> '.join([*cycle, cycle[0]])}", "leave one of them out"


def _find_cycles(edges: dict[str, set[str]]) -> Iterator[list[str]]:
    """Yield one cycle for each group of siblings that wait for each other, in the order of needing."""
    done: set[str] = set()
    for start in edges:
        trail: list[str] = []
        seen: dict[str, int] = {}
        stack: list[tuple[str, Iterator[str]]] = []
        if start not in done:
            stack.append((start, iter(sorted(edges[start]))))
            seen[start] = 0
            trail.append(start)
        while stack:
            node, following = stack[-1]
            step = next((other for other in following if other not in done), None)
            if step is None:
                stack.pop()
                trail.pop()
                del seen[node]
                done.add(node)
            elif step in seen:
                yield trail[seen[step] :]
                break
            else:
                seen[step] = len(trail)
                trail.append(step)
                stack.append((step, iter(sorted(edges[step]))))
        done.update(seen)


def _place(cycle: list[str], entries: Sequence[Entry]) -> KeyPath:
    """Return the key of a need that is part of `cycle`."""
    first, second = cycle[0], cycle[1] if len(cycle) > 1 else cycle[0]
    for entry in entries:
        for number, need in enumerate(entry.needs):
            if is_within(entry.path, first) and (is_within(need, second) or is_within(_stem(need), second)):
                return (*entry.at, "needs", number)
    return ()
