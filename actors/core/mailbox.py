"""What a mailbox promises: its capacity, its answer to "full", and the figures it gives of itself.

A mailbox has two lanes. The user lane is bounded and first in, first out. The system lane is unbounded, overtakes the
user lane, and also works while the actor is suspended; only the runtime uses it. The bound is checked without a lock:
senders on `n` threads may overshoot it by `n - 1` messages.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Literal, get_args

from msgspec import Struct

Full = Literal["block", "reject", "dead-letter"]
"""The answer of a full mailbox.

`block`: the sender waits until there is room, `block_timeout` at most, then gets `MailboxFullError`. A sender that
must not wait (an event loop, the actor itself) gets it at once.
`reject`: the sender gets `MailboxFullError` at once.
`dead-letter`: the message becomes a dead letter; one that was asked is answered with `MailboxFullError`.
"""

UNBOUNDED = sys.maxsize


class MailboxSpec(Struct, frozen=True):
    """How much a mailbox holds and what happens when it is full.

    Attributes:
        capacity: Messages waiting at most; 1 or more.
        full: What the next sender meets.
        block_timeout: Longest wait of a blocked sender, in seconds: two actors that fill each other's mailbox must
            not hang for ever.
    """

    capacity: int = 100_000
    full: Full = "block"
    block_timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity is 1 message or more, got {self.capacity}")
        if self.full not in get_args(Full):
            raise ValueError(f"full is one of {', '.join(get_args(Full))}, got {self.full!r}")
        if self.block_timeout <= 0:
            raise ValueError(f"block_timeout is positive seconds, got {self.block_timeout}")


DEFAULT_MAILBOX = MailboxSpec()


class ActorStatistics(Struct, frozen=True, gc=False):
    """An actor's figures at one moment; reading them stops nobody, so they may be a message apart.

    Attributes:
        depth: Messages waiting in the user lane.
        system_depth: Messages waiting in the system lane.
        handled: Messages handled, failed ones included.
        failed: Messages whose handling raised.
        handling: Name of the message type in hand, or None.
        handling_since: Monotonic instant at which the turn with that message began; coarse (some 10 ms), None with it.
        last_handled: Monotonic instant of the last turn; coarse (up to 1 s after a quiet time), None before the first.
        dropped: Messages that a full mailbox turned into dead letters.
        rejected: Messages that a full mailbox refused.
        blocked: Senders that had to wait for room.
        is_suspended: Whether the user lane is held back.
    """

    depth: int
    system_depth: int
    handled: int
    failed: int
    handling: str | None
    handling_since: float | None
    last_handled: float | None
    dropped: int
    rejected: int
    blocked: int
    is_suspended: bool


NO_STATISTICS = ActorStatistics(0, 0, 0, 0, None, None, None, 0, 0, 0, False)
"""The figures of an actor that has done nothing yet."""


class Pressure:
    """What a mailbox that was full at least once counts, and the senders that wait for room."""

    __slots__ = ("blocked", "dropped", "rejected", "waiters")

    def __init__(self) -> None:
        self.blocked = 0
        self.dropped = 0
        self.rejected = 0
        self.waiters: deque[Callable[[], object]] = deque()
