"""The socket behind `NOTIFY_SOCKET`: what a program says of itself by `sd_notify(3)`.

    READY=1            it is ready                       WATCHDOG=1        it is alive
    STATUS=text        a line for people                 WATCHDOG=trigger  it is not
    STOPPING=1         it is ending by itself            MAINPID=n         another of its processes is the program now
    RELOADING=1        shown as its status

Other assignments, and descriptors that are passed, are ignored. On Linux the socket has a random name in the abstract
namespace, so that a program of another user reaches it, and the kernel says who sent: only the program's user, the
node's and root are heard. Elsewhere it is a file in the run directory, which only the node's user may enter.
"""

from __future__ import annotations

import array
import contextlib
import os
import secrets
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

SIZE_LIMIT: Final = 8_192
"""Bytes of one message; what is longer is cut."""
STATUS_LIMIT: Final = 200
"""Characters of a status that are kept."""
PER_WAKE: Final = 64
"""Messages taken at a time: a program that floods its socket holds up nobody."""

_IS_LINUX = sys.platform.startswith("linux")
_CREDENTIALS = struct.Struct("3i")
_SO_PASSCRED = getattr(socket, "SO_PASSCRED", 16)
_SCM_CREDENTIALS = getattr(socket, "SCM_CREDENTIALS", 2)


class Said(Struct, frozen=True):
    """One message of a program; fields that it did not name are None or False."""

    is_ready: bool = False
    is_stopping: bool = False
    is_reloading: bool = False
    status: str | None = None
    watchdog: str = ""
    main_pid: int | None = None


def parse(data: bytes) -> Said:
    """Return what a message says; lines that say nothing known are left out."""
    found: dict[str, str] = {}
    for line in data[:SIZE_LIMIT].decode("utf-8", "backslashreplace").splitlines():
        name, is_assignment, value = line.partition("=")
        if is_assignment:
            found[name] = value
    status = found.get("STATUS")
    main = found.get("MAINPID", "")
    return Said(
        is_ready=found.get("READY") == "1",
        is_stopping=found.get("STOPPING") == "1",
        is_reloading=found.get("RELOADING") == "1",
        status="".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in status[:STATUS_LIMIT])
        if status is not None
        else None,
        watchdog=found.get("WATCHDOG", ""),
        main_pid=int(main) if main.isascii() and main.isdecimal() and len(main) < 11 else None,
    )


class NotifySocket:
    """One program's socket. Belongs to one thread, the reactor's; the maker hands it over."""

    def __init__(self, run: Path, uid: int | None) -> None:
        """Bind it.

        Args:
            run: The run directory, for systems without an abstract namespace.
            uid: The program's user; None is the node's.

        Raises:
            OSError: It cannot be made.
        """
        self._allowed = {0, os.geteuid(), uid if uid is not None else os.geteuid()}
        self._file: Path | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"actors-notify-{secrets.token_hex(12)}"
        try:
            if _IS_LINUX:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_PASSCRED, 1)
                self._socket.bind(f"\0{name}")
                self.address = f"@{name}"
            else:
                self._file = run / name[-14:]
                self._socket.bind(str(self._file))
                self.address = str(self._file)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.refused = 0

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._socket.fileno()

    def take(self) -> Iterator[Said]:
        """Yield what has arrived, at most `PER_WAKE` messages; those of strangers are counted and dropped."""
        for _ in range(PER_WAKE):
            try:
                data, ancillary, _flags, _address = self._socket.recvmsg(
                    SIZE_LIMIT, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except OSError:
                return
            _close_passed(ancillary)
            if _IS_LINUX and _sender(ancillary) not in self._allowed:
                self.refused += 1
                continue
            yield parse(data)

    def close(self) -> None:
        """Give up the address."""
        self._socket.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Return the user whose process sent a message, as the kernel says."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SCM_CREDENTIALS) and len(data) >= _CREDENTIALS.size:
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[1])
    return None


def _close_passed(ancillary: list[tuple[int, int, bytes]]) -> None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            passed = array.array("i")
            passed.frombytes(data[: len(data) - len(data) % passed.itemsize])
            for fd in passed:
                os.close(fd)
