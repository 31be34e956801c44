"""What services raise."""

from __future__ import annotations

from actors.errors import ActorRuntimeError


class ServiceUnreachableError(ActorRuntimeError, ConnectionError):
    """A configured service did not answer its probe at the start, or failed too often in a row.

    Attributes:
        path: The service.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} is configured but cannot be used: {why}")
        self.path = path


class ServiceFaultError(ActorRuntimeError):
    """The outside answered with something other than what was asked for."""
