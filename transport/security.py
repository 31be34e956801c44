"""Who may connect: CURVE keys, the list of those allowed with their roles, and who a message came from.

Where an endpoint is a socket in a private directory, the directory is the authority: whoever may enter it is admin, and
the operating system names the peer's user and process. Everywhere else it is CURVE: the node has a key pair, and lets
in the public keys on its list, each with a name and a role. ZeroMQ asks the `Gatekeeper` (by ZAP) once per connection.
A refused peer gets nothing but the refusal, which its own side must watch for (`transport.control.client`, `taps`).

Keys live in `<home>/run/keys` (0700), one file of mode 0600 each, made when the node first starts. Secrets show in no
`repr`, log or error.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import zmq
from msgspec import Struct
from zmq.utils import z85

from transport.endpoints import private_directory, write_private
from transport.errors import EndpointError

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


T = TypeVar("T")

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
    """

    caller: str
    role: Role
    address: str = ""


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
        return [b"1.0", request, b"200", b"OK", f"{grant.role}:{grant.name}".encode(), b""]


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
        role, _, name = user.partition(":")
        return Peer(f"key {name}", Role.parse(role), address)
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


class KeyStore:
    """The key files of one node, in `<home>/run/keys`."""

    LOCAL: Final = "local"
    """Name of the key that this machine's `actorctl` uses; role admin."""

    def __init__(self, run: Path) -> None:
        """Open the store of the node whose run directory is `run`; nothing is read or written yet."""
        self.directory = run / "keys"
        self._lock = threading.Lock()

    def ensure(self) -> KeyPair:
        """Make the node's own pair and the local client's where they are missing; return the node's.

        Raises:
            EndpointError: The directory or a file is not private, or cannot be read.
        """
        private_directory(self.directory.parent)
        private_directory(self.directory)
        pair = self._read_pair("server") if self._path("server").exists() else self._make_pair("server")
        if not self._path(self.LOCAL).exists():
            self.new_key(self.LOCAL, Role.ADMIN)
        return pair

    def new_key(self, name: str, role: Role) -> KeyPair:
        """Make a client key called `name`, put it on the list with `role`, and return it.

        Raises:
            ValueError: `name` is taken, or can be no file name.
        """
        if (
            not name
            or name in {"server", "allowed"}
            or not all(c.isalnum() or c in "-_." for c in name)
            or name[0] == "."
        ):
            raise ValueError(f"{name!r} can be no key name: letters, digits, - _ . (not server or allowed)")
        with self._lock:
            if self._path(name).exists():
                raise ValueError(f"there is a key {name!r} already: {self._path(name)}")
            pair = self._make_pair(name)
            grants = self.grants()
            grants[pair.public] = Grant(name, str(role))
            self._write_grants(grants)
        return pair

    def revoke(self, name: str) -> bool:
        """Take the key called `name` off the list and remove its file; returns whether it was there."""
        with self._lock:
            grants = self.grants()
            kept = {public: grant for public, grant in grants.items() if grant.name != name}
            if len(kept) == len(grants):
                return False
            self._write_grants(kept)
            self._path(name).unlink(missing_ok=True)
        return True

    def grants(self) -> dict[str, Grant]:
        """Return the list: grants by public key.

        Raises:
            EndpointError: It cannot be read.
        """
        path = self._path("allowed")
        if not path.exists():
            return {}
        grants = _read(path, dict[str, Grant])
        for grant in grants.values():
            try:
                Role.parse(grant.role)
            except ValueError as error:
                raise EndpointError(f"{path}: key {grant.name!r}: {error}") from None
        return grants

    def client(self, name: str = LOCAL) -> KeyPair:
        """Return the client key called `name`.

        Raises:
            EndpointError: There is none, or it cannot be read.
        """
        return self._read_pair(name)

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _read_pair(self, name: str) -> KeyPair:
        pair = _read(self._path(name), KeyPair)
        try:
            matches = zmq.curve_public(pair.secret.encode("ascii")).decode("ascii") == pair.public
        except (zmq.ZMQError, ValueError):
            matches = False
        if not matches:
            raise EndpointError(f"{self._path(name)} holds no CURVE key pair")
        return pair

    def _make_pair(self, name: str) -> KeyPair:
        pair = KeyPair.make()
        write_private(self._path(name), msgspec.json.format(msgspec.json.encode(pair)) + b"\n")
        return pair

    def _write_grants(self, grants: Mapping[str, Grant]) -> None:
        write_private(self._path("allowed"), msgspec.json.format(msgspec.json.encode(grants)) + b"\n")


def _read(path: Path, kind: type[T]) -> T:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise EndpointError(f"{path} can be read by others; make it private: chmod 600 {path}")
            return msgspec.json.decode(file.read(1024 * 1024), type=kind)
    except OSError as error:
        raise EndpointError(f"cannot read the key file {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise EndpointError(f"{path} is no key file") from None  # the decoder's text could show a part of a secret
