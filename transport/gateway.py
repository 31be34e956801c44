"""The gateway between the actors of this process and those of one peer: envelopes in, calls on refs out, and back.

    RemoteRef --tell, ask, watch--> Gateway --Channel--> peer's Gateway --> ref.tell, ref.ask, ref.watch
                                       <-- REPLY, ERROR, DOWN <--

Frames are taken on the thread that owns the socket (`receive`), which never waits and must be marked as one that does
not (`actors.core.context.enter_loop`). How messages get into mailboxes is the subject of `deliveries`. What the peer
does wrong is contained and counted: a frame that is malformed, an envelope that makes no sense, a message beyond its
window.

At the end `lose` answers every ask that is still out at once, and `end` tells the watches why the peer ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import Address
from actors.core.links import Watch
from actors.core.system import ActorSystem
from actors.core.tracing import header_here, traced
from actors.errors import ActorExitedError, AskTimeoutError, MailboxFullError
from actors.events import AskFailed
from actors.exits import ExitReason, said
from transport.bonds import PeerBonds
from transport.calls import Bond, Calls, Origin, Relay, RemoteAsk
from transport.channels import CREDIT, CREDITS, WINDOW, Channel
from transport.codec import Codec, encode, pack_envelope, unpack_frame
from transport.deliveries import FULL, Deliveries, Undecoded, pack_message, pack_question
from transport.envelope import VERSION, Envelope, Kind, envelope
from transport.errors import CodecError, MalformedFrameError, PeerLostError
from transport.failures import decode_failure, decode_reason, encode_reason
from transport.lanes import Parcel
from transport.limits import WIRE_LIMITS
from transport.remote import RemoteRef

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_ANSWER: Final = bytes((0x91, 0x98, VERSION, Kind.REPLY))
"""How a frame begins that is one REPLY."""

_TELL, _ASK, _REPLY, _ERROR, _RUN = Kind.TELL, Kind.ASK, Kind.REPLY, Kind.ERROR, Kind.RUN  # looked up once

_CREDIT: Final = (CREDIT, CREDITS)

PAYLOAD_BYTES: Final = 15 * 1024 * 1024
"""Largest message: its envelope must fit a frame."""


class GatewayStatistics(Struct, frozen=True, gc=False):
    """What a peer sent, and did wrong; all but `asking` only grow.

    Attributes:
        asking: Asks of this side that are not answered.
        received: Envelopes that arrived.
        malformed: Frames that were no frames, and envelopes that made no sense.
        flooded: Messages beyond the window, refused.
        undeliverable: Messages for nobody, or of a type unknown here.
    """

    asking: int
    received: int
    malformed: int
    flooded: int
    undeliverable: int


class Gateway:
    """Between this process and one peer. Every method but `receive` may be called on any thread."""

    def __init__(
        self,
        system: ActorSystem,
        channel: Channel,
        on_runtime: Callable[[Envelope], None],
        *,
        codec: Codec | None = None,
        window: int = WINDOW,
        listen: Callable[[RemoteAsk, float | None], None] | None = None,
    ) -> None:
        """Make the gateway.

        Args:
            system: The actors of this process.
            channel: The way to the peer.
            on_runtime: Gets envelopes that are for the runtime (SYSTEM, EVENT, HEARTBEAT), on the socket's thread.
            codec: Which types cross; by default `Message` classes of modules that are imported.
            window: Messages the peer may have under way; the same as its channel's.
            listen: Waits for the answer to an ask on the asking thread, as far as that thread can do better than sleep
                (`listening.Listener`).
        """
        self._system = system
        self._channel = channel
        self._codec = codec or Codec(limits=replace(WIRE_LIMITS, max_bin_bytes=PAYLOAD_BYTES))
        self._names = self._codec.names
        self._listen = listen
        self._on_runtime = on_runtime
        self._calls = Calls(lambda number: channel.send(envelope(Kind.DEMONITOR, correlation=number)))
        self._bonds = PeerBonds(system, self, channel)
        self._deliveries = Deliveries(system, channel, self._codec, window)
        self._received = self._malformed = 0
        self.on_malformed: Callable[[], object] = lambda: None
        """Called for each thing of the peer's that was refused, on the socket's thread."""

    @property
    def is_open(self) -> bool:
        """Whether the peer is there, as far as is known."""
        return self._calls.lost is None

    def statistics(self) -> GatewayStatistics:
        """Return the figures of this moment."""
        return GatewayStatistics(
            self._calls.asking,
            self._received,
            self._malformed,
            self._deliveries.flooded,
            self._deliveries.undeliverable,
        )

    def ref(self, address: Address) -> RemoteRef:
        """Return a ref of the actor at `address` of the peer."""
        return RemoteRef(self, address)

    def send(self, what: Envelope) -> None:
        """Send an envelope of the runtime."""
        self._channel.send(what)

    def close_intake(self) -> None:
        """Take no message of the peer any more, and tell it which ones were taken; on the socket's thread.

        Then the peer knows at the end of this process which of its messages nobody had.
        """
        self._deliveries.close()

    # -- out: what refs call ------------------------------------------------------------------------

    def tell(self, path: str, message: Any) -> None:
        """Send `message` to the actor at `path` of the peer; see `RemoteRef.tell`."""
        trace = header_here() if traced else ""
        name = None if trace else self._names.get(type(message))
        if name is not None:
            try:
                data = encode(message)
            except Exception:  # what is wrong with it is said below
                data = None
            if data is not None and self._channel.append(path, name, message, data):
                return
        self._tell(path, message, trace)

    def _tell(self, path: str, message: Any, trace: str) -> None:
        """Send a tell that cannot join the one before."""
        type_name, payload = pack_message(self._codec, message)
        try:
            if type_name and not trace:
                is_taken = self._channel.post_tell(path, type_name, message, payload)
            else:
                packed = pack_envelope(envelope(Kind.TELL, path, type_name, payload, trace=trace))
                is_taken = self._channel.post(Parcel(path, message, packed))
            why = "" if is_taken else FULL
        except PeerLostError as error:
            why = error.why
        if why:
            self._system.dead_letters.put(path, message, why)

    def ask(self, path: str, message: Any, timeout: float | None, *, waits: bool = False) -> RemoteAsk:
        """Send `message` and return the future of its answer; see `RemoteRef.ask`.

        Args:
            path: The actor.
            message: What is asked.
            timeout: Seconds until the answer is not wanted any more.
            waits: Whether the calling thread is about to wait for the answer, and so has nothing better to do than to
                send.

        Raises:
            EncodingError: The message cannot cross a process.
        """
        type_name, payload = pack_message(self._codec, message)
        ask = self._calls.begin(path, message, timeout)
        channel = self._channel
        packed = pack_question(path, type_name, payload, ask.number, timeout)
        parcel = Parcel(path, message, packed, ask.number, ask.is_open)
        try:
            taken = (waits and channel.send_at_once(parcel)) or channel.put(parcel)
        except PeerLostError as error:
            self._fail_own(ask, ActorExitedError(path, f"is not there: {error.why}"))
        except MailboxFullError as error:
            self._fail_own(ask, error)
        else:
            if not taken:
                self._fail_own(ask, MailboxFullError(path, channel.capacity))
            else:
                channel.awake()
        return ask

    def wait(self, ask: RemoteAsk, timeout: float | None) -> bool:
        """Block this thread until `ask` is answered; False where `timeout` seconds were not enough."""
        if self._listen is not None and not ask.done:
            began = monotonic()
            self._listen(ask, timeout)
            if timeout is not None:
                timeout -= monotonic() - began
        return ask.done or ask.wait(timeout)

    def give_up(self, ask: RemoteAsk) -> None:
        """Fail `ask`, whose time is over, and tell the peer that nobody waits for its answer."""
        if self._fail_own(ask, AskTimeoutError(ask.path, ask.timeout or 0.0)):
            self._channel.send(envelope(Kind.CANCEL, ask.path, correlation=ask.number))

    def _fail_own(self, ask: RemoteAsk, error: Exception) -> bool:
        """Fail an ask of this side, which is an event, unless it was answered meanwhile."""
        self._calls.take(ask.number)
        if not ask.fail(error):
            return False
        seconds = max(0.0, monotonic() - ask.asked_at)
        text = said(error)
        at = self._system.clock.time()
        self._system.bus.publish(AskFailed(at, ask.path, type(ask.message).__name__, text, seconds))
        return True

    def watch(self, path: str, callback: Callable[[ExitReason], object]) -> Watch:
        """Call `callback(reason)` once, when the actor at `path` of the peer, or the peer, has ended."""
        watch = self._calls.watch(callback)
        if watch is None:
            return Watch(callback)
        self._channel.send(envelope(Kind.MONITOR, path, id=watch.number))
        return watch

    def bind(self, path: str, source: str) -> Watch:
        """Have the peer send the actor at `path` an exit signal when the one at `source`, beyond this side, ends."""
        self._channel.send(envelope(Kind.LINK, path, sender=source))
        return Bond(lambda: self._channel.send(envelope(Kind.UNLINK, path, sender=source)))

    def exit(self, path: str, reason: ExitReason, source: str) -> None:
        """Send an exit signal to the actor at `path` of the peer."""
        self._channel.send(envelope(Kind.SIGNAL, path, payload=encode_reason(reason), sender=source))

    def forward(self, what: Envelope, origin: Origin) -> None:
        """Pass a message of a third process on to the peer, as it is.

        Raises:
            MailboxFullError: Too much waits for the peer.
            ActorExitedError: The peer is gone.
        """
        message = Undecoded(what.type_name, what.payload)
        if what.kind is Kind.TELL:
            why = self._post(message, what)
            if why:
                self._system.dead_letters.put(what.target, message, why)
            return
        number = self._calls.begin_relay(what.target, origin, what.id)
        origin.passed_on(what.id, lambda: self._give_up_relayed(what.target, number))
        try:
            why = self._post(message, replace(what, id=number), lambda: self._calls.is_out(number))
        except MailboxFullError:
            self._calls.take(number)
            raise
        if why and self._calls.take(number) is not None:
            if why == FULL:
                origin.fail(what.id, MailboxFullError(what.target, self._channel.capacity))
            else:
                raise ActorExitedError(what.target, f"is not there: {why}")

    def _give_up_relayed(self, path: str, number: int) -> None:
        if self._calls.take(number) is not None:
            self._channel.send(envelope(Kind.CANCEL, path, correlation=number))

    def _post(self, message: Any, what: Envelope, wanted: Callable[[], bool] | None = None) -> str:
        """Queue a user message; return why it was not taken, "" where it was."""
        parcel = Parcel(what.target, message, pack_envelope(what), what.id, wanted)
        try:
            return "" if self._channel.post(parcel) else FULL
        except PeerLostError as error:
            return error.why

    # -- in: the socket's thread --------------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        """Take one frame of the peer, on the socket's thread; what is wrong with it is counted and logged."""
        try:
            found = unpack_frame(frame)
        except CodecError as error:
            self._wrong(error)
            return
        for what in found:
            self._received += 1
            try:
                self._take(what)
            except CodecError as error:
                self._wrong(error)

    def take_answer(self, frame: bytes) -> bool:
        """Take a frame if it is one answer and nothing else, on the thread that reads the socket; else leave it."""
        if not frame.startswith(_ANSWER):
            return False
        self.receive(frame)
        return True

    def refuse(self, why: str) -> None:
        """Count and log that the peer sent something that is no frame."""
        self._wrong(MalformedFrameError(why))

    def _wrong(self, error: CodecError) -> None:
        self._malformed += 1
        self.on_malformed()
        if self._malformed <= 10 or self._malformed % 1000 == 0:
            _log.warning("%s: refused (%d so far): %s", self._channel.name, self._malformed, error)

    def _take(self, what: Envelope) -> None:
        kind = what.kind
        if kind is _REPLY or kind is _ERROR:
            self._take_answer(what)
        elif kind is _ASK or kind is _TELL:
            self._deliveries.take(what)
        elif kind is _RUN:
            self._deliveries.take_run(what)
        else:
            self._take_other(what)

    def _take_other(self, what: Envelope) -> None:
        match what.kind:
            case Kind.SYSTEM if what.type_name in _CREDIT:
                self._channel.credited(what.type_name, what.payload)
            case Kind.SYSTEM | Kind.EVENT | Kind.HEARTBEAT:
                self._on_runtime(what)
            case Kind.MONITOR:
                self._bonds.monitor(what.target, what.id)
            case Kind.DEMONITOR:
                self._bonds.demonitor(what.correlation)
            case Kind.LINK:
                self._bonds.link(what.target, what.sender)
            case Kind.UNLINK:
                self._bonds.unlink(what.target, what.sender)
            case Kind.DOWN:
                self._calls.down(what.correlation, decode_reason(what.payload))
            case Kind.CANCEL:
                self._deliveries.cancel(what.correlation)
            case Kind.SIGNAL:
                target = self._system.registry.get(what.target)
                if target is not None:
                    target.exit(decode_reason(what.payload), what.sender)
            case _:
                raise MalformedFrameError(f"an envelope of kind {what.kind.name} means nothing here")

    def _take_answer(self, what: Envelope) -> None:
        asked = self._calls.take(what.correlation)
        if asked is None:
            return  # it came too late: the asker has had its time-out
        if isinstance(asked, Relay):
            asked.origin.answer_relayed(asked.number, what.kind, what.payload)
        elif what.kind is Kind.ERROR:
            asked.fail(decode_failure(what.payload))
        else:
            try:
                asked.settle(self._codec.decode_reply(type(asked.message), what.payload), None)
            except CodecError as error:
                asked.fail(error)
                raise

    # -- the end ------------------------------------------------------------------------------------

    def lose(self, why: str) -> Callable[[], None]:
        """Take note that the peer is gone, and answer the asks that are out at once.

        Args:
            why: What became of it, "its process ended".

        Returns:
            A call that makes dead letters of the tells that the peer did not accept: it may take its time with many.
        """
        if not self._calls.lose(why, self._fail_own):
            return lambda: None
        under_way, waiting = self._channel.close(why)
        self._bonds.lose()

        def bury() -> None:
            for parcels, reason in ((under_way, f"under way when {why}"), (waiting, why)):
                for parcel in parcels:
                    if not parcel.ask:
                        self._system.dead_letters.put(parcel.path, parcel.message, reason)

        return bury

    def end(self, reason: ExitReason) -> None:
        """Tell the watches on the peer's actors that it ended, with `reason`; `lose` comes first."""
        self._calls.end(reason)
        self._bonds.end()
