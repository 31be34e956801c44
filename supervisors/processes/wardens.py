"""The warden of a launcher, kept running: it ends what the launcher leaves behind (`supervisors.processes.marks`)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from supervisors.processes import marks
from supervisors.processes.spawning import Worker
from transport.reactor import Reactor

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


class Warden:
    """The small process that ends every process with a launcher's mark once the launcher is gone.

    Belongs to the worker's thread: its methods are called there.
    """

    def __init__(self, mark: str) -> None:
        """Make the handle; `ensure` starts the process. `mark` is what the launcher's marks share."""
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0

    @property
    def pid(self) -> int | None:
        """The warden's process, None before the first `ensure`."""
        return self._process.pid if self._process is not None else None

    def ensure(self) -> bool:
        """Start the warden if it does not run; return whether it was started.

        Raises:
            OSError: There can be no process.
        """
        if self._process is not None and self._process.poll() is None:
            return False
        self._let_go()
        flags = ["-I", "-S"] if sys.platform.startswith("linux") else ["-I"]
        self._process = subprocess.Popen(
            [sys.executable, *flags, marks.__file__, self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        self.started += 1
        if self.started > 1:
            logger.warning("the warden of process children had ended and was started again")
        return True

    def close(self, timeout: float) -> None:
        """Let the warden sweep and end; kill it when that takes longer than `timeout` seconds."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None  # it is a pipe
        process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


class WardenKeeper:
    """Sees that the warden runs, now and whenever it is killed."""

    def __init__(self, mark: str, worker: Worker, reactor: Reactor, *, pidfds: bool) -> None:
        """Make the keeper; `ensure` starts the warden.

        Args:
            mark: What the launcher's marks share.
            worker: Starts it.
            reactor: Watches it.
            pidfds: Whether its end is noticed by pidfd; else only when `ensure` is called again.
        """
        self._warden = Warden(mark)
        self._worker = worker
        self._reactor = reactor
        self._pidfds = pidfds
        self._watched: int | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The warden's process, None before the first."""
        return self._warden.pid

    @property
    def started(self) -> int:
        """Wardens started."""
        return self._warden.started

    def ensure(self) -> None:
        """Start the warden if it does not run; on the worker's thread.

        Raises:
            OSError: There can be no process.
        """
        if self._closing or not self._warden.ensure() or not self._pidfds:
            return
        pid = self._warden.pid
        assert pid is not None  # it was started just now
        fd = os.pidfd_open(pid)
        started_at = time.monotonic()

        def gone() -> None:
            self._reactor.unwatch(fd)
            os.close(fd)
            self._watched = None
            if not self._closing:
                pause = 0.0 if time.monotonic() - started_at > 1.0 else 1.0
                self._reactor.call_later(pause, lambda: self._worker.post(self.ensure))

        self._watched = fd
        self._reactor.watch(fd, gone)

    def close(self, timeout: float) -> None:
        """Let the warden sweep and end; on the worker's thread."""
        self._closing = True
        self._warden.close(timeout)

    def forget(self) -> None:
        """Watch it no longer; on the reactor's thread."""
        if self._watched is not None:
            self._reactor.unwatch(self._watched)
            os.close(self._watched)
            self._watched = None
