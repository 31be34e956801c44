"""Threads that wait for room in full mailboxes, so that the thread that owns a socket need not.

A mailbox that is full gets a thread that waits for it, as long as messages for it wait: so it holds up nobody but who
sent to that very actor. Where many are full at once, actors share threads.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import deque
from collections.abc import Callable
from typing import Final

from transport.envelope import Envelope

THREADS: Final = 32
"""Threads that wait at most."""
SHARED: Final = 8
"""Those of them that actors share, once each of the others waits for one; there a slow one holds up its fellows."""

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Feeders:
    """Delivers envelopes to each actor one after another, waiting for each. `add` is for one thread alone.

    Attributes:
        waiting: How many messages wait for an actor, one in hand included, by path; those for whom none waits are left
            out. Only `add` adds to it.
    """

    def __init__(self, deliver: Callable[[Envelope], object], delivered: Callable[[str], None], name: str) -> None:
        """Make feeders without a thread.

        Args:
            deliver: Delivers one envelope, however long that takes.
            delivered: Called with the target of each after it, when it counts in the backlog no more.
            name: The threads' name.
        """
        self._deliver = deliver
        self._delivered = delivered
        self._name = name
        self._lock = threading.Lock()
        self.waiting: dict[str, int] = {}
        self._places: dict[str, str] = {}  # target -> its queue, while any wait
        self._queues: dict[str, deque[Envelope]] = {}
        self._idents: set[int] = set()

    def is_current(self) -> bool:
        """Whether this is one of the threads."""
        return bool(self._idents) and threading.get_ident() in self._idents

    def add(self, what: Envelope) -> None:
        """Deliver `what` after those added before for the same actor."""
        target = what.target
        with self._lock:
            place = self._places.get(target)
            if place is None:
                has_own = len(self._queues) < THREADS - SHARED
                place = target if has_own else f"#{zlib.crc32(target.encode()) % SHARED}"
                self._places[target] = place
            self.waiting[target] = self.waiting.get(target, 0) + 1
            queue = self._queues.get(place)
            if queue is not None:
                queue.append(what)
                return
            queue = self._queues[place] = deque((what,))
            threading.Thread(target=self._run, args=(place, queue), name=self._name, daemon=True).start()

    def _run(self, place: str, queue: deque[Envelope]) -> None:
        ident = threading.get_ident()
        self._idents.add(ident)
        try:
            while True:
                what = queue[0]
                try:
                    self._deliver(what)
                except Exception:
                    _log.exception("%s: a message could not be delivered", self._name)
                with self._lock:
                    queue.popleft()
                    left = self.waiting[what.target] = self.waiting[what.target] - 1
                    if not left:
                        del self.waiting[what.target], self._places[what.target]
                    is_over = not queue
                    if is_over:
                        del self._queues[place]
                self._delivered(what.target)
                if is_over:
                    return
        finally:
            self._idents.discard(ident)
