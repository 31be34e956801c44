"""What a follower of taps has fetched already, and what a replay under way is wanted for; no input or output.

A `Floor` is what was fetched before: what the tap brings up to it is a duplicate. A `Fetch` is one replay: between
which numbers, and which of its events are wanted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from transport.taps import Gap, Restarted, TapEvent, topic_of


class Floor:
    """Everything of one run of a node up to a number was fetched; what the tap brings of it is dropped.

    Attributes:
        epoch: The run.
        seq: The number on the bus.
        shown: Topic -> its own number in a snapshot, where that is what was fetched.
    """

    def __init__(self, epoch: str, seq: int) -> None:
        self.epoch = epoch
        self.seq = seq
        self.shown: dict[str, int] = {}

    def covers(self, event: TapEvent) -> bool:
        """Whether `event` was fetched."""
        return event.header.epoch == self.epoch and event.header.seq <= self.seq

    def beyond(self, gap: Gap) -> Gap | None:
        """Return what of `gap` was not fetched; None where all of it was."""
        if gap.epoch != self.epoch or gap.after_seq >= self.seq:
            return gap
        if gap.through_seq <= self.seq:
            return None
        shown = self.shown.get(topic_name(gap), 0) - gap.after
        if gap.is_exact and shown > 0:
            if gap.missing <= shown:
                return None
            gap = replace(gap, missing=gap.missing - shown, after=gap.after + shown)
        return replace(gap, after_seq=self.seq)


class Hole:
    """A gap, and how many of its events were found."""

    __slots__ = ("found", "gap")

    def __init__(self, gap: Gap) -> None:
        self.gap = gap
        self.found = 0


class Fetch:
    """A replay: which numbers, what of it is wanted, and how far it has come. One of the three makes it:

    - `since`: everything from an instant on;
    - `holes`: what fills them;
    - `left`: what an earlier run did after it was heard last, and the present one before it was joined.

    Attributes:
        at: Run and number of the event that was replayed last; the next try goes on from there.
        through: Run and number of the last event wanted.
    """

    def __init__(
        self,
        after: tuple[str, int],
        through: tuple[str, int],
        *,
        since: datetime | None = None,
        holes: dict[str, list[Hole]] | None = None,
        left: Restarted | None = None,
    ) -> None:
        self.at = after
        self.through = through
        self.since = since
        self.holes = holes
        self.left = left

    @classmethod
    def of_gaps(cls, gaps: list[Gap]) -> Fetch:
        """Return the replay that fills `gaps`, all of one run; at least one."""
        holes: dict[str, list[Hole]] = {}
        for gap in gaps:
            holes.setdefault(topic_name(gap), []).append(Hole(gap))
        epoch = gaps[0].epoch
        return cls(
            (epoch, min(gap.after_seq for gap in gaps)), (epoch, max(gap.through_seq for gap in gaps)), holes=holes
        )

    @classmethod
    def of_restart(cls, restarted: Restarted, joined_at_seq: int) -> Fetch:
        """Return the replay from where the earlier run was read to where the present one was joined."""
        first = min([*restarted.read.values(), restarted.heard_seq])
        return cls((restarted.before, first), (restarted.now, joined_at_seq), left=restarted)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `replay` that say what is still wanted."""
        return {
            "since_at": None if self.since is None else self.since.isoformat(),
            "after_epoch": self.at[0],
            "after_seq": self.at[1],
            "through_epoch": self.through[0],
            "through_seq": self.through[1],
        }

    def wants(self, event: TapEvent) -> bool:
        """Whether a replayed event is wanted; counts it where it fills a hole, and as the last that was replayed."""
        epoch, seq = event.header.epoch, event.header.seq
        if (_number(epoch), seq) <= (_number(self.at[0]), self.at[1]):
            return False  # an earlier try had it
        self.at = (epoch, seq)
        topic = topic_name(event)
        if self.left is not None and epoch == self.left.before:
            return seq > self.left.read.get(topic, self.left.heard_seq)
        if self.holes is None:
            return True
        for hole in self.holes.get(topic, ()):
            if hole.gap.after_seq < seq <= hole.gap.through_seq:
                hole.found += 1
                return True
        return False

    @property
    def is_filled(self) -> bool:
        """Whether there were holes, and none is left."""
        return self.holes is not None and all(hole.found >= hole.gap.missing for hole in self._all_holes())

    def unfilled(self, why: str, path: str) -> list[Gap]:
        """Return what the replay did not bring.

        Args:
            why: Why it was not whole; "" where it was.
            path: What was asked about, for where nobody can say what is missing.
        """
        gaps = [
            replace(hole.gap, missing=hole.gap.missing - hole.found, why=why or "the history does not have them")
            for hole in self._all_holes()
            if hole.gap.missing > hole.found
        ]
        if self.holes is None and why:
            epoch, seq = self.at
            gaps.append(Gap("", path, 0, 0, 0, False, epoch, seq, self.through[1], why))
        return gaps

    def _all_holes(self) -> list[Hole]:
        return [hole for found in (self.holes or {}).values() for hole in found]


def topic_name(item: Gap | TapEvent) -> str:
    """Return the topic that `item` is about."""
    return topic_of(item.event_class, item.path).decode()


def _number(epoch: str) -> int:
    return int(epoch) if epoch.isdecimal() else 0
