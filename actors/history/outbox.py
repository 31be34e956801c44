"""What a feed has not seen acknowledged yet: bounded in memory, then in a spool file, then counted as lost.

    put ── memory (bytes bounded) ──── due ── sent ── settled: gone
      └─── spool (file, bounded) ──┘                 └─ refused, or no answer in time: due again
      └─── lost (counted; its number is given to the next batch)

Numbers are given without gaps, so a gap at the recorder is a real loss there. The outbox has no clock and no thread: it
belongs to the feed's own thread, and time is an argument. While the spool holds something, new batches queue behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from actors.history.protocol import Outcome, Store, Stored
from actors.history.spool import Spool

Key = tuple[str, int]


class Entry(Struct):
    """One batch in memory: `frame` names it in the spool (0: it is not there), `sent_at` is monotonic."""

    batch: Store
    frame: int
    sent_at: float | None = None
    not_before: float = 0.0

    @property
    def size(self) -> int:
        return len(self.batch.rows) + _OVERHEAD


_OVERHEAD = 200
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Store)


class Outbox:
    """Batches on their way to the recorder.

    Args:
        source: Who numbers the batches made here.
        spool: Where they go when memory is full; None: nowhere.
        memory_bytes: Most bytes kept in memory, the batches in flight included.
        in_flight: Batches sent and not answered yet, at most.
        answer_timeout: Seconds after which an unanswered batch is sent again.

    Attributes:
        lost_rows: Rows there was no room for, since the start.
        resent: Batches sent again.
    """

    def __init__(
        self, source: str, spool: Spool | None, *, memory_bytes: int, in_flight: int, answer_timeout: float
    ) -> None:
        self.source = source
        self.lost_rows = 0
        self.resent = 0
        self._spool = spool
        self._memory_bytes = memory_bytes
        self._in_flight = in_flight
        self._answer_timeout = answer_timeout
        self._entries: dict[Key, Entry] = {}
        self._bytes = 0
        self._number = 0
        self._unstored: dict[int, None] = {}  # numbers of `source` without an answer, in order, spooled ones too
        self._paused_until = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether everything that was put is stored."""
        return not self._entries and (self._spool is None or self._spool.unread_bytes == 0)

    @property
    def waiting_batches(self) -> int:
        """Batches in memory."""
        return len(self._entries)

    @property
    def waiting_bytes(self) -> int:
        """Bytes in memory."""
        return self._bytes

    @property
    def batches_made(self) -> int:
        """Batches numbered so far."""
        return self._number

    @property
    def acknowledged_through(self) -> int:
        """Every batch of `source` up to this number is stored."""
        return next(iter(self._unstored), self._number + 1) - 1

    def put(self, rows: bytes, count: int) -> None:
        """Number a batch of `count` rows and keep it until it is stored."""
        number = self._number + 1
        batch = Store(self.source, number, rows, count, self.acknowledged_through)
        spool = self._spool
        queues_behind = spool is not None and spool.unread_bytes > 0
        if not queues_behind and self._bytes + len(rows) + _OVERHEAD <= self._memory_bytes:
            self._keep(Entry(batch, 0))
        elif spool is None or not spool.append(_encoder.encode(batch)):
            self.lost_rows += count
            return
        self._number = number
        self._unstored[number] = None

    def due(self, now: float) -> list[Store]:
        """Return the batches to send at `now` (monotonic), oldest first; they count as sent."""
        self._refill()
        if now < self._paused_until:
            return []
        batches: list[Store] = []
        for entry, _ in zip(self._entries.values(), range(self._in_flight), strict=False):
            if now < entry.not_before:
                continue
            if entry.sent_at is not None:
                if now < entry.sent_at + self._answer_timeout:
                    continue
                self.resent += 1
            entry.sent_at = now
            batch = entry.batch
            if batch.source == self.source:
                through = self.acknowledged_through
                batch = Store(batch.source, batch.batch, batch.rows, batch.count, through)
            batches.append(batch)
        return batches

    def next_due_in(self, now: float) -> float | None:
        """Return the seconds from `now` until `due` may have something; None when nothing waits."""
        if not self._entries:
            return None
        at = min(
            max(
                entry.not_before,
                entry.sent_at + self._answer_timeout if entry.sent_at is not None else now,
                self._paused_until,
            )
            for entry, _ in zip(self._entries.values(), range(self._in_flight), strict=False)
        )
        return max(0.0, at - now)

    def settle(self, answer: Stored, now: float) -> int:
        """Take an answer; return the rows that are stored by it (0 for a refusal, or an answer that came before)."""
        key = (answer.source, answer.batch)
        entry = self._entries.get(key)
        if entry is None:
            return 0
        if answer.outcome is Outcome.REFUSED:
            entry.sent_at = None
            entry.not_before = now + answer.retry_after
            return 0
        del self._entries[key]
        self._bytes -= entry.size
        if entry.frame and self._spool is not None:
            self._spool.release(entry.frame)
        if answer.source == self.source:
            self._unstored.pop(answer.batch, None)
        return entry.batch.count

    def send_again(self) -> None:
        """Make everything sent and unanswered due at once: there is a new recorder."""
        self._paused_until = 0.0
        for entry in self._entries.values():
            entry.not_before = 0.0
            if entry.sent_at is not None:
                entry.sent_at = None
                self.resent += 1

    def not_sent(self, batches: Sequence[Store], until: float) -> None:
        """Say that `batches`, just due, could not be sent; nothing is sent before `until` (monotonic)."""
        self._paused_until = until
        for batch in batches:
            entry = self._entries.get((batch.source, batch.batch))
            if entry is not None:
                entry.sent_at = None

    def spill(self) -> None:
        """Write what memory holds and the spool does not to the spool, and forget memory: the feed ends."""
        for entry in self._entries.values():
            if entry.frame == 0 and (self._spool is None or not self._spool.append(_encoder.encode(entry.batch))):
                self.lost_rows += entry.batch.count
        self._entries.clear()
        self._bytes = 0

    def _refill(self) -> None:
        """Bring spooled batches to memory while it is less than half full."""
        spool = self._spool
        while spool is not None and spool.unread_bytes and self._bytes < self._memory_bytes // 2:
            frame = spool.read_next()
            if frame is None:  # damaged from here on: nobody waits for what it held
                kept = {batch for source, batch in self._entries if source == self.source}
                self._unstored = {number: None for number in self._unstored if number in kept}
                return
            try:
                batch = _decoder.decode(frame.payload)
            except msgspec.DecodeError:
                spool.damaged_bytes += len(frame.payload)
                spool.release(frame.number)
                continue
            self._keep(Entry(batch, frame.number))

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.batch.source, entry.batch.batch] = entry
        self._bytes += entry.size
