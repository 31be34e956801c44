"""The user messages on their way to a peer: a lane for each actor, each bounded, each with a window of its own.

One lock guards them all, and is held for moments only; a sender that waits for room waits on a condition of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from actors.core.context import here, on_loop
from actors.core.mailbox import MailboxSpec
from actors.errors import MailboxFullError
from transport.errors import MalformedFrameError, PeerLostError
from transport.lanes import Lane, LaneStatistics, Parcel, Run
from transport.packing import BATCH_MAX, pack_run

LANES_BYTES: Final = 4
"""All lanes together hold so many times what one may hold."""


class Outgoing:
    """The lanes of one peer. Every method may be called on any thread.

    Attributes:
        by_target: Whether each actor has a lane, and tells cross in runs; else one lane, "", is for all of the peer.
        sent: Messages sent.
        accepted: Those of them that the peer accepted.
        rejected, dropped, blocked: As `channels.ChannelStatistics` has them.
    """

    def __init__(self, name: str, window: int, mailbox_of: Callable[[str], MailboxSpec], capacity_bytes: int) -> None:
        """Begin with no lane; the arguments are those of `channels.Channel`."""
        self.by_target = False
        self.sent = self.accepted = 0
        self.rejected = self.dropped = self.blocked = 0
        self._name = name
        self._window = window
        self._mailbox_of = mailbox_of
        self._capacity_bytes = capacity_bytes
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()  # lanes that have something to send
        self._lock = threading.Lock()  # guards the lanes and closing
        self._room = threading.Condition(self._lock)
        self._held_up = 0  # senders that wait for room
        self._closed: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether something may be sent."""
        return bool(self._ready)

    def totals(self) -> tuple[int, int, int]:
        """Return how many messages wait, their bytes, and how many are under way."""
        with self._lock:
            lanes = self._lanes.values()
            return sum(lane.count for lane in lanes), self._waiting_bytes(), sum(lane.out for lane in lanes)

    def lanes(self) -> list[LaneStatistics]:
        """Return the figures of the lanes that hold anything, or had to turn somebody away, by path."""
        with self._lock:
            return [
                LaneStatistics(lane.path, lane.count, lane.size, lane.out, lane.rejected, lane.dropped, lane.blocked)
                for _, lane in sorted(self._lanes.items())
            ]

    # -- in -----------------------------------------------------------------------------------------

    def append(self, path: str, type_name: str, message: Any, data: bytes) -> bool:
        """Add a tell to the open run of its type and actor; False where there is none: `add_tell` it."""
        with self._lock:
            lane = self._lanes.get(path)
            if lane is None:
                return False
            run = lane.open
            if run is None or run.room <= 0 or run.room_bytes < len(data) or run.type_name != type_name:
                return False
            run.room -= 1
            run.room_bytes -= len(data)
            run.messages.append(message)
            run.data.append(data)
        return True  # who opened the run had it sent

    def add_tell(self, path: str, type_name: str, message: Any, data: bytes) -> bool:
        """Add a tell, `data` its packed message, as the first of a run; `by_target` holds. As `add` else."""
        with self._lock:
            lane = self._lane_for(path, len(data))
            if lane is None:
                return False
            room = lane.mailbox.capacity - lane.count
            lane.add_tell(type_name, message, data, room, self._room_bytes(lane))
            self._queue(lane)
        return True

    def add(self, parcel: Parcel) -> bool:
        """Add a message, or do what the answer to full says.

        Returns:
            False where it was not taken because its lane is full and the answer is `dead-letter`.

        Raises:
            MailboxFullError: The lane is full, and its answer is `reject`, or there was no room for `block_timeout`
                seconds, or this thread must not wait.
            PeerLostError: The peer is gone.
        """
        with self._lock:
            lane = self._lane_for(parcel.path, len(parcel.data))
            if lane is None:
                return False
            lane.add(parcel)
            self._queue(lane)
        return True

    def pass_through(self, parcel: Parcel) -> bool:
        """Count a message as sent that its sender sends itself; False: others wait before it, or there is no credit.

        Raises:
            PeerLostError: The peer is gone.
        """
        with self._lock:
            if self._closed is not None:
                raise PeerLostError(self._name, self._closed)
            lane = self._lane(parcel.path)
            if self._ready or lane.waiting or lane.out >= self._window:
                return False
            lane.under_way.append(parcel)
            lane.out += 1
            self.sent += 1
        return True

    def _lane_for(self, path: str, size: int) -> Lane | None:
        """Return the lane that takes a message of `size` bytes for `path`; None: it is to be a dead letter."""
        lane = self._lane(path)
        if not self._has_room(lane, size) and not self._make_room(lane, size):
            return None
        if self._closed is not None:
            raise PeerLostError(self._name, self._closed)
        return self._lane(path)  # it may have been let go while this thread waited

    def _lane(self, path: str) -> Lane:
        key = path if self.by_target else ""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._mailbox_of(key))
        return lane

    def _queue(self, lane: Lane) -> None:
        if not lane.is_queued and lane.out < self._window:
            lane.is_queued = True
            self._ready.append(lane)

    def _has_room(self, lane: Lane, size: int) -> bool:
        if lane.count >= lane.mailbox.capacity:
            return False
        return not lane.waiting or size <= self._room_bytes(lane)

    def _room_bytes(self, lane: Lane) -> int:
        room = self._capacity_bytes - lane.size
        if len(self._lanes) > LANES_BYTES:
            room = min(room, LANES_BYTES * self._capacity_bytes - self._waiting_bytes())
        return room

    def _waiting_bytes(self) -> int:
        return sum(lane.size for lane in self._lanes.values())

    def _make_room(self, lane: Lane, size: int) -> bool:
        """Wait or refuse; False: the message is to become a dead letter."""
        spec = lane.mailbox
        if spec.full == "dead-letter":
            self.dropped += 1
            lane.dropped += 1
            return False
        if spec.full == "block" and not on_loop():
            self.blocked += 1
            lane.blocked += 1
            until = time.monotonic() + spec.block_timeout
            worker = here.worker
            if worker is not None:
                worker.blocks()
            self._held_up += 1
            try:
                while self._closed is None and not self._has_room(lane, size):
                    if not self._room.wait(until - time.monotonic()):
                        break
            finally:
                self._held_up -= 1
                if worker is not None:
                    worker.goes_on()
            if self._closed is not None or self._has_room(lane, size):
                return True
        self.rejected += 1
        lane.rejected += 1
        raise MailboxFullError(self._name, spec.capacity)

    # -- out ----------------------------------------------------------------------------------------

    def take(self, batch: list[bytes], size: int, most_bytes: int) -> None:
        """Add to `batch`, the packed envelopes of a frame of `size` bytes so far, what may be sent and has room there.

        Args:
            batch: Gets the envelopes; lane by lane in turn, so that none waits for another.
            size: Bytes in it.
            most_bytes: Bytes it holds at most, unless it is one envelope.
        """
        with self._lock:
            ready, window = self._ready, self._window
            taken = False
            while ready and len(batch) < BATCH_MAX:
                lane = ready[0]
                if not lane.waiting or lane.out >= window:
                    ready.popleft()
                    lane.is_queued = False
                    self._let_go(lane)
                    continue
                first = lane.waiting[0]
                if batch and size + len(first.data[0] if isinstance(first, Run) else first.data) > most_bytes:
                    break
                before = lane.out
                item = lane.take(window - before, most_bytes - size)
                taken = True
                self.sent += lane.out - before
                if isinstance(item, Run):
                    batch.append(pack_run(lane.path, item.type_name, item.data))
                    size += len(batch[-1])
                elif item is not None:
                    batch.append(item.data)
                    size += len(item.data)
                if len(ready) > 1:
                    ready.rotate(-1)
            if taken and self._held_up:
                self._room.notify_all()

    def _let_go(self, lane: Lane) -> None:
        """Forget a lane that holds nothing, unless it has figures to show."""
        if not (lane.waiting or lane.out or lane.is_queued or lane.dropped or lane.rejected or lane.blocked):
            self._lanes.pop(lane.path, None)

    def take_accepted(self, total: int) -> None:
        """Take note that a peer with one lane has accepted `total` messages in all.

        Raises:
            MalformedFrameError: That is more than were sent, or fewer than before.
        """
        with self._lock:
            if self.by_target or not self.accepted <= total <= self.sent:
                raise MalformedFrameError(f"{self._name} says that it accepted {total} messages, of {self.sent} sent")
            if total > self.accepted:
                self._accepted_of(self._lanes[""], total - self.accepted)

    def take_accepted_by_target(self, counts: dict[str, int]) -> None:
        """Take note that the peer has accepted so many messages more for each actor.

        Raises:
            MalformedFrameError: That is more than were sent, or none.
        """
        with self._lock:
            for path, count in counts.items():
                lane = self._lanes.get(path)
                out = lane.out if lane is not None else 0
                if lane is None or not 0 < count <= out:
                    raise MalformedFrameError(
                        f"{self._name} says that it accepted {count} messages more for {path[:200]}, of {out} sent"
                    )
                self._accepted_of(lane, count)

    def _accepted_of(self, lane: Lane, count: int) -> None:
        self.accepted += count
        lane.accepted(count)
        if lane.waiting:
            self._queue(lane)
        else:
            self._let_go(lane)

    def close(self, why: str) -> tuple[list[Parcel], list[Parcel]]:
        """Let nothing in any more; give back what is under way, and what never left: see `channels.Channel.close`."""
        with self._lock:
            if self._closed is None:
                self._closed = why
            lanes = tuple(self._lanes.values())
            under_way = [parcel for lane in lanes for parcel in lane.left_under_way()]
            waiting = [parcel for lane in lanes for parcel in lane.left_waiting()]
            self._lanes.clear()
            self._ready.clear()
            self._room.notify_all()
        return under_way, waiting
