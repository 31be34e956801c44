"""The inside of a process child: one actor in a system of its own, and the way to its launcher.

    main thread      imports the actor's module, waits, exits
    reactor          owns the socket; beats; never runs code of the actor
    the actor        on a thread of its own

Beyond the actor's own system lies the launcher's node: `self.system.ref("/io/gmail")` is found there, what is published
on the bus here arrives on the bus there, and so do dead letters and log records.

A heartbeat is sent only when the actor answered: the reactor puts a question into the system lane of its mailbox, and
beats when the answer is there. So an endless loop in a handler is noticed, as well as C code that holds the
interpreter; a coroutine that awaits is no silence, as long as its event loop turns.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import zmq
from msgspec.structs import replace

from actors.addresses import Address, is_within
from actors.core.actor import Actor
from actors.core.context import enter_loop
from actors.core.flight import DEFAULT_RULE, FlightRecorder
from actors.core.future import Ask
from actors.core.mailbox import NO_STATISTICS, MailboxSpec
from actors.core.outcomes import Exited, Ignored, Incarnation, Outcome, RestartAsked, Started, StartFailed
from actors.core.registry import Registry
from actors.core.system import ActorSystem, Launch
from actors.exits import ExitReason, from_record, to_record
from supervisors import loglevels
from supervisors.loglevels import Levels
from supervisors.processes import measures
from supervisors.processes.blackbox import box_path, shared_ring
from supervisors.processes.forwarding import ForwardedDeadLetters, ForwardedEvents, Outlet, forward_logs
from supervisors.processes.protocol import (
    Beat,
    Bye,
    Declined,
    Ended,
    Handover,
    Hello,
    Inquire,
    Manage,
    Prepare,
    Ready,
    Refresh,
    RestartWanted,
    Resume,
    Start,
    Stop,
    Suspend,
    Word,
    from_payload,
    to_envelope,
)
from supervisors.processes.statuses import signal_name
from transport.channels import Channel
from transport.connecting import check_admitted
from transport.envelope import Envelope
from transport.gateway import Gateway
from transport.listening import Listener
from transport.reactor import Reactor
from transport.security import ClientKeys, KeyPair
from transport.sockets import Socket, SocketSpec

if TYPE_CHECKING:
    from supervisors.processes.branchside import BranchSide

BYE_TIMEOUT: Final = 2.0
"""Seconds to wait for the launcher's word that the child's last one was heard."""
OUTBOX: Final = 1_000_000
"""Frames that may wait for the wire. What fills it is bounded before: by credit, by `forwarding.BACKLOG`."""


class NodeRegistry(Registry):
    """The actors of this process, and beyond them those of the launcher's node."""

    def __init__(self, gateway: Gateway, node: str, own: str) -> None:
        super().__init__()
        self._gateway = gateway
        self._node = node
        self._own = own

    def get(self, path: str) -> Any:
        """Return the ref of the instance here, or else a ref of whoever is at `path` in the launcher's node."""
        found = super().get(path)
        if found is not None or is_within(path, self._own):
            return found
        return self._gateway.ref(Address(self._node, path))


class Ground:
    """What a child stands on, whichever it is: an actor system, and a connection to the launcher that has said nothing.

    Attributes:
        receive: Gets what arrives; on the reactor's thread.
    """

    def __init__(self, place: Handover | Prepare) -> None:
        """Connect to the endpoint of `place`; a key that is refused there is an `AuthenticationError`, not silence."""
        self.receive: Callable[[Socket, list[bytes]], None] | None = None
        self.system = ActorSystem(place.node)
        self.reactor = Reactor("processes-child")
        self.reactor.run(enter_loop)
        spec = _spec_of(place)
        check_admitted(spec)
        self.socket = self.reactor.open(spec, self._take)

    def _take(self, socket: Socket, frames: list[bytes]) -> None:
        if self.receive is not None:
            self.receive(socket, frames)


class Probe:
    """What the heartbeat asks of the actor's mailbox."""


class Child:
    """This process's actor and its way to the launcher."""

    def __init__(self, handover: Handover, ground: Ground | None = None) -> None:
        """Say hello; on `ground`, which a spare has prepared, or else connect first."""
        if ground is None:
            ground = Ground(handover)
        self._handover = handover
        self._made_at = time.monotonic()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._launch: Launch | BranchSide | None = None
        self._branch: BranchSide | None = None
        self._ref: Any = None  # set before the launcher hears that the actor is ready
        self._stop: ExitReason | None = None
        self._is_suspended = False
        self._signal: int | None = None
        self._code = 0
        self._is_over = False
        self._asked_mailbox = self._asked_loop = False
        self._probes = 0
        self.system = ground.system
        self._reactor = ground.reactor
        self._socket = ground.socket
        self._channel = Channel(
            "the launcher",
            lambda frame: _send(self._socket, frame),
            self._reactor.post,
            window=handover.window,
            transmit_here=lambda frame: self._socket.send_here((frame,)),
        )
        self._channel.count_by_target()
        self._gateway = Gateway(
            self.system,
            self._channel,
            self._on_runtime,
            window=handover.window,
            listen=Listener(self._socket, lambda parts: len(parts) == 1 and self._gateway.take_answer(parts[0])),
        )
        self._outlet = Outlet(self._gateway.send, self._waiting)
        self.system.home = handover.home_path
        self.system.registry = NodeRegistry(self._gateway, handover.node, handover.path)
        self.system.dead_letters = ForwardedDeadLetters(self.system.clock, self.system.bus, self._outlet)
        self.system.bus.subscribe(ForwardedEvents(self._outlet))
        ground.receive = self._receive
        self._say(Hello(handover.token, os.getpid(), handover.path, handover.generation, by_target=True))
        if handover.start is not None:
            start = handover.start
            self._jobs.put(lambda: self._start(start))

    def run(self) -> tuple[int, int | None]:
        """Do the main thread's part until the process may exit; return its code, and the signal it is to end by."""
        while (job := self._jobs.get()) is not None:
            job()
        if self._branch is not None:
            self._branch.close()
        self._reactor.close(BYE_TIMEOUT)
        return self._code, self._signal

    def post_signal(self, number: int) -> None:
        """Stop the actor because of signal `number`; safe in a signal handler."""
        self._jobs.put(lambda: self._take_signal(number))

    # -- the launcher's words, on the reactor's thread ------------------------------------------------

    def _receive(self, _socket: Socket, frames: list[bytes]) -> None:
        self._gateway.receive(frames[-1])

    def _on_runtime(self, what: Envelope) -> None:
        word = from_payload(what.type_name, what.payload)
        match word:
            case Start():
                self._jobs.put(lambda: self._start(word))
            case Stop(reason):
                self._ask_to_stop(from_record(reason))
            case Suspend() | Resume():
                self._suspend(isinstance(word, Suspend))
            case Bye():
                self._jobs.put(None)
            case Levels():
                loglevels.current.set(word)
            case Manage() | Inquire() | Refresh() if self._branch is not None:
                self._branch.take(word)
            case _:
                return

    def _suspend(self, is_wanted: bool) -> None:
        self._is_suspended = is_wanted
        ref = self._ref
        if ref is not None:
            (ref.suspend if is_wanted else ref.resume)()

    def _ask_to_stop(self, reason: ExitReason) -> None:
        if self._stop is None:
            self._stop = reason
        if self._launch is not None:
            self._launch.stop(reason)

    # -- the actor's life ---------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        """Load the class and launch the actor; on the main thread, which some modules need to be imported on."""
        last_exit = from_record(start.last_exit) if start.last_exit is not None else None
        incarnation = Incarnation(self._handover.generation, start.attempt, last_exit)
        forward_logs(start.log_level, self._outlet, self._record_flights(start).log)
        if start.plan:
            self._start_subtree(start, incarnation)
            return
        try:
            kind = load_actor(start.target)
        except BaseException as error:
            self._end(Ended(to_record(ExitReason.crashed(error))), 1)
            return
        if self._stop is not None:
            self._end(Ended(to_record(self._stop)), 0)
            return
        self._launch = self.system.spawn(
            lambda: kind(**start.kwargs),
            path=self._handover.path,
            placement="thread",
            incarnation=incarnation,
            mailbox=MailboxSpec(*start.mailbox) if start.mailbox is not None else None,  # type: ignore[arg-type]
            on_outcome=lambda outcome: self._take_outcome(outcome, start.heartbeat),
        )
        if self._stop is not None:  # it came before there was a launch to tell
            self._launch.stop(self._stop)

    def _record_flights(self, start: Start) -> FlightRecorder:
        is_one = not start.plan
        recorder = self.system.flight = FlightRecorder(self.system, start.flight or DEFAULT_RULE, is_prompt=is_one)
        if is_one and self._handover.run:
            recorder.make_ring = partial(shared_ring, box_path(self._handover.run, os.getpid()))
        return recorder

    def _start_subtree(self, start: Start, incarnation: Incarnation) -> None:
        """Launch a supervisor with its children; on the main thread."""
        from supervisors.processes.branchside import BranchSide  # loads what no process child needs otherwise

        try:
            branch = BranchSide(self.system, self._reactor, self._handover, start.plan, self._say)
        except BaseException as error:
            self._end(Ended(to_record(ExitReason.crashed(error))), 1)
            return
        if self._stop is not None:
            self._end(Ended(to_record(self._stop)), 0)
            return
        self._branch = branch
        if start.heartbeat is not None:
            self._reactor.every(start.heartbeat, self._beat_early)
        branch.launch(incarnation, lambda outcome: self._take_outcome(outcome, start.heartbeat))
        self._launch = branch
        if self._stop is not None:  # it came before there was a launch to tell
            branch.stop(self._stop)

    def _take_outcome(self, outcome: Outcome, heartbeat: float | None) -> None:
        """Tell the launcher; on the actor's thread."""
        match outcome:
            case Started(found):
                ref: Any = found if found is not None else self.system.registry.get(self._handover.path)
                ref._table[Probe] = _answer_probe
                self._ref = ref
                if self._is_suspended:
                    ref.suspend()
                ready = Ready(time.monotonic() - self._made_at)
                if self._branch is not None:
                    self._branch.say_ready(ready)
                else:
                    self._say(ready)
                if heartbeat is not None:
                    self._reactor.every(heartbeat, lambda: self._beat(ref))
            case Ignored(why):
                self._end(Declined(why), 0)
            case RestartAsked(why):
                self._say(RestartWanted(why))
            case StartFailed(reason) | Exited(reason):
                self._end(Ended(to_record(reason)), 1 if reason.is_abnormal else 0)

    def _end(self, word: Word, code: int) -> None:
        """Say the last word, then exit when it was heard or too much time went by."""
        self._is_over = True
        self._code = code
        self._outlet.pass_on_first()
        self._reactor.post(self._gateway.close_intake)
        self._reactor.post(lambda: self._say(word))
        self._reactor.call_later(BYE_TIMEOUT, lambda: self._jobs.put(None))

    def _take_signal(self, number: int) -> None:
        self._signal = number
        self._ask_to_stop(ExitReason.killed(f"signal {signal_name(number)}"))

    # -- heartbeats, on the reactor's thread ----------------------------------------------------------

    def _beat(self, ref: Any) -> None:
        """Ask the actor for a sign of life, unless it still owes the last one."""
        if self._is_over:
            return
        if not self._asked_mailbox:
            self._asked_mailbox = True
            question: Ask[None] = Ask(Probe())
            question.add_done_callback(lambda: self._reactor.post(lambda: self._mailbox_answered(ref)))
            ref.tell_system(question)
        if self._is_awaiting() and not self._asked_loop:  # a coroutine holds the actor's turn meanwhile
            self._asked_loop = True
            self.system.loop.post(lambda: self._reactor.post(lambda: self._loop_answered(ref)))

    def _beat_early(self) -> None:
        """Say that the process lives, until its subtree is up: a child of it may take long to start."""
        if self._ref is None and not self._is_over:
            size = measures.rss_bytes() or 0
            self._say(Beat(size, measures.cpu_seconds(), measures.thread_count(), NO_STATISTICS))

    def _is_awaiting(self) -> bool:
        return self._launch is not None and self._launch.is_awaiting

    def _mailbox_answered(self, ref: Any) -> None:
        self._asked_mailbox = False
        self._probes += 1
        self._say_alive(ref)

    def _loop_answered(self, ref: Any) -> None:
        self._asked_loop = False
        if self._is_awaiting():
            self._say_alive(ref)

    def _say_alive(self, ref: Any) -> None:
        if not self._is_over:
            figures = ref.statistics()
            figures = replace(figures, handled=max(0, figures.handled - self._probes))
            if figures.handling == Probe.__name__:
                figures = replace(figures, handling=None, handling_since=None)
            size = measures.rss_bytes() or 0
            self._say(Beat(size, measures.cpu_seconds(), measures.thread_count(), figures))

    # -- private parts ------------------------------------------------------------------------------

    def _say(self, word: Word) -> None:
        self._gateway.send(to_envelope(word))

    def _waiting(self) -> int:
        return self._channel.backlog + self._socket.statistics().waiting


def load_actor(target: str) -> type[Actor]:
    """Return the actor class that `package.module:Class` names, importing its module.

    Raises:
        TypeError, ValueError: It names something else, or is not of that form.
        Exception: What the module's own code raises, `ImportError` first.
    """
    module_name, colon, qualified = target.partition(":")
    if not colon or not module_name or not qualified:
        raise ValueError(f"{target!r} is no import path: package.module:Class")
    found: Any = import_module(module_name)
    for part in qualified.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportError(f"module {module_name!r} has no {qualified!r}", name=module_name) from None
    if not (isinstance(found, type) and issubclass(found, Actor)):
        raise TypeError(f"{target} is no Actor class but {found!r}")
    return found


def _answer_probe(_actor: Any, _message: Any) -> None:
    return None


def _spec_of(place: Handover | Prepare) -> SocketSpec:
    keys = None
    if isinstance(place, Handover) and place.server_key:
        keys = ClientKeys(KeyPair(place.public_key, place.secret_key), place.server_key)
    return SocketSpec(zmq.DEALER, connect=place.endpoint, name="launcher", outbox=OUTBOX, linger=BYE_TIMEOUT, keys=keys)


def _send(socket: Socket, frame: bytes) -> None:
    socket.send([frame])
