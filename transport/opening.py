"""What a socket is made of: its spec, by which it is opened, its owner, and the figures it gives of itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Protocol

import zmq
from msgspec import Struct

from transport.endpoints import check_endpoint
from transport.errors import EndpointError
from transport.security import ClientKeys, ServerKeys, apply_curve


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
    """What a socket (`sockets.Socket`) needs of the reactor that owns it."""

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon on the owner's thread."""
        ...

    def is_current(self) -> bool:
        """Whether this is the owner's thread."""
        ...

    def flush_soon(self, socket: Any) -> None:
        """Call `socket.flush` soon on the owner's thread."""
        ...

    def retire(self, socket: Any) -> None:
        """Drain and close `socket`; on the owner's thread."""
        ...

    def read_soon(self, socket: Any) -> None:
        """Call `socket.read` soon on the owner's thread."""
        ...

    @property
    def can_lend(self) -> bool:
        """Whether the owner can leave the reading of a socket to others."""
        ...

    def set_aside(self, socket: Any) -> None:
        """Do not wait for `socket` until `take_back`."""
        ...

    def take_back(self, socket: Any) -> None:
        """Wait for `socket` again."""
        ...


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
