"""The cell of one actor instance: its mailbox, its turn, and the way in for messages.

`ActorRef` is a cell, so that a tell is one append: the slots below belong to the kernel, the public names to the ref.

**The turn.** Whoever deletes the slot `_turn` holds the turn: the right to run the actor, and to change every other
slot. Deleting a slot is atomic and fails where it is gone, so one thread wins; no lock is needed, and none is made.
`_idle` tells senders that nobody holds the turn. It is given back by `_idle = True`, then setting the slot, then
looking at the lanes once more; a sender appends first and looks at `_idle` afterwards. So either the holder sees the
message or the sender sees the idle actor, and no message sleeps.

    NEW ── start ──> RUNNING ── end ──> ENDING (on_stop) ──> ENDED
     └──────── ignored, failed ─────────────────────────────────^

From ENDING on `_limit` is -1, which sends every sender through `_admit`, where the message is refused.
"""

from __future__ import annotations

import threading
import time
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.core.context import here, nested, on_loop, turns_here
from actors.core.future import Ask
from actors.core.mailbox import MailboxSpec, Pressure
from actors.core.signals import NOT_KEPT, Stop, carried_system
from actors.core.tracing import bare, current, traced
from actors.errors import ActorExitedError, MailboxFullError
from actors.events import AskFailed
from actors.exits import ExitReason, said

if TYPE_CHECKING:
    from actors.core.handlers import HandlerTable
    from actors.core.interleave import Interleaved
    from actors.core.links import Bonds
    from actors.core.loop import Work
    from actors.core.system import ActorSystem, Launch

NEW: Final = 0
RUNNING: Final = 1
ENDING: Final = 2
ENDED: Final = 3

_making: Final = allocate_lock()


class Dispatcher(Protocol):
    """What runs turns."""

    now: float
    """Monotonic instant, coarse."""

    def submit(self, cell: Any) -> None:
        """Run a turn of `cell`, whose turn the caller holds, on a thread of this dispatcher. Never blocks."""
        ...

    def let_go(self, cell: Any) -> None:
        """Keep nothing ready for `cell`, which was ended by a thread that is not of this dispatcher."""
        ...

    def fence(self, cell: Any) -> None:
        """Refuse what the thread inside `cell` sends from now on, if it is a thread of this dispatcher."""
        ...


class Cell:
    """One actor instance as the kernel sees it; see the module's text."""

    __slots__ = (
        "_actor",
        "_attention",
        "_bonds",
        "_dispatcher",
        "_failed",
        "_handled",
        "_handling",
        "_idle",
        "_inline",
        "_lane",
        "_launch",
        "_limit",
        "_owner",
        "_phase",
        "_pressure",
        "_queue",
        "_raised",
        "_reason",
        "_ring",
        "_ringed",
        "_run",
        "_spec",
        "_stopped",
        "_stopping",
        "_suspended",
        "_table",
        "_timers",
        "_turn",
        "_turn_at",
        "_urn",
        "_waiting",
        "_work",
        "path",
    )

    _turn: None
    """There while nobody holds the turn; a new cell's belongs to whoever starts it."""

    def __init__(self, spec: MailboxSpec, path: str, run: Callable[[Any], None]) -> None:
        self._actor: Any = None
        self._attention = True
        """The holder of the turn must look: at the phase, the system lane, a suspension."""
        self._bonds: Bonds | None = None
        self._dispatcher: Any = None
        self._failed = 0
        self._handled = 0
        self._handling: Any = None
        self._idle = False
        self._inline = False
        """Whether a blocking ask may run this actor on the asker's thread."""
        self._lane: deque[Any] | None = None
        self._launch: Launch | None = None
        """None for an actor started by its class's `start`, where pykka's rules hold."""
        self._limit = spec.capacity
        self._owner: ActorSystem | None = None
        self._phase = NEW
        self._pressure: Pressure | None = None
        self._queue: deque[Any] | None = None
        self._raised: tuple[BaseException, TracebackType | None] | None = None
        """What left a handler that an asker ran; the dispatcher draws the conclusion."""
        self._reason: ExitReason | None = None  # why it ended
        self._ring: list[Any] | None = None  # the messages taken up last, at places that `_ringed` counts down
        self._ringed = 0
        self._run: Callable[[Any], None] = run
        """What runs a turn of it."""
        self._spec = spec
        self._stopped: threading.Event | None = None  # pykka's `actor_stopped`, for who asked for it
        self._stopping = False
        """Whether the actor ends after the message in hand."""
        self._suspended = False
        self._table: HandlerTable = None  # type: ignore[assignment] # set with the actor
        self._timers: set[Any] | None = None
        self._turn_at = 0.0
        self._urn: str | None = None
        self._waiting: list[Any] | None = None  # asks to answer when the actor has ended
        self._work: Work | Interleaved | None = None
        self.path = path

    # -- messages in ------------------------------------------------------------------------------

    def _admit(self, item: Any) -> deque[Any] | None:
        """Return the lane to append `item` to; None where it was refused and dealt with.

        Comes into play for the first message, a full mailbox and an ended actor.

        Raises:
            MailboxFullError: The mailbox is full and refuses.
            ActorExitedError: The actor, started by its class's `start`, has ended.
        """
        if self._limit < 0:
            self._refuse(item, None)
            return None
        queue = self._queue
        if queue is None:
            queue = self._make_queue()
        if len(queue) < self._limit:
            return queue
        return self._admit_when_full(item, queue)

    def _make_queue(self) -> deque[Any]:
        with _making:
            if self._queue is None:
                self._queue = deque()
            return self._queue

    def _admit_when_full(self, item: Any, queue: deque[Any]) -> deque[Any] | None:
        spec = self._spec
        if _is_stop(item.message if type(item) is Ask else item):
            return queue
        with _making:
            pressure = self._pressure
            if pressure is None:
                pressure = self._pressure = Pressure()
        if spec.full == "block" and not on_loop() and not any(cell is self for cell in turns_here()):
            pressure.blocked += 1
            if self._wait_for_room(queue, pressure, spec.block_timeout):
                return self._admit(item)
        if spec.full == "dead-letter":
            pressure.dropped += 1
            if self._owner is not None:
                message = item.message if type(item) is Ask else item
                self._owner.dead_letters.put(self.path, message, "mailbox full")
        else:
            pressure.rejected += 1
        error = MailboxFullError(self.path or str(self), spec.capacity)
        if type(item) is Ask:
            self._fail_ask(item, error)
        elif spec.full != "dead-letter":
            raise error
        return None

    def _wait_for_room(self, queue: deque[Any], pressure: Pressure, timeout: float) -> bool:
        """Block this thread until there may be room; False where `timeout` seconds were not enough."""
        deadline = time.monotonic() + timeout
        worker = here.worker
        while len(queue) >= self._limit >= 0:
            lock = allocate_lock()
            lock.acquire()
            pressure.waiters.append(lock.release)
            if len(queue) < self._limit or self._limit < 0:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if worker is None:
                lock.acquire(True, left)
            else:
                worker.blocks()
                try:
                    lock.acquire(True, left)
                finally:
                    worker.goes_on()
        return True

    def _make_room(self) -> None:
        """Wake the blocked senders if there is room; called by the holder of the turn."""
        pressure = self._pressure
        assert pressure is not None  # the caller looked
        waiters = pressure.waiters
        if waiters and (self._limit < 0 or len(self._queue or ()) < self._limit):
            for _ in range(len(waiters)):
                waiters.popleft()()  # each looks again: one of them may have found room by itself

    def _deliver(self, message: Any) -> None:
        """Append to the user lane past its bound: what the runtime owes the actor (`Down`, timers) is not lost."""
        queue = self._queue
        if queue is None:
            queue = self._make_queue()
        if self._limit < 0:
            self._refuse(message, None)
            return
        queue.append(message)
        if self._idle:
            self._wake()

    def _post(self, item: Any) -> None:
        """Append to the system lane, and interrupt an awaiting handler if `item` is a stop."""
        if self._phase == ENDED:
            self._refuse(item, None)
            return
        lane = self._lane
        if lane is None:
            with _making:
                lane = self._lane
                if lane is None:
                    lane = self._lane = deque()
        lane.append(carried_system(item))
        self._attention = True
        work = self._work
        if work is not None and type(item) is Stop:
            work.stop(item.reason)
        self._wake()

    def _post_here(self, item: Any) -> None:
        """As `_post`, but run the turn on this thread if nobody holds it: for actors that never block."""
        lane = self._lane
        if lane is None or self._phase != RUNNING or self._work is not None:
            self._post(item)
            return
        lane.append(carried_system(item))
        self._attention = True
        try:
            del self._turn
        except AttributeError:
            return  # its holder looks at the lanes before giving it back
        if self._phase == RUNNING:
            self._idle = False
            self._run_inside()
        else:  # it has ended meanwhile
            self._drain()
            self._give_back()

    def _run_inside(self) -> None:
        """Run the turn inside of whatever turn this thread is at, whose trace is not for what waits here."""
        token = current.set(None) if traced else None
        nested.append(None)
        try:
            self._run(self)
        finally:
            del nested[-1]
            if token is not None:
                current.reset(token)

    def _pending_stop(self) -> ExitReason | None:
        """Return the reason of a stop that waits in the system lane."""
        for item in tuple(self._lane or ()):
            if type(item) is Stop:
                return item.reason
        return None

    def _refuse(self, item: Any, why: str | None) -> None:
        """Answer or keep what an ended actor got.

        Raises:
            ActorExitedError: A plain actor was told something, which is pykka's answer.
        """
        if type(item) is Ask:
            self._fail_ask(item, ActorExitedError(str(self), why or "not found"))
        elif isinstance(item, NOT_KEPT):
            return
        elif self._launch is None:
            if why is None:
                raise ActorExitedError(str(self), "not found")
        elif self._owner is not None:
            self._owner.dead_letters.put(self.path, item, "exited")

    def _fail_ask(self, ask: Ask[Any], error: BaseException) -> bool:
        """Answer `ask` with `error` unless it is answered; return whether this call did it."""
        if not ask.fail(error):
            return False
        owner = self._owner
        if owner is not None and self._launch is not None:
            text = said(error)
            seconds = max(0.0, time.monotonic() - ask.asked_at)
            owner.bus.publish(AskFailed(owner.clock.time(), self.path, type(ask.message).__name__, text, seconds))
        return True

    # -- the turn ---------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Take the turn if nobody holds it, and have it run."""
        try:
            del self._turn
        except AttributeError:
            return  # its holder looks at the lanes before giving it back
        self._idle = False
        try:
            if self._phase == ENDED:
                self._drain()
                self._give_back()
            else:
                self._dispatcher.submit(self)
        except BaseException:  # the sender is at the end of its stack, where not even a comparison goes through
            self._idle = True
            self._turn = None
            raise

    def _give_back(self) -> None:
        """Give the turn back, unless something arrived meanwhile: then have it run on."""
        if self._suspended:
            self._turn = None
            if self._lane:
                self._wake()
            return
        self._idle = True
        self._turn = None
        if self._queue or self._lane:
            self._wake()

    def _rest(self) -> None:
        """Give the turn back without being idle: no sender wakes the actor, only the system lane and its own work."""
        self._idle = False
        self._turn = None

    def _drain(self) -> None:
        """Refuse all that is queued; the holder of the turn of an ended actor, and who abandons one, call this."""
        why = "stopped before handling the message"
        for lane in (self._lane, self._queue):
            while lane:
                try:
                    item = lane.popleft()
                except IndexError:
                    break  # who cut the instance off refuses them at the same time as its own thread
                item = bare(item)
                if type(item) is Ask and _is_stop(item.message):
                    item.settle(None, None)
                elif not _is_stop(item):
                    self._refuse(item, why)


def _is_stop(message: Any) -> bool:
    return type(message).__name__ == "_ActorStop" and type(message).__module__ == "pykka.messages"
