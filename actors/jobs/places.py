"""One queue as the ledger has it: what may run, what runs, and the places of its workers."""

from __future__ import annotations

from collections import deque

from actors.jobs.records import Job
from actors.jobs.specs import QueueSpec
from actors.policies.ratelimit import Bucket, full


class Queue:
    """What the ledger knows of one queue.

    Attributes:
        ready: Heap of those that may run: (-priority, number); entries of jobs that no longer wait are skipped.
        running: By number.
        free: Paths of workers with room, one entry for each place.
        away: Workers that take nothing for the time being, and how many of their places are free.
        paused: Whether nothing new begins.
        draining: Whether nothing new is accepted, and recurring jobs do not come again.
        count: Unfinished jobs.
    """

    def __init__(self, spec: QueueSpec, now: float) -> None:
        self.spec = spec
        self.ready: list[tuple[int, int]] = []
        self.running: dict[int, Job] = {}
        self.free: deque[str] = deque()
        self.away: dict[str, int] = {}
        self.paused = False
        self.draining = False
        self.note = ""
        self.count = 0
        self.bucket: Bucket | None = full(spec.rate, now) if spec.rate is not None else None

    def holds(self, job: Job) -> bool:
        """Whether a delayed job stays so past its instant: a recurring one that has not begun, while all is drained."""
        return self.draining and not job.attempt and bool(job.every or job.cron)

    def give_back(self, path: str) -> None:
        """A place of the worker at `path` is free."""
        if path in self.away:
            self.away[path] += 1
        else:
            self.free.append(path)

    def send_away(self, path: str) -> None:
        """The worker at `path` takes nothing until its entry in `away` is taken out."""
        if path not in self.away:
            self.away[path] = self.free.count(path)
            self._forget(path)

    def drop(self, path: str) -> None:
        """The worker at `path` is no more."""
        self.away.pop(path, None)
        self._forget(path)

    def _forget(self, path: str) -> None:
        self.free = deque(free for free in self.free if free != path)
