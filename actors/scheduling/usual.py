"""The short ways of the rules, for speed: what `core.step` does of nearly every slot and every end, or None. Pure.

They are equal to the long way wherever they answer; `made_ready` is the same for a slot whose instant is still to come.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.scheduling.backlog import GRACE
from actors.scheduling.states import Begin, Ended, Entry, Now, Ready, Run, Settle, Step


def usual_step(entry: Entry, now: Now) -> Step | None:
    """Return what `step` does of a plain schedule whose slot is due in time with nothing in its way, else None.

    It is there for speed: this is the way of nearly every slot.
    """
    slot_at = entry.due_at
    if (
        entry.live
        or entry.waiting
        or not entry.plan.is_plain
        or slot_at is None
        or entry.fire_at > now.wall
        or now.wall - slot_at > GRACE
        or entry.away_since is not None
        or entry.disabled
    ):
        return None
    following = entry.plan.after(slot_at)
    if following is None or following <= now.wall:
        return None
    run = Run(slot_at)
    return _begun(entry, run, following), [Begin(run)]


def made_ready(entry: Entry) -> Ready | None:
    """Return what `usual_step` would make of the next slot once its instant has come, for a slot claimed ahead of it.

    None where something is in its way as it stands now, where runs are to be begun at most once, or where an actor
    registered it: those are claimed when their instant has come.
    """
    slot_at, schedule = entry.due_at, entry.plan.schedule
    if (
        entry.live
        or entry.waiting
        or not entry.plan.is_plain
        or slot_at is None
        or entry.disabled
        or schedule.breaker is not None
        or not schedule.repeat
        or schedule.origin == "actor"
    ):
        return None
    following = entry.plan.after(slot_at)
    if following is None:
        return None
    run = Run(slot_at)
    return Ready(entry, _begun(entry, run, following), run)


def usual_end(entry: Entry, event: Ended) -> tuple[Entry, Settle] | None:
    """Return what `step` does of a success that nothing waits for or counts, else None; for speed, like the above."""
    live = entry.live
    if len(live) != 1 or entry.waiting or event.outcome != "succeeded" or entry.plan.schedule.pause_after:
        return None
    run = live[0]
    if run.slot_at != event.slot_at or run.round != event.round or run.due_mono:
        return None
    return replace(entry, live=()), Settle(run, "succeeded", event.detail, event.seconds)


def _begun(entry: Entry, run: Run, following: float) -> Entry:
    return replace(entry, due_at=following, fire_at=following, last_slot=run.slot_at, live=(run,), streak=0)
