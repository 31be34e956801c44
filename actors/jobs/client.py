"""Adding jobs from Python, and waiting for them.

    jobs = Jobs(self.system)
    id = jobs.add(send, Mail("you@example.org"), priority=5)
    done = jobs.wait(id, timeout=60)

Beside the queues a call goes to them directly; from another process it is a message. The methods that end in `_async`
are for coroutines, the others block until the jobs are on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from actors.core.future import Future
from actors.core.system import ActorSystem
from actors.jobs.accepting import Accepted, JobsNotWrittenError, JobsRefusedError
from actors.jobs.handlers import spec_of
from actors.jobs.locating import engine_at
from actors.jobs.orders import AddedJobs, AddJobs, ChangedJobs, ChangeJobs, FindJobs, FoundJobs, JobView, WaitJob
from actors.jobs.selecting import Selection, SelectionError
from actors.jobs.specs import JobSpec

__all__ = ["Jobs"]

TIMEOUT = 30.0
"""Seconds to wait for the queues to answer."""


class Jobs:
    """The queues at `path` of `system`. Any thread.

    Args:
        system: Any actor's `system`.
        path: Where the queues are.
    """

    def __init__(self, system: ActorSystem, path: str = "/work/jobs") -> None:
        self._system = system
        self._path = path

    def add(self, kind: str | Callable[..., Any], payload: object = None, **options: Any) -> str:
        """Add one job and return its id once it is on disk.

        Args:
            kind: A kind, or its handler.
            payload: What the handler takes.
            **options: Fields of `JobSpec`: `queue`, `priority`, `delay`, `run_at`, `attempts`, `timeout`, `backoff`,
                `key`, `window`, `after`, `even_if`, `every`, `cron`, `timezone`, `batch`, `source`.

        Raises:
            JobsRefusedError: It was not taken, and why.
        """
        return self.add_many([spec_of(kind, payload, **options)])[0]

    async def add_async(self, kind: str | Callable[..., Any], payload: object = None, **options: Any) -> str:
        """Add one job; see `add`."""
        return (await self.add_many_async([spec_of(kind, payload, **options)]))[0]

    def add_many(self, jobs: Sequence[JobSpec]) -> tuple[str, ...]:
        """Add jobs (`spec_of`), all or none, and return their ids once they are on disk.

        One may come after another of the same call: `after=("+0",)` is the first one.

        Raises:
            JobsRefusedError: None was taken, and why.
        """
        engine = engine_at(self._system, self._path)
        if engine is None:
            return _taken(self._ref.ask(AddJobs(tuple(jobs)), timeout=TIMEOUT))
        future: Future[tuple[str, ...]] = Future()
        engine.add(jobs, lambda found: _settle(future, found))
        return future.get(timeout=TIMEOUT)

    async def add_many_async(self, jobs: Sequence[JobSpec]) -> tuple[str, ...]:
        """Add jobs; see `add_many`."""
        engine = engine_at(self._system, self._path)
        if engine is None:
            return _taken(await self._ref.ask_async(AddJobs(tuple(jobs)), timeout=TIMEOUT))
        future: Future[tuple[str, ...]] = Future()
        engine.add(jobs, lambda found: _settle(future, found))
        return await future

    def add_batch(self, jobs: Sequence[JobSpec], name: str, then: JobSpec | None = None) -> tuple[str, ...]:
        """Add jobs that share the name of a batch, and one that comes after all of them; return their ids.

        What `then` comes after besides stays so.
        """
        batch = [msgspec.structs.replace(spec, batch=name) for spec in jobs]
        if then is not None:
            after = tuple(f"+{number}" for number in range(len(batch)))
            batch.append(msgspec.structs.replace(then, batch=name, after=(*then.after, *after)))
        return self.add_many(batch)

    def wait(self, id: str, timeout: float) -> JobView | None:
        """Return the job once it has ended, or as it is after `timeout` seconds; None where there is none."""
        return next(iter(_found(self._ref.ask(WaitJob(id, timeout), timeout=timeout + TIMEOUT))), None)

    async def wait_async(self, id: str, timeout: float) -> JobView | None:
        """Return the job once it has ended; see `wait`."""
        found = await self._ref.ask_async(WaitJob(id, timeout), timeout=timeout + TIMEOUT)
        return next(iter(_found(found)), None)

    def find(self, selection: Selection) -> tuple[JobView, ...]:
        """Return the jobs meant, with what they carry.

        Raises:
            SelectionError: The selection means nothing.
        """
        return _found(self._ref.ask(FindJobs(selection, full=True), timeout=TIMEOUT))

    def cancel(self, *ids: str, why: str = "") -> tuple[str, ...]:
        """End jobs; return the ids of those that had not ended. One that runs is asked to, then its worker is ended."""
        return self._change(ChangeJobs("cancel", ids, why))

    def retry(self, *ids: str) -> tuple[str, ...]:
        """Send jobs that failed or were cancelled round again, with all their tries; return which."""
        return self._change(ChangeJobs("retry", ids))

    def _change(self, order: ChangeJobs) -> tuple[str, ...]:
        answer: ChangedJobs = self._ref.ask(order, timeout=TIMEOUT)
        if answer.why:
            raise SelectionError(answer.why)
        return answer.ids

    @property
    def _ref(self) -> Any:
        return self._system.ref(self._path)


def _found(answer: FoundJobs) -> tuple[JobView, ...]:
    if answer.why:
        raise SelectionError(answer.why)
    return answer.items


def _taken(answer: AddedJobs) -> tuple[str, ...]:
    if answer.why:
        raise (JobsNotWrittenError if answer.is_unwritten else JobsRefusedError)(answer.why)
    return answer.ids


def _settle(future: Future[tuple[str, ...]], found: Accepted | JobsRefusedError) -> None:
    if isinstance(found, JobsRefusedError):
        future.set_exception((type(found), found, None))
    else:
        future.set(found.ids)
