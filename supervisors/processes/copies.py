"""The launcher's hold on its nursery (`supervisors.processes.nursery`): keeps it running, and has copies made of it.

The nursery is started when it is first wanted. One that ends is started again at once, after a pause where it did not
last, and counted. What the kernel refuses it once (another system, a sandbox) is not tried again: children are made as
new interpreters then, and so are spares.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from supervisors.processes.forking import TITLE_BYTES
from supervisors.processes.marks import MARK, marked
from supervisors.processes.nursery import PACKET_BYTES, FromNursery, Grow, Grown, Hatch, Hatched, encode
from supervisors.processes.spawning import Made, link_pair, start_environment
from supervisors.processes.trees import environment_with

logger = logging.getLogger(__name__)

GROW_TIMEOUT: Final = 2.0
"""Seconds a copy may take before the nursery counts as hung and is ended."""

LASTED: Final = 10.0
"""Seconds after which a nursery that ends was a good one: the next is started without a pause."""

PAUSE: Final = 1.0
"""Seconds before the next nursery where the last one did not last."""

_decode: Final = msgspec.msgpack.Decoder(FromNursery).decode


class NurseryError(OSError):
    """There is no copy to be had now; a new interpreter can be started instead."""


class Nursery:
    """The nursery of one launcher. Belongs to the worker's thread: its methods are called there.

    Attributes:
        started: Nurseries started; more than one means that one ended.
        started_at: When the last one was, monotonic; 0.0 before the first.
        problem: Why there can be no nursery at all; "" where there can.
    """

    def __init__(self, mark: Callable[[], str]) -> None:
        """Make the handle; `ensure` starts the process. `mark` returns a new mark, all of one length."""
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._is_hatched = False
        self.started_at = 0.0
        self._pause_until = 0.0
        self._environment: dict[str, str] = {}
        self.started = 0
        self.problem = "" if sys.platform.startswith("linux") else "copies of a process are made on Linux alone"

    @property
    def pid(self) -> int | None:
        """Its process, None where there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def link(self) -> socket.socket | None:
        """Readable once it has something to say, or has ended; for polling alone."""
        return self._link

    @property
    def is_ready(self) -> bool:
        """Whether copies can be made now."""
        return self._process is not None and self._is_hatched

    @property
    def is_hatching(self) -> bool:
        """Whether it was started and has not said yet that it is ready."""
        return self._process is not None and not self._is_hatched

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    def ensure(self) -> bool:
        """Start the nursery if there is none and may be one; return whether it was started.

        Raises:
            OSError: There can be no process.
        """
        if self.problem or self._process is not None or time.monotonic() < self._pause_until:
            return False
        environment, changed = start_environment(self._mark())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "supervisors.processes.nursery", "." * TITLE_BYTES],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=None,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._link = ours
        self._is_hatched = False
        self.started_at = time.monotonic()
        self._environment = dict(os.environ)
        self._environment.pop(MARK, None)
        self.started += 1
        with contextlib.suppress(OSError):  # it died at once: its end is noticed like any other
            ours.send(encode(Hatch(os.getpid(), tuple(sys.path), changed)))
        return True

    def listen(self) -> bool:
        """Take what it said when it was ready; return whether it is. One that has ended, or cannot be, is let go."""
        if self._link is None or self._is_hatched:
            return self.is_ready
        try:
            word = self._receive(0.0)
        except TimeoutError:
            return False
        except OSError:
            self.lost()
            return False
        if not isinstance(word, Hatched) or word.problem:
            self.problem = word.problem if isinstance(word, Hatched) else "it is not what it should be"
            self.lost()
            return False
        self._is_hatched = True
        return True

    def changed_environment(self) -> dict[str, str | None]:
        """Return what changed in this process's environment since the nursery was started; None: not set any more."""
        now = dict(os.environ)
        now.pop(MARK, None)  # each process has its own
        if now == self._environment:
            return {}
        changed: dict[str, str | None] = {k: v for k, v in now.items() if self._environment.get(k) != v}
        return changed | dict.fromkeys(self._environment.keys() - now.keys())

    def grow(self, title: str) -> Made:
        """Return a copy that waits for its first word on standard input.

        Raises:
            NurseryError: There is no nursery that could make one, or it did not; one that hangs is ended.
        """
        if not self.is_ready or self._link is None:
            raise NurseryError("the nursery is not ready")
        mark = self._mark()
        marks = environment_with(mark, {MARK: os.environ.get(MARK, "")})
        ours, theirs = link_pair()
        assert ours is not None  # where there is a nursery, there are socket pairs
        assert theirs is not None
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            order = encode(Grow(marks[MARK], title))
            socket.send_fds(self._link, [order], [theirs.fileno(), out_write, err_write])
            answer = self._receive(GROW_TIMEOUT)
            if not isinstance(answer, Grown) or answer.pid <= 0:
                raise NurseryError(answer.problem if isinstance(answer, Grown) else "the nursery speaks out of turn")
        except OSError as error:
            _end_unannounced(mark)  # before its pipe is closed: until then it waits, and can be found
            ours.close()
            os.close(out_read)
            os.close(err_read)
            if isinstance(error, NurseryError):
                raise
            self.kill()
            raise NurseryError(f"the nursery made no copy: {error}") from error
        finally:
            theirs.close()
            os.close(out_write)
            os.close(err_write)
        return Made(answer.pid, mark, "copy", ours, os.fdopen(out_read, "rb", 0), os.fdopen(err_read, "rb", 0))

    def kill(self) -> None:
        """End it; the copies live on."""
        if self._process is not None:
            self._process.kill()
            self.lost()

    def forgive(self) -> None:
        """Let the next one be started without a pause: the last one was ended on purpose."""
        self._pause_until = 0.0

    def lost(self) -> None:
        """Let go of one that has ended, or is to be given up."""
        process, link = self._process, self._link
        self._process = self._link = None
        self._is_hatched = False
        if link is not None:
            link.close()  # where it still lives, it ends by that
        if process is not None:
            try:
                process.wait(GROW_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if self.age < LASTED:
                self._pause_until = time.monotonic() + PAUSE

    def _receive(self, timeout: float) -> FromNursery:
        """Return its next word.

        Raises:
            TimeoutError: There is none within `timeout` seconds.
            OSError: It has ended, or says what nobody understands.
        """
        assert self._link is not None
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise TimeoutError(f"no answer within {timeout:g} s")
        data = self._link.recv(PACKET_BYTES)
        if not data:
            raise ConnectionResetError("it has ended")
        try:
            word: FromNursery = _decode(data)
        except msgspec.MsgspecError as error:
            raise OSError(f"it says what nobody understands: {error}") from None
        return word


def _end_unannounced(mark: str) -> None:
    """End the copy that a nursery made and did not live to tell of, if there is one."""
    for pid in marked(mark + ";"):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
