"""The messages of one peer on their way into mailboxes here, and the answers on their way back.

The thread that owns the socket never waits: where a mailbox is full, a feeder thread waits in its place and the peer's
next messages for that actor queue behind it, at most a window of them, because only what is in a mailbox, or answered
for, is credited to the peer. Messages for other actors pass. What cannot be delivered is a dead letter; an ask is
answered with the error. A message for an actor of a third process goes on as it is, without being understood here, and
so does the word that nobody waits for its answer any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from actors.core.bulk import tell_all
from actors.core.future import Ask, Future
from actors.core.inspection import has_room
from actors.core.system import ActorSystem
from actors.core.tracing import header_here, read_header, traced, tracing
from actors.errors import ActorExitedError, AskTimeoutError, MailboxFullError
from transport.channels import Channel
from transport.codec import Codec, pack_answer, pack_ask, pack_envelope, run_length, split_run
from transport.envelope import Envelope, Kind, envelope
from transport.errors import CodecError, MalformedFrameError
from transport.failures import encode_failure
from transport.feeder import Feeders
from transport.remote import AskStatistics, RemoteRef

_ASK: Final = Kind.ASK

FULL: Final = "mailbox full"
"""Why a dead letter is one that found no room."""

_PLAIN: Final = (dict, list, tuple, str, bytes, int, float, type(None))


class Undecoded(Struct, frozen=True):
    """A message in a dead letter that passed through here, or arrived, without being understood."""

    type_name: str
    payload: bytes


def pack_message(codec: Codec, message: Any) -> tuple[str, bytes]:
    """Return the type name ("" for plain data) and the bytes of `message`.

    Raises:
        EncodingError: It cannot cross a process.
        LimitExceededError: It is larger than a message may be.
    """
    name = codec.names.get(type(message))
    if name is not None:
        return name, codec.encode_value(message, name)
    if isinstance(message, _PLAIN):
        return "", codec.encode_value(message)
    return codec.encode(message)


def pack_question(path: str, type_name: str, payload: bytes, number: int, timeout: float | None) -> bytes:
    """Return the packed ASK of a message, with the trace that the asker works for."""
    trace = header_here() if traced else ""
    if timeout == math.inf:
        timeout = None  # the same, and a number that the other side takes
    if not trace:
        return pack_ask(path, type_name, payload, number, timeout)
    return pack_envelope(envelope(Kind.ASK, path, type_name, payload, id=number, deadline=timeout, trace=trace))


def unpack_message(codec: Codec, type_name: str, payload: bytes) -> Any:
    """Return the message that `pack_message` wrote.

    Raises:
        CodecError: Its type is not known here, or the bytes are not of it.
    """
    return codec.decode(type_name, payload) if type_name else codec.decode_value(Any, payload)


class Deliveries:
    """What a peer sends to the actors here. `take` and `cancel` are for the socket's thread.

    Attributes:
        flooded: Messages beyond the window, refused.
        undeliverable: Messages for nobody, or of a type unknown here.
    """

    def __init__(self, system: ActorSystem, channel: Channel, codec: Codec, window: int) -> None:
        self._system = system
        self._channel = channel
        self._codec = codec
        self._window = window
        self._asked: dict[int, Future[Any]] = {}
        self._passed_on: dict[int, Callable[[], object]] = {}
        self._feeders = Feeders(self._deliver, self._accept, f"{channel.name} feeder")
        self._is_closed = False
        self.flooded = 0
        self.undeliverable = 0

    def close(self) -> None:
        """Take nothing more: what comes now stays the peer's, which learns with the end that it was not taken."""
        self._is_closed = True
        self._channel.settle()

    def _accept(self, path: str) -> None:
        if not self._is_closed:
            self._channel.accept(1, path)

    def take(self, what: Envelope) -> None:
        """Deliver a TELL or an ASK.

        Raises:
            MalformedFrameError: It makes no sense.
        """
        if what.kind is _ASK and not what.id:
            raise MalformedFrameError("an ask without a number cannot be answered")
        if what.deadline is not None and not (0 <= what.deadline < math.inf):
            raise MalformedFrameError(f"a deadline of {what.deadline} s is none")
        feeders = self._feeders
        if feeders.waiting:
            backlog = feeders.waiting.get(what.target, 0)
            if backlog >= self._window:
                self.flooded += 1
                self._undelivered(what, "beyond the window", MailboxFullError(what.target, self._window))
                return
            if backlog:
                feeders.add(what)
                return
        if not self._deliver(what):
            feeders.add(what)
        elif not self._is_closed:
            self._channel.accept(1, what.target)

    def take_run(self, what: Envelope) -> None:
        """Deliver a RUN: at once, where its actor has room for all of it, else message by message.

        Raises:
            MalformedFrameError: It makes no sense.
        """
        count = run_length(what.payload)
        if not self._is_closed and what.target not in self._feeders.waiting:
            target: Any = self._system.registry.get(what.target)
            if target is not None and not isinstance(target, RemoteRef):
                try:
                    messages = self._codec.decode_run(what.type_name, what.payload)
                except CodecError:
                    messages = []  # which of them is wrong is found below
                if messages and tell_all(target, messages):
                    self._channel.accept(count, what.target)
                    return
        for payload in split_run(what.payload):
            self.take(envelope(Kind.TELL, what.target, what.type_name, payload, sender=what.sender))

    def _deliver(self, what: Envelope) -> bool:
        """Put a message into its mailbox. False: that is full, and this thread must not wait."""
        trace = read_header(what.trace) if what.trace else None
        if trace is None:
            return self._put(what)
        with tracing(trace):
            return self._put(what)

    def _put(self, what: Envelope) -> bool:
        if self._is_closed:
            return True
        try:
            target: Any = self._system.registry.get(what.target)
            if target is None:
                why = self._system.registry.why_absent(what.target)
                self._undelivered(what, why, ActorExitedError(what.target, f"is {why}"))
            elif isinstance(target, RemoteRef):
                target.way.forward(what, self)
            elif what.kind is not _ASK:
                target.tell(unpack_message(self._codec, what.type_name, what.payload))
            else:
                return self._deliver_ask(what, target)
        except MailboxFullError as error:
            if not self._feeders.is_current():
                return False
            self._undelivered(what, FULL, error)
        except CodecError as error:
            self._undelivered(what, f"not understood: {error}", error)
        except ActorExitedError as error:
            self._undelivered(what, error.why, error)
        return True

    def _deliver_ask(self, what: Envelope, target: Any) -> bool:
        message = unpack_message(self._codec, what.type_name, what.payload)
        if isinstance(message, AskStatistics):
            self._answer(what.id, type(message), target.statistics())
            return True
        if not self._feeders.is_current() and not has_room(target):
            return False  # asked in vain it would be an event
        future: Future[Any] = target.ask(message, block=False, timeout=what.deadline)
        if future.done and not self._feeders.is_current() and _is_full(future):
            return False
        self._asked[what.id] = future
        future.add_done_callback(lambda: self._answer_from(what.id, type(message), future))
        return True

    def cancel(self, number: int) -> None:
        """Let the actor, here or in a third process, pass over an ask of the peer that nobody waits for any more."""
        give_up = self._passed_on.pop(number, None)
        if give_up is not None:
            give_up()
            return
        future = self._asked.pop(number, None)
        if isinstance(future, Ask):
            future.timeout = 0.0  # where its turn has not come, the actor finds it late
            future.fail(AskTimeoutError("the actor", 0.0))

    def _undelivered(self, what: Envelope, why: str, error: Exception) -> None:
        self.undeliverable += 1
        if what.kind is Kind.ASK:
            self.fail(what.id, error)
            return
        try:
            message = unpack_message(self._codec, what.type_name, what.payload)
        except CodecError:
            message = Undecoded(what.type_name, what.payload)
        self._system.dead_letters.put(what.target, message, why, what.sender)

    # -- answers ------------------------------------------------------------------------------------

    def fail(self, number: int, error: BaseException) -> None:
        """Answer the peer's ask `number` with `error`."""
        self._passed_on.pop(number, None)
        self._send_answer(Kind.ERROR, encode_failure(error), number)

    def passed_on(self, number: int, give_up: Callable[[], object]) -> None:
        """Take note that the peer's ask `number` went on to a third process; `give_up` takes it back there."""
        self._passed_on[number] = give_up

    def answer_relayed(self, number: int, kind: int, payload: bytes) -> None:
        """Answer the peer's ask `number` with what a third process answered."""
        self._passed_on.pop(number, None)
        self._send_answer(Kind(kind), payload, number)

    def _send_answer(self, kind: Kind, payload: bytes, number: int) -> None:
        data = pack_answer(kind, payload, number)
        if self._asked:  # others are still to be answered: they may share the frame
            self._channel.send_packed(data)
        else:
            self._channel.answer(data)

    def _answer_from(self, number: int, kind: type, future: Future[Any]) -> None:
        if self._asked.pop(number, None) is None:
            return  # cancelled
        try:
            value = future.get(timeout=0)
        except Exception as error:
            self.fail(number, error)
        else:
            self._answer(number, kind, value)

    def _answer(self, number: int, kind: type, value: Any) -> None:
        try:
            payload = self._codec.encode_reply(kind, value)
        except CodecError as error:
            self.fail(number, error)
            return
        self._send_answer(Kind.REPLY, payload, number)


def _is_full(future: Future[Any]) -> bool:
    try:
        future.get(timeout=0)
    except MailboxFullError:
        return True
    except Exception:
        return False
    return False
