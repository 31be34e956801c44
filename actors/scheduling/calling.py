"""Calls of handlers on a bounded number of daemon threads, with a deadline each and a way to stop them.

    Calls.submit(calls) --> one queue --> whichever thread is free --> Call --> its end

What many calls share is made once: one timer for all their deadlines, one lock taken for a row of them. A thread takes
the next call without going to sleep, so a row of quick ones costs some microseconds each.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from actors.core.system import ActorSystem
from actors.core.tracing import Trace, current, traced
from actors.jobs.offload import Cancel

Key = tuple[str, float, int]
"""Schedule, slot and round: names one run."""

logger = logging.getLogger(__name__)


class Call:
    """One call of a handler, on the thread that calls this.

    Args:
        handler: A function, or with `is_async` a coroutine function.
        arguments: What it is given.
        cancel: Says to it that nobody waits any more.
        key: Its run.
        timeout: Longest time, in seconds from when it begins.
        deadlines: Where that is watched.
        finish: Called with the key, the monotonic instant it began, what it raised or None, and what it returned.
        trace: What it works for.
    """

    __slots__ = (
        "_arguments",
        "_cancel",
        "_deadlines",
        "_finish",
        "_handler",
        "_is_async",
        "_is_late",
        "_lock",
        "_loop",
        "_task",
        "_timeout",
        "_trace",
        "due",
        "key",
    )

    def __init__(
        self,
        handler: Callable[..., Any],
        is_async: bool,
        arguments: tuple[Any, ...],
        cancel: Cancel,
        key: Key,
        timeout: float,
        deadlines: Deadlines,
        finish: Callable[[Key, float, BaseException | None, object], None],
        trace: Trace | None = None,
    ) -> None:
        self._handler = handler
        self._is_async = is_async
        self._arguments = arguments
        self._cancel = cancel
        self.key = key
        self._timeout = timeout
        self._deadlines = deadlines
        self._finish = finish
        self._trace = trace
        if trace is not None and not traced:
            traced.append(True)
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_late = False
        self.due = math.inf

    def __call__(self) -> None:
        """Make the call, and tell how it ended."""
        began = self._deadlines.begin(self, self._timeout)
        answer = error = None
        try:
            self._cancel.check()
            token = current.set(self._trace)
            try:
                answer = asyncio.run(self._run_async()) if self._is_async else self._handler(*self._arguments)
            finally:
                current.reset(token)
        except BaseException as raised:  # reported as the run's end
            error = raised
        self._deadlines.end(self)
        if self._is_late:
            answer, error = None, TimeoutError(f"not done within {self._timeout:g} s")
        self._finish(self.key, began, error, answer)

    def stop(self) -> None:
        """Say that nobody waits any more. Any thread."""
        self._cancel.set()
        with self._lock:
            if self._task is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    def time_out(self) -> None:
        """Say that its time is over. Any thread."""
        self._is_late = True
        self.stop()

    async def _run_async(self) -> Any:
        with self._lock:
            self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        try:
            self._cancel.check()  # again: a stop that came before there was a task has cancelled none
            return await self._handler(*self._arguments)
        finally:
            with self._lock:
                self._task = self._loop = None


class Deadlines:
    """The deadlines of the calls under way, watched by one timer. Any thread."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._clock = system.clock
        self._lock = threading.Lock()
        self._calls: set[Call] = set()
        self._armed_for = math.inf

    def begin(self, call: Call, timeout: float) -> float:
        """Watch `call`, which begins now; return the monotonic instant."""
        began = self._clock.monotonic()
        call.due = began + timeout
        self._calls.add(call)  # before the look at `_armed_for`: see `_look`
        if call.due < self._armed_for:
            self._arm(call.due)
        return began

    def end(self, call: Call) -> None:
        """Watch `call` no more."""
        self._calls.discard(call)

    def _arm(self, due: float) -> None:
        with self._lock:
            if due >= self._armed_for:
                return
            self._armed_for = due
        self._system.schedule(max(0.0, due - self._clock.monotonic()), self._look)

    def _look(self) -> None:
        """On the timer's thread: whatever is late is told so."""
        with self._lock:
            self._armed_for = math.inf  # first, so that a call that begins meanwhile is seen here or arms by itself
        now = self._clock.monotonic()
        calls = self._calls.copy()
        for call in calls:
            if call.due <= now:
                self.end(call)
                call.time_out()
        soonest = min((call.due for call in calls if call.due > now), default=math.inf)
        if soonest < math.inf:
            self._arm(soonest)


class Calls:
    """A bounded number of daemon threads that make calls in the order of their coming."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self._idle = 0
        self._threads = 0
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait for a thread."""
        return bool(self._waiting)

    def submit(self, calls: Sequence[Callable[[], object]]) -> None:
        """Have `calls` made; never waits."""
        self._waiting.extend(calls)
        with self._lock:
            woken = min(self._idle, len(calls))
            self._idle -= woken
            self._start(len(calls) - woken)
        for _ in range(woken):
            self._wakes.put(None)

    def expect(self, calls: int) -> None:
        """Have as many threads as so many calls can use, ahead of them."""
        with self._lock:
            self._start(min(calls, self._most) - self._threads)

    def _start(self, wanted: int) -> None:
        """Start so many threads, as far as there may be more."""
        for _ in range(max(0, min(wanted, self._most - self._threads))):
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        waiting = self._waiting
        while True:
            try:
                call = waiting.popleft()
            except IndexError:
                with self._lock:  # a call that comes from here on finds this thread among the idle
                    if waiting:
                        continue
                    self._idle += 1
                self._wakes.get()
                continue
            try:
                call()
            except Exception:
                logger.exception("a call-back of a schedule failed")
            del call
