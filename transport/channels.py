"""One side of the connection between two processes: two lanes out, flow control by credit, frames joined on the way.

    any thread --send()--> system lane --.
    any thread --post()--> user lane   --+--> frames --> transmit (the thread that owns the socket)

The *system lane* carries what the runtime says and what answers an ask: it overtakes, and is never refused, because
each of its envelopes was called for by a bounded one. The *user lane* carries tells and asks. At most `window` of them
are under way: sent, and not yet put into a mailbox by the peer, which says from time to time how many it has accepted.
The others wait here, at most `capacity` messages and `capacity_bytes` bytes of them, and then `full` says what the next
sender meets, in the words of a mailbox: so a peer that is slow, or hangs, never makes this process grow.

A channel never waits for a batch to fill: what has queued up when the owner of the socket comes round shares a frame.

When the peer is gone, `close` gives back every user message that it did not accept, for the caller to answer; one
that was under way may have been handled all the same, one that was still waiting here was not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from actors.core.context import here, on_loop
from actors.core.mailbox import DEFAULT_MAILBOX, MailboxSpec
from actors.errors import MailboxFullError
from transport.codec import BATCH_MAX, join_frame, pack, pack_envelope, unpack
from transport.envelope import Envelope, Kind, envelope
from transport.errors import MalformedFrameError, PeerLostError
from transport.limits import Limits

CREDIT: Final = "transport:credit"
"""Payload type of the SYSTEM envelope that says how many user messages its sender has accepted in all."""

WINDOW: Final = 1_000
FRAME_BYTES: Final = 256 * 1024
"""A frame is closed once it holds so much; one larger envelope travels alone."""

CAPACITY_BYTES: Final = 64 * 1024 * 1024

_CREDIT_LIMITS = Limits(max_frame_bytes=16, max_depth=0, max_items=1)


class Parcel:
    """A user message on its way, with what is needed to answer for it if it never arrives.

    Attributes:
        path: The actor it is for.
        message: The message.
        data: Its packed envelope.
        ask: Number of the ask, 0 for a tell.
        wanted: Says, when its turn to be sent comes, whether it still is; None: always.
    """

    __slots__ = ("ask", "data", "message", "path", "wanted")

    def __init__(
        self, path: str, message: Any, data: bytes, ask: int = 0, wanted: Callable[[], bool] | None = None
    ) -> None:
        self.path = path
        self.message = message
        self.data = data
        self.ask = ask
        self.wanted = wanted


class ChannelStatistics(Struct, frozen=True, gc=False):
    """A channel's figures; all but the first three only grow.

    Attributes:
        waiting: User messages that wait here for credit or for the wire.
        waiting_bytes: Their size.
        under_way: User messages sent and not yet accepted by the peer.
        sent: User messages sent.
        frames: Frames they and the system lane's were sent in.
        accepted: User messages of the peer accepted here.
        rejected: Messages refused because the lane was full.
        dropped: Messages turned into dead letters because the lane was full.
        blocked: Senders that had to wait for room.
    """

    waiting: int
    waiting_bytes: int
    under_way: int
    sent: int
    frames: int
    accepted: int
    rejected: int
    dropped: int
    blocked: int


class Channel:
    """The way to one peer. `send`, `post`, `accept` and `close` may be called on any thread."""

    def __init__(
        self,
        name: str,
        transmit: Callable[[bytes], None],
        schedule: Callable[[Callable[[], None]], None],
        *,
        window: int = WINDOW,
        mailbox: MailboxSpec = DEFAULT_MAILBOX,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        """Open the way.

        Args:
            name: What errors call the peer.
            transmit: Sends one frame; called on the thread that owns the socket.
            schedule: Has a function called on that thread, soon.
            window: User messages that may be under way; both sides are given the same.
            mailbox: Capacity of the user lane and its answer to full.
            capacity_bytes: Bytes that may wait in the user lane; a single larger message is let in when it is empty.
        """
        self.name = name
        self._transmit = transmit
        self._schedule = schedule
        self._window = window
        self._mailbox = mailbox
        self._capacity_bytes = capacity_bytes
        self._system: deque[bytes] = deque()
        self._user: deque[Parcel] = deque()
        self._under_way: deque[Parcel] = deque()
        self._room = threading.Condition(threading.Lock())  # guards what follows, and closing
        self._waiting_bytes = 0
        self._closed: str | None = None
        self._scheduled = False
        self._sent = self._frames = 0
        self._peer_accepted = 0
        self._accepted = self._reported = 0
        self._rejected = self._dropped = self._blocked = 0

    @property
    def capacity(self) -> int:
        """User messages that may wait here."""
        return self._mailbox.capacity

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed is not None

    @property
    def backlog(self) -> int:
        """Envelopes of the runtime that wait to be sent."""
        return len(self._system)

    def statistics(self) -> ChannelStatistics:
        """Return the figures of this moment."""
        return ChannelStatistics(
            len(self._user),
            self._waiting_bytes,
            len(self._under_way),
            self._sent,
            self._frames,
            self._accepted,
            self._rejected,
            self._dropped,
            self._blocked,
        )

    # -- out --------------------------------------------------------------------------------------

    def send(self, what: Envelope) -> None:
        """Send an envelope of the runtime, or the answer to an ask. Nothing happens once the channel is closed.

        Raises:
            EncodingError: One of its texts cannot be carried.
        """
        data = pack_envelope(what)
        if self._closed is None:
            self._system.append(data)
            self._awake()

    def post(self, parcel: Parcel) -> bool:
        """Queue a user message, or do what the lane's answer to full says.

        Returns:
            False where it was not taken because the lane is full and its answer is `dead-letter`.

        Raises:
            MailboxFullError: The lane is full, and its answer is `reject`, or there was no room for `block_timeout`
                seconds, or this thread must not wait.
            PeerLostError: The channel is closed.
        """
        size = len(parcel.data)
        with self._room:
            if not self._has_room(size) and not self._make_room(size):
                return False
            if self._closed is not None:
                raise PeerLostError(self.name, self._closed)
            self._user.append(parcel)
            self._waiting_bytes += size
        self._awake()
        return True

    def _has_room(self, size: int) -> bool:
        waiting = len(self._user)
        if waiting >= self._mailbox.capacity:
            return False
        return not waiting or self._waiting_bytes + size <= self._capacity_bytes

    def _make_room(self, size: int) -> bool:
        """Wait or refuse, with the lock held; False: the message is to become a dead letter."""
        spec = self._mailbox
        if spec.full == "dead-letter":
            self._dropped += 1
            return False
        if spec.full == "block" and not on_loop():
            self._blocked += 1
            until = time.monotonic() + spec.block_timeout
            worker = here.worker
            if worker is not None:
                worker.blocks()
            try:
                while self._closed is None and not self._has_room(size):
                    if not self._room.wait(until - time.monotonic()):
                        break
            finally:
                if worker is not None:
                    worker.goes_on()
            if self._closed is not None or self._has_room(size):
                return True
        self._rejected += 1
        raise MailboxFullError(self.name, spec.capacity)

    def _awake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._flush)

    def _flush(self) -> None:
        """Send what may be sent; on the thread that owns the socket."""
        self._scheduled = False
        system = self._system
        while self._closed is None:
            batch: list[bytes] = []
            size = 0
            while system and len(batch) < BATCH_MAX and (not batch or size + len(system[0]) <= FRAME_BYTES):
                batch.append(system.popleft())
                size += len(batch[-1])
            self._take_user(batch, size)
            if not batch:
                return
            self._frames += 1
            self._transmit(join_frame(batch))

    def _take_user(self, batch: list[bytes], size: int) -> None:
        with self._room:
            user, under_way = self._user, self._under_way
            taken = False
            while user and len(batch) < BATCH_MAX and len(under_way) < self._window:
                if batch and size + len(user[0].data) > FRAME_BYTES:
                    break
                parcel = user.popleft()
                self._waiting_bytes -= len(parcel.data)
                taken = True
                if parcel.wanted is None or parcel.wanted():
                    under_way.append(parcel)
                    batch.append(parcel.data)
                    size += len(parcel.data)
                    self._sent += 1
            if taken and self._mailbox.full == "block":
                self._room.notify_all()

    # -- credit -----------------------------------------------------------------------------------

    def accept(self, count: int) -> None:
        """Say that `count` more user messages of the peer are in mailboxes here, or were answered for."""
        with self._room:
            self._accepted += count
            if self._accepted - self._reported < max(1, self._window // 4):
                return
        self.settle()

    def settle(self) -> None:
        """Tell the peer of all that was accepted; what it has under way then was not taken."""
        with self._room:
            if self._reported == self._accepted:
                return
            self._reported = self._accepted
            data = pack(self._accepted)
        self.send(envelope(Kind.SYSTEM, "", CREDIT, data))

    def credited(self, payload: bytes) -> None:
        """Take the peer's word on how many it has accepted in all.

        Raises:
            CodecError: It is no such word, or says more than was sent, or less than before.
        """
        count = unpack(payload, _CREDIT_LIMITS)
        with self._room:
            if type(count) is not int or not self._peer_accepted <= count <= self._sent:
                raise MalformedFrameError(f"{self.name} says that it accepted {count!r} messages, of {self._sent} sent")
            for _ in range(count - self._peer_accepted):
                self._under_way.popleft()
            self._peer_accepted = count
        if self._user:
            self._awake()

    # -- the end ----------------------------------------------------------------------------------

    def close(self, why: str) -> tuple[list[Parcel], list[Parcel]]:
        """End the channel: senders that wait, and later ones, get `PeerLostError`.

        Args:
            why: What became of the peer, "its process ended".

        Returns:
            The user messages under way, which the peer may have handled, and those that never left; both oldest first.
        """
        with self._room:
            if self._closed is None:
                self._closed = why
            under_way, waiting = list(self._under_way), list(self._user)
            self._under_way.clear()
            self._user.clear()
            self._system.clear()
            self._waiting_bytes = 0
            self._room.notify_all()
        return under_way, waiting
