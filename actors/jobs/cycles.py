"""What a scheduler and the actors it wakes say to each other.

    loop -- Register --> scheduler -- Cycle --> loop -- CycleDone --> scheduler

A schedule belongs to a path: after either side restarted, the loop registers again, which changes nothing else.
"""

from __future__ import annotations

from msgspec import Struct

from actors.messages import Message


class Registration(Struct, frozen=True):
    """The answer to `Register`.

    Attributes:
        accepted: Whether the schedule is in force.
        next_at: Wall instant of the next slot, in seconds since the epoch; 0 where there is none.
        why: What is wrong with the schedule, where it was refused.
    """

    accepted: bool
    next_at: float = 0.0
    why: str = ""


class Register(Message[Registration], frozen=True):
    """Put a schedule in force for the actor at `path`, or confirm it; exactly one of `cron` and `every` is given.

    Attributes:
        path: Whom to send `Cycle`; a path has one schedule.
        name: Name of what runs, for events: `loop-heartbeat`.
        cron: A cron expression of 5 or 6 fields, or "".
        every: Seconds between runs, by the monotonic clock, or 0.
        timezone: Zone of `cron`; "" for the scheduler's own.
        priority: `high`, `normal` or `low`: who goes first when several are due at once.
        tags: Words to select it by.
        run_now: Whether one run is due at once, beside the schedule.
        generation: Which instance at `path` says so; a new one ends the run of the one before.
        busy_with: Slot that this instance is at, 0 for none; a scheduler that thinks of another one is put right.
        overlap: A policy of overlaps, by its word; "" for `skip`.
        missed: A policy of missed slots, by its word; "" for `once`.
    """

    path: str
    name: str
    cron: str = ""
    every: float = 0.0
    timezone: str = ""
    priority: str = "normal"
    tags: tuple[str, ...] = ()
    run_now: bool = False
    generation: int = 0
    busy_with: float = 0.0
    overlap: str = ""
    missed: str = ""


class Unregister(Message[None], frozen=True):
    """End the schedule of `path`."""

    path: str


class Cycle(Message[None], frozen=True):
    """Run once, for the slot at `slot_at` (wall seconds since the epoch).

    Attributes:
        slot_at: The scheduled instant; the slot's identity together with the path.
        by_hand: Whether a person asked for it, outside the schedule.
        next_at: Wall instant of the slot after it.
        due_at: Wall instant at which it was to begin: that of the slot, or later by the schedule's jitter; 0 outside
            the schedule.
    """

    slot_at: float
    by_hand: bool = False
    next_at: float = 0.0
    due_at: float = 0.0


class CancelCycle(Message[None], frozen=True):
    """Cancel the run for the slot at `slot_at`, if it is under way; its end is told by `CycleDone`."""

    slot_at: float
    why: str = ""


class CycleDone(Message[None], frozen=True):
    """The run for the slot at `slot_at` has ended.

    Attributes:
        outcome: `succeeded`, `failed`, `timed-out`, `cancelled` or `skipped`.
        detail: One line.
        seconds: How long it took.
    """

    path: str
    slot_at: float
    outcome: str = "succeeded"
    detail: str = ""
    seconds: float = 0.0


class RunAnswer(Struct, frozen=True):
    """The answer to `RunNow`: whether a run was sent off, else why not."""

    started: bool
    why: str = ""


class RunNow(Message[RunAnswer], frozen=True):
    """Run what is scheduled for `path` once, now; refused while a run of it is under way."""

    path: str
