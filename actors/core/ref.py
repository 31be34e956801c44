"""Refs: the handles messages are sent to.

`ActorRef` is the ref of one instance and dies with it. `PathRef` names a path and finds whoever is there at each send,
so it survives restarts. Both meet `Ref`, as the ref of an actor in another process does.
"""

from __future__ import annotations

import threading
import uuid
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, TypeVar, overload

import pykka

from actors.addresses import Address
from actors.core import context, links
from actors.core.cell import ENDING, RUNNING, Cell
from actors.core.context import check_fence, nested, on_loop, turn_codes, turns_here
from actors.core.flight import keep
from actors.core.future import Ask, Future, answered
from actors.core.handlers import DEFERRED, HandlerTable
from actors.core.inbox import Inbox
from actors.core.life import ended_by, outlives
from actors.core.mailbox import ActorStatistics
from actors.core.signals import Resume, Stop, Suspend
from actors.core.tracing import carried, traced
from actors.core.turns import reply
from actors.errors import AskTimeoutError, BlockingAskError
from actors.exits import NORMAL, ExitReason
from actors.messages import Message

if TYPE_CHECKING:
    from actors.core.actor import Actor

A = TypeVar("A", bound="Actor")
R = TypeVar("R")

INLINE_LIMIT = 32
"""Asks that run their target on the asker's thread at one time, all threads together: it bounds the stack."""

_BUSY: Final = object()
"""Says that another thread was faster."""


class Ref(Protocol):
    """What every ref can do, wherever its actor runs."""

    @property
    def path(self) -> str:
        """The actor's path; "" where it has none."""
        ...

    @property
    def identity(self) -> str:
        """The address as text; for an actor without a path a text that names it all the same."""
        ...

    def tell(self, message: Any) -> None:
        """Send a message; nothing comes back."""
        ...

    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Send a message and await its answer."""
        ...

    def is_alive(self) -> bool:
        """Whether the actor takes messages, as far as is known here."""
        ...

    def watch(self, callback: Callable[[ExitReason], object]) -> links.Watch:
        """Call `callback(reason)` once the actor has ended; it must only post."""
        ...

    def exit(self, reason: ExitReason, source: str) -> None:
        """Send an exit signal: a linked actor, named `source`, ended with `reason`."""
        ...


class ActorRef(Cell, pykka.ActorRef[A], Generic[A]):
    """The ref of one actor instance; any thread may use it.

    Attributes:
        path: The actor's path; "" for one started by its class's `start`.
    """

    __slots__ = ()

    # -- who it is --------------------------------------------------------------------------------

    @property
    def actor_class(self) -> type[A]:  # type: ignore[override] # pykka keeps it as an attribute
        """The actor's class."""
        return self._table.owner

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A universally unique name, made when first asked for."""
        urn = self._urn
        if urn is None:
            with _naming:
                urn = self._urn
                if urn is None:
                    urn = self._urn = uuid.uuid4().urn
        return urn

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """Pykka's event; set once the actor takes no messages any more."""
        event = self._stopped
        if event is None:
            with _naming:
                event = self._stopped
                if event is None:
                    event = self._stopped = threading.Event()
            if self._phase >= ENDING:
                event.set()
        return event

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """A pykka inbox in front of the mailbox."""
        return Inbox(self)

    @property
    def generation(self) -> int:
        """Which instance at its path, counted from 1; 0 for an actor without a path."""
        return self._launch.incarnation.generation if self._launch is not None else 0

    @property
    def address(self) -> Address | None:
        """Node, path and generation; None for an actor without a path."""
        if self._owner is None or not self.path:
            return None
        return Address(self._owner.name, self.path, self.generation)

    @property
    def identity(self) -> str:
        """The address as text, or what `str` gives."""
        address = self.address
        return str(address) if address is not None else str(self)

    def __str__(self) -> str:
        table: HandlerTable | None = self._table
        name = table.owner.__name__ if table is not None else "Actor"
        return f"{name} ({self.path or self.actor_urn})"

    def __repr__(self) -> str:
        return f"<ActorRef for {self}>"

    def _actor_weakref(self) -> A | None:  # type: ignore[override] # what pykka's proxies call to reach the actor
        actor: A | None = self._actor
        return actor

    # -- sending ----------------------------------------------------------------------------------

    def tell(self, message: Any) -> None:
        """Send `message`; nothing comes back.

        A supervised actor that has ended does not raise: the message becomes a dead letter.

        Raises:
            MailboxFullError: The mailbox is full and refuses.
            ActorExitedError: The actor, started by its class's `start`, has ended (a `pykka.ActorDeadError`).
            AbandonedError: The sender itself was abandoned.
        """
        if context.fenced:
            check_fence()
        queue = self._queue
        if queue is None or len(queue) >= self._limit:
            queue = self._admit(message)
            if queue is None:
                return
        queue.append(carried(message) if traced else message)
        if self._idle:
            self._wake()

    @overload  # type: ignore[override] # narrower than pykka's: the message knows its reply
    def ask(self, message: Message[R], *, block: Literal[True] = True, timeout: float | None = None) -> R: ...
    @overload
    def ask(self, message: Message[R], *, block: Literal[False], timeout: float | None = None) -> Future[R]: ...
    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...
    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
    def ask(  # pyright: ignore[reportIncompatibleMethodOverride] # the order: a typed message comes first
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send `message` and wait for its answer.

        An idle pool actor with plain handlers, asked without a timeout, is run by the asking thread.

        Args:
            message: What is asked.
            block: False returns the future of the answer at once.
            timeout: Seconds until the answer is not wanted any more: a blocking ask then raises, and in either case an
                `async` handler is cancelled and a supervised actor that has not come to the message yet passes it over.

        Raises:
            AskTimeoutError: No answer in time (a `pykka.Timeout`); the message may still be processed.
            ActorExitedError: The actor ended before it answered (a `pykka.ActorDeadError`).
            BlockingAskError: On an event loop (write `await ref.ask_async(...)`), or by the actor that is asked itself.
            MailboxFullError: The mailbox is full and refuses.
            Exception: What the handler raised.
        """
        if (
            self._idle
            and self._inline
            and timeout is None
            and block
            and len(nested) < INLINE_LIMIT
            and not (context.special and get_ident() in context.special)
        ):
            result = self._run_here(message)
            if result is not _BUSY:
                return result
        if context.special:
            check_fence()
            if block and on_loop():
                raise BlockingAskError(str(self))
        if block and (self._handling is not None or self._phase < RUNNING) and self in turns_here():
            raise BlockingAskError(self.path or str(self), is_own=True)
        ask: Ask[Any] = Ask(message, timeout)
        self._put(ask)
        if not block:
            return ask
        if timeout is not None and not ask.wait(timeout):
            self._fail_ask(ask, AskTimeoutError(self.path or str(self), timeout))
        return ask.get()

    @overload
    async def ask_async(self, message: Message[R], *, timeout: float | None = None) -> R: ...
    @overload
    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any: ...
    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Send `message` and await its answer on an asyncio loop, which goes on with other work.

        Raises:
            AskTimeoutError: No answer in time; the message may still be processed.
            ActorExitedError: The actor ended before it answered.
            MailboxFullError: The mailbox is full and refuses (an event loop of the kernel never waits for room).
            Exception: What the handler raised.
        """
        if context.fenced:
            check_fence()
        ask: Ask[Any] = Ask(message, timeout)
        self._put(ask)
        if timeout is not None and not await answered(ask, timeout):
            self._fail_ask(ask, AskTimeoutError(self.path or str(self), timeout))
        return await ask

    def tell_system(self, message: Any) -> None:
        """Send `message` through the system lane: unbounded, ahead of the user lane, also while suspended."""
        if context.fenced:
            check_fence()
        self._post(message)

    def tell_system_here(self, message: Any) -> None:
        """As `tell_system`, and where the actor is idle this thread runs it: a hand-over to another thread is saved.

        For the runtime's own actors, whose handlers never block, told by a thread that is about to end or rest.
        """
        if context.fenced:
            check_fence()
        self._post_here(message)

    def watch(self, callback: Callable[[ExitReason], object]) -> links.Watch:
        """Call `callback(reason)` once, when the actor has ended, or now if it has; it must only post."""
        return links.watch(self, callback)

    def _put(self, ask: Ask[Any]) -> None:
        queue = self._queue
        if queue is None or len(queue) >= self._limit:
            queue = self._admit(ask)
            if queue is None:
                return
        queue.append(carried(ask) if traced else ask)
        if self._idle:
            self._wake()

    def _run_here(self, message: Any) -> Any:
        """Take the turn, handle `message` on this thread and return the answer; `_BUSY` where others were faster."""
        handler = self._table[type(message)]
        try:
            del self._turn
        except AttributeError:
            return _BUSY
        if not self._idle or not self._inline or self._queue or self._attention:
            self._turn = None
            if self._queue or self._attention:
                self._wake()
            return _BUSY
        self._idle = False
        self._handling = message
        self._turn_at = self._dispatcher.now
        is_entered = False
        try:
            keep(self, message)
            nested.append(None)
            is_entered = True
            try:
                result = handler(self._actor, message)
            finally:
                del nested[-1]  # a call could fail at the end of the stack
        except BaseException as error:
            self._handled += 1
            # An asker at the end of its stack can call nothing here, not even `isinstance` or `suppress`.
            lives_on, gets = self._launch is None, error
            trace = error.__traceback__
            if not is_entered or (error.__class__ is RecursionError and trace is not None and trace.tb_next is None):
                lives_on = True  # the handler never ran
            else:
                try:  # noqa: SIM105
                    lives_on, gets = self._verdict(error)
                except RecursionError:
                    pass
            if not lives_on:
                self._raised = error, trace  # the dispatcher deals with it: hooks never run on an asker's thread
                self._attention = True
            self._handling = None
            self._idle = True
            self._turn = None
            if self._queue or self._attention:
                try:  # noqa: SIM105
                    self._wake()
                except RecursionError:
                    pass  # whoever sends next wakes it
            raise gets from None
        self._handled += 1
        self._handling = None
        if result is DEFERRED:
            ask: Ask[Any] = Ask(message)
            reply(self, ask, result)
            self._dispatcher.submit(self)
            return ask.get()
        self._idle = True
        self._turn = None
        if self._queue or self._attention:
            self._wake()
        return result

    def _verdict(self, error: BaseException) -> tuple[bool, BaseException]:
        """Return whether the actor outlives `error`, which left a handler run by an asker, and what the asker gets."""
        if isinstance(error, KeyboardInterrupt):
            return self._launch is None, error  # Ctrl-C reaches the main thread, which was the asker
        lives_on = outlives(self, error)
        return lives_on, error if lives_on or isinstance(error, Exception) else ended_by(self, error)

    # -- control ----------------------------------------------------------------------------------

    def exit(self, reason: ExitReason, source: str) -> None:
        """Pass on the end of a linked actor named `source`: it ends this one too, unless it traps exits.

        `normal` ends nobody; an actor that traps exits gets every reason as an `ExitSignal`.
        """
        if self._actor is not None and self._actor.trap_exits:
            self._deliver(links.ExitSignal(source, reason))
        elif reason != NORMAL:
            self._post(Stop(reason))

    def suspend(self) -> None:
        """Hold back the user lane after the message in hand; the system lane still works."""
        self._post(Suspend())

    def resume(self) -> None:
        """Let the user lane go on."""
        self._post(Resume())

    @property
    def is_abandoned(self) -> bool:
        """Whether its supervisor gave it up while something was inside of it."""
        return self._launch is not None and self._launch.is_abandoned

    def is_alive(self) -> bool:
        """Whether the actor takes messages; it may end at any moment."""
        return self._phase < ENDING

    def statistics(self) -> ActorStatistics:
        """Return the actor's figures at this moment; stops nobody."""
        item = self._handling
        handling = None if item is None else type(getattr(item, "message", item)).__name__
        pressure = self._pressure
        return ActorStatistics(
            depth=len(self._queue or ()),
            system_depth=len(self._lane or ()),
            handled=self._handled,
            failed=self._failed,
            handling=handling,
            handling_since=self._turn_at if handling is not None else None,
            last_handled=self._turn_at or None,
            dropped=pressure.dropped if pressure is not None else 0,
            rejected=pressure.rejected if pressure is not None else 0,
            blocked=pressure.blocked if pressure is not None else 0,
            is_suspended=self._suspended,
        )


_naming = threading.Lock()
turn_codes[id(ActorRef._run_here.__code__)] = "self"
