"""What became of commands that carry an idempotency key, so that each is carried out once however often it is sent.

An outcome is *running* (who waits for it is listed), or *done* (its answer is kept, or only that there was one, where
it was too large to keep). Outcomes are forgotten `TTL` seconds after their last change; where there are more than
`LIMIT`, or their answers exceed `LIMIT_BYTES`, the oldest that are done go earlier. One thread uses it: the reactor's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from transport.control.protocol import Response

TTL: Final = 600.0
LIMIT: Final = 1_000
LIMIT_BYTES: Final = 16 * 1024 * 1024
ANSWER_BYTES: Final = 1024 * 1024
WAITING_LIMIT: Final = 100

Route = tuple[bytes, ...]
Waiting = list[tuple[Route, str]]
"""Who waits: where to send the answer, and the id to send it under."""

Key = tuple[str, str]
"""Whose key, and the key."""


class Outcome:
    """One command with a key.

    Attributes:
        digest: What identifies the command and its arguments.
        waiting: Who waits for it.
        is_done: Whether it has been answered.
        response: The answer, where it was kept.
        size: Bytes of the answer.
        at: Monotonic time of the last change.
    """

    __slots__ = ("at", "digest", "is_done", "response", "size", "waiting")

    def __init__(self, digest: bytes, at: float) -> None:
        self.digest = digest
        self.at = at
        self.waiting: Waiting = []
        self.is_done = False
        self.response: Response | None = None
        self.size = 0

    def take_waiting(self) -> Waiting:
        """Return who waits, and forget them."""
        waiting, self.waiting = self.waiting, []
        return waiting


class Outcomes:
    """The outcomes remembered, oldest change first."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[Key, Outcome] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._outcomes)

    def find(self, key: Key, now: float) -> Outcome | None:
        """Return the outcome of `key`, unless it is forgotten."""
        self.sweep(now)
        return self._outcomes.get(key)

    def begin(self, key: Key, digest: bytes, now: float) -> Outcome:
        """Take note of a command that starts to be carried out."""
        outcome = self._outcomes[key] = Outcome(digest, now)
        self.sweep(now)
        return outcome

    def finish(self, key: Key, response: Response, size: int, now: float) -> Waiting:
        """Take note of the answer, of `size` bytes, and return who waited for it."""
        outcome = self._outcomes.get(key)
        if outcome is None or outcome.is_done:
            return []
        outcome.is_done, outcome.size, outcome.at = True, size, now
        if size <= ANSWER_BYTES:
            outcome.response = response
            self._bytes += size
        waiting = outcome.take_waiting()
        self._outcomes.move_to_end(key)
        self.sweep(now)
        return waiting

    def sweep(self, now: float) -> None:
        """Forget what is too old, or too much."""
        for _ in range(len(self._outcomes)):
            key, outcome = next(iter(self._outcomes.items()))
            is_old = now - outcome.at > TTL
            if not is_old and len(self._outcomes) <= LIMIT and self._bytes <= LIMIT_BYTES:
                return
            if is_old or outcome.is_done:
                del self._outcomes[key]
                if outcome.response is not None:
                    self._bytes -= outcome.size
            else:
                self._outcomes.move_to_end(key)  # it runs, and stays
