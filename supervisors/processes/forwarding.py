"""What a child passes on to its launcher of its own accord: events, dead letters and log records.

None of it may hold up the child or fill its memory: beyond `BACKLOG` envelopes that wait for the wire the newest are
dropped and counted, and the count is said in the log once there is room again. Events keep their type, time and path;
dead letters arrive in the node's own list; log records are handled by the node's handlers under their own logger.

A log record costs whoever writes it a place in a queue, as in the node: a thread passes on what gathered in some
milliseconds. A warning or an error takes what is before it along on the thread that logs it, since the end of the
process may come next; so does every event, dead letter and last word, so that all arrives in order.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.addresses import is_within
from actors.clock import Clock
from actors.core.bus import EventBus
from actors.core.deadletters import DeadLetters
from actors.core.system import ActorSystem
from actors.events import EVENT_TYPES, DeadLettered, Event
from actors.exits import Crash, CrashRecord
from actors.hiding import hidden
from supervisors import loglevels, structured
from supervisors.logfields import fields_of
from supervisors.loglevels import Levels
from supervisors.processes.protocol import Letter, Logged, to_envelope
from transport.codec import Codec, name_of
from transport.deliveries import Undecoded, pack_message, unpack_message
from transport.envelope import Envelope, Kind, envelope
from transport.errors import CodecError, MalformedFrameError, UnknownTypeError

BACKLOG: Final = 10_000
TEXT_LIMIT: Final = 20_000
"""Characters of one log record that are passed on."""
BATCH: Final = 0.005
"""Seconds in which log records gather before they are passed on."""
PATIENCE: Final = 1.0
"""Longest wait of who logs a warning for the thread that passes on an earlier record, in seconds."""

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


# --- events -----------------------------------------------------------------------------------------------------------


def _encode_special(value: Any) -> Any:
    if isinstance(value, Crash):
        return value.record
    raise TypeError(f"{type(value).__name__} cannot cross a process")


def _decode_special(kind: type, value: Any) -> Any:
    if kind is Crash:
        return Crash(record=msgspec.convert(value, CrashRecord))
    raise TypeError(f"{kind.__name__} cannot cross a process")


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_encode_special)
_decoders: Final[dict[str, msgspec.msgpack.Decoder[Event]]] = {
    name_of(kind): msgspec.msgpack.Decoder(kind, dec_hook=_decode_special) for kind in EVENT_TYPES
}


def encode_event(event: Event) -> Envelope:
    """Return the envelope that carries `event`.

    Raises:
        TypeError: One of its fields cannot cross a process.
    """
    return envelope(Kind.EVENT, "", name_of(type(event)), _encoder.encode(event))


def decode_event(what: Envelope) -> Event:
    """Return the event that an EVENT envelope carries.

    Raises:
        UnknownTypeError: It names no event class of a module that is imported here.
        MalformedFrameError: The bytes are not of that class.
    """
    decoder = _decoders.get(what.type_name)
    if decoder is None:
        decoder = _decoders[what.type_name] = msgspec.msgpack.Decoder(_find(what.type_name), dec_hook=_decode_special)
    try:
        return decoder.decode(what.payload)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise MalformedFrameError(f"payload is no {what.type_name}: {error}") from None


def _find(type_name: str) -> type[Event]:
    module, _, qualified = type_name.partition(":")
    found: object = sys.modules.get(module)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if not (isinstance(found, type) and issubclass(found, Event) and name_of(found) == type_name):
        raise UnknownTypeError(type_name, "it names no event class of a module that is imported here")
    return found


# --- the child's side -------------------------------------------------------------------------------------------------


class Outlet:
    """Where the child's own words leave: bounded, and safe to use on any thread."""

    def __init__(self, send: Callable[[Envelope], None], waiting: Callable[[], int]) -> None:
        """Make the outlet.

        Args:
            send: Queues an envelope.
            waiting: How many wait.
        """
        self._send = send
        self._waiting = waiting
        self._lock = threading.Lock()
        self.dropped = 0
        """Envelopes dropped because too many waited."""
        self._said = 0
        self.pass_on_first: Callable[[], object] = _nothing
        """Puts what has gathered elsewhere and was said before."""

    def put(self, what: Envelope) -> None:
        """Send `what` after all that was said before, or drop and count it."""
        self.pass_on_first()
        self.put_next(what)

    def drop(self) -> None:
        """Count one that is not sent."""
        with self._lock:
            self.dropped += 1

    def put_next(self, what: Envelope) -> None:
        """Send `what`, or drop and count it."""
        if self._waiting() >= BACKLOG:
            self.drop()
            return
        self._send(what)
        if self._said != self.dropped:
            with self._lock:
                lost, self._said = self.dropped - self._said, self.dropped
            logger.warning("%d events, dead letters or log records were dropped: the launcher was too slow", lost)


def _nothing() -> None:
    """What was said before is on its way already."""


class ForwardedEvents:
    """A bus subscriber that passes events on. Dead letters go their own way."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def __call__(self, _number: int, event: Event) -> None:
        if not isinstance(event, DeadLettered):
            self._outlet.put(encode_event(event))


class ForwardedDeadLetters(DeadLetters):
    """The child's dead letters: kept here, and passed on."""

    def __init__(self, clock: Clock, bus: EventBus, outlet: Outlet) -> None:
        super().__init__(clock, bus)
        self._outlet = outlet
        self._codec = Codec()

    def put(self, path: str, message: Any, why: str, sender: str = "") -> None:
        """Keep `message` and pass it on; one that cannot cross a process is passed on by its type and `repr`."""
        super().put(path, message, why, sender)
        try:
            type_name, payload = pack_message(self._codec, message)
        except (CodecError, TypeError, AttributeError):
            type_name, payload = name_of(type(message)), repr(message)[:TEXT_LIMIT].encode("utf-8", "replace")
        self._outlet.put(to_envelope(Letter(path, type_name, payload, why, sender)))


class ForwardedLogs(logging.Handler):
    """A handler that passes log records on, in order; what passing one on logs itself is not."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet
        self._inside = threading.local()
        self._gathered: deque[logging.LogRecord] = deque()
        self._passing = threading.RLock()
        self._wake = threading.Event()
        self._asleep = False
        outlet.pass_on_first = self.flush
        threading.Thread(target=self._run, name="log-forwarder", daemon=True).start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record that the levels of this process let through; without the lock, as each step is atomic."""
        is_wanted = loglevels.current.filter(record)
        if is_wanted:
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Queue `record`; a warning or worse is passed on at once, and all before it."""
        if getattr(self._inside, "busy", False):
            return
        if len(self._gathered) >= BACKLOG:
            self._outlet.drop()
            return
        self._gathered.append(record)
        if record.levelno >= logging.WARNING:
            self.flush()
        elif self._asleep:
            self._wake.set()

    def flush(self) -> None:
        """Pass on what has gathered, on this thread; on any."""
        while self._gathered and not getattr(self._inside, "busy", False):
            if not self._passing.acquire(timeout=PATIENCE):
                return  # whoever passes one on does so with the rest
            try:
                if self._gathered:
                    self._pass_on(self._gathered.popleft())
            finally:
                self._passing.release()

    def _run(self) -> None:
        while True:
            self._asleep = True  # said before the look, as a record is put before `emit` looks: one of them sees it
            if not self._gathered:
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
            time.sleep(BATCH)
            self.flush()

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Pass `record` on, its traceback included."""
        self._inside.busy = True
        try:
            is_plain = not (record.exc_info or record.stack_info)
            said = record.getMessage() if is_plain else self.format(record)
            text = hidden(said)[:TEXT_LIMIT].encode("utf-8", "backslashreplace").decode()
            path, fields = record.__dict__.get("path", ""), fields_of(record)
            logged = Logged(record.name, record.levelno, text, record.created, str(path), fields)
            self._outlet.put_next(to_envelope(logged))
        except Exception:
            self.handleError(record)
        finally:
            self._inside.busy = False


def forward_logs(level: int, outlet: Outlet, kept: logging.Handler) -> None:
    """Pass records of `level` and above on by `outlet`, as the process's levels allow; `kept` gets them too."""
    structured.install()
    root = logging.getLogger()
    root.handlers += ForwardedLogs(outlet), kept
    loglevels.current.set(Levels(level))


# --- the launcher's side ----------------------------------------------------------------------------------------------


def keep_letter(system: ActorSystem, letter: Letter) -> None:
    """Put a child's dead letter into the node's own list; publishes `DeadLettered`."""
    try:
        message: Any = unpack_message(Codec(), letter.type_name, letter.payload)
    except CodecError:
        message = Undecoded(letter.type_name, letter.payload)
    system.dead_letters.put(letter.path, message, letter.why, letter.sender)


def handle_log(path: str, pid: int | None, logged: Logged) -> None:
    """Have the node's handlers take a child's log record; may block as long as they do."""
    target = logging.getLogger(logged.name)
    if not target.isEnabledFor(logged.level):
        return
    record = target.makeRecord(logged.name, logged.level, "", 0, logged.text, (), None, extra=None)
    vars(record).update({key: value for key, value in logged.fields.items() if key not in vars(record)})
    record.path, record.pid = logged.path if is_within(logged.path, path) else path, pid
    record.created = logged.created
    record.msecs = (logged.created % 1) * 1000
    target.handle(record)


class LogIntake:
    """Has a child's log records handled where that may wait, unless too many wait there already.

    Attributes:
        lost: Records dropped.
    """

    def __init__(self, path: str, offer: Callable[[Callable[[], None]], bool]) -> None:
        """Make the intake.

        Args:
            path: The child.
            offer: Has a call made on a thread that may wait; False where too many wait.
        """
        self._path = path
        self._offer = offer
        self.lost = 0

    def take(self, pid: int | None, logged: Logged) -> None:
        """Have `logged` handled, or drop and count it."""
        if not self._offer(lambda: handle_log(self._path, pid, logged)):
            self.lost += 1
            if self.lost & (self.lost - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...
                logger.warning("%s: %d log records were dropped: the log is too slow", self._path, self.lost)
