"""What systemd is told of the node, by its protocol: datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

The library for it would be twelve lines around a socket, so they are here. The variable is taken out of the
environment: children that were to speak to that socket would speak for the node.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

EXTEND: Final = 15.0
"""Seconds by which a start or a stop asks for more time, again and again while it goes on."""


class Notifier:
    """Tells a service manager how the node is; does nothing where there is none. Any thread may call.

    Attributes:
        watchdog: Seconds within which `WATCHDOG=1` is expected again and again; 0 where it is not.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Return the one that the environment asks for, and take what it says out of it."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        is_ours = not pid or pid == str(os.getpid())
        seconds = int(usec) / 1e6 if usec.isdecimal() and is_ours else 0.0
        return cls(address, seconds)

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def say(self, **words: object) -> None:
        """Send one datagram of `NAME=value` lines."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in words.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(1.0)
            out.sendto(text.encode(), self._address)

    def starting(self, status: str) -> None:
        """Say that the start goes on, and may take longer."""
        self.say(STATUS=status, EXTEND_TIMEOUT_USEC=int(EXTEND * 1e6))

    def ready(self, status: str) -> None:
        """Say that the node is ready, also after a reload."""
        self.say(READY=1, STATUS=status, MAINPID=os.getpid())

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self.say(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, STATUS="reloading")

    def alive(self) -> None:
        """Say that the node lives."""
        self.say(WATCHDOG=1)

    def stopping(self, status: str) -> None:
        """Say that the node ends, and that this may take longer."""
        self.say(STOPPING=1, STATUS=status, EXTEND_TIMEOUT_USEC=int(EXTEND * 1e6))
