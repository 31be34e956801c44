"""The user messages that wait for one actor of a peer, or are on their way to it: a lane.

Each actor has a lane, so one that is slow holds up nobody else of its process. What waits in a lane are parcels, one
message each, and runs: tells of one type, one after the other, that cross as one envelope. A lane knows no lock; its
channel guards it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from actors.core.mailbox import MailboxSpec

RUN_MAX: Final = 256
"""Messages of one run."""

RUN_BYTES: Final = 256 * 1024
"""Bytes of them, unless it is one."""


class LaneStatistics(Struct, frozen=True, gc=False):
    """The figures of the messages for one actor of a peer; the last three only grow while the lane is kept.

    Attributes:
        path: The actor; "" where one lane is for all of a peer.
        waiting: Messages that wait here for credit or for the wire.
        waiting_bytes: Their size.
        under_way: Messages sent and not yet accepted.
        rejected: Messages refused because the lane was full.
        dropped: Messages turned into dead letters because the lane was full.
        blocked: Senders that had to wait for room.
    """

    path: str
    waiting: int
    waiting_bytes: int
    under_way: int
    rejected: int
    dropped: int
    blocked: int


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


class Run:
    """Tells of one type for one actor, in order.

    Attributes:
        type_name: Their type.
        messages: The messages.
        data: The bytes of each.
        done: How many of them, from the first, the peer has accepted.
        room, room_bytes: How many more it takes, and of how many bytes, while it is open.
    """

    __slots__ = ("data", "done", "messages", "room", "room_bytes", "type_name")

    def __init__(self, type_name: str, messages: list[Any], data: list[bytes], room: int, room_bytes: int) -> None:
        self.type_name = type_name
        self.messages = messages
        self.data = data
        self.done = 0
        self.room = room
        self.room_bytes = room_bytes

    def cut(self, most: int, most_bytes: int) -> Run:
        """Take the first messages off: at most `most`, and of at most `most_bytes` bytes in all unless it is one."""
        count, size = 0, 0
        for data in self.data[:most]:
            size += len(data)
            if size > most_bytes and count:
                break
            count += 1
        if count == len(self.data):
            return self
        first = Run(self.type_name, self.messages[:count], self.data[:count], 0, 0)
        del self.messages[:count], self.data[:count]
        return first


class Lane:
    """The messages for one actor.

    Attributes:
        path: The actor; "" where one lane is for all of a peer.
        mailbox: How much it holds, and its answer to full.
        waiting: What has not been sent, oldest first.
        open: The newest run in `waiting`, while it takes more: whoever holds the channel's lock may append to it.
        under_way: What was sent and not yet accepted, oldest first.
        out: Messages in `under_way`.
        is_queued: Whether it stands in its channel's queue of lanes that have something to send.
        dropped: Messages that became dead letters because it was full.
        rejected: Messages refused because it was full.
        blocked: Senders that had to wait for room.
    """

    __slots__ = (
        "_count",
        "_size",
        "blocked",
        "dropped",
        "is_queued",
        "mailbox",
        "open",
        "out",
        "path",
        "rejected",
        "under_way",
        "waiting",
    )

    def __init__(self, path: str, mailbox: MailboxSpec) -> None:
        self.path = path
        self.mailbox = mailbox
        self.waiting: deque[Parcel | Run] = deque()
        self._count = self._size = 0  # of what waits, without the open run
        self.open: Run | None = None
        self.under_way: deque[Parcel | Run] = deque()
        self.out = 0
        self.is_queued = False
        self.dropped = self.rejected = self.blocked = 0

    @property
    def count(self) -> int:
        """Messages in `waiting`."""
        return self._count + (len(self.open.data) if self.open is not None else 0)

    @property
    def size(self) -> int:
        """Their bytes."""
        return self._size + (sum(map(len, self.open.data)) if self.open is not None else 0)

    def add_tell(self, type_name: str, message: Any, data: bytes, room: int, room_bytes: int) -> None:
        """Append a tell, as the first of a run that takes as many, and of as many bytes, as there is room for."""
        self._close()
        self.open = Run(type_name, [message], [data], min(room, RUN_MAX) - 1, min(room_bytes, RUN_BYTES) - len(data))
        self.waiting.append(self.open)

    def add(self, parcel: Parcel) -> None:
        """Append a message that is an envelope by itself."""
        self._close()
        self.waiting.append(parcel)
        self._count += 1
        self._size += len(parcel.data)

    def _close(self) -> None:
        """Have the open run take no more."""
        if self.open is not None:
            self._count += len(self.open.data)
            self._size += sum(map(len, self.open.data))
            self.open = None

    def take(self, credit: int, most_bytes: int) -> Parcel | Run | None:
        """Take what is next for the wire and count it as under way: a parcel, or a run of up to `credit` messages.

        Returns:
            None where that was a message nobody wants any more.
        """
        item = self.waiting[0]
        if type(item) is Run:
            part = item.cut(credit, most_bytes)
            if item is self.open:  # its messages are in no count yet
                if part is item:
                    self.open = None
            else:
                self._count -= len(part.data)
                self._size -= sum(map(len, part.data))
            if part is item:
                self.waiting.popleft()
            self.out += len(part.data)
            self.under_way.append(part)
            return part
        assert type(item) is Parcel  # nothing else waits
        self.waiting.popleft()
        self._count -= 1
        self._size -= len(item.data)
        if item.wanted is not None and not item.wanted():
            return None
        self.out += 1
        self.under_way.append(item)
        return item

    def accepted(self, count: int) -> None:
        """Take note that the peer has accepted `count` more, no more than are under way."""
        self.out -= count
        under_way = self.under_way
        while count:
            item = under_way[0]
            if type(item) is Run:
                left = len(item.data) - item.done
                if left > count:
                    item.done += count
                    return
                count -= left
            else:
                count -= 1
            under_way.popleft()

    def left_under_way(self) -> Iterator[Parcel]:
        """Yield what the peer has not accepted, oldest first."""
        return _parcels(self.path, self.under_way)

    def left_waiting(self) -> Iterator[Parcel]:
        """Yield what was never sent, oldest first."""
        return _parcels(self.path, self.waiting)


def _parcels(path: str, items: deque[Parcel | Run]) -> Iterator[Parcel]:
    for item in items:
        if isinstance(item, Parcel):
            yield item
        else:
            for message, data in zip(item.messages[item.done :], item.data[item.done :], strict=True):
                yield Parcel(path, message, data)
