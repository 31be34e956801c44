"""The reading side of event taps: follow a node's events, and know exactly what was missed.

    with TapReader(endpoint, classes=["actor.exit"], path="/io") as tap:
        while (item := tap.read(timeout=5.0)) is not None: ...

`read` gives `TapEvent`s in order, and where events of a topic were lost a `Gap` that says which topic and how many. A
loss shows by the numbers of the next event, or within a second by the publisher's beat if there is no next one.
What must be complete is in the history: a tap never makes the node wait.

Opening subscribes to what is wanted first and to the beat last, and waits for the beat: it tells where every topic
stands, so whatever is lost after that is noticed, a topic's very first event included. Where beats themselves were lost
the reader subscribes to them once more, and is told again where every topic stands. ZeroMQ connects again by itself
when the connection breaks; what happened meanwhile is a gap. When the node has been started anew a `Restarted` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from time import monotonic
from types import TracebackType
from typing import Any, Final

import zmq
from msgspec import Struct

from transport.connecting import Connection
from transport.errors import CodecError, MalformedFrameError, UnreachableError
from transport.handshakes import ADMISSION
from transport.security import ClientKeys
from transport.sockets import SocketSpec
from transport.taps.frames import BEAT, TapHeader, decode_body, decode_header, prefixes_of, split_topic, topic_of

JOIN: Final = 5.0
"""Seconds within which the first beat must have come."""

_BEAT_TOPIC: Final = topic_of(BEAT, "/")
_BURST: Final = 1_000
_LONG: Final = 3_600.0


class Origin(Enum):
    """How an event came to its reader."""

    LIVE = "live"
    """When it happened, over the tap."""
    SNAPSHOT = "snapshot"
    """As the newest of its topic when the reader joined."""
    REPLAY = "replay"
    """From the history."""


class TapEvent(Struct, frozen=True):
    """One event.

    Attributes:
        event_class: Its class: `actor.exit`.
        path: The actor it is about.
        header: What is said of it.
        body: Its fields, plain data.
        origin: How it came.
    """

    event_class: str
    path: str
    header: TapHeader
    body: dict[str, Any]
    origin: Origin = Origin.LIVE


class Gap(Struct, frozen=True):
    """Events of one topic that did not arrive.

    Attributes:
        event_class: The topic's class.
        path: The topic's path.
        missing: How many; at least so many where `is_exact` is false.
        after: Number on the topic of the last event before the gap.
        before: Number on the topic of the first one behind it; or of the last one missing, where none has come yet.
        is_exact: False where the topic's numbers were started anew in between.
        epoch: The run of the node that numbered them.
        after_seq: They have a greater number on the bus than this,
        through_seq: and none beyond this one.
        why: What kept the history from filling it, where that was tried.
    """

    event_class: str
    path: str
    missing: int
    after: int
    before: int
    is_exact: bool = True
    epoch: str = ""
    after_seq: int = 0
    through_seq: int = 0
    why: str = ""


class Restarted(Struct, frozen=True):
    """The node was started anew: all numbers start again, and what happened before it was read is not here.

    Attributes:
        before: The run that was read.
        now: The run that is.
        read: How far each topic of the earlier run was read, by number on the bus.
        heard_seq: Number on the bus of the newest event that its last beat told of; topics not in `read` were read to
            there.
    """

    before: str
    now: str
    read: dict[str, int] = {}
    heard_seq: int = 0


TapItem = TapEvent | Gap | Restarted


class _Position:
    """Where a topic has been read to."""

    __slots__ = ("born", "seq", "tseq")

    def __init__(self, tseq: int, born: int, seq: int) -> None:
        self.tseq = tseq
        self.born = born
        self.seq = seq  # everything on the topic up to this number on the bus was read, or told of as missing


class TapReader:
    """Reads one node's taps. Belongs to one thread; close it, or use it in a `with`."""

    def __init__(
        self,
        endpoint: str,
        *,
        classes: Iterable[str] | None = None,
        path: str = "/",
        keys: ClientKeys | None = None,
        high_water: int = 20_000,
        connect: float = ADMISSION,
        join: float = JOIN,
    ) -> None:
        """Connect, subscribe and wait for the first beat.

        Args:
            endpoint: The node's tap endpoint.
            classes: Event classes wanted; None for all.
            path: Only events about this path and what lies below it.
            keys: CURVE keys, where the node wants them.
            high_water: Messages that may wait here to be read; what exceeds it waits, and is then lost, at the node.
            connect: Seconds after which nobody is there, if nobody accepts the connection.
            join: Seconds that a node that does may take to let it in, and then to send the first beat.

        Raises:
            AddressError, ValueError: `path` or a class is none.
            UnreachableError: Nothing answers there.
            AuthenticationError: The node refused the key.
        """
        prefixes = prefixes_of(classes, path)
        self._prefixes = tuple(prefixes)
        self._items: deque[TapItem] = deque()
        self._positions: dict[bytes, _Position] = {}
        self._epoch = ""
        self._is_joined = False
        self._joined_at_seq = self._heard_seq = 0
        self._beat = 0  # number of the last one heard
        self._heard_at = monotonic()
        self.events = 0
        """Events read off the wire."""
        self.missing = 0
        """Events known to be missing."""
        self.malformed = 0
        """Messages that could not be read, which were passed over."""
        spec = SocketSpec(
            zmq.SUB,
            connect=endpoint,
            name="tap",
            keys=keys,
            receive_high_water=high_water,
            heartbeat=10.0 if endpoint.startswith("tcp:") else 0.0,
        )
        self._connection = Connection(spec)
        try:
            for prefix in prefixes:
                self._connection.socket.setsockopt(zmq.SUBSCRIBE, prefix)
            if not self._connection.wait_admitted(connect, join):
                raise _no_answer(endpoint, "nothing accepts connections there")
            self._connection.socket.setsockopt(zmq.SUBSCRIBE, _BEAT_TOPIC)
            until = monotonic() + join
            while not self._is_joined:
                left = until - monotonic()
                self._take_in(max(0.0, left))  # once more when it is late: this thread may have been held up
                if left <= 0 and not self._is_joined:
                    raise _no_answer(endpoint, f"no beat within {join:g} s")
        except BaseException:
            self._connection.close()
            raise

    @property
    def epoch(self) -> str:
        """Which run of the node is being read."""
        return self._epoch

    @property
    def is_joined(self) -> bool:
        """Whether a beat of this run has been heard: from then on every loss is noticed."""
        return self._is_joined

    @property
    def joined_at_seq(self) -> int:
        """Number on the bus of the newest event when the reader joined this run of the node."""
        return self._joined_at_seq

    @property
    def heard_seq(self) -> int:
        """Number on the bus of the newest event that the last beat told of."""
        return self._heard_seq

    @property
    def silence(self) -> float:
        """Seconds since anything was heard; beyond a few beats the node is gone or hangs."""
        return monotonic() - self._heard_at

    def read(self, timeout: float | None = None) -> TapItem | None:
        """Return the next event, gap or restart; None where none came within `timeout` seconds.

        Raises:
            AuthenticationError: The node no longer lets this key in.
        """
        until = None if timeout is None else monotonic() + timeout
        while not self._items:
            self._take_in(_LONG if until is None else max(0.0, until - monotonic()))
            if until is not None and not self._items and monotonic() >= until:
                return None
        return self._items.popleft()

    def __iter__(self) -> Iterator[TapItem]:
        while True:
            item = self.read()
            assert item is not None  # without a time-out there is always one
            yield item

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._connection.close()

    def __enter__(self) -> TapReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _take_in(self, timeout: float) -> None:
        """Read what there is, waiting at most `timeout` seconds for it."""
        if not self._connection.wait(timeout):
            return
        self._heard_at = monotonic()
        for _ in range(_BURST):
            try:
                frames = self._connection.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._take(frames)
            except CodecError:
                self.malformed += 1

    def _take(self, frames: list[bytes]) -> None:
        if len(frames) < 3:
            raise MalformedFrameError(f"a tap message has 3 frames, this has {len(frames)}")
        topic = frames[0]
        header, body = decode_header(frames[1]), decode_body(frames[2])
        if header.epoch != self._epoch:
            self._new_epoch(header.epoch)
        if topic == _BEAT_TOPIC:
            self._take_beat(header, body)
            return
        event_class, path = split_topic(topic)
        self.events += 1
        self._place(topic, header)
        self._items.append(TapEvent(event_class, path, header, body))

    def _new_epoch(self, epoch: str) -> None:
        if self._epoch:
            read = {topic.decode(): position.seq for topic, position in self._positions.items()}
            self._items.append(Restarted(self._epoch, epoch, read, self._heard_seq))
        self._epoch = epoch
        self._positions.clear()
        self._is_joined = False

    def _place(self, topic: bytes, header: TapHeader) -> None:
        """Compare an event's number with the last one of its topic."""
        position = self._positions.get(topic)
        through = header.seq - 1
        if position is None:
            self._positions[topic] = _Position(header.tseq, header.born, header.seq)
            if self._is_joined and header.tseq > 1 and header.born > self._joined_at_seq:
                self._miss(topic, header.tseq - 1, (0, header.tseq), (self._joined_at_seq, through))
            return
        numbers, seqs = (position.tseq, header.tseq), (position.seq, through)
        if position.born not in {0, header.born} or header.tseq <= position.tseq:  # it was forgotten, and counts anew
            self._miss(topic, max(1, header.tseq - 1), numbers, seqs, is_exact=False)
        elif header.tseq > position.tseq + 1:
            self._miss(topic, header.tseq - position.tseq - 1, numbers, seqs)
        position.tseq, position.born, position.seq = header.tseq, header.born, header.seq

    def _take_beat(self, header: TapHeader, body: dict[str, Any]) -> None:
        heads = body.get("heads")
        if not isinstance(heads, dict):
            raise MalformedFrameError("a beat has no heads")
        for text, tseq in heads.items():
            topic = text.encode()
            if type(tseq) is not int or not topic.startswith(self._prefixes):
                continue
            position = self._positions.get(topic)
            if position is None:
                self._positions[topic] = _Position(tseq, 0, header.seq)
                if self._is_joined and tseq > 0:
                    self._miss(topic, tseq, (0, tseq), (self._joined_at_seq, header.seq))
                continue
            numbers, seqs = (position.tseq, tseq), (position.seq, header.seq)
            if tseq > position.tseq:
                self._miss(topic, tseq - position.tseq, numbers, seqs)
                position.tseq = tseq
            elif tseq < position.tseq:
                self._miss(topic, tseq, numbers, seqs, is_exact=False)
                position.tseq, position.born = tseq, 0
            position.seq = header.seq
        if not self._is_joined:
            self._is_joined = True
            self._joined_at_seq = header.seq
        elif header.tseq > self._beat + 1:  # the lost ones may have told of topics that this one no longer tells of
            self._connection.socket.setsockopt(zmq.UNSUBSCRIBE, _BEAT_TOPIC)
            self._connection.socket.setsockopt(zmq.SUBSCRIBE, _BEAT_TOPIC)
        self._beat = header.tseq
        self._heard_seq = header.seq

    def _miss(
        self, topic: bytes, missing: int, numbers: tuple[int, int], seqs: tuple[int, int], *, is_exact: bool = True
    ) -> None:
        event_class, path = split_topic(topic)
        self.missing += missing
        self._items.append(Gap(event_class, path, missing, *numbers, is_exact, self._epoch, *seqs))


def _no_answer(endpoint: str, why: str) -> UnreachableError:
    return UnreachableError(
        "no answer",
        endpoint,
        f"no node answers at {endpoint}: {why}",
        "the node may just be stopping or starting; try again, or: actorctl doctor",
    )
