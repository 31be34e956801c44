"""From what somebody wants to jobs of the ledger: checked whole, and taken all or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from actors.errors import ActorRuntimeError
from actors.jobs.handlers import Handler, check_payload, handler_of
from actors.jobs.jobtable import JobTable
from actors.jobs.ledger import Ledger
from actors.jobs.records import Job
from actors.jobs.selecting import SelectionError, number_of
from actors.jobs.specs import DEPENDENCIES_MAX, PRIORITY_MAX, SUCCEEDED, JobSpec
from actors.policies.backoff import Backoff

ADDED_AT_ONCE = 10_000
_YEARS = 100 * 366 * 86_400.0


class JobsRefusedError(ActorRuntimeError, ValueError):
    """Jobs were not taken; none of those added together was."""


class JobsNotWrittenError(JobsRefusedError):
    """Jobs were not taken because they could not be written: a full disk, say. They may be taken later."""


class Accepted(Struct, frozen=True):
    """The answer to added jobs, in their order.

    Attributes:
        ids: Their ids; of a job with a key that is held, that of the holder.
        found: How many of them were there before.
    """

    ids: tuple[str, ...]
    found: int = 0


class Draft(Struct, frozen=True, gc=False):
    """A job that was checked by itself."""

    spec: JobSpec
    handler: Handler
    queue: str


class Acceptor:
    """Checks jobs and puts them into the ledger."""

    def __init__(self, ledger: Ledger, table: JobTable, pending: Callable[[int], Job | None]) -> None:
        """`pending` returns a job whose end is being written at this moment."""
        self._ledger = ledger
        self._table = table
        self._pending = pending
        self.timezone = "UTC"

    def drafts(self, specs: Sequence[JobSpec]) -> list[Draft]:
        """Check each of `specs` by itself; needs no lock.

        Raises:
            UnknownKindError: No handler does it.
            PayloadError: Its payload is not what the handler takes.
            JobsRefusedError: Something else about it is wrong, also a field that is of another type or no text.
        """
        if len(specs) > ADDED_AT_ONCE:
            raise JobsRefusedError(f"at most {ADDED_AT_ONCE} jobs are added at once, got {len(specs)}")
        try:
            return [self._draft(spec) for spec in specs]
        except (
            TypeError,
            AttributeError,
            UnicodeError,
            msgspec.ValidationError,
        ) as error:  # made in this process, where no wire checked it
            raise JobsRefusedError(f"a job has a field of the wrong type: {error}") from None

    def _draft(self, spec: JobSpec) -> Draft:
        handler = handler_of(spec.kind)
        name = spec.queue or handler.queue or "default"
        queue = self._ledger.queues.get(name)
        if queue is None:
            known = ", ".join(sorted(self._ledger.queues)) or "none"
            raise JobsRefusedError(f"there is no queue {name!r}; there are {known}")
        check_payload(handler, spec.payload, queue.spec.payload_max_bytes)
        if spec.delay or spec.run_at is not None or spec.every or spec.window or spec.cron:
            _check_times(spec)
        if spec.cron or spec.timezone:
            self._check_cron(spec)
        if spec.backoff is not None:
            msgspec.convert(asdict(spec.backoff), Backoff)
        if type(spec.priority) is not int:
            raise JobsRefusedError(f"a priority is a whole number, got {spec.priority!r}")
        if not -PRIORITY_MAX <= spec.priority <= PRIORITY_MAX:
            raise JobsRefusedError(f"a priority lies between -{PRIORITY_MAX} and {PRIORITY_MAX}, got {spec.priority}")
        if spec.attempts is not None and not (type(spec.attempts) is int and 1 <= spec.attempts <= 1000):
            raise JobsRefusedError(f"attempts are 1 to 1000, got {spec.attempts}")
        if spec.timeout is not None and not 0 < spec.timeout < _YEARS:
            raise JobsRefusedError(f"timeout is positive seconds, got {spec.timeout}")
        if (spec.key or spec.batch or spec.source) and (
            len(spec.key) > 500 or len(spec.batch) > 200 or len(spec.source) > 500
        ):
            raise JobsRefusedError("a key or source has at most 500 characters, a batch 200")
        if not (spec.key.isascii() and spec.batch.isascii() and spec.source.isascii()):
            f"{spec.key}{spec.batch}{spec.source}".encode()
        if spec.after and not all(type(id) is str for id in spec.after):
            raise JobsRefusedError("what a job comes after is named by ids")
        if spec.after and len(spec.after) > DEPENDENCIES_MAX:
            raise JobsRefusedError(f"a job comes after at most {DEPENDENCIES_MAX} others, got {len(spec.after)}")
        return Draft(spec, handler, name)

    def _check_cron(self, spec: JobSpec) -> None:
        if spec.every or not spec.cron:
            raise JobsRefusedError("a recurring job has an interval, or an expression and its zone")
        if len(spec.cron) > 1_000 or len(spec.timezone) > 100:
            raise JobsRefusedError("an expression has at most 1,000 characters, a zone 100")
        try:
            self._slots(spec.cron, spec.timezone or self.timezone, time.time())
        except ValueError as error:
            raise JobsRefusedError(f"cron: {error}") from None

    def _slots(self, cron: str, zone: str, after: float) -> float:
        slots = self._ledger.next_slot
        if slots is None:
            raise JobsRefusedError("these queues know no cron expressions")
        return slots(cron, zone, after)

    def accept(self, drafts: Sequence[Draft], now: float, *, is_child: bool = False) -> tuple[Accepted, list[Job]]:
        """Put new jobs into the ledger; return the answer and the jobs. Holds the lock.

        Within one call a job may come after one before it: `after=("+0",)` is the first of the call. What a running
        job adds is part of its work, so a queue that is being drained takes it.

        Raises:
            JobsRefusedError: A queue has no room or takes nothing, or a job comes after one that never was.
        """
        ledger = self._ledger
        self._check_room(drafts, now, is_child)
        ids: list[str] = []
        jobs: list[Job] = []
        found = 0
        try:
            for draft in drafts:
                spec = draft.spec
                if spec.key and (holder := ledger.holder(draft.queue, spec.key, now)):
                    ids.append(f"job-{holder}")
                    found += 1
                    continue
                job = self._job(draft, ids, now)
                jobs.append(job)
                ids.append(f"job-{job.number}")
                ledger.add(job, now)
        except JobsRefusedError:
            for job in jobs:
                ledger.forget(job)
            raise
        return Accepted(tuple(ids), found), jobs

    def _check_room(self, drafts: Sequence[Draft], now: float, is_child: bool) -> None:
        """See that the queues take what is new; jobs that are there already need no room."""
        if len(drafts) == 1 and not drafts[0].spec.key:  # nearly always
            self._check_queue(drafts[0].queue, 1, is_child)
            return
        wanted: dict[str, int] = {}
        keys: set[tuple[str, str]] = set()
        for draft in drafts:
            key = draft.spec.key
            if key and ((draft.queue, key) in keys or self._ledger.holder(draft.queue, key, now)):
                continue
            keys.add((draft.queue, key))
            wanted[draft.queue] = wanted.get(draft.queue, 0) + 1
        for name, count in wanted.items():
            self._check_queue(name, count, is_child)

    def _check_queue(self, name: str, count: int, is_child: bool) -> None:
        queue = self._ledger.queues[name]
        if queue.draining and not is_child:
            raise JobsRefusedError(f"the queue {name} is being drained and takes no jobs")
        if queue.count + count > queue.spec.capacity:
            raise JobsRefusedError(f"the queue {name} is full: {queue.count} of {queue.spec.capacity} jobs")

    def _job(self, draft: Draft, ids: Sequence[str], now: float) -> Job:
        spec, handler = draft.spec, draft.handler
        rules = self._ledger.queues[draft.queue].spec
        self._ledger.last += 1
        job = Job(
            self._ledger.last,
            draft.queue,
            spec.kind,
            spec.payload,
            priority=spec.priority,
            run_at=now,
            attempts=spec.attempts or handler.attempts or rules.attempts,
            timeout=spec.timeout or handler.timeout or rules.timeout,
            backoff=spec.backoff,
            every=spec.every,
            slot_at=now,
            batch=spec.batch,
            source=spec.source,
            created_at=now,
            changed_at=now,
        )
        if spec.delay or spec.run_at is not None:
            job.run_at = job.slot_at = spec.run_at if spec.run_at is not None else now + spec.delay
            job.is_delay = not spec.cron and bool(spec.delay)
        if spec.cron:
            job.cron, job.timezone = spec.cron, spec.timezone or self.timezone
            job.run_at = job.slot_at = self._slots(job.cron, job.timezone, job.run_at)
        if spec.key:
            job.key = spec.key
            job.window_at = now + spec.window if spec.window else 0.0
        if spec.after:
            job.even_if = spec.even_if
            job.after = self._unfinished(spec, ids)
        return job

    def _unfinished(self, spec: JobSpec, ids: Sequence[str]) -> set[int]:
        """Return the jobs that `spec` still waits for."""
        ledger = self._ledger
        try:
            wanted = {number_of(_one_of(ids, id[1:]) if id.startswith("+") else id) for id in spec.after}
        except SelectionError as error:
            raise JobsRefusedError(f"after: {error}") from None
        ended = [number for number in wanted if number not in ledger.jobs]
        if ended:
            stored = {job.number: job for job in self._table.find(ended)}
            for number in ended:
                job = self._pending(number) or stored.get(number)
                if job is None:
                    raise JobsRefusedError(f"after: there is no job-{number}")
                if job.state != SUCCEEDED and not spec.even_if:
                    raise JobsRefusedError(f"after: job-{number} {job.state}")
        return {number for number in wanted if number in ledger.jobs}


def _one_of(ids: Sequence[str], index: str) -> str:
    """Return the id of a job of the same call by its place, counted from 0; only those before are known."""
    if index.isascii() and index.isdecimal() and len(index) <= len(str(ADDED_AT_ONCE)) and int(index) < len(ids):
        return ids[int(index)]
    raise JobsRefusedError(f"after: +{index[:20]} is none of the {len(ids)} jobs before it in the same call")


def _check_times(spec: JobSpec) -> None:
    if spec.run_at is not None and spec.delay:
        raise JobsRefusedError("a job has a delay or an instant to run at, not both")
    if spec.window and not spec.key:
        raise JobsRefusedError("a window says for how long a key is held, and there is no key")
    if not 0 <= spec.delay < _YEARS or not 0 <= spec.window < _YEARS:
        raise JobsRefusedError("delay and window are seconds, 0 or more and less than a century")
    if spec.run_at is not None and not 0 <= spec.run_at < time.time() + _YEARS:
        raise JobsRefusedError(f"run_at is seconds since the epoch, got {spec.run_at}")
    if spec.every and not 0.1 <= spec.every < _YEARS:
        raise JobsRefusedError(f"every is 0.1 s or more, got {spec.every}")
