"""Messages held for an actor that is being restarted, and delivered in order once it is ready.

A supervisor whose child says `when_down = "hold"` opens a `Holding` at the child's path when it has started, closes it
when it is to be restarted, and ends it when it will not come back. Meanwhile whoever looks the path up finds a
`HeldRef`. At most `capacity` messages wait; what finds no room, and what still waits at the end, is a dead letter, and
an ask is answered with the error. Where the child is a subtree in another process, what is below its path is held too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from actors.addresses import Address
from actors.core import links
from actors.core.context import check_fence, never_waiting, on_loop
from actors.core.future import Ask, Future, answered
from actors.core.mailbox import ActorStatistics
from actors.core.tracing import Carried, bare, carried, tracing
from actors.errors import ActorExitedError, AskTimeoutError, BlockingAskError, MailboxFullError
from actors.exits import ExitReason

if TYPE_CHECKING:
    from actors.core.system import ActorSystem

FULL = "too many held"
"""Why a dead letter is one that found no room among the held messages."""


class Holding:
    """The messages held at one path. Any thread may put one in; the supervisor of the path does the rest.

    Attributes:
        is_open: Whether the actor is there, so that nothing is held.
    """

    def __init__(self, system: ActorSystem, path: str, capacity: int) -> None:
        """Begin open and empty; at most `capacity` messages are held at a time."""
        self._system = system
        self._path = path
        self._capacity = capacity
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Any]] = deque()
        self._why: str | None = None
        self.is_open = True

    def __len__(self) -> int:
        return len(self._waiting)

    def at(self, path: str) -> HeldRef:
        """Return the ref of `path`, which is the actor's own or below it."""
        return HeldRef(self, self._system, path)

    def put(self, path: str, item: Any) -> None:
        """Hold a message, or an ask with its message, for `path`; deliver it where the actor is there again."""
        item = carried(item)
        with self._lock:
            target = self._system.registry.reach(path) if self.is_open else None
            if target is None and self._why is None and len(self._waiting) < self._capacity:
                self._waiting.append((path, item))
                return
        if target is not None:
            self._deliver(target, path, item)
        else:
            self._refuse(path, item, self._why or FULL)

    def close(self) -> None:
        """Hold what comes from now on: the actor is to be restarted."""
        self.is_open = False

    def open(self) -> None:
        """Deliver what is held, in order, and hold no more: the actor is ready."""
        while True:
            with self._lock:
                if not self._waiting:
                    self.is_open = True
                    return
                path, item = self._waiting[0]
            target = self._system.registry.reach(path)
            if target is None:
                self._refuse(path, item, self._system.registry.why_absent(path))
            else:
                self._deliver(target, path, item)
            with self._lock:
                self._waiting.popleft()

    def end(self, why: str) -> None:
        """Refuse what is held and what comes from now on: the actor will not come back."""
        with self._lock:
            self._why = why
            waiting, self._waiting = list(self._waiting), deque()
        for path, item in waiting:
            self._refuse(path, item, why)

    def _deliver(self, target: Any, path: str, item: Any) -> None:
        """Put a message into the mailbox of `target`; a full one refuses, since this thread must not wait."""
        if type(item) is Carried:
            with tracing(item.trace):
                self._deliver(target, path, item.item)
            return
        try:
            with never_waiting():
                if isinstance(item, Ask):
                    self._pass_on(target, path, item)
                else:
                    target.tell(item)
        except MailboxFullError:
            self._system.dead_letters.put(path, item, "mailbox full")

    def _pass_on(self, target: Any, path: str, ask: Ask[Any]) -> None:
        left = None
        if ask.timeout is not None:
            left = ask.timeout - (monotonic() - ask.asked_at)
        if ask.done or (left is not None and left <= 0):
            self._system.dead_letters.put(path, ask.message, "deadline passed")
            ask.fail(AskTimeoutError(path, ask.timeout or 0.0))
            return
        try:
            answer: Future[Any] = target.ask(ask.message, block=False, timeout=left)
        except Exception as error:
            ask.fail(error)
            return
        answer.add_done_callback(lambda: _settle(ask, answer))

    def _refuse(self, path: str, item: Any, why: str) -> None:
        item = bare(item)
        if not isinstance(item, Ask):
            self._system.dead_letters.put(path, item, why)
        elif why == FULL:
            item.fail(MailboxFullError(path, self._capacity))
        else:
            item.fail(ActorExitedError(str(Address(self._system.name, path)), f"is {why}"))


class HeldRef:
    """The ref of an actor that is being restarted: what is sent to it waits for the next instance."""

    generation = 0

    def __init__(self, holding: Holding, system: ActorSystem, path: str) -> None:
        self._holding = holding
        self.path = path
        self.address = Address(system.name, path)

    @property
    def identity(self) -> str:
        """The address as text."""
        return str(self.address)

    def tell(self, message: Any) -> None:
        """Hold `message`."""
        check_fence()
        self._holding.put(self.path, message)

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Hold `message` and wait for its answer, as `ActorRef.ask` does."""
        check_fence()
        if block and on_loop():
            raise BlockingAskError(self.identity)
        ask: Ask[Any] = Ask(message, timeout)
        self._holding.put(self.path, ask)
        if not block:
            return ask
        if timeout is not None and not ask.wait(timeout):
            ask.fail(AskTimeoutError(self.identity, timeout))
        return ask.get()

    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Hold `message` and await its answer, as `ActorRef.ask_async` does."""
        check_fence()
        ask: Ask[Any] = Ask(message, timeout)
        self._holding.put(self.path, ask)
        if timeout is not None and not await answered(ask, timeout):
            ask.fail(AskTimeoutError(self.identity, timeout))
        return await ask

    def tell_system(self, message: Any) -> None:
        """Hold `message`."""
        self.tell(message)

    def is_alive(self) -> bool:
        """False: there is no instance."""
        return False

    def watch(self, callback: Callable[[ExitReason], object]) -> links.Watch:
        """Call `callback(NOPROC)` at once: there is no instance to watch."""
        callback(links.NOPROC)
        return links.Watch(callback)

    def exit(self, reason: ExitReason, source: str) -> None:
        """Nothing: there is no instance to end."""

    def statistics(self) -> ActorStatistics:
        """Return figures of nobody; `depth` is how many messages are held."""
        return ActorStatistics(len(self._holding), 0, 0, 0, None, None, None, 0, 0, 0, False)


def _settle(ask: Ask[Any], answer: Future[Any]) -> None:
    try:
        value = answer.get(timeout=0)
    except Exception as error:
        ask.fail(error)
    else:
        ask.settle(value, None)
