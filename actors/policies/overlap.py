"""What becomes of a run that is due while another of the same kind is still under way: seven answers. Pure.

| policy | answer |
|---|---|
| `skip` | the new one is not run |
| `queue` | it waits its turn, first in first out; beyond `limit` waiting ones it is not run |
| `delay` | it waits `delay` seconds once; if the old one still runs then, it is not run |
| `timeout` | it is not run; the third in a row ends the old one and runs when that has really ended |
| `concurrent` | at most `limit` at once; beyond that it is not run |
| `cancel-other` | the old one is ended, the new one runs when it has really ended; of several that wait the latest |
| `allow-all` | it runs beside the others |

Whether one is under way is told by the live runs themselves, never by a flag, so no answer can stick after a crash.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, assert_never

from msgspec import Struct

PATIENCE: Final = 3
"""With `timeout`: the overlap in a row that ends the old run."""


class Policy(Enum):
    """How overlaps are met."""

    SKIP = "skip"
    QUEUE = "queue"
    DELAY = "delay"
    TIMEOUT = "timeout"
    CONCURRENT = "concurrent"
    CANCEL_OTHER = "cancel-other"
    ALLOW_ALL = "allow-all"


class Overlap(Struct, frozen=True):
    """A policy with its numbers.

    Attributes:
        policy: Which.
        limit: With `queue` the most that wait, with `concurrent` the most at once; 1 or more.
        delay: With `delay` how long one waits, in seconds; positive.

    Raises:
        ValueError: A number is out of its range.
    """

    policy: Policy = Policy.SKIP
    limit: int = 1
    delay: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= 10_000:
            raise ValueError(f"the limit of an overlap lies in 1..10000, got {self.limit}")
        if not 0 < self.delay <= 86_400:
            raise ValueError(f"the delay of an overlap is above 0 and at most a day, got {self.delay}")


class Start(Struct, frozen=True):
    """Run it now."""


class Queue(Struct, frozen=True):
    """Let it wait until the runs before it have ended."""


class Delay(Struct, frozen=True):
    """Let it wait `seconds`, then run it if nothing is under way, else not at all."""

    seconds: float


class Replace(Struct, frozen=True):
    """End what runs; this one, in place of those that wait, runs once that has really ended."""


class Refuse(Struct, frozen=True):
    """Do not run it; `why` in words."""

    why: str


Decision = Start | Queue | Delay | Replace | Refuse

_START: Final = Start()
_QUEUE: Final = Queue()
_REPLACE: Final = Replace()


def decide(rule: Overlap, live: int, waiting: int, streak: int) -> Decision:
    """Return what becomes of a run that is due now.

    Args:
        rule: The policy.
        live: Runs under way, those between two attempts included.
        waiting: Runs that wait for their turn already.
        streak: Overlaps in a row before this one.
    """
    policy = rule.policy
    if policy is Policy.ALLOW_ALL:
        return _START
    most = rule.limit if policy is Policy.CONCURRENT else 1
    if live < most and not waiting:
        return _START
    match policy:
        case Policy.SKIP:
            return Refuse("overlap: the run before it is still under way")
        case Policy.QUEUE:
            if waiting < rule.limit:
                return _QUEUE
            return Refuse(f"overlap: {waiting} wait already, which is the limit")
        case Policy.DELAY:
            if waiting:
                return Refuse("overlap: another one is delayed already")
            return Delay(rule.delay)
        case Policy.TIMEOUT:
            if streak + 1 >= PATIENCE and not waiting:
                return _REPLACE
            return Refuse(f"overlap {min(streak + 1, PATIENCE)} of {PATIENCE}: the run before it is still under way")
        case Policy.CONCURRENT:
            return Refuse(f"overlap: {live} run already, which is the limit")
        case Policy.CANCEL_OTHER:
            return _REPLACE
        case _:
            assert_never(policy)
