"""What a job's handler says while it works: log records and lines of its own, kept with the job, bounded.

A try has a `Lines`, which is the current one of the thread or task that carries the try out. What is logged there, by
whatever logger, goes to it: one handler on the root logger sees to that. The first lines of a try are kept at once,
each as it is said; of what comes after them only the last, once the try has ended. How many are missing is said.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from actors.hiding import hidden
from actors.texts import storable

FIRST: Final = 900
"""Lines of one try that are kept as they come."""
LAST: Final = 100
"""Lines after those that are kept when the try has ended: the last ones."""
PER_JOB: Final = 2_000
"""Lines of one job, over all its tries; the newest stay."""
LENGTH: Final = 4_000
"""Characters of a line; a traceback is one."""

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

Keep = Callable[[float, str, str], None]

current: ContextVar[Lines | None] = ContextVar("job_lines", default=None)
"""The lines of the try that this thread or task carries out."""


class Lines:
    """What one try says. Any thread.

    Args:
        keep: Called with wall seconds, level and text of each line that is kept; must not block.
    """

    __slots__ = ("_count", "_keep", "_last")

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._count = 0
        self._last: deque[tuple[float, str, str]] | None = None

    def say(self, level: str, text: str, at: float | None = None) -> None:
        """Take a line; `level` is one of `LEVELS`, or what a logger calls one."""
        text = storable(hidden(text))
        if len(text) > LENGTH:
            text = f"{text[:LENGTH]}… ({len(text) - LENGTH} more characters)"
        line = (time.time() if at is None else at, level, text)
        self._count += 1
        if self._count <= FIRST:
            self._keep(*line)
            return
        if self._last is None:
            self._last = deque(maxlen=LAST)
        self._last.append(line)

    def end(self) -> None:
        """The try is over: keep the last lines, and say how many are missing."""
        last, self._last = self._last, None
        if last is None:
            return
        missing = self._count - FIRST - len(last)
        if missing > 0:
            self._keep(last[0][0], "warning", f"{missing} lines are left out here")
        for line in last:
            self._keep(*line)


class _Capture(logging.Handler):
    """Hands records to the lines of the try that made them."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = current.get()
        if lines is None:
            return
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        except Exception as error:  # arguments that do not fit the text: never the handler's fault
            text = f"{record.msg!s} (not formatted: {type(error).__name__})"
        lines.say(record.levelname.lower(), text, record.created)


_capture: Final = _Capture()


def capture() -> None:
    """Have what jobs log in this process kept with them, from now on; nothing where that is so already."""
    root = logging.getLogger()
    if _capture not in root.handlers:
        root.addHandler(_capture)
