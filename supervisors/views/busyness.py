"""What workers did between two looks at the tree: the rows of `top`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from supervisors.views.base import View
from supervisors.views.tree import NodeKind, NodeState, NodeView


class ActivityView(View, frozen=True, gc=False):
    """One worker, and what it did in a window of time.

    Attributes:
        mailbox: Messages waiting at the window's end.
        growth: Messages a second by which the mailbox grew; negative where it shrank.
        rate: Messages handled a second.
        restarts: Restarts within the window.
        cpu_ratio: Processors its own process used at the last measurement, 1.0 is one; None where it has none.
        memory_bytes: Resident memory of its own process; None where it has none.
        handling: Type of the message in its handler at the window's end.
        handling_for: Seconds the handler had taken by then.
        window: Seconds between the two looks; 0 where there was one only, whose rates are 0.
    """

    path: str
    state: NodeState
    placement: str = ""
    pid: int | None = None
    mailbox: int = 0
    growth: float = 0.0
    rate: float = 0.0
    restarts: int = 0
    cpu_ratio: float | None = None
    memory_bytes: int | None = None
    handling: str = ""
    handling_for: float | None = None
    window: float = 0.0


def activity(before: Iterable[NodeView], after: Iterable[NodeView], seconds: float) -> Sequence[ActivityView]:
    """Return what the workers of `after` did in the `seconds` since `before`, those that need a look first.

    A worker whose mailbox grows comes before one that is long, and that before a busy one. What a new instance handled
    counts from its start; a worker that `before` does not have is new in whole.
    """
    known = {node.path: node for node in before}
    rows = [
        _row(known.get(node.path), node, seconds) for node in after if node.kind is NodeKind.WORKER and node.generation
    ]
    return sorted(rows, key=lambda row: (-max(row.growth, 0.0), -row.mailbox, -row.rate, row.path))


def _row(before: NodeView | None, after: NodeView, seconds: float) -> ActivityView:
    mailbox = before.mailbox if before is not None else 0
    handled = before.handled if before is not None and before.generation == after.generation else 0
    restarts = before.restarts if before is not None else 0
    return ActivityView(
        path=after.path,
        state=after.state,
        placement=after.placement,
        pid=after.pid,
        mailbox=after.mailbox,
        growth=(after.mailbox - mailbox) / seconds if seconds > 0 else 0.0,
        rate=max(0, after.handled - handled) / seconds if seconds > 0 else 0.0,
        restarts=max(0, after.restarts - restarts),
        cpu_ratio=after.cpu_ratio,
        memory_bytes=after.memory_bytes,
        handling=after.handling,
        handling_for=after.handling_for,
        window=seconds,
    )
