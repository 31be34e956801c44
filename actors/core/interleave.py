"""Re-entrant actors: their handlers interleave at each await, all on the event loop's thread.

The actor starts where it was placed and then moves to the loop for good. There each message begins as soon as it
arrives, up to `IN_FLIGHT_LIMIT` at a time; more wait in the mailbox. As everything runs on one thread, two handlers are
never inside the actor's code at the same instant, but state may change across an `await`. When the actor ends, for
whatever reason, its coroutines are cancelled first; the last hook runs after all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from actors.core import life, turns
from actors.core.context import turn_codes
from actors.core.flight import THROUGHPUT, keep
from actors.core.future import Ask
from actors.core.loop import EventLoop, Work
from actors.errors import ActorExitedError
from actors.exits import NORMAL, ExitReason

if TYPE_CHECKING:
    from actors.core.ref import ActorRef

IN_FLIGHT_LIMIT: Final = 1000
"""Handlers of one actor that await at a time."""


class LoopDispatcher:
    """Runs turns on the event loop's thread."""

    __slots__ = ("_loop",)

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    @property
    def now(self) -> float:
        """The monotonic instant."""
        return self._loop.now

    def submit(self, cell: Any) -> None:
        """Run a turn of `cell`, whose turn the caller holds."""
        self._loop.submit(cell)

    def let_go(self, cell: Any) -> None:
        """Nothing to do: the loop is everybody's."""

    def fence(self, cell: Any) -> None:
        """Nothing to do: coroutines are cancelled, and the loop's thread is everybody's."""


class Interleaved:
    """The coroutines of one re-entrant actor; used on the loop's thread, but for `stop` and `abandon`."""

    __slots__ = ("_ending", "_loop", "_over", "_running", "begun")

    def __init__(self, loop: EventLoop) -> None:
        self._ending: tuple[ExitReason, BaseException | None] | None = None
        self._loop = loop
        self._over: deque[Work] = deque()
        self._running: set[Work] = set()
        self.begun = 0
        """Coroutines begun so far."""

    @property
    def is_full(self) -> bool:
        """Whether no further handler may begin now."""
        return len(self._running) >= IN_FLIGHT_LIMIT

    def stop(self, reason: ExitReason) -> None:
        """Cancel every coroutine because the actor is to end with `reason`. Any thread."""
        self._loop.post(self._cancel_all, reason)

    def abandon(self) -> None:
        """Cancel every coroutine and answer what it was asked. Any thread."""
        self._loop.post(self._abandon_all)

    def add(
        self, cell: ActorRef[Any], coroutine: Coroutine[Any, Any, Any], ask: Ask[Any] | None, timeout: float | None
    ) -> None:
        """Begin a handler's coroutine beside the others."""
        work = Work(self._loop, cell, coroutine, None, ask, self._finished)
        self._running.add(work)
        self.begun += 1
        work.begin(timeout)

    def soon(self, cell: ActorRef[Any]) -> None:
        """Run the next turn of `cell` after what the loop has to do already."""
        self._loop.asyncio_loop.call_soon(cell._run, cell, context=Context())

    def conclude(self, cell: ActorRef[Any]) -> bool:
        """Draw the conclusions from the coroutines that have ended; return whether the turn goes on."""
        while self._over:
            if not self._over.popleft().conclude(cell):
                return False
        if self._ending is not None:
            life.end(cell, *self._ending)
            return False
        return True

    def quiet(self, cell: ActorRef[Any], reason: ExitReason, error: BaseException | None) -> bool:
        """Whether no coroutine runs, so that the actor may end now; else cancel them, and end it after the last."""
        if self._ending is None:
            self._ending = (reason, error)
        if not self._running:
            while self._over:
                self._over.popleft().give_up(cell)
            return True
        for work in tuple(self._running):
            work.cancel(reason)
        cell._rest()
        return False

    def _cancel_all(self, reason: ExitReason) -> None:
        for work in tuple(self._running):
            work.cancel(reason)

    def _abandon_all(self) -> None:
        for work in tuple(self._running):
            if work.ask is not None:
                why = "was abandoned while handling the message"
                work.cell._fail_ask(work.ask, ActorExitedError(str(work.cell), why))
            work.cancel(NORMAL)

    def _finished(self, work: Work) -> None:
        cell = work.cell
        self._running.discard(work)
        self._over.append(work)
        cell._attention = True
        cell._wake()


def run_interleaved(cell: ActorRef[Any]) -> None:
    """Run one turn of a re-entrant actor; the caller holds the turn."""
    if cell._attention and not turns.attend(cell):
        return
    work = cell._work
    if not isinstance(work, Interleaved):  # it has just started
        loop = cell._actor.system.loop
        cell._work = Interleaved(loop)
        cell._dispatcher = LoopDispatcher(loop)
        cell._dispatcher.submit(cell)
        return
    queue = cell._queue
    left = THROUGHPUT
    cell._turn_at = cell._dispatcher.now
    while queue and left and not cell._attention and not work.is_full:
        left -= 1
        begun = work.begun
        item = queue.popleft()
        keep(cell, item)
        if not turns.step(cell, item):
            return
        if work.begun != begun:  # its first step comes before the next message
            work.soon(cell)
            return
    cell._handling = None
    if cell._pressure is not None:
        cell._make_room()
    if cell._attention or (cell._queue and not work.is_full):
        cell._dispatcher.submit(cell)
    elif work.is_full:
        cell._rest()
    else:
        cell._give_back()


turn_codes[id(run_interleaved.__code__)] = "cell"
