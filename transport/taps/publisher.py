"""The publishing side of event taps: bus -> numbers -> XPUB.

    publishing thread: number the event on its topic; if somebody subscribed to it, put it into the buffer (bounded)
    reactor's thread:  encode what is in the buffer and send it

Nothing is encoded, and the reactor is not woken, for events that nobody subscribed to. Numbers count every event all
the same, so that a reader who was away knows what it missed. A reader that falls `high_water` messages behind loses
newer ones in ZeroMQ, without a word from it; a full buffer loses new events here, counted. Either way the reader finds
the hole: by `tseq`, and once a second by a `beat`, which tells where every topic that moved lately has got to.

A beat's body:

    head    number of the newest event counted in what follows
    topics  how many topics there are
    hash    sum over all topics of crc32(topic) * tseq, modulo 2**64, in hexadecimal
    counts  class -> how many events of it there were
    heads   topic -> its newest tseq: all topics subscribed to, after somebody subscribed; else those that moved lately
    left    how many such topics did not fit in
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from operator import itemgetter
from typing import Any, Final

import zmq

from actors.core.bus import EventBus
from actors.events import Event
from transport.codec import pack
from transport.errors import SocketClosedError
from transport.reactor import Reactor
from transport.security import ServerKeys, require_keys
from transport.sockets import Full, Socket, SocketSpec
from transport.taps.frames import (
    BEAT,
    BEAT_TYPE,
    TapHeader,
    body_of,
    encode_body,
    encode_header,
    header_of,
    instant,
    message_of,
    names_of,
    topic_of,
    type_of,
)
from transport.taps.heads import Beat, Head, TapSnapshot, TapStatistics

TOPICS_MAX: Final = 100_000
"""Topics whose numbers are kept; beyond that the one that has been there longest starts anew."""

SUBSCRIPTIONS_MAX: Final = 1_000
"""Prefixes that are told apart; beyond that every event counts as subscribed to."""

HEADS_MAX: Final = 20_000
"""Topics that one beat tells of."""

_LATELY: Final = 10  # beats for which a topic that moved is told of
_BURST: Final = 100  # events encoded before the reactor's other work gets its turn
_BEAT_TOPIC: Final = topic_of(BEAT, "/")


_Waiting = tuple[int, int, Event, Head]


class TapPublisher:
    """Publishes a bus's events on one endpoint. Its methods may be called on any thread."""

    def __init__(
        self,
        reactor: Reactor,
        endpoint: str,
        bus: EventBus,
        *,
        node: str,
        epoch: str,
        keys: ServerKeys | None = None,
        high_water: int = 20_000,
        buffer: int = 50_000,
        beat: float = 1.0,
    ) -> None:
        """Bind and publish what happens from now on.

        Args:
            reactor: Owns the socket and encodes.
            endpoint: Where to listen.
            bus: Where the events come from.
            node: The node's name, for `source`.
            epoch: Which run of the node this is.
            keys: CURVE keys; None where the endpoint's directory is the authority.
            high_water: Messages ZeroMQ holds for each reader; what exceeds it is lost to that reader.
            buffer: Events that may wait to be encoded.
            beat: Seconds between beats.

        Raises:
            EndpointError: The endpoint cannot be bound, or is open to others and there are no `keys`.
        """
        require_keys(endpoint, keys)
        self._reactor = reactor
        self._bus = bus
        self._node = node
        self._source = f"/{node}"
        self._epoch = epoch
        self._limit = buffer
        self._lock = bus.lock  # orders numbers, buffer and beats; held when `_on_event` is called
        self._heads: dict[tuple[str, str], Head] = {}
        self._counts: dict[str, int] = {}
        self._hash = 0
        self._last = bus.head
        self._moved: set[Head] = set()
        self._lately: deque[set[Head]] = deque(maxlen=_LATELY - 1)
        self._buffer: deque[_Waiting | Beat] = deque()
        self._is_draining = False
        self._prefixes: set[bytes] = set()
        self._wanted: tuple[bytes, ...] = ()
        self._seen = self._published = self._dropped = self._beats = self._forgotten = 0
        spec = SocketSpec(
            zmq.XPUB,
            bind=endpoint,
            name="taps",
            keys=keys,
            send_high_water=high_water,
            outbox=2 * buffer,  # never used up: XPUB takes everything at once
            full=Full.DROP,
            max_part_bytes=4096,
            verbose=True,
            heartbeat=10.0 if endpoint.startswith("tcp:") else 0.0,
        )
        self._socket = reactor.open(spec, self._on_message)
        self._subscription = bus.subscribe(self._on_event)
        self._timer = reactor.every(beat, self._beat)

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that was chosen."""
        return self._socket.endpoint

    def statistics(self) -> TapStatistics:
        """Return the counters."""
        with self._lock:  # a subscription that is counted is one that events are sent to
            self._settle(self._moved)
            subscriptions = len(self._prefixes)
        return TapStatistics(
            self._seen,
            self._published,
            self._dropped + self._socket.statistics().dropped,
            self._beats,
            len(self._heads),
            self._forgotten,
            subscriptions,
            len(self._buffer),
        )

    def snapshot(self, prefixes: tuple[bytes, ...]) -> TapSnapshot:
        """Return the newest event of each topic that begins with one of `prefixes`.

        Exact: who subscribed before, and passes over what is not newer than `seq`, misses nothing and gets nothing
        twice. A topic that was forgotten (`TOPICS_MAX`) is not in it.
        """
        with self._lock:
            seq = self._last
            heads = [(head.seq, head.count, head.event, head.born, head.topic) for head in self._heads.values()]
        heads = sorted([head for head in heads if head[4].startswith(prefixes)], key=itemgetter(0))
        return TapSnapshot(seq, self._epoch, tuple(partial(self._message, *head) for head in heads))

    def _message(self, seq: int, tseq: int, event: Event, born: int, topic: bytes) -> list[Any]:
        return message_of(topic, self._header(seq, tseq, event, born), body_of(event))

    def _header(self, seq: int, tseq: int, event: Event, born: int) -> TapHeader:
        return header_of(
            type_of(type(event)),
            node=self._node,
            epoch=self._epoch,
            at=event.at,
            path=event.path,
            seq=seq,
            tseq=tseq,
            born=born,
            severity=event.severity,
        )

    def close(self) -> None:
        """Publish what is in the buffer, then a last beat, and stop. Returns at once; idempotent."""
        self._subscription.cancel()
        self._timer.cancel()

        def closed() -> None:
            if not self._socket.is_closed:
                self._beat()
                while self._buffer:
                    self._hand_over(self._buffer.popleft())
                self._socket.close()

        self._reactor.post(closed)

    def _on_event(self, seq: int, event: Event) -> None:
        """Number the event, and keep it if it is wanted; on the publishing thread, which holds the lock."""
        self._last = seq
        head = self._heads.get((event.TOPIC, event.path))
        if head is None:
            head = self._new_head((event.TOPIC, event.path), seq, event)
        head.count += 1
        head.seq = seq
        head.event = event
        if not head.has_moved:
            head.has_moved = True
            self._moved.add(head)
        if head.judged is not self._wanted:
            head.judged = self._wanted
            head.is_wanted = head.topic.startswith(self._wanted)
        if not head.is_wanted:
            return
        if len(self._buffer) >= self._limit:
            self._dropped += 1
            return
        self._buffer.append((seq, head.count, event, head))
        if self._is_draining:
            return
        self._is_draining = True
        self._reactor.post(self._drain)

    def _new_head(self, key: tuple[str, str], seq: int, event: Event) -> Head:
        if len(self._heads) >= TOPICS_MAX:
            gone = self._heads.pop(next(iter(self._heads)))
            self._settle((gone,))
            for moved in (self._moved, *self._lately):  # or a beat would tell of the topic as it was
                moved.discard(gone)
            self._hash -= gone.weight * gone.count
            self._forgotten += 1
        head = self._heads[key] = Head(event, seq)
        return head

    def _settle(self, heads: Iterable[Head]) -> None:
        """Take what was counted on topics into the figures of all; with the lock held."""
        for head in heads:
            more = head.count - head.settled
            head.settled = head.count
            self._seen += more
            self._counts[head.kind] = self._counts.get(head.kind, 0) + more
            self._hash += head.weight * more

    # What follows runs on the reactor's thread.

    def _drain(self) -> None:
        buffer = self._buffer
        with self._lock:
            items = [buffer.popleft() for _ in range(min(_BURST, len(buffer)))]
            has_more = self._is_draining = bool(buffer)
        try:
            for item in items:
                self._hand_over(item)
        finally:
            self._socket.look()
            if has_more:
                self._reactor.post(self._drain)

    def _hand_over(self, item: _Waiting | Beat) -> None:
        if isinstance(item, Beat):
            self._publish_beat(item)
        else:
            self._publish(*item)

    def _publish(self, seq: int, tseq: int, event: Event, head: Head) -> None:
        epoch = self._epoch
        type_name, schema = names_of(type(event))
        header = TapHeader(
            f"{epoch}-{seq}",
            self._source,
            type_name,
            instant(event.at),
            event.path,
            seq,
            tseq,
            epoch,
            head.born,
            event.severity,
            schema,
        )
        self._send(head.topic, encode_header(header), encode_body(event))
        self._published += 1

    def _beat(self, *, everything: bool = False) -> None:
        """Put a beat behind the events that are waiting: it tells of them."""
        with self._lock:
            self._settle(self._moved)
            for head in self._moved:
                head.has_moved = everything
            if everything:
                moved: set[Head] = set(self._heads.values())
            else:
                moved = self._moved.union(*self._lately)
                self._lately.append(self._moved)
                self._moved = set()
            if not _BEAT_TOPIC.startswith(self._wanted):
                return
            heads = {head.topic.decode(): head.count for head in moved if head.topic.startswith(self._wanted)}
            self._buffer.append(
                Beat(time.time(), self._last, len(self._heads), self._hash % 2**64, dict(self._counts), heads)
            )
            if self._is_draining:
                return
            self._is_draining = True
        self._reactor.post(self._drain)

    def _publish_beat(self, beat: Beat) -> None:
        self._beats += 1
        number = self._beats
        body = {
            "at": beat.at,
            "path": "/",
            "head": beat.head,
            "topics": beat.topics,
            "hash": f"{beat.hash:016x}",
            "counts": beat.counts,
            "heads": dict(itertools.islice(beat.heads.items(), HEADS_MAX)),
            "left": max(0, len(beat.heads) - HEADS_MAX),
        }
        header = TapHeader(
            f"{self._epoch}-beat-{number}",
            f"/{self._node}",
            BEAT_TYPE,
            instant(beat.at),
            "/",
            beat.head,
            number,
            self._epoch,
        )
        self._send(_BEAT_TOPIC, encode_header(header), pack(body))

    def _on_message(self, socket: Socket, frames: list[bytes]) -> None:
        """Take note of a reader's subscription."""
        change = frames[0]
        prefix = change[1:]
        if change[:1] not in {b"\x00", b"\x01"}:
            return
        with self._lock:
            if change[:1] == b"\x01":
                self._prefixes.add(prefix)
            else:
                self._prefixes.discard(prefix)
            self._wanted = tuple(self._prefixes) if len(self._prefixes) <= SUBSCRIPTIONS_MAX else (b"",)
        if change[:1] == b"\x01" and _BEAT_TOPIC.startswith(prefix):
            self._beat(everything=True)  # its reader starts from here

    def _send(self, *frames: bytes) -> None:
        try:
            self._socket.send_here(frames, looks=False)
        except SocketClosedError:
            self._dropped += 1


__all__ = ["HEADS_MAX", "SUBSCRIPTIONS_MAX", "TOPICS_MAX", "TapPublisher", "TapSnapshot", "TapStatistics"]
