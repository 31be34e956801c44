"""Which slots have come since the last look at the clock, and what their policy makes of those that came late. Pure.

    slots found past --> outside the window: missed --> the rest: merged, missed or run --> those to run, oldest first

Every slot found ends up in exactly one place: in a `Span` (merged into another one, or missed), or among those to run.
A long sleep is worked off in pieces of at most `PIECE` slots, so that one look at the clock is never long.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from actors.scheduling.plans import Every, MissedPolicy, Plan, stamp

PIECE: Final = 2_000
"""Most slots that one look works off; above the most that `Missed.most` can be."""
GRACE: Final = 60.0
"""Seconds of delay that count as on time where missed slots are skipped."""


class Span(Struct, frozen=True):
    """`count` slots in a row, from `first` to `last`, that share an end: `missed` or `merged`."""

    first: float
    last: float
    count: int
    state: str
    why: str


class Due(Struct, frozen=True):
    """What a look found.

    Attributes:
        spans: Slots that are not run, ascending.
        run: Slots that are, ascending.
        following: The next slot, None for none.
        mono: Its monotonic instant, for intervals.
    """

    spans: tuple[Span, ...]
    run: tuple[float, ...]
    following: float | None
    mono: float = 0.0


def cron_due(plan: Plan, first: float, wall: float) -> Due:
    """Return what has come of a cron or one-shot schedule whose next slot was `first`, at or before `wall`."""
    following = plan.after(first)
    if (following is None or plan.fire_at(following) > wall) and wall - first <= GRACE:
        return Due((), (first,), following)  # the usual case
    slots = [first]
    while following is not None and plan.fire_at(following) <= wall and len(slots) < PIECE:
        slots.append(following)
        following = plan.after(following)
    is_piece = following is not None and plan.fire_at(following) <= wall
    spans, run, kept = _sort(plan, slots, wall, is_piece)
    return Due(spans, run, kept if kept is not None else following)


def interval_due(plan: Plan, due_mono: float, last_slot: float, wall: float, mono: float) -> Due:
    """Return what has come of an interval whose next slot was at the monotonic `due_mono`, at or before `mono`.

    Args:
        plan: The schedule; its slots' instants are what the wall clock showed then.
        due_mono: When the next slot was due.
        last_slot: Instant of its last slot; a new one is always later, whatever became of the wall clock.
        wall, mono: The clocks.
    """
    assert isinstance(plan.when, Every)
    every = plan.when.seconds
    count = int((mono - due_mono) // every) + 1
    is_piece = count > PIECE
    if is_piece:
        count = PIECE
    slots = []
    for number in range(count):
        slot = round(wall - mono + due_mono + number * every, 6)
        if slot <= last_slot:  # the wall clock was set back
            slot = round(last_slot + 1e-6, 6)
        last_slot = slot
        slots.append(slot)
    mono_next = due_mono + count * every
    slots = [slot for slot in slots if not plan.allows(slot)]
    if not slots:
        return Due((), (), *_allowed(plan, wall - mono + mono_next, mono_next))
    spans, run, kept = _sort(plan, slots, wall, is_piece)
    if kept is not None:
        mono_next -= every * sum(slot >= kept for slot in slots)
    return Due(spans, run, *_allowed(plan, wall - mono + mono_next, mono_next))


def _allowed(plan: Plan, slot: float, mono: float) -> tuple[float | None, float]:
    """Return the first slot from `slot` on that the plan allows, keeping the rhythm, and its monotonic instant."""
    assert isinstance(plan.when, Every)
    every = plan.when.seconds
    while until := plan.allows(slot):
        if until == math.inf:
            return None, 0.0
        steps = max(1, math.ceil((until - slot) / every))
        slot += steps * every
        mono += steps * every
    return round(slot, 6), mono


def first_interval(plan: Plan, due: float, wall: float, mono: float) -> tuple[float | None, float]:
    """Return the first slot from the wall instant `due` on that an interval has, and its monotonic instant."""
    return _allowed(plan, due, mono + due - wall)


def _sort(
    plan: Plan, slots: list[float], wall: float, is_piece: bool
) -> tuple[tuple[Span, ...], tuple[float, ...], float | None]:
    """Return the spans, the slots to run, and the first of those left for the next piece, None where none are left."""
    rule = plan.schedule.missed
    old = 0
    while old < len(slots) and wall - slots[old] > rule.window:
        old += 1
    spans = [_span(slots[:old], "missed", f"older than the window of {rule.window:g} s")] if old else []
    rest = slots[old:]
    if not rest:
        return tuple(spans), (), None
    if is_piece:
        keep = rule.most if rule.policy is MissedPolicy.ALL else 0
        settled, left = rest[: max(len(rest) - keep, 0)], rest[max(len(rest) - keep, 0) :]
        if settled:
            spans.append(_late(rule.policy, settled, rule.most, None))
        return tuple(spans), (), left[0] if left else None
    match rule.policy:
        case MissedPolicy.ONCE:
            run = 1
        case MissedPolicy.ALL:
            run = rule.most
        case MissedPolicy.SKIP:
            run = int(wall - rest[-1] <= GRACE)
    settled, running = rest[: max(len(rest) - run, 0)], rest[max(len(rest) - run, 0) :]
    if settled:
        spans.append(_late(rule.policy, settled, rule.most, running[-1] if running else None))
    return tuple(spans), tuple(running), None


def _late(policy: MissedPolicy, slots: list[float], most: int, into: float | None) -> Span:
    match policy:
        case MissedPolicy.ONCE:
            return _span(slots, "merged", f"merged into {stamp(into)}" if into else "merged into a later slot")
        case MissedPolicy.ALL:
            return _span(slots, "missed", f"only the latest {most} missed slots are run")
        case MissedPolicy.SKIP:
            return _span(slots, "missed", "missed slots are skipped")


def _span(slots: list[float], state: str, why: str) -> Span:
    return Span(slots[0], slots[-1], len(slots), state, f"the clock was past it; {why}")
