"""What people see of jobs and queues, and what they do to them. These functions block: they read the disk."""

from __future__ import annotations

from msgspec.structs import replace

from actors.events import RunFinished
from actors.jobs.engine import Engine
from actors.jobs.jobtable import QueueState
from actors.jobs.orders import (
    ChangeJobs,
    ChangeQueue,
    FoundLines,
    GrepJobs,
    JobLine,
    JobView,
    QueueView,
    ReadLines,
)
from actors.jobs.records import Job
from actors.jobs.selecting import Selection, SelectionError, number_of
from actors.jobs.specs import BLOCKED, CANCELLED, DELAYED, DISABLED, FAILED, RUNNING, SUCCEEDED, UNFINISHED, WAITING
from actors.policies.ratelimit import RateLimit
from actors.texts import storable

ACTIONS = ("retry", "cancel", "promote", "delete")
LINES_MAX = 10_000
QUEUE_ACTIONS = ("pause", "resume", "drain", "rate")


def end_of(job: Job, path: str) -> RunFinished:
    """Return the event of a job's end; it is about the worker that had it last, or about `path`."""
    return RunFinished(
        job.changed_at,
        job.worker or path,
        f"job-{job.number} {job.kind}" + (f" for {job.source}" if job.source else ""),
        job.state,
        job.changed_at - job.begun_at if job.begun_at else 0.0,
        f"{job.why} (try {job.attempt})" if job.state == FAILED else job.why,
        waited=job.begun_at - job.run_at if job.begun_at >= job.run_at else None,  # else it waited when it ended
        queue=job.queue,
        kind=job.kind,
    )


def view(job: Job, *, full: bool = False, text_max: int = 0) -> JobView:
    """Return what people see of a job; see `FindJobs`."""
    return JobView(
        id=f"job-{job.number}",
        queue=job.queue,
        kind=job.kind,
        state=job.state,
        priority=job.priority,
        attempt=job.attempt,
        attempts=job.attempts,
        repeats=job.repeats,
        progress=job.progress,
        note=job.note,
        why=job.why,
        worker=job.worker,
        source=job.source,
        key=job.key,
        batch=job.batch,
        after=tuple(f"job-{number}" for number in sorted(job.after)),
        every=job.every,
        cron=job.cron,
        timezone=job.timezone,
        created_at=job.created_at,
        run_at=job.run_at,
        begun_at=job.begun_at,
        changed_at=job.changed_at,
        payload=_cut(job.payload, text_max) if full else "",
        result=_cut(job.result or "", text_max) if full else "",
    )


def _cut(text: str, most: int) -> str:
    return f"{text[:most]}… ({len(text) - most:,} more characters)" if 0 < most < len(text) else text


def find(engine: Engine, selection: Selection, full: bool, text_max: int = 0) -> tuple[JobView, ...]:
    """Return the jobs meant.

    Raises:
        SelectionError: The selection means nothing.
    """
    found = engine.overlay(engine.table.select(selection))
    if selection.states:  # they may have moved on since they were written
        found = [job for job in found if job.state in selection.states]
    return tuple(view(job, full=full, text_max=text_max) for job in found)


def lines(engine: Engine, order: ReadLines) -> FoundLines:
    """Return what the handler of a job said.

    Raises:
        SelectionError: The id is none, or the limit.
    """
    _check_limit(order.limit)
    number = number_of(order.id)
    found = engine.overlay(engine.table.select(Selection(ids=(order.id,), limit=1)))
    if not found:
        return FoundLines()
    rows = engine.table.lines([number], after=order.after, limit=order.limit)
    return FoundLines(tuple(_line(*row) for row in rows), found[0].state)


def grep(engine: Engine, order: GrepJobs) -> tuple[JobLine, ...]:
    """Return where a text is in the jobs meant, the oldest jobs first: the newest lines where there are too many.

    Raises:
        SelectionError: The selection means nothing, there is no text, or the limit is none.
    """
    _check_limit(order.limit)
    if not 1 <= len(order.text) <= 1_000:
        raise SelectionError(f"the text to look for has 1 to 1,000 characters, got {len(order.text)}")
    if storable(order.text) != order.text:
        raise SelectionError("the text to look for holds a lone surrogate, which is no text")
    jobs = engine.overlay(engine.table.select(order.selection))
    wanted = order.text.lower()
    found = [
        JobLine(f"job-{job.number}", 0, 0, job.changed_at, place, said)
        for job in jobs
        for place in ("kind", "payload", "result", "why", "note", "key", "batch", "source")
        if wanted in (said := getattr(job, place) or "").lower()
    ]
    rows = engine.table.lines((job.number for job in jobs), order.text, limit=order.limit)
    found += [_line(*row) for row in rows]
    found.sort(key=lambda line: (number_of(line.id), line.line))
    return tuple(found[-order.limit :])


def _line(line: int, number: int, attempt: int, at: float, level: str, text: str) -> JobLine:
    return JobLine(f"job-{number}", line, attempt, at, level, text)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LINES_MAX:
        raise SelectionError(f"1 to {LINES_MAX} lines are read at once, got {limit}")


def why(engine: Engine, id: str) -> str:
    """Return why a job is as it is, in a line; "" where there is none."""
    number = number_of(id)
    found = engine.why(number)
    if found:
        return found
    stored = engine.table.select(Selection(ids=(id,), limit=1))
    if not stored:
        return ""
    job = stored[0]
    if job.state in UNFINISHED:
        return f"it ended, and that is not written yet: {engine.trouble}" if engine.trouble else "it ends now"
    said = f"it {job.state}" if job.state != CANCELLED else "it was cancelled"
    tries = f" at try {job.attempt} of {job.attempts}" if job.attempt else ""
    return f"{said}{tries}" + (f": {job.why}" if job.why else "")


def change(engine: Engine, order: ChangeJobs) -> list[int]:
    """Do what is ordered to jobs; return the numbers of those it was done to.

    Raises:
        SelectionError: An id is none, or there is no such action.
    """
    numbers = [number_of(id) for id in order.ids]
    match order.action:
        case "retry":
            return [*engine.retry(numbers), *engine.promote(numbers)]
        case "cancel":
            return engine.cancel(numbers, storable(order.why) or "cancelled by hand")
        case "promote":
            return engine.promote(numbers)
        case "delete":
            return engine.delete(numbers)
    raise SelectionError(f"there is no action {order.action!r}; there are {', '.join(ACTIONS)}")


def queues(engine: Engine, name: str = "") -> tuple[QueueView, ...]:
    """Return how the queues are, or the one called `name`."""
    counts = engine.table.counts()
    live = engine.count_states()
    found: list[QueueView] = []
    for queue in list(engine.ledger.queues.values()):
        spec = queue.spec
        if name not in {"", spec.name}:
            continue
        states, ended = live.get(spec.name, {}), counts.get(spec.name, {})
        found.append(
            QueueView(
                name=spec.name,
                state="draining" if queue.draining else "paused" if queue.paused else "open",
                note=queue.note,
                waiting=states.get(WAITING, 0),
                delayed=states.get(DELAYED, 0),
                blocked=states.get(BLOCKED, 0),
                disabled=states.get(DISABLED, 0),
                running=states.get(RUNNING, 0),
                succeeded=ended.get(SUCCEEDED, 0),
                failed=ended.get(FAILED, 0),
                cancelled=ended.get(CANCELLED, 0),
                workers=len(queue.free) + len(queue.running),
                concurrency=spec.concurrency,
                rate=str(spec.rate) if spec.rate is not None else "",
                capacity=spec.capacity,
                handlers=spec.handlers,
                trouble=engine.trouble,
            )
        )
    return tuple(found)


def changed_queue(state: QueueState, order: ChangeQueue) -> QueueState:
    """Return what people said of a queue after `order`.

    Raises:
        SelectionError: There is no such action, or the rate is none.
    """
    match order.action:
        case "pause":
            return replace(state, paused=True, note=storable(order.note))
        case "resume":
            return replace(state, paused=False, draining=False, note="")
        case "drain":
            return replace(state, draining=True, note=storable(order.note))
        case "rate":
            return replace(state, rate=_rate(order.rate))
    raise SelectionError(f"there is no action {order.action!r}; there are {', '.join(QUEUE_ACTIONS)}")


def _rate(said: str) -> str | None:
    if said == "":
        return None
    if said == "none":
        return ""
    count, _, per = said.partition("/")
    try:
        rate = RateLimit(int(count), float(per or "1"))
        return f"{rate.count}/{rate.per!r}"
    except ValueError:
        pass
    raise SelectionError(f"a rate is COUNT/SECONDS, as 100/1, got {said!r}")


def expire(engine: Engine, now: float) -> bool:
    """Forget jobs that ended long ago; return whether there are more."""
    gone = [engine.table.expire(queue.spec.name, queue.spec.keep, now) for queue in list(engine.ledger.queues.values())]
    return any(gone)
