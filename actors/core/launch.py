"""One launched instance, as its supervisor holds it: stop it, suspend it, give it up; learn what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from actors.core.cell import ENDED
from actors.core.future import Ask
from actors.core.life import finish
from actors.core.outcomes import Incarnation, Outcome, RestartAsked, Started
from actors.core.signals import Stop
from actors.core.tracing import bare
from actors.errors import ActorExitedError
from actors.exits import ExitReason
from actors.flightrecord import FlightRule

if TYPE_CHECKING:
    from actors.core.actor import Actor
    from actors.core.ref import ActorRef
    from actors.core.system import ActorSystem

logger = logging.getLogger(__name__)

ABANDONED: Final = ExitReason.killed("abandoned")
"""How an abandoned instance ended, as far as its monitors are concerned."""


class Launch(Struct, eq=False):
    """One launched instance, as its supervisor holds it. Every method may be called on any thread and never blocks.

    Attributes:
        owner: The system it runs in.
        factory: What makes the actor.
        incarnation: Which instance it is.
        takes_class_mailbox: Whether the mailbox is the one its class declares.
        ignored: Why `on_start` ignored the start, once it has.
        after_all: Called once, on the timer thread, when an instance that was cut off has ended after all.
        is_abandoned: Whether nothing this instance does counts any more.
        is_started: Whether it has been ready.
        flight: What is kept of its crash; None: what the system's recorder says.
    """

    owner: ActorSystem
    _cell: ActorRef[Any]
    factory: Callable[[], Actor]
    incarnation: Incarnation
    _report: Callable[[Outcome], None]
    takes_class_mailbox: bool
    ignored: str | None = None
    after_all: Callable[[], object] | None = None
    is_abandoned: bool = False
    is_started: bool = False
    flight: FlightRule | None = None

    def __repr__(self) -> str:
        return f"<Launch of {self._cell.path}, {self.incarnation.generation}>"

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The ref of the instance; None until it has started."""
        return self._cell if self.is_started else None

    @property
    def is_finished(self) -> bool:
        """Whether the instance has ended, was never ready, or was abandoned."""
        return self._cell._phase == ENDED or self.is_abandoned

    @property
    def is_awaiting(self) -> bool:
        """Whether one of its coroutines runs: a stop cancels it."""
        return self._cell._work is not None

    def stop(self, reason: ExitReason) -> None:
        """Ask the instance to end with `reason`, ahead of its queued messages; an awaiting handler is cancelled.

        The end arrives as `Exited`, or `StartFailed` where the instance was not ready yet.
        """
        self._cell._post(Stop(reason))

    def suspend(self) -> None:
        """Hold back the user lane."""
        self._cell.suspend()

    def resume(self) -> None:
        """Let the user lane go on."""
        self._cell.resume()

    def abandon(self) -> bool:
        """Give the instance up: a thread cannot be killed.

        Its path is free at once; what waits in its mailbox, and the ask in its hand, are answered with
        `ActorExitedError`; who monitors it gets `Down`; it reports nothing more. An awaiting coroutine is cancelled. A
        thread that is inside the actor runs on, and is refused at its next attempt to send, link, monitor or set a
        timer. When it has come back, `after_all` is called.

        Returns:
            True where the actor was not running and has ended for real; False where something is still inside it.
        """
        cell = self._cell
        if self.is_abandoned or cell._phase == ENDED:
            return cell._phase == ENDED
        self.is_abandoned = True
        cell._attention = True
        try:
            del cell._turn
        except AttributeError:
            self._fence()
            return False
        if cell._work is not None:
            cell._work.abandon()
        finish(cell, ABANDONED)
        cell._dispatcher.let_go(cell)
        return True

    def _fence(self) -> None:
        """Cut off an instance whose turn another thread holds."""
        cell = self._cell
        cell._limit = -1
        self.owner.note_abandoned(self)
        if cell._phase == ENDED:  # it came back just now
            self._freed()
        self.release()
        cell._dispatcher.fence(cell)
        work = cell._work
        if work is not None:
            work.abandon()
        item = bare(cell._handling)
        if isinstance(item, Ask):
            cell._fail_ask(item, ActorExitedError(str(cell), "was abandoned while handling the message"))
        cell._drain()
        if cell._pressure is not None:
            cell._make_room()
        if cell._bonds is not None:
            cell._bonds.broken(ABANDONED)

    # -- for the kernel ---------------------------------------------------------------------------

    def release(self) -> None:
        """Free the path."""
        self.owner.registry.release(self._cell.path, self._cell)

    def _freed(self) -> None:
        """Say that nothing is inside the abandoned instance any more; its thread itself may send nothing."""
        if self.owner.forget_abandoned(self) and self.after_all is not None:
            self.owner.timers.schedule(0.0, self.after_all)

    def report(self, outcome: Outcome) -> None:
        """Pass `outcome` on, unless the instance was abandoned."""
        if self.is_abandoned:
            if not isinstance(outcome, (Started, RestartAsked)):
                self._freed()
            return
        try:
            self._report(outcome)
        except Exception:
            logger.exception("a supervisor could not take an outcome", extra={"path": self._cell.path})
