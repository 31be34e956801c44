"""The ref of an actor in another process: the same calls as a local one, over a gateway.

What differs is what distance makes different. A message must be plain data or a `Message`; it arrives as a copy. `tell`
returns once the message waits for the wire, in the order it was sent; whether it arrived is not known. An ask that was
on its way when the process ended is answered with `ActorExitedError` at once, although the work may have been done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, overload

from actors.addresses import Address
from actors.core import context
from actors.core.context import check_fence, on_loop
from actors.core.future import Future, answered
from actors.core.links import Watch
from actors.core.mailbox import ActorStatistics
from actors.errors import BlockingAskError
from actors.exits import ExitReason
from actors.messages import Message
from transport.calls import Origin, RemoteAsk
from transport.envelope import Envelope

R = TypeVar("R")


class AskStatistics(Message[ActorStatistics], frozen=True):
    """Asks the gateway, not the actor, for the actor's figures: answered however long the mailbox is."""


class Way(Protocol):
    """What a ref needs of the gateway to its actor."""

    def tell(self, path: str, message: Any) -> None:
        """Send `message` to the actor at `path` of the peer."""
        ...

    def ask(self, path: str, message: Any, timeout: float | None, *, waits: bool = False) -> RemoteAsk:
        """Send `message` and return the future of its answer; `waits`: the calling thread is about to wait for it."""
        ...

    def wait(self, ask: RemoteAsk, timeout: float | None) -> bool:
        """Block this thread until `ask` is answered; False where `timeout` seconds were not enough."""
        ...

    def forward(self, what: Envelope, origin: Origin) -> None:
        """Pass a message of a third process on, as it is; the answer goes to `origin`."""
        ...

    def give_up(self, ask: RemoteAsk) -> None:
        """Fail `ask`, whose time is over, and tell the peer that nobody waits for its answer."""
        ...

    def watch(self, path: str, callback: Callable[[ExitReason], object]) -> Watch:
        """Call `callback(reason)` once the actor at `path`, or the peer, has ended."""
        ...

    def bind(self, path: str, source: str) -> Watch:
        """Have the actor at `path` get an exit signal when the one at `source` of this process ends."""
        ...

    def exit(self, path: str, reason: ExitReason, source: str) -> None:
        """Send an exit signal to the actor at `path`."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the peer is there, as far as is known."""
        ...


class RemoteRef:
    """The ref of an actor in another process; any thread may use it.

    Attributes:
        path: The actor's path.
        address: Its address; its generation is 0 where the ref means whichever instance is there.
    """

    def __init__(self, way: Way, address: Address) -> None:
        """Made by the runtime: a process child's ref, or `system.ref(path)` inside one."""
        self.way = way
        self.address = address
        self.path = address.path
        self._tell = way.tell

    @property
    def generation(self) -> int:
        """Which instance at its path; 0 for whichever is there."""
        return self.address.generation

    @property
    def identity(self) -> str:
        """The address as text."""
        return str(self.address)

    def __repr__(self) -> str:
        return f"<RemoteRef for {self.address}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteRef) and other.way is self.way and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def tell(self, message: Any) -> None:
        """Send `message`; nothing comes back.

        A message for a process that is gone becomes a dead letter.

        Raises:
            EncodingError: The message cannot cross a process.
            MailboxFullError: Too much waits for the peer, and its mailbox refuses (or this thread must not wait).
            AbandonedError: The sender itself was abandoned.
        """
        if context.fenced:
            check_fence()
        self._tell(self.path, message)

    @overload
    def ask(self, message: Message[R], *, block: Literal[True] = True, timeout: float | None = None) -> R: ...
    @overload
    def ask(self, message: Message[R], *, block: Literal[False], timeout: float | None = None) -> Future[R]: ...
    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...
    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message` and wait for its answer.

        Args:
            message: What is asked.
            block: False returns the future of the answer at once.
            timeout: Seconds until the answer is not wanted any more; the far side learns of it and passes the message
                over if it has not come to it by then.

        Raises:
            AskTimeoutError: No answer in time; the message may still be processed.
            ActorExitedError: The actor or its process ended before it answered.
            BlockingAskError: The ask would block an event loop; write `await ref.ask_async(...)`.
            EncodingError: The message cannot cross a process.
            MailboxFullError: Too much waits for the peer, and its mailbox refuses.
            Exception: What the handler raised, of the same class where that is known here; else `RemoteError`.
        """
        if context.special:
            check_fence()
            if block and on_loop():
                raise BlockingAskError(self.identity)
        ask = self.way.ask(self.path, message, timeout, waits=block)
        if not block:
            return ask
        if not self.way.wait(ask, timeout):
            self.way.give_up(ask)
        return ask.get()

    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Send `message` and await its answer; the thread goes on with other work.

        Raises:
            AskTimeoutError, ActorExitedError, EncodingError, MailboxFullError, Exception: As `ask`.
        """
        if context.special:
            check_fence()
        ask = self.way.ask(self.path, message, timeout)
        try:
            if timeout is not None and not await answered(ask, timeout):
                self.way.give_up(ask)
            return await ask
        finally:
            if not ask.done:  # the coroutine was cancelled
                self.way.give_up(ask)

    def is_alive(self) -> bool:
        """Whether the peer's process is there, as far as is known here."""
        return self.way.is_open

    def statistics(self) -> ActorStatistics:
        """Return the actor's figures, asked of its process; blocks for one round trip, 5 s at most.

        Raises:
            AskTimeoutError: The process did not answer.
            ActorExitedError: The actor, or its process, is gone.
        """
        return self.ask(AskStatistics(), timeout=5.0)

    def watch(self, callback: Callable[[ExitReason], object]) -> Watch:
        """Call `callback(reason)` once, when the actor or its process has ended; it must only post."""
        return self.way.watch(self.path, callback)

    def bind(self, source: str) -> Watch:
        """Have the actor's side send it an exit signal when the actor at `source` of this process, or that, ends."""
        return self.way.bind(self.path, source)

    def exit(self, reason: ExitReason, source: str) -> None:
        """Pass on the end of a linked actor named `source`."""
        self.way.exit(self.path, reason, source)
