"""Runs what a schedule is for: asks an actor, sends a loop its cycle, calls a function; tells how it ended.

    start(...) --> ask | Cycle | a thread of the pool --> Underway --> Heard to the scheduler's path --> take()

Nothing here waits: a full mailbox refuses, a function runs on one of a bounded number of daemon threads, and beyond
those it waits for one. What runs is noted per system (`Underway`), so that a scheduler that was restarted knows what
the one before it had begun, and hears of its end. Many ends share one `Heard`.

Calls that are known ahead of their instant are made ready by `prepare`, and then begin together, in microseconds each.

A function is cancelled by the flag in its `Work`, a coroutine by its cancellation; an actor that was asked ends in its
own time, at the latest when the ask times out. A run counts as under way until it has really ended.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from actors.core.context import never_waiting
from actors.core.system import ActorSystem
from actors.core.tracing import Trace, deriving, tracing
from actors.errors import AskTimeoutError
from actors.jobs.cycles import CancelCycle, Cycle
from actors.jobs.offload import Cancel, CancelledWorkError
from actors.messages import Message
from actors.policies.retry import Failure, failure_of
from actors.scheduling.calling import Call, Calls, Deadlines, Key
from actors.scheduling.figures import slot_id
from actors.scheduling.plans import Schedule
from actors.scheduling.states import Run
from actors.texts import storable

_DETAIL: Final = 500
_LOOKED_AT: Final = 20 * _DETAIL

logger = logging.getLogger(__name__)


class Finished(Message[None], frozen=True, local=True):
    """An attempt ended; see `states.Ended`."""

    key: Key
    outcome: str
    detail: str
    seconds: float
    failure: Failure = Failure()
    delay: float | None = None


class Heard(Message[None], frozen=True, local=True):
    """Attempts ended: `Runner.take` has them."""


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
        self._ends: dict[str, dict[Key, Finished | None]] = {}
        self._news: dict[str, list[Finished]] = {}

    def begin(self, path: str, keys: Iterable[Key]) -> None:
        with self._lock:
            self._ends.setdefault(path, {}).update(dict.fromkeys(keys))

    def end(self, path: str, finished: Finished) -> bool:
        """Note an end; return whether the scheduler is to be told that there are some, which it has not been."""
        with self._lock:
            ends = self._ends.get(path)
            if ends is None or finished.key not in ends:
                return False
            ends[finished.key] = finished
            news = self._news.get(path)
            if news is not None:
                news.append(finished)
                return False
            self._news[path] = [finished]
            return True

    def take(self, path: str) -> list[Finished]:
        """Return the ends that the scheduler at `path` has not taken in."""
        with self._lock:
            ends = self._ends.get(path, {})
            return [finished for finished in self._news.pop(path, ()) if ends.get(finished.key) is finished]

    def heard(self, path: str, key: Key) -> None:
        with self._lock:
            ends = self._ends.get(path)
            if ends is not None:
                ends.pop(key, None)

    def of(self, path: str) -> dict[Key, Finished | None]:
        """Return the runs begun by the scheduler at `path`, with the end of those that have one."""
        with self._lock:
            return dict(self._ends.get(path, {}))


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
        self._trace_id = deriving(system.name, path)
        self.underway = underway_in(system)
        self._calls = Calls(f"{path.strip('/').replace('/', '.')}-work", threads)
        self._deadlines = Deadlines(system)
        self._stops: dict[Key, Call | _LoopCycle] = {}
        self._prepared: dict[str, Call] = {}
        self._begun: list[Call] = []

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for a thread."""
        return self._calls.has_waiting

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
        self.underway.begin(self._path, (key,))
        if schedule.handler:
            call = self._prepared.pop(schedule.id, None)
            if call is None or call.key != key:
                call = self._call_of(schedule, run, key)
            self._stops[key] = call
            self._calls.submit((call,))
            return
        began = self._system.clock.monotonic()
        try:
            with never_waiting(), tracing(self._trace_of(key)):  # a full mailbox refuses rather than hold up the clock
                ref = self._system.ref(schedule.to)
                if not schedule.message:
                    ref.tell(Cycle(run.slot_at, run.kind == "manual", next_at, due_at))
                    self._stops[key] = _LoopCycle(self, schedule.to, run.slot_at)
                    return
                future: Any = ref.ask(_message(schedule), block=False, timeout=schedule.timeout)
        except Exception as error:  # not there, its mailbox full: the attempt's failure, whatever it is
            self._finish(key, began, error, None)
            return

        def answered() -> None:
            try:
                self._finish(key, began, None, future.get(timeout=0))
            except Exception as error:
                self._finish(key, began, error, None)

        future.add_done_callback(answered)

    def prepare(self, schedules: Iterable[tuple[Schedule, Run]], *, afresh: bool) -> None:
        """Make calls ready ahead of their instant; `afresh` drops those that are ready and were not begun."""
        if afresh:
            self._prepared.clear()
        for schedule, run in schedules:
            if schedule.handler:
                key = (schedule.id, run.slot_at, run.round)
                self._prepared[schedule.id] = self._call_of(schedule, run, key)
        self._calls.expect(len(self._prepared))

    def begin(self, begun: Iterable[tuple[str, Run]]) -> list[tuple[str, Run]]:
        """Begin, in order, the calls that were made ready; return the runs that are to be started one by one."""
        prepared = self._prepared
        others, calls = [], []
        for item in begun:
            id, run = item
            call = prepared.pop(id, None)
            if call is None or call.key[1] != run.slot_at:
                others.append(item)
            else:
                calls.append(call)
        self._enter_begun()
        self._begun = calls
        self.underway.begin(self._path, [call.key for call in calls])
        self._calls.submit(calls)
        return others

    def _enter_begun(self) -> None:
        """Have `stop` find what `begin` began."""
        for call in self._begun:
            self._stops[call.key] = call
        self._begun = []

    def take(self) -> list[Finished]:
        """Return the ends that were not taken in yet."""
        return self.underway.take(self._path)

    def stop(self, key: Key) -> None:
        """Ask what runs to end."""
        self._enter_begun()
        stop = self._stops.get(key)
        if stop is not None:
            stop.stop()

    def heard(self, key: Key) -> None:
        """Forget a run whose end the scheduler has taken in."""
        if self._begun:
            self._enter_begun()
        self._stops.pop(key, None)
        self.underway.heard(self._path, key)

    def call_back(self, name: str, attempt: Attempt) -> None:
        """Call `on_retry` or `on_failed` on a thread; what it raises is logged there."""
        self._calls.submit((lambda: _function(name)(attempt),))

    def custom_delay(self, schedule: Schedule, attempt: int) -> float | None:
        """Return what the schedule's own function says of the delay after `attempt`; None where it has none."""
        if not schedule.retry_delay:
            return None
        return float(_function(schedule.retry_delay)(attempt))

    def _call_of(self, schedule: Schedule, run: Run, key: Key) -> Call:
        cancel = Cancel()
        handler = _function(schedule.handler)
        takes_work, is_async = _kind(handler)
        arguments: tuple[Work, ...] = ()
        if takes_work:
            payload = msgspec.json.decode(schedule.payload) if schedule.payload else None
            arguments = (Work(schedule.id, run.slot_at, run.attempt, run.is_repeat, payload, cancel),)
        trace = self._trace_of(key)
        return Call(handler, is_async, arguments, cancel, key, schedule.timeout, self._deadlines, self._finish, trace)

    def _trace_of(self, key: Key) -> Trace:
        """Return the trace of a run, one and the same for all attempts at it."""
        run = slot_id(*key)
        return Trace(self._trace_id(run), run)

    def _finish(self, key: Key, began: float, error: BaseException | None, answer: object) -> None:
        seconds = self._system.clock.monotonic() - began
        detail = ""
        if error is None and answer is not None:
            try:
                detail = one_line(str(answer))
            except Exception as failed:  # whatever stands for its result must not keep the run from its end
                detail = f"a {type(answer).__name__}, whose text could not be made: {type(failed).__name__}"
        if error is None:
            finished = Finished(key, "succeeded", detail, seconds)
        elif isinstance(error, CancelledWorkError | asyncio.CancelledError):
            finished = Finished(key, "cancelled", "cancelled", seconds)
        else:
            outcome = "timed-out" if isinstance(error, AskTimeoutError | TimeoutError) else "failed"
            failure = failure_of(error)
            finished = Finished(key, outcome, one_line(failure.text), seconds, failure)
        if self.underway.end(self._path, finished):
            self.tell(self._path, Heard())

    def tell(self, path: str, message: Message[None]) -> None:
        """Tell whoever is at `path`, where anybody is."""
        ref = self._system.ref(path)
        if ref.is_alive():  # a scheduler that comes later finds the ends in `underway`
            ref.tell(message)


class _LoopCycle:
    """A cycle that a loop was sent."""

    def __init__(self, runner: Runner, path: str, slot_at: float) -> None:
        self._runner = runner
        self._path = path
        self._slot_at = slot_at

    def stop(self) -> None:
        """Ask the loop to end it."""
        self._runner.tell(self._path, CancelCycle(self._slot_at))


def one_line(text: str) -> str:
    """Return `text` on one line of bounded length."""
    line = storable(" ".join(text[:_LOOKED_AT].split()))
    return line if len(line) <= _DETAIL else line[: _DETAIL - 1] + "…"


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
def _kind(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Return whether it takes an argument, and whether it is a coroutine function."""
    try:
        takes = bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        takes = False
    return takes, inspect.iscoroutinefunction(function)


@lru_cache(maxsize=4096)
def _made(name: str, payload: str) -> Message[Any]:
    made: Message[Any] = msgspec.json.decode(payload or "{}", type=_message_class(name), strict=False)
    return made


def _message(schedule: Schedule) -> Message[Any]:
    return _made(schedule.message, schedule.payload)
