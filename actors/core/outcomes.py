"""What becomes of one launched instance: the values that pass between the kernel and whoever launched it.

    launch ── Started(ref) ── Exited(reason)      it ran
           ├─ Ignored(why)                        it said at its start that it will not run
           └─ StartFailed(reason)                 it never became ready

Exactly one of the three first arrives, and after `Started` exactly one `Exited`; an abandoned instance says no more.
Between the two there may be any number of `RestartAsked(why)`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from actors.exits import ExitReason


class Ignore(Struct, frozen=True):
    """What `on_start` returns where the actor will not run, for a reason that is no error (OTP's `ignore`).

    Attributes:
        why: What it would need, for people: "not configured: set io.gmail.host".
    """

    why: str


class Incarnation(Struct, frozen=True):
    """Which instance of a child this is, and how the one before ended.

    Attributes:
        generation: Counts the instances at one path from 1.
        attempt: 0 for a first start, else which try of the restart, from 1.
        last_exit: How the previous instance ended; None for the first.
    """

    generation: int = 1
    attempt: int = 0
    last_exit: ExitReason | None = None


class Started(Struct, frozen=True):
    """The instance is ready.

    Attributes:
        ref: The ref to send to: an `ActorRef`, or the ref of the process it runs in.
        pid: Process it runs in, where that is not this one.
        info: What the start returned beside being ready; passed to who asked for it, not kept.
    """

    ref: Any
    pid: int | None = None
    info: object = None


class Ignored(Struct, frozen=True):
    """The instance answered its start with `Ignore(why)` and is gone."""

    why: str


class StartFailed(Struct, frozen=True):
    """The instance is gone and was never ready: its construction or `on_start` failed, or it was stopped before."""

    reason: ExitReason


class Exited(Struct, frozen=True):
    """The instance ended after it had been ready; its path is free again."""

    reason: ExitReason


class RestartAsked(Struct, frozen=True):
    """The instance, which is ready and goes on, is to be replaced: stopped in order and started again.

    Attributes:
        why: What for, in a line.
        counts: Whether it is a restart like any other for limits, budgets and back-off: so where the instance asks by
            itself, which it might do again and again. What its spec asks for (`max_age`) counts for nothing.
    """

    why: str
    counts: bool = True


Outcome = Started | Ignored | StartFailed | Exited | RestartAsked
