"""Pykka's inbox protocol in front of a mailbox, for code that uses `actor_inbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.core.ref import ActorRef


class Inbox:
    """Pykka's inbox protocol in front of a mailbox, for code that uses `actor_inbox`."""

    __slots__ = ("_ref",)

    def __init__(self, ref: ActorRef[Any]) -> None:
        self._ref = ref

    def put(self, envelope: Any) -> None:
        """Put a pykka envelope into the mailbox."""
        self._ref.tell(envelope)

    def get(self) -> Any:
        """Not for callers: the actor takes its messages itself.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("only the actor takes messages out of its mailbox")

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._ref._queue
