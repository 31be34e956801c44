"""The thread dispatcher: one thread for one actor, for work that blocks or holds things that belong to a thread.

A thread runs one actor in its life: what an actor leaves in thread-local storage, a half-open transaction, a tracing
hook, ends with it, and none of it reaches its successor. Starting a thread is more than half the cost of a restart,
so from the first restart on a system keeps a few fresh ones: started, named for nobody, and waiting for their actor.
A keeper thread makes new ones when they run low, after those it would compete with have started.
"""

from __future__ import annotations

import logging
import threading
import time
from _thread import allocate_lock
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from actors.core.cell import ENDED
from actors.core.context import fence, here, unfence

if TYPE_CHECKING:
    from actors.core.ref import ActorRef

SPARES: Final = 4
"""Fresh threads kept at most."""
LOW: Final = 1
"""Fresh threads left at which more are made."""
STEP_ASIDE: Final = 0.001
"""Seconds that the thread of an ended actor waits before it ends: its successor may be waiting for the interpreter."""

logger = logging.getLogger(__name__)

_number = count()

_fencing = allocate_lock()
"""Held while a thread is fenced and while one ends: a fence must not fall on the next thread with the same number."""


class ActorThread:
    """Runs the turns of one actor on a thread of its own."""

    __slots__ = ("_cell", "_is_over", "_spares", "_wake", "thread")

    def __init__(self, name: str, *, daemon: bool, spares: Spares | None = None) -> None:
        """Make the thread; it is started by `start`, or ahead of time by its spares.

        Args:
            name: Start of the thread's name.
            daemon: Whether the interpreter may exit while the actor runs.
            spares: What makes fresh threads ready for the actors of a system; None for an actor outside of one.
        """
        self._cell: ActorRef[Any] | None = None
        self._is_over = False
        self._spares = spares
        self._wake = allocate_lock()
        self._wake.acquire()
        self.thread = threading.Thread(target=self._main, name=f"{name}-{next(_number)}", daemon=daemon)

    @property
    def now(self) -> float:
        """The monotonic instant."""
        owner = self._cell._owner if self._cell is not None else None
        return owner.clock.monotonic() if owner is not None else time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether its actor has ended, and it is on its way out."""
        return self._cell is not None and self._cell._phase == ENDED and self.thread is not threading.current_thread()

    def start(self, cell: ActorRef[Any]) -> None:
        """Start the thread and with it the first turn of `cell`.

        Raises:
            RuntimeError: The machine has no thread for it.
        """
        self.hand(cell)
        self.thread.start()

    def hand(self, cell: ActorRef[Any] | None) -> None:
        """Give the thread its actor, whose first turn begins; None: there is none for it, it ends."""
        self._cell = cell
        self._wake.release()

    def submit(self, _cell: ActorRef[Any]) -> None:
        """Have the thread run a turn."""
        self._wake.release()

    def let_go(self, _cell: ActorRef[Any]) -> None:
        """Have the thread end."""
        self._wake.release()

    def fence(self, _cell: ActorRef[Any]) -> None:
        """Have the thread send nothing more."""
        with _fencing:
            if self.thread.ident is not None and not self._is_over:
                fence(self.thread.ident)

    def _main(self) -> None:
        wait = self._wake.acquire
        wait()
        cell = self._cell
        if cell is None:
            return
        spares = self._spares
        here.cell = cell
        try:
            cell._run(cell)
            if spares is not None:
                spares.keep()
            while cell._phase != ENDED and cell._dispatcher is self:  # a re-entrant actor moves to the event loop
                wait()
                if cell._phase != ENDED:
                    cell._run(cell)
        finally:
            with _fencing:
                self._is_over = True
                unfence()
            if spares is not None:
                spares.leave(self)


class Spares:
    """The fresh threads of one system. Every method may be called on any thread; none but `close` waits."""

    def __init__(self, name: str) -> None:
        """Make the books; no thread is started before the first restart.

        Args:
            name: Start of the names of threads that have no actor yet.
        """
        self._name = name
        self._fresh: list[ActorThread] = []
        self._taken: set[ActorThread] = set()
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._low = allocate_lock()
        self._low.acquire()
        self._is_wanted = False
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._fresh)

    def start(self, cell: ActorRef[Any], *, is_restart: bool) -> None:
        """Run `cell` on a thread that never ran another actor.

        Args:
            cell: The actor, of which nothing runs yet.
            is_restart: Whether it takes the place of one that ended: from the first of these on, threads are kept.

        Raises:
            RuntimeError: The machine has no thread for it.
        """
        if is_restart:
            self._is_wanted = True
        try:
            worker = self._fresh.pop()
        except IndexError:
            worker = ActorThread(cell.path, daemon=True, spares=self)
            self._take(worker, cell)
            try:
                worker.start(cell)
            except RuntimeError:
                self._taken.discard(worker)
                raise
        else:
            worker.thread.name = f"{cell.path}-{next(_number)}"
            self._take(worker, cell)
            worker.hand(cell)

    def _take(self, worker: ActorThread, cell: ActorRef[Any]) -> None:
        self._taken.add(worker)
        cell._dispatcher = worker

    def keep(self) -> None:
        """Have more made if few are left; called by a thread whose actor has had its first turn."""
        if not self._is_wanted or len(self._fresh) > LOW:
            return
        with self._lock:
            if self._is_closed:
                return
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._make, name=f"{self._name}-spares", daemon=True)
                try:
                    self._keeper.start()
                except RuntimeError:  # the machine's limit of threads
                    self._keeper = None
                    return
            if self._low.locked():
                self._low.release()

    def leave(self, worker: ActorThread) -> None:
        """Let go of a thread whose actor has ended; the thread itself calls this, last of all."""
        if self._is_wanted and not self._is_closed:
            time.sleep(STEP_ASIDE)
        self._taken.discard(worker)

    def close(self, timeout: float) -> bool:
        """Wait for the threads of actors that have ended, end the fresh ones and make no more.

        Returns:
            Whether that took less than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._is_closed = True
            keeper = self._keeper
            if self._low.locked():
                self._low.release()
        if keeper is not None:
            keeper.join(timeout)
        left = self._fresh[:]
        self._fresh.clear()
        for worker in left:
            worker.hand(None)
        left += [worker for worker in tuple(self._taken) if worker.is_done]
        for worker in left:
            worker.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(worker.thread.is_alive() for worker in left)

    def _make(self) -> None:
        """Make threads until there are enough, whenever they run low."""
        while not self._is_closed:
            self._low.acquire()
            while len(self._fresh) < SPARES and not self._is_closed:
                worker = ActorThread(self._name, daemon=True, spares=self)
                try:
                    worker.thread.start()
                except RuntimeError:
                    logger.exception("no thread to keep ready for an actor", extra={"threads": len(self._fresh)})
                    break
                self._fresh.append(worker)
