"""What the node logs, to standard error and to files: records of every package and life-cycle events.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from actors.events import Event, JobRetried, MetricSampled, RunFinished, TreeChanged
from actors.hiding import hidden
from actors.history.rows import summary_of
from supervisors import loglevels, structured
from supervisors.logfields import fields_of
from supervisors.loglevels import Levels
from supervisors.node.leveling import LEVELS
from supervisors.node.logfiles import TRACE_SHOWN, Limits, LogFile

_events = logging.getLogger("events")


class HumanFormatter(logging.Formatter):
    """`14:02:11.480 WARNING /io/browser  text`; fields given with `extra` follow as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = fields_of(record)
        where = fields.pop("path", record.name)
        trace = fields.pop("trace", "")
        if trace:
            fields["trace"] = f"{str(trace)[:TRACE_SHOWN]}…"
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
        }
        line.update({f"{key}_" if key in line else key: value for key, value in fields_of(record).items()})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Output(Protocol):
    """Where records go. Called on the writer's thread alone."""

    def write(self, record: logging.LogRecord) -> None:
        """Write one record; never raises for what the outside does."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class StreamOutput:
    """Writes to a stream that others own. A reader that is gone costs the line and nothing else."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        self._stream = stream
        self._formatter = formatter

    def write(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(hidden(self._formatter.format(record)) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing: the stream is not ours."""


class FileOutput:
    """Writes records of `level` and above to a rotating file, as JSON."""

    def __init__(self, file: LogFile, level: int) -> None:
        self._file = file
        self._level = level
        self._formatter = JsonFormatter()

    def write(self, record: logging.LogRecord) -> None:
        if record.levelno >= self._level:
            self._file.write(hidden(self._formatter.format(record)))

    def close(self) -> None:
        self._file.close()


class LogWriter(logging.Handler):
    """Writes records on a thread of its own, so that a reader who stops reading stops nobody but that thread.

    Records wait in bounded queues, the oldest go first; how many went is said in one line as soon as lines pass again.
    Life-cycle events, warnings and errors have a queue of their own: a flood of others does not push them out.
    """

    def __init__(self, outputs: Sequence[Output], capacity: int = 10_000) -> None:
        super().__init__()
        self._outputs = tuple(outputs)
        self._waiting: deque[logging.LogRecord] = deque(maxlen=capacity)
        self._weighty: deque[logging.LogRecord] = deque(maxlen=capacity)
        self._taken = 0
        self._put = 0
        self._wake = threading.Event()
        self._closing = False
        self._asleep = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record that the levels of this process let through; without the lock, as each step is atomic."""
        is_wanted = loglevels.current.filter(record)
        if is_wanted:
            self.emit(record)
        return is_wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; never waits."""
        is_weighty = record.levelno >= logging.WARNING or record.name == _events.name
        (self._weighty if is_weighty else self._waiting).append(record)
        self._put += 1  # after it is there, or the thread would take it for lost
        if self._asleep:
            self._wake.set()

    def close(self) -> None:
        """Write what waits, for a second at most, and end the thread."""
        self._closing = True
        self._asleep = False
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT)
        super().close()

    def _run(self) -> None:
        while not (self._closing and not self._waiting and not self._weighty):
            self._asleep = True  # said before the look, as a record is put before `emit` looks: one of them sees it
            if not self._waiting and not self._weighty:
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
            if not self._closing:
                time.sleep(BATCH)
            while self._waiting or self._weighty:
                record = self._next()
                lost = self._put - self._taken - len(self._waiting) - len(self._weighty)
                if lost > 0:
                    self._taken += lost
                    text = f"{lost} log records were dropped: nobody read them in time"
                    self._write(logging.LogRecord(__name__, logging.ERROR, "", 0, text, None, None))
                self._write(record)
            if self._closing:
                break
        for output in self._outputs:
            output.close()

    def _next(self) -> logging.LogRecord:
        """Take the older of the two that wait first; this thread alone takes any."""
        is_weighty = not self._waiting or (bool(self._weighty) and self._weighty[0].created < self._waiting[0].created)
        self._taken += 1
        return (self._weighty if is_weighty else self._waiting).popleft()

    def _write(self, record: logging.LogRecord) -> None:
        for output in self._outputs:
            output.write(record)


CLOSE_TIMEOUT = 1.0
BATCH = 0.005
"""Seconds in which records gather before the thread takes them: it wakes once for many, and disturbs actors less."""


def configure(
    level: str,
    style: str,
    stream: TextIO | None = None,
    *,
    files: Path | None = None,
    limits: Limits | None = None,
    has_stream: bool = True,
) -> logging.Handler:
    """Send records of `level` and above to `stream` (standard error) and to files; return the handler, for `remove`.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        style: Of the stream: `human`, `json`, or `auto`: human on a terminal, else JSON. Files are always JSON.
        stream: Where to.
        files: Folder of the log files; None for none.
        limits: What they may take; needed with `files`.
        has_stream: Whether anything goes to `stream` at all.

    Raises:
        OSError: The folder or a file in it cannot be made.
    """
    out = stream if stream is not None else sys.stderr
    is_human = style == "human" or (style == "auto" and out.isatty())
    outputs: list[Output] = [StreamOutput(out, HumanFormatter() if is_human else JsonFormatter())] if has_stream else []
    if files is not None and limits is not None:
        outputs.append(FileOutput(LogFile(files, "node", limits), logging.NOTSET))
        outputs.append(FileOutput(LogFile(files, "error", limits), logging.ERROR))
    structured.install()
    handler = LogWriter(outputs)
    logging.getLogger().addHandler(handler)
    loglevels.current.set(Levels(LEVELS[level]))
    return handler


def remove(handler: logging.Handler) -> None:
    """Take back what `configure` did."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def log_event(_seq: int, event: Event) -> None:
    """Bus subscriber: one record an event, but for metrics."""
    if isinstance(event, (MetricSampled, TreeChanged)):
        return
    level = LEVELS[event.severity]
    if _events.isEnabledFor(level):
        extra = {"path": event.path, **_cause_of(event)}
        _events.log(level, "%s: %s", type(event).__name__, summary_of(event), extra=extra)


def _cause_of(event: Event) -> dict[str, str]:
    """Return the run or the job that `event` tells of, as fields of its line."""
    if isinstance(event, RunFinished):
        if event.queue:
            return {"job": event.run}
        if not (event.schedule and event.slot_at):
            return {}
        from actors.scheduling.figures import slot_id  # by whoever published this it is loaded already

        return {"run": slot_id(event.schedule, event.slot_at, 0)}
    return {"job": event.job} if isinstance(event, JobRetried) else {}
