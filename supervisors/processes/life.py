"""One operating system process under the machine (`supervisors.processes.core`): what every kind of child shares.

Everything but the public methods runs on the launcher's reactor, one call after another, so the child's state needs no
lock. What takes time (making a process, reading the process table, sweeping) goes to a worker and comes back as an
event. The way of an end: the pidfd speaks; the ender ends what the process left behind; the capture reads what it last
wrote; only then the machine learns of the end and the supervisor is told.

A kind of child says the rest by the methods below `kinds`: how it is asked to end, and what being ready means.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Any, Final, assert_never

from msgspec import Struct

from actors.core.mailbox import ActorStatistics
from actors.core.outcomes import Exited, Ignored, Outcome, RestartAsked, StartFailed
from actors.core.system import ActorSystem
from actors.events import MetricSampled, UsageHigh
from actors.exits import ExitReason
from supervisors.children import LaunchRequest, Report
from supervisors.processes import core, states
from supervisors.processes.capture import Capture, Captured
from supervisors.processes.census import Census
from supervisors.processes.measures import usage_of
from supervisors.processes.metering import Meter, look
from supervisors.processes.spawning import Process, Worker
from supervisors.processes.terms import limits_of
from supervisors.processes.trees import kill_group, kill_tree, signal_group, sweep_remains
from supervisors.usage import Usage
from transport.identity import ProcessIdentity
from transport.reactor import Reactor, Timer
from transport.sockets import Socket

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


LOOK_AT_ALL: Final = 10
"""Every so many looks those are looked at too that have no limit, for their figures."""

MEASURE_ALL: Final = 60
"""Every so many looks the figures go on the bus as metrics."""


class Shared(Struct, frozen=True):
    """What the children of one launcher share.

    Attributes:
        system: The node's actors.
        reactor: Runs the children's machines.
        ender: Signals, ends and clears up after processes; one thread, so that a pid is its own while it is used.
        capture: Reads their output.
        transmit: Sends a frame to the connection of that identity.
        socket: What the children are connected to.
        ended: Told of each child that has ended, on the reactor's thread.
        spawn_again: Makes another process for a child, on the reactor's thread.
        census: Finds what a child left behind; the ender's.
        pidfds: Whether ends are noticed by pidfd.
        window: Messages that may be under way to and from a child before they are accepted.
    """

    system: ActorSystem
    reactor: Reactor
    ender: Worker
    capture: Capture
    transmit: Callable[[bytes, bytes], None]
    socket: Socket
    ended: Callable[[Life], None]
    spawn_again: Callable[[Life], None]
    census: Census
    pidfds: bool
    window: int


class Life(ABC):
    """A child that is a process: meets `supervisors.children.ChildHandle`.

    Attributes:
        path: Its path.
        placement: `process`.
        mark: What its descendants carry in their environment.
    """

    placement = "process"

    @property
    def note(self) -> str:
        """What it last said of itself in a line."""
        return ""

    def __init__(self, shared: Shared, request: LaunchRequest, report: Report, mark: str) -> None:
        self._shared = shared
        self._request = request
        self._report = report
        self.path = request.path
        self.mark = mark
        self._limits = limits_of(request.spec)
        self._state: states.State = states.Ended()
        self._process: Process | None = None
        self._pidfd: int | None = None
        self._captured: Captured | None = None
        self._below: list[ProcessIdentity] = []
        self._timer: Timer | None = None
        self._meter = Meter()
        self._usage: Usage | None = None
        self._is_worn = False

    # -- for the supervisor, on any thread ------------------------------------------------------------

    @property
    def ref(self) -> Any:
        """The ref of what runs there, or None."""
        return None

    @property
    def pid(self) -> int | None:
        """The process, None before there is one."""
        return self._process.pid if self._process is not None else None

    def figures(self) -> ActorStatistics | None:
        """What it last said of its mailbox; None where it has said nothing."""
        return None

    def stop(self, reason: ExitReason) -> None:
        """Ask it to end; the end arrives as `Exited`, or `StartFailed` before it was ready."""
        self._shared.reactor.post(lambda: self.feed(states.StopAsked(reason)))

    @abstractmethod
    def suspend(self) -> None:
        """Hold it back."""

    @abstractmethod
    def resume(self) -> None:
        """Let it go on."""

    def reread(self) -> None:  # noqa: B027  # most kinds of child have nothing to do here
        """Nothing: a program alone reads a configuration of its own."""

    def kill(self) -> bool:
        """End the process and all it started; TERM comes first if it was asked to stop before. Always True."""
        self._shared.reactor.post(lambda: self.feed(states.KillAsked(self._now())))
        return True

    # -- for the launcher ---------------------------------------------------------------------------

    @property
    def is_unwanted(self) -> bool:
        """Whether it was stopped or killed before there was a process."""
        return isinstance(self._state, states.Spawning) and self._state.doomed is not None

    def begin(self) -> None:
        """Start the clock of the launch."""
        self._state = core.launch(self._now(), self._limits)
        self._shared.reactor.post(self._rearm)

    def spawned(self, process: Process, pidfd: int | None, captured: Captured, spare_at: float | None = None) -> None:
        """Take over a process that was made for this child; `spare_at`: when a spare was handed over to it."""
        self._process = process
        self._captured = captured
        self._pidfd = pidfd
        if pidfd is not None:
            self._shared.reactor.watch(pidfd, self._gone)
        else:
            threading.Thread(target=self._wait, name=f"processes-wait-{process.pid}", daemon=True).start()
        self.feed(states.Spawned(self._now(), spare_at))

    @property
    def usage(self) -> Usage | None:
        """What it used at the last look; None before the first."""
        return self._usage

    @property
    def is_bounded(self) -> bool:
        """Whether its spec bounds what it uses, so that it is looked at often."""
        bounds = self._request.spec.bounds
        has_bounds = bounds.memory_warn_bytes is not None or bounds.cpu_warn is not None or bounds.cpu_max is not None
        return has_bounds or self._limits.memory_max_bytes is not None

    def sample(self) -> None:
        """Look at what the process uses, and hold it against its bounds."""
        usage = usage_of(self.pids())
        if usage is None:
            return
        now = self._now()
        self._meter, judged = look(self._meter, now, usage, self._request.spec.bounds)
        self._usage = judged.usage
        publish, at = self._shared.system.bus.publish, self._shared.system.clock.time
        for warned in judged.warnings:
            publish(UsageHigh(at(), self.path, warned.resource, warned.used, warned.bound))
        self.feed(states.Sampled(usage.rss_bytes))
        if judged.reason is not None:
            self.feed(states.Unhealthy(now, judged.reason))

    def measure(self) -> None:
        """Put what it used at the last look on the bus, as metrics."""
        usage = self._usage
        if usage is None:
            return
        at, publish = self._shared.system.clock.time(), self._shared.system.bus.publish
        publish(MetricSampled(at, self.path, "process.memory", float(usage.rss_bytes), "bytes"))
        publish(MetricSampled(at, self.path, "process.threads", float(usage.threads), "count"))
        if usage.cpu_ratio is not None:
            publish(MetricSampled(at, self.path, "process.cpu", usage.cpu_ratio, "ratio"))
        if usage.open_files is not None:
            publish(MetricSampled(at, self.path, "process.open_files", float(usage.open_files), "count"))

    def recycle(self, why: str) -> None:
        """Have the supervisor replace this instance, once, if it is ready; that counts for nothing."""
        if isinstance(self._state, states.Running) and not self._is_worn:
            self._is_worn = True
            self._report(RestartAsked(why, counts=False))

    def feed(self, event: states.Event) -> None:
        """Have the machine take `event` and perform what it decides; on the reactor's thread."""
        before = self._state
        self._state, effects = core.step(before, event, self._limits)
        for effect in effects:
            self._perform(effect)
        if self._state is not before:
            self._rearm()

    # -- kinds: what a kind of child does in its own way, on the reactor's thread ----------------------

    @abstractmethod
    def send_start(self) -> None:
        """Tell it what to run."""

    @abstractmethod
    def send_stop(self, reason: ExitReason) -> None:
        """Ask it to end with `reason`."""

    @abstractmethod
    def send_bye(self) -> None:
        """Tell it that its last word was heard."""

    @abstractmethod
    def dump_stacks(self) -> None:
        """Have it write its stacks to standard error."""

    @abstractmethod
    def report_started(self) -> None:
        """Tell the supervisor that it is ready."""

    @abstractmethod
    def let_go(self, reason: ExitReason) -> None:
        """Give up what belongs to this instance alone: it is over, with `reason`, and reported next."""

    def terminate(self) -> None:
        """Send TERM to everything it runs."""
        self._signal(lambda pid: signal_group(pid, signal.SIGTERM))

    def kill_tree(self) -> None:
        """Send KILL to everything it runs."""
        self._shared.ender.post(self._kill_tree)

    @abstractmethod
    def lost(self) -> None:
        """The process is gone; what it left behind is looked for next."""

    def pids(self) -> Sequence[int]:
        """Return the processes whose use its bounds are about."""
        return (self._process.pid,) if self._process is not None else ()

    def ended(self, returncode: int, tail: str) -> None:
        """The process is gone, with all it left behind."""
        self.feed(states.ProcessEnded(returncode, tail))

    # -- effects ------------------------------------------------------------------------------------

    def _perform(self, effect: states.Effect) -> None:
        match effect:
            case states.SendStart():
                self.send_start()
            case states.SendStop(reason):
                self.send_stop(reason)
            case states.SendBye():
                self.send_bye()
            case states.Terminate():
                self.terminate()
            case states.DumpStacks():
                self.dump_stacks()
            case states.KillTree():
                self.kill_tree()
            case states.SpawnAgain():
                self._below = []
                self._shared.spawn_again(self)
            case states.ReportStarted():
                self.report_started()
                age = self._request.spec.bounds.max_age
                if age is not None:
                    self._shared.reactor.call_later(age, lambda: self.recycle(f"it ran for {age:g} s"))
            case states.ReportIgnored(why):
                self._over(Ignored(why), ExitReason.shutdown("ignored"))
            case states.ReportStartFailed(reason):
                self._over(StartFailed(reason), reason)
            case states.ReportExited(reason):
                self._over(Exited(reason), reason)
            case _:
                assert_never(effect)

    def _over(self, outcome: Outcome, reason: ExitReason) -> None:
        self.let_go(reason)
        self._shared.ended(self)
        self._report(outcome)

    def _signal(self, send: Callable[[int], None]) -> None:
        """Send a signal, on the ender: only there it is known that the pid was not waited for yet."""

        def act() -> None:
            if self._process is not None and self._process.returncode is None:
                send(self._process.pid)

        self._shared.ender.post(act)

    def _kill_tree(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._below += kill_tree(self._process.pid)

    # -- the end of the process -----------------------------------------------------------------------

    def _wait(self) -> None:
        """Notice the end where there are no pidfds: on a thread of its own, leaving the status to be read."""
        process = self._process
        assert process is not None  # made before the thread
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            process.wait()
        self._shared.reactor.post(self._gone)

    def _gone(self) -> None:
        if self._pidfd is not None:
            self._shared.reactor.unwatch(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self._shared.reactor.post(self._lost)  # what it sent before has been read by then

    def _lost(self) -> None:
        self.lost()
        self._shared.ender.post(self._clear_up)

    def _clear_up(self) -> None:
        """End what the process left behind, and wait for it; on the ender."""
        process, captured = self._process, self._captured
        assert process is not None
        assert captured is not None
        kill_group(process.pid)  # before it is waited for: the number is still its own
        returncode = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        left = sweep_remains(self.mark + ";", self._below, self._shared.census.marked)
        if left:
            logger.error("%s left processes behind that cannot be ended: %s", self.path, left)
        post = self._shared.reactor.post
        self._shared.capture.finish(captured, lambda tail: post(lambda: self.ended(returncode, tail)))

    # -- private parts ------------------------------------------------------------------------------

    def _now(self) -> float:
        return monotonic()  # processes live in the machine's time, whatever clock the system was given

    def _rearm(self) -> None:
        """Have the next tick come in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = core.next_look(self._state, self._limits)
        if due != float("inf"):
            self._timer = self._shared.reactor.call_later(
                max(0.0, due - self._now()), lambda: self.feed(states.Tick(self._now()))
            )


class LookAround:
    """Looks at the processes of a launcher, once a call; of the reactor's thread, as they are."""

    def __init__(self, lives: Collection[Life]) -> None:
        self._lives = lives
        self._looks = 0

    def __call__(self) -> None:
        """Look at the bounded ones, and now and then at all of them; less often, put their figures on the bus."""
        self._looks += 1
        everybody = self._looks % LOOK_AT_ALL == 1
        for child in tuple(self._lives):
            if everybody or child.is_bounded:
                child.sample()
            if self._looks % MEASURE_ALL == 0:
                child.measure()
