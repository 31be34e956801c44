"""A client's connection whose fate can be seen: connected, admitted, refused or lost.

ZeroMQ retries in silence: a refused key, a wrong server key or an endpoint where nobody listens all look like an answer
that is late. The socket's monitor tells them apart; this module reads it. One thread uses a connection: the one that
opened it.
"""

from __future__ import annotations

import struct
from enum import Enum
from time import monotonic
from typing import Final

import zmq

from transport.errors import AuthenticationError
from transport.sockets import SocketSpec, open_socket

_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


LATEST_ADMISSION: Final = 30.0
"""Seconds that one waits who has nothing else to do before it is let in: a refusal may be slow on a busy machine."""

_FAILURES: Final = 3
_EVENT: Final = struct.Struct("=H")  # then the value, as in zmq_socket_monitor(3); pyzmq's own reader loads asyncio


class Link(Enum):
    """How far a connection has come."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    """Somebody accepted the connection; keys are being checked."""
    ADMITTED = "admitted"
    """Messages flow."""
    LOST = "lost"
    """It was there and has ended; ZeroMQ connects again by itself."""


class Connection:
    """A client socket and what its monitor says of it."""

    def __init__(self, spec: SocketSpec, context: zmq.Context[zmq.Socket[bytes]] | None = None) -> None:
        """Start to connect as `spec` says.

        Args:
            spec: The socket; it connects.
            context: ZeroMQ context to use, left alone at the end; by default one of its own.

        Raises:
            EndpointError: The endpoint is malformed.
        """
        self.endpoint = spec.connect
        self.link = Link.CONNECTING
        self.losses = 0
        """How often the connection was lost."""
        self._owns_context = context is None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context() if context is None else context
        self._has_keys = spec.keys is not None
        self._failures = 0
        self._was_accepted = False  # by somebody, in the try under way
        self._nobody_accepts = False  # that is what the last try came to
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self.socket = open_socket(self._context, spec, before_connect=self._watch)
        except BaseException:
            self._end_context()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self.socket, zmq.POLLIN)
        if self._monitor is not None:
            self._poller.register(self._monitor, zmq.POLLIN)

    def wait(self, timeout: float) -> bool:
        """Wait until a message can be read, the link has changed, or `timeout` seconds have passed.

        Returns:
            Whether a message can be read.

        Raises:
            AuthenticationError: The peer refused this key, or does not hold the key expected of it.
        """
        ready = dict(self._poller.poll(max(0, int(timeout * 1000 + 0.999))))
        if self._monitor in ready:
            self._read_monitor()
        return self.socket in ready

    def wait_admitted(self, timeout: float, patience: float = 0.0) -> bool:
        """Wait until messages flow; returns False where they do not in time.

        Args:
            timeout: Seconds after which there is nobody, if nobody has accepted the connection by then.
            patience: Seconds in all that a peer may take which is there and does not come to it, where that is longer:
                it is busy, or this machine is.

        Raises:
            AuthenticationError: As `wait`.
        """
        begun = monotonic()
        while not self._is_admitted:
            left = begun + (timeout if self._nobody_accepts else max(timeout, patience)) - monotonic()
            if self.wait(max(0.0, left)):  # looked at once more when it is late: this thread may have been held up
                return True  # a message came: it was admitted, the monitor only lags behind
            if left <= 0:
                return self._is_admitted
        return True

    @property
    def _is_admitted(self) -> bool:
        return self.link is Link.ADMITTED

    def close(self, linger: float = 0.0) -> None:
        """Close the socket, giving what was sent `linger` seconds to leave; idempotent."""
        if self.socket.closed:
            return
        self.socket.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self.socket.close(linger=int(linger * 1000))
        self._end_context()

    def _watch(self, zsocket: zmq.Socket[bytes]) -> None:
        self._monitor = zsocket.get_monitor_socket(_EVENTS)

    def _end_context(self) -> None:
        if self._owns_context:
            self._context.term()

    def _read_monitor(self) -> None:
        assert self._monitor is not None  # it was in the poll
        while True:
            try:
                (event,) = _EVENT.unpack_from(self._monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return
            if event == zmq.EVENT_CONNECTED:
                self.link = Link.CONNECTED
                self._was_accepted, self._nobody_accepts = True, False
            elif event == zmq.EVENT_CONNECT_RETRIED:
                self._was_accepted, self._nobody_accepts = False, not self._was_accepted
                if self._nobody_accepts and self.link is Link.CONNECTED:
                    self.link = Link.CONNECTING  # who accepted it has gone
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.link = Link.ADMITTED
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise AuthenticationError(
                    self.endpoint,
                    f"the node at {self.endpoint} does not authorise this key",
                    "ask the node's owner to allow the key, or use the key in the run/keys of its home",
                )
            elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                raise self._unrecognised()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._failures += 1  # a peer that ends just now looks like one that cannot read our greeting
                if self._failures >= _FAILURES:
                    raise self._unrecognised()
            elif event == zmq.EVENT_DISCONNECTED and self.link is Link.ADMITTED:
                self.losses += 1
                self.link = Link.LOST

    def _unrecognised(self) -> AuthenticationError:
        kind = "its key is not the one expected" if self._has_keys else "it expects a key and none was given"
        return AuthenticationError(
            self.endpoint,
            f"the node at {self.endpoint} could not be recognised: {kind}",
            "the endpoints file may be of an earlier run: look at run/endpoints.json of the node's home",
        )


def check_admitted(spec: SocketSpec, timeout: float = LATEST_ADMISSION) -> bool:
    """Connect once as `spec` says, and leave; return whether that was let in within `timeout` seconds.

    For who will connect by a reactor, where a refusal would look like an answer that is late. Without keys nobody is
    refused, and nothing is done.

    Raises:
        AuthenticationError: The peer refused the key, or does not hold the key expected of it.
        EndpointError: The endpoint is malformed.
    """
    if spec.keys is None:
        return True
    connection = Connection(spec)
    try:
        return connection.wait_admitted(timeout)
    finally:
        connection.close()
