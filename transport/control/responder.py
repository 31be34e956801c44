"""The answering side of one control call: a handler answers it once, in parts if it is a stream, from any thread.

What becomes of a call, each word an event that may come from any thread:

    open --reply/fail--> answered
    open --deadline----> timed out      (a late reply is still kept for a retry with the same key)
    open --cancel------> cancelled      (the client said so, or is gone)

The first one wins; what comes later is counted and has no effect on the wire. Parts of a stream go out as the client
grants credit for them; up to `BUFFER` wait here, more are refused, and a final answer waits behind them.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Protocol

from transport.control.protocol import Request, Response, encode_response, failure
from transport.errors import CodecError, ErrorCode, OutboxFullError
from transport.security import Peer

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

BUFFER: Final = 1_000
"""Parts of a stream that may wait for credit."""


class Desk(Protocol):
    """What a responder needs of the server; every method may be called on any thread."""

    max_response_bytes: int

    def deliver(self, responder: Responder, data: bytes) -> None:
        """Send `data` to whoever waits for this call first."""
        ...

    def finished(self, responder: Responder, response: Response, data: bytes, *, is_late: bool) -> None:
        """The call has its final answer; `data` is not on the wire yet."""
        ...


class Responder:
    """Answers one call. Every method may be called on any thread and none blocks, but for `wait_ready`."""

    def __init__(self, desk: Desk, request: Request, peer: Peer, deadline: float | None) -> None:
        self.request = request
        """The command."""
        self.peer = peer
        """Who sent it, and what they may do."""
        self._desk = desk
        self._started = monotonic()
        self._until = None if deadline is None else self._started + deadline
        self._changed = threading.Condition(threading.Lock())
        self._state = "open"
        self._credit = request.credit
        self._parts: deque[bytes] = deque()
        self._count = 0
        self._final: tuple[Response, bytes] | None = None
        self._on_cancel: list[Callable[[str], None]] = []
        self._on_ready: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether an answer is still wanted."""
        return self._state == "open"

    @property
    def is_stream(self) -> bool:
        """Whether the client takes parts."""
        return self.request.credit > 0

    @property
    def is_ready(self) -> bool:
        """Whether the next part would go out at once."""
        return self._state == "open" and self._credit > len(self._parts)

    @property
    def seconds(self) -> float:
        """Seconds since the call arrived."""
        return monotonic() - self._started

    @property
    def remaining(self) -> float | None:
        """Seconds left until the deadline, at least 0; None where there is none."""
        return None if self._until is None else max(0.0, self._until - monotonic())

    def reply(self, result: Any = None) -> bool:
        """Answer with `result`; the last answer of a stream. Returns whether it was still wanted.

        Args:
            result: Plain data, or plain data packed already, as `msgspec.Raw`.
        """
        return self._finish(Response(self.request.id, True, result))

    def fail(self, code: ErrorCode | str, message: str, hint: str = "", result: Any = None) -> bool:
        """Answer that the command failed; `result` is what was achieved all the same. Returns whether it was wanted."""
        return self._finish(failure(self.request.id, code, message, hint, result))

    def part(self, result: Any) -> bool:
        """Send one part of a stream. Returns False where nobody wants it any more.

        Raises:
            OutboxFullError: The client has granted no credit and `BUFFER` parts wait already.
            EncodingError: `result` is no plain data.
            ValueError: The call is no stream.
        """
        if not self.is_stream:
            raise ValueError(f"{self.request.command} was called, not streamed: it takes one answer")
        with self._changed:
            if self._state != "open":
                return False
            if len(self._parts) >= BUFFER:
                raise OutboxFullError(f"stream {self.request.command}", BUFFER)
            number = self._count + 1
            data = encode_response(Response(self.request.id, True, result, more=True, part=number))
            self._count = number
            self._parts.append(data)
            self._send_parts()
        return True

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until the next part would go out at once. Returns False on time-out, or where nobody wants it any more.

        Not for the reactor's thread, which brings the credit.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._state != "open" or self._credit > len(self._parts), timeout)
            return self.is_ready

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the reactor's thread whenever the client grants credit; it only posts."""
        self._on_ready.append(callback)

    def on_cancel(self, callback: Callable[[str], None]) -> None:
        """Call `callback(why)` once when the answer is no longer wanted: cancelled, gone or past its deadline.

        On the reactor's thread, or at once where that has happened already; it only posts.
        """
        with self._changed:
            if self._state in {"open", "answered"}:
                self._on_cancel.append(callback)
                return
            why = self._state
        callback(why)

    # For the server, on the reactor's thread.

    def grant(self, credit: int) -> None:
        """Take note of the client's credit."""
        with self._changed:
            self._credit += credit
            self._send_parts()
            self._changed.notify_all()
            callbacks = tuple(self._on_ready) if self._state == "open" else ()
        for callback in callbacks:
            _guarded(callback)

    def expire(self, state: str) -> bool:
        """End the call from outside (`timed out`, `cancelled`). Returns False where its answer is on its way."""
        with self._changed:
            is_held = self._final is not None and state == "cancelled"  # the last answer waits for credit
            if self._state != "open" and not is_held:
                return False
            self._state = state
            self._parts.clear()
            self._final = None
            callbacks, self._on_cancel = self._on_cancel, []
            self._changed.notify_all()
        for callback in callbacks:
            _guarded(functools.partial(callback, state))
        return True

    def _finish(self, response: Response) -> bool:
        response, data = self._encoded(response)
        with self._changed:
            is_open = self._state == "open"
            if is_open:
                self._state = "answered"
                self._final = response, data
                self._send_parts()
                self._changed.notify_all()
        if not is_open:
            self._desk.finished(self, response, data, is_late=True)
        return is_open

    def _encoded(self, response: Response) -> tuple[Response, bytes]:
        try:
            data = encode_response(response)
            size = len(data)
            if size <= self._desk.max_response_bytes:
                return response, data
            why = f"the answer has {size:,} bytes, {self._desk.max_response_bytes:,} are allowed"
            hint, code = "ask for less: a path, a depth or a limit", ErrorCode.FAILED
        except CodecError as error:
            _log.error("the answer to %s cannot be encoded: %s", self.request.command, error)
            why, hint, code = f"the answer cannot be encoded: {error}", "", ErrorCode.INTERNAL
        response = failure(response.id, code, why, hint)
        return response, encode_response(response)

    def _send_parts(self) -> None:
        """Send what the credit covers; with the lock held."""
        while self._parts and self._credit > 0:
            self._credit -= 1
            self._desk.deliver(self, self._parts.popleft())
        if self._final is not None and not self._parts:
            (response, data), self._final = self._final, None
            self._desk.finished(self, response, data, is_late=False)


def _guarded(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        _log.exception("a control call's callback failed")
