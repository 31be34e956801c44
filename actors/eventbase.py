"""What all events have in common; `actors.events` has them."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=False):
    """Base of all events."""

    TOPIC: ClassVar[str] = "event"
    SEVERITY: ClassVar[str] = "info"

    at: float
    path: str

    @property
    def severity(self) -> str:
        """`info`, `warning` or `error`: its class's `SEVERITY`, or what its fields make of it."""
        return self.SEVERITY
