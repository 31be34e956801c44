"""The ref of a process child's actor, as the node holds it."""

from __future__ import annotations

from typing import Final

from actors.addresses import Address
from actors.core.mailbox import ActorStatistics
from actors.exits import ExitReason
from supervisors.children import ChildHandle
from transport.gateway import Gateway
from transport.remote import RemoteRef

_NO_FIGURES: Final = ActorStatistics(0, 0, 0, 0, None, None, None, 0, 0, 0, False)


class ProcessRef(RemoteRef):
    """The ref of a process child's actor."""

    def __init__(self, gateway: Gateway, address: Address, child: ChildHandle) -> None:
        super().__init__(gateway, address)
        self._child = child

    def statistics(self) -> ActorStatistics:
        """Return the figures of the last heartbeat; asks nobody. Instants in it are of the child's clock."""
        return self._child.figures() or _NO_FIGURES

    def stop(self, reason: ExitReason) -> None:
        """Ask the actor to end with `reason`; its supervisor learns of the end as of any other."""
        self._child.stop(reason)

    def suspend(self) -> None:
        """Hold back the actor's messages."""
        self._child.suspend()

    def resume(self) -> None:
        """Let the actor's messages through again."""
        self._child.resume()
