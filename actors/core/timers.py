"""Timers: calls at a monotonic instant of the injected clock, made on one thread for a whole system.

With a clock that is driven by hand (`actors.testing.ManualClock`) there is no thread: advancing the clock fires the
timers, in order, on the thread that advances it.
"""

from __future__ import annotations

import heapq
import logging
import threading
from _thread import allocate_lock
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from actors.clock import Clock
from actors.core.tracing import Carried, current

if TYPE_CHECKING:
    from actors.core.cell import Cell

logger = logging.getLogger(__name__)

_COMPACT_AT = 1000


class Driven(Protocol):
    """What a clock driven by hand fires."""

    def next_due(self) -> float | None:
        """The earliest instant at which something is due; None where nothing is."""
        ...

    def fire(self) -> int:
        """Make the calls that are due now; return how many."""
        ...


@runtime_checkable
class DrivenClock(Protocol):
    """A clock that moves only when it is told to, and then fires what is due."""

    def drive(self, driven: Driven) -> None:
        """Fire `driven` from now on whenever the clock moves."""
        ...


class Timer:
    """A call to come, once or again and again."""

    __slots__ = ("_function", "_interval", "_timers", "due")

    def __init__(self, timers: Timers, due: float, function: Callable[[], object], interval: float | None) -> None:
        self._function: Callable[[], object] | None = function
        self._interval = interval
        self._timers = timers
        self.due = due

    @property
    def is_active(self) -> bool:
        """Whether a call is still to come."""
        return self._function is not None

    def cancel(self) -> None:
        """Make no further call; one that is being made right now on the timer thread goes through."""
        if self._function is not None:
            self._function = None
            self._timers.cancelled()


class Timers:
    """The timers of one system. Every method may be called on any thread."""

    def __init__(self, clock: Clock, name: str) -> None:
        """Make an empty set of timers; its thread starts with the first one."""
        self._clock = clock
        self._name = name
        self._heap: list[tuple[float, int, Timer]] = []
        self._lock = threading.Lock()
        self._number = count()
        self._cancelled = 0
        self._closed = False
        self._wake = allocate_lock()
        self._thread: threading.Thread | None = None
        self._is_driven = isinstance(clock, DrivenClock)
        if isinstance(clock, DrivenClock):
            clock.drive(self)

    def schedule(self, delay: float, function: Callable[[], object], *, interval: float | None = None) -> Timer:
        """Call `function` after `delay` seconds, then every `interval` seconds if that is given.

        The call is made on the timer thread and must only post. A repeated call keeps its rhythm: it is due at
        multiples of the interval, and those missed are skipped.

        Raises:
            ValueError: `delay` is negative or `interval` not positive.
        """
        if not delay >= 0:
            raise ValueError(f"delay is 0 or more seconds, got {delay}")
        if interval is not None and not interval > 0:
            raise ValueError(f"interval is positive seconds, got {interval}")
        timer = Timer(self, self._clock.monotonic() + delay, function, interval)
        with self._lock:
            self._push(timer)
        return timer

    def next_due(self) -> float | None:
        """The earliest instant at which something is due."""
        with self._lock:
            self._forget_cancelled()
            return self._heap[0][0] if self._heap else None

    def fire(self) -> int:
        """Make the calls that are due now, in order; return how many."""
        fired = 0
        while True:
            with self._lock:
                self._forget_cancelled()
                if not self._heap or self._heap[0][0] > self._clock.monotonic():
                    return fired
                timer = heapq.heappop(self._heap)[2]
                function = timer._function
                if function is None:
                    continue
                if timer._interval is None:
                    timer._function = None
                else:
                    missed = int((self._clock.monotonic() - timer.due) / timer._interval)
                    timer.due += (1 + missed) * timer._interval
                    self._push(timer)
            fired += 1
            try:
                function()
            except Exception:
                logger.exception("a timer's call failed")

    def cancelled(self) -> None:
        """Note that a timer was cancelled; many of those are swept out at once."""
        with self._lock:
            self._cancelled += 1
            if self._cancelled > _COMPACT_AT and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].is_active]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def close(self, timeout: float) -> bool:
        """Make no further calls and end the thread; return whether it ended within `timeout` seconds."""
        with self._lock:
            self._closed = True
            self._heap.clear()
            thread = self._thread
            self._rouse()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _push(self, timer: Timer) -> None:
        if self._closed:
            timer._function = None
            return
        entry = (timer.due, next(self._number), timer)
        heapq.heappush(self._heap, entry)
        if self._is_driven:
            return
        if self._thread is None:
            self._wake.acquire()
            self._thread = threading.Thread(target=self._run, name=f"{self._name}-timers", daemon=True)
            self._thread.start()
        elif self._heap[0] is entry:
            self._rouse()

    def _rouse(self) -> None:
        if self._wake.locked():
            self._wake.release()

    def _forget_cancelled(self) -> None:
        while self._heap and not self._heap[0][2].is_active:
            heapq.heappop(self._heap)
            self._cancelled = max(0, self._cancelled - 1)

    def _run(self) -> None:
        while not self._closed:
            self.fire()
            due = self.next_due()
            if due is None:
                self._wake.acquire()
            else:
                wait = due - self._clock.monotonic()
                if wait > 0:
                    self._wake.acquire(True, min(wait, threading.TIMEOUT_MAX))


class ActorTimer:
    """A message that an actor will get, once or again and again."""

    __slots__ = ("_cell", "_is_active", "_is_waiting", "_once", "_timer", "_trace", "message", "skipped")

    def __init__(
        self, timers: Timers, cell: Cell, delay: float, message: Any, *, interval: float | None = None
    ) -> None:
        self._cell = cell
        self._trace = current.get() if interval is None else None
        self._is_active = True
        self._is_waiting = False
        self._once = interval is None
        self.message = message
        self.skipped = 0
        """Repetitions left out because the one before still waited in the mailbox."""
        self._timer = timers.schedule(delay, self._fire, interval=interval)  # first: what is refused was never there
        if cell._timers is None:
            cell._timers = set()
        cell._timers.add(self)

    @property
    def is_active(self) -> bool:
        """Whether a message is still to come, or waits to be handled."""
        return self._is_active

    def cancel(self) -> None:
        """Send no further message; one that waits in the mailbox is not handled either."""
        if self._is_active:
            self._is_active = False
            self._timer.cancel()
            if self._cell._timers is not None:
                self._cell._timers.discard(self)

    def _fire(self) -> None:
        if self._is_waiting:
            self.skipped += 1
        else:
            self._is_waiting = True
            tick = Tick(self)
            self._cell._deliver(tick if self._trace is None else Carried(tick, self._trace))

    def taken(self) -> bool:
        """Note that the actor came to the message; return whether it is still wanted. Called in its turn."""
        self._is_waiting = False
        wanted = self._is_active
        if self._once and wanted:
            self._is_active = False
            if self._cell._timers is not None:
                self._cell._timers.discard(self)
        return wanted


class Tick:
    """A timer's message in a mailbox."""

    __slots__ = ("timer",)

    def __init__(self, timer: ActorTimer) -> None:
        self.timer = timer

    @property
    def message(self) -> Any:
        """What the actor handles."""
        return self.timer.message
