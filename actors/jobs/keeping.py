"""The jobs of a queue and their file: numbers for new ones, what was left undone, what becomes of each, dead letters.

For one actor whose handlers are coroutines on one event loop; the file's own thread does what blocks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from msgspec import Struct

from actors.jobs.handout import Ticket
from actors.jobs.kinds import Job, describe
from actors.jobs.offload import Offload
from actors.jobs.protocol import JobView
from actors.jobs.store import Added, JobStore, Moved, Operation, Removed, StoredJob
from actors.state.file import StateError

logger = logging.getLogger(__name__)


class Left(Struct, frozen=True):
    """What an earlier queue did not finish: its tickets in order, and how many of them had been begun."""

    tickets: tuple[Ticket, ...]
    begun: int


class Keeping:
    """Keeps the jobs of one queue in the file at `path`.

    Args:
        path: The file; made where it is missing.
        offload: Where to read it.
    """

    def __init__(self, path: Path, offload: Offload) -> None:
        self._path = path
        self._offload = offload
        self._opened: JobStore | None = None
        self._last = 0
        self.arriving: dict[Job, str] = {}
        """Ids of the jobs that are being written for the first time."""

    async def open(self) -> Left:
        """Open the file and return what is not finished in it.

        A try that the end of the runtime cut short does not count: that was not the job's fault.

        Raises:
            StateError: It cannot be opened.
        """
        self._opened = store = await self._offload.run(JobStore, self._path)
        if store.damaged is not None:
            logger.error("%s was damaged; it is %s now, and its jobs are not known", self._path, store.damaged)
        self._last = await self._offload.run(store.last_number)
        stored = await self._offload.run(self._read, False)
        begun = {job.number for job in stored if job.state == "running"}
        tickets = (Ticket(_id(job), job.job, job.source, job.attempt - (job.number in begun)) for job in stored)
        return Left(tuple(tickets), len(begun))

    def ticket(self, job: Job, source: str) -> Ticket:
        """Return a new job's ticket; its number was never given before."""
        self._last += 1
        return Ticket(f"job-{self._last}", job, source)

    async def add(self, tickets: Sequence[Ticket]) -> str:
        """Put new jobs on disk, all or none; return why they could not be, or ""."""
        self.arriving.update({ticket.job: ticket.id for ticket in tickets})
        try:
            added = [Added(number_of(ticket), ticket.job, ticket.source) for ticket in tickets]
            await asyncio.wrap_future(self._store.write(added))
        except StateError as error:
            logger.error("jobs were refused: %s", error)
            return str(error)
        finally:
            for ticket in tickets:
                self.arriving.pop(ticket.job, None)
        return ""

    def note(self, operations: Sequence[Operation]) -> None:
        """Write what nobody waits for; what does not get there shows after a crash as a job done once more."""
        if operations:
            self._store.write(operations).add_done_callback(_warn)

    async def views(self, busy: dict[str, str], state: str, limit: int) -> tuple[JobView, ...]:
        """Return the jobs in `state`, "" for all, the oldest first; `busy` has the worker by the job's id."""
        stored = [*await self._offload.run(self._read, False), *await self._offload.run(self._read, True)]
        views = sorted((_view(job, busy.get(_id(job), "")) for job in stored), key=lambda view: view.created_at)
        return tuple(view for view in views if state in {"", view.state})[:limit]

    async def revive(self, ids: Sequence[str], room: int) -> tuple[Ticket, ...]:
        """Make at most `room` dead letters wait again, with no try counted; return their tickets."""
        dead = (await self._dead(ids))[:room]
        await asyncio.wrap_future(self._store.write([Moved(job.number, "waiting", 0) for job in dead]))
        return tuple(Ticket(_id(job), job.job, job.source) for job in dead)

    async def drop(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Forget dead letters; return their ids."""
        dead = await self._dead(ids)
        await asyncio.wrap_future(self._store.write([Removed(job.number) for job in dead]))
        return tuple(map(_id, dead))

    def close(self) -> None:
        """Write what waits and close the file; blocks for a commit. Nothing where it was never opened."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _store(self) -> JobStore:
        assert self._opened is not None  # `open` comes first
        return self._opened

    def _read(self, failed: bool) -> list[StoredJob]:
        return self._store.read(failed=failed)

    async def _dead(self, ids: Sequence[str]) -> list[StoredJob]:
        """Return the dead letters among `ids`, all of them where there are no ids."""
        found = await self._offload.run(self._read, True)
        return [job for job in found if not ids or _id(job) in ids]


def number_of(ticket: Ticket) -> int:
    """Return the number of the ticket's job in the file."""
    return int(ticket.id.removeprefix("job-"))


def _id(job: StoredJob) -> str:
    return f"job-{job.number}"


def _view(job: StoredJob, worker: str) -> JobView:
    state = "failed" if job.state == "failed" else "running" if worker else "waiting"
    return JobView(_id(job), state, describe(job.job), job.source, job.attempt, worker, job.why, job.created_at)


def _warn(written: Future[None]) -> None:
    error = written.exception()
    if error is not None:
        logger.warning("what became of a job is not on disk, it may be done once more: %s", error)
