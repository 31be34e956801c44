"""One node per home: a file lock held for life, and the PID file others may read.

The lock is the truth: it is held by the kernel for the process and goes with it, kill -9 included, so nothing stale is
ever mended by hand. The lock file is never deleted (deleting it would let two nodes hold two different files of the
same name). `node.pid` is for people and other tools; it names the process for good, since pids are reused.

A process that was killed holds its locks until it is gone, which takes as long as giving its memory back. A node that
is started right after waits for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from filelock import FileLock, Timeout

from supervisors.errors import AlreadyRunningError, HomeError
from transport.endpoints import write_private
from transport.identity import ProcessIdentity

RUN_DIR = "run"

DYING: Final = 10.0
"""Seconds that a killed node is given to be gone."""

LOOK_EVERY: Final = 0.2
"""Seconds between two tries of one that waits for the lock."""


class InstanceLock:
    """Holds `<home>/run/node.lock`; `acquire` it before anything of the node is made.

    Args:
        home: The runtime's home; made with mode 0700 where it is missing.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._run = home / RUN_DIR
        self._lock = FileLock(self._run / "node.lock", mode=0o600)
        self._pid_file = self._run / "node.pid"

    def acquire(self, on_wait: Callable[[ProcessIdentity | None], bool] | None = None) -> None:
        """Take the lock or say who holds it.

        Args:
            on_wait: Called about every `LOOK_EVERY` seconds while another process holds it, with that process; True
                waits on. None does not wait. A duplicate that an operating system's service manager has started waits:
                were it to end, the manager would start it again and again.

        Raises:
            AlreadyRunningError: Another process holds it.
            HomeError: The home cannot be made or written.
        """
        make_home(self._home)
        try:
            self._take(on_wait)
        except OSError as error:
            raise HomeError(str(self._home), _why(error)) from error
        try:
            write_private(self._pid_file, msgspec.json.encode(ProcessIdentity.own()) + b"\n")
        except OSError as error:
            self._lock.release()
            raise HomeError(str(self._home), _why(error)) from error

    def release(self) -> None:
        """Remove the PID file and let the lock go."""
        if self._lock.is_locked:
            self._pid_file.unlink(missing_ok=True)
            self._lock.release()

    def _take(self, on_wait: Callable[[ProcessIdentity | None], bool] | None) -> None:
        until = time.monotonic() + DYING
        while True:
            try:
                self._lock.acquire(timeout=0)
                return
            except Timeout:
                holder = read_pid_file(self._home)
                if holder is None or holder.is_alive or time.monotonic() > until:
                    if on_wait is None or not on_wait(holder):
                        raise AlreadyRunningError(str(self._home), holder.pid if holder is not None else None) from None
                    time.sleep(LOOK_EVERY)
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def make_home(home: Path) -> None:
    """Make the home and its run folder where they are missing, and close the latter to others.

    Raises:
        HomeError: They cannot be made, or belong to somebody else.
    """
    run = home / RUN_DIR
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.mkdir(mode=0o700, exist_ok=True)
        run.chmod(0o700)
    except OSError as error:
        raise HomeError(str(home), _why(error)) from error


def _why(error: OSError) -> str:
    """Return the operating system's word with the file it is about."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"


def read_pid_file(home: Path) -> ProcessIdentity | None:
    """Return the process that `<home>/run/node.pid` names, None where it is missing or none of ours."""
    try:
        return msgspec.json.decode((home / RUN_DIR / "node.pid").read_bytes(), type=ProcessIdentity)
    except (OSError, ValueError):
        return None
