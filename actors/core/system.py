"""The actor system: names, bus, dead letters, timers and dispatchers of one node, or of one test.

Everything hangs on a system object; nothing is global but the default system, which runs the actors that are started by
their class's `start` on the pool, or that need a timer or an event loop.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakSet

from actors.addresses import PATH_LIMIT, SEGMENT_LIMIT, check_path, check_segment
from actors.clock import Clock, SystemClock
from actors.core import context
from actors.core.bus import EventBus
from actors.core.cell import ENDED
from actors.core.context import check_fence
from actors.core.deadletters import DeadLetters
from actors.core.flight import FlightRecorder
from actors.core.launch import Launch as Launch
from actors.core.mailbox import DEFAULT_MAILBOX, MailboxSpec
from actors.core.outcomes import Incarnation, Outcome, StartFailed
from actors.core.pathref import PathRef
from actors.core.pool import Pool
from actors.core.ref import ActorRef
from actors.core.registry import Registry
from actors.core.signals import Stop
from actors.core.threads import Spares
from actors.core.timers import Timer, Timers
from actors.core.turns import run
from actors.errors import ActorRuntimeError
from actors.exits import SHUTDOWN, ExitReason
from actors.flightrecord import FlightRule

if TYPE_CHECKING:
    from actors.core.actor import Actor
    from actors.core.loop import EventLoop

logger = logging.getLogger(__name__)

_FIRST = Incarnation()

Placement = Literal["pool", "thread"]


class PathTakenError(ActorRuntimeError):
    """An instance was launched at a path where another one still is."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is taken: its instance has not ended yet")
        self.path = path


class Restarter(Protocol):
    """Asks the supervisor of the actor at `path` to end it and to do by its rules what follows; must not block."""

    def __call__(self, path: str, why: str) -> None: ...


class ActorSystem:
    """Names, event bus, dead letters, timers and dispatchers of one node or one test.

    Attributes:
        name: The node's name in addresses; one segment.
        clock: Where every instant comes from.
        bus: What happened.
        dead_letters: What nobody took.
        registry: The supervised actors by path.
        timers: Calls to come.
        pool: The dispatcher of `placement="pool"`.
        threads: The threads of `placement="thread"` that wait for their actor.
        chance: The source of chance (jitter); seeded for a test that must repeat.
        home: The runtime's directory, where actors keep state; None: they cannot.
        flight: Keeps what actors did last as they crash; None: nothing is kept.
        restarter: Ends and restarts actors by their supervisors' rules; None where no supervisor runs them.
    """

    _default: ActorSystem | None = None
    _default_lock = threading.Lock()

    def __init__(
        self, name: str = "local", *, clock: Clock | None = None, pool_threads: int = 1, seed: int | None = None
    ) -> None:
        """Make a system; its threads start with the first work.

        Args:
            name: The node's name; one segment of an address.
            clock: Where instants come from; the machine's clocks by default.
            pool_threads: Pool workers that run at once; blocked ones are replaced beyond that.
            seed: Start of the chance, for tests.

        Raises:
            AddressError: `name` is no segment.
            ValueError: `pool_threads` is below 1.
        """
        self.name = check_segment(name)
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.bus = EventBus()
        self.dead_letters = DeadLetters(self.clock, self.bus)
        self.registry = Registry()
        self.timers = Timers(self.clock, name)
        self.pool = Pool(name, pool_threads, clock=self.clock)
        self.threads = Spares(name)
        self.chance = random.Random(seed)
        self.restarter: Restarter | None = None
        self.flight: FlightRecorder | None = None
        self.home: Path | None = None
        self._lock = threading.Lock()
        self._loop: EventLoop | None = None
        self._abandoned: set[Launch] = set()
        self._held = 0
        self._keeper: Any = None
        self._is_closed = False
        _systems.add(self)

    def __repr__(self) -> str:
        return f"<ActorSystem {self.name}: {len(self.registry)} actors>"

    def __enter__(self) -> ActorSystem:
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()

    @classmethod
    def default(cls) -> ActorSystem:
        """Return the process's own system, for actors started by their class's `start`."""
        with cls._default_lock:
            if cls._default is None or cls._default._is_closed:
                cls._default = cls("local")
            return cls._default

    @property
    def loop(self) -> EventLoop:
        """The event loop for coroutines; its thread starts with the first one."""
        loop = self._loop
        if loop is None:
            from actors.core.loop import EventLoop  # asyncio is loaded by those who need it

            with self._lock:
                if self._loop is None:
                    self._loop = EventLoop(self)
                loop = self._loop
        return loop

    @property
    def abandoned(self) -> tuple[str, ...]:
        """Paths of the abandoned instances that something is still inside of, sorted."""
        with self._lock:
            return tuple(sorted(launch._cell.path for launch in self._abandoned))

    def spawn(
        self,
        factory: Callable[[], Actor],
        *,
        path: str,
        placement: Placement = "pool",
        incarnation: Incarnation = _FIRST,
        mailbox: MailboxSpec | None = None,
        flight: FlightRule | None = None,
        on_outcome: Callable[[Outcome], None],
    ) -> Launch:
        """Launch one supervised instance. Never blocks.

        The actor is constructed, and its `on_start` runs, on its own thread or on the pool.

        Args:
            factory: Makes the actor.
            path: Where it is found; taken until the instance has ended.
            placement: `pool`, or `thread` for one of its own.
            incarnation: Which instance it is.
            mailbox: In place of the class's.
            flight: What is kept of its crash; None: what the system's recorder says.
            on_outcome: Gets `Started`, `Ignored` or `StartFailed`, and after `Started` one `Exited`; called on the
                actor's thread (here, where the launch itself fails) and must only post.

        Raises:
            AddressError: `path` is no actor path.
            ValueError: `placement` is neither.
        """
        if placement != "pool" and placement != "thread":
            raise ValueError(f"placement is pool or thread, got {placement!r}")
        if context.fenced:
            check_fence()
        if incarnation.generation == 1:
            _check_new(path)
        else:
            _check_again(path)
        cell: ActorRef[Any] = ActorRef(DEFAULT_MAILBOX if mailbox is None else mailbox, path, run)
        launch = Launch(self, cell, factory, incarnation, on_outcome, mailbox is None, flight=flight)
        cell._owner = self
        cell._launch = launch
        if self._is_closed:
            self._refuse(launch, ActorRuntimeError(f"system {self.name} is shut down"))
        elif not self.registry.claim(path, cell):
            self._refuse(launch, PathTakenError(path))
        elif placement == "pool":
            cell._dispatcher = self.pool
            self.pool.submit(cell)
        else:
            try:
                self.threads.start(cell, is_restart=incarnation.generation > 1)
            except RuntimeError as error:  # the machine's limit of threads
                self.registry.release(path, cell)
                self._refuse(launch, error)
        return launch

    def ref(self, path: str) -> PathRef:
        """Return the stable ref of `path`, whether anybody is there or not.

        Raises:
            AddressError: `path` is no actor path.
        """
        return PathRef(self, path)

    def schedule(self, delay: float, function: Callable[[], object]) -> Timer:
        """Call `function`, which must only post, after `delay` seconds, on the timer thread."""
        check_fence()
        return self.timers.schedule(delay, function)

    def shutdown(self, timeout: float = 10.0) -> bool:
        """Stop every supervised actor with `shutdown`, then end the threads.

        Supervisors stop their children in order before this; here all those left are told at once.

        Args:
            timeout: Seconds for all of it. What has not ended by then is abandoned.

        Returns:
            Whether everything ended in time.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            if self._is_closed:
                return True
            self._is_closed = True
        ended = self._stop_all(deadline)
        with self._lock:
            loop = self._loop  # the last actors may have needed one
        self.timers.close(max(0.0, deadline - time.monotonic()))
        if loop is not None:
            ended &= loop.close(max(0.0, deadline - time.monotonic()))
        ended &= self.threads.close(max(0.0, deadline - time.monotonic()))
        ended &= self.pool.close(max(0.0, deadline - time.monotonic())) == 0
        if self.flight is not None:
            ended &= self.flight.close(max(0.0, deadline - time.monotonic()))
        _systems.discard(self)
        return ended

    def _stop_all(self, deadline: float) -> bool:
        gone = threading.Semaphore(0)
        refs: tuple[Any, ...] = self.registry.below("/")
        cells = [ref for ref in refs if isinstance(ref, ActorRef)]
        for ref in refs:
            ref.watch(lambda _reason: gone.release())
            if isinstance(ref, ActorRef):
                ref._post(Stop(SHUTDOWN))
            else:  # of an actor in another process: it passes that on, and its launcher ends what does not end
                ref.stop(SHUTDOWN)
        ended = sum(gone.acquire(timeout=max(0.0, deadline - time.monotonic())) for _ in refs)
        for cell in cells:
            if cell._phase != ENDED and cell._launch is not None:
                cell._launch.abandon()
        return ended == len(refs)

    def _refuse(self, launch: Launch, error: Exception) -> None:
        cell = launch._cell
        cell._phase = ENDED
        cell._limit = -1
        cell._idle = True
        cell._reason = ExitReason.crashed(error)
        cell._turn = None
        launch.report(StartFailed(cell._reason))

    # -- for the kernel ---------------------------------------------------------------------------

    def note_abandoned(self, launch: Launch) -> None:
        """Keep that something is still inside an abandoned instance."""
        with self._lock:
            self._abandoned.add(launch)

    def forget_abandoned(self, launch: Launch) -> bool:
        """Forget it, since nothing is any more; return whether it was kept."""
        with self._lock:
            was_kept = launch in self._abandoned
            self._abandoned.discard(launch)
        return was_kept

    def adopt(self, cell: ActorRef[Any], *, is_daemon: bool) -> None:
        """Run an actor that was started by its class's `start` on the pool.

        Args:
            cell: The actor.
            is_daemon: Whether the interpreter may exit while it runs.
        """
        cell._owner = self
        cell._dispatcher = self.pool
        if not is_daemon:
            with self._lock:
                self._held += 1
                if self._keeper is None:
                    self._keeper = allocate_lock()
                    self._keeper.acquire()
                    # pool workers are daemon threads: this one keeps the process up while plain actors live
                    threading.Thread(target=self._keeper.acquire, name=f"{self.name}-keeper", daemon=False).start()
        self.pool.submit(cell)

    def plain_ended(self, cell: ActorRef[Any]) -> None:
        """Let the interpreter exit if `cell` was the last plain actor on the pool."""
        if cell._dispatcher is self.pool and not cell._actor.use_daemon_thread:
            with self._lock:
                self._held -= 1
                if self._held == 0:
                    self._keeper.release()
                    self._keeper = None


_check_again = lru_cache(maxsize=4096)(check_path)
"""Checks a path that was probably met before: that of a restarted actor, or the one above it, which siblings share."""


def _check_new(path: str) -> None:
    """Check the path of an actor, the same rule in a form that is quick for one name below a path known well.

    Raises:
        AddressError: `path` is no actor path.
    """
    above, slash, name = path.rpartition("/")
    if not slash or not name or len(path) > PATH_LIMIT:
        check_path(path)  # the root, or a fault to be named
        return
    if not (name.isascii() and name.isidentifier() and len(name) <= SEGMENT_LIMIT):  # those are names, too
        check_segment(name)
    if above:
        _check_again(above)


_systems: WeakSet[ActorSystem] = WeakSet()


def _shut_down_forgotten() -> None:
    """At the interpreter's exit: give the actors of systems nobody shut down their `on_stop`."""
    for system in tuple(_systems):
        if len(system.registry):
            logger.warning("the system was not shut down before exit", extra={"system": system.name})
        system.shutdown(5.0)


atexit.register(_shut_down_forgotten)
