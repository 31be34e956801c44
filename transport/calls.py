"""What this process waits for from one peer: answers to asks, ends of watched actors.

Every ask that is out is answered: by the peer, by its own time-out, or, when the peer is gone, at once with
`ActorExitedError`. Every watch is called once: when its actor ends, or with the peer's own end.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any, Protocol

from actors.core.future import Ask
from actors.core.links import Watch
from actors.errors import ActorExitedError
from actors.exits import ExitReason


class Origin(Protocol):
    """Where a relayed ask came from."""

    def answer_relayed(self, number: int, kind: int, payload: bytes) -> None:
        """Pass an answer on to whoever asked."""
        ...

    def fail(self, number: int, error: BaseException) -> None:
        """Answer an ask with an error."""
        ...

    def passed_on(self, number: int, give_up: Callable[[], object]) -> None:
        """Keep `give_up` for when nobody waits for the answer to an ask any more."""
        ...


class RemoteAsk(Ask[Any]):
    """An ask that is out: an ask, whom it is for, and its number on the wire."""

    __slots__ = ("number", "path")

    def __init__(self, message: Any, timeout: float | None, number: int, path: str) -> None:
        super().__init__(message, timeout)
        self.number = number
        self.path = path

    def is_open(self) -> bool:
        """Whether it is not answered."""
        return not self._done


class Relay:
    """An ask of a third process that was passed on to this peer: where the answer goes, and whom it is for."""

    __slots__ = ("number", "origin", "path")

    def __init__(self, origin: Origin, number: int, path: str) -> None:
        self.origin = origin
        self.number = number
        self.path = path


class RemoteWatch(Watch):
    """A watch on an actor of the peer."""

    __slots__ = ("_calls", "number")

    def __init__(self, calls: Calls, number: int, callback: Callable[[ExitReason], object]) -> None:
        super().__init__(callback)
        self._calls = calls
        self.number = number

    def cancel(self) -> None:
        """Make no call; one that is being made on another thread goes through."""
        self._calls.forget_watch(self.number)


class Bond(Watch):
    """One half of a link, kept by the other side."""

    __slots__ = ("_unlink",)

    def __init__(self, unlink: Callable[[], object]) -> None:
        super().__init__(lambda _reason: None)
        self._unlink = unlink

    def cancel(self) -> None:
        """Share no fate any more."""
        self._unlink()


class Calls:
    """The asks and watches that are out. Every method may be called on any thread and never blocks."""

    def __init__(self, on_forgotten: Callable[[int], None]) -> None:
        """Begin with none; `on_forgotten(number)` is called when a watch is cancelled."""
        self._on_forgotten = on_forgotten
        self._numbers = itertools.count(1)
        self._asks: dict[int, RemoteAsk | Relay] = {}
        self._watches: dict[int, RemoteWatch] = {}
        self._lock = threading.Lock()  # nothing is added once the end has looked
        self.lost: str | None = None
        """What became of the peer, once it is gone."""
        self._ended: ExitReason | None = None

    @property
    def asking(self) -> int:
        """Asks that are not answered."""
        return len(self._asks)

    def begin(self, path: str, message: Any, timeout: float | None) -> RemoteAsk:
        """Return a new ask that will be answered; where the peer is gone, sending it will fail."""
        number = next(self._numbers)
        ask = RemoteAsk(message, timeout, number, path)
        with self._lock:
            if self.lost is None:
                self._asks[number] = ask
        return ask

    def begin_relay(self, path: str, origin: Origin, asked_as: int) -> int:
        """Return the number of an ask passed on for `origin`, which knows it as `asked_as`.

        Raises:
            ActorExitedError: The peer is gone.
        """
        number = next(self._numbers)
        with self._lock:
            if self.lost is not None:
                raise ActorExitedError(path, f"is not there: {self.lost}")
            self._asks[number] = Relay(origin, asked_as, path)
        return number

    def is_out(self, number: int) -> bool:
        """Whether the ask `number` is not answered, and not given up."""
        return number in self._asks

    def take(self, number: int) -> RemoteAsk | Relay | None:
        """Return the ask that an answer to `number` is for, and wait for it no more; None where nobody does."""
        return self._asks.pop(number, None)

    def watch(self, callback: Callable[[ExitReason], object]) -> RemoteWatch | None:
        """Return a new watch to be asked of the peer; None where it has ended and `callback` was called."""
        number = next(self._numbers)
        watch = RemoteWatch(self, number, callback)
        with self._lock:
            if self._ended is None:
                self._watches[number] = watch
                return watch
        callback(self._ended)
        return None

    def forget_watch(self, number: int) -> None:
        """Make no call for the watch `number` any more."""
        if self._watches.pop(number, None) is not None:
            self._on_forgotten(number)

    def down(self, number: int, reason: ExitReason) -> None:
        """Take note that the actor watched as `number` ended."""
        watch = self._watches.pop(number, None)
        if watch is not None:
            watch.callback(reason)

    def lose(self, why: str, fail: Callable[[RemoteAsk, Exception], object]) -> bool:
        """Answer everything that is out: the peer is gone. False where that was known.

        Args:
            why: What became of it.
            fail: Fails an ask of this side with an error.
        """
        with self._lock:
            if self.lost is not None:
                return False
            self.lost = why
            asks, self._asks = list(self._asks.values()), {}
        for found in asks:
            error = ActorExitedError(found.path, f"did not answer: {why}")
            if isinstance(found, Relay):
                found.origin.fail(found.number, error)
            else:
                fail(found, error)
        return True

    def end(self, reason: ExitReason) -> None:
        """Call every watch that is out with `reason`, and those to come at once."""
        with self._lock:
            if self._ended is not None:
                return
            self._ended = reason
            watches, self._watches = list(self._watches.values()), {}
        for watch in watches:
            watch.callback(reason)
