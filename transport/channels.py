"""One side of the connection between two processes: lanes out, flow control by credit, frames joined on the way.

    any thread --send()--> system lane ----------.
    any thread --post()--> a lane for each actor --+--> frames --> transmit (the thread that owns the socket)

The *system lane* carries what the runtime says and what answers an ask: it overtakes, and is never refused, because
each of its envelopes was called for by a bounded one. The *user lanes* carry tells and asks, one lane for each actor of
the peer (`outgoing`). At most `window` messages of a lane are under way: sent, and not yet put into a mailbox by the
peer, which says from time to time how many it has accepted. The others wait here, at most `capacity` messages and
`capacity_bytes` bytes of them in a lane, and then `full` says what the next sender meets, in the words of a mailbox: so
an actor that is slow, or a peer that hangs, never makes this process grow, nor holds up messages for another actor.

A peer that has not said that it counts by actor (`count_by_target`), a worker in another language, has one lane.

A channel never waits for a batch to fill: what has queued up when the owner of the socket comes round shares a frame,
and tells of one type for one actor share an envelope. Who waits for an answer, and finds nobody sending, sends itself
(`flush_here`).

When the peer is gone, `close` gives back every user message that it did not accept, for the caller to answer; one
that was under way may have been handled all the same, one that was still waiting here was not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from actors.core.mailbox import DEFAULT_MAILBOX, MailboxSpec
from transport.credit import CREDIT, CREDITS, Receipts, read_count, read_counts
from transport.envelope import Envelope, Kind, envelope
from transport.interrupts import can_be_torn
from transport.lanes import LaneStatistics, Parcel
from transport.outgoing import Outgoing
from transport.packing import BATCH_MAX, join_frame, pack_envelope

WINDOW: Final = 1_000
FRAME_BYTES: Final = 256 * 1024
"""A frame is closed once it holds so much; one larger envelope travels alone."""

CAPACITY_BYTES: Final = 64 * 1024 * 1024


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
    """The way to one peer. Every method may be called on any thread."""

    def __init__(
        self,
        name: str,
        transmit: Callable[[bytes], None],
        schedule: Callable[[Callable[[], None]], None],
        *,
        window: int = WINDOW,
        mailbox: MailboxSpec = DEFAULT_MAILBOX,
        mailbox_of: Callable[[str], MailboxSpec] | None = None,
        capacity_bytes: int = CAPACITY_BYTES,
        transmit_here: Callable[[bytes], None] | None = None,
    ) -> None:
        """Open the way.

        Args:
            name: What errors call the peer.
            transmit: Sends one frame; called on the thread that owns the socket.
            schedule: Has a function called on that thread, soon.
            window: User messages of one lane that may be under way; both sides are given the same.
            mailbox: Capacity of a lane and its answer to full.
            mailbox_of: The same for the lane of the actor at a path, where actors of the peer differ.
            capacity_bytes: Bytes that may wait in a lane; a single larger message is let in when it is empty.
            transmit_here: Sends one frame on the thread that calls it; None: only the socket's owner can.
        """
        self.name = name
        self.capacity = mailbox.capacity
        """User messages that may wait in a lane."""
        self._transmit = transmit
        self._transmit_here = transmit_here
        self._schedule = schedule
        self._system: deque[bytes] = deque()
        self._user = Outgoing(name, window, mailbox_of or (lambda _path: mailbox), capacity_bytes)
        self._receipts = Receipts(max(1, window // 4))
        self._sending = threading.Lock()  # one thread at a time takes and transmits, or frames would overtake
        self._closed: str | None = None
        self._scheduled = False
        self._frames = 0
        self.append = self._user.append
        """`append(path, type_name, message, data)`: add a tell to the run before it; False: `post_tell` it."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed is not None

    @property
    def backlog(self) -> int:
        """Envelopes of the runtime that wait to be sent."""
        return len(self._system)

    def count_by_target(self) -> None:
        """Take note that the peer counts what it accepts by actor, and takes runs; before the first user message."""
        self._user.by_target = self._receipts.by_target = True

    def statistics(self) -> ChannelStatistics:
        """Return the figures of this moment."""
        user = self._user
        sums = user.totals()
        return ChannelStatistics(
            *sums, user.sent, self._frames, self._receipts.accepted, user.rejected, user.dropped, user.blocked
        )

    def lanes(self) -> list[LaneStatistics]:
        """Return the figures of the lanes that hold anything, or had to turn somebody away, by path."""
        return self._user.lanes()

    # -- out --------------------------------------------------------------------------------------

    def send(self, what: Envelope) -> None:
        """Send an envelope of the runtime, or the answer to an ask. Nothing happens once the channel is closed.

        Raises:
            EncodingError: One of its texts cannot be carried.
        """
        self.send_packed(pack_envelope(what))

    def send_packed(self, data: bytes) -> None:
        """As `send`, of an envelope that is packed already."""
        if self._closed is None:
            self._system.append(data)
            self.awake()

    def answer(self, data: bytes) -> None:
        """As `send_packed`, from the calling thread where nobody sends already: who asked may wait for nothing else."""
        if self._closed is None:
            self._system.append(data)
            self.flush_here()

    def post(self, parcel: Parcel) -> bool:
        """Queue a user message, or do what the lane's answer to full says.

        Returns:
            False where it was not taken because the lane is full and its answer is `dead-letter`.

        Raises:
            MailboxFullError: The lane is full, and its answer is `reject`, or there was no room for `block_timeout`
                seconds, or this thread must not wait.
            PeerLostError: The channel is closed.
        """
        taken = self._user.add(parcel)
        if self._user.is_ready:
            self.awake()
        return taken

    def put(self, parcel: Parcel) -> bool:
        """As `post`, but leave it to the caller to have it sent (`flush_here`)."""
        return self._user.add(parcel)

    def send_at_once(self, parcel: Parcel) -> bool:
        """Send a user message on this thread where nothing waits before it; False: it cannot be, `put` it.

        Raises:
            PeerLostError: The channel is closed.
        """
        transmit = self._transmit_here
        if transmit is None or self._system or can_be_torn() or not self._sending.acquire(blocking=False):
            return False
        try:
            if self._system or not self._user.pass_through(parcel):
                return False
            self._frames += 1
            transmit(b"\x91" + parcel.data)
        finally:
            self._sending.release()
        if self._system or self._user.is_ready:  # queued by who found the right to send taken
            self.awake()
        return True

    def post_tell(self, path: str, type_name: str, message: Any, data: bytes) -> bool:
        """As `post`, of a tell whose type has a name; `data`: the packed message alone."""
        if not self._user.by_target:
            packed = pack_envelope(envelope(Kind.TELL, path, type_name, data))
            return self.post(Parcel(path, message, packed))
        taken = self._user.add_tell(path, type_name, message, data)
        if self._user.is_ready:
            self.awake()
        return taken

    def awake(self) -> None:
        """Have the socket's owner send what may be sent."""
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self._flush)

    def flush_here(self) -> None:
        """Send what may be sent, on this thread where that can be; else have the socket's owner do it."""
        transmit = self._transmit_here
        if transmit is None or can_be_torn() or not self._sending.acquire(blocking=False):
            self.awake()
            return
        try:
            self._send_all(transmit)
        finally:
            self._sending.release()
        if self._system or self._user.is_ready:  # queued by who found the right to send taken
            self.awake()

    def _flush(self) -> None:
        """Send what may be sent; on the thread that owns the socket."""
        self._scheduled = False
        with self._sending:
            self._send_all(self._transmit)

    def _send_all(self, transmit: Callable[[bytes], None]) -> None:
        system, user = self._system, self._user
        while self._closed is None:
            batch: list[bytes] = []
            size = 0
            while system and len(batch) < BATCH_MAX and (not batch or size + len(system[0]) <= FRAME_BYTES):
                batch.append(system.popleft())
                size += len(batch[-1])
            if user.is_ready:
                user.take(batch, size, FRAME_BYTES)
            if not batch:
                return
            self._frames += 1
            transmit(join_frame(batch))

    # -- credit -----------------------------------------------------------------------------------

    def accept(self, count: int, path: str = "") -> None:
        """Say that `count` more user messages of the peer for `path` are in mailboxes here, or were answered for."""
        if self._receipts.add(count, path):
            self.settle()

    def settle(self) -> None:
        """Tell the peer of all that was accepted; what it has under way then was not taken."""
        word = self._receipts.word()
        if word is not None:
            self.send(envelope(Kind.SYSTEM, "", *word))

    def credited(self, type_name: str, payload: bytes) -> None:
        """Take the peer's word, of type `CREDIT` or `CREDITS`, on what it has accepted.

        Raises:
            CodecError: It is no such word, or says more than was sent, or less than before.
        """
        if type_name == CREDIT:
            self._user.take_accepted(read_count(payload))
        else:
            self._user.take_accepted_by_target(read_counts(payload))
        if self._user.is_ready:
            self.awake()

    # -- the end ----------------------------------------------------------------------------------

    def close(self, why: str) -> tuple[list[Parcel], list[Parcel]]:
        """End the channel: senders that wait, and later ones, get `PeerLostError`.

        Args:
            why: What became of the peer, "its process ended".

        Returns:
            The user messages under way, which the peer may have handled, and those that never left; those for one
            actor oldest first.
        """
        if self._closed is None:
            self._closed = why
        self._system.clear()
        return self._user.close(why)


__all__ = ["CREDIT", "CREDITS", "FRAME_BYTES", "WINDOW", "Channel", "ChannelStatistics", "LaneStatistics", "Parcel"]
