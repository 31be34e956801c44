"""What differs between two instants of the tree."""

from __future__ import annotations

from typing import Any

from supervisors.views.base import View
from supervisors.views.tree import NodeView


class ChangeView(View, frozen=True):
    """One node that is not as it was.

    Attributes:
        change: `appeared`, `went` or `changed`.
        before: What differs, as it was; of a node that went, its state and generation.
        after: The same, as it is; of a node that appeared, its state and generation.
        node: The node at the later instant; one that went, at the earlier.
    """

    path: str
    change: str
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    node: NodeView | None = None
