"""Making processes, on one long-lived thread.

One thread, because Linux sends the parent-death signal when the *thread* that made a process ends: were each process
made by whoever asks, a pool thread's end would kill children of a healthy launcher. Long-lived, and never a caller's,
because making a process takes milliseconds.

A child is `sys.executable -P -m supervisors.processes.bootstrap PATH`, the leader of a session of its own. Its standard
input is a pipe: the launcher writes the `Handover` there and keeps its end open, so that the end of the pipe is the end
of the launcher; the child reads the handover, keeps the pipe, and puts the null device in its place. The argument is
for `ps` alone; the token of the handshake is in neither arguments nor environment. `subprocess` makes the process
without running Python code between fork and exec.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

import supervisors
from supervisors.processes import marks
from supervisors.processes.protocol import Handover, pack_handover
from supervisors.processes.trees import environment_with

logger = logging.getLogger(__name__)


def spawn(path: str, mark: str, handover: Handover) -> subprocess.Popen[bytes]:
    """Start a child process and hand it `handover`; its standard streams are pipes.

    Blocks for the milliseconds that the operating system takes. Call it on a `Worker`.

    Raises:
        OSError: There can be no process: out of memory, processes or descriptors, or no interpreter.
    """
    environment = environment_with(mark, dict(os.environ))
    package_root = str(Path(supervisors.__file__).parent.parent)
    if package_root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        before = environment.get("PYTHONPATH")
        handover = replace(handover, environment={"PYTHONPATH": before})
        environment["PYTHONPATH"] = package_root + (os.pathsep + before if before else "")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "supervisors.processes.bootstrap", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin is not None  # it is a pipe
    with contextlib.suppress(BrokenPipeError):  # it died at once; its status says why
        process.stdin.write(pack_handover(handover))
    return process


class Worker:
    """A thread that makes processes, or ends them, one job after another."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, job: Callable[[], None]) -> None:
        """Run `job` after those posted before it; may be called on any thread."""
        self._jobs.put(job)

    def close(self, timeout: float) -> bool:
        """End the thread once the jobs posted before are done; return whether that was within `timeout` seconds.

        The children made on it are killed by the kernel when it ends.
        """
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                logger.exception("a job of the process worker failed")


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
