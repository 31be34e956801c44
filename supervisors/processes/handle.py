"""One process child as its supervisor holds it: its words, its messages, and the life it shares with other processes.

Everything but the public methods runs on the launcher's reactor; see `supervisors.processes.life`. When the process
ends, asks in flight are answered before the supervisor is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from actors.addresses import Address
from actors.core.mailbox import DEFAULT_MAILBOX, ActorStatistics, MailboxSpec
from actors.core.outcomes import RestartAsked, Started
from actors.events import ActorReported, CrashRecorded, Event
from actors.exits import ExitReason, from_record, to_record
from supervisors import loglevels
from supervisors.children import LaunchRequest, Report
from supervisors.loglevels import Levels
from supervisors.processes import states
from supervisors.processes.blackbox import box_path, read_box, remove_box
from supervisors.processes.bootstrap import DUMP_SIGNAL
from supervisors.processes.capture import Captured
from supervisors.processes.forwarding import LogIntake, decode_event, keep_letter
from supervisors.processes.life import Life, Shared
from supervisors.processes.protocol import (
    Beat,
    Bye,
    Declined,
    Ended,
    Handover,
    Letter,
    Logged,
    Ready,
    RestartWanted,
    Resume,
    Start,
    Status,
    Stop,
    Suspend,
    Word,
    from_payload,
    to_envelope,
)
from supervisors.processes.refs import ProcessRef
from supervisors.processes.spawning import Made
from supervisors.processes.statuses import PROCESS_EXIT
from supervisors.processes.terms import import_path_of
from supervisors.processes.trees import signal_process
from supervisors.processes.wordlimits import WordLimits
from supervisors.programs import ProgramStart
from transport.channels import Channel, LaneStatistics
from transport.envelope import Envelope, Kind
from transport.errors import MalformedFrameError
from transport.gateway import Gateway
from transport.listening import Listener

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

STATUS_BYTES: Final = 64 * 1024
"""Largest status of a child."""

NOTE_LENGTH: Final = 200
"""Characters of its status that `tree` shows."""

FIGURES_EVERY: Final = 5.0
"""Seconds between two reports of a child's figures, where its spec asks for no more frequent heartbeat."""


WHY_LIMIT: Final = 200
"""Characters of a child's own reason for its restart that are kept."""


class ProcessChild(Life):
    """A process child: meets `supervisors.children.ChildHandle`.

    Attributes:
        beat: The last heartbeat, None before the first.
        longest_beat: Most seconds between two heartbeats. Where the spec asks for fewer, or none, the others bring
            figures only, and silence is no fault.
        target: Its class, `package.module:Class`, once it is prepared; what its spares are called.
        classes: What its spares import; () for its class.
        handover: What its process is told first, once it is launched.
        limits: How much it may say about itself.
    """

    longest_beat = FIGURES_EVERY

    def __init__(self, shared: Shared, request: LaunchRequest, report: Report, mark: str) -> None:
        super().__init__(shared, request, report, mark)
        self.beat: Beat | None = None
        self.target = ""
        self.classes: tuple[str, ...] = ()
        self.handover: Handover | None = None
        self._origin = ""
        self.identity: bytes | None = None
        """Its connection, once it has said hello."""
        self.early_hello: Callable[[], None] | None = None
        """Looks again at a hello that came before this side knew of the process."""
        self.public_key = ""
        """Its CURVE key, where the socket is tcp."""
        self._start: Start | None = None
        self._logs = LogIntake(request.path, shared.capture.offer)
        self._ref: ProcessRef | None = None
        self._note = ""
        self.limits = WordLimits(shared.system, request.path, lambda: self.pid)
        start = request.spec.start
        self.worker = start if isinstance(start, ProgramStart) else None
        """How it is started where it is a worker in another language."""
        mailbox = request.spec.mailbox or DEFAULT_MAILBOX
        self._channel = Channel(
            request.path,
            self._transmit,
            shared.reactor.post,
            window=shared.window,
            mailbox=mailbox,
            mailbox_of=self.mailbox_of,
            transmit_here=self._transmit_here,
        )
        self.gateway = Gateway(
            shared.system,
            self._channel,
            self._on_runtime,
            window=shared.window,
            listen=Listener(shared.socket, self._take_answer),
        )
        self.gateway.on_malformed = self.limits.malformed

    # -- for the supervisor, on any thread ------------------------------------------------------------

    @property
    def ref(self) -> ProcessRef | None:
        """The ref of the actor, or None before it is ready and after it has ended."""
        return self._ref

    def figures(self) -> ActorStatistics | None:
        """What the last heartbeat said of the mailbox; None before the first. Instants are of the child's clock."""
        beat = self.beat
        return beat.statistics if beat is not None else None

    @property
    def note(self) -> str:
        """What it last said of itself."""
        return self._note

    def suspend(self) -> None:
        """Hold back the actor's messages: those sent from now on too."""
        self._say(Suspend())

    def resume(self) -> None:
        """Let the actor's messages through again."""
        self._say(Resume())

    # -- for the launcher ---------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Which instance this is."""
        return self._request.incarnation.generation

    @property
    def start(self) -> Start:
        """What it is to run."""
        assert self._start is not None  # prepared before the launch
        return self._start

    @property
    def spares(self) -> int:
        """How many spares of its class its spec asks for."""
        return self._request.spec.spares

    @property
    def origin(self) -> str:
        """How its process was made: `new`, `copy` or `spare`; "" before there is one."""
        return self._origin

    def mailbox_of(self, path: str) -> MailboxSpec:
        """Return what bounds the messages that wait here for the actor at `path` of its process."""
        return self._request.spec.mailbox or DEFAULT_MAILBOX

    def lane(self, path: str) -> LaneStatistics | None:
        """Return the figures of what is on its way to the actor at `path` of its process; None where nothing is."""
        lanes = {lane.path: lane for lane in self._channel.lanes()}
        return lanes.get(path) or (lanes.get("") if path == self.path else None)

    def prepare(self) -> Exception | None:
        """Make what will be sent once the child has connected; return why that cannot be."""
        try:
            self._start = self._start_word()
            to_envelope(self._start)  # raises where it cannot cross
        except (ValueError, TypeError) as error:
            return error
        return None

    def _start_word(self, target: str | None = None, plan: bytes = b"") -> Start:
        """Return what the child is told to run.

        Raises:
            ValueError, TypeError: What its spec starts cannot be named from another process.
        """
        spec = self._request.spec
        incarnation = self._request.incarnation
        last_exit = incarnation.last_exit
        mailbox: MailboxSpec | None = spec.mailbox
        kwargs: dict[str, Any] = {}
        if target is None:
            target, kwargs = import_path_of(spec)
        self.target = target
        return Start(
            target,
            kwargs,
            incarnation.attempt,
            to_record(last_exit) if last_exit is not None else None,
            (mailbox.capacity, mailbox.full, mailbox.block_timeout) if mailbox is not None else None,
            min(spec.heartbeat.every, self.longest_beat) if spec.heartbeat is not None else self.longest_beat,
            logging.getLogger().getEffectiveLevel(),
            plan,
            spec.flight,
        )

    def greeted(self, identity: bytes, *, by_target: bool) -> None:
        """Take note of its connection, and of whether it counts by actor; before anything is sent there."""
        if by_target:
            self._channel.count_by_target()
        self.identity = identity

    def take_over(self, process: Made, pidfd: int | None, captured: Captured) -> None:
        """Take over a process that was made for this child and has its handover."""
        self.mark = process.mark
        self._origin = process.origin
        self.spawned(process, pidfd, captured, self._now() if process.origin == "spare" else None)
        if self.early_hello is not None:
            self.early_hello()

    # -- its kind of child ----------------------------------------------------------------------------

    def send_start(self) -> None:
        """Tell the child what to run."""
        if self._origin != "spare":  # which was told with its handover
            self.gateway.send(to_envelope(self.start))
        loglevels.current.follow(self)

    def take_levels(self, levels: Levels) -> None:
        """Tell the child which log records to pass on."""
        self._say(levels)

    def send_stop(self, reason: ExitReason) -> None:
        """Ask the actor to end."""
        self._say(Stop(to_record(reason)))

    def send_bye(self) -> None:
        """Let the process exit."""
        self._say(Bye())

    def dump_stacks(self) -> None:
        """Have the process write the stacks of its threads."""
        if self.worker is not None:
            self.terminate()  # what its runtime makes of the signal nobody knows
        elif DUMP_SIGNAL is not None:
            number = DUMP_SIGNAL
            self._signal(lambda pid: signal_process(pid, number))

    def report_started(self) -> None:
        """Claim the path, then tell the supervisor."""
        address = Address(self._shared.system.name, self.path, self.generation)
        ref = self._ref = ProcessRef(self.gateway, address, self)
        registry = self._shared.system.registry
        if not registry.claim(self.path, ref):  # type: ignore[arg-type]  # it holds refs of any kind
            logger.error("%s was started while another instance was there: messages go to that one", self.path)
        self._report(Started(ref, self.pid))

    def let_go(self, reason: ExitReason) -> None:
        """Free the path, answer what still waits, and keep what the process did last where it could not say so."""
        self._read_box(reason)
        if self._ref is not None:
            self._shared.system.registry.release(self.path, self._ref)  # type: ignore[arg-type]
            self._ref = None
        self._shared.ender.post(self.gateway.lose("there is no process"))
        self.gateway.end(reason)

    def lost(self) -> None:
        """Answer the asks in flight; a process that never said hello has none."""
        if self.identity is not None:
            self._shared.ender.post(self.gateway.lose("the process ended"))

    # -- the child's words --------------------------------------------------------------------------

    def _on_runtime(self, what: Envelope) -> None:
        if not self.limits.allow(what):
            return
        if what.kind is Kind.EVENT:
            self._take_event(decode_event(what))
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
                most = self._request.spec.bounds.max_messages
                if most is not None and word.statistics.handled >= most:
                    self.recycle(f"it handled {word.statistics.handled} messages")
            case RestartWanted(why):
                self._report(RestartAsked(why[:WHY_LIMIT]))
            case Status(status, state):
                self._take_status(status, state, len(what.payload))
            case Letter():
                keep_letter(self._shared.system, word)
            case Logged():
                self._logs.take(self.pid, word)
            case _:
                self._take_word(word)

    def _take_event(self, event: Event) -> None:
        self._shared.system.bus.publish(event)

    def _take_word(self, word: Word) -> None:
        """Take a word that not every kind of child says.

        Raises:
            MalformedFrameError: This kind does not say it.
        """
        raise MalformedFrameError(f"a child does not say {type(word).__name__}")

    def _take_status(self, status: str, state: dict[str, Any], size: int) -> None:
        if size > STATUS_BYTES:
            raise MalformedFrameError(f"a status has at most {STATUS_BYTES:,} bytes, this has {size:,}")
        if status:
            self._note = status[:NOTE_LENGTH]
        system = self._shared.system
        system.bus.publish(ActorReported(system.clock.time(), self.path, self.generation, status, state))

    # -- private parts ------------------------------------------------------------------------------

    def _read_box(self, reason: ExitReason) -> None:
        if self.handover is None or self.pid is None or not self.handover.run:
            return
        path = box_path(self.handover.run, self.pid)
        has_told = reason.crash is not None and reason.crash.type_name != PROCESS_EXIT
        record = read_box(path) if reason.is_abnormal and not has_told else None
        remove_box(path)
        if record is not None:
            system = self._shared.system
            system.bus.publish(CrashRecorded(system.clock.time(), self.path, self.generation, str(reason), record))

    def _say(self, word: Word) -> None:
        if self.identity is not None:
            self.gateway.send(to_envelope(word))

    def _transmit(self, frame: bytes) -> None:
        if self.identity is not None:
            self._shared.transmit(self.identity, frame)

    def _transmit_here(self, frame: bytes) -> None:
        if self.identity is not None:
            self._shared.socket.send_here((self.identity, frame))

    def _take_answer(self, parts: list[bytes]) -> bool:
        return len(parts) == 2 and parts[0] == self.identity and self.gateway.take_answer(parts[1])
