"""Which actors are stuck in a handler, and whose mailbox grows. Pure: figures in, findings out, each told once.

An actor is *stuck* when one message has been in its hands longer than allowed, *growing* when more messages wait than
allowed and more than at each of the two looks before. Either ends with *recovered*.
"""

from __future__ import annotations

from enum import Enum
from itertools import pairwise
from typing import Final

from msgspec import Struct

_HISTORY: Final = 3


class Figures(Struct, frozen=True, gc=False):
    """What is looked at of one actor.

    Attributes:
        handling: The message type in hand, or "".
        since: Monotonic instant at which that began; of no meaning without `handling`.
        at: Monotonic instant these figures are of: now, or when a process last told them.
    """

    path: str
    generation: int
    depth: int
    handling: str
    since: float
    at: float


class Limits(Struct, frozen=True):
    """`stuck_after` seconds with one message; `mailbox` messages waiting."""

    stuck_after: float
    mailbox: int


class Verdict(Enum):
    STUCK = "stuck"
    GROWING = "growing"
    RECOVERED = "recovered"


class Finding(Struct, frozen=True):
    """Something to tell: `detail` in words."""

    path: str
    generation: int
    verdict: Verdict
    detail: str


class Memory(Struct, frozen=True):
    """What the looks so far leave behind of one actor.

    Attributes:
        depths: Depths at the last looks, oldest first.
        stuck_since: The `since` it was last called stuck for, or None.
    """

    generation: int
    depths: tuple[int, ...] = ()
    stuck_since: float | None = None
    growing: bool = False


def judge(
    memories: dict[str, Memory], figures: tuple[Figures, ...], limits: Limits
) -> tuple[dict[str, Memory], tuple[Finding, ...]]:
    """Return what to remember and what to tell after a look at `figures`.

    Actors that are no longer there, and those of a new generation, begin without a past.
    """
    remembered: dict[str, Memory] = {}
    findings: list[Finding] = []
    for actor in figures:
        memory = memories.get(actor.path)
        if memory is None or memory.generation != actor.generation:
            memory = Memory(actor.generation)
        remembered[actor.path] = _judge_one(memory, actor, limits, findings)
    return remembered, tuple(findings)


def _judge_one(memory: Memory, actor: Figures, limits: Limits, findings: list[Finding]) -> Memory:
    held = actor.at - actor.since
    depths = (*memory.depths, actor.depth)[-_HISTORY:]
    is_stuck = bool(actor.handling) and held > limits.stuck_after
    over = actor.depth > limits.mailbox
    rising = len(depths) == _HISTORY and all(a < b for a, b in pairwise(depths))
    is_growing = over and (memory.growing or rising)
    was_troubled = memory.stuck_since is not None or memory.growing

    def find(verdict: Verdict, detail: str) -> None:
        findings.append(Finding(actor.path, actor.generation, verdict, detail))

    if is_stuck and memory.stuck_since != actor.since:
        find(Verdict.STUCK, f"handling {actor.handling} for {held:.0f} s, {actor.depth} messages wait")
    if is_growing and not memory.growing:
        find(Verdict.GROWING, f"{actor.depth} messages wait, {depths[0]} two looks ago")
    if was_troubled and not is_stuck and not is_growing:
        find(Verdict.RECOVERED, f"{actor.depth} messages wait")
    return Memory(actor.generation, depths, actor.since if is_stuck else None, is_growing)
