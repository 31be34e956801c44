"""How much one peer may send: a bucket of allowances for each, refilled steadily.

Asked before anything is decoded, so that a flood costs its receiver no more than the question. What is refused is
counted by peer, and told to `on_exceeded` once in `REPORT_EVERY` seconds for each peer, with the count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

REPORT_EVERY: Final = 10.0
"""Seconds between reports about one peer."""

PEERS: Final = 4_096
"""Peers remembered; beyond that the one heard of longest ago is forgotten, and begins anew with a full bucket."""


class Allowance:
    """Token buckets by peer. Belongs to one thread.

    Args:
        rate: Messages a second that each peer may send for long; positive.
        burst: Messages it may send at once; at least 1.
        on_exceeded: Gets the peer and how many messages were refused since the last report.
    """

    def __init__(self, rate: float, burst: int, on_exceeded: Callable[[str, int], None] | None = None) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"rate is positive and burst at least 1, got {rate:g} and {burst}")
        self.rate = rate
        self.burst = burst
        self.refused = 0
        """Messages refused so far, of all peers."""
        self._on_exceeded = on_exceeded
        self._peers: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def take(self, peer: str, now: float) -> bool:
        """Return whether `peer` may send one more message at the monotonic time `now`."""
        bucket = self._peers.get(peer)
        if bucket is None:
            bucket = self._peers[peer] = _Bucket(float(self.burst), now)
            if len(self._peers) > PEERS:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(peer)
            bucket.left = min(float(self.burst), bucket.left + (now - bucket.at) * self.rate)
            bucket.at = now
        if bucket.left >= 1.0:
            bucket.left -= 1.0
            return True
        self.refused += 1
        bucket.refused += 1
        if now >= bucket.report_at:
            bucket.report_at = now + REPORT_EVERY
            refused, bucket.refused = bucket.refused, 0
            if self._on_exceeded is not None:
                self._on_exceeded(peer, refused)
        return False


class _Bucket:
    """What one peer has left."""

    __slots__ = ("at", "left", "refused", "report_at")

    def __init__(self, left: float, at: float) -> None:
        self.left = left
        self.at = at
        self.refused = 0
        self.report_at = at
