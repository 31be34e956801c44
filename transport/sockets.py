"""Sockets: one thread, the reactor's, owns them; every other thread reaches them through bounded outboxes.

A ZeroMQ socket is not safe to share, so the reactor's thread alone opens, polls, reads, writes and closes them:

    any thread --send()--> outbox (bounded) --reactor--> socket --> peer
    callback(frames) <-------------------------reactor-- socket <-- peer

What arrives is handed to a callback on the reactor's thread, which must not block: it posts. Errors leaving a callback
are logged and counted; the reactor (`transport.reactor`) lives on. Sending wakes it only when it may be asleep.

Limits of a socket (`SocketSpec`), all stated, all counted in `statistics()`:

- `outbox` messages wait at most for the wire. When that is full, `full` says what `send` does: `REJECT` raises
  `OutboxFullError`, `BLOCK` waits for room (up to a time-out, and never on the reactor's thread, where it rejects),
  `DROP` discards the new message. Threads sending at once can exceed the bound by one message each.
- `send_high_water` and `receive_high_water` messages wait in ZeroMQ, per peer. A full peer of a ROUTER, or one that is
  gone, costs that message: it is counted and told to `on_undelivered`, and never holds up the other peers.
- A peer that sends a part larger than `max_part_bytes` is disconnected by ZeroMQ.
- Closing tries for `linger` seconds to hand over what is left.

A socket with a `join` function sends many queued messages as one frame: it never waits for a batch to fill.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Any, Final, Protocol

import zmq
from msgspec import Struct

from transport.endpoints import check_endpoint
from transport.errors import EndpointError, OutboxFullError, SocketClosedError
from transport.security import ClientKeys, ServerKeys, apply_curve

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

Frames = Sequence[bytes]
"""The parts of one ZeroMQ message; a ROUTER's first part is its peer's identity."""

OnMessage = Callable[["Socket", Any], None]
"""Gets each message, on the reactor's thread: a list of bytes, or of `zmq.Frame` where the spec asks for `metadata`."""


class Full(Enum):
    """What `send` does when the outbox is full."""

    REJECT = "reject"
    BLOCK = "block"
    DROP = "drop"


class SocketSpec(Struct, frozen=True):
    """How to open a socket.

    Attributes:
        kind: `zmq.ROUTER`, `zmq.DEALER`, `zmq.PAIR`, `zmq.XPUB`, ...
        bind: Endpoint to listen on; `tcp://127.0.0.1:*` takes a free port. Either this or `connect`.
        connect: Endpoint to connect to.
        name: What errors, statistics and logs call it.
        outbox: Messages that may wait for the wire.
        full: What `send` does when they do.
        send_high_water: Messages that ZeroMQ holds for each peer on their way out.
        receive_high_water: Messages that ZeroMQ holds from each peer on their way in.
        max_part_bytes: Largest part taken from a peer; a larger one ends its connection.
        linger: Seconds that closing may take to hand over what is left.
        identity: Routing id to connect with; b"" lets the peer make one.
        join: Makes one part of many queued messages, each a `bytes`; only for sockets with one peer.
        join_max: Messages joined at most.
        metadata: Whether messages arrive as `zmq.Frame`s, which know their peer's user id and address.
        keys: CURVE keys: `ServerKeys` where it binds, `ClientKeys` where it connects; None sends in clear.
        verbose: XPUB only: report every subscription, also one that another reader has already.
        heartbeat: Seconds between ZeroMQ's own pings, which notice a dead tcp peer; 0: none.
    """

    kind: int
    bind: str = ""
    connect: str = ""
    name: str = "socket"
    outbox: int = 10_000
    full: Full = Full.REJECT
    send_high_water: int = 1_000
    receive_high_water: int = 1_000
    max_part_bytes: int = 64 * 1024 * 1024
    linger: float = 0.5
    identity: bytes = b""
    join: Callable[[Collection[bytes]], bytes] | None = None
    join_max: int = 256
    metadata: bool = False
    keys: ServerKeys | ClientKeys | None = None
    verbose: bool = False
    heartbeat: float = 0.0


class SocketStatistics(Struct, frozen=True, gc=False):
    """What a socket has done so far; all but `waiting` only grow.

    Attributes:
        waiting: Messages in the outbox now.
        sent: Messages handed to ZeroMQ.
        frames_sent: ZeroMQ messages they were sent in.
        received: ZeroMQ messages taken in.
        rejected: Sends refused because the outbox was full, or was full for too long.
        dropped: Messages discarded because the outbox was full.
        undelivered: Messages for a peer that was full or gone, and those left at closing.
        callback_errors: Errors that left the callback.
    """

    waiting: int
    sent: int
    frames_sent: int
    received: int
    rejected: int
    dropped: int
    undelivered: int
    callback_errors: int


class Owner(Protocol):
    """What a socket needs of the reactor that owns it."""

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon on the owner's thread."""
        ...

    def is_current(self) -> bool:
        """Whether this is the owner's thread."""
        ...

    def flush_soon(self, socket: Socket) -> None:
        """Call `socket.flush` soon on the owner's thread."""
        ...

    def retire(self, socket: Socket) -> None:
        """Drain and close `socket`; on the owner's thread."""
        ...


_READ_BURST: Final = 1_000  # messages taken from one socket before the others get their turn
_WRITE_BURST: Final = 1_000  # and messages given to it


class Socket:
    """A socket that a reactor owns. `send`, `close` and the properties may be used on any thread."""

    def __init__(
        self,
        owner: Owner,
        spec: SocketSpec,
        zsocket: zmq.Socket[bytes],
        on_message: OnMessage,
        on_undelivered: Callable[[Frames, str], None] | None,
    ) -> None:
        self._owner = owner
        self._spec = spec
        self._zsocket = zsocket
        self._on_message = on_message
        self._on_undelivered = on_undelivered
        self._outbox: deque[Any] = deque()
        self._room = threading.Condition(threading.Lock())
        self._waiters = 0
        self._closed = False
        self._stuck: tuple[list[Any], int] | None = None
        self._queued = False  # in the reactor's list of sockets to flush
        self._sent = self._frames_sent = self._received = 0
        self._rejected = self._dropped = self._undelivered = self._callback_errors = 0
        self.endpoint: str = spec.connect or zsocket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        """Where it is bound (with the port that was chosen) or connected."""

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def is_closed(self) -> bool:
        return self._closed

    def send(self, message: Any, timeout: float | None = None) -> bool:
        """Queue a message: a sequence of parts, or one `bytes` where the socket joins them. Never blocks on the wire.

        Args:
            message: The parts; they are not copied.
            timeout: Longest wait for room, in seconds, where the spec says `BLOCK`; None waits until there is room.

        Returns:
            Whether it was taken; False only where the spec says `DROP`.

        Raises:
            OutboxFullError: There is no room, or was none within `timeout`.
            SocketClosedError: The socket is closed.
        """
        if self._closed:
            raise SocketClosedError(self.name)
        if len(self._outbox) >= self._spec.outbox and not self._make_room(timeout):
            return False
        self._outbox.append(message)
        if not self._queued:
            self._queued = True
            self._owner.flush_soon(self)
        return True

    def close(self) -> None:
        """Send what is queued, for at most `linger` seconds, then close. Returns at once; idempotent."""
        self._owner.post(lambda: self._owner.retire(self))

    def statistics(self) -> SocketStatistics:
        """Return the counters."""
        return SocketStatistics(
            len(self._outbox) + (self._stuck[1] if self._stuck else 0),
            self._sent,
            self._frames_sent,
            self._received,
            self._rejected,
            self._dropped,
            self._undelivered,
            self._callback_errors,
        )

    def _make_room(self, timeout: float | None) -> bool:
        full = self._spec.full
        if full is Full.DROP:
            self._dropped += 1
            return False
        if full is Full.BLOCK and not self._owner.is_current():
            with self._room:
                self._waiters += 1
                try:
                    self._room.wait_for(lambda: len(self._outbox) < self._spec.outbox or self._closed, timeout)
                finally:
                    self._waiters -= 1
            if self._closed:
                raise SocketClosedError(self.name)
            if len(self._outbox) < self._spec.outbox:
                return True
        self._rejected += 1
        raise OutboxFullError(self.name, self._spec.outbox)

    # What follows belongs to the reactor and runs on its thread.

    def read(self) -> None:
        """Hand what has arrived to the callback; the reactor's."""
        receive = self._zsocket.recv_multipart
        copy = not self._spec.metadata
        for _ in range(_READ_BURST):
            try:
                message = receive(zmq.NOBLOCK, copy=copy)
            except zmq.Again:
                return
            self._received += 1
            try:
                self._on_message(self, message)
            except Exception:
                self._callback_errors += 1
                _log.exception("the callback of %s failed on a message", self.name)
            if self._closed:
                return

    def flush(self) -> bool:
        """Send what is queued; the reactor's. False: the socket took no more, and poll must say when it does."""
        self._queued = False
        outbox, join = self._outbox, self._spec.join
        for _ in range(_WRITE_BURST):
            if self._stuck is not None:
                parts, count = self._stuck
            elif not outbox:
                break
            elif join is None:
                parts, count = outbox.popleft(), 1
            else:
                batch = [outbox.popleft() for _ in range(min(len(outbox), self._spec.join_max))]
                parts, count = [join(batch)], len(batch)
            try:
                self._zsocket.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                if self._spec.kind != zmq.ROUTER:
                    self._stuck = (parts, count)
                    self._queued = True  # so that no send asks for another try before poll says so
                    return False
                self._lose(parts, count, "its queue is full")
            except zmq.ZMQError as error:
                gone = error.errno == zmq.EHOSTUNREACH
                self._lose(parts, count, "the peer is gone" if gone else error.strerror or str(error))
            else:
                self._sent += count
                self._frames_sent += 1
            self._stuck = None
            if self._waiters:
                with self._room:
                    self._room.notify_all()
        else:  # senders may be as quick as we are: the other sockets get their turn
            if not self._queued:
                self._queued = True
                self._owner.flush_soon(self)
        return True

    def _lose(self, parts: list[Any], count: int, why: str) -> None:
        self._undelivered += count
        if self._on_undelivered is not None:
            try:
                self._on_undelivered(parts, why)
            except Exception:
                self._callback_errors += 1
                _log.exception("the callback of %s failed on an undelivered message", self.name)

    def refuse_sends(self) -> None:
        """Let no thread send any more; the reactor's."""
        self._closed = True
        with self._room:
            self._room.notify_all()

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits for the wire; the reactor's."""
        return self._stuck is None and not self._outbox

    @property
    def zsocket(self) -> zmq.Socket[bytes]:
        """The ZeroMQ socket; the reactor's."""
        return self._zsocket

    @property
    def spec(self) -> SocketSpec:
        """How it was opened."""
        return self._spec

    def end(self, linger: float) -> None:
        """Close the ZeroMQ socket; the reactor's."""
        if self._stuck is not None:
            self._lose(*self._stuck, "the socket closed")
            self._stuck = None
        while self._outbox:
            message = self._outbox.popleft()
            self._lose([message] if self._spec.join is not None else message, 1, "the socket closed")
        self._zsocket.close(linger=max(0, int(linger * 1000)))


def open_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    spec: SocketSpec,
    *,
    before_connect: Callable[[zmq.Socket[bytes]], None] | None = None,
) -> zmq.Socket[bytes]:
    """Return a ZeroMQ socket made as `spec` says, bound or connected. The calling thread owns it.

    Args:
        context: Where to make it.
        spec: How.
        before_connect: Gets the socket once its options are set, before it binds or connects.

    Raises:
        EndpointError: The endpoint is malformed, in use or not permitted.
        ValueError: `spec` names no endpoint, or two.
    """
    if bool(spec.bind) == bool(spec.connect):
        raise ValueError(f"{spec.name}: a socket either binds or connects")
    check_endpoint(spec.bind or spec.connect)
    zsocket = context.socket(spec.kind)
    try:
        zsocket.setsockopt(zmq.SNDHWM, spec.send_high_water)
        zsocket.setsockopt(zmq.RCVHWM, spec.receive_high_water)
        zsocket.setsockopt(zmq.LINGER, int(spec.linger * 1000))
        zsocket.setsockopt(zmq.MAXMSGSIZE, spec.max_part_bytes)
        if spec.identity:
            zsocket.setsockopt(zmq.ROUTING_ID, spec.identity)
        if spec.kind == zmq.ROUTER:
            zsocket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if spec.kind == zmq.XPUB and spec.verbose:
            zsocket.setsockopt(zmq.XPUB_VERBOSE, 1)
        if spec.heartbeat > 0:
            milliseconds = max(1, int(spec.heartbeat * 1000))
            zsocket.setsockopt(zmq.HEARTBEAT_IVL, milliseconds)
            zsocket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * milliseconds)
        if spec.keys is not None:
            apply_curve(zsocket, spec.keys)
        if before_connect is not None:
            before_connect(zsocket)
        if spec.bind:
            zsocket.bind(spec.bind)
        else:
            zsocket.connect(spec.connect)
    except zmq.ZMQError as error:
        zsocket.close(linger=0)
        raise EndpointError(
            f"{spec.name}: cannot {'bind' if spec.bind else 'connect'} {spec.bind or spec.connect}: {error.strerror}"
        ) from error
    except BaseException:
        zsocket.close(linger=0)
        raise
    return zsocket
