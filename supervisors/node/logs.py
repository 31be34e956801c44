"""What the node writes to standard error: log records of every package and life-cycle events, as lines or as JSON.

Life-cycle events are woven in as records of the logger `events`, so a restart is visible where one reads. Secrets and
payloads never reach a record: events carry none, and messages are shown by their type.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections import deque
from typing import Any, TextIO

from actors.events import Event, MetricSampled
from actors.history.rows import summary_of

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HumanFormatter(logging.Formatter):
    """`14:02:11.480 WARNING /io/browser  text`; fields given with `extra` follow as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = _fields(record)
        where = fields.pop("path", record.name)
        more = "".join(f" {key}={value}" for key, value in fields.items())
        line = f"{clock}.{int(record.msecs):03d} {record.levelname:<7} {where}  {record.getMessage()}{more}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at` (ISO 8601, UTC), `level`, `logger`, `text`, and the fields given with `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class LogWriter(logging.Handler):
    """Writes records on a thread of its own, so that a reader who stops reading stops nobody but that thread.

    Records wait in a bounded queue, the oldest go first; how many went is said in one line as soon as lines pass again.
    """

    def __init__(self, out: TextIO, formatter: logging.Formatter, capacity: int = 10_000) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._out = out
        self._waiting: deque[logging.LogRecord] = deque(maxlen=capacity)
        self._taken = 0
        self._put = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; never waits."""
        self._put += 1
        self._waiting.append(record)
        self._wake.set()

    def close(self) -> None:
        """Write what waits, for a second at most, and end the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT)
        super().close()

    def _run(self) -> None:
        while not (self._closing and not self._waiting):
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                record = self._waiting.popleft()
                self._taken += 1
                lost = self._put - self._taken - len(self._waiting)
                if lost > 0:
                    self._taken += lost
                    self._write(f"{lost} log records were dropped: nobody read them in time")
                self._write(self.format(record))
            if self._closing:
                return

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the reader is gone; the node is not there for it
            self._out.write(line + "\n")
            self._out.flush()


CLOSE_TIMEOUT = 1.0


def configure(level: str, style: str, stream: TextIO | None = None) -> logging.Handler:
    """Send all records of `level` and above to `stream` (standard error); return the handler, for `remove`.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: `human`, `json`, or `auto`: human on a terminal, else JSON.
        stream: Where to.
    """
    out = stream if stream is not None else sys.stderr
    is_human = style == "human" or (style == "auto" and out.isatty())
    handler = LogWriter(out, HumanFormatter() if is_human else JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    return handler


def remove(handler: logging.Handler) -> None:
    """Take back what `configure` did."""
    logging.getLogger().removeHandler(handler)
    handler.close()


_events = logging.getLogger("events")


def log_event(_seq: int, event: Event) -> None:
    """Bus subscriber: one record an event, but for metrics."""
    if isinstance(event, MetricSampled):
        return
    level = LEVELS[event.severity]
    if _events.isEnabledFor(level):
        _events.log(level, "%s: %s", type(event).__name__, summary_of(event), extra={"path": event.path})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
