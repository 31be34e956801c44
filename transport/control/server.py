"""The node's side of control RPC: takes requests from a ROUTER, authorises them, hands them to one handler.

The handler runs on the reactor's thread and must not block: it posts, and the `Responder` answers later, from any
thread. What is promised to clients:

- Bad bytes never stop the server: they are counted, and answered with an error where there is somebody to answer.
- Every call is answered: by the handler, or by a time-out error at its deadline (30 s where it names none).
- A command with a `key` is carried out once: every further try of the same caller within 10 minutes gets the same
  outcome, or joins the ones that wait for it (`outcomes` has the bounds).
- An open stream is told each `KEEPALIVE` seconds that the node is there; where the reader is gone, that shows it, and
  the stream is cancelled, as it is when the reader has said nothing for six times as long.
- At most `max_pending` calls are open at a time; more are refused at once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

import msgspec
import zmq

from transport.codec import pack
from transport.control.counts import ControlStatistics
from transport.control.outcomes import WAITING_LIMIT, Key, Outcomes, Route
from transport.control.protocol import (
    KEEPALIVE,
    Cancel,
    Credit,
    Request,
    Response,
    decode_message,
    encode_response,
    failure,
    id_in,
)
from transport.control.responder import Responder
from transport.errors import CodecError, ErrorCode, OutboxFullError, SocketClosedError, VersionError
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS, Limits
from transport.rates import Allowance
from transport.reactor import Reactor, Timer
from transport.security import Peer, Role, ServerKeys, is_private, peer_of, require_keys
from transport.sockets import Frames, Socket, SocketSpec

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

DEFAULT_DEADLINE: Final = 30.0
WARN_EVERY: Final = 10.0
"""Seconds between warnings about requests that cannot be read: whoever floods us does not flood the log."""

Handler = Callable[[Request, Responder], None]
OnDone = Callable[[Request, Peer, str, float], None]
"""Gets each command that ended: the request, its peer, `ok` or the error's code, and the seconds it took."""


class _Pending:
    """An open call."""

    __slots__ = ("heard_at", "key", "route", "timer")

    def __init__(self, route: Route, key: Key | None) -> None:
        self.route = route
        self.key = key
        self.timer: Timer | None = None
        self.heard_at = monotonic()


class ControlServer:
    """Serves control RPC on one endpoint. Its public methods may be called on any thread."""

    def __init__(
        self,
        reactor: Reactor,
        endpoint: str,
        handler: Handler,
        *,
        keys: ServerKeys | None = None,
        permissions: Mapping[str, Role] | None = None,
        on_done: OnDone | None = None,
        judge: Callable[[Peer], Peer] | None = None,
        allowance: Allowance | None = None,
        limits: Limits = REQUEST_LIMITS,
        max_pending: int = 1_000,
        max_response_bytes: int = RESPONSE_LIMITS.max_frame_bytes,
        keepalive: float = KEEPALIVE,
    ) -> None:
        """Bind and serve.

        Args:
            reactor: Owns the socket; where `keys` are given, `Reactor.authenticate` comes first.
            endpoint: Where to listen.
            handler: Carries commands out.
            keys: CURVE keys; None where the endpoint's directory is the authority.
            permissions: The role each command needs; one that is not named needs `Role.ADMIN`.
            on_done: Gets every command that ended, on the reactor's thread; for the audit.
            judge: Says what a peer may do by now; None: what it was granted when it connected.
            allowance: Counts what each peer sends before any of it is decoded; None: no limit.
            limits: What a request may be.
            max_pending: Calls that may be open at a time.
            max_response_bytes: Largest answer; a larger one becomes an error.
            keepalive: Seconds between signs of life on an open stream.

        Raises:
            EndpointError: The endpoint cannot be bound, or is open to others and there are no `keys`.
        """
        require_keys(endpoint, keys)
        self.max_response_bytes = max_response_bytes
        self._is_trusted = is_private(endpoint)
        self._reactor = reactor
        self._handler = handler
        self._permissions = dict(permissions or {})
        self._on_done = on_done
        self._judge = judge
        self._allowance = allowance
        self._limits = limits
        self._max_pending = max_pending
        self._pending: dict[Responder, _Pending] = {}
        self._by_id: dict[tuple[Route, str], Responder] = {}
        self._outcomes = Outcomes()
        self._warn_from = 0.0
        self._counts = dict.fromkeys(ControlStatistics.__struct_fields__, 0)
        spec = SocketSpec(
            zmq.ROUTER,
            bind=endpoint,
            name="control",
            metadata=True,
            keys=keys,
            max_part_bytes=4 * limits.max_frame_bytes,  # between the two, a clear answer rather than a disconnection
            heartbeat=10.0 if endpoint.startswith("tcp:") else 0.0,
        )
        self._socket = reactor.open(spec, self._on_message, self._on_undelivered)
        self._silence = max(6 * keepalive, 6 * KEEPALIVE)
        self._keepalive = keepalive
        self._looked_at = monotonic()
        self._sweep = reactor.every(keepalive, self._keep_alive)

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that was chosen."""
        return self._socket.endpoint

    def statistics(self) -> ControlStatistics:
        """Return the counters."""
        return ControlStatistics(**{**self._counts, "pending": len(self._pending)})

    def close(self) -> None:
        """Cancel what is open, hand over the answers already given, and stop listening. Returns at once."""

        def closed() -> None:
            self._sweep.cancel()
            for responder in list(self._pending):
                gone = failure(responder.request.id, ErrorCode.UNREACHABLE, "the node is stopping")
                self._expire(responder, "cancelled", gone)
            self._socket.close()

        self._reactor.post(closed)

    # For responders, on any thread.

    def deliver(self, responder: Responder, data: bytes) -> None:
        """Send `data` to the first who asked."""
        pending = self._pending.get(responder)
        if pending is not None:
            self._send(pending.route, data)

    def finished(self, responder: Responder, response: Response, data: bytes, *, is_late: bool) -> None:
        """Answer everybody who waits for this call, and keep the outcome for its key."""
        self._reactor.post(lambda: self._finished(responder, response, data, is_late=is_late))

    # What follows runs on the reactor's thread.

    def _on_message(self, socket: Socket, frames: list[zmq.Frame]) -> None:
        parts = [frame.bytes for frame in frames]
        route = tuple(parts[:-1])
        if len(route) != 1 and not (len(route) == 2 and route[1] == b""):
            self._malformed(route[:1], "", "a request is one message part")
            return
        data = parts[-1]
        peer = peer_of(frames[-1], is_trusted=self._is_trusted)
        if self._judge is not None:
            peer = self._judge(peer)
        if self._allowance is not None and not self._allowance.take(peer.caller, monotonic()):
            self._counts["throttled"] += 1
            return
        try:
            message = decode_message(data, self._limits)
        except VersionError as error:
            self._malformed(route, id_in(data, self._limits), str(error), "use the actorctl of the node's own version")
        except CodecError as error:
            self._malformed(route, id_in(data, self._limits), str(error))
        else:
            if isinstance(message, Request):
                self._take(route, message, peer)
            elif isinstance(message, Credit):
                self._credit(route, message)
            else:
                self._cancel(route, message)

    def _malformed(self, route: Route, id: str, why: str, hint: str = "") -> None:
        self._counts["malformed"] += 1
        if monotonic() >= self._warn_from:
            self._warn_from = monotonic() + WARN_EVERY
            _log.warning("control requests could not be read, %d by now; this one: %s", self._counts["malformed"], why)
        if route:
            self._send(route, encode_response(failure(id, ErrorCode.USAGE, why, hint)))

    def _take(self, route: Route, request: Request, peer: Peer) -> None:
        self._counts["requests"] += 1
        request = msgspec.structs.replace(request, caller=_caller(peer, request.caller))
        needed = self._permissions.get(request.command, Role.ADMIN)
        if peer.role < needed:
            self._counts["denied"] += 1
            why = f"{request.command} needs the role {needed}, {peer.caller or 'this peer'} is {peer.role}"
            self._refuse(route, request, peer, ErrorCode.DENIED, why)
        elif (route, request.id) in self._by_id:
            self._refuse(
                route, request, peer, ErrorCode.USAGE, f"the call {request.id!r} is open already on this connection"
            )
        elif request.key and request.credit:
            self._refuse(route, request, peer, ErrorCode.USAGE, "a stream takes no idempotency key")
        elif request.key and self._join(route, request, peer):
            self._counts["joined"] += 1
        elif len(self._pending) >= self._max_pending:
            why = f"{self._max_pending:,} commands are open already"
            self._refuse(route, request, peer, ErrorCode.CONFLICT, why, "try again in a moment")
        else:
            self._start(route, request, peer)

    def _start(self, route: Route, request: Request, peer: Peer) -> None:
        deadline = request.deadline
        if deadline is None and not request.credit:
            deadline = DEFAULT_DEADLINE
        responder = Responder(self, request, peer, deadline)
        key = (_owner(peer), request.key) if request.key else None
        pending = self._pending[responder] = _Pending(route, key)
        self._by_id[route, request.id] = responder
        if key is not None:
            self._outcomes.begin(key, _digest(request), monotonic()).waiting.append((route, request.id))
        if deadline is not None:
            pending.timer = self._reactor.call_later(deadline, lambda: self._deadline(responder))
        try:
            self._handler(request, responder)
        except Exception as error:
            _log.exception("the control handler failed on %s", request.command)
            responder.fail(ErrorCode.INTERNAL, f"{request.command} failed in the node: {type(error).__name__}: {error}")

    def _refuse(self, route: Route, request: Request, peer: Peer, code: ErrorCode, why: str, hint: str = "") -> None:
        self._counts["failed"] += 1
        self._send(route, encode_response(failure(request.id, code, why, hint)))
        self._report(request, peer, code, 0.0)

    def _join(self, route: Route, request: Request, peer: Peer) -> bool:
        """Answer a further try of a command with a key. False: there was none before."""
        outcome = self._outcomes.find((_owner(peer), request.key), monotonic())
        if outcome is None:
            return False
        if outcome.digest != _digest(request):
            why = f"the key {request.key!r} was used for another command, or with other arguments"
            self._refuse(route, request, peer, ErrorCode.CONFLICT, why, "use a new key for each command")
        elif outcome.response is not None:
            self._send(route, encode_response(msgspec.structs.replace(outcome.response, id=request.id)))
        elif outcome.is_done:
            why = f"{request.command} was carried out before; its answer ({outcome.size:,} bytes) was not kept"
            self._refuse(route, request, peer, ErrorCode.CONFLICT, why)
        elif len(outcome.waiting) >= WAITING_LIMIT:
            why = f"{WAITING_LIMIT} tries wait for the outcome of {request.key!r} already"
            self._refuse(route, request, peer, ErrorCode.CONFLICT, why)
        else:
            outcome.waiting.append((route, request.id))
        return True

    def _credit(self, route: Route, message: Credit) -> None:
        responder = self._by_id.get((route, message.id))
        if responder is not None:
            self._pending[responder].heard_at = monotonic()
            responder.grant(message.credit)
        else:  # the stream has ended, or is another run's: its reader must not wait for it
            self._send(route, encode_response(failure(message.id, ErrorCode.NOT_FOUND, "there is no such stream")))

    def _cancel(self, route: Route, message: Cancel) -> None:
        responder = self._by_id.get((route, message.id))
        if responder is not None and self._pending[responder].key is None:  # others may wait for one with a key
            self._expire(responder, "cancelled", None)

    def _deadline(self, responder: Responder) -> None:
        request = responder.request
        why = f"{request.command} was not done within {responder.seconds:.3g} s; it may still be carried out"
        if self._expire(responder, "timed out", failure(request.id, ErrorCode.TIMEOUT, why)):
            self._counts["timed_out"] += 1

    def _expire(self, responder: Responder, state: str, response: Response | None) -> bool:
        if not responder.expire(state):
            return False
        pending = self._forget(responder)
        outcome = self._outcomes.find(pending.key, monotonic()) if pending.key is not None else None
        routes = [(pending.route, responder.request.id)] if outcome is None else outcome.take_waiting()
        for route, id in routes:
            if response is not None:
                self._send(route, encode_response(msgspec.structs.replace(response, id=id)))
        if state == "cancelled":
            self._counts["cancelled"] += 1
        self._counts["failed"] += 1
        code = response.error.code if response is not None and response.error is not None else "cancelled"
        self._report(responder.request, responder.peer, code, responder.seconds)
        return True

    def _finished(self, responder: Responder, response: Response, data: bytes, *, is_late: bool) -> None:
        request, peer = responder.request, responder.peer
        if is_late:
            self._counts["late"] += 1
            key, routes = (_owner(peer), request.key) if request.key else None, []
        else:
            pending = self._forget(responder)
            key, routes = pending.key, [(pending.route, request.id)]
            self._counts["answered" if response.ok else "failed"] += 1
        if key is not None:
            routes = self._outcomes.finish(key, response, len(data), monotonic()) or routes
        for route, id in routes:
            same = id == request.id
            self._send(route, data if same else encode_response(msgspec.structs.replace(response, id=id)))
        if not is_late:
            code = response.error.code if response.error is not None else "ok"
            self._report(request, peer, code, responder.seconds)

    def _forget(self, responder: Responder) -> _Pending:
        pending = self._pending.pop(responder)
        self._by_id.pop((pending.route, responder.request.id), None)
        if pending.timer is not None:
            pending.timer.cancel()
        return pending

    def _keep_alive(self) -> None:
        now = monotonic()
        stood_still = max(0.0, now - self._looked_at - 2 * self._keepalive)  # what readers said since may wait unread
        self._looked_at = now
        for responder, pending in list(self._pending.items()):
            pending.heard_at += stood_still
            if responder.is_stream and now - pending.heard_at > self._silence:
                self._expire(responder, "cancelled", None)
            elif responder.is_stream:
                self._send(pending.route, encode_response(Response(responder.request.id, True, more=True)))
        self._outcomes.sweep(now)

    def _on_undelivered(self, parts: Frames, why: str) -> None:
        self._counts["undelivered"] += 1
        for (route, _), responder in list(self._by_id.items()):
            if route[0] == parts[0] and responder.is_stream:
                self._expire(responder, "cancelled", None)

    def _send(self, route: Route, data: bytes) -> None:
        try:
            self._socket.send([*route, data])
        except (OutboxFullError, SocketClosedError):
            self._counts["undelivered"] += 1

    def _report(self, request: Request, peer: Peer, code: str, seconds: float) -> None:
        if self._on_done is not None:
            try:
                self._on_done(request, peer, str(code), seconds)
            except Exception:
                _log.exception("the audit of %s failed", request.command)


def _caller(peer: Peer, claimed: str) -> str:
    """Return who asked: what is known of the peer, and what it calls itself."""
    if peer.caller and claimed:
        return f"{peer.caller} ({claimed})"
    return peer.caller or claimed


def _owner(peer: Peer) -> str:
    """Return whose key it is: a retry may come from another process of the same user."""
    return peer.caller.partition(" pid ")[0]


def _digest(request: Request) -> bytes:
    return hashlib.sha256(pack([request.command, request.args])).digest()


__all__ = ["ControlServer", "ControlStatistics", "Handler", "OnDone", "Responder"]
