"""What a publisher keeps and says of its topics: how far each has got, and its own figures."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from actors.events import Event
from transport.taps.frames import topic_of


class TapStatistics(Struct, frozen=True, gc=False):
    """What a publisher has done so far.

    Attributes:
        seen: Events the bus handed over.
        published: Events handed to ZeroMQ, which sends them to who subscribed.
        dropped: Events lost here because the buffer was full.
        beats: Beats sent.
        topics: Topics there are now.
        forgotten: Topics forgotten because there were too many.
        subscriptions: Prefixes subscribed to now.
        waiting: Events in the buffer now.
    """

    seen: int
    published: int
    dropped: int
    beats: int
    topics: int
    forgotten: int
    subscriptions: int
    waiting: int


class Head:
    """Where a topic has got to."""

    __slots__ = (
        "born",
        "count",
        "event",
        "has_moved",
        "is_wanted",
        "judged",
        "kind",
        "seq",
        "settled",
        "topic",
        "weight",
    )

    def __init__(self, event: Event, born: int) -> None:
        self.kind = event.TOPIC
        self.topic = topic_of(event.TOPIC, event.path)
        self.born = born
        self.count = 0
        self.settled = 0  # how much of `count` is in the publisher's own figures
        self.weight = zlib.crc32(self.topic)
        self.seq = born
        self.event = event  # the newest
        self.has_moved = False  # since the last beat
        self.judged: tuple[bytes, ...] | None = None  # the prefixes for which is_wanted holds
        self.is_wanted = False


class Beat(Struct, frozen=True):
    """How far the topics had got at one moment."""

    at: float
    head: int
    topics: int
    hash: int
    counts: dict[str, int]
    heads: dict[str, int]


class TapSnapshot(Struct, frozen=True):
    """The newest event of every topic at one moment.

    Attributes:
        seq: Number of the newest event on the bus then: whatever comes later has a greater one.
        epoch: The run of the node.
        messages: One function a topic, in the order of the events: it makes the message (`frames.message_of`), and
            formats tracebacks, so it is called where that may take its time.
    """

    seq: int
    epoch: str
    messages: tuple[Callable[[], list[Any]], ...]
