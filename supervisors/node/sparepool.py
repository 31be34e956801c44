"""The pool of spares in a node's tree: a child of `/sys`, there as soon as anything in the tree asks for spares."""

from __future__ import annotations

from msgspec.structs import replace

from actors.addresses import join
from supervisors.specs import ChildSpec, ChildType, ImportStart, SupervisorSpec

POOL = "supervisors.processes.pool:SparePool"

SYSTEM = "sys"
NAME = "spares"
PATH = join(join("/", SYSTEM), NAME)
"""Where the pool is in the tree."""


def with_pool(tree: SupervisorSpec) -> SupervisorSpec:
    """Return `tree` with the pool as the last child of `/sys`, where anything in this process asks for spares.

    It is left as it is where nothing does, where there is no `/sys`, or where that has a child of the pool's name.
    """
    system = next((spec for spec in tree.children if spec.id == SYSTEM), None)
    if system is None or not isinstance(system.start, SupervisorSpec) or not _wants_spares(tree):
        return tree
    inner = system.start
    if any(spec.id == NAME for spec in inner.children):
        return tree
    pool = ChildSpec(NAME, ImportStart(POOL), type=ChildType.SUPERVISOR, shutdown=5.0, start_timeout=5.0)
    grown = replace(system, start=replace(inner, children=(*inner.children, pool)))
    return replace(tree, children=tuple(grown if spec is system else spec for spec in tree.children))


def _wants_spares(tree: SupervisorSpec) -> bool:
    """Whether a child that this process launches asks for spares; a subtree's process keeps its own."""
    for spec in tree.children:
        if spec.spares:
            return True
        if isinstance(spec.start, SupervisorSpec) and spec.runs_in != "process" and _wants_spares(spec.start):
            return True
    return False
