"""One process child as its supervisor holds it: performs what the machine (`supervisors.processes.core`) decides.

Everything but the public methods runs on the launcher's reactor, one call after another, so the child's state needs no
lock. What takes time (making a process, reading the process table, sweeping) goes to a worker and comes back as an
event. The way of an end: the pidfd speaks; asks in flight are answered; the ender ends what the process left behind;
the capture reads what it last wrote; only then the machine learns of the end and the supervisor is told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, assert_never

from msgspec import Struct

from actors.addresses import Address
from actors.core.mailbox import DEFAULT_MAILBOX, ActorStatistics, MailboxSpec
from actors.core.outcomes import Exited, Ignored, Outcome, Started, StartFailed
from actors.core.system import ActorSystem
from actors.exits import ExitReason, from_record, to_record
from supervisors.children import LaunchRequest, Report
from supervisors.processes import core, states
from supervisors.processes.bootstrap import DUMP_SIGNAL
from supervisors.processes.capture import Capture, Captured
from supervisors.processes.forwarding import LogIntake, decode_event, keep_letter
from supervisors.processes.measures import rss_bytes
from supervisors.processes.protocol import (
    PROTOCOL,
    Beat,
    Bye,
    Declined,
    Ended,
    Hello,
    Letter,
    Logged,
    Ready,
    Resume,
    Start,
    Stop,
    Suspend,
    Word,
    from_payload,
    to_envelope,
)
from supervisors.processes.refs import ProcessRef
from supervisors.processes.spawning import Worker
from supervisors.processes.terms import import_path_of, limits_of
from supervisors.processes.trees import Member, kill_tree, signal_group, signal_process, sweep_remains
from transport.channels import Channel
from transport.envelope import Envelope, Kind
from transport.errors import MalformedFrameError
from transport.gateway import Gateway
from transport.reactor import Reactor, Timer

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

FIGURES_EVERY: Final = 5.0
"""Seconds between two reports of a child whose spec asks for no heartbeat: figures only, silence is no fault."""


class Shared(Struct, frozen=True):
    """What the children of one launcher share.

    Attributes:
        system: The node's actors.
        reactor: Runs the children's machines.
        ender: Signals, ends and clears up after processes; one thread, so that a pid is its own while it is used.
        capture: Reads their output.
        transmit: Sends a frame to the connection of that identity.
        ended: Told of each child that has ended, on the reactor's thread.
        pidfds: Whether ends are noticed by pidfd.
        window: Messages that may be under way to and from a child before they are accepted.
    """

    system: ActorSystem
    reactor: Reactor
    ender: Worker
    capture: Capture
    transmit: Callable[[bytes, bytes], None]
    ended: Callable[[ProcessChild], None]
    pidfds: bool
    window: int


class ProcessChild:
    """A process child: meets `supervisors.children.ChildHandle`.

    Attributes:
        path: Its path.
        placement: `process`.
        mark: What its descendants carry in their environment.
        beat: The last heartbeat, None before the first.
    """

    placement = "process"

    def __init__(self, shared: Shared, request: LaunchRequest, report: Report, mark: str) -> None:
        self._shared = shared
        self._request = request
        self._report = report
        self.path = request.path
        self.mark = mark
        self.beat: Beat | None = None
        self.identity: bytes | None = None
        """Its connection, once it has said hello."""
        self.early_hello: Callable[[], None] | None = None
        """Looks again at a hello that came before this side knew of the process."""
        self.public_key = ""
        """Its CURVE key, where the socket is tcp."""
        self._limits = limits_of(request.spec)
        self._state: states.State = states.Ended()
        self._start: Envelope | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._captured: Captured | None = None
        self._below: list[Member] = []
        self._logs = LogIntake(request.path, shared.capture.offer)
        self._timer: Timer | None = None
        self._ref: ProcessRef | None = None
        mailbox = request.spec.mailbox or DEFAULT_MAILBOX
        self._channel = Channel(
            request.path, self._transmit, shared.reactor.post, window=shared.window, mailbox=mailbox
        )
        self.gateway = Gateway(shared.system, self._channel, self._on_runtime, window=shared.window)

    # -- for the supervisor, on any thread ------------------------------------------------------------

    @property
    def ref(self) -> ProcessRef | None:
        """The ref of the actor, or None before it is ready and after it has ended."""
        return self._ref

    @property
    def pid(self) -> int | None:
        """The process, None before there is one."""
        return self._process.pid if self._process is not None else None

    def figures(self) -> ActorStatistics | None:
        """What the last heartbeat said of the mailbox; None before the first. Instants are of the child's clock."""
        beat = self.beat
        return beat.statistics if beat is not None else None

    def stop(self, reason: ExitReason) -> None:
        """Ask the actor to end; the end arrives as `Exited`, or `StartFailed` before it was ready."""
        self._shared.reactor.post(lambda: self.feed(states.StopAsked(reason)))

    def kill(self) -> bool:
        """End the process and all it started; TERM comes first if it was asked to stop before. Always True."""
        self._shared.reactor.post(lambda: self.feed(states.KillAsked(self._now())))
        return True

    def suspend(self) -> None:
        """Hold back the actor's messages."""
        self._shared.reactor.post(lambda: self._say(Suspend()))

    def resume(self) -> None:
        """Let the actor's messages through again."""
        self._shared.reactor.post(lambda: self._say(Resume()))

    # -- for the launcher ---------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Which instance this is."""
        return self._request.incarnation.generation

    @property
    def is_over(self) -> bool:
        """Whether it has ended and that was reported."""
        return isinstance(self._state, states.Ended)

    @property
    def is_unwanted(self) -> bool:
        """Whether it was stopped or killed before there was a process."""
        return isinstance(self._state, states.Spawning) and self._state.doomed is not None

    def lie_in(self, hello: Hello) -> str:
        """Return what in `hello` is not true of this child, "" where all of it is."""
        if hello.protocol != PROTOCOL:
            return f"it speaks version {hello.protocol} of the protocol"
        if self.pid != hello.pid:
            return f"process {hello.pid} is not process {self.pid}"
        if (hello.path, hello.generation) != (self.path, self.generation):
            return f"{hello.path}@{hello.generation} is not {self.path}@{self.generation}"
        return ""

    def sample(self) -> None:
        """Look at the memory of the process, where it has a limit."""
        if self._limits.memory_max_bytes is not None and self._process is not None:
            size = rss_bytes(self._process.pid)
            if size is not None:
                self.feed(states.Sampled(size))

    def prepare(self) -> Exception | None:
        """Make what will be sent once the child has connected; return why that cannot be."""
        spec = self._request.spec
        incarnation = self._request.incarnation
        last_exit = incarnation.last_exit
        mailbox: MailboxSpec | None = spec.mailbox
        try:
            target, kwargs = import_path_of(spec)
            self._start = to_envelope(
                Start(
                    target,
                    kwargs,
                    incarnation.attempt,
                    to_record(last_exit) if last_exit is not None else None,
                    (mailbox.capacity, mailbox.full, mailbox.block_timeout) if mailbox is not None else None,
                    spec.heartbeat.every if spec.heartbeat is not None else FIGURES_EVERY,
                    logging.getLogger().getEffectiveLevel(),
                )
            )
        except (ValueError, TypeError) as error:
            return error
        return None

    def begin(self) -> None:
        """Start the clock of the launch."""
        self._state = core.launch(self._now(), self._limits)
        self._shared.reactor.post(self._rearm)

    def spawned(self, process: subprocess.Popen[bytes], pidfd: int | None, captured: Captured) -> None:
        """Take over a process that was made for this child."""
        self._process = process
        self._captured = captured
        self._pidfd = pidfd
        if pidfd is not None:
            self._shared.reactor.watch(pidfd, self._gone)
        else:
            threading.Thread(target=self._wait, name=f"processes-wait-{process.pid}", daemon=True).start()
        self.feed(states.Spawned())
        if self.early_hello is not None:
            self.early_hello()

    def feed(self, event: states.Event) -> None:
        """Have the machine take `event` and perform what it decides; on the reactor's thread."""
        before = self._state
        self._state, effects = core.step(before, event, self._limits)
        for effect in effects:
            self._perform(effect)
        if self._state is not before:
            self._rearm()

    # -- effects ------------------------------------------------------------------------------------

    def _perform(self, effect: states.Effect) -> None:
        match effect:
            case states.SendStart():
                assert self._start is not None  # prepared before the launch
                self.gateway.send(self._start)
            case states.SendStop(reason):
                self._say(Stop(to_record(reason)))
            case states.SendBye():
                self._say(Bye())
            case states.Terminate():
                self._signal(lambda pid: signal_group(pid, signal.SIGTERM))
            case states.DumpStacks():
                if DUMP_SIGNAL is not None:
                    number = DUMP_SIGNAL
                    self._signal(lambda pid: signal_process(pid, number))
            case states.KillTree():
                self._shared.ender.post(self._kill_tree)
            case states.ReportStarted():
                self._started()
            case states.ReportIgnored(why):
                self._over(Ignored(why), ExitReason.shutdown("ignored"))
            case states.ReportStartFailed(reason):
                self._over(StartFailed(reason), reason)
            case states.ReportExited(reason):
                self._over(Exited(reason), reason)
            case _:
                assert_never(effect)

    def _started(self) -> None:
        address = Address(self._shared.system.name, self.path, self.generation)
        ref = self._ref = ProcessRef(self.gateway, address, self)
        registry = self._shared.system.registry
        if not registry.claim(self.path, ref):  # type: ignore[arg-type]  # it holds refs of any kind
            logger.error("%s was started while another instance was there: messages go to that one", self.path)
        self._report(Started(ref, self.pid))

    def _over(self, outcome: Outcome, reason: ExitReason) -> None:
        if self._ref is not None:
            self._shared.system.registry.release(self.path, self._ref)  # type: ignore[arg-type]
            self._ref = None
        self._shared.ender.post(self.gateway.lose("there is no process"))
        self.gateway.end(reason)
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
        self._shared.ender.post(self.gateway.lose("the process ended"))
        self._shared.ender.post(self._clear_up)

    def _clear_up(self) -> None:
        """End what the process left behind, and wait for it; on the ender."""
        process, captured = self._process, self._captured
        assert process is not None
        assert captured is not None
        signal_group(process.pid, signal.SIGKILL)  # before it is waited for: the number is still its own
        returncode = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        left = sweep_remains(self.mark + ";", self._below)
        if left:
            logger.error("%s left processes behind that cannot be ended: %s", self.path, left)
        ended = self._shared.reactor.post
        self._shared.capture.finish(
            captured, lambda tail: ended(lambda: self.feed(states.ProcessEnded(returncode, tail)))
        )

    # -- the child's words --------------------------------------------------------------------------

    def _on_runtime(self, what: Envelope) -> None:
        if what.kind is Kind.EVENT:
            self._shared.system.bus.publish(decode_event(what))
            return
        word = from_payload(what.type_name, what.payload)
        match word:
            case Ready():
                self.feed(states.Ready(self._now()))
            case Declined(why):
                self.feed(states.Declined(self._now(), why))
            case Ended(reason):
                self.feed(states.ActorEnded(self._now(), from_record(reason)))
            case Beat(rss_bytes):
                self.beat = word
                self.feed(states.Beat(self._now()))
                self.feed(states.Sampled(rss_bytes))
            case Letter():
                keep_letter(self._shared.system, word)
            case Logged():
                self._logs.take(self.pid, word)
            case _:
                raise MalformedFrameError(f"a child does not say {type(word).__name__}")

    # -- private parts ------------------------------------------------------------------------------

    def _say(self, word: Word) -> None:
        if self.identity is not None:
            self.gateway.send(to_envelope(word))

    def _transmit(self, frame: bytes) -> None:
        if self.identity is not None:
            self._shared.transmit(self.identity, frame)

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
