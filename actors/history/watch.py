"""A watch over what runs too long: one thread that calls a function when its time is over."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic
from types import TracebackType


class Watched:
    """One thing under watch; a context manager that ends the watch when it is left.

    Attributes:
        is_over: Whether its time is over.
    """

    __slots__ = ("_act", "_watch", "ended", "is_over")

    def __init__(self, watch: Watch, act: Callable[[], object]) -> None:
        self._watch = watch
        self._act = act
        self.is_over = False
        self.ended = False

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.end(self)

    def fire(self) -> None:
        """Say that the time is over. On the watch's thread, with its lock held: never after the watch ended."""
        self.is_over = True
        self._act()


class Watch:
    """Calls functions at their time unless they are ended before. The thread starts with the first one.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Condition()
        self._waiting: list[tuple[float, int, Watched]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def over(self, act: Callable[[], object], seconds: float) -> Watched:
        """Call `act` on the watch's thread in `seconds`, unless what is returned is left before; `act` only signals."""
        watched = Watched(self, act)
        with self._lock:
            if self._closed:
                raise RuntimeError(f"watch {self._name} is closed")
            heapq.heappush(self._waiting, (monotonic() + seconds, next(self._numbers), watched))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._lock.notify()
        return watched

    def end(self, watched: Watched) -> None:
        """End one watch; once this returns its function is not called any more."""
        with self._lock:
            watched.ended = True

    def close(self) -> None:
        """End all watches and the thread."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._lock.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        with self._lock:
            while not self._closed:
                while self._waiting and self._waiting[0][2].ended:
                    heapq.heappop(self._waiting)
                if not self._waiting:
                    self._lock.wait()
                    continue
                at, _, watched = self._waiting[0]
                left = at - monotonic()
                if left > 0:
                    self._lock.wait(left)
                    continue
                heapq.heappop(self._waiting)
                watched.fire()
