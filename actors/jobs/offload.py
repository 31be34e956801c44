"""Blocking calls from async handlers: each on a daemon thread of its own, at most so many at once.

    self._offload = Offload("io.gmail", limit=2)
    count = await self._offload.run(self._count_unseen)

Cancelling the await (a stop, a deadline) sets the call's `Cancel` flag, which the function reads between its steps;
a call that never looks at it ends in its own time, its answer goes nowhere, and it keeps its place among the `limit`
until then, so the bound holds for what really runs. Threads are daemons: a call stuck in the system cannot hold up the
end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from actors.errors import ActorRuntimeError

T = TypeVar("T")

_guard = threading.Lock()


class CancelledWorkError(ActorRuntimeError):
    """Raised inside an offloaded function by `Cancel.check()` after its caller went away."""

    def __init__(self) -> None:
        super().__init__("the caller no longer waits for this work")


class Cancel:
    """Says to a running function whether somebody still waits for it, and whether it may go on. Any thread."""

    __slots__ = ("_changed", "_is_paused", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._is_paused = False
        self._changed: threading.Condition | None = None  # made by the first who waits: many calls have one of these

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Tell the function that nobody waits for it any more; ends a pause too."""
        self._is_set = True
        self.resume()

    def pause(self) -> None:
        """Make the function wait at its next `check`."""
        self._is_paused = True

    def resume(self) -> None:
        """Let a paused function go on."""
        self._is_paused = False
        with _guard:
            changed = self._changed
        if changed is not None:
            with changed:
                changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for `set`; return whether it came."""
        return self._is_set or self._wait_for(lambda: self._is_set, timeout)

    def check(self) -> None:
        """Go on, wait while paused, or end here.

        Raises:
            CancelledWorkError: Nobody waits any more.
        """
        if self._is_paused:
            self._wait_for(lambda: not self._is_paused, None)
        if self._is_set:
            raise CancelledWorkError

    def _wait_for(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        with _guard:
            changed = self._changed
            if changed is None:
                changed = self._changed = threading.Condition()
        with changed:
            return changed.wait_for(predicate, timeout)


class Offload:
    """Runs blocking functions for one actor.

    Args:
        name: For the threads' names.
        limit: Most calls at once, 1 or more; further ones wait their turn.
    """

    def __init__(self, name: str, *, limit: int = 4) -> None:
        if limit < 1:
            raise ValueError(f"limit is 1 or more, got {limit}")
        self._name = name
        self._limit = limit
        self._turns: asyncio.Semaphore | None = None
        self._running = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Calls whose thread has not ended."""
        return self._running

    async def run(self, function: Callable[..., T], *arguments: object, cancel: Cancel | None = None) -> T:
        """Return what `function(*arguments)` returns, or raise what it raises.

        Args:
            function: Runs on a thread of its own.
            arguments: Passed on as they are.
            cancel: Set when this await is cancelled; hand the same one to `function` where it can look at it.
        """
        loop = asyncio.get_running_loop()
        if self._turns is None:
            self._turns = asyncio.Semaphore(self._limit)
        turns = self._turns
        await turns.acquire()
        answer: asyncio.Future[T] = loop.create_future()
        context = copy_context()  # what is said on the thread belongs to the trace of whoever asked for it

        def settle(result: T | None, error: BaseException | None) -> None:
            turns.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # None is a T here when no error came

        def call() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function, *arguments)
            except BaseException as raised:  # the caller's await is its place to go, whatever it is
                error = raised
            with self._lock:
                self._running -= 1
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                return  # the loop is closed: the node has ended and nobody waits

        with self._lock:
            self._running += 1
        threading.Thread(target=call, name=f"{self._name}-call", daemon=True).start()
        try:
            return await answer
        except asyncio.CancelledError:
            if cancel is not None:
                cancel.set()
            raise
