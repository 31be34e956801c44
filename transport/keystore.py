"""Where CURVE keys are kept: the node's pair, the list of keys that may connect, and the client keys made here.

They live in `<home>/run/keys` (0700), one file of mode 0600 each, made when the node first starts. The list holds
public halves alone, so a key whose secret is on another machine stands on it like any other. Secrets show in no log
or error.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import zmq
from msgspec import Struct
from zmq.utils import z85

from transport.endpoints import private_directory, write_private
from transport.errors import EndpointError
from transport.security import ClientKeys, Grant, KeyPair, Role

T = TypeVar("T")


ACCESS: Final = "actors/access/v1"
_ACCESS_LIMIT: Final = 64 * 1024


class AccessFile(Struct, frozen=True):
    """All that one person needs to reach a node from another machine: where it listens, and both halves of their key.

    Attributes:
        node: The node's name.
        version: Version of the software it runs.
        control: Endpoint of control RPC.
        taps: Endpoint of the event taps.
        server_key: The node's public key, by which it is recognised.
        name: What the key is called there.
        pair: The key. Whoever has the file has its role.
        api: Version of this file's layout.
    """

    node: str
    version: str
    control: str
    taps: str
    server_key: str
    name: str
    pair: KeyPair
    api: str = ACCESS

    @property
    def keys(self) -> ClientKeys:
        """What a connecting socket needs."""
        return ClientKeys(self.pair, self.server_key)


def write_access(path: Path, access: AccessFile) -> None:
    """Write `path`, mode 0600.

    Raises:
        OSError: It cannot be written.
    """
    write_private(path, _json(access))


def read_access(path: Path) -> AccessFile | None:
    """Return the access file at `path`; None where there is no such file, or it is another kind of file.

    Raises:
        EndpointError: It is one and cannot be used: others may read it, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_ACCESS_LIMIT)
    except OSError:
        return None
    try:
        if msgspec.json.decode(data, type=_Layout).api.rpartition("/")[0] != ACCESS.rpartition("/")[0]:
            return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    access = _read(path, AccessFile)
    if access.api != ACCESS:
        raise EndpointError(f"{path} is of layout {access.api[:40]!r}, this side speaks {ACCESS!r}")
    _check_pair(access.pair, path)
    return access


class _Layout(Struct, frozen=True):
    api: str = ""


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
        check_key_name(name)
        if self._path(name).exists():
            raise ValueError(f"there is a key {name!r} already: {self._path(name)}")
        pair = KeyPair.make()
        self.save(name, pair)
        self.grant(name, role, pair.public)
        return pair

    def save(self, name: str, pair: KeyPair) -> Path:
        """Keep both halves of a client key here, mode 0600; returns the file. It is not on the list yet.

        Raises:
            ValueError: `name` can be no file name.
        """
        check_key_name(name)
        private_directory(self.directory.parent)
        write_private(private_directory(self.directory) / f"{name}.json", _json(pair))
        return self._path(name)

    def grant(self, name: str, role: Role, public: str) -> None:
        """Put the public half of a key, made here or elsewhere, on the list.

        Raises:
            ValueError: `name` is taken or can be none, or `public` is no CURVE key or on the list already.
            EndpointError: The list cannot be read.
        """
        check_key_name(name)
        check_public(public)
        with self._lock:
            grants = self.grants()
            taken = {grant.name for grant in grants.values()}
            if name in taken:
                raise ValueError(f"there is a key {name!r} already; revoke it first, or take another name")
            if public in grants:
                raise ValueError(f"this key is on the list already, as {grants[public].name!r}")
            private_directory(self.directory.parent)
            private_directory(self.directory)
            self._write_grants({**grants, public: Grant(name, str(role))})

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
        _check_pair(pair, self._path(name))
        return pair

    def _make_pair(self, name: str) -> KeyPair:
        pair = KeyPair.make()
        write_private(self._path(name), _json(pair))
        return pair

    def _write_grants(self, grants: Mapping[str, Grant]) -> None:
        write_private(self._path("allowed"), _json(grants))


def check_key_name(name: str) -> None:
    """Refuse what can be no name of a key.

    Raises:
        ValueError: It is one.
    """
    if (
        not name
        or len(name) > 64
        or name in {"server", "allowed"}
        or not all(c.isalnum() or c in "-_." for c in name)
        or name[0] == "."
    ):
        raise ValueError(f"{name[:64]!r} can be no key name: letters, digits, - _ . (not server or allowed)")


def check_public(public: str) -> None:
    """Refuse what is no public half of a CURVE key.

    Raises:
        ValueError: It is none.
    """
    try:
        if len(public) == 40 and len(z85.decode(public.encode("ascii"))) == 32:
            return
    except (ValueError, KeyError, struct.error):
        pass
    raise ValueError("a public key is 40 characters of Z85, as `actorctl key show` prints it")


def _check_pair(pair: KeyPair, path: Path) -> None:
    try:
        matches = zmq.curve_public(pair.secret.encode("ascii")).decode("ascii") == pair.public
    except (zmq.ZMQError, ValueError):
        matches = False
    if not matches:
        raise EndpointError(f"{path} holds no CURVE key pair")


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


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
