"""Visitors that a socket did not let in, each told of at once and then once in a while, with how often it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from transport.rates import REPORT_EVERY

REMEMBERED: Final = 1_000
"""Refused visitors remembered."""

UNAUTHORISED: Final = "its key is not authorised"
UNRECOGNISED: Final = "it holds another key of this node, or none"

Tell: TypeAlias = Callable[[str, str, str, int], object]
"""Takes an address, who it was, why, and how often since the last time; "" where one is not known."""


class Refusals:
    """Bounds how often `tell` is called for one visitor; ZeroMQ tries again several times a second. Any thread."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = threading.Lock()

    def unauthorised(self, address: str, public: str) -> None:
        """A visitor came with a key that is on no list."""
        self.refused(address, public, UNAUTHORISED)

    def unrecognised(self) -> None:
        """A visitor came that no key could be read of; ZeroMQ does not say from where."""
        self.refused("", "", UNRECOGNISED)

    def refused(self, address: str, peer: str, why: str) -> None:
        """Tell of a visitor, or count it where it was told of lately."""
        now = time.monotonic()
        with self._lock:
            quiet_until, count = self._told.get((peer, why), (0.0, 0))
            if now < quiet_until:
                self._told[peer, why] = (quiet_until, count + 1)
                return
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told[peer, why] = (now + REPORT_EVERY, 0)
        self._tell(address, peer, why, count + 1)
