"""The pool dispatcher: many actors on few threads, fair, and never stopped by one that blocks.

Ready actors stand in one queue; a worker takes the first, runs one turn (a bounded number of messages), and puts it
back at the end if it has more. `size` workers run at once. A worker that blocks is replaced by a spare:

- one that waits for an answer or for room in a mailbox says so, and does not count while it waits, so a chain of
  nested asks of any depth goes through;
- one that sits in a handler (sleep, I/O, a long computation) is noticed by the monitor after one to two ticks of
  10 ms while others wait, up to `spares` at a time.

A spare that finds enough others running steps aside and, after some idle seconds, ends.
"""

from __future__ import annotations

import logging
import threading
import time
from _thread import allocate_lock
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from actors.clock import Clock
from actors.core.context import fence as fence_thread
from actors.core.context import here, unfence

if TYPE_CHECKING:
    from actors.core.ref import ActorRef

logger = logging.getLogger(__name__)

TICK: Final = 0.01
"""Seconds between two looks of the monitor while the pool is busy."""
QUIET_TICK: Final = 1.0
QUIET_AFTER: Final = 50
"""Looks at an idle pool after which the monitor slows down to `QUIET_TICK`."""
SPARE_IDLE: Final = 5.0
"""Seconds after which an idle spare ends."""
WAITING_LIMIT: Final = 10_000
"""Workers waiting for answers at most; a deeper chain of asks waits for its turn."""

_FOR_BOOKS: Final = 10
_FOR_THREAD: Final = 25
"""Calls deep that the bookkeeping of a pool goes, without and with a new thread."""


def _need_stack(calls: int) -> None:
    """Go `calls` deep and back: no change of the books may be cut in two by a sender that recurses without end.

    Raises:
        RecursionError: The stack does not go that deep.
    """
    if calls:
        _need_stack(calls - 1)


RUNNING: Final = 0
PARKED: Final = 1
WAITING: Final = 2
STUCK: Final = 3
"""Where a worker is; only RUNNING counts against the pool's size."""


class Worker:
    """One thread of a pool."""

    __slots__ = ("at", "cell", "is_doomed", "is_fresh", "look", "pool", "thread", "wake")

    def __init__(self, pool: Pool, number: int) -> None:
        self.at = RUNNING
        self.cell: ActorRef[Any] | None = None
        self.is_doomed = False
        """Whether it ends after this turn: its actor was abandoned."""
        self.is_fresh = True
        """Set by each turn, taken back by each look of the monitor."""
        self.look = False
        """Whether it asks the pool before it takes the next actor."""
        self.pool = pool
        self.wake = allocate_lock()
        self.wake.acquire()
        self.thread = threading.Thread(target=self._main, name=f"{pool.name}-pool-{number}", daemon=True)

    def blocks(self) -> None:
        """Say that this thread, the worker's own, is about to wait.

        Raises:
            RecursionError: The thread is at the end of its stack; nothing was changed.
        """
        pool = self.pool
        _need_stack(_FOR_BOOKS)
        with pool._lock:
            if self.at == RUNNING:
                pool._running -= 1
            self.at = WAITING
            pool._waiting += 1
            pool._update()
            if pool._ready:
                pool._feed()

    def goes_on(self) -> None:
        """Say that the wait is over; after this turn the worker steps aside if others took its place."""
        self.look = True
        pool = self.pool
        with pool._lock:
            self.at = RUNNING
            pool._running += 1
            pool._waiting -= 1
            pool._update()

    def _main(self) -> None:
        here.worker = self
        pool = self.pool
        ready = pool._ready
        try:
            while True:
                if self.look and not pool._stay(self):
                    return
                if not ready:
                    if not pool._park(self):
                        return
                    continue
                try:
                    cell = ready.popleft()
                except IndexError:  # another worker was faster
                    continue
                self.cell = cell
                self.is_fresh = True
                cell._run(cell)
                self.cell = None
        except BaseException:
            logger.critical("a pool worker failed outside its actor", exc_info=True)
            raise
        finally:
            pool._forget(self)
            unfence()


class Pool:
    """Runs the turns of many actors on few threads.

    Attributes:
        now: Monotonic instant, refreshed by the monitor: every tick while busy, every second while idle.
        size: Workers that run at once.
    """

    def __init__(self, name: str, size: int = 1, spares: int = 64, *, clock: Clock) -> None:
        """Make a pool; its threads start with the first work.

        Args:
            name: Start of its threads' names.
            size: Workers that run at once; 1 or more.
            spares: Workers in place of stuck ones at most, beside those that wait for answers; 0 or more.
            clock: Where `now` comes from.

        Raises:
            ValueError: `size` or `spares` is too small.
        """
        if size < 1 or spares < 0:
            raise ValueError(f"size is 1 or more and spares 0 or more, got {size} and {spares}")
        self.name = name
        self.now = clock.monotonic()
        self.size = size
        self._clock = clock
        self._spares = spares
        self._ready: deque[ActorRef[Any]] = deque()
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._parked: list[Worker] = []
        self._running = 0
        self._waiting = 0
        self._hungry = True
        """Whether one more worker may run: a sender then looks at `_feed`."""
        self._closed = False
        self._number = count()
        self._monitor: threading.Thread | None = None
        self._monitor_wake = allocate_lock()
        self._monitor_wake.acquire()
        self._monitor_slow = False

    def submit(self, cell: Any) -> None:
        """Put `cell`, whose turn the caller holds, at the end of the queue. Never blocks."""
        self._ready.append(cell)
        if self._hungry:
            try:
                with self._lock:
                    self._feed()
            except RecursionError:
                pass  # the monitor feeds in its place

    def let_go(self, cell: Any) -> None:
        """Nothing to do: the workers are everybody's."""

    def statistics(self) -> PoolStatistics:
        """Return the pool's figures at this moment."""
        with self._lock:
            workers = tuple(self._workers)
            return PoolStatistics(
                threads=len(workers),
                running=sum(worker.at == RUNNING for worker in workers),
                waiting=sum(worker.at == WAITING for worker in workers),
                stuck=sum(worker.at == STUCK for worker in workers),
                parked=sum(worker.at == PARKED for worker in workers),
                ready=len(self._ready),
            )

    def fence(self, cell: ActorRef[Any]) -> None:
        """Have the worker inside `cell` take no other actor and send nothing more; an asker's thread is left alone."""
        with self._lock:
            for worker in self._workers:
                if worker.cell is not cell:
                    continue
                worker.is_doomed = worker.look = True
                if worker.cell is cell:  # still: so it will see that it is doomed before it takes another
                    assert worker.thread.ident is not None  # it runs
                    fence_thread(worker.thread.ident)
                    self._give_up(worker)
                    self._feed()
                else:
                    worker.is_doomed = False
                return

    def close(self, timeout: float) -> int:
        """End the threads once nothing is ready; return how many (daemon threads) are stuck after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            workers = tuple(self._workers)
            for worker in workers:
                worker.look = True
            while self._parked:
                self._unpark()
            self._update()
            monitor = self._monitor
            self._hurry_monitor()
        if monitor is not None:
            monitor.join(max(0.0, deadline - time.monotonic()))
        others = [worker for worker in workers if worker.thread is not threading.current_thread()]
        for worker in others:
            if not worker.is_doomed:  # who abandoned its actor has waited for it
                worker.thread.join(max(0.0, deadline - time.monotonic()))
        return sum(worker.thread.is_alive() for worker in others)

    # -- under the lock ---------------------------------------------------------------------------

    def _update(self) -> None:
        self._hungry = self._running < self.size and not self._closed and (bool(self._parked) or self._may_grow())

    def _may_grow(self) -> bool:
        waiting = self._waiting
        return len(self._workers) - waiting < self.size + self._spares and waiting < WAITING_LIMIT

    def _feed(self) -> None:
        """Wake or start a worker if something is ready and one more may run."""
        if self._ready and self._hungry:
            if self._parked:
                self._unpark()
            else:
                self._grow()

    def _unpark(self) -> None:
        worker = self._parked.pop()
        worker.at = RUNNING
        self._running += 1
        self._update()
        self.now = self._clock.monotonic()
        if self._monitor_slow:
            self._hurry_monitor()
        worker.wake.release()

    def _grow(self) -> None:
        try:
            _need_stack(_FOR_THREAD)
        except RecursionError:
            return  # the monitor starts it
        worker = Worker(self, next(self._number))
        try:
            worker.thread.start()
        except RuntimeError:  # the machine's limit
            if not self._workers:
                raise
            logger.exception("no thread for a spare pool worker", extra={"threads": len(self._workers)})
            return
        self._workers.add(worker)
        self._running += 1
        self._update()
        if self._monitor is None:
            self._monitor = threading.Thread(target=self._watch, name=f"{self.name}-pool-monitor", daemon=True)
            self._monitor.start()
        elif self._monitor_slow:
            self._hurry_monitor()

    def _hurry_monitor(self) -> None:
        self._monitor_slow = False
        if self._monitor_wake.locked():
            self._monitor_wake.release()

    def _give_up(self, worker: Worker) -> None:
        """Count a running worker as stuck."""
        if worker.at == RUNNING:
            worker.look = True
            worker.at = STUCK
            self._running -= 1
            self._update()

    # -- on a worker's thread -----------------------------------------------------------------------

    def _stay(self, worker: Worker) -> bool:
        """Settle what `look` stands for; return whether the worker goes on."""
        with self._lock:
            if worker.is_doomed or (self._closed and not self._ready):
                return False
            worker.look = self._closed
            if worker.at != RUNNING:  # the monitor had given it up; it is back
                worker.at = RUNNING
                self._running += 1
                self._update()
            if self._running <= self.size:
                return True
        return self._park(worker)

    def _park(self, worker: Worker) -> bool:
        """Wait until this worker is needed; return False where it is to end."""
        with self._lock:
            if worker.look:  # set since the caller looked
                return True
            self._parked.append(worker)
            worker.at = PARKED
            self._running -= 1
            self._update()
            if self._ready:  # it came before this worker could be found parked
                self._feed()
            is_spare = len(self._workers) > self.size
        while not worker.wake.acquire(True, SPARE_IDLE if is_spare else -1):
            with self._lock:
                if worker.at == PARKED:
                    if len(self._workers) > self.size:
                        self._parked.remove(worker)
                        return False
                    is_spare = False
        return True

    def _forget(self, worker: Worker) -> None:
        """Take a worker that ends off the books."""
        with self._lock:
            self._workers.discard(worker)
            if worker.at == RUNNING:
                self._running -= 1
            self._update()
            if self._ready:
                self._feed()

    # -- the monitor --------------------------------------------------------------------------------

    def _watch(self) -> None:
        quiet = 0
        while not self._closed:
            self._monitor_wake.acquire(True, QUIET_TICK if self._monitor_slow else TICK)
            self.now = self._clock.monotonic()
            if self._ready:
                self._replace_stuck()
            for worker in tuple(self._workers):
                worker.is_fresh = False
            quiet = quiet + 1 if not self._running else 0
            if quiet >= QUIET_AFTER:
                self._monitor_slow = True
                if self._running:  # woken before it could see that the monitor sleeps
                    self._monitor_slow = False

    def _replace_stuck(self) -> None:
        """Give up counting the workers that are still in the turn of the last look; start spares for them."""
        with self._lock:
            for worker in self._workers:
                if not worker.is_fresh and worker.cell is not None:
                    self._give_up(worker)
            self._update()
            for _ in range(self.size):
                self._feed()


class PoolStatistics(Struct, frozen=True):
    """A pool's figures at one moment.

    Attributes:
        threads: Workers there are.
        running: Those that run actors or look for one.
        waiting: Those that wait inside a handler for an answer or for room in a mailbox.
        stuck: Those in one handler for longer than a tick or two while others waited.
        parked: Those without work.
        ready: Actors that wait for a worker.
    """

    threads: int
    running: int
    waiting: int
    stuck: int
    parked: int
    ready: int
