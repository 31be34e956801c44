"""The thread dispatcher: one thread for one actor, for work that blocks or holds things that belong to a thread."""

from __future__ import annotations

import threading
import time
from _thread import allocate_lock
from itertools import count
from typing import TYPE_CHECKING, Any

from actors.core.cell import ENDED
from actors.core.context import fence, unfence

if TYPE_CHECKING:
    from actors.core.ref import ActorRef

_number = count()


class ActorThread:
    """Runs the turns of one actor on a thread of its own."""

    __slots__ = ("_cell", "_wake", "thread")

    def __init__(self, cell: ActorRef[Any], name: str, *, daemon: bool) -> None:
        """Make the thread; `start` runs it.

        Args:
            cell: The actor.
            name: Start of the thread's name.
            daemon: Whether the interpreter may exit while the actor runs.
        """
        self._cell = cell
        self._wake = allocate_lock()
        self._wake.acquire()
        self.thread = threading.Thread(target=self._main, name=f"{name}-{next(_number)}", daemon=daemon)

    @property
    def now(self) -> float:
        """The monotonic instant."""
        owner = self._cell._owner
        return owner.clock.monotonic() if owner is not None else time.monotonic()

    def start(self) -> None:
        """Start the thread and with it the actor's first turn."""
        self.thread.start()

    def submit(self, _cell: ActorRef[Any]) -> None:
        """Have the thread run a turn."""
        self._wake.release()

    def fence(self, _cell: ActorRef[Any]) -> None:
        """Have the thread send nothing more."""
        ident = self.thread.ident
        if ident is not None and self.thread.is_alive():
            fence(ident)

    def _main(self) -> None:
        cell = self._cell
        wait = self._wake.acquire
        try:
            while True:
                cell._run(cell)
                if cell._phase == ENDED or cell._dispatcher is not self:
                    return  # a re-entrant actor has moved to the event loop
                wait()
        finally:
            unfence()
