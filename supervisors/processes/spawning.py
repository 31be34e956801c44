"""Making processes, on one long-lived thread.

One thread, because Linux sends the parent-death signal when the *thread* that made a process ends: were each process
made by whoever asks, a pool thread's end would kill children of a healthy launcher. Long-lived, and never a caller's,
because making a process takes milliseconds.

A child is `sys.executable -P -m supervisors.processes.bootstrap PATH`, the leader of a session of its own. Its standard
input is one end of a socket pair (a pipe where there are none): the launcher writes the `Handover` there and keeps its
end open, so that the end of the pipe is the end of the launcher; the child reads the handover, keeps the pipe, and puts
the null device in its place. The argument is for `ps` alone; the token of the handshake is in neither arguments nor
environment. `subprocess` makes the process without running Python code between fork and exec.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from msgspec.structs import replace

import supervisors
from supervisors.processes.jobobjects import Net, net_around
from supervisors.processes.programs.keeping import environment_of
from supervisors.processes.protocol import FirstWord, pack_word
from supervisors.processes.trees import environment_with
from supervisors.programs import ProgramStart

logger = logging.getLogger(__name__)

Origin = Literal["new", "copy", "spare"]
"""Where a child's process came from: a new interpreter, a copy of the nursery, or a spare that was waiting."""


class Process(Protocol):
    """A process that was made here: a `Made`, or what `subprocess` gives."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def returncode(self) -> int | None:
        """None until it was waited for."""
        ...

    @property
    def stdin(self) -> Any:
        """The launcher's end of its standard input, to be closed; or None."""
        ...

    def wait(self) -> int:
        """Wait for its end and return `returncode`."""
        ...


class Made:
    """A process that was made here, whichever way; it is this process's child.

    Attributes:
        pid: Its process.
        mark: What it and its descendants carry in their environment.
        origin: How it was made.
        returncode: Its exit code, or the negative number of the signal that ended it; None until `wait` came back.
        stdin: The launcher's end of its standard input: a socket, or a file where there are no socket pairs.
        stdout, stderr: Its streams, to be read.
    """

    def __init__(self, pid: int, mark: str, origin: Origin, link: Any, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.mark = mark
        self.origin: Origin = origin
        self.stdin = link
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._net: Net | None = None

    @classmethod
    def of_popen(cls, popen: subprocess.Popen[bytes], mark: str, link: Any) -> Made:
        """Return the process that `popen` started."""
        assert popen.stdout is not None
        assert popen.stderr is not None
        made = cls(popen.pid, mark, "new", link, popen.stdout, popen.stderr)
        made._popen = popen
        try:
            made._net = net_around(popen.pid)
        except Exception as error:  # it is gone already, or the system refuses: the other nets are left
            logger.warning("process %d runs outside of a Job Object: %s", popen.pid, error)
        return made

    def say(self, word: FirstWord) -> bool:
        """Write `word` to its standard input; return whether there is anybody to read it."""
        try:
            data = pack_word(word)
            if isinstance(self.stdin, socket.socket):
                self.stdin.sendall(data)
            else:
                self.stdin.write(data)
        except (BrokenPipeError, ConnectionResetError):  # it died at once; its status says why
            return False
        return True

    def wait(self) -> int:
        """Wait for its end; return `returncode`. On one thread alone: from then on the pid may be another's."""
        if self.returncode is None:
            if self._popen is not None:
                self.returncode = self._popen.wait()
            else:
                try:
                    self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                except ChildProcessError:  # somebody else waited for every child of this process
                    self.returncode = -signal.SIGKILL
                    logger.error("the exit status of process %d is lost: another part waited for it", self.pid)
            if self._net is not None:
                self._net.close()  # what it started ends with it
        return self.returncode


def spawn(title: str, mark: str, word: FirstWord) -> Made:
    """Start a new interpreter as a child process and say `word` to it; its standard streams are pipes.

    Blocks for the milliseconds that the operating system takes. Call it on a `Worker`. What `word` says of the
    environment is completed: variables changed for the start alone are put back by the child.

    Raises:
        OSError: There can be no process: out of memory, processes or descriptors, or no interpreter.
    """
    environment, changed = start_environment(mark)
    ours, theirs = link_pair()
    try:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisors.processes.bootstrap", title],
            stdin=theirs.fileno() if theirs is not None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        if ours is not None:
            ours.close()
        raise
    finally:
        if theirs is not None:
            theirs.close()
    made = Made.of_popen(popen, mark, ours if ours is not None else popen.stdin)
    made.say(with_environment(word, changed))
    return made


def link_pair() -> tuple[socket.socket | None, socket.socket | None]:
    """Return both ends of what becomes a child's standard input, the launcher's first; None where it must be a pipe."""
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        return None, None
    return socket.socketpair()


def start_environment(mark: str) -> tuple[dict[str, str], dict[str, str | None]]:
    """Return the environment to start an interpreter with that has this package, and what to put back in it."""
    environment = environment_with(mark, dict(os.environ))
    package_root = str(Path(supervisors.__file__).parent.parent)
    if package_root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return environment, {}
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = package_root + (os.pathsep + before if before else "")
    return environment, {"PYTHONPATH": before}


def with_environment(word: FirstWord, changed: Mapping[str, str | None]) -> FirstWord:
    """Return `word` with the variables `changed` laid under those it has."""
    return replace(word, environment={**changed, **word.environment}) if changed else word


def spawn_worker(start: ProgramStart, mark: str, word: FirstWord) -> Made:
    """Start a worker in another language and hand it `word`, as `spawn` does a child of this program's own kind.

    Raises:
        OSError: There can be no such process.
        Exception: A secret is not where the spec says.
    """
    popen = subprocess.Popen(
        list(start.command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=start.directory or None,
        env=environment_with(mark, environment_of(start, {})),
        start_new_session=True,
    )
    made = Made.of_popen(popen, mark, popen.stdin)
    made.say(word)
    return made


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
