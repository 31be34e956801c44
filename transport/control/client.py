"""The client's side of control RPC: what `actorctl` and other programs use to command a node.

    with open_client(Path(".actors/run"), caller="actorctl") as node:
        tree = node.call("tree", {"path": "/io"}, timeout=5)
        with node.stream("events", {"follow": True}) as events:
            for event in events: ...

Every failure is a `ControlError` with a code and a hint: the node's own, `unreachable` (why, and where it was looked
for), `denied` (the key), or `timeout`. A call is tried again on a new socket when the connection is lost or nothing has
come for `RETRY` seconds; its key makes that safe. A client belongs to one thread.

Light on purpose: importing this costs ZeroMQ, msgpack and msgspec.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final

import zmq

from transport.connecting import Connection, Link
from transport.control.protocol import KEEPALIVE, Cancel, Credit, Request, Response, decode_response, encode_message
from transport.endpoints import Endpoints, Presence, Verdict, verify
from transport.errors import CodecError, ControlError, EndpointError, ErrorCode, UnreachableError, UnreadableAnswerError
from transport.handshakes import ADMISSION
from transport.keystore import KeyStore
from transport.limits import REQUEST_LIMITS, RESPONSE_LIMITS
from transport.security import ClientKeys
from transport.sockets import SocketSpec

FIRST_RETRY: Final = 1.0
RETRY: Final = 5.0
"""Seconds without an answer after which a call is sent again on a new socket: soon at first, since a node drops what a
user has no allowance for, which another program of theirs may have used up; then doubled. Tries join the first."""

GRACE: Final = 0.5
"""Seconds beyond a call's time-out in which the node may still say that it timed out, and why."""

SILENCE: Final = 6 * KEEPALIVE
"""Seconds without a sign of life after which a stream's node counts as gone."""

_HINTS: Final = {
    Presence.ABSENT: "start it with: actorctl run (or name its home: --home DIR)",
    Presence.STALE: "the node ended without cleaning up; start it again with: actorctl run",
    Presence.OTHER_USER: "run actorctl as the user who runs the node",
    Presence.UNREADABLE: "actorctl doctor shows what is wrong with it",
}


def open_client(run: Path, *, key: str = KeyStore.LOCAL, caller: str = "") -> ControlClient:
    """Return a client of the node whose run directory, or endpoints file, is `run`. Connects with the first call.

    Args:
        run: The directory that holds `endpoints.json`, or that file.
        key: Name of the key to use, where the node wants one.
        caller: What this client calls itself in the audit.

    Raises:
        UnreachableError: No node runs there, and why.
        AuthenticationError: The node wants a key and there is none to be read.
    """
    verdict = verify(run)
    endpoints = verdict.endpoints
    if verdict.presence is not Presence.RUNNING or endpoints is None:
        raise _unreachable(verdict)
    return ControlClient(
        endpoints.control, keys=client_keys(run, endpoints, key), caller=caller, looked_at=verdict.looked_at
    )


def client_keys(run: Path, endpoints: Endpoints, name: str = KeyStore.LOCAL) -> ClientKeys | None:
    """Return the keys to connect to the node of `endpoints` with, or None where it wants none.

    Raises:
        ControlError: The key cannot be read; code `denied`.
    """
    if not endpoints.server_key:
        return None
    try:
        pair = KeyStore(run.parent if run.suffix == ".json" else run).client(name)
    except EndpointError as error:
        raise ControlError(
            ErrorCode.DENIED, f"the node wants a key: {error}", "run actorctl as the node's user"
        ) from None
    return ClientKeys(pair, endpoints.server_key)


class ControlClient:
    """Commands one node. Not for several threads at once; close it, or use it in a `with`."""

    def __init__(
        self,
        endpoint: str,
        *,
        keys: ClientKeys | None = None,
        caller: str = "",
        looked_at: str = "",
        connect: float = ADMISSION,
    ) -> None:
        """Make a client; nothing is connected yet.

        Args:
            endpoint: The node's control endpoint.
            keys: CURVE keys, where the node wants them.
            caller: What this client calls itself in the audit.
            looked_at: Where the endpoint was found, for errors.
            connect: Seconds after which nobody is there, if nobody accepts the connection. A node that does, and then
                comes to nothing more, has the time of the call.
        """
        self.endpoint = endpoint
        self._keys = keys
        self._caller = caller
        self._looked_at = looked_at or endpoint
        self._connect = connect
        self._connection: Connection | None = None
        self._streams: list[Stream] = []

    def call(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        *,
        timeout: float = 10.0,
        reason: str = "",
        key: str | None = None,
        answer: Any = Any,
    ) -> Any:
        """Carry out `command` and return its result.

        Args:
            command: What to do.
            args: Its arguments: plain data.
            timeout: Seconds the node has; its own error says what was still pending then.
            reason: Why, for the audit.
            key: Idempotency key; by default a new one. Give the same one to repeat a command whose outcome is unknown.
            answer: The type that the result is read as; by default it is plain data.

        Raises:
            ControlError: It failed, or it is larger than a node takes; `code` says how.
            UnreachableError: The node did not accept the connection, or is gone; whether it did anything is unknown.
            AuthenticationError: The node refused the key.
            EncodingError: `args` is no plain data.
        """
        used = key or os.urandom(12).hex()
        until = monotonic() + timeout
        patience = FIRST_RETRY
        while True:
            left = until - monotonic()
            request = Request(_new_id(), command, dict(args or {}), max(0.0, left), self._caller, reason, used)
            data, limit = _encoded(request), min(left + GRACE, patience)
            response = self._try(data, request.id, limit, left, is_packed=answer is not Any)
            patience = min(2 * patience, RETRY)
            if response is not None:
                with _readable():
                    return response.value(answer)
            self._drop()
            if monotonic() >= until:
                raise ControlError(
                    ErrorCode.TIMEOUT,
                    f"no answer to {command} from {self.endpoint} within {timeout:g} s; it may still be carried out",
                    "is the node busy or stopped? actorctl doctor",
                )

    def stream(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        reason: str = "",
        credit: int = 64,
    ) -> Stream:
        """Start `command` and return the parts of its answer as they come; on a connection of its own.

        Args:
            command: What to do.
            args: Its arguments: plain data.
            timeout: Seconds the whole stream may take; None sets no limit.
            reason: Why, for the audit.
            credit: How many parts may be under way; at least 1.

        Raises:
            UnreachableError, AuthenticationError: As `call`.
            ValueError: `credit` is below 1.
        """
        if credit < 1:
            raise ValueError(f"credit is at least 1, got {credit}")
        request = Request(_new_id(), command, dict(args or {}), timeout, self._caller, reason, credit=credit)
        connection = self._connected(SILENCE)
        try:
            connection.socket.send(_encoded(request))
            return Stream(connection, request, self._gone)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection; idempotent. Streams are closed by themselves."""
        self._drop()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _try(self, data: bytes, id: str, timeout: float, patience: float, *, is_packed: bool) -> Response | None:
        """Send once and wait for the answer; None: the connection was lost, or it is time for another try."""
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connected(patience)
        until = monotonic() + timeout
        losses = connection.losses
        connection.socket.send(data)
        while True:
            left = until - monotonic()
            if connection.wait(max(0.0, left)):  # once more when it is late: this thread may have been held up
                response = _read(connection.socket.recv(), is_packed=is_packed)
                if response.id in {id, ""}:  # others answer an earlier try, or a call that timed out here
                    return response
            elif left <= 0 or connection.losses > losses:
                return None

    def _connected(self, patience: float) -> Connection:
        spec = SocketSpec(
            zmq.DEALER,
            connect=self.endpoint,
            name="control client",
            keys=self._keys,
            max_part_bytes=RESPONSE_LIMITS.max_frame_bytes,
        )
        connection = Connection(spec)
        try:
            if not connection.wait_admitted(self._connect, patience):
                is_there = connection.link is Link.CONNECTED
                raise self._gone("it is there and says nothing" if is_there else "nothing accepts connections there")
        except BaseException:
            connection.close()
            raise
        return connection

    def _gone(self, why: str) -> UnreachableError:
        return UnreachableError(
            "no answer",
            self._looked_at,
            f"no node answers at {self.endpoint}: {why} (looked at {self._looked_at})",
            "the node may just be stopping or starting; try again, or: actorctl doctor",
        )

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _encoded(request: Request) -> bytes:
    """Return the bytes of `request`; a node would drop the connection of one that is too large, and say nothing.

    Raises:
        ControlError: `usage`: it is too large, or holds what msgpack cannot carry, such as half a surrogate pair.
    """
    try:
        data = encode_message(request)
    except CodecError as error:
        raise ControlError(ErrorCode.USAGE, f"{request.command} cannot be sent: {error}") from None
    most = REQUEST_LIMITS.max_frame_bytes
    if len(data) > most:
        why = f"{request.command} would be a request of {len(data):,} bytes, and {most:,} are taken"
        raise ControlError(ErrorCode.USAGE, why, "put large data into a file, and send its name")
    return data


class Stream:
    """The parts of a streamed answer. Iterate over it; close it, or use it in a `with`. Belongs to one thread."""

    def __init__(self, connection: Connection, request: Request, gone: Any) -> None:
        self._connection = connection
        self._request = request
        self._gone = gone
        self._unused = 0  # parts read since credit was granted
        self._count = 0
        self._losses = connection.losses
        self._is_done = False
        self._said_at = self._heard_at = monotonic()
        self.result: Any = None
        """What the last answer held, once the stream has ended."""

    def read(self, timeout: float | None = None) -> tuple[bool, Any]:
        """Return `(True, part)`, or `(False, None)` when the stream has ended.

        Args:
            timeout: Longest wait, in seconds; None waits for as long as the node does.

        Raises:
            TimeoutError: No part came within `timeout`; the stream goes on.
            ControlError: The command failed, or the connection was lost.
        """
        if self._is_done:
            return False, None
        until = None if timeout is None else monotonic() + timeout
        while True:
            self._keep_alive()
            wait = max(0.0, self._said_at + KEEPALIVE - monotonic())
            if until is not None:
                wait = min(wait, max(0.0, until - monotonic()))
            if self._connection.wait(wait):
                response = _read(self._connection.socket.recv())
                self._heard_at = monotonic()
                is_sign_of_life = response.more and response.part == 0
                if response.id in {self._request.id, ""} and not is_sign_of_life:
                    return self._take(response)
            if self._connection.losses > self._losses:
                self.close()
                raise self._gone("the connection was lost")
            if monotonic() - self._heard_at > SILENCE:
                self.close()
                raise self._gone(f"nothing was heard for {SILENCE:g} s")
            if until is not None and monotonic() >= until:
                raise TimeoutError(f"no part of {self._request.command} within {timeout:g} s")

    def __iter__(self) -> Iterator[Any]:
        while True:
            has_part, part = self.read()
            if not has_part:
                return
            yield part

    def close(self) -> None:
        """Tell the node that no more is wanted, and close the connection; idempotent."""
        if not self._is_done and self._connection.link is Link.ADMITTED:
            self._connection.socket.send(encode_message(Cancel(self._request.id)), zmq.NOBLOCK)
        self._is_done = True
        self._connection.close(linger=0.2)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _take(self, response: Response) -> tuple[bool, Any]:
        if response.ok and response.more:
            self._count += 1
            if response.part != self._count:
                self.close()
                raise ControlError(
                    ErrorCode.FAILED,
                    f"part {self._count} of {self._request.command} was lost on the way",
                    "run it again",
                )
            self._unused += 1
            return True, response.result
        self._is_done = True
        self._connection.close()
        self.result = response.value()
        return False, None

    def _keep_alive(self) -> None:
        """Grant credit for half of what was given at first, or nothing from time to time to show that we are here."""
        if 2 * self._unused >= self._request.credit or monotonic() - self._said_at >= KEEPALIVE:
            self._connection.socket.send(encode_message(Credit(self._request.id, self._unused)), zmq.NOBLOCK)
            self._unused = 0
            self._said_at = monotonic()


def _read(data: bytes, *, is_packed: bool = False) -> Response:
    with _readable():
        return decode_response(data, is_packed=is_packed)


@contextmanager
def _readable() -> Iterator[None]:
    """Say what to do where what the node sent cannot be read."""
    try:
        yield
    except CodecError as error:
        raise UnreadableAnswerError(
            ErrorCode.FAILED, f"the node's answer cannot be read: {error}", "use the actorctl of the node's own version"
        ) from error


def _new_id() -> str:
    return os.urandom(8).hex()


def _unreachable(verdict: Verdict) -> UnreachableError:
    return UnreachableError(
        verdict.presence.value,
        verdict.looked_at,
        f"no node to talk to: {verdict.presence.value}: {verdict.detail}",
        _HINTS.get(verdict.presence, ""),
    )
