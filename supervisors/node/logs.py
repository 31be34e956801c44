"""What the node writes to standard error: log records of every package and life-cycle events, as lines or as JSON.

Life-cycle events are woven in as records of the logger `events`, so a restart is visible where one reads. Secrets and
payloads never reach a record: events carry none, and messages are shown by their type.
"""

from __future__ import annotations

import json
import logging
import sys
import time
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


def configure(level: str, style: str, stream: TextIO | None = None) -> logging.Handler:
    """Send all records of `level` and above to `stream` (standard error); return the handler, for `remove`.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: `human`, `json`, or `auto`: human on a terminal, else JSON.
        stream: Where to.
    """
    out = stream if stream is not None else sys.stderr
    is_human = style == "human" or (style == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(HumanFormatter() if is_human else JsonFormatter())
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
