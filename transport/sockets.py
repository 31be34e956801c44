"""Sockets: one thread, the reactor's, owns them; every other thread reaches them through bounded outboxes.

A ZeroMQ socket is not safe to share, so the reactor's thread opens, polls, reads, writes and closes it. Where a hop to
that thread and back is most of the cost, a thread may send by itself, or borrow the reading while it waits for an
answer: a lock, held for one call of ZeroMQ at a time, keeps threads out of each other's way.

    any thread --send()--> outbox (bounded) --reactor--> socket --> peer
    any thread --send_here()---------------------------> socket --> peer
    callback(frames) <-------------------------reactor-- socket <-- peer
    receive_here() <------ who borrowed the reading ---- socket <-- peer

What arrives is handed to a callback on the reactor's thread, which must not block: it posts. Errors leaving a callback
are logged and counted; the reactor (`transport.reactor`) lives on. Sending wakes it only when it may be asleep.

Limits of a socket (`SocketSpec`), all stated, all counted in `statistics()`:

- `outbox` messages wait at most for the wire. When that is full, `full` says what `send` does: `REJECT` raises
  `OutboxFullError`, `BLOCK` waits for room (up to a time-out, and never on the reactor's thread, where it rejects),
  `DROP` discards the new message. Threads sending at once can exceed the bound by one message each.
- `send_high_water` and `receive_high_water` messages wait in ZeroMQ, per peer. A full peer of a ROUTER, or one that is
  gone, costs that message: it is counted and told to `on_undelivered`, and never holds up the other peers.
- A peer that sends a part larger than `max_part_bytes` is disconnected by ZeroMQ.
- Closing tries for `linger` seconds to hand over what is left.

A socket with a `join` function sends many queued messages as one frame: it never waits for a batch to fill.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq

from transport.bare import FULL, BareSocket
from transport.errors import OutboxFullError, SocketClosedError
from transport.opening import Full, Owner, SocketSpec, SocketStatistics, open_socket
from transport.wakeup import Ear

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

Frames = Sequence[bytes]
"""The parts of one ZeroMQ message; a ROUTER's first part is its peer's identity."""

OnMessage = Callable[["Socket", Any], None]
"""Gets each message, on the reactor's thread: a list of bytes, or of `zmq.Frame` where the spec asks for `metadata`."""


_READ_BURST: Final = 1_000  # messages taken from one socket before the others get their turn
_WRITE_BURST: Final = 1_000  # and messages given to it


class Socket:
    """A socket that a reactor owns. `send`, `close` and the properties may be used on any thread."""

    def __init__(
        self,
        owner: Owner,
        spec: SocketSpec,
        zsocket: zmq.Socket[bytes],
        on_message: OnMessage,
        on_undelivered: Callable[[Frames, str], None] | None,
    ) -> None:
        self._owner = owner
        self._spec = spec
        self._zsocket = zsocket
        self._bare = BareSocket(zsocket, frames=spec.metadata)
        self._on_message = on_message
        self._on_undelivered = on_undelivered
        self._outbox: deque[Any] = deque()
        self._room = threading.Condition(threading.Lock())
        self._waiters = 0
        self._closed = False
        self._use = threading.Lock()  # held around each use of the ZeroMQ socket, and what is said of who reads
        self._is_lent = self._is_read = False
        self._forwarded = 0
        self._ear: Ear | None = None
        self.fd = self._bare.fd
        """The descriptor that ZeroMQ has for it."""
        self._stuck: tuple[list[Any], int] | None = None
        self._queued = False  # in the reactor's list of sockets to flush
        self._sent = self._frames_sent = self._received = 0
        self._rejected = self._dropped = self._undelivered = self._callback_errors = 0
        self.endpoint: str = spec.connect or zsocket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        """Where it is bound (with the port that was chosen) or connected."""

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def is_closed(self) -> bool:
        return self._closed

    def send(self, message: Any, timeout: float | None = None) -> bool:
        """Queue a message: a sequence of parts, or one `bytes` where the socket joins them. Never blocks on the wire.

        Args:
            message: The parts; they are not copied.
            timeout: Longest wait for room, in seconds, where the spec says `BLOCK`; None waits until there is room.

        Returns:
            Whether it was taken; False only where the spec says `DROP`.

        Raises:
            OutboxFullError: There is no room, or was none within `timeout`.
            SocketClosedError: The socket is closed.
        """
        if self._closed:
            raise SocketClosedError(self.name)
        if len(self._outbox) >= self._spec.outbox and not self._make_room(timeout):
            return False
        self._outbox.append(message)
        if not self._queued:
            self._queued = True
            self._owner.flush_soon(self)
        return True

    def close(self) -> None:
        """Send what is queued, for at most `linger` seconds, then close. Returns at once; idempotent."""
        self._owner.post(lambda: self._owner.retire(self))

    def statistics(self) -> SocketStatistics:
        """Return the counters."""
        return SocketStatistics(
            len(self._outbox) + (self._stuck[1] if self._stuck else 0),
            self._sent,
            self._frames_sent,
            self._received,
            self._rejected,
            self._dropped,
            self._undelivered,
            self._callback_errors,
        )

    def _make_room(self, timeout: float | None) -> bool:
        full = self._spec.full
        if full is Full.DROP:
            self._dropped += 1
            return False
        if full is Full.BLOCK and not self._owner.is_current():
            with self._room:
                self._waiters += 1
                try:
                    self._room.wait_for(lambda: len(self._outbox) < self._spec.outbox or self._closed, timeout)
                finally:
                    self._waiters -= 1
            if self._closed:
                raise SocketClosedError(self.name)
            if len(self._outbox) < self._spec.outbox:
                return True
        self._rejected += 1
        raise OutboxFullError(self.name, self._spec.outbox)

    # On any thread, in place of the reactor's.

    def send_here(self, parts: Frames, *, looks: bool = True) -> None:
        """Send a message on this thread where nothing waits before it; else as `send`. Never blocks on the wire.

        Args:
            parts: The message.
            looks: Whether to `look` after it; who sends much at once does that after the last.

        Raises:
            OutboxFullError, SocketClosedError: As `send`.
        """
        if self._stuck is not None or self._outbox:
            self.send(parts)
            return
        with self._use:
            if self._closed:
                raise SocketClosedError(self.name)
            why = self._bare.send(parts)
        if why == FULL and self._spec.kind != zmq.ROUTER:
            self.send(parts)
        elif why:
            self._lose(list(parts), 1, why)
        else:
            self._sent += 1
            self._frames_sent += 1
            if looks:
                self.look()

    def look(self) -> None:
        """See to what arrived: sending takes note of that, and then the descriptor does not tell of it any more."""
        with self._use:
            if self._closed or not self._bare.is_readable():
                return
            is_lent = self._is_lent
        if is_lent:
            self.wake_borrower()
        else:
            self._owner.read_soon(self)

    def borrow(self) -> bool:
        """Leave the reading to this thread until `give_back`; False where that cannot be now.

        It cannot while the reactor is reading, while somebody else borrows, or where the platform does not allow it.
        """
        if not self._owner.can_lend:
            return False
        with self._use:
            if self._is_lent or self._is_read or self._forwarded or self._closed or self._stuck is not None:
                return False
            self._is_lent = True
            self._owner.set_aside(self)
        return True

    def receive_here(self, timeout: float | None) -> Any:
        """Return the next message, or None after `timeout` seconds, after `wake_borrower`, or for no reason.

        For who borrowed the reading.
        """
        with self._use:
            if self._closed:
                return None
            message = self._bare.receive()
            ear = self._ear
            if ear is None:
                ear = self._ear = Ear(self.fd)
        if message is None:
            ear.listen(timeout)
            with self._use:
                message = self._bare.receive() if not self.is_closed else None
        if message is not None:
            self._received += 1
        return message

    def wake_borrower(self) -> None:
        """Have `receive_here` return."""
        ear = self._ear
        if ear is not None:
            ear.wake()

    def forward(self, message: Any) -> None:
        """Have the reactor hand over a message that was read here; it reads nothing before."""
        with self._use:
            self._forwarded += 1

        def hand_over() -> None:
            self._received -= 1  # it was counted when it was read
            self._hand_over(message)
            with self._use:
                self._forwarded -= 1

        self._owner.post(hand_over)

    def give_back(self) -> None:
        """Let the reactor read again."""
        with self._use:
            self._is_lent = False
            if self._closed:
                return
            has_more = self._bare.is_readable()  # first, or the descriptor would wake the reactor for nothing
            self._owner.take_back(self)
        if has_more or self._stuck is not None:
            self._owner.read_soon(self)

    # What follows belongs to the reactor and runs on its thread.

    def read(self) -> bool:
        """Hand what has arrived to the callback; the reactor's. Return whether there may be more."""
        with self._use:
            if self._is_lent:
                return False  # who borrowed it gives notice
            if self._forwarded:
                return True  # what was read before waits to be handed over
            self._is_read = True
        try:
            for _ in range(_READ_BURST):
                with self._use:
                    message = self._bare.receive()
                if message is None:
                    return False
                self._hand_over(message)
                if self._closed:
                    return False
            return True
        finally:
            self._is_read = False

    def _hand_over(self, message: Any) -> None:
        self._received += 1
        try:
            self._on_message(self, message)
        except Exception:
            self._callback_errors += 1
            _log.exception("the callback of %s failed on a message", self.name)

    def take_note(self) -> None:
        """Have the descriptor say no more of what has changed so far; the reactor's, of a socket not read any more."""
        with self._use:
            self._bare.is_readable()

    def flush(self) -> None:
        """Send what is queued; the reactor's. What the socket does not take is tried again when it has changed."""
        self._queued = False
        outbox, join = self._outbox, self._spec.join
        for _ in range(_WRITE_BURST):
            if self._stuck is not None:
                parts, count = self._stuck
            elif not outbox:
                break
            elif join is None:
                parts, count = outbox.popleft(), 1
            else:
                batch = [outbox.popleft() for _ in range(min(len(outbox), self._spec.join_max))]
                parts, count = [join(batch)], len(batch)
            with self._use:
                why = self._bare.send(parts)
            if why == FULL and self._spec.kind != zmq.ROUTER:
                self._stuck = (parts, count)
                self._queued = True  # so that no send asks for another try before the descriptor says so
                break
            if why:
                self._lose(parts, count, why)
            else:
                self._sent += count
                self._frames_sent += 1
            self._stuck = None
            if self._waiters:
                with self._room:
                    self._room.notify_all()
        else:  # senders may be as quick as we are: the other sockets get their turn
            if not self._queued:
                self._queued = True
                self._owner.flush_soon(self)
        self.look()

    def _lose(self, parts: list[Any], count: int, why: str) -> None:
        self._undelivered += count
        if self._on_undelivered is not None:
            try:
                self._on_undelivered(parts, why)
            except Exception:
                self._callback_errors += 1
                _log.exception("the callback of %s failed on an undelivered message", self.name)

    def refuse_sends(self) -> None:
        """Let no thread send any more; the reactor's."""
        with self._use:
            self._closed = True
        self.wake_borrower()
        with self._room:
            self._room.notify_all()

    @property
    def is_stuck(self) -> bool:
        """Whether the ZeroMQ socket did not take the last message; the reactor's."""
        return self._stuck is not None

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits for the wire; the reactor's."""
        return self._stuck is None and not self._outbox

    @property
    def zsocket(self) -> zmq.Socket[bytes]:
        """The ZeroMQ socket; the reactor's."""
        return self._zsocket

    @property
    def spec(self) -> SocketSpec:
        """How it was opened."""
        return self._spec

    def end(self, linger: float) -> None:
        """Close the ZeroMQ socket; the reactor's."""
        if self._stuck is not None:
            self._lose(*self._stuck, "the socket closed")
            self._stuck = None
        while self._outbox:
            message = self._outbox.popleft()
            self._lose([message] if self._spec.join is not None else message, 1, "the socket closed")
        with self._use:
            self._zsocket.close(linger=max(0, int(linger * 1000)))
            if self._ear is not None:
                self._ear.close()


__all__ = ["Frames", "Full", "OnMessage", "Owner", "Socket", "SocketSpec", "SocketStatistics", "open_socket"]
