"""What children write to standard output and standard error, line by line, into the log.

One thread reads the pipes of all children, so a child that writes without end costs the others nothing but its share of
that thread, and a slow log only makes the writers wait: their pipes fill. Bounds: a line longer than `LINE_LIMIT` bytes
is cut there, the rest of it counted; a child that writes more than `LINES_PER_SECOND` has the rest of that second
counted and said in one line. The last `TAIL_LINES` lines of standard error are kept for the crash report.

Lines go to the logger `actors.output` with the fields `path`, `stream` and `pid`: standard output as `info`, standard
error as `warning`. Bytes that are no UTF-8 are shown as escapes; control characters (a terminal's colours, a bell) too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import selectors
import threading
from collections import deque
from collections.abc import Callable
from typing import IO, Any

from actors.clock import Clock, SystemClock
from actors.hiding import hidden

LINE_LIMIT = 8_192
LINES_PER_SECOND = 2_000
TAIL_LINES = 200
TAIL_BYTES = 32_768
BACKLOG = 10_000
"""Calls that wait for the capture's thread, beyond which no more are taken on offer."""
_CHUNK = 65_536
_LAST_READS = 32  # more than a pipe holds

logger = logging.getLogger("actors.output")
logger.addHandler(logging.NullHandler())

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Lines:
    """Cuts one stream into bounded lines, counts what it holds back, and remembers the last ones.

    Not thread-safe: it belongs to the capture thread.
    """

    def __init__(
        self,
        emit: Callable[[str], None],
        clock: Clock,
        *,
        tail: deque[str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._emit = emit
        self._on_line = on_line
        self._clock = clock
        self._partial = b""
        self._overlong = 0
        self._second = -1
        self._in_second = 0
        self._suppressed = 0
        self.tail: deque[str] = deque(maxlen=TAIL_LINES) if tail is None else tail

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._grow(piece)
            self._end_line()
        self._grow(rest)

    def finish(self) -> None:
        """Take the end of the stream: a last line without its newline is a line."""
        if self._partial or self._overlong:
            self._end_line()
        self._say_suppressed()

    def _grow(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._partial)
        self._partial += piece[:room]
        self._overlong += max(0, len(piece) - room)

    def _end_line(self) -> None:
        text = self._partial.removesuffix(b"\r").decode("utf-8", "backslashreplace")
        text = hidden(text)
        text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
        if self._overlong:
            text = f"{text} … {self._overlong} bytes cut"
        self._partial = b""
        self._overlong = 0
        self.tail.append(text)
        if self._on_line is not None:
            self._on_line(text)
        second = int(self._clock.monotonic())
        if second != self._second:
            self._say_suppressed()
            self._second = second
            self._in_second = 0
        self._in_second += 1
        if self._in_second <= LINES_PER_SECOND:
            self._emit(text)
        else:
            self._suppressed += 1

    def _say_suppressed(self) -> None:
        if self._suppressed:
            self._emit(f"… {self._suppressed} lines suppressed (more than {LINES_PER_SECOND} in a second)")
            self._suppressed = 0


class _Stream:
    """One pipe of one child."""

    def __init__(self, pipe: IO[bytes], lines: Lines) -> None:
        self.pipe = pipe
        self.fd = pipe.fileno()
        self.lines = lines
        self.is_open = True


class Captured:
    """The two streams of one child."""

    def __init__(self, streams: tuple[_Stream, _Stream], fields: dict[str, object]) -> None:
        self.streams = streams
        self._fields = fields

    def rename(self, path: str) -> None:
        """Have lines from now on belong to the actor at `path`."""
        self._fields["path"] = path

    def tail(self) -> str:
        """The last lines of standard error (or of both), at most `TAIL_BYTES` characters."""
        return "\n".join(self.streams[1].lines.tail)[-TAIL_BYTES:]


class Capture:
    """The thread that reads all children's output. Every method may be called on any thread and does not block."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._calls: deque[Callable[[], None]] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="processes-output", daemon=True)
        self._thread.start()

    def add(
        self,
        path: str,
        pid: int | None,
        stdout: IO[bytes],
        stderr: IO[bytes],
        *,
        on_line: Callable[[str], None] | None = None,
        shares_tail: bool = False,
    ) -> Captured:
        """Read both pipes from now on; this object owns and closes them.

        Args:
            path: The child, for the log.
            pid: Its process, for the log; None where that is not one process.
            stdout: Its standard output.
            stderr: Its standard error.
            on_line: Called with each line, those held back from the log too, on the capture's thread.
            shares_tail: Whether the last lines of both streams are kept, in the order in which they came.
        """
        fields: dict[str, object] = {"path": path} if pid is None else {"path": path, "pid": pid}
        out = Lines(_emitter(fields, "stdout", logging.INFO), self._clock, on_line=on_line)
        tail = out.tail if shares_tail else None
        err = Lines(_emitter(fields, "stderr", logging.WARNING), self._clock, tail=tail, on_line=on_line)
        captured = Captured((_Stream(stdout, out), _Stream(stderr, err)), fields)
        for stream in captured.streams:
            os.set_blocking(stream.fd, False)
        self.post(lambda: self._register(captured))
        return captured

    def finish(self, captured: Captured, done: Callable[[str], None]) -> None:
        """Read what is left, close both pipes, and call `done` with the last lines of stderr on the capture's thread.

        For a process that is gone: what it wrote is in the pipe by then. What still holds the other end is not waited
        for.
        """

        def drain() -> None:
            for stream in captured.streams:
                for _ in range(_LAST_READS):
                    if not (stream.is_open and self._read(stream)):
                        break
                self._close(stream)
            done(captured.tail())

        self.post(drain)

    def offer(self, call: Callable[[], None]) -> bool:
        """Make `call` on the capture's thread, unless `BACKLOG` calls wait; return whether it will be made."""
        if len(self._calls) >= BACKLOG:
            return False
        self.post(call)
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """End the thread, once what was posted before is done; return whether that was within `timeout` seconds."""
        if self._thread.is_alive():
            self.post(self._end)
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _end(self) -> None:
        self._closing = True

    def post(self, call: Callable[[], None]) -> None:
        """Make `call`, which may wait for the log's handlers, on the capture's thread."""
        self._calls.append(call)
        with contextlib.suppress(BlockingIOError):  # full: it will wake all the same
            os.write(self._wake_write, b"\0")

    def _register(self, captured: Captured) -> None:
        for stream in captured.streams:
            self._selector.register(stream.fd, selectors.EVENT_READ, stream)

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                stream: Any = key.data
                if stream is not None:
                    self._read(stream)
                    continue
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            while self._calls:
                self._calls.popleft()()
        self._shut()

    def _read(self, stream: _Stream) -> bool:
        """Read once; False when there is nothing now, or never again: then the stream is closed."""
        try:
            data = os.read(stream.fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            stream.lines.feed(data)
            return True
        self._close(stream)
        return False

    def _close(self, stream: _Stream) -> None:
        if stream.is_open:
            stream.is_open = False
            self._selector.unregister(stream.fd)
            stream.lines.finish()
            stream.pipe.close()

    def _shut(self) -> None:
        for key in list(self._selector.get_map().values()):
            stream: Any = key.data
            if stream is not None:
                self._close(stream)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def _emitter(fields: dict[str, object], stream: str, level: int) -> Callable[[str], None]:
    def emit(text: str) -> None:
        logger.log(level, "%s", text, extra={**fields, "stream": stream})

    return emit
