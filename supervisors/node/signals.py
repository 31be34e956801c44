"""Signals as requests in a queue: the first asks to drain, the second to hurry, the third to kill; HUP asks to reload.

A node whose terminal was closed gets HUP too: it drains. Where a command has asked to drain already, the first signal
hurries. A handler only puts into a `SimpleQueue`, which is safe from inside a signal handler. The main thread takes
them out.
"""

from __future__ import annotations

import os
import signal
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest(Enum):
    """What the node is asked for: how urgently to end, or to read its configuration again."""

    DRAIN = "drain"
    HURRY = "hurry"
    KILL = "kill"
    RELOAD = "reload"


KILLED_EXIT = 130

_LADDER = (StopRequest.DRAIN, StopRequest.HURRY, StopRequest.KILL)


class StopRequests:
    """Collects requests to end from signals and from `ask_to_drain`; made and waited on by the main thread.

    While it is entered SIGINT and SIGTERM (on Windows SIGINT and SIGBREAK) count up the ladder, and SIGHUP asks to
    reload; leaving it puts the handlers of before back. The third ends the process in the handler: no hook runs,
    process children die with it.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[StopRequest | None] = SimpleQueue()
        self._signals = 0
        self._is_asked = False
        self._before: dict[int, Any] = {}
        self._had_terminal = _has_terminal()

    def ask_to_drain(self) -> None:
        """Ask to drain, or to look again at how long that may take; from any thread."""
        self._is_asked = self._is_asked or not self._signals
        self._queue.put(StopRequest.DRAIN)

    def wake(self) -> None:
        """Make a waiting `take` return None now; from any thread."""
        self._queue.put(None)

    def take(self, timeout: float) -> StopRequest | None:
        """Return the next request, or None after `timeout` seconds or a `wake`."""
        try:
            return self._queue.get(timeout=timeout)
        except Empty:
            return None

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        request = _LADDER[min(self._is_asked + self._signals, len(_LADDER) - 1)]
        self._signals += 1
        if request is StopRequest.KILL:
            os._exit(KILLED_EXIT)  # here: whatever the main thread waits for, the third signal ends it
        self._queue.put(request)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():
            self._on_signal(number, frame)
        else:
            self._queue.put(StopRequest.RELOAD)

    def __enter__(self) -> Self:
        names = ("SIGINT", "SIGTERM", "SIGBREAK")
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            self._before[number] = signal.signal(number, self._on_signal)
        if hasattr(signal, "SIGHUP"):
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal; one that was closed is none."""
    if os.name != "posix":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
