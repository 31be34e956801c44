"""Dead letters: messages nobody took, kept with the reason, newest last, the oldest forgotten beyond a bound.

Each one is also an event on the bus. A flood cannot grow memory: the list is bounded and the count goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from msgspec import Struct

from actors.clock import Clock
from actors.core.bus import EventBus
from actors.events import DeadLettered


class DeadLetter(Struct, frozen=True):
    """A message nobody took.

    Attributes:
        at: Wall clock, seconds since the epoch.
        path: Actor it was for; "" for an actor without a path.
        message: The message itself.
        message_type: Its class name.
        why: "not running", "restarting", "exited", "mailbox full", "unhandled", "deadline passed", …
        sender: Who sent it, where that is known.
    """

    at: float
    path: str
    message: Any
    message_type: str
    why: str
    sender: str = ""


class DeadLetters:
    """The dead letters of one system. Every method may be called on any thread and never blocks."""

    def __init__(self, clock: Clock, bus: EventBus, capacity: int = 1000) -> None:
        """Make an empty list that keeps the newest `capacity` letters."""
        self._clock = clock
        self._bus = bus
        self._kept: deque[DeadLetter] = deque(maxlen=capacity)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many there ever were, the forgotten ones included."""
        return self._count

    def put(self, path: str, message: Any, why: str, sender: str = "") -> None:
        """Keep `message`, which was for `path`, and publish `DeadLettered`."""
        kind = type(message).__name__
        at = self._clock.time()
        with self._lock:
            self._count += 1
            self._kept.append(DeadLetter(at, path, message, kind, why, sender))
        self._bus.publish(DeadLettered(at, path, kind, why, sender))

    def recent(self, n: int = 100) -> tuple[DeadLetter, ...]:
        """Return the newest `n`, oldest of them first."""
        with self._lock:
            kept = tuple(self._kept)
        return kept[max(0, len(kept) - n) :]
