"""Many messages into one mailbox at once, as they come off a wire."""

from __future__ import annotations

from typing import Any

from actors.core.cell import Cell


def tell_all(target: Any, messages: list[Any]) -> bool:
    """Append `messages` to the mailbox of `target`, in order; never blocks and never refuses one of them alone.

    Returns:
        False, and nothing was done, where `target` has no mailbox here that takes them all now: tell it each.
    """
    if not isinstance(target, Cell):
        return False
    queue = target._queue
    if queue is None or len(queue) + len(messages) > target._limit:
        return False
    queue.extend(messages)
    if target._idle:
        target._wake()
    return True
