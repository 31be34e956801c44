"""The rules of one schedule: which slot begins, waits, is refused, merged or missed, and what follows a run. Pure.

    step(entry, event, now) -> (entry, effects)

                 +-- refused ------------------------------> skipped
    slot due ----+-- Begin --> running --+-- succeeded, cancelled, failed for good --> that
                 |      ^         ^      +-- failed, tried again --> retrying --(delay)--> running
                 +-- waiting -----+ (its turn)
                 +-- found late, not run ------------------> merged, missed

A slot is (schedule, scheduled instant, round); the round tells runs of the same instant apart (a backfill). Each slot
comes to exactly one end, and every end is an effect. What is under way is `Entry.live`, which only `Ended` and
`Barred` make shorter: there is no running flag that could stick.

While a run waits for its retry it counts as under way, so under `skip` a retry wins over the next slot.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from actors.policies import retry as retries
from actors.policies.overlap import Delay, Overlap, Policy, Queue, Refuse, Replace, Start, decide
from actors.policies.retry import Again
from actors.scheduling.backlog import Due, cron_due, first_interval, interval_due
from actors.scheduling.differences import differences, timing_of
from actors.scheduling.plans import Every, Plan, stamp
from actors.scheduling.states import (
    NEVER,
    Barred,
    Begin,
    Came,
    Cancelled,
    Changed,
    Effect,
    Ended,
    Entry,
    Event,
    Hold,
    Keep,
    Looked,
    Now,
    Paused,
    Resumed,
    Run,
    Settle,
    Step,
    Stop,
    Tell,
    Wanted,
    Went,
)


def step(entry: Entry, event: Event, now: Now) -> Step:
    """Return the entry after `event` and what is to be done, in order."""
    effects: list[Effect] = []
    match event:
        case Looked():
            entry = _looked(entry, now, effects)
        case Ended():
            entry = _ended(entry, event, now, effects)
        case Barred(run, why):
            entry = _barred(entry, run, why, now, effects)
        case Wanted(runs, overlap):
            for run in runs:
                entry = _meet(entry, run, now, effects, overlap, is_late=run.kind == "backfill")
            entry = _drained(entry, now, effects)
        case Paused(note, by):
            if entry.standing.paused is None:
                entry = _pause(entry, note, by, effects)
        case Resumed():
            if entry.standing.paused is not None:
                standing = replace(entry.standing, paused=None, paused_by="", since=now.wall, failures=0)
                entry = scheduled(replace(entry, standing=standing, streak=0), now, now.wall)
                effects += [Keep(standing), Tell("resumed", "")]
        case Cancelled(why):
            entry = _cancel_all(entry, why, effects)
        case Changed(plan):
            entry = _changed(entry, plan, now, effects)
        case Went():
            for run in entry.live:
                entry = _ended(
                    entry, Ended(run.slot_at, run.round, "failed", "the actor ended during the run"), now, effects
                )
            entry = replace(entry, away_since=now.mono)
        case Came():
            entry = replace(entry, away_since=None)
        case _:
            assert_never(event)
    return entry, effects


def why_not_now(entry: Entry, overlap: Overlap | None = None) -> str:
    """Return why a run asked for by hand would not begin, nor wait its turn; "" where it would."""
    if entry.disabled:
        return entry.disabled
    if entry.away_since is not None:
        return "not running"
    rule = overlap or entry.plan.schedule.overlap
    decision = decide(rule, len(entry.live), len(entry.waiting), entry.streak)
    if isinstance(decision, Refuse):
        since = f", of {stamp(entry.live[0].slot_at)}" if entry.live else ""
        return f"{decision.why}{since}"
    return ""


def scheduled(entry: Entry, now: Now, cursor: float) -> Entry:
    """Return `entry` with its first slot after the wall instant `cursor`; without one where it is not in force."""
    standing, plan = entry.standing, entry.plan
    if standing.paused is not None or standing.ended or entry.disabled:
        return replace(entry, due_at=None, fire_at=NEVER, due_mono=NEVER)
    if isinstance(plan.when, Every):
        seconds = plan.when.seconds
        due = min(cursor + seconds, now.wall + seconds)  # a clock set back must not make it wait
        if plan.schedule.start_at > now.wall:
            due = plan.schedule.start_at
        due_at, due_mono = first_interval(plan, due, now.wall, now.mono)
        return replace(entry, due_at=due_at, due_mono=due_mono if due_at is not None else NEVER)
    due_at = plan.after(cursor)
    return replace(entry, due_at=due_at, fire_at=plan.fire_at(due_at) if due_at is not None else NEVER)


# -- slots ----------------------------------------------------------------------------------------------


def _looked(entry: Entry, now: Now, effects: list[Effect]) -> Entry:
    if entry.waiting or entry.live:
        entry = _timers(entry, now, effects)
    if entry.due_at is None:
        return entry
    plan = entry.plan
    if type(plan.when) is Every:
        if entry.due_mono > now.mono:
            return entry
        due = interval_due(plan, entry.due_mono, entry.last_slot, now.wall, now.mono)
    else:
        if entry.fire_at > now.wall:
            return entry
        due = cron_due(plan, entry.due_at, now.wall)
    return _worked_off(entry, due, now, effects)


def _worked_off(entry: Entry, due: Due, now: Now, effects: list[Effect]) -> Entry:
    plan, following = entry.plan, due.following
    last = due.run[-1] if due.run else due.spans[-1].last if due.spans else entry.last_slot
    for span in due.spans:
        effects.append(Settle(Run(span.first), span.state, span.why, 0.0, span.last, span.count))
    if type(plan.when) is Every:
        entry = replace(entry, due_at=following, due_mono=due.mono if following is not None else NEVER, last_slot=last)
    else:
        fire_at = NEVER if following is None else plan.fire_at(following)
        entry = replace(entry, due_at=following, fire_at=fire_at, last_slot=last)
    is_late = len(due.run) > 1
    for slot_at in due.run:
        if entry.standing.ended:
            effects.append(Settle(Run(slot_at), "skipped", entry.standing.ended))
            continue
        entry = _meet(entry, Run(slot_at), now, effects, None, is_late)
    if is_late:
        entry = _drained(entry, now, effects)
    if following is None and not entry.standing.ended:
        entry = _finish(entry, "no further slot", effects)
    return entry


def _meet(entry: Entry, run: Run, now: Now, effects: list[Effect], overlap: Overlap | None, is_late: bool) -> Entry:
    """Begin `run`, let it wait, or refuse it; one that `is_late` waits its turn whatever the policy says."""
    if entry.away_since is not None or entry.disabled:
        effects.append(Settle(run, "skipped", entry.disabled or "not running"))
        return entry
    rule = overlap or entry.plan.schedule.overlap
    if is_late and rule.policy is not Policy.ALLOW_ALL:
        effects.append(Hold(run, "waiting", "its turn comes after those before it"))
        return _counted(replace(entry, waiting=(*entry.waiting, run)), run, effects)
    decision = decide(rule, len(entry.live), len(entry.waiting), entry.streak)
    match decision:
        case Start():
            effects.append(Begin(run))
            streak = entry.streak if run.kind != "schedule" else 0
            return _counted(replace(entry, live=(*entry.live, run), streak=streak), run, effects)
        case Queue():
            effects.append(Hold(run, "waiting", "the run before it is still under way"))
            return _counted(replace(entry, waiting=(*entry.waiting, run), streak=entry.streak + 1), run, effects)
        case Delay(seconds):
            run = replace(run, due_mono=now.mono + seconds, is_delayed=True)
            effects.append(Hold(run, "waiting", f"delayed by {seconds:g} s"))
            return _counted(replace(entry, waiting=(*entry.waiting, run), streak=entry.streak + 1), run, effects)
        case Replace():
            for other in entry.waiting:
                effects.append(Settle(other, "skipped", f"replaced by {stamp(run.slot_at)}"))
            entry = _counted(replace(entry, waiting=(run,), streak=0), run, effects)
            effects.append(Hold(run, "waiting", "until the run before it has ended"))
            entry = _stop_live(entry, f"replaced by {stamp(run.slot_at)}", effects)
            return _drained(entry, now, effects)
        case Refuse(why):
            if entry.live:
                why = f"{why}, of {stamp(entry.live[0].slot_at)}"
            effects.append(Settle(run, "skipped", why))
            return replace(entry, streak=entry.streak + 1)
        case _:
            assert_never(decision)


def _counted(entry: Entry, run: Run, effects: list[Effect]) -> Entry:
    """Count a scheduled run that was taken on; the last one allowed ends the schedule."""
    most = entry.plan.schedule.max_runs
    if run.kind != "schedule" or not most:
        return entry
    standing = replace(entry.standing, runs=entry.standing.runs + 1)
    entry = replace(entry, standing=standing)
    if standing.runs >= most:
        return _finish(entry, f"it has had its {most} runs", effects)
    effects.append(Keep(standing))
    return entry


def _finish(entry: Entry, why: str, effects: list[Effect]) -> Entry:
    standing = replace(entry.standing, ended=why)
    effects += [Keep(standing), Tell("ended", why)]
    return replace(entry, standing=standing, due_at=None, fire_at=NEVER, due_mono=NEVER)


def _timers(entry: Entry, now: Now, effects: list[Effect]) -> Entry:
    """Begin the attempts whose delay is over; decide about slots that the policy `delay` let wait."""
    for run in entry.live:
        if run.due_mono and run.due_mono <= now.mono:
            again = replace(run, due_mono=0.0)
            entry = replace(entry, live=_swapped(entry.live, again))
            effects.append(Begin(again))
    for run in entry.waiting:
        if run.is_delayed and run.due_mono <= now.mono:
            entry = replace(entry, waiting=_without(entry.waiting, run))
            if entry.live:
                why = f"overlap: still under way after the delay, of {stamp(entry.live[0].slot_at)}"
                effects.append(Settle(run, "skipped", why))
            else:
                run = replace(run, due_mono=0.0, is_delayed=False)
                entry = replace(entry, live=(run,), streak=0)
                effects.append(Begin(run))
    return entry


# -- runs -----------------------------------------------------------------------------------------------


def _ended(entry: Entry, event: Ended, now: Now, effects: list[Effect]) -> Entry:
    run = _find(entry.live, event.slot_at, event.round)
    if run is None or run.due_mono:
        return entry  # of an attempt that was settled before
    outcome, detail = event.outcome, event.detail
    if run.ending and outcome != "succeeded":
        outcome, detail = "cancelled", run.ending
    if outcome in {"failed", "timed-out"}:
        custom, rule = event.delay, entry.plan.schedule.retry
        verdict = retries.again_after(
            rule, run.attempt, event.failure, event.chance, delay=None if custom is None else lambda _: custom
        )
        if isinstance(verdict, Again):
            again = replace(run, attempt=run.attempt + 1, due_mono=now.mono + verdict.delay)
            effects.append(Hold(again, "retrying", detail, verdict.delay))
            return replace(entry, live=_swapped(entry.live, again))
        if verdict.why:
            detail = f"{detail} ({verdict.why})"
    return _settled(entry, run, outcome, detail, event.seconds, now, effects)


def _barred(entry: Entry, run: Run, why: str, now: Now, effects: list[Effect]) -> Entry:
    if _find(entry.live, run.slot_at, run.round) is None:
        return entry
    state = "skipped" if run.attempt == 1 else "failed"
    return _settled(entry, run, state, why if run.attempt == 1 else f"not tried again: {why}", 0.0, now, effects)


def _settled(entry: Entry, run: Run, state: str, why: str, seconds: float, now: Now, effects: list[Effect]) -> Entry:
    effects.append(Settle(run, state, why, seconds))
    entry = replace(entry, live=_without(entry.live, run))
    most = entry.plan.schedule.pause_after
    if most and state in {"succeeded", "failed", "timed-out"}:
        failures = 0 if state == "succeeded" else entry.standing.failures + 1
        if failures != entry.standing.failures:
            entry = replace(entry, standing=replace(entry.standing, failures=failures))
            if failures >= most and entry.standing.paused is None:
                entry = _pause(entry, f"{failures} failed runs in a row", "itself", effects)
            else:
                effects.append(Keep(entry.standing))
    return _drained(entry, now, effects) if entry.waiting else entry


def _drained(entry: Entry, now: Now, effects: list[Effect]) -> Entry:
    """Begin what waits for its turn, as far as there is room."""
    rule = entry.plan.schedule.overlap
    most = rule.limit if rule.policy is Policy.CONCURRENT else 1
    while len(entry.live) < most:
        run = next((run for run in entry.waiting if not run.is_delayed), None)
        if run is None:
            break
        entry = replace(entry, waiting=_without(entry.waiting, run), live=(*entry.live, run))
        effects.append(Begin(run))
    return entry


def _stop_live(entry: Entry, why: str, effects: list[Effect]) -> Entry:
    for run in entry.live:
        if run.due_mono:  # between two attempts: nothing runs
            effects.append(Settle(run, "cancelled", why))
            entry = replace(entry, live=_without(entry.live, run))
        elif not run.ending:
            entry = replace(entry, live=_swapped(entry.live, replace(run, ending=why)))
            effects.append(Stop(run, why))
    return entry


def _cancel_all(entry: Entry, why: str, effects: list[Effect]) -> Entry:
    effects += [Settle(run, "cancelled", why) for run in entry.waiting]
    return _stop_live(replace(entry, waiting=()), why, effects)


# -- the schedule ---------------------------------------------------------------------------------------


def _pause(entry: Entry, note: str, by: str, effects: list[Effect]) -> Entry:
    standing = replace(entry.standing, paused=note, paused_by=by)
    effects += [Keep(standing), Tell("paused", f"{note} (by {by})" if note and by else note or (by and f"by {by}"))]
    return replace(entry, standing=standing, due_at=None, fire_at=NEVER, due_mono=NEVER)


def _changed(entry: Entry, plan: Plan, now: Now, effects: list[Effect]) -> Entry:
    before = entry.plan.schedule
    entry = replace(entry, plan=plan, disabled="")
    if before == plan.schedule:
        return entry
    effects.append(Tell("changed", differences(before, plan.schedule)))
    if timing_of(before) == timing_of(plan.schedule):
        return entry
    standing = replace(entry.standing, since=now.wall, ended="", runs=0)
    effects.append(Keep(standing))
    return scheduled(replace(entry, standing=standing), now, now.wall)


def _find(runs: tuple[Run, ...], slot_at: float, round: int) -> Run | None:
    for run in runs:
        if run.slot_at == slot_at and run.round == round:
            return run
    return None


def _without(runs: tuple[Run, ...], gone: Run) -> tuple[Run, ...]:
    if len(runs) == 1:
        return ()
    return tuple(run for run in runs if run.slot_at != gone.slot_at or run.round != gone.round)


def _swapped(runs: tuple[Run, ...], changed: Run) -> tuple[Run, ...]:
    return tuple(changed if run.slot_at == changed.slot_at and run.round == changed.round else run for run in runs)
