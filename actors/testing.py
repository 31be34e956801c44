"""What tests of actors need: a clock moved by hand, and places where messages, outcomes and events can be waited for.

Nothing here polls or sleeps: every wait ends with what it waits for, or fails after its timeout with what came instead.

    clock = ManualClock()
    with ActorSystem("test", clock=clock) as system:
        probe = Probe(system)
        child = launch(system, lambda: Heart(probe.ref), path="/heart")
        clock.advance(5.0)                      # fires what is due, in order
        assert probe.expect(Beat).number == 1
        child.stop(SHUTDOWN)
        assert child.outcomes.expect(Exited).reason == SHUTDOWN
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from actors.core.actor import Actor
from actors.core.mailbox import MailboxSpec
from actors.core.outcomes import Incarnation, Outcome, Started
from actors.core.ref import ActorRef
from actors.core.system import ActorSystem, Launch, Placement
from actors.core.timers import Driven
from actors.exits import ExitReason

T = TypeVar("T")
A = TypeVar("A", bound=Actor)

PATIENCE = 60.0
"""Seconds a wait lasts by default: long, as it only matters where something is broken."""


class ManualClock:
    """A clock that stands still until it is advanced; then it fires, in order, the timers that come due.

    Timers fire on the thread that advances the clock, each at its own instant: a timer due at 3.0 that sets another one
    for 1 s later sees that one fire too in an `advance(5.0)` from 0. What actors set while they handle messages comes
    from their own threads: wait for their effect before advancing further, or have `advance` do so at each instant.
    """

    def __init__(self, monotonic: float = 1000.0, time: float = 1_700_000_000.0) -> None:
        """Make a clock.

        Args:
            monotonic: Its first monotonic instant.
            time: The wall clock at that instant, in seconds since the epoch.
        """
        self._lock = threading.RLock()
        self._now = monotonic
        self._offset = time - monotonic
        self._driven: list[Driven] = []

    def monotonic(self) -> float:
        """Seconds since some start."""
        return self._now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now + self._offset

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as an operator or a time server does."""
        self._offset += seconds

    def advance(self, seconds: float, *, settle: Callable[[], object] | None = None) -> int:
        """Move on by `seconds` and fire what comes due; return how many calls were made.

        Args:
            seconds: How far; 0 or more.
            settle: Called at each instant at which something fired, before the clock goes on: waits there until the
                actors have done what they do in answer, so that what they set counts from that very instant.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock goes forward, got {seconds}")
        fired = 0
        with self._lock:
            end = self._now + seconds
            while True:
                dues = [due for due in (driven.next_due() for driven in self._driven) if due is not None and due <= end]
                if not dues:
                    break
                self._now = max(self._now, min(dues))
                fired += sum(driven.fire() for driven in tuple(self._driven))
                if settle is not None:
                    settle()
            self._now = end
        return fired

    def drive(self, driven: Driven) -> None:
        """Fire `driven` from now on whenever the clock moves; `ActorSystem` calls this."""
        with self._lock:
            self._driven.append(driven)


class Collector:
    """A call-back that keeps what it is called with, for a test to wait on.

    It fits `on_outcome`, `EventBus.subscribe` (it keeps the last argument) and any other call-back with one value.
    """

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._all: list[Any] = []

    def __call__(self, *values: Any) -> None:
        """Keep the last of `values`. Any thread."""
        with self._arrived:
            self._waiting.append(values[-1])
            self._all.append(values[-1])
            self._arrived.notify_all()

    @property
    def all(self) -> tuple[Any, ...]:
        """Everything that ever came, in order."""
        with self._arrived:
            return tuple(self._all)

    def expect(self, kind: type[T], *, where: Callable[[T], bool] | None = None, timeout: float = PATIENCE) -> T:
        """Take the first `kind` that was not taken yet, waiting for it if need be; what came before it is kept.

        Args:
            kind: Its class.
            where: Says which of that class is meant.
            timeout: Seconds to wait.

        Raises:
            AssertionError: It did not come in time; says what did.
        """

        found: list[T] = []

        def take() -> bool:
            for at, value in enumerate(self._waiting):
                if isinstance(value, kind) and (where is None or where(value)):
                    del self._waiting[at]
                    found.append(value)
                    return True
            return False

        with self._arrived:
            if not self._arrived.wait_for(take, timeout):
                raise AssertionError(f"no {kind.__name__} within {timeout:g} s; there is {list(self._waiting)!r}")
        return found[0]

    def wait_count(self, n: int, *, timeout: float = PATIENCE) -> tuple[Any, ...]:
        """Wait until `n` values came in all, and return all that came.

        Raises:
            AssertionError: Fewer came in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._all) >= n, timeout):
                raise AssertionError(f"{len(self._all)} of {n} came within {timeout:g} s: {self._all!r}")
            return tuple(self._all)


class Probe:
    """An actor that keeps every message, and answers asks with what `answer` makes of them.

    Attributes:
        ref: Where to send to.
        received: The messages.
    """

    def __init__(
        self,
        system: ActorSystem,
        path: str = "/probe",
        *,
        answer: Callable[[Any], Any] = lambda _message: None,
        placement: Placement = "pool",
        trap_exits: bool = True,
    ) -> None:
        """Launch the probe and wait until it is ready.

        Args:
            system: Where it runs.
            path: Its path.
            answer: Called in its turn with each message; returns the answer, or raises and so ends the probe.
            placement: `pool` or `thread`.
            trap_exits: Whether it gets `ExitSignal`s in place of ending with linked actors.
        """
        received = self.received = Collector()
        traps = trap_exits

        class ProbeActor(Actor):
            trap_exits = traps

            def on_receive(self, message: Any) -> Any:
                received(message)
                return answer(message)

        self.launched = launch(system, ProbeActor, path=path, placement=placement)
        self.ref: ActorRef[Any] = self.launched.ref

    def expect(self, kind: type[T], *, where: Callable[[T], bool] | None = None, timeout: float = PATIENCE) -> T:
        """Take the first message of class `kind` that was not taken yet; see `Collector.expect`."""
        return self.received.expect(kind, where=where, timeout=timeout)


class Launched:
    """A started actor in a test.

    Attributes:
        ref: Its ref.
        launch: What a supervisor would hold.
        outcomes: What it reported; `Started` is taken already.
    """

    def __init__(self, launch: Launch, outcomes: Collector) -> None:
        found = launch.ref
        assert found is not None  # it has reported that it started
        self.launch = launch
        self.outcomes = outcomes
        self.ref: ActorRef[Any] = found

    def stop(self, reason: ExitReason) -> None:
        """Ask it to end; `outcomes` gets `Exited`."""
        self.launch.stop(reason)


def launch(
    system: ActorSystem,
    factory: Callable[[], Actor],
    *,
    path: str,
    placement: Placement = "pool",
    incarnation: Incarnation | None = None,
    mailbox: MailboxSpec | None = None,
    timeout: float = PATIENCE,
) -> Launched:
    """Spawn an actor as a supervisor would, and wait until it has started.

    Raises:
        AssertionError: It did not start, or not in time; says what it reported.
    """
    outcomes = Collector()
    report: Callable[[Outcome], None] = outcomes
    launched = system.spawn(
        factory,
        path=path,
        placement=placement,
        incarnation=incarnation if incarnation is not None else Incarnation(),
        mailbox=mailbox,
        on_outcome=report,
    )
    first = outcomes.expect(object, timeout=timeout)
    if not isinstance(first, Started):
        raise AssertionError(f"{path} did not start: {first!r}")
    return Launched(launched, outcomes)
