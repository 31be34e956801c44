"""How long to wait before the next attempt: exponential with a cap, jitter from a passed-in number."""

from __future__ import annotations

from msgspec import Struct


class Backoff(Struct, frozen=True):
    """A back-off rule. `first = 0` means no delay at all, which is OTP's behaviour.

    Attributes:
        first: Delay before the first restart, in seconds; 0 or more.
        factor: Growth from one attempt to the next; 1 or more.
        max: Longest delay before jitter, in seconds; at least `first`.
        jitter: Share of the delay that chance may take away or add; 0..1.
        reset_after: Seconds of quiet running after which attempts count from 1 again; 0 or more.
    """

    first: float = 0.0
    factor: float = 2.0
    max: float = 300.0
    jitter: float = 0.2
    reset_after: float = 600.0

    def __post_init__(self) -> None:
        if not 0 <= self.first < float("inf"):
            raise ValueError(f"first is 0 or more seconds, got {self.first}")
        if not 1 <= self.factor < float("inf"):
            raise ValueError(f"factor is 1 or more, got {self.factor}")
        if not self.first <= self.max < float("inf"):
            raise ValueError(f"max is at least first ({self.first} s), got {self.max}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter lies in 0..1, got {self.jitter}")
        if not self.reset_after >= 0:
            raise ValueError(f"reset_after is 0 or more seconds, got {self.reset_after}")


def delay_of(rule: Backoff, attempt: int, chance: float) -> float:
    """Return the delay before `attempt`, in seconds.

    Args:
        rule: The back-off rule.
        attempt: The attempt about to be made, counted from 1.
        chance: A random number in [0, 1); 0.5 gives the delay without jitter.

    Raises:
        ValueError: `attempt` is below 1, or `chance` outside [0, 1).
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, got {attempt}")
    if not 0 <= chance < 1:
        raise ValueError(f"chance lies in [0, 1), got {chance}")
    if rule.first == 0:
        return 0.0
    try:
        grown = rule.first * rule.factor ** (attempt - 1)
    except OverflowError:
        grown = rule.max
    base = min(rule.max, grown)
    return base * (1 + rule.jitter * (2 * chance - 1))
