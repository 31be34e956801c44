"""Which schedules missed slots, as far as those are to be caught up, and how what they missed is worked off. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec.structs import replace

from actors.scheduling import core
from actors.scheduling.backlog import GRACE
from actors.scheduling.catchup import Held
from actors.scheduling.plans import Every, Missed, MissedPolicy
from actors.scheduling.states import Effect, Ended, Entry, Looked, Now, Run, Settle

Item = tuple[float, int, str]
"""An instant, a number, and the schedule that it is about."""
GIVEN_UP = "of all schedules together more were missed than are caught up"


def is_past(entry: Entry, now: Now) -> bool:
    """Whether its next slot has come."""
    if entry.due_at is None:
        return False
    return entry.due_mono <= now.mono if type(entry.plan.when) is Every else entry.fire_at <= now.wall


def unrun(entry: Entry, run: Run, now: Now) -> Ended | None:
    """Return the end of a slot whose claim came onto the disk long after its instant; None where it is run still.

    It is a missed slot like any other: only `once` without a later one, and `all`, run it.
    """
    rule = entry.plan.schedule.missed
    outcome, why = "", ""
    if now.wall - run.slot_at > rule.window:
        outcome, why = "missed", f"older than the window of {rule.window:g} s"
    elif rule.policy is MissedPolicy.SKIP:
        outcome, why = "missed", "missed slots are skipped"
    elif rule.policy is MissedPolicy.ONCE and is_past(entry, now):
        outcome, why = "merged", "merged into a later slot"
    if not outcome:
        return None
    return Ended(run.slot_at, run.round, outcome, f"the clock was past it when its claim was on disk; {why}")


def any_late(wall: list[Item], mono: list[Item], soon: Iterable[float], now: Now) -> bool:
    """Whether, of what comes by each clock and of the instants `soon`, the first lies back further than on time is."""
    if (wall and wall[0][0] < now.wall - GRACE) or (mono and mono[0][0] < now.mono - GRACE):
        return True
    return min(soon, default=math.inf) < now.wall - GRACE


def late(id: str, entry: Entry, now: Now) -> Held | None:
    """Return what a schedule that missed slots has to catch up, None where it has nothing.

    One slot that is late by less than `GRACE` is on time. Where missed slots are skipped, or nothing can run, there is
    nothing to catch up.
    """
    plan, first = entry.plan, entry.due_at
    rule = plan.schedule.missed
    if first is None or rule.policy is MissedPolicy.SKIP or entry.away_since is not None or entry.disabled:
        return None
    most = rule.most if rule.policy is MissedPolicy.ALL else 1
    if type(plan.when) is Every:
        behind = now.mono - entry.due_mono
        if behind <= GRACE:
            return None
        every = plan.when.seconds
        runs = min(most, int(behind // every) + 1)
        next_in = every - behind % every
        first = now.wall - behind
    else:
        if now.wall - entry.fire_at <= GRACE:
            return None
        runs, at = 1, plan.after(first)
        while runs < most and at is not None and plan.fire_at(at) <= now.wall:
            runs, at = runs + 1, plan.after(at)
        following = plan.after(now.wall)
        next_in = plan.fire_at(following) - now.wall if following is not None else math.inf
    waits_for_it = rule.policy is MissedPolicy.ALL  # all of its slots are run in their order
    return Held(id, plan.rank, first, next_in, math.inf if waits_for_it else now.mono + next_in, runs)


def work_off(entry: Entry, now: Now, most: int) -> tuple[Entry, list[Effect]]:
    """Return what `core.step` makes of a look at the clocks where at most `most` of the missed slots are run."""
    rule = entry.plan.schedule.missed
    if most >= (rule.most if rule.policy is MissedPolicy.ALL else 1):
        return core.step(entry, Looked(), now)
    policy, most = (MissedPolicy.ALL, most) if most else (MissedPolicy.SKIP, rule.most)
    missed = Missed(policy, rule.window, most)
    plan = replace(entry.plan, schedule=replace(entry.plan.schedule, missed=missed))
    after, effects = core.step(replace(entry, plan=plan), Looked(), now)
    return replace(after, plan=entry.plan), [_given_up(effect) for effect in effects]


def _given_up(effect: Effect) -> Effect:
    if isinstance(effect, Settle) and effect.state == "missed" and "older than the window" not in effect.why:
        return replace(effect, why=f"the clock was past it; {GIVEN_UP}")
    return effect
