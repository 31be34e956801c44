"""Which batches are stored: per source, the numbers that are in the file, as few ranges. Pure bookkeeping.

A source numbers its batches from 1 without gaps and sends them in about that order, so a source is one range almost
always, whatever its length. The ledger is what the file's table `batches` says; the recorder is the only one who writes
that table, and notes a batch here only after its commit.
"""

from __future__ import annotations

from bisect import bisect_right

Range = tuple[int, int]
"""First and last number, both included."""


class Ledger:
    """The stored batches of all sources. Not thread-safe: it belongs to the one who writes the file."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[Range]] = {}

    def add(self, source: str, first: int, last: int | None = None) -> None:
        """Note that the batches `first` to `last` (default: `first` alone) of `source` are stored."""
        last = first if last is None else last
        ranges = self._ranges.setdefault(source, [])
        at = bisect_right(ranges, (first, last))
        low, high = first, last
        start = end = at
        while start > 0 and ranges[start - 1][1] >= low - 1:
            start -= 1
            low, high = min(low, ranges[start][0]), max(high, ranges[start][1])
        while end < len(ranges) and ranges[end][0] <= high + 1:
            low, high = min(low, ranges[end][0]), max(high, ranges[end][1])
            end += 1
        ranges[start:end] = [(low, high)]

    def __contains__(self, key: tuple[str, int]) -> bool:
        source, batch = key
        ranges = self._ranges.get(source)
        if not ranges:
            return False
        at = bisect_right(ranges, (batch, 1 << 63)) - 1
        return at >= 0 and ranges[at][0] <= batch <= ranges[at][1]

    def missing(self, source: str, through: int) -> tuple[Range, ...]:
        """Return the ranges of 1 to `through` that are not stored for `source`."""
        found: list[Range] = []
        expected = 1
        for first, last in self._ranges.get(source, ()):
            if first > through:
                break
            if first > expected:
                found.append((expected, first - 1))
            expected = last + 1
        if expected <= through:
            found.append((expected, through))
        return tuple(found)

    def ranges(self, source: str) -> tuple[Range, ...]:
        """Return what is stored for `source`, as ranges in order."""
        return tuple(self._ranges.get(source, ()))
