"""A tcp port that somebody else has: found before it is bound, and named."""

from __future__ import annotations

import errno
import socket
from typing import Final

from actors.errors import ActorRuntimeError

_TAKEN: Final = frozenset({errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)})


class PortTakenError(ActorRuntimeError, OSError):
    """A port that is configured cannot be had; says who has it, where this user may know."""

    def __init__(self, key: str, host: str, port: int, why: str) -> None:
        super().__init__(f"{key}: {host}:{port} cannot be listened on: {why}")
        self.key = key
        self.host = host
        self.port = port


def check_port(key: str, host: str, port: int) -> None:
    """See that `host:port`, which the configuration's `key` says, is free; it may be taken a moment later.

    Raises:
        PortTakenError: It is not, or may not be used.
    """
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # what a node that has just ended leaves is free
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            why = f"it is taken by {owner_of(port)}" if error.errno in _TAKEN else error.strerror or str(error)
            raise PortTakenError(key, host, port, why) from error


def owner_of(port: int) -> str:
    """Return who listens on a tcp port of this machine, as far as this user may know it."""
    import psutil

    try:
        found = next(
            (
                c.pid
                for c in psutil.net_connections("tcp")
                if c.status == psutil.CONN_LISTEN and c.laddr[1:2] == (port,)
            ),
            None,
        )
        if found is not None:
            return f"{psutil.Process(found).name()} (process {found})"
    except (psutil.Error, OSError):
        pass  # another user's, or gone meanwhile
    return "a program of another user, or one that is ending"
