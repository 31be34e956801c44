"""What must be there before a node starts, such as a database on another host: waited for, with a deadline.

    tcp://HOST:PORT    somebody accepts a connection
    unix:///PATH       somebody accepts a connection at this socket
    file:///PATH       there is such a file or folder

The same on every system, whatever its service manager can order.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from actors.errors import ActorRuntimeError

LOOK_EVERY: Final = 0.25
CONNECT: Final = 2.0
SCHEMES: Final = ("tcp", "unix", "file")


class DependencyError(ActorRuntimeError, TimeoutError):
    """Something that the node needs was not there in time."""

    def __init__(self, missing: Sequence[str], timeout: float) -> None:
        names = ", ".join(missing)
        super().__init__(f"not there within {timeout:g} s: {names}; runtime.wait_for says that it is needed")
        self.missing = tuple(missing)


def is_dependency(text: str) -> bool:
    """Whether `text` names something that can be waited for."""
    try:
        parts = urlsplit(text)
        if parts.scheme == "tcp":
            return bool(parts.hostname) and parts.port is not None and not parts.path
    except ValueError:
        return False
    return parts.scheme in SCHEMES and not parts.netloc and parts.path.startswith("/")


def is_there(text: str) -> bool:
    """Whether what `text` names is there now; waits for a connection for `CONNECT` seconds at most."""
    parts = urlsplit(text)
    path = unquote(parts.path)
    try:
        if parts.scheme == "tcp":
            assert parts.hostname is not None  # checked with the configuration
            with socket.create_connection((parts.hostname, parts.port or 0), timeout=CONNECT):
                return True
        if parts.scheme == "file":
            return Path(path).exists()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT)
            probe.connect(path)
            return True
    except OSError:
        return False


def wait_for(names: Sequence[str], timeout: float, on_wait: Callable[[tuple[str, ...]], bool]) -> bool:
    """Wait until everything named is there; False where `on_wait` said to give up.

    Args:
        names: What is needed.
        timeout: Longest wait for all of it, in seconds.
        on_wait: Called with what is missing again and again; True waits on.

    Raises:
        DependencyError: Not all of it came in time.
    """
    until = time.monotonic() + timeout
    missing = tuple(names)
    while missing := tuple(name for name in missing if not is_there(name)):
        if time.monotonic() >= until:
            raise DependencyError(missing, timeout)
        if not on_wait(missing):
            return False
        time.sleep(LOOK_EVERY)
    return True
