"""A watch over what runs too long: one thread that interrupts it when its time is over, until it has ended.

One interrupt is not enough: DuckDB forgets one that comes between two statements of a query.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic
from types import TracebackType

AGAIN = 0.05
"""Seconds between two interrupts of the same thing."""

GRACE = 2.0
"""Seconds an interrupted query has to end before it is called stuck."""


class Watched:
    """One thing under watch; a context manager that ends the watch when it is left.

    Attributes:
        is_over: Whether its time is over.
    """

    __slots__ = ("_act", "_watch", "has_ended", "is_over")

    def __init__(self, watch: Watch, act: Callable[[], object]) -> None:
        self._watch = watch
        self._act = act
        self.is_over = False
        self.has_ended = False

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.end(self)

    def cut_short(self) -> None:
        """Let its time be over now. Any thread; nothing happens once it has ended."""
        self._watch.enter(self, 0.0)

    def act(self) -> None:
        """Interrupt it. On the watch's thread, which holds its lock: never after the watch has ended."""
        self.is_over = True
        self._act()


class Watch:
    """Interrupts what has not ended in its time, again and again until it has. The thread starts with the first one.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Watched]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def over(self, act: Callable[[], object], seconds: float) -> Watched:
        """Call `act` on the watch's thread in `seconds`, and again until what is returned is left.

        `act` only signals: it holds up every other watch.
        """
        watched = Watched(self, act)
        self.enter(watched, seconds)
        return watched

    def enter(self, watched: Watched, seconds: float) -> None:
        """Put `watched` under watch, or bring its time forward.

        Raises:
            RuntimeError: The watch is closed.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError(f"watch {self._name} is closed")
            heapq.heappush(self._waiting, (monotonic() + seconds, next(self._numbers), watched))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def end(self, watched: Watched) -> None:
        """End one watch; once this returns its function is not called any more."""
        with self._changed:
            watched.has_ended = True

    def close(self) -> None:
        """End all watches and the thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                while self._waiting and self._waiting[0][2].has_ended:
                    heapq.heappop(self._waiting)
                if not self._waiting:
                    self._changed.wait()
                    continue
                at, _, watched = self._waiting[0]
                left = at - monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                heapq.heapreplace(self._waiting, (monotonic() + AGAIN, next(self._numbers), watched))
                watched.act()
