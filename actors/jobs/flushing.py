"""One commit of the engine: what is in it, and what follows once it is written."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from actors.jobs.accepting import Accepted, JobsRefusedError
from actors.jobs.records import Effect, Job
from actors.jobs.tables import Changes, Row

Answer = Callable[[Accepted | JobsRefusedError], object]


class Add(Struct, gc=False):
    """Jobs that were added together, and whom to tell once they are on disk."""

    accepted: Accepted
    jobs: list[Job]
    answer: Answer


class Flush:
    """One commit.

    Args:
        fill: Called once, as the commit begins: takes what is to be written into this.
        finish: Called with this and the error, or None, when it is over.
    """

    def __init__(self, fill: Callable[[Flush], Changes], finish: Callable[[Flush, BaseException | None], None]) -> None:
        self._fill = fill
        self._finish = finish
        self._changes: Changes | None = None
        self.jobs: list[Job] = []
        self.inserted: list[Job] = []
        self.effects: list[Effect] = []
        self.adds: list[Add] = []
        self.lines: list[Row] = []

    def take(self) -> Changes:
        """Return what to write; the same however often it is asked."""
        if self._changes is None:
            self._changes = self._fill(self)
        return self._changes

    def done(self, error: BaseException | None) -> None:
        """It is over."""
        self._finish(self, error)
