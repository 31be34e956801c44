"""Futures: one value or error, set once, waited for by a thread or awaited by a coroutine.

`Future` meets pykka's contract (`set`, `set_exception`, `set_get_hook`, `map`, `join`, …) with a lock made only by a
thread that really waits, where pykka pays for a condition each time. A pool worker that waits is replaced by a spare
meanwhile, so nested asks never run out of threads. `Ask` is the future that carries its own message through a mailbox.

Everything hangs on one list, whose methods are atomic: its first item is the right to settle the future, taken by the
one call whose `remove` succeeds; the rest are the calls that wake the waiters, each popped, and so made, once.
"""

from __future__ import annotations

import math
import queue
import sys
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import pykka

from actors.core.context import here, on_loop
from actors.errors import BlockingAskError

T = TypeVar("T")

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_RIGHT: Final = object()
"""The right to settle a future: the first item of its waiters for as long as nobody took it."""


class Future(pykka.Future[T]):
    """A value that is there now or later.

    Any thread may set it, once, and any number of threads and coroutines may wait for it.
    """

    __slots__ = ("_done", "_exc_info", "_get_hook", "_get_hook_result", "_hook_lock", "_value", "_waiters")

    _value: Any
    _exc_info: ExcInfo | None
    _waiters: list[Any]

    def __init__(self) -> None:
        self._done = False
        self._get_hook = None
        self._waiters = [_RIGHT]

    @property
    def done(self) -> bool:
        """Whether the value or the error is there."""
        return self._done

    def set(self, value: T | None = None) -> None:
        """Set the value and wake whoever waits.

        Raises:
            queue.Full: It was set before, or has a get hook.
        """
        if not self.settle(value, None):
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Set the error to raise in whoever waits; without an argument the one being handled.

        Raises:
            queue.Full: It was set before, or has a get hook.
        """
        assert exc_info is None or len(exc_info) == 3
        if not self.settle(None, exc_info or sys.exc_info()):
            raise queue.Full

    def settle(self, value: Any, exc_info: ExcInfo | None) -> bool:
        """Set value or error unless that happened before; return whether this call did it."""
        try:
            self._waiters.remove(_RIGHT)
        except ValueError:
            return False
        self._value = value
        self._exc_info = exc_info
        self._done = True
        if self._waiters:
            self._wake_all()
        return True

    def fail(self, error: BaseException) -> bool:
        """Set `error` unless the future is settled; return whether this call did it."""
        return self.settle(None, (type(error), error, error.__traceback__))

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have `func(timeout)` make the value at the first `get`.

        Raises:
            queue.Full: The value is already there.
        """
        self._hook_lock = threading.RLock()
        try:
            self._waiters.remove(_RIGHT)
        except ValueError:
            raise queue.Full from None
        self._get_hook = func

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the value and return it, or raise the error.

        Args:
            timeout: Longest wait in seconds; None waits without end.

        Raises:
            pykka.Timeout: The value did not come in time.
            BlockingAskError: Called on an event loop's thread before the value was there.
        """
        if not self._done:
            if self._get_hook is not None:
                return self._run_hook(timeout)
            if not self.wait(timeout):
                raise pykka.Timeout(f"{timeout} seconds")
        if self._exc_info is None:
            value: T = self._value
            return value
        kind, error, traceback = self._exc_info
        if error is None:
            assert kind is not None  # an exc_info has a class
            error = kind()
        try:
            raise error.with_traceback(traceback)
        finally:
            del error, traceback  # the frame would keep its own error alive

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback` once the future is settled: on the thread that settles it, or here if it is."""
        self._waiters.append(callback)
        if self._done:
            self._wake_all()

    def __await__(self) -> Generator[Any, None, T]:
        """Await the value on the running asyncio loop; other threads go on."""
        if not self._done:
            asyncio = sys.modules.get("asyncio")
            loop = asyncio._get_running_loop() if asyncio is not None else None
            if loop is None:
                yield  # another kind of event loop: give it one turn, then wait as pykka does
            elif self._get_hook is not None:
                return cast(T, (yield from loop.run_in_executor(None, self.get).__await__()))
            else:
                yield from self._await_on(loop)
        return self.get()

    __iter__ = __await__

    async def settled(self) -> None:
        """Await, on the running asyncio loop, that the value or the error is there; raises neither."""
        import asyncio  # whoever awaits has it loaded already

        if not self._done:
            await _Settled(self, asyncio.get_running_loop())

    def _await_on(self, loop: Any) -> Generator[Any, None, None]:
        waiter = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def settled() -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:  # the loop was closed: nobody awaits any more
                return

        self.add_done_callback(settled)
        yield from waiter

    def _run_hook(self, timeout: float | None) -> T:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._hook_lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise pykka.Timeout(f"{timeout} seconds")
        try:
            if not self._done:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                hook = self._get_hook
                assert hook is not None  # only a future with a hook comes here, and a hook is never taken back
                self._value = hook(timeout if left is None else left)
                self._exc_info = None
                self._done = True
            return cast(T, self._value)
        finally:
            self._hook_lock.release()

    def _wake_all(self) -> None:
        waiters = self._waiters
        while waiters:
            try:
                wake = waiters.pop()
            except IndexError:  # another thread woke the last one
                return
            wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until the value or the error is there; False where `timeout` seconds were not enough.

        Raises:
            BlockingAskError: Called on an event loop's thread before it was there.
        """
        lock = allocate_lock()
        lock.acquire()
        self._waiters.append(lock.release)
        if self._done:
            return True
        if timeout is None:
            limit = -1.0
        elif timeout <= 0:
            return self._done
        else:
            limit = min(timeout, threading.TIMEOUT_MAX)
        if on_loop():
            raise BlockingAskError("an actor")
        worker = here.worker
        if worker is None:
            return lock.acquire(True, limit)
        worker.blocks()
        try:
            return lock.acquire(True, limit)
        finally:
            worker.goes_on()


async def answered(ask: Future[Any], timeout: float) -> bool:
    """Await that `ask` is answered, with a value or an error; False where `timeout` seconds were not enough."""
    import asyncio  # whoever awaits has it loaded already

    try:
        async with asyncio.timeout(timeout):
            await ask.settled()
    except TimeoutError:
        return ask.done
    return True


class _Settled:
    """Awaits a future without taking its value."""

    __slots__ = ("_future", "_loop")

    def __init__(self, future: Future[Any], loop: Any) -> None:
        self._future = future
        self._loop = loop

    def __await__(self) -> Generator[Any, None, None]:
        return self._future._await_on(self._loop)


class Ask(Future[T]):
    """A question in a mailbox: its message, until when an answer is wanted, and the future of the answer.

    Attributes:
        message: What is asked; None for a future made by `map`, `join` and their like.
        timeout: Seconds after which nobody waits for the answer; None for ever.
        asked_at: Monotonic instant of the asking.
    """

    __slots__ = ("asked_at", "message", "timeout")

    def __init__(self, message: Any = None, timeout: float | None = None) -> None:
        self._done = False
        self._get_hook = None
        self._waiters = [_RIGHT]
        if timeout is not None and not timeout > -math.inf:  # here, not in the actor that is asked
            raise ValueError(f"timeout is seconds, or None to wait without end, got {timeout!r}")
        self.asked_at = time.monotonic()
        self.message = message
        self.timeout = timeout
