"""The open history file as the publisher uses it, and how it is reached from the publisher's thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import duckdb
from msgspec import Struct

from actors.history.protocol import Notice
from actors.history.publication import Manifest


class Fresh(Struct, frozen=True):
    """What was stored since the last turn: rows by table, in segments up to `last`."""

    last: int
    rows: dict[str, int]


class Source(Protocol):
    """The open history file (`store.HistoryStore`), as the publisher uses it."""

    manifest: Manifest

    def turn_segment(self) -> Fresh | None:
        """End the segment, on the writer's thread."""
        ...

    def seal(self, sealed: int) -> None:
        """Let go of the rows of sealed segments, on the writer's thread."""
        ...

    def merge_batches(self, through: int) -> None:
        """Merge the notes of published batches, on the writer's thread."""
        ...

    def note(self, notice: Notice) -> None:
        """Report something with the next answer, on the writer's thread."""
        ...

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection of its own, any thread."""
        ...


Writing = Callable[[Callable[[Source], Any]], Any]
"""Runs something on the writer's thread and returns its result; None where no file is open."""


def noting(notice: Notice) -> Callable[[Source], None]:
    """Return what reports `notice` with the next answer, for the writer's thread."""
    return lambda source: source.note(notice)
