"""Runs what a schedule is for: asks an actor, sends a loop its cycle, calls a function; tells how it ended.

    start(...) --> ask | Cycle | a thread of the pool --> Finished to the scheduler's path

Nothing here waits: a full mailbox refuses, a function runs on one of a bounded number of daemon threads, and beyond
those it waits for one. What runs is noted per system (`Underway`), so that a scheduler that was restarted knows what
the one before it had begun, and hears of its end.

A function is cancelled by the flag in its `Work`, a coroutine by its cancellation; an actor that was asked ends in its
own time, at the latest when the ask times out. A run counts as under way until it has really ended.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from actors.core.context import enter_loop, leave_loop
from actors.core.system import ActorSystem
from actors.errors import AskTimeoutError
from actors.jobs.cycles import CancelCycle, Cycle
from actors.jobs.offload import Cancel, CancelledWorkError
from actors.messages import Message
from actors.policies.retry import Failure, failure_of
from actors.scheduling.plans import Schedule
from actors.scheduling.states import Run

Key = tuple[str, float, int]
"""Schedule, slot and round: names one run."""

_DETAIL: Final = 500

logger = logging.getLogger(__name__)


class Finished(Message[None], frozen=True, local=True):
    """An attempt ended; see `states.Ended`."""

    key: Key
    outcome: str
    detail: str
    seconds: float
    failure: Failure = Failure()
    delay: float | None = None


class Work(Struct, frozen=True):
    """What a handler is given, where it takes an argument.

    Attributes:
        schedule: Id of the schedule.
        slot_at: The scheduled instant, wall seconds since the epoch.
        attempt: Which attempt at it, from 1.
        is_repeat: Whether the end of the runtime cut the slot's run short before.
        payload: The schedule's payload.
        cancel: Says whether somebody still waits; `cancel.check()` raises where nobody does.
    """

    schedule: str
    slot_at: float
    attempt: int
    is_repeat: bool
    payload: Any
    cancel: Cancel


class Attempt(Struct, frozen=True):
    """What `on_retry` and `on_failed` are called with; `delay` is 0 after the last attempt."""

    schedule: str
    slot_at: float
    attempt: int
    error: str
    delay: float


class Underway:
    """The runs of one system that have not ended, and ends that no scheduler has heard of. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[tuple[str, Key], Finished | None] = {}

    def begin(self, path: str, key: Key) -> None:
        with self._lock:
            self._ends[path, key] = None

    def end(self, path: str, finished: Finished) -> None:
        with self._lock:
            if (path, finished.key) in self._ends:
                self._ends[path, finished.key] = finished

    def heard(self, path: str, key: Key) -> None:
        with self._lock:
            self._ends.pop((path, key), None)

    def of(self, path: str) -> dict[Key, Finished | None]:
        """Return the runs begun by the scheduler at `path`, with the end of those that have one."""
        with self._lock:
            return {key: end for (scheduler, key), end in self._ends.items() if scheduler == path}


_underway: WeakKeyDictionary[ActorSystem, Underway] = WeakKeyDictionary()
_guard = threading.Lock()


def underway_in(system: ActorSystem) -> Underway:
    """Return what is under way in `system`."""
    with _guard:
        return _underway.setdefault(system, Underway())


class Runner:
    """Carries out the attempts of one scheduler.

    Args:
        system: Where its actors are.
        path: The scheduler's own path, which gets `Finished`.
        threads: Most handlers at once.
    """

    def __init__(self, system: ActorSystem, path: str, threads: int = 16) -> None:
        self._system = system
        self._path = path
        self.underway = underway_in(system)
        self._calls = Calls(f"{path.strip('/').replace('/', '.')}-work", threads)
        self._stops: dict[Key, Callable[[], object]] = {}

    def why_not(self, schedule: Schedule) -> str:
        """Return why nothing can be run for `schedule`, or ""; imports what it names."""
        for name, check in (
            (schedule.message, _message_class),
            (schedule.handler, _function),
            (schedule.retry_delay, _function),
            (schedule.on_retry, _function),
            (schedule.on_failed, _function),
        ):
            if name:
                try:
                    check(name)
                except Exception as error:  # an import runs anything
                    return f"{name} cannot be used: {type(error).__name__}: {error}"
        if schedule.message:
            try:
                _message(schedule)
            except (msgspec.ValidationError, TypeError, ValueError) as error:
                return f"the payload is none for {schedule.message}: {error}"
        return ""

    def start(self, schedule: Schedule, run: Run, next_at: float, due_at: float = 0.0) -> None:
        """Begin one attempt; its end comes to the scheduler as `Finished`, or as the loop's `CycleDone`.

        Args:
            schedule: Whose.
            run: Its slot and attempt.
            next_at: Wall instant of the slot after it.
            due_at: Wall instant at which it was to begin; 0 outside the schedule.
        """
        key = (schedule.id, run.slot_at, run.round)
        self.underway.begin(self._path, key)
        if schedule.handler:
            self._call(schedule, run, key)
            return
        began = self._system.clock.monotonic()
        enter_loop()  # so that a full mailbox refuses rather than hold up the clock
        try:
            ref = self._system.ref(schedule.to)
            if not schedule.message:
                ref.tell(Cycle(run.slot_at, run.kind == "manual", next_at, due_at))
                self._stops[key] = lambda: self._tell(schedule.to, CancelCycle(run.slot_at))
                return
            future: Any = ref.ask(_message(schedule), block=False, timeout=schedule.timeout)
        except Exception as error:  # not there, its mailbox full: the attempt's failure, whatever it is
            self._finish(key, began, error, "")
            return
        finally:
            leave_loop()

        def answered() -> None:
            try:
                self._finish(key, began, None, _line(future.get(timeout=0)))
            except Exception as error:
                self._finish(key, began, error, "")

        future.add_done_callback(answered)

    def stop(self, key: Key) -> None:
        """Ask what runs to end."""
        stop = self._stops.get(key)
        if stop is not None:
            stop()

    def heard(self, key: Key) -> None:
        """Forget a run whose end the scheduler has taken in."""
        self._stops.pop(key, None)
        self.underway.heard(self._path, key)

    def call_back(self, name: str, attempt: Attempt) -> None:
        """Call `on_retry` or `on_failed` on a thread; what it raises is logged there."""
        self._calls.submit(lambda: _function(name)(attempt))

    def custom_delay(self, schedule: Schedule, attempt: int) -> float | None:
        """Return what the schedule's own function says of the delay after `attempt`; None where it has none."""
        if not schedule.retry_delay:
            return None
        return float(_function(schedule.retry_delay)(attempt))

    def _call(self, schedule: Schedule, run: Run, key: Key) -> None:
        cancel = Cancel()
        payload = msgspec.json.decode(schedule.payload) if schedule.payload else None
        work = Work(schedule.id, run.slot_at, run.attempt, run.is_repeat, payload, cancel)
        call = _Call(_function(schedule.handler), work, schedule.timeout)
        self._stops[key] = call.stop
        clock = self._system.clock

        def carry_out() -> None:
            began = clock.monotonic()
            timer = self._system.schedule(schedule.timeout, call.time_out)
            detail = ""
            error: BaseException | None = None
            try:
                detail = _line(call.run())
            except BaseException as raised:  # reported as the run's end
                error = raised
            timer.cancel()
            if call.is_late:
                detail, error = "", TimeoutError(f"not done within {schedule.timeout:g} s")
            self._finish(key, began, error, detail)

        self._calls.submit(carry_out)

    def _finish(self, key: Key, began: float, error: BaseException | None, detail: str) -> None:
        seconds = self._system.clock.monotonic() - began
        if error is None:
            finished = Finished(key, "succeeded", detail, seconds)
        elif isinstance(error, CancelledWorkError | asyncio.CancelledError):
            finished = Finished(key, "cancelled", "cancelled", seconds)
        else:
            outcome = "timed-out" if isinstance(error, AskTimeoutError | TimeoutError) else "failed"
            failure = failure_of(error)
            finished = Finished(key, outcome, one_line(failure.text), seconds, failure)
        self.underway.end(self._path, finished)
        self._tell(self._path, finished)

    def _tell(self, path: str, message: Message[None]) -> None:
        ref = self._system.ref(path)
        if ref.is_alive():  # a scheduler that comes later finds the end in `underway`
            ref.tell(message)


class _Call:
    """One call of a handler, on the thread that calls `run`."""

    def __init__(self, function: Callable[..., Any], work: Work, timeout: float) -> None:
        self._function = function
        self._work = work
        self._timeout = timeout
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_late = False

    def run(self) -> Any:
        self._work.cancel.check()
        arguments = (self._work,) if _takes_work(self._function) else ()
        if not inspect.iscoroutinefunction(self._function):
            return self._function(*arguments)
        return asyncio.run(self._run_async(arguments))

    def stop(self) -> None:
        """Say that nobody waits any more. Any thread."""
        self._work.cancel.set()
        with self._lock:
            if self._task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def time_out(self) -> None:
        self.is_late = True
        self.stop()

    async def _run_async(self, arguments: tuple[Work, ...]) -> Any:
        with self._lock:
            self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        try:
            return await self._function(*arguments)
        finally:
            with self._lock:
                self._task = self._loop = None


class Calls:
    """A bounded number of daemon threads that make calls in the order of their coming."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self._idle = 0
        self._threads = 0
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def submit(self, call: Callable[[], object]) -> None:
        """Have `call` made; never waits."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._waiting.put(call)

    def _run(self) -> None:
        while True:
            call = self._waiting.get()
            try:
                call()
            except Exception:
                logger.exception("a call-back of a schedule failed")
            with self._lock:
                if self._waiting.empty():
                    self._idle += 1


def one_line(text: str) -> str:
    """Return `text` on one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL else line[: _DETAIL - 1] + "…"


def _line(value: object) -> str:
    return "" if value is None else one_line(str(value))


def _import(name: str) -> Any:
    module, _, attributes = name.partition(":")
    found: Any = import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


@lru_cache(maxsize=4096)
def _function(name: str) -> Callable[..., Any]:
    found = _import(name)
    if not callable(found):
        raise TypeError(f"it is a {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


@lru_cache(maxsize=4096)
def _message_class(name: str) -> type[Message[Any]]:
    found = _import(name)
    if not (isinstance(found, type) and issubclass(found, Message)):
        raise TypeError("it is no message class")
    return found


@lru_cache(maxsize=4096)
def _takes_work(function: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=4096)
def _made(name: str, payload: str) -> Message[Any]:
    made: Message[Any] = msgspec.json.decode(payload or "{}", type=_message_class(name), strict=False)
    return made


def _message(schedule: Schedule) -> Message[Any]:
    return _made(schedule.message, schedule.payload)
