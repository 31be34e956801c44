"""A thread that waits for room in full mailboxes, so that the thread that owns a socket need not."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from transport.envelope import Envelope

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class Feeder:
    """Delivers envelopes one after another, waiting for each; its thread exists only while there is one."""

    def __init__(self, deliver: Callable[[Envelope], object], delivered: Callable[[], None], name: str) -> None:
        """Make a feeder without a thread.

        Args:
            deliver: Delivers one envelope, however long that takes.
            delivered: Called after each, when it counts in the backlog no more.
            name: The thread's name.
        """
        self._deliver = deliver
        self._delivered = delivered
        self._name = name
        self._waiting: deque[Envelope] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def backlog(self) -> int:
        """Messages that wait, the one in hand included."""
        return len(self._waiting)

    def is_current(self) -> bool:
        """Whether this is the feeder's thread."""
        return threading.current_thread() is self._thread

    def add(self, what: Envelope) -> None:
        """Deliver `what` after those added before."""
        with self._lock:
            self._waiting.append(what)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            what = self._waiting[0]
            try:
                self._deliver(what)
            except Exception:
                _log.exception("%s: a message could not be delivered", self._name)
            with self._lock:
                self._waiting.popleft()
                is_over = not self._waiting
                if is_over:
                    self._thread = None
            self._delivered()
            if is_over:
                return
