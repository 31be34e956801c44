"""An immutable map from names to values that is cheap to read and to change by one entry.

Entries lie in pages, plain dicts chosen by the name's hash. A change copies one page and the row of pages: for up to
64 entries that is one small dict; beyond, pages and row grow together, so that a change costs the square root of the
number of entries, in copied words rather than in steps. `rpds.HashTrieMap` was measured beside it: see decision 0010.

Order: a map of one page keeps the order of insertion, a larger one does not, so callers that need an order sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec import Struct

V = TypeVar("V")

PAGE = 64
"""Entries that one page alone may hold; with more pages, the mean may also be as high as their number."""


class Pages(Struct, Generic[V], frozen=True):
    """The map. `insert` and `remove` return the next one; no page is changed after it was made.

    Attributes:
        pages: The pages; their number is a power of two.
        size: Entries in all.
    """

    pages: tuple[dict[str, V], ...] = ({},)
    size: int = 0

    def get(self, name: str) -> V | None:
        """Return the value of `name`, or None."""
        pages = self.pages
        if len(pages) == 1:
            return pages[0].get(name)
        return pages[hash(name) & (len(pages) - 1)].get(name)

    def __getitem__(self, name: str) -> V:
        pages = self.pages
        return pages[hash(name) & (len(pages) - 1)][name]

    def __contains__(self, name: str) -> bool:
        pages = self.pages
        return name in pages[hash(name) & (len(pages) - 1)]

    def __len__(self) -> int:
        return self.size

    def insert(self, name: str, value: V) -> Pages[V]:
        """Return the map with `name` set to `value`."""
        pages = self.pages
        if len(pages) == 1:
            page = pages[0].copy()
            page[name] = value
            size = len(page)
            return Pages((page,), size) if size <= PAGE else _spread((page,), size)
        at = hash(name) & (len(pages) - 1)
        page = pages[at].copy()
        size = self.size - len(page)
        page[name] = value
        size += len(page)
        row = list(pages)
        row[at] = page
        if size > len(row) * max(PAGE, len(row)):
            return _spread(tuple(row), size)
        return Pages(tuple(row), size)

    def remove(self, name: str) -> Pages[V]:
        """Return the map without `name`; the same map if it is not there."""
        pages = self.pages
        at = hash(name) & (len(pages) - 1)
        if name not in pages[at]:
            return self
        page = pages[at].copy()
        del page[name]
        return Pages((*pages[:at], page, *pages[at + 1 :]), self.size - 1)

    def items(self) -> Iterator[tuple[str, V]]:
        """Every entry, in no order to rely on."""
        for page in self.pages:
            yield from page.items()

    def values(self) -> Iterator[V]:
        """Every value, in no order to rely on."""
        for page in self.pages:
            yield from page.values()


def _spread(pages: tuple[dict[str, V], ...], size: int) -> Pages[V]:
    """Return the same entries over twice the pages."""
    row: tuple[dict[str, V], ...] = tuple({} for _ in range(2 * len(pages)))
    mask = len(row) - 1
    for page in pages:
        for name, value in page.items():
            row[hash(name) & mask][name] = value
    return Pages(row, size)
