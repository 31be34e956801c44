"""Keys of a person's terminal, one at a time, while a screen is shown."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any


@contextmanager
def key_reader() -> Iterator[Keys]:
    """Give the terminal's keys one at a time until the end of the block, which leaves it as it was.

    Where stdin is no terminal, or the system has no such mode, there are never any keys.
    """
    try:
        import termios
        import tty
    except ImportError:  # not POSIX
        yield Keys(None)
        return
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    descriptor = sys.stdin.fileno()
    mode: list[Any] = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)


class Keys:
    """The keys typed at descriptor `descriptor`; None: nobody types."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def wait(self, timeout: float) -> str:
        """Return what was typed within `timeout` seconds, "" where nothing was; a closed terminal is Ctrl-D."""
        if self._descriptor is None:
            sleep(timeout)
            return ""
        readable, _, _ = select.select([self._descriptor], [], [], max(0.0, timeout))
        return (os.read(self._descriptor, 64).decode(errors="replace") or "\x04") if readable else ""
