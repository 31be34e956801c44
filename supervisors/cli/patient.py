"""What `doctor` examines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from transport.endpoints import Presence, Verdict


class Patient(Struct, frozen=True):
    """What is examined.

    Attributes:
        home: The runtime's home.
        config: The configuration file, or None for the one that `run` would take.
        verdict: Whether a node runs there.
        ping: Asks the running node for a sign of life; raises when there is none.
    """

    home: Path
    config: Path | None
    verdict: Verdict
    ping: Callable[[], str]

    @property
    def is_running(self) -> bool:
        """Whether a living node owns the home."""
        return self.verdict.presence in {Presence.RUNNING, Presence.OTHER_USER}
