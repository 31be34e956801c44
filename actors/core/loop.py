"""The event loop that runs the coroutines of a system's actors, all on one thread.

A coroutine takes the actor's turn along (`Work`): no other message is handled meanwhile, no thread waits, and a stop,
a kill or a deadline cancels it for real. When it has ended, the turn goes back to the actor's dispatcher, which draws
the conclusion there: what a hook blocks on never holds up the loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from actors.core import life, turns
from actors.core.context import enter_loop, leave_loop, path_awaiting
from actors.core.future import Ask
from actors.core.tracing import current, tracing
from actors.errors import ActorExitedError, AskTimeoutError
from actors.exits import NORMAL, ExitReason

if TYPE_CHECKING:
    from actors.core.ref import ActorRef
    from actors.core.system import ActorSystem
    from actors.core.timers import Timer

EXECUTOR_THREADS: Final = 64
"""Blocking calls that coroutines hand to threads (`asyncio.to_thread`) at a time."""

logger = logging.getLogger(__name__)

Then = Callable[["ActorRef[Any]", Any], bool]


class Work:
    """One coroutine of an actor, and the turn it holds.

    Attributes:
        ask: The question it answers, if one was asked.
        then: What follows where it is a hook (`on_start`, `on_stop`); None for a handler.
    """

    __slots__ = (
        "_coroutine",
        "_error",
        "_finished",
        "_late",
        "_loop",
        "_result",
        "_stop",
        "_task",
        "_timers",
        "_trace",
        "ask",
        "cell",
        "then",
    )

    def __init__(
        self,
        loop: EventLoop,
        cell: ActorRef[Any],
        coroutine: Coroutine[Any, Any, Any],
        then: Then | None,
        ask: Ask[Any] | None,
        finished: Callable[[Work], None],
    ) -> None:
        self._coroutine = coroutine
        self._error: BaseException | None = None
        self._finished = finished
        self._late: BaseException | None = None
        self._loop = loop
        self._result: Any = None
        self._stop: ExitReason | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timers: tuple[Any, ...] = ()
        self._trace = current.get()
        self.ask = ask
        self.cell = cell
        self.then = then

    # -- from any thread --------------------------------------------------------------------------

    def stop(self, reason: ExitReason) -> None:
        """Cancel the coroutine because the actor is to end with `reason`; an `on_stop` is left alone."""
        if not isinstance(self.then, life.Stopping):
            self._loop.post(self.cancel, reason)

    def abandon(self) -> None:
        """Cancel the coroutine, whatever it is, and answer what it was asked."""
        self._loop.post(self.cancel, NORMAL)
        if self.ask is not None:
            error = ActorExitedError(str(self.cell), "was abandoned while handling the message")
            self.cell._fail_ask(self.ask, error)

    # -- on the loop's thread ---------------------------------------------------------------------

    def begin(self, timeout: float | None) -> None:
        """Run the coroutine as a task."""
        if self._stop is not None:
            self._coroutine.close()
            self._error = asyncio.CancelledError()
            self._finished(self)
            return
        loop = self._loop.asyncio_loop
        task = self._task = loop.create_task(_contained(self._coroutine, self.cell.path))
        timers: list[Any] = []
        ask = self.ask
        if ask is not None and ask.timeout is not None:
            left = ask.asked_at + ask.timeout - time.monotonic()
            late = AskTimeoutError(self.cell.path or str(self.cell), ask.timeout)
            timers.append(loop.call_later(left, self._expire, late))
        if timeout is not None:
            late_error = TimeoutError(f"the handler took longer than {timeout:g} s")
            timers.append(self._loop.schedule(timeout, lambda: self._loop.post(self._expire, late_error)))
        self._timers = tuple(timers)
        task.add_done_callback(self._done)

    def cancel(self, reason: ExitReason) -> None:
        """Cancel the coroutine because the actor ends with `reason`."""
        self._stop = reason
        if self._task is not None:
            self._task.cancel()

    def _expire(self, late: BaseException) -> None:
        if self._task is not None and not self._task.done():
            self._late = late
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        for timer in self._timers:
            timer.cancel()
        self._coroutine.close()  # it has ended, unless the task was cancelled before its first step
        if task.cancelled():
            self._error = asyncio.CancelledError()
        else:
            error = task.exception()
            self._error = error.error if isinstance(error, _EscapedError) else error
            if error is None:
                self._result = task.result()
        self._task = None
        self._finished(self)

    # -- back on the dispatcher, with the turn ------------------------------------------------------

    def quiet(self, _cell: ActorRef[Any], _reason: ExitReason, _error: BaseException | None) -> bool:
        """Whether the actor may end now: it may, as the one coroutine has ended."""
        return True

    def give_up(self, cell: ActorRef[Any]) -> None:
        """Answer the ask of a coroutine that ended together with its actor."""
        ask = self.ask
        if ask is None:
            return
        if self._error is None:
            turns.reply(cell, ask, self._result)
        else:
            cell._fail_ask(ask, ActorExitedError(str(cell), "was stopped while handling the message"))

    def conclude(self, cell: ActorRef[Any]) -> bool:
        """Draw the conclusion from how the coroutine ended; return whether the turn goes on here."""
        if self._trace is not None:
            with tracing(self._trace):
                self._trace = None
                return self.conclude(cell)
        if cell._work is self:
            cell._work = None
        error = self._error
        if self.then is not None:
            if error is None:
                return self.then(cell, self._result)
            reason = self._stop if self._stop is not None else ExitReason.crashed(error)
            life.hook_failed(cell, self.then, reason, error)
            return False
        ask = self.ask
        if error is None:
            cell._handled += 1
            if ask is not None:
                turns.reply(cell, ask, self._result)
            return True
        if isinstance(error, asyncio.CancelledError):
            if self._stop is not None:
                if ask is not None:
                    cell._fail_ask(ask, ActorExitedError(str(cell), "was stopped while handling the message"))
                return True  # the stop itself waits in the system lane
            if self._late is not None:
                error = self._late
                if isinstance(error, AskTimeoutError):
                    cell._handled += 1
                    if ask is not None:
                        cell._fail_ask(ask, error)
                    return True
        return turns.step_failed(cell, ask, error)


class EventLoop:
    """A thread that runs an asyncio loop for one system; started by the first coroutine."""

    def __init__(self, owner: ActorSystem) -> None:
        self._owner = owner
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started if need be."""
        loop = self._loop
        return loop if loop is not None else self._start()

    def begin(
        self,
        cell: ActorRef[Any],
        coroutine: Coroutine[Any, Any, Any],
        then: Then | None,
        ask: Ask[Any] | None,
        timeout: float | None,
    ) -> None:
        """Run `coroutine` for `cell`, whose turn the caller hands over.

        Args:
            cell: The actor.
            coroutine: What its handler or hook returned.
            then: For a hook: called on the dispatcher with its result; returns whether the turn goes on.
            ask: The ask to answer with the result.
            timeout: Longest run in seconds; None: no limit but the ask's deadline.
        """
        work = Work(self, cell, coroutine, then, ask, _resume)
        cell._work = work
        stop = cell._pending_stop()  # it may have come before there was work to stop
        if stop is not None:
            work.stop(stop)
        self.post(work.begin, timeout)

    @property
    def now(self) -> float:
        """The monotonic instant of the system's clock."""
        return self._owner.clock.monotonic()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function` on the loop's thread; nothing happens once the loop is closed."""
        try:
            self.asyncio_loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self._closed:
                raise

    def submit(self, cell: Any) -> None:
        """Run a turn of `cell` on the loop's thread, whatever its sender works for."""
        try:
            self.asyncio_loop.call_soon_threadsafe(cell._run, cell, context=Context())
        except RuntimeError:
            if not self._closed:
                raise

    def schedule(self, delay: float, function: Callable[[], object]) -> Timer:
        """Call `function` after `delay` seconds of the system's clock."""
        return self._owner.schedule(delay, function)

    def close(self, timeout: float) -> bool:
        """Cancel what still runs and end the thread; return whether that was done within `timeout` seconds."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return True
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout)
        return not thread.is_alive()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                if self._closed:
                    raise RuntimeError(f"the event loop of system {self._owner.name} is closed")
                loop = asyncio.new_event_loop()
                loop.set_default_executor(ThreadPoolExecutor(EXECUTOR_THREADS, f"{self._owner.name}-blocking"))
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name=f"{self._owner.name}-loop", daemon=True
                )
                self._thread.start()
                self._loop = loop
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        enter_loop()
        asyncio.set_event_loop(loop)
        try:
            while True:
                try:
                    loop.run_forever()
                    break
                except (
                    SystemExit,
                    KeyboardInterrupt,
                ):  # asyncio lets it through, past everybody
                    logger.exception("a task on the loop of %s raised what ends a program", self._owner.name)
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            leave_loop()
            asyncio.set_event_loop(None)
            loop.close()


def _resume(work: Work) -> None:
    """Give the turn back to the actor's dispatcher, which draws the conclusion."""
    cell = work.cell
    cell._attention = True
    cell._dispatcher.submit(cell)


class _EscapedError(Exception):
    """Carries what asyncio would take for the end of the program."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


async def _contained(coroutine: Coroutine[Any, Any, Any], path: str) -> Any:
    """Await `coroutine`; `SystemExit` and `KeyboardInterrupt` end its actor, not the loop that all share."""
    path_awaiting.set(path)
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise _EscapedError(error) from error
