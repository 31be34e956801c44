"""What the runtime says to an actor through its system lane, and what is owed to a living actor alone."""

from __future__ import annotations

from typing import Any, Final

from actors.core.tracing import carried, traced
from actors.exits import ExitReason
from actors.messages import Message


class Stop:
    """System lane: end with `reason`, ahead of everything queued."""

    __slots__ = ("reason",)

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason


class Suspend:
    """System lane: hold back the user lane."""

    __slots__ = ()


class Resume:
    """System lane: let the user lane go on."""

    __slots__ = ()


class Notice(Message[None], frozen=True, local=True):
    """Base of the messages that the runtime sends an actor: they are owed to a living one and to nobody else."""


NOT_KEPT: Final = (Stop, Suspend, Resume, Notice)
"""What becomes no dead letter when its actor has ended."""


_BARE: Final = (Stop, Suspend, Resume)
"""System lane: what the kernel looks for there by its class."""


def carried_system(item: Any) -> Any:
    """Return `item` of the system lane, with the trace that the current thread works for."""
    return carried(item) if traced and not isinstance(item, _BARE) else item
