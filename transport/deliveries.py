"""The messages of one peer on their way into mailboxes here, and the answers on their way back.

The thread that owns the socket never waits: where a mailbox is full, a feeder thread waits in its place and the peer's
next messages queue behind it, at most a window of them, because only what is in a mailbox, or answered for, is credited
to the peer. What cannot be delivered is a dead letter; an ask is answered with the error. A message for an actor of a
third process goes on as it is, without being understood here.
"""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from actors.core.future import Ask, Future
from actors.core.inspection import has_room
from actors.core.system import ActorSystem
from actors.errors import ActorExitedError, AskTimeoutError, MailboxFullError
from transport.channels import Channel
from transport.codec import Codec
from transport.envelope import Envelope, Kind, envelope
from transport.errors import CodecError, MalformedFrameError
from transport.failures import encode_failure
from transport.feeder import Feeder
from transport.remote import AskStatistics, RemoteRef

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
    if isinstance(message, _PLAIN):
        return "", codec.encode_value(message)
    return codec.encode(message)


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
        self._feeder = Feeder(self._deliver, self._accept, f"{channel.name} feeder")
        self._is_closed = False
        self.flooded = 0
        self.undeliverable = 0

    def close(self) -> None:
        """Take nothing more: what comes now stays the peer's, which learns with the end that it was not taken."""
        self._is_closed = True
        self._channel.settle()

    def _accept(self) -> None:
        if not self._is_closed:
            self._channel.accept(1)

    def take(self, what: Envelope) -> None:
        """Deliver a TELL or an ASK.

        Raises:
            MalformedFrameError: It makes no sense.
        """
        if what.kind is Kind.ASK and not what.id:
            raise MalformedFrameError("an ask without a number cannot be answered")
        if what.deadline is not None and not (0 <= what.deadline < math.inf):
            raise MalformedFrameError(f"a deadline of {what.deadline} s is none")
        if not self._feeder.backlog:
            if self._deliver(what):
                self._accept()
                return
        elif self._feeder.backlog >= self._window:
            self.flooded += 1
            self._undelivered(what, "beyond the window", MailboxFullError(what.target, self._window))
            return
        self._feeder.add(what)

    def _deliver(self, what: Envelope) -> bool:
        """Put a message into its mailbox. False: that is full, and this thread must not wait."""
        if self._is_closed:
            return True
        try:
            target: Any = self._system.registry.get(what.target)
            if target is None:
                why = self._system.registry.why_absent(what.target)
                self._undelivered(what, why, ActorExitedError(what.target, f"is {why}"))
            elif isinstance(target, RemoteRef):
                target.way.forward(what, self)
            elif what.kind is Kind.TELL:
                target.tell(unpack_message(self._codec, what.type_name, what.payload))
            else:
                return self._deliver_ask(what, target)
        except MailboxFullError as error:
            if not self._feeder.is_current():
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
        if not self._feeder.is_current() and not has_room(target):
            return False  # asked in vain it would be an event
        future: Future[Any] = target.ask(message, block=False, timeout=what.deadline)
        if future.done and not self._feeder.is_current() and _is_full(future):
            return False
        self._asked[what.id] = future
        future.add_done_callback(lambda: self._answer_from(what.id, type(message), future))
        return True

    def cancel(self, number: int) -> None:
        """Let the actor pass over an ask of the peer that nobody waits for any more."""
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
        self._channel.send(envelope(Kind.ERROR, payload=encode_failure(error), correlation=number))

    def answer_relayed(self, number: int, kind: int, payload: bytes) -> None:
        """Answer the peer's ask `number` with what a third process answered."""
        self._channel.send(envelope(Kind(kind), payload=payload, correlation=number))

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
        self._channel.send(envelope(Kind.REPLY, payload=payload, correlation=number))


def _is_full(future: Future[Any]) -> bool:
    try:
        future.get(timeout=0)
    except MailboxFullError:
        return True
    except Exception:
        return False
    return False
