"""Credit: what a receiver says of the user messages it has accepted, which is what its sender may send anew.

A word of type `CREDIT` has one number, all messages accepted so far: from and for a peer that does not count by actor.
One of type `CREDITS` is a map of paths to how many more were accepted of each.
"""

from __future__ import annotations

import threading
from typing import Final

import msgspec

from transport.errors import MalformedFrameError
from transport.limits import Limits
from transport.packing import pack, unpack

CREDIT: Final = "transport:credit"
CREDITS: Final = "transport:credits"
"""Types of the SYSTEM envelopes that carry such words."""

CREDITS_BYTES: Final = 1024 * 1024
"""Largest word of credit."""

_LIMITS: Final = Limits(max_frame_bytes=16, max_depth=0, max_items=1)
_counts: Final = msgspec.msgpack.Decoder(dict[str, int])


class Receipts:
    """What was accepted of a peer and has not been told to it. Every method may be called on any thread.

    Attributes:
        by_target: Whether the peer is told by actor.
        accepted: Messages accepted in all.
    """

    def __init__(self, each: int) -> None:
        """Begin with nothing; a word is due whenever `each` more messages were accepted."""
        self.by_target = False
        self.accepted = 0
        self._each = each
        self._told = 0
        self._untold: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, count: int, path: str) -> bool:
        """Take note that `count` more for `path` were accepted; return whether a word is due."""
        with self._lock:
            self.accepted += count
            if self.by_target:
                self._untold[path] = self._untold.get(path, 0) + count
            return self.accepted - self._told >= self._each

    def word(self) -> tuple[str, bytes] | None:
        """Return the type and the payload of a word that tells all there is to tell; None where that is nothing."""
        with self._lock:
            if self._told == self.accepted:
                return None
            self._told = self.accepted
            if not self.by_target:
                return CREDIT, pack(self.accepted)
            untold, self._untold = self._untold, {}
        return CREDITS, pack(untold)


def read_count(payload: bytes) -> int:
    """Return the number in a word of type `CREDIT`.

    Raises:
        CodecError: It is no such word.
    """
    count = unpack(payload, _LIMITS)
    if type(count) is not int:
        raise MalformedFrameError(f"a credit is a count, not {count!r}")
    return count


def read_counts(payload: bytes) -> dict[str, int]:
    """Return the counts in a word of type `CREDITS`.

    Raises:
        MalformedFrameError: It is no such word.
    """
    try:
        counts = _counts.decode(payload) if len(payload) <= CREDITS_BYTES else {}
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedFrameError(f"these are no credits: {error}") from None
    if not counts:
        raise MalformedFrameError(f"credits are a map of counts, of {CREDITS_BYTES:,} bytes at most")
    return counts
