"""The event bus: what happened is published once, numbered, and handed to every subscriber that asked for its kind.

Subscribers run on the publishing thread, so they only append to bounded buffers of their own. Numbers rise by one with
each event and subscribers see them in that order: publishing is one critical section.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from actors.events import Event

logger = logging.getLogger(__name__)

Subscriber = Callable[[int, Event], object]


class Subscription:
    """One subscriber's place on the bus.

    Attributes:
        errors: How often the subscriber raised.
    """

    __slots__ = ("_bus", "_kinds", "callback", "errors")

    def __init__(self, bus: EventBus, callback: Subscriber, kinds: tuple[type[Event], ...] | None) -> None:
        self._bus = bus
        self._kinds = kinds
        self.callback = callback
        self.errors = 0

    def wants(self, kind: type[Event]) -> bool:
        """Whether events of class `kind` are for this subscriber."""
        return self._kinds is None or issubclass(kind, self._kinds)

    def cancel(self) -> None:
        """Get no further events; once this returns on another thread than the publisher's, none is on its way."""
        self._bus.remove(self)


class Routes(dict[type[Event], tuple[Subscription, ...]]):
    """Who gets the events of each class; worked out when the first of a class comes.

    Attributes:
        subscriptions: Everybody on the bus, in the order of subscribing.
    """

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        super().__init__()
        self.subscriptions = subscriptions

    def __missing__(self, kind: type[Event]) -> tuple[Subscription, ...]:
        route = self[kind] = tuple(s for s in self.subscriptions if s.wants(kind))
        return route


class EventBus:
    """Publishes events inside one process. Every method may be called on any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pending: deque[tuple[int, Event]] = deque()  # a subscriber may publish: its event goes out after this one
        self._handing_out = False
        self._head = 0
        self._routes = Routes(())

    @property
    def head(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._head

    @property
    def lock(self) -> threading.RLock:
        """Held while an event is handed out: who holds it sees no subscriber at work. For moments only."""
        return self._lock

    def publish(self, event: Event) -> int:
        """Hand `event` to its subscribers and return its number.

        A subscriber that raises is counted, logged and passed over.
        """
        with self._lock:
            self._head = mine = self._head + 1
            if self._handing_out:
                self._pending.append((mine, event))
                return mine
            self._handing_out = True
            try:
                for subscription in self._routes[type(event)]:
                    try:
                        subscription.callback(mine, event)
                    except Exception:
                        _failed(subscription, event)
                if self._pending:
                    self._hand_out_pending()
                return mine
            finally:
                self._handing_out = False

    def _hand_out_pending(self) -> None:
        """Hand out what subscribers published while they were called; under the lock."""
        pending = self._pending
        while pending:
            number, event = pending.popleft()
            for subscription in self._routes[type(event)]:
                try:
                    subscription.callback(number, event)
                except Exception:
                    _failed(subscription, event)

    def subscribe(self, callback: Subscriber, kinds: tuple[type[Event], ...] | None = None) -> Subscription:
        """Call `callback(number, event)` for each event to come.

        Args:
            callback: Runs on the publishing thread; it must not block.
            kinds: Event classes wanted, subclasses included; None for all.
        """
        subscription = Subscription(self, callback, kinds)
        with self._lock:
            self._routes = Routes((*self._routes.subscriptions, subscription))
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Take `subscription` off the bus; nothing happens where it is not on it."""
        with self._lock:
            self._routes = Routes(tuple(s for s in self._routes.subscriptions if s is not subscription))


def _failed(subscription: Subscription, event: Event) -> None:
    """Count and log the error that a subscriber raised; called while it is handled."""
    subscription.errors += 1
    logger.exception("an event subscriber failed", extra={"event_type": type(event).__name__})
