"""The actor: a pykka actor whose mailbox, dispatcher and failure rules are the kernel's."""

from __future__ import annotations

import threading
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import pykka
from pykka._actor import logger as pykka_logger
from pykka.messages import _ActorStop

from actors.core import life
from actors.core.context import check_fence, here
from actors.core.future import Future
from actors.core.handlers import HandlerTable, is_async
from actors.core.inbox import Inbox
from actors.core.inspection import ViewState, view_state
from actors.core.links import Down, Monitor, link, unlink
from actors.core.mailbox import DEFAULT_MAILBOX, MailboxSpec
from actors.core.outcomes import Ignore, Incarnation, RestartAsked
from actors.core.pathref import PathRef
from actors.core.ref import ActorRef, Ref
from actors.core.threads import ActorThread
from actors.core.timers import ActorTimer, Tick
from actors.core.turns import RUNTIME_HANDLERS, run, run_mixed
from actors.errors import UnhandledMessageError

if TYPE_CHECKING:
    from actors.core.system import ActorSystem

_FIRST = Incarnation()


class Actor(pykka.Actor):
    """Something that handles messages one at a time, and shares nothing.

        class Counter(Actor):
            def __init__(self) -> None:
                super().__init__()
                self._count = 0

            @on(Add)
            def add(self, message: Add) -> int:
                self._count += message.n
                return self._count

    Started by its class's `start` it behaves as pykka documents. Launched by a supervisor the failure rules are the
    runtime's: any error that leaves a handler ends the actor, whether it was told or asked; the asker gets the error,
    the supervisor the reason. Handlers and hooks are plain or `async def`.

    Attributes:
        mailbox: How much waits for the actor, and what a full mailbox answers.
        dispatcher: Where `start` runs it: `thread` (one of its own, as pykka does) or `pool`. A child spec says it for
            supervised actors.
        use_daemon_thread: Whether the interpreter may exit while an actor started by `start` runs.
        reentrant: Whether `async` handlers may interleave: the next message begins while others await. All handlers
            of such an actor run on the event loop, so plain ones must not block.
        trap_exits: Whether the end of a linked actor arrives as an `ExitSignal` message in place of ending this one.
    """

    mailbox: ClassVar[MailboxSpec] = DEFAULT_MAILBOX
    dispatcher: ClassVar[str] = "thread"
    use_daemon_thread: ClassVar[bool] = False
    reentrant: ClassVar[bool] = False
    trap_exits: ClassVar[bool] = False

    _actor_handlers: ClassVar[HandlerTable]
    _actor_ref: ActorRef[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_async(cls.on_failure):
            raise TypeError(f"{cls.__qualname__}.on_failure is called while the actor crashes; it cannot be async")
        cls._actor_handlers = HandlerTable(cls, _RUNTIME_HANDLERS, Actor.on_receive)

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride] # as above
        cls, *args: Any, **kwargs: Any
    ) -> ActorRef[Self]:
        """Start an actor outside any supervisor, as pykka does, on the dispatcher its class names.

        Args:
            *args: For `__init__`.
            **kwargs: For `__init__`.
        """
        outer, here.constructing = here.constructing, None  # a factory may start other actors
        try:
            return cast("ActorRef[Self]", super().start(*args, **kwargs))
        finally:
            here.constructing = outer

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Bind the actor to its mailbox; an override must call this."""
        cell = here.constructing
        if cell is None:
            cell = ActorRef(self.mailbox, "", run)
        else:
            here.constructing = None
            if cell._launch is not None and cell._launch.takes_class_mailbox and cell._limit > 0:
                cell._spec = self.mailbox
                cell._limit = self.mailbox.capacity
        table = self._actor_handlers
        cell._actor = self
        cell._table = table
        if self.reentrant:
            from actors.core.interleave import run_interleaved  # asyncio is loaded by those who need it

            cell._run = run_interleaved
        elif table.has_coroutines:
            cell._run = run_mixed
        self._actor_ref = cell  # pyright: ignore[reportIncompatibleVariableOverride] # pykka's, and more

    # -- who it is --------------------------------------------------------------------------------

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride] # as above
        """The ref of this instance."""
        return self._actor_ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A universally unique name, made when first asked for."""
        return self._actor_ref.actor_urn

    @property
    def actor_inbox(self) -> Inbox:  # type: ignore[override]
        """A pykka inbox in front of the mailbox."""
        return self._actor_ref.actor_inbox

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """Pykka's event; set once the actor takes no messages any more."""
        return self._actor_ref.actor_stopped

    @property
    def path(self) -> str:
        """The path it was launched at; "" for an actor started by `start`."""
        return self._actor_ref.path

    @property
    def system(self) -> ActorSystem:
        """The system it runs in; the process's own for an actor started by `start`."""
        owner = self._actor_ref._owner
        if owner is None:
            from actors.core.system import ActorSystem

            owner = self._actor_ref._owner = ActorSystem.default()
        return owner

    @property
    def incarnation(self) -> Incarnation:
        """Which instance this is, and how the one before ended."""
        launch = self._actor_ref._launch
        return launch.incarnation if launch is not None else _FIRST

    # -- what a subclass overrides ------------------------------------------------------------------

    def on_start(self) -> Ignore | None:  # type: ignore[override]
        """Set up, in the actor's own context, before the first message. May be `async def`.

        Returns:
            None when the actor is ready; `Ignore(why)` where it will not run and that is no error.
        """
        return None

    def on_receive(self, message: Any) -> Any:
        """Handle a message; this default hands it to its `@on` handler.

        An override takes every message and may call `super().on_receive(message)`. A message without a handler is
        logged as pykka does, or, in a supervised actor, becomes a dead letter (`UnhandledMessageError` for an ask).
        """
        found = self._actor_handlers.find(type(message))
        if found is not None:
            return found[0](self, message)
        if self._actor_ref._launch is None:
            pykka_logger.warning(f"Unexpected message received by {self}: {message}")
            return None
        raise UnhandledMessageError(str(self._actor_ref), type(message).__name__)

    def state_view(self) -> dict[str, object]:
        """Return what an operator may see of the actor's state: names and plain values, no secrets.

        Called in the actor's turn.
        """
        return {}

    # -- what a running actor does --------------------------------------------------------------------

    def stop(self) -> None:
        """End normally, after the messages that already wait."""
        self._actor_ref._deliver(_ActorStop())

    def request_restart(self, why: str) -> None:
        """Ask to be replaced: the supervisor stops this instance in order, and starts the next one.

        It counts as a restart (limits, budget, back-off), whatever the child's restart type; the reason is `shutdown
        (restart-requested: why)`. A temporary child is stopped. The instance goes on until it is asked to end.

        Args:
            why: What for, in a line; cut after 200 characters.

        Raises:
            RuntimeError: It has no supervisor.
        """
        launch = self._actor_ref._launch
        if launch is None:
            raise RuntimeError("only an actor with a supervisor can ask for its restart")
        launch.report(RestartAsked(" ".join(why.split())[:200]))

    def after(self, delay: float, message: Any) -> ActorTimer:
        """Get `message` after `delay` seconds; the timer ends with the actor.

        Raises:
            ValueError: `delay` is negative.
        """
        check_fence()
        return ActorTimer(self.system.timers, self._actor_ref, delay, message)

    def every(self, interval: float, message: Any) -> ActorTimer:
        """Get `message` every `interval` seconds, first after one interval.

        A repetition is left out while the one before still waits in the mailbox.

        Raises:
            ValueError: `interval` is not positive.
        """
        check_fence()
        return ActorTimer(self.system.timers, self._actor_ref, interval, message, interval=interval)

    def monitor(self, ref: Ref) -> Monitor:
        """Watch `ref`: a `Down` message comes when it has ended, at once where it is not there."""
        check_fence()
        monitors = self._actor_monitors
        if monitors is None:
            monitors = self._actor_monitors = {}
        cell = self._actor_ref
        monitor = Monitor(next(_monitor_number))
        monitors[monitor.number] = monitor
        name = ref.identity
        monitor.watch = ref.watch(lambda reason: cell._deliver(Down(name, monitor.number, reason)))
        return monitor

    def demonitor(self, monitor: Monitor) -> None:
        """Watch no more; no `Down` of `monitor` is handled after this, even if it already waits."""
        if self._actor_monitors is not None:
            self._actor_monitors.pop(monitor.number, None)
        if monitor.watch is not None:
            monitor.watch.cancel()

    def link(self, ref: Ref) -> None:
        """Share fate with `ref`: the abnormal end of one ends the other."""
        check_fence()
        link(self._actor_ref, _instance(ref))

    def unlink(self, ref: Ref) -> None:
        """Share no fate with `ref` any more."""
        unlink(self._actor_ref, _instance(ref))

    # -- pykka's own hooks, read in 4.5.0 ------------------------------------------------------------------

    _actor_monitors: dict[int, Monitor] | None = None

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise TypeError("the mailbox belongs to the ref")

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        cell = self._actor_ref
        if self.dispatcher == "thread":
            thread = ActorThread(type(self).__name__, daemon=self.use_daemon_thread)
            cell._dispatcher = thread
            thread.start(cell)
        elif self.dispatcher == "pool":
            self.system.adopt(cell, is_daemon=self.use_daemon_thread)
        else:
            raise ValueError(f"dispatcher of {type(self).__qualname__} is thread or pool, got {self.dispatcher!r}")

    def _stop(self) -> None:
        cell = self._actor_ref
        cell._stopping = cell._attention = True

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pykka_logger.error(
            f"Unhandled exception in {self}:",
            exc_info=(exception_type, exception_value, traceback),  # type: ignore[arg-type] # as pykka does
        )
        life.retire(self._actor_ref)


def _instance(ref: Any) -> Ref:
    found: Ref = (ref.target or ref) if isinstance(ref, PathRef) else ref
    return found


def _tick(actor: Any, tick: Tick) -> Any:
    if tick.timer.taken():
        message = tick.message
        return actor._actor_ref._table[type(message)](actor, message)
    return None


def _down(actor: Any, down: Down) -> Any:
    if actor._actor_monitors is None or actor._actor_monitors.pop(down.monitor, None) is None:
        return None  # taken back meanwhile
    return actor.on_receive(down)


_monitor_number = count(1)

_RUNTIME_HANDLERS: dict[type, Any] = {**RUNTIME_HANDLERS, Tick: _tick, Down: _down, ViewState: view_state}
Actor._actor_handlers = HandlerTable(Actor, _RUNTIME_HANDLERS, Actor.on_receive)
