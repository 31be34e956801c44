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
from actors.core.links import NOPROC, Watch
from actors.core.system import ActorSystem
from actors.errors import ActorExitedError, AskTimeoutError, MailboxFullError
from actors.events import AskFailed
from actors.exits import ExitReason
from transport.calls import Bond, Calls, Origin, Relay, RemoteAsk
from transport.channels import CREDIT, WINDOW, Channel, Parcel
from transport.codec import Codec, pack_envelope, unpack_frame
from transport.deliveries import FULL, Deliveries, Undecoded, pack_message
from transport.envelope import Envelope, Kind, envelope
from transport.errors import CodecError, MalformedFrameError, PeerLostError
from transport.failures import decode_failure, decode_reason, encode_reason
from transport.limits import WIRE_LIMITS
from transport.remote import RemoteRef

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

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
    ) -> None:
        """Make the gateway.

        Args:
            system: The actors of this process.
            channel: The way to the peer.
            on_runtime: Gets envelopes that are for the runtime (SYSTEM, EVENT, HEARTBEAT), on the socket's thread.
            codec: Which types cross; by default `Message` classes of modules that are imported.
            window: Messages the peer may have under way; the same as its channel's.
        """
        self._system = system
        self._channel = channel
        self._codec = codec or Codec(limits=replace(WIRE_LIMITS, max_bin_bytes=PAYLOAD_BYTES))
        self._on_runtime = on_runtime
        self._calls = Calls(lambda number: channel.send(envelope(Kind.DEMONITOR, correlation=number)))
        self._watched: dict[int, Watch] = {}
        self._linked: dict[tuple[str, str], tuple[Watch, ...]] = {}
        self._deliveries = Deliveries(system, channel, self._codec, window)
        self._received = self._malformed = 0

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
        type_name, payload = pack_message(self._codec, message)
        why = self._post(message, envelope(Kind.TELL, path, type_name, payload))
        if why:
            self._system.dead_letters.put(path, message, why)

    def ask(self, path: str, message: Any, timeout: float | None) -> RemoteAsk:
        """Send `message` and return the future of its answer; see `RemoteRef.ask`.

        Raises:
            EncodingError: The message cannot cross a process.
        """
        type_name, payload = pack_message(self._codec, message)
        ask = self._calls.begin(path, message, timeout)
        try:
            what = envelope(Kind.ASK, path, type_name, payload, id=ask.number, deadline=timeout)
            why = self._post(message, what, wanted=lambda: not ask.done)
        except MailboxFullError as error:
            self._fail_own(ask, error)
        else:
            if why == FULL:
                self._fail_own(ask, MailboxFullError(path, self._channel.capacity))
            elif why:
                self._fail_own(ask, ActorExitedError(path, f"is not there: {why}"))
        return ask

    def give_up(self, ask: RemoteAsk) -> None:
        """Fail `ask`, whose time is over, and tell the peer that nobody waits for its answer."""
        if self._fail_own(ask, AskTimeoutError(ask.path, ask.timeout or 0.0)):
            self._channel.send(envelope(Kind.CANCEL, ask.path, correlation=ask.number))

    def _fail_own(self, ask: RemoteAsk, error: Exception) -> bool:
        """Fail an ask of this side, which is an event, unless it was answered meanwhile."""
        if not ask.fail(error):
            return False
        seconds = max(0.0, monotonic() - ask.asked_at)
        text = f"{type(error).__name__}: {error}"
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
        try:
            why = self._post(message, replace(what, id=number))
        except MailboxFullError:
            self._calls.take(number)
            raise
        if why and self._calls.take(number) is not None:
            if why == FULL:
                origin.fail(what.id, MailboxFullError(what.target, self._channel.capacity))
            else:
                raise ActorExitedError(what.target, f"is not there: {why}")

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

    def refuse(self, why: str) -> None:
        """Count and log that the peer sent something that is no frame."""
        self._wrong(MalformedFrameError(why))

    def _wrong(self, error: CodecError) -> None:
        self._malformed += 1
        if self._malformed <= 10 or self._malformed % 1000 == 0:
            _log.warning("%s: refused (%d so far): %s", self._channel.name, self._malformed, error)

    def _take(self, what: Envelope) -> None:
        match what.kind:
            case Kind.TELL | Kind.ASK:
                self._deliveries.take(what)
            case Kind.REPLY | Kind.ERROR:
                self._take_answer(what)
            case Kind.SYSTEM if what.type_name == CREDIT:
                self._channel.credited(what.payload)
            case Kind.SYSTEM | Kind.EVENT | Kind.HEARTBEAT:
                self._on_runtime(what)
            case Kind.MONITOR:
                self._take_monitor(what.target, what.id)
            case Kind.DEMONITOR:
                watch = self._watched.pop(what.correlation, None)
                if watch is not None:
                    watch.cancel()
            case Kind.LINK:
                if not what.sender:
                    raise MalformedFrameError("a link needs both its ends")
                self._take_link(what.target, what.sender)
            case Kind.UNLINK:
                for watch in self._linked.pop((what.target, what.sender), ()):
                    watch.cancel()
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

    # -- monitors -----------------------------------------------------------------------------------

    def _take_monitor(self, path: str, number: int) -> None:
        target = self._system.registry.get(path)
        if target is None:
            self._tell_down(path, number, NOPROC)
            return

        def ended(reason: ExitReason) -> None:
            self._watched.pop(number, None)
            self._tell_down(path, number, reason)

        watch = target.watch(ended)
        if self.is_open and target.is_alive():
            self._watched[number] = watch

    def _take_link(self, path: str, source: str) -> None:
        """Keep the half of a link that passes the end of `source`, of the peer or beyond it, to an actor here."""
        target: Any = self._system.registry.get(path)
        if target is None:
            return  # whoever linked hears of that by its own watch
        if isinstance(target, RemoteRef):
            self._linked[path, source] = (target.bind(source),)
            return
        address = str(Address(self._system.name, source))
        ending = self.ref(Address(self._system.name, source)).watch(lambda reason: target.exit(reason, address))
        ended = target.watch(lambda _reason: self._forget_link(path, source))
        self._linked[path, source] = (ending, ended)

    def _forget_link(self, path: str, source: str) -> None:
        for watch in self._linked.pop((path, source), ()):
            watch.cancel()

    def _tell_down(self, path: str, number: int, reason: ExitReason) -> None:
        self._channel.send(envelope(Kind.DOWN, payload=encode_reason(reason), sender=path, correlation=number))

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
        for watch in list(self._watched.values()):
            watch.cancel()
        self._watched.clear()

        def bury() -> None:
            for parcels, reason in ((under_way, f"under way when {why}"), (waiting, why)):
                for parcel in parcels:
                    if not parcel.ask:
                        self._system.dead_letters.put(parcel.path, parcel.message, reason)

        return bury

    def end(self, reason: ExitReason) -> None:
        """Tell the watches on the peer's actors that it ended, with `reason`; `lose` comes first."""
        self._calls.end(reason)
        linked, self._linked = list(self._linked.values()), {}
        for watches in linked:  # what passes the peer's end on has done so, or will, where a third process keeps it
            for watch in watches[1:]:
                watch.cancel()
