"""What a node answers about its taps: how a snapshot and a replay ended, and who reads."""

from __future__ import annotations

from supervisors.views.base import Instant, View


class SnapshotView(View, frozen=True, gc=False):
    """The last answer to `snapshot`, whose parts held the newest event of each topic.

    Attributes:
        epoch: The run of the node.
        seq: What is newer has a greater number: drop what a tap has brought that is not.
        events: How many events the parts held.
    """

    epoch: str
    seq: int
    events: int


class ReplayView(View, frozen=True, gc=False):
    """The last answer to `replay`, whose parts held the events in their order.

    Attributes:
        events: How many events the parts held.
        is_stored: Whether the history had taken in everything that had happened when it was asked.
        lost: Rows that the history says it lost in that time, of whatever topic.
    """

    events: int
    is_stored: bool = True
    lost: int = 0


class TapReaderView(View, frozen=True, gc=False):
    """One reader of the taps, by its own reports: a publisher cannot know what becomes of what it sends.

    Attributes:
        reader: Its name for itself.
        caller: Who it was found to be.
        joined_at: Its first report.
        reported_at: Its newest one.
        mode: `live`, `lossless` or `replay`.
        path: What it reads: about this path and what lies below it,
        classes: of these classes; none is all.
        read: Events it has read.
        replayed: How many of them came from the history.
        missed: Events that did not reach it over the tap.
        unfilled: How many of those the history could not give it either.
        behind: Events on the node's bus since the newest it had heard of when it reported.
        lag: Seconds between what it read last and its report; 0 where nothing waited to be read.
    """

    reader: str
    caller: str
    joined_at: Instant
    reported_at: Instant
    mode: str = "live"
    path: str = "/"
    classes: tuple[str, ...] = ()
    read: int = 0
    replayed: int = 0
    missed: int = 0
    unfilled: int = 0
    behind: int = 0
    lag: float = 0.0


class TapsView(View, frozen=True):
    """Answer to `taps`: the readers that report, and what the publisher itself counts.

    Attributes:
        items: Readers, the one that reported last first.
        seen: Events published on the bus.
        published: Events handed to ZeroMQ because somebody had subscribed to them.
        dropped: Events the publisher itself had no room for.
        topics: Topics there are.
        subscriptions: Prefixes subscribed to now, by whichever readers, reporting or not.
    """

    items: tuple[TapReaderView, ...] = ()
    seen: int = 0
    published: int = 0
    dropped: int = 0
    topics: int = 0
    subscriptions: int = 0


class ReportedView(View, frozen=True, gc=False):
    """Answer to `tap-report`: taken; `head` is the newest number there is."""

    head: int = 0
