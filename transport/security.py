"""Who may connect: CURVE keys, the list of those allowed with their roles, and who a message came from.

Where an endpoint is a socket in a private directory, the directory is the authority: whoever may enter it is admin, and
the operating system names the peer's user and process. Everywhere else it is CURVE: the node has a key pair, and lets
in the public keys on its list, each with a name and a role. ZeroMQ asks the `Gatekeeper` (by ZAP) once per connection.
A refused peer gets nothing but the refusal, which its own side must watch for (`transport.control.client`, `taps`).

Where the keys are kept is `transport.keystore`'s subject. Secrets show in no `repr`, log or error.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

import msgspec
import zmq
from msgspec import Struct
from zmq.utils import z85

from transport.errors import EndpointError

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


_LOCAL_PEER: Final = re.compile(r"localhost:(\d+):\d+:(\d+)\Z")


class Role(IntEnum):
    """What a peer may do; a higher role includes the lower ones."""

    NOBODY = 0
    """Nothing: what a peer is that nothing vouches for."""
    VIEWER = 1
    """Read: tree, describe, events, taps."""
    OPERATOR = 2
    """And act on actors: stop, start, restart, send."""
    ADMIN = 3
    """And on the node: shutdown, configuration, keys."""

    @classmethod
    def parse(cls, word: str) -> Role:
        """Return the role called `word`.

        Raises:
            ValueError: There is none.
        """
        try:
            return {role.name.lower(): role for role in cls if role}[word]
        except KeyError:
            raise ValueError(f"{word!r} is no role: viewer, operator or admin") from None

    def __str__(self) -> str:
        return self.name.lower()


class KeyPair(Struct, frozen=True):
    """A CURVE key pair, both halves as 40 characters of Z85. The secret half shows in no `repr`."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=<hidden>)"

    @classmethod
    def make(cls) -> KeyPair:
        """Return a new pair."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode("ascii"), secret.decode("ascii"))


class ServerKeys(Struct, frozen=True):
    """What a listening socket needs for CURVE: its own pair, and the domain its gatekeeper is asked about."""

    pair: KeyPair
    domain: str = "actors"


class ClientKeys(Struct, frozen=True):
    """What a connecting socket needs for CURVE: its own pair and the server's public key."""

    pair: KeyPair
    server: str


class Grant(Struct, frozen=True):
    """One key on the list: whose it is and what it may do."""

    name: str
    role: str


class Peer(Struct, frozen=True):
    """Who sent a message.

    Attributes:
        caller: `uid 1000 pid 4121` by the operating system, `key NAME` by CURVE, or "" where neither knows.
        role: What it may do.
        address: Its network address, or "".
        public_key: The key it came with, or "".
    """

    caller: str
    role: Role
    address: str = ""
    public_key: str = ""


def apply_curve(zsocket: zmq.Socket[bytes], keys: ServerKeys | ClientKeys) -> None:
    """Set the CURVE options on a socket that is neither bound nor connected yet."""
    zsocket.setsockopt(zmq.CURVE_PUBLICKEY, keys.pair.public.encode("ascii"))
    zsocket.setsockopt(zmq.CURVE_SECRETKEY, keys.pair.secret.encode("ascii"))
    if isinstance(keys, ServerKeys):
        zsocket.setsockopt(zmq.CURVE_SERVER, 1)
        zsocket.setsockopt(zmq.ZAP_DOMAIN, keys.domain.encode("utf-8"))
    else:
        zsocket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.encode("ascii"))


class Gatekeeper:
    """Decides by its list of keys who may connect. `answer` runs on the reactor's thread, `replace` on any."""

    def __init__(self, allowed: Mapping[str, Grant], on_refused: Callable[[str, str], None] | None = None) -> None:
        """Make a gatekeeper.

        Args:
            allowed: Grants by public key.
            on_refused: Gets the address and the public key of each peer that was refused; on the reactor's thread.
        """
        self._allowed = dict(allowed)
        self._on_refused = on_refused
        self.admitted = 0
        """Connections let in."""
        self.refused = 0
        """Connections refused."""

    def replace(self, allowed: Mapping[str, Grant]) -> None:
        """Take a new list; connections already made keep what they were granted."""
        self._allowed = dict(allowed)

    def judge(self, peer: Peer) -> Peer:
        """Return `peer` with the role that its key has now, which a connection made earlier does not know; any thread.

        A key that was revoked since makes nobody of it. A peer without a key stays what it is.
        """
        if not peer.public_key:
            return peer
        grant = self._allowed.get(peer.public_key)
        role = Role.parse(grant.role) if grant is not None else Role.NOBODY
        return peer if role is peer.role else msgspec.structs.replace(peer, role=role)

    def answer(self, frames: list[bytes]) -> list[bytes]:
        """Return the ZAP reply to the frames of a ZAP 1.0 request."""
        request = frames[1] if len(frames) > 1 else b""
        if len(frames) < 7 or frames[0] != b"1.0" or frames[5] != b"CURVE" or len(frames[6]) != 32:
            self.refused += 1
            return [b"1.0", request, b"400", b"only CURVE keys are admitted", b"", b""]
        address = frames[3].decode("utf-8", "replace")
        public = z85.encode(frames[6]).decode("ascii")
        grant = self._allowed.get(public)
        if grant is None:
            self.refused += 1
            _log.warning("refused a key that is not on the list", extra={"address": address, "public_key": public})
            if self._on_refused is not None:
                self._on_refused(address, public)
            return [b"1.0", request, b"400", b"this key is not authorised", b"", b""]
        self.admitted += 1
        return [b"1.0", request, b"200", b"OK", f"{grant.role}:{public}:{grant.name}".encode(), b""]


def is_private(endpoint: str) -> bool:
    """Whether the endpoint's place is its authority, so that it needs no keys."""
    return endpoint.startswith(("ipc://", "inproc://"))


def require_keys(endpoint: str, keys: object) -> None:
    """Refuse to listen in the open without keys.

    Raises:
        EndpointError: `endpoint` is not private and there are no `keys`.
    """
    if keys is None and not is_private(endpoint):
        raise EndpointError(f"{endpoint} is open to every user of this machine: it needs CURVE keys")


def peer_of(frame: Any, *, is_trusted: bool) -> Peer:
    """Return who sent `frame`, a `zmq.Frame` of a message that was received with `copy=False`.

    Args:
        frame: Any part of the message.
        is_trusted: Whether it came by an endpoint that `is_private`: then a peer without a key is admin, else nobody.

    Of a peer over a private directory's socket ZeroMQ may keep the user and process from when it connected (Linux, read
    in 4.3.5); elsewhere the operating system is asked now, and a connection that is closed already stays unknown.
    """
    user = _property(frame, "User-Id")
    address = _property(frame, "Peer-Address")
    if user:
        role, public, name = user[: (at := user.index(":"))], user[at + 1 : at + 41], user[at + 42 :]
        return Peer(f"key {name}", Role.parse(role), address, public)
    kept = _LOCAL_PEER.match(address)
    caller = f"uid {kept[1]} pid {kept[2]}" if kept is not None else _credentials(frame)
    return Peer(caller, Role.ADMIN if is_trusted else Role.NOBODY, address)


def _property(frame: Any, name: str) -> str:
    try:
        return str(frame.get(name) or "")
    except zmq.ZMQError:
        return ""


def _credentials(frame: Any) -> str:
    """Return `uid U pid P` of the process at the other end of a local socket, or ""."""
    import socket as _socket  # here: a client never comes this way

    try:
        with _socket.socket(fileno=os.dup(frame.get(zmq.SRCFD))) as peer:
            if peer.family != getattr(_socket, "AF_UNIX", None):
                return ""
            if hasattr(_socket, "SO_PEERCRED"):
                pid, uid, _ = struct.unpack("iII", peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
                return f"uid {uid} pid {pid}"
            if sys.platform == "darwin":
                pid = struct.unpack("i", peer.getsockopt(0, 2, 4))[0]  # SOL_LOCAL, LOCAL_PEERPID of sys/un.h
                return f"uid {os.geteuid()} pid {pid}"  # nobody else can enter the directory
    except (OSError, zmq.ZMQError, struct.error, TypeError, ValueError):
        return ""  # the connection is gone, or this platform tells nothing
    return ""
