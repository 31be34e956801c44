"""A terminal for each command: a pseudo-terminal, so that output and Ctrl-C are what a person has."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

TIMEOUT = 60.0
COLUMNS = 160
LINES = 50

_TAKE_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.write(1, b"\\0")
os.execvp("bash", ["bash", *sys.argv[1:]])
"""
_UNSHOWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\0|\r")


class Terminal:
    """One bash script in a terminal of its own; what it writes is kept.

    Args:
        script: What bash runs.
        folder: Where.
        environment: Its whole environment.
    """

    def __init__(self, script: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._changed = threading.Condition()
        self._text = ""
        self._has_terminal = False
        self._closed = False
        self._screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        modes = termios.tcgetattr(keyboard)
        modes[3] &= ~termios.ECHO  # what is typed is no output
        termios.tcsetattr(keyboard, termios.TCSANOW, modes)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_THE_TERMINAL, "-c", script],
            cwd=folder,
            env=dict(environment),
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            start_new_session=True,
        )
        os.close(keyboard)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with self._changed:  # before it has the terminal, Ctrl-C would reach nobody
            self._changed.wait_for(lambda: self._has_terminal or self._closed, TIMEOUT)

    @property
    def text(self) -> str:
        """What it has shown so far."""
        with self._changed:
            return self._text

    def press_ctrl_c(self) -> None:
        """Type Ctrl-C: the terminal sends SIGINT to everything in its foreground, as a real one does."""
        os.write(self._screen, b"\x03")

    def wait_for(self, found: Callable[[str], T | None], timeout: float = TIMEOUT) -> T | None:
        """Wait until `found(text)` is something and return it; None when the terminal closed or the time was over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (result := found(self._text)) is None and not self._closed:
                if not self._changed.wait(deadline - time.monotonic()):
                    break
            return result

    def wait_end(self, timeout: float = TIMEOUT) -> int:
        """Wait until the script has ended and return its exit code, as a shell counts it."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """End what is left of it."""
        left = [process for process in psutil.process_iter() if _is_in_session(process, self.process.pid)]
        for process in left:
            if process.is_running():
                process.send_signal(signal.SIGKILL)
        self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        os.close(self._screen)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self._screen, 65536)
            except OSError:  # how Linux says that nobody has the other end any more
                data = b""
            with self._changed:
                self._has_terminal = self._has_terminal or b"\0" in data
                self._text += _UNSHOWN.sub("", decoder.decode(data))
                self._closed = not data
                self._changed.notify_all()
            if not data:
                return


def _is_in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session
    except (ProcessLookupError, PermissionError):
        return False
