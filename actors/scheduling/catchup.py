"""The turn of schedules that missed slots: how many are caught up at once, how quickly, and how many at all. Pure.

    hold --> held --its turn, oldest first--> admitted: its slots are worked off, by its own policy
               |--its next slot comes first--> that one is run in time, the missed ones are merged into it
               +--more than `most` in all----> given up: its missed slots are not run

Of too many, those of the lowest priority are given up first, and of equal ones those whose next slot comes soonest:
what they missed is soonest made up for. A held schedule has nothing on disk yet, so one that the end of the runtime
finds held is found late again by the next one. Not thread-safe; time is passed in.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from actors.policies.ratelimit import RateLimit, full, take, wait

GIVEN_UP_AT_ONCE = 500
"""Schedules whose missed slots are settled unrun in one look, which is not to take long."""


class CatchUpRule(Struct, frozen=True):
    """How missed slots of all schedules together are caught up.

    Attributes:
        at_once: Most of their runs under way at a time; 1 or more.
        rate: How many schedules begin to catch up in a time.
        most: Most runs of one absence; 0 or more.

    Raises:
        ValueError: A number is out of its range.
    """

    at_once: int = 16
    rate: RateLimit = RateLimit(20, 1.0)
    most: int = 1_000

    def __post_init__(self) -> None:
        if self.at_once < 1 or self.most < 0:
            raise ValueError(f"at_once is 1 or more and most 0 or more, got {self.at_once} and {self.most}")


class Held(Struct, frozen=True):
    """A schedule that missed slots and waits for its turn.

    Attributes:
        rank: Its place by priority; lower goes first.
        first: Wall instant of the first slot it missed.
        next_in: Seconds until its next slot, from when it was held.
        next_mono: Monotonic instant of that slot, from which it waits no longer; infinite where it does.
        runs: Most runs it may come to.
    """

    id: str
    rank: int
    first: float
    next_in: float
    next_mono: float
    runs: int


Told = tuple[str, str]
"""What there is to tell about the catching up: `catching-up`, `given-up` or `caught-up`, and a line."""


class CatchUp:
    """Who catches up, and who waits.

    Attributes:
        rule: The bounds.
        held: Schedules that wait for their turn, by id.
        running: Schedules whose turn it is, until their late runs have ended, and the most runs each may come to.
        given_up: Schedules whose missed slots are not run, until those are written.
        begun: Runs of this absence, as far as they were admitted.
        dropped: Schedules given up since the start.
        told: What is to be told, until somebody empties it.
    """

    def __init__(self, rule: CatchUpRule | None = None) -> None:
        self.rule = rule if rule is not None else CatchUpRule()
        self.held: dict[str, Held] = {}
        self.running: dict[str, int] = {}
        self.given_up: set[str] = set()
        self.begun = 0
        self.dropped = 0
        self.told: list[Told] = []
        self._bucket = full(self.rule.rate, 0.0)
        self._turns: list[tuple[int, float, str]] = []
        self._times: list[tuple[float, str]] = []
        self._is_told = False

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits, catches up or is given up, or there is something to tell about that."""
        return bool(self.held or self.running or self.given_up or self._is_told)

    def hold(self, late: Iterable[Held]) -> None:
        """Let schedules wait for their turn; give up those that are too many."""
        if not self.held and not self.running:
            self.begun = 0
        for held in late:
            self.held[held.id] = held
            heapq.heappush(self._turns, _turn(held))
            if held.next_mono < math.inf:
                heapq.heappush(self._times, (held.next_mono, held.id))
        room = self.rule.most - self.begun
        if sum(held.runs for held in self.held.values()) <= room:
            return
        dropped = 0
        for held in sorted(self.held.values(), key=lambda held: (held.rank, -held.next_in, held.id)):
            runs = min(held.runs, room)
            room -= runs
            if not runs:
                del self.held[held.id]
                self.given_up.add(held.id)
                dropped += 1
            elif runs < held.runs:
                self.held[held.id] = replace(held, runs=runs)
        self.dropped += dropped
        if dropped:
            why = f"more than the {self.rule.most} runs that are caught up at most"
            self.told.append(("given-up", f"what {dropped} schedules missed is not run: {why}"))

    def admit(self, mono: float, live: int) -> list[Held]:
        """Return those whose turn it is now, in order; `live` late runs are under way."""
        admitted: list[Held] = []
        while self._has_turns() and live + len(admitted) < self.rule.at_once:
            self._bucket, may = take(self.rule.rate, self._bucket, mono)
            if not may:
                break
            held = self.held.pop(heapq.heappop(self._turns)[2])
            self.running[held.id] = held.runs
            self.begun += held.runs
            admitted.append(held)
        if self.held and not self._is_told:
            self._is_told = True
            bounds = f"{self.rule.at_once} at once, {self.rule.rate}"
            self.told.append(("catching-up", f"{len(self.held)} schedules wait for their turn: {bounds}"))
        return admitted

    def in_time(self, mono: float) -> list[str]:
        """Return the held schedules whose next slot has come; they wait no longer."""
        found = []
        while self._times and self._times[0][0] <= mono:
            at, id = heapq.heappop(self._times)
            held = self.held.get(id)
            if held is not None and held.next_mono == at:
                del self.held[id]
                found.append(id)
        return found

    def ended(self, id: str) -> None:
        """The late runs of a schedule have ended, or what it missed is written, or it is there no more."""
        self.held.pop(id, None)
        self.running.pop(id, None)
        self.given_up.discard(id)

    def next_given_up(self) -> tuple[str, ...]:
        """Return some of the schedules that are given up: what they missed is settled a part at a time."""
        return tuple(islice(self.given_up, GIVEN_UP_AT_ONCE))

    def settle(self) -> None:
        """Say so, once nobody waits and nobody catches up any more."""
        if self._is_over:
            self._is_told = False
            self.told.append(("caught-up", f"{self.begun} runs made up for what was missed"))

    def wait(self, mono: float, live: int) -> float | None:
        """Return the seconds until somebody's turn comes by time alone, None where it does not."""
        if self.given_up or self._is_over:
            return 0.0
        waits = []
        if self._has_turns() and live < self.rule.at_once:
            bucket, may = take(self.rule.rate, self._bucket, mono)
            waits.append(0.0 if may else wait(self.rule.rate, bucket))
        while self._times and self._times[0][1] not in self.held:
            heapq.heappop(self._times)
        if self._times:
            waits.append(max(0.0, self._times[0][0] - mono))
        return min(waits, default=None)

    def places(self) -> dict[str, int]:
        """Return how many wait before each held schedule."""
        ordered = sorted(self.held.values(), key=_turn)
        return {held.id: number for number, held in enumerate(ordered)}

    @property
    def _is_over(self) -> bool:
        return self._is_told and not self.held and not self.running

    def _has_turns(self) -> bool:
        turns, held = self._turns, self.held
        while turns and (turns[0][2] not in held or _turn(held[turns[0][2]]) != turns[0]):
            heapq.heappop(turns)
        return bool(turns)


def _turn(held: Held) -> tuple[int, float, str]:
    return held.rank, held.first, held.id
