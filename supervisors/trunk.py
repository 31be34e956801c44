"""What the subtrees of other processes hang on: which there are, what they must hold stopped, who looks on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.addresses import is_within
from supervisors.core.events import Hold


class BranchTable:
    """The branches of one process: meets `supervisors.children.Trunk`. Any thread may use it; nothing here waits.

    Attributes:
        branches: Every running branch by the path of its top; each is a `supervisors.branches.Branch`.
    """

    def __init__(self, holds: dict[str, Hold]) -> None:
        """Begin without any; `holds` are the children that a person stopped, by path."""
        self.branches: dict[str, Any] = {}
        self._holds = holds
        self._onlookers: tuple[Callable[[], object], ...] = ()

    def holds_within(self, path: str) -> dict[str, Hold]:
        """Return the holds at `path` and below it, by path."""
        return {held: hold for held, hold in list(self._holds.items()) if is_within(held, path)}

    def branch_grown(self, path: str, branch: Any) -> None:
        """Have what is at and below `path` asked of `branch`."""
        self.branches[path] = branch

    def branch_gone(self, path: str, branch: Any) -> None:
        """Forget `branch`: its process has ended."""
        if self.branches.get(path) is branch:
            del self.branches[path]
            self.branch_changed()

    def branch_changed(self) -> None:
        """Tell those who look on that what a branch knows of its nodes has changed."""
        for look in self._onlookers:
            look()

    def look_on(self, look: Callable[[], object]) -> Callable[[], None]:
        """Have `look`, which must only post, called whenever a branch has changed; return what ends that."""
        self._onlookers += (look,)

        def end() -> None:
            self._onlookers = tuple(other for other in self._onlookers if other is not look)

        return end
