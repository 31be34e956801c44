"""Where a node can be reached: endpoints of its sockets, the private directories they live in, and `endpoints.json`.

On POSIX the endpoints are `ipc://` sockets in a directory that only its owner may enter: the directory is the
authority. Elsewhere, or where configured, they are `tcp://` on the loopback address, and CURVE keys are the authority
(`security`). `<home>/run/endpoints.json` (mode 0600, replaced atomically) says where a node listens and which process
it is; `verify` says whether that is still true.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from transport.errors import EndpointError
from transport.identity import ProcessIdentity, Sighting

API: Final = "actors/v1"
FILE_NAME: Final = "endpoints.json"
SOCKET_PATH_LIMIT: Final = 103
"""Longest path of a POSIX socket in bytes: 104 with its closing zero on macOS, 108 on Linux."""

_FILE_LIMIT: Final = 64 * 1024


class Endpoints(Struct, frozen=True):
    """The contents of `endpoints.json`.

    Attributes:
        process: The node's process.
        name: The node's name.
        version: Version of the software that runs.
        control: Endpoint of control RPC.
        taps: Endpoint of the event taps.
        started_at: When the node started, in seconds since the epoch, UTC.
        epoch: Identifies this run of the node; counters start anew with it.
        server_key: The node's CURVE public key; "" where the directory is the authority.
        api: Version of this file's layout.
    """

    process: ProcessIdentity
    name: str
    version: str
    control: str
    taps: str
    started_at: float
    epoch: str
    server_key: str = ""
    api: str = API


class Presence(Enum):
    """What `verify` found."""

    RUNNING = "running"
    STALE = "stale"
    """The file is there, its process is not."""
    OTHER_USER = "other user"
    """The file, or the process, belongs to somebody else."""
    UNREADABLE = "unreadable"
    """The file is there and cannot be understood."""
    ABSENT = "not running"
    """There is no file."""


class Verdict(Struct, frozen=True):
    """Whether a node runs.

    Attributes:
        presence: What was found.
        looked_at: The file that was read, or was not there.
        endpoints: Its contents, where they could be read.
        detail: One line that explains it to a person.
    """

    presence: Presence
    looked_at: str
    endpoints: Endpoints | None
    detail: str


def write_endpoints(run: Path, endpoints: Endpoints) -> Path:
    """Write `run/endpoints.json`, mode 0600, so that a reader sees the old file or the new one whole.

    Raises:
        EndpointError: `run` cannot serve as a private directory.
        OSError: The file cannot be written.
    """
    path = private_directory(run) / FILE_NAME
    write_private(path, msgspec.json.format(msgspec.json.encode(endpoints), indent=2) + b"\n")
    return path


def read_endpoints(run: Path) -> Endpoints:
    """Return the contents of `run/endpoints.json`; `run` may also name the file itself.

    Raises:
        FileNotFoundError: There is none.
        PermissionError: It belongs to somebody who does not let us read it.
        EndpointError: It is no such file, or of a layout that is not spoken here.
    """
    path = _file(run)
    with path.open("rb") as file:
        data = file.read(_FILE_LIMIT + 1)
    if len(data) > _FILE_LIMIT:
        raise EndpointError(f"{path} is no endpoints file: it has more than {_FILE_LIMIT:,} bytes")
    try:
        found = msgspec.json.decode(data, type=Endpoints)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EndpointError(f"{path} is no endpoints file: {error}") from None
    if found.api.partition("/")[0] != "actors" or found.api != API:
        raise EndpointError(f"{path} is of layout {found.api[:40]!r}, this side speaks {API!r}")
    return found


def remove_endpoints(run: Path, epoch: str) -> bool:
    """Remove `run/endpoints.json` if it is the one of the run `epoch`; returns whether it was."""
    try:
        if read_endpoints(run).epoch != epoch:
            return False
        (run / FILE_NAME).unlink()
    except (OSError, EndpointError):
        return False
    return True


def verify(run: Path) -> Verdict:
    """Say whether the node that wrote `run/endpoints.json` still runs; `run` may also name the file itself.

    Reads only, and never raises for what it finds.
    """
    path = _file(run)
    shown = str(path)
    try:
        endpoints = read_endpoints(run)
    except (FileNotFoundError, NotADirectoryError):
        return Verdict(Presence.ABSENT, shown, None, f"there is no {path}")
    except PermissionError:
        return Verdict(Presence.OTHER_USER, shown, None, f"{path} belongs to another user{_owner_of(path)}")
    except (OSError, EndpointError) as error:
        return Verdict(Presence.UNREADABLE, shown, None, str(error))
    pid = endpoints.process.pid
    match endpoints.process.look():
        case Sighting.ALIVE:
            return Verdict(Presence.RUNNING, shown, endpoints, f"{endpoints.name} runs as process {pid}")
        case Sighting.HIDDEN:
            return Verdict(Presence.OTHER_USER, shown, endpoints, f"process {pid} belongs to another user")
        case Sighting.GONE:
            detail = f"process {pid} named by {path} is gone (or its id has another process now, or a dying one)"
            return Verdict(Presence.STALE, shown, endpoints, detail)


def ipc_is_usual() -> bool:
    """Whether this platform's endpoints are `ipc://` unless configured otherwise."""
    return os.name == "posix"


def ipc_endpoint(run: Path, name: str) -> str:
    """Return the `ipc://` endpoint for a socket called `name` of the node whose run directory is `run`.

    It lies in `run` where the path is short enough for a socket; otherwise in a private directory named after `run`
    under the user's runtime directory or the temporary one. Whichever it is, it is made, and checked.

    Raises:
        EndpointError: The directory is not private, or even the short path is too long.
    """
    home = run.absolute() / f"{name}.sock"
    if len(os.fsencode(home)) <= SOCKET_PATH_LIMIT:
        return f"ipc://{private_directory(run.absolute()) / home.name}"
    digest = _digest(run.absolute())
    short = private_directory(_short_base() / digest) / home.name
    if len(os.fsencode(short)) > SOCKET_PATH_LIMIT:
        raise EndpointError(
            f"no socket path for {name}: {home} and {short} are both longer than {SOCKET_PATH_LIMIT} bytes; "
            "use a shorter home, or transport tcp"
        )
    return f"ipc://{short}"


def tcp_endpoint(host: str = "127.0.0.1", port: int = 0) -> str:
    """Return a `tcp://` endpoint to bind; port 0 takes a free one.

    Raises:
        EndpointError: `port` is no port.
    """
    if not 0 <= port <= 65_535:
        raise EndpointError(f"{port} is no tcp port: 0 (any) to 65535")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"tcp://{host}:{port or '*'}"


def check_endpoint(endpoint: str) -> None:
    """Refuse a `tcp://` endpoint whose port is none: ZeroMQ would cut it down to some other port.

    Raises:
        EndpointError: It is not 1 to 65535, or `*`.
    """
    if endpoint.startswith("tcp://"):
        port = endpoint.rpartition(":")[2]
        if port != "*" and not (port.isascii() and port.isdecimal() and int(port) <= 65_535):
            raise EndpointError(f"{endpoint} has no tcp port: 1 to 65535, or * for a free one")


def remove_socket(endpoint: str) -> None:
    """Remove what a bound `ipc://` socket leaves behind; other endpoints leave nothing."""
    if endpoint.startswith("ipc://"):
        with contextlib.suppress(OSError):
            os.unlink(endpoint.removeprefix("ipc://"))


def remove_sockets(run: Path, stem: str) -> None:
    """Remove what `ipc://` sockets called `stem`, or `stem.…`, of a process that was killed left behind in `run`."""
    usual = run.absolute()
    digest = _digest(usual)
    for directory in (usual, _short_base() / digest):
        for left in (directory / f"{stem}.sock", *directory.glob(f"{stem}.*.sock")):
            with contextlib.suppress(OSError):
                left.unlink()


def private_directory(path: Path) -> Path:
    """Make `path` (and what is above it) unless it is there, see that only its owner may enter it, and return it.

    A directory of ours that others may enter is closed to them.

    Raises:
        EndpointError: It is a link or no directory, belongs to somebody else, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise EndpointError(f"cannot make the directory {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise EndpointError(f"{path} is no directory (a link to one will not do)")
    if os.name == "posix":
        if found.st_uid != os.geteuid():
            raise EndpointError(f"{path} belongs to user {found.st_uid}, not to user {os.geteuid()} who runs this")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` atomically by a file of mode 0600 that holds `data`, written through to the disk.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):  # names the file that was to be written, which the system's own error may not
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def _file(run: Path) -> Path:
    return run if run.suffix == ".json" else run / FILE_NAME


def _short_base() -> Path:
    """Return the parent of short socket directories: in the user's runtime directory, else in the temporary one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(os.fsencode(runtime)) <= 48 and os.access(runtime, os.W_OK):
        return private_directory(Path(runtime) / "actorctl")
    import tempfile

    base = Path("/tmp") if sys.platform == "darwin" else Path(tempfile.gettempdir())  # macOS' own is 50 bytes long
    return private_directory(base / f"actorctl-{os.geteuid() if os.name == 'posix' else 'user'}")


def _owner_of(path: Path) -> str:
    try:
        return f" (user {path.lstat().st_uid})"
    except OSError:
        return ""


def _digest(folder: Path) -> str:
    from hashlib import sha256  # loads OpenSSL, which a command that only asks the node has no use for

    return sha256(os.fsencode(folder)).hexdigest()[:16]
