"""The ref of a path: it finds whoever is there at each send, and so survives restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from actors.addresses import Address, check_path
from actors.core import links
from actors.core.context import check_fence
from actors.core.future import Ask, Future
from actors.core.mailbox import ActorStatistics
from actors.core.ref import ActorRef
from actors.errors import ActorExitedError
from actors.exits import ExitReason
from actors.messages import Message

if TYPE_CHECKING:
    from actors.core.system import ActorSystem

R = TypeVar("R")


class PathRef:
    """A stable ref: the same before, during and after every restart of the actor at its path.

    Where nobody is there, a tell becomes a dead letter that says why ("not running", "restarting"), and an ask fails at
    once. Two refs of one path are equal.
    """

    __slots__ = ("_system", "path")

    def __init__(self, system: ActorSystem, path: str) -> None:
        """Make a ref of `path`, which nobody needs to be at yet.

        Raises:
            AddressError: `path` is no actor path.
        """
        self._system = system
        self.path = check_path(path)

    def __repr__(self) -> str:
        return f"<PathRef {self.identity}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathRef) and other.path == self.path and other._system is self._system

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def target(self) -> ActorRef[Any] | None:
        """The ref of the instance that is there now, or None."""
        return self._system.registry.get(self.path)

    @property
    def address(self) -> Address:
        """Node and path; generation 0, as it means whoever is there."""
        return Address(self._system.name, self.path)

    @property
    def identity(self) -> str:
        """The address as text."""
        return str(self.address)

    @property
    def generation(self) -> int:
        """Which instance is there now; 0 where nobody is."""
        target = self.target
        return target.generation if target is not None else 0

    def tell(self, message: Any) -> None:
        """Send `message` to whoever is there, or make it a dead letter.

        Raises:
            MailboxFullError: The mailbox is full and refuses.
        """
        target = self.target
        if target is not None:
            target.tell(message)
        else:
            check_fence()
            self._system.dead_letters.put(self.path, message, self._system.registry.why_absent(self.path))

    @overload
    def ask(self, message: Message[R], *, block: Literal[True] = True, timeout: float | None = None) -> R: ...
    @overload
    def ask(self, message: Message[R], *, block: Literal[False], timeout: float | None = None) -> Future[R]: ...
    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...
    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask whoever is there; see `ActorRef.ask`.

        Raises:
            ActorExitedError: Nobody is there, or the actor ended before it answered.
        """
        target = self.target
        if target is not None:
            return target.ask(message, block=block, timeout=timeout)
        error = self._nobody()
        if block:
            raise error
        ask: Ask[Any] = Ask(message)
        ask.fail(error)
        return ask

    @overload
    async def ask_async(self, message: Message[R], *, timeout: float | None = None) -> R: ...
    @overload
    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any: ...
    async def ask_async(self, message: Any, *, timeout: float | None = None) -> Any:
        """Ask whoever is there and await the answer; see `ActorRef.ask_async`.

        Raises:
            ActorExitedError: Nobody is there, or the actor ended before it answered.
        """
        target = self.target
        if target is None:
            raise self._nobody()
        return await target.ask_async(message, timeout=timeout)

    def tell_system(self, message: Any) -> None:
        """Send `message` through the system lane of whoever is there, or make it a dead letter."""
        target = self.target
        if target is not None:
            target.tell_system(message)
        else:
            check_fence()
            self._system.dead_letters.put(self.path, message, self._system.registry.why_absent(self.path))

    def is_alive(self) -> bool:
        """Whether somebody is there and takes messages."""
        target = self.target
        return target is not None and target.is_alive()

    def watch(self, callback: Callable[[ExitReason], object]) -> links.Watch:
        """Watch the instance that is there now; nobody there calls `callback(NOPROC)` at once."""
        target = self.target
        if target is not None:
            return target.watch(callback)
        callback(links.NOPROC)
        return links.Watch(callback)

    @property
    def bind(self) -> Callable[[str], links.Watch] | None:
        """How an actor of this process, by its path, is linked to the one there, where that runs in another process."""
        return getattr(self.target, "bind", None)

    def exit(self, reason: ExitReason, source: str) -> None:
        """Send an exit signal to the instance that is there now."""
        target = self.target
        if target is not None:
            target.exit(reason, source)

    def statistics(self) -> ActorStatistics | None:
        """Return the figures of the instance that is there now, or None."""
        target = self.target
        return target.statistics() if target is not None else None

    def _nobody(self) -> ActorExitedError:
        return ActorExitedError(self.identity, f"is {self._system.registry.why_absent(self.path)}")
