"""How often something may happen: a bucket of tokens that fills at a steady rate. Pure: the caller passes the time."""

from __future__ import annotations

from msgspec import Struct


class RateLimit(Struct, frozen=True):
    """At most `count` in any `per` seconds for long; up to `count` at once after a quiet time.

    Attributes:
        count: 1 to 1,000,000,000.
        per: Seconds, 1e-6 to 1e10.

    Raises:
        ValueError: A number is out of its range.
    """

    count: int
    per: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1_000_000_000 or not 1e-6 <= self.per <= 1e10:
            raise ValueError(f"a rate is 1 to 10**9 in 1 µs to 10**10 seconds, got {self.count} in {self.per}")

    def __str__(self) -> str:
        return f"{self.count}/{self.per:g}s"


class Bucket(Struct, frozen=True):
    """What is left: `tokens` at the instant `at`."""

    tokens: float
    at: float


def full(limit: RateLimit, now: float) -> Bucket:
    """Return the bucket after a long quiet time."""
    return Bucket(float(limit.count), now)


def take(limit: RateLimit, bucket: Bucket, now: float) -> tuple[Bucket, bool]:
    """Return the bucket at `now`, with one token taken where there was one, and whether there was.

    A clock that was set back gives no tokens and takes none.
    """
    rate = limit.count / limit.per
    tokens = min(float(limit.count), bucket.tokens + max(0.0, now - bucket.at) * rate)
    if tokens < 1.0:
        return Bucket(tokens, now), False
    return Bucket(tokens - 1.0, now), True


def wait(limit: RateLimit, bucket: Bucket) -> float:
    """Return the seconds from the bucket's instant until a token is there; 0 where one is."""
    return max(0.0, (1.0 - bucket.tokens) * limit.per / limit.count)
