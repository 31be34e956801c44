"""One node per home: a file lock held for life, and the PID file others may read.

The lock is the truth: it is held by the kernel for the process and goes with it, kill -9 included, so nothing stale is
ever mended by hand. The lock file is never deleted (deleting it would let two nodes hold two different files of the
same name). `node.pid` is for people and other tools; it names the process and its start time, since pids are reused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from supervisors.errors import AlreadyRunningError, HomeError
from transport.endpoints import own_create_time, write_private

RUN_DIR = "run"


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

    def acquire(self) -> None:
        """Take the lock or say who holds it.

        Raises:
            AlreadyRunningError: Another process holds it.
            HomeError: The home cannot be made or written.
        """
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._run.mkdir(mode=0o700, exist_ok=True)
            self._run.chmod(0o700)
            self._lock.acquire(timeout=0)
        except Timeout:
            pid, _ = read_pid_file(self._home)
            raise AlreadyRunningError(str(self._home), pid) from None
        except OSError as error:
            raise HomeError(str(self._home), error.strerror or str(error)) from error
        try:
            about = {"pid": os.getpid(), "create_time": own_create_time()}
            write_private(self._pid_file, json.dumps(about).encode() + b"\n")
        except OSError as error:
            self._lock.release()
            raise HomeError(str(self._home), error.strerror or str(error)) from error

    def release(self) -> None:
        """Remove the PID file and let the lock go."""
        if self._lock.is_locked:
            self._pid_file.unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_pid_file(home: Path) -> tuple[int | None, float | None]:
    """Return (pid, create time) of `<home>/run/node.pid`, or (None, None) where it is missing or no JSON of ours."""
    try:
        found = json.loads((home / RUN_DIR / "node.pid").read_text("utf-8"))
        return int(found["pid"]), float(found["create_time"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
