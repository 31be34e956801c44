"""Workers for jobs of any kind: on the pool or a thread of the queues' own process, or in a process of their own.

A worker says that it is ready as it starts and when it is asked, does one try after another, and says how each ended.
What a handler raises fails the try and leaves the worker as it is; a worker that ends fails its try, and its supervisor
brings it back.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from actors import Actor, on
from actors.errors import ActorRuntimeError
from actors.exits import message_of, said
from actors.jobs.engine import Engine
from actors.jobs.handlers import (
    CancelledJobError,
    DoNotRetry,
    Handler,
    PayloadError,
    Run,
    Token,
    UnknownKindError,
    handler_of,
    load_handlers,
    to_json,
)
from actors.jobs.lines import Lines, capture, current
from actors.jobs.offload import Offload
from actors.jobs.orders import Announce, BrokenJob, DoJob, DoneJob, EndJob, JobSaid, Progress, WorkerReady
from actors.jobs.workers import Reload
from actors.messages import Message

REPORT_EVERY = 0.2
"""Least seconds between two reports of progress of one try; the ones between are left out, the last is not."""


FAULTS: Final = (Exception, SystemExit, KeyboardInterrupt)
"""What a handler may raise that is its job's fault alone: `sys.exit` in a function that was a program once, too."""


class HandlerExitError(ActorRuntimeError):
    """An `async` handler raised what ends a program."""


class LocalJob(Message[None], frozen=True, local=True):
    """One try, for a worker in the same process as the engine."""

    engine: Engine
    handler: Handler
    number: int
    payload: str
    attempt: int
    repeats: int
    token: Token

    def keep(self, at: float, level: str, text: str) -> None:
        """Keep a line that the try says."""
        self.engine.logged(self.number, self.attempt, at, level, text)


class AsyncJob(LocalJob, frozen=True, local=True):
    """The same, of a handler that is `async`."""


class JobWorker(Actor):
    """Does jobs of one queue, one at a time, in the queues' own process.

    Args:
        queue: Name of the queue.
        jobs: Path of the queues.
        options: What its handlers find in `Run.options`; a `Reload` changes them from the next job on.
    """

    def __init__(
        self, queue: str = "default", jobs: str = "/work/jobs", options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._queue = queue
        self._jobs = jobs
        self._options = dict(options or {})
        self._done = 0

    def on_start(self) -> None:
        capture()
        self.announce(Announce())

    def state_view(self) -> dict[str, object]:
        return {"queue": self._queue, "done": self._done}

    @on(Announce)
    def announce(self, _: Announce) -> None:
        self.system.ref(self._jobs).tell(WorkerReady(self.path, self._queue, _instance(self)))

    @on(Reload)
    def reload(self, message: Reload) -> None:
        self._options = self._options | message.settings

    @on(LocalJob)
    def do(self, message: LocalJob) -> None:
        engine, handler, number, attempt = message.engine, message.handler, message.number, message.attempt
        run: Run | None = None
        lines = Lines(message.keep)
        before = current.set(lines)
        try:
            message.token.check()
            payload = handler.decode(message.payload)
            if handler.takes_run:
                run = _run_of(message, lines, self._options)
                value = handler.function(payload, run)
            else:
                value = handler.function(payload)
            result = "null" if value is None else to_json(value)
        except FAULTS as error:  # the job's, not the worker's
            why = _fault(error, lines)
            lines.end()
            engine.failed(number, attempt, *why)
        else:
            self._done += 1
            lines.end()
            engine.finished(number, attempt, result, run.children if run is not None else ())
        finally:
            current.reset(before)

    @on(AsyncJob)
    async def do_async(self, message: AsyncJob) -> None:
        engine, handler, number, attempt = message.engine, message.handler, message.number, message.attempt
        lines = Lines(message.keep)
        run = _run_of(message, lines, self._options)
        try:
            message.token.check()
            value = await _cancellable(handler, handler.decode(message.payload), run, lines)
            result = to_json(value)
        except FAULTS as error:  # the job's, not the worker's
            why = _fault(error, lines)
            lines.end()
            engine.failed(number, attempt, *why)
        else:
            self._done += 1
            lines.end()
            engine.finished(number, attempt, result, run.children)


class JobProcess(Actor):
    """Does jobs of one queue in a process of its own, up to `places` at a time, each on a thread.

    It stays answerable meanwhile, so its supervisor knows that it lives however busy its jobs are.

    Args:
        queue: Name of the queue.
        handlers: Modules that have the handlers.
        places: Jobs at a time; 1 or more.
        jobs: Path of the queues.
        options: What its handlers find in `Run.options`; a `Reload` changes them from the next job on.
    """

    dispatcher = "thread"
    reentrant = True

    def __init__(
        self,
        queue: str = "default",
        handlers: Sequence[str] = (),
        places: int = 1,
        jobs: str = "/work/jobs",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._options = dict(options or {})
        self._queue = queue
        self._handlers = tuple(handlers)
        self._places = places
        self._jobs = jobs
        self._offload = Offload(f"jobs-{queue}", limit=places)
        self._tokens: dict[tuple[int, int], Token] = {}
        self._done = 0

    async def on_start(self) -> None:  # type: ignore[override] # a hook may be a coroutine
        capture()
        await self._offload.run(load_handlers, self._handlers)

    def on_stop(self) -> None:
        for token in tuple(self._tokens.values()):
            token.set("the worker is stopping")

    def state_view(self) -> dict[str, object]:
        return {
            "queue": self._queue,
            "jobs": [f"job-{number}" for number, _ in self._tokens],
            "places": self._places,
            "done": self._done,
        }

    @on(Announce)
    async def announce(self, _: Announce) -> None:
        free = self._places - len(self._tokens)
        if free > 0:
            self.system.ref(self._jobs).tell(WorkerReady(self.path, self._queue, _instance(self), free))

    @on(Reload)
    async def reload(self, message: Reload) -> None:
        self._options = self._options | message.settings

    @on(EndJob)
    async def end(self, message: EndJob) -> None:
        token = self._tokens.get((message.number, message.attempt))
        if token is not None:
            token.set(message.why)

    @on(DoJob)
    async def do(self, message: DoJob) -> DoneJob | BrokenJob:
        token = self._tokens[message.number, message.attempt] = Token()
        lines = Lines(lambda at, level, text: self._say(message, at, level, text))
        run = Run(
            f"job-{message.number}", message.kind, message.attempt, message.repeats, token,
            _seldom(lambda progress, note: self._tell(message, progress, note)), lines, self._options,
        )  # fmt: skip
        try:
            handler = handler_of(message.kind)
            payload = handler.decode(message.payload)
            if handler.is_async:
                value = await _cancellable(handler, payload, run, lines)
            else:
                value = await self._offload.run(_call_saying, handler, payload, run, lines)
            result = to_json(value)
        except FAULTS as error:  # the job's, not the worker's
            return BrokenJob(*_fault(error, lines))
        finally:
            lines.end()
            del self._tokens[message.number, message.attempt]
        self._done += 1
        return DoneJob(result, tuple(run.children))

    def _tell(self, job: DoJob, progress: float, note: str) -> None:
        self.system.ref(self._jobs).tell(Progress(job.number, job.attempt, progress, note))

    def _say(self, job: DoJob, at: float, level: str, text: str) -> None:
        self.system.ref(self._jobs).tell(JobSaid(job.number, job.attempt, at, level, text))


def _instance(worker: Actor) -> str:
    return f"{os.getpid()}-{worker.incarnation.generation}-{id(worker)}"


def _call(handler: Handler, payload: Any, run: Run) -> Any:
    return handler.function(payload, run) if handler.takes_run else handler.function(payload)


def _call_saying(handler: Handler, payload: Any, run: Run, lines: Lines) -> Any:
    """Call a handler on a thread that is the try's alone."""
    current.set(lines)
    return _call(handler, payload, run)


async def _await_saying(handler: Handler, payload: Any, run: Run, lines: Lines) -> Any:
    """Await a handler in a task that is the try's alone."""
    current.set(lines)
    try:
        return await _call(handler, payload, run)
    except (SystemExit, KeyboardInterrupt) as error:  # asyncio would let it through, past whoever awaits
        raise HandlerExitError(said(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise HandlerExitError("a task that it awaited was cancelled") from error  # nobody cancelled the try itself


async def _cancellable(handler: Handler, payload: Any, run: Run, lines: Lines) -> Any:
    """Await an `async` handler; the token cancels it at its next await."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_await_saying(handler, payload, run, lines))
    run.token.on_set = lambda: loop.call_soon_threadsafe(task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        run.token.check()  # it was the token's doing: this raises why
        raise
    finally:
        run.token.on_set = None


def _run_of(job: LocalJob, lines: Lines, options: Mapping[str, Any]) -> Run:
    engine, number, attempt = job.engine, job.number, job.attempt
    report = _seldom(lambda progress, note: engine.reported(number, attempt, progress, note))
    return Run(f"job-{number}", job.handler.kind, attempt, job.repeats, job.token, report, lines, options)


def _seldom(report: Callable[[float, str], None]) -> Callable[[float, str], None]:
    """Return `report`, called no more often than `REPORT_EVERY` but for the end of the work."""
    last = 0.0

    def seldom(progress: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if progress >= 1.0 or now - last >= REPORT_EVERY:
            last = now
            report(progress, note)

    return seldom


def _fault(error: BaseException, lines: Lines) -> tuple[str, bool]:
    """Return why a try failed, and whether another may end otherwise; what nobody meant is said with its traceback."""
    text = message_of(error)[:2000]
    if isinstance(error, DoNotRetry):
        return text or "the handler said not to try again", False
    if isinstance(error, CancelledJobError):
        return text, True
    lines.say("error", "".join(traceback.format_exception(error)).rstrip())
    return f"{type(error).__name__}: {text}", not isinstance(error, UnknownKindError | PayloadError)
