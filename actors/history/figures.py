"""The bounds of a feed, and the figures it gives of itself."""

from __future__ import annotations

from msgspec import Struct

from actors.history.protocol import BATCH_ROWS_LIMIT
from actors.history.spool import LIMIT_BYTES

MEBIBYTE = 1024 * 1024


class FeedLimits(Struct, frozen=True):
    """The bounds of a feed.

    Attributes:
        buffer_events: Events waiting to be made rows; beyond, the oldest are dropped.
        batch_rows: Rows of a batch at most.
        batch_bytes: Bytes of text of a batch at about most; one event may exceed it alone.
        interval: Seconds an event waits at most before it is shipped.
        unacknowledged_bytes: Bytes of batches in memory without an answer; beyond, they go to the spool.
        spool_bytes: Bytes of the spool file; beyond, batches are dropped.
        in_flight: Batches sent and not answered.
        answer_timeout: Seconds after which a batch is sent again.
        retry_after: Seconds until the next try after `send` raised.
        report_interval: Seconds between two reports of losses.
    """

    buffer_events: int = 65_536
    batch_rows: int = BATCH_ROWS_LIMIT
    batch_bytes: int = MEBIBYTE
    interval: float = 0.25
    unacknowledged_bytes: int = 16 * MEBIBYTE
    spool_bytes: int = LIMIT_BYTES
    in_flight: int = 4
    answer_timeout: float = 10.0
    retry_after: float = 1.0
    report_interval: float = 5.0


DEFAULT_LIMITS = FeedLimits()


class FeedStatistics(Struct, frozen=True):
    """A snapshot of a feed; counts are since its start.

    Attributes:
        events: Events made into rows.
        rows: Rows made.
        dropped_events: Events the buffer had no room for.
        lost_rows: Rows neither memory nor spool had room for.
        batches: Batches made.
        acknowledged_batches: Batches that are stored, those of earlier runs from the spool included.
        acknowledged_rows: Their rows.
        acknowledged_through: Every batch of this feed up to this number is stored.
        rejected_rows: Rows the recorder keeps as text because their table could not take them.
        refused: Answers that a batch could not be stored.
        resent: Batches sent more than once.
        waiting_events: Events in the buffer now.
        waiting_batches: Batches in memory without an answer.
        waiting_bytes: Their bytes.
        spool_bytes: Size of the spool file.
        problem: Why the last try to send or to store did not succeed; "" after a success.
    """

    events: int
    rows: int
    dropped_events: int
    lost_rows: int
    batches: int
    acknowledged_batches: int
    acknowledged_rows: int
    acknowledged_through: int
    rejected_rows: int
    refused: int
    resent: int
    waiting_events: int
    waiting_batches: int
    waiting_bytes: int
    spool_bytes: int
    problem: str
