"""What a launcher and its child say to each other about the child itself; ordinary messages go beside it.

    child                                launcher
      <-- Prepare (pipe) -----------------          a spare alone: which class to import
      --- Prepared (pipe) ---------------->         a spare alone: imported, waiting
      <-- Handover (pipe) ----------------          before anything else: where to connect, and the token
      --- Hello --------------------------->        token, pid, path, generation, protocol
      <-- Start ---------------------------         what to run
      --- Ready | Declined | Ended -------->        on_start came back; Ignore; or an error
      --- Beat ---------------------------->        each `heartbeat` seconds, when the mailbox answered
      --- RestartWanted ------------------->        the actor asked to be replaced; it goes on until it is stopped
      --- Status -------------------------->        how it is, in a line and as data, whenever it likes
      <-- Stop, Suspend, Resume -----------
      <-- Levels -------------------------          which log records to pass on, at each change
      --- Ended --------------------------->        the last word; answers to asks went before it
      <-- Bye -----------------------------         it was heard: exit

A child that is a supervisor (`Start.plan`) says and hears besides:

      --- Report ------------------------->         what nodes below it are now, by pages
      <-- Refresh -------------------------         report everything
      <-- Manage --------------------------         a management call for a supervisor below
      <-- Inquire -------------------------         a question to a supervisor below
      --- Managed ------------------------>         its answer; what it changed was reported before
      --- Beat ---------------------------->        from the start on, while its children are started too

All but the handover travel as payloads of SYSTEM envelopes whose target is "". Fields are only added.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from actors.core.mailbox import ActorStatistics
from actors.exits import ExitRecord
from actors.flightrecord import FlightRule
from supervisors.loglevels import Levels
from transport.codec import Codec
from transport.envelope import Envelope, Kind, envelope
from transport.errors import UnknownTypeError

PROTOCOL = 1
"""Version of these messages. A child of another version is refused: launcher and child are one installation."""


class Prepare(Struct, frozen=True, tag=True):
    """What a spare is to get ready for, written to its standard input; a `Handover` follows when it is needed.

    Attributes:
        target: `package.module:Class`, to be imported, or a name for `classes`.
        node: Name of the node.
        endpoint: The launcher's socket, to connect to already; "" where each child has keys of its own.
        parent_pid, sys_path, environment: As in `Handover`.
        classes: What a subtree's process imports; () for one actor's.
    """

    target: str
    node: str
    endpoint: str
    parent_pid: int
    sys_path: tuple[str, ...]
    environment: dict[str, str | None] = {}
    classes: tuple[str, ...] = ()


class Prepared(Struct, frozen=True, tag=True):
    """A spare has imported its class and waits.

    Attributes:
        seconds: How long that took.
        files: The files it imported that were not installed: path, time of change in nanoseconds, size in bytes.
        problem: Why it could not: the error, in one line. It ends then.
    """

    seconds: float
    files: tuple[tuple[str, int, int], ...] = ()
    problem: str = ""


class Start(Struct, frozen=True):
    """What to run.

    Attributes:
        target: `package.module:Class`; "" where `plan` says what to supervise.
        kwargs: Keyword arguments of the class.
        attempt, last_exit: As in `Incarnation`.
        mailbox: Capacity, answer to full and longest wait where the spec has them.
        heartbeat: Seconds between two heartbeats; None: none.
        log_level: Log records from this level on are forwarded.
        plan: A `supervisors.processes.plans.Plan`: the child is a supervisor with its children.
        flight: What is kept of a crash; None: the usual.
    """

    target: str
    kwargs: dict[str, Any]
    attempt: int = 0
    last_exit: ExitRecord | None = None
    mailbox: tuple[int, str, float] | None = None
    heartbeat: float | None = None
    log_level: int = 20
    plan: bytes = b""
    flight: FlightRule | None = None


class Handover(Struct, frozen=True, tag=True):
    """What a child must know to connect, written to its standard input.

    Attributes:
        endpoint: The launcher's socket.
        token: Secret that proves that the process which connects is this child.
        path: Path of the actor.
        generation: Which instance.
        parent_pid: The launcher's process.
        node: Name of the node, which the child's system takes too.
        sys_path: The launcher's module search path.
        window: Messages that may be under way, each way, before they are accepted.
        environment: Variables to be set as the launcher has them now; None: not set.
        directory: The launcher's working directory, for a process that may have another; or "".
        run: Directory for the sockets of a launcher in the child.
        name: Stem of those sockets' names; no two launchers of one directory share it.
        home: The runtime's directory, where actors keep state; or "".
        server_key: The launcher's CURVE public key where the endpoint is tcp, or "".
        public_key, secret_key: The child's CURVE key pair, or "".
        start: What to run, for a spare that is to run it at once; else it is said after the hello.
    """

    endpoint: str
    token: bytes
    path: str
    generation: int
    parent_pid: int
    node: str
    sys_path: tuple[str, ...]
    window: int
    environment: dict[str, str | None] = {}
    directory: str = ""
    run: str = ""
    name: str = ""
    home: str = ""
    server_key: str = ""
    public_key: str = ""
    secret_key: str = ""
    start: Start | None = None

    @property
    def home_path(self) -> Path | None:
        """The runtime's directory, None where actors keep no state."""
        return Path(self.home) if self.home else None


FirstWord = Prepare | Handover
"""What may be written to a child's standard input."""


class Hello(Struct, frozen=True):
    """The child's first word; anything else from a stranger is refused and counted.

    Attributes:
        token: From the handover.
        pid: Its process.
        path, generation: From the handover.
        protocol: Version of these messages.
        by_target: Whether it counts what it accepts by actor and takes RUN envelopes, as the launcher does then too.
    """

    token: bytes
    pid: int
    path: str
    generation: int
    protocol: int = PROTOCOL
    by_target: bool = False


class Ready(Struct, frozen=True):
    """The actor's `on_start` came back."""

    seconds: float


class Declined(Struct, frozen=True):
    """The actor answered its start with `Ignore(why)`."""

    why: str


class Ended(Struct, frozen=True):
    """The actor ended, or never came to be. Nothing follows."""

    reason: ExitRecord


class RestartWanted(Struct, frozen=True):
    """The actor asks to be replaced: `why` in a line."""

    why: str


class Bye(Struct, frozen=True):
    """The last word was heard."""


class Stop(Struct, frozen=True):
    """End with `reason`."""

    reason: ExitRecord


class Suspend(Struct, frozen=True):
    """Hold back the actor's messages."""


class Resume(Struct, frozen=True):
    """Let the actor's messages through."""


class Beat(Struct, frozen=True):
    """The actor's mailbox answered; before a subtree is up: its process lives.

    Attributes:
        rss_bytes: Resident size of the process.
        cpu_seconds: Processor time it used so far, user and system.
        threads: Threads it has.
        statistics: The actor's own figures. Instants in it are of the child's monotonic clock.
    """

    rss_bytes: int
    cpu_seconds: float
    threads: int
    statistics: ActorStatistics


class Status(Struct, frozen=True):
    """The actor tells how it is.

    Attributes:
        status: One line for people, or "" where it is as before.
        state: Plain data for programs.
    """

    status: str = ""
    state: dict[str, Any] = {}


class Letter(Struct, frozen=True):
    """A dead letter of the child; the fields are those of `DeadLetter`, the message as it would cross."""

    path: str
    type_name: str
    payload: bytes
    why: str
    sender: str


class Logged(Struct, frozen=True):
    """A log record of the child.

    Attributes:
        name: Its logger.
        level: Its level.
        text: The formatted message, with its traceback.
        created: Wall clock, seconds since the epoch.
        path: The actor it is of, in a subtree; "" for the child itself.
        fields: What was given with `extra`, as plain data.
    """

    name: str
    level: int
    text: str
    created: float
    path: str = ""
    fields: dict[str, Any] = {}


class Report(Struct, frozen=True):
    """What nodes of a subtree are now: one page of a whole report, or of what changed since the last.

    Attributes:
        top: The topmost supervisor's `NodeView`, or b"" where it has not changed.
        records: A list of `supervisors.branches.Record`.
        gone: Paths of nodes that are there no more, with all below them.
        page: Of a whole report: its number from 1; 0: these are changes.
        is_last: Whether a whole report ends here.
        answers: The `Refresh` that a whole report answers; 0: none.
    """

    top: bytes
    records: bytes
    gone: tuple[str, ...] = ()
    page: int = 0
    is_last: bool = True
    answers: int = 0


class Refresh(Struct, frozen=True):
    """Report everything; the last page is to say `number`."""

    number: int


class Manage(Struct, frozen=True):
    """Carry out a management call (`supervisors.processes.plans`) on the supervisor at `supervisor`."""

    number: int
    supervisor: str
    request: bytes


class Inquire(Struct, frozen=True):
    """Answer a question (`supervisors.processes.questions`) to the supervisor at `supervisor`; nothing changes.

    Attributes:
        number: Of the call: management calls and questions are numbered together.
        supervisor: Whom it is put to.
        what: What is asked.
        id: The child it is about, or "".
        request: The management call whose outlook is asked for, or nothing.
    """

    number: int
    supervisor: str
    what: str
    id: str = ""
    request: bytes = b""


class Managed(Struct, frozen=True):
    """The one answer to the management call or question `number`."""

    number: int
    result: bytes


Word = (
    Hello
    | Start
    | Ready
    | Declined
    | Ended
    | Bye
    | Stop
    | Suspend
    | Resume
    | Beat
    | Status
    | Letter
    | Logged
    | Report
    | Refresh
    | Manage
    | Inquire
    | Managed
    | RestartWanted
    | Levels
)

_PREFIX: Final = "process:"
_WORDS: Final[dict[str, type[Word]]] = {_PREFIX + cls.__name__: cls for cls in get_args(Word)}
_codec: Final = Codec()


def to_envelope(word: Word) -> Envelope:
    """Return the envelope that carries `word`.

    Raises:
        EncodingError: It holds what msgpack cannot carry (`Start.kwargs` may).
        LimitExceededError: It is larger than a payload may be.
    """
    name = _PREFIX + type(word).__name__
    return envelope(Kind.SYSTEM, "", name, _codec.encode_value(word, name))


def from_payload(type_name: str, payload: bytes) -> Word:
    """Return the word that a SYSTEM envelope carries.

    Raises:
        UnknownTypeError: It carries another thing.
        CodecError: The bytes are not of that type.
    """
    kind = _WORDS.get(type_name)
    if kind is None:
        raise UnknownTypeError(type_name, "it is no word of the process protocol")
    word: Word = _codec.decode_value(kind, payload)
    return word


def pack_word(word: FirstWord | Prepared) -> bytes:
    """Return the bytes to write to the pipe between launcher and child: their length in four bytes, then msgpack."""
    data = msgspec.msgpack.encode(word)
    return len(data).to_bytes(4, "big") + data
