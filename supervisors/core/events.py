"""What the shell tells the core: notices of instances, timers, orders from above, requests of management.

Every event carries `now`, monotonic seconds (never smaller than in the event before), and `chance`, a fresh random
number in [0, 1) that back-off jitter uses. The shell feeds each event once, in the order in which it learnt of it,
and performs the effects of one step before it takes the next.

Notices are fenced: one whose `generation` is not that of the child's present instance changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from actors.exits import ExitReason
from supervisors.specs import ChildSpec, SupervisorSpec


class Hold(Struct, frozen=True):
    """A person's stop of one child: it stays stopped, across group restarts too, until somebody starts it.

    Attributes:
        author: Who stopped it.
        why: The reason given.
        at: When, in wall-clock seconds since the epoch; carried, not interpreted.
    """

    author: str
    why: str = ""
    at: float = 0.0


class TimerKind(Enum):
    """What a timer is for."""

    RETRY = "retry"
    """A child's back-off is over."""
    STOP = "stop"
    """A child had its time to stop."""
    STOP_ALL = "stop-all"
    """The children of a dynamic supervisor had their shared time to stop."""
    START = "start"
    """The earliest start deadline among the starting children."""


class Timer(Struct, frozen=True, gc=False):
    """The name of one armed timer: equal by value and hashable, so the shell can key its own timers by it.

    Attributes:
        kind: What it is for.
        id: The child it is about, or "" where it is about several.
        serial: Grows by one with each timer armed; never used twice.
    """

    kind: TimerKind
    id: str
    serial: int


class BaseEvent(Struct, frozen=True, kw_only=True):
    """What every event carries.

    Attributes:
        now: Monotonic seconds.
        chance: A fresh random number in [0, 1).
    """

    now: float
    chance: float = 0.5


class Begin(BaseEvent, frozen=True):
    """Start all children. Fed once, first.

    Attributes:
        holds: Children that a person stopped in an earlier life of this supervisor: they are not started.
    """

    holds: Mapping[str, Hold] = {}


class ChildStarted(BaseEvent, frozen=True):
    """The instance is ready. For a nested supervisor: its whole subtree is up (it said `Ready`).

    Attributes:
        info: What the child told with its start; handed to the caller of a start by hand, not kept.
    """

    id: str
    generation: int
    info: Any = None


class ChildIgnored(BaseEvent, frozen=True):
    """The instance answered its start with `ignore` and is gone; `why` says what it would need."""

    id: str
    generation: int
    why: str


class ChildStartFailed(BaseEvent, frozen=True):
    """The instance ended before it was ready, however it ended, and is gone: fed instead of `ChildExited`."""

    id: str
    generation: int
    reason: ExitReason


class ChildExited(BaseEvent, frozen=True):
    """The instance, which was ready, has ended and is gone. Also the answer to `AskStop` and `Kill`."""

    id: str
    generation: int
    reason: ExitReason


class ChildAsksRestart(BaseEvent, frozen=True):
    """The instance, which runs, is to be stopped and started again; nothing happens where it no longer runs.

    Attributes:
        why: What for, in a line.
        counts: Whether it is a restart like any other, or counts for nothing.
    """

    id: str
    generation: int
    why: str
    counts: bool = True


class ChildAbandoned(BaseEvent, frozen=True):
    """`Kill` met a thread, which cannot be killed: it was cut off and its late effects fenced. Fed instead of an exit.

    Should the thread end after all, `ChildExited` may still be fed; it only ends the count of abandoned instances.
    """

    id: str
    generation: int


class TimerFired(BaseEvent, frozen=True):
    """The time of an armed timer is over. One that was cancelled or re-armed meanwhile may be fed: it is fenced."""

    timer: Timer


class StopAsked(BaseEvent, frozen=True):
    """The parent (or the node, for the root) asks this supervisor to stop its children in order and end with `reason`.

    Fed for an exit signal of the parent only; those of other actors are ignored by the shell.
    """

    reason: ExitReason


class KillAsked(BaseEvent, frozen=True):
    """The parent kills this supervisor (`brutal_kill`, or its time to stop is over): every child is killed at once.

    The supervisor ends with `killed` as soon as the last is gone: unlike an actor, it is never abandoned with children.
    """


class BaseRequest(BaseEvent, frozen=True, kw_only=True):
    """A management call. It is answered by exactly one `Reply` with the same number, in this step or a later one.

    Attributes:
        request: The caller's number, chosen by the shell; unique among the unanswered.
    """

    request: int


class StartChild(BaseRequest, frozen=True):
    """Add a child at the end and start it. Answered when it is ready, ignored or failed."""

    spec: ChildSpec


class SpawnChild(BaseRequest, frozen=True):
    """Start another child of a dynamic supervisor, its arguments laid over the template's.

    Attributes:
        args: Appended to the template's positional arguments (a `LocalStart` template only).
        kwargs: Laid over the template's keyword arguments.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class TerminateChild(BaseRequest, frozen=True):
    """OTP's `terminate_child`: stop it, keep its record (a temporary child's goes). A group restart starts it again."""

    id: str


class RestartChild(BaseRequest, frozen=True):
    """OTP's `restart_child`: start just this child, which does not run.

    Attributes:
        stop_first: Stop it by its own rule first where it runs; then only an unknown id is an error.
    """

    id: str
    stop_first: bool = False


class DeleteChild(BaseRequest, frozen=True):
    """OTP's `delete_child`: drop the record of a child that does not run."""

    id: str


class StopChild(BaseRequest, frozen=True):
    """A person's stop: as `TerminateChild`, and it stays stopped until `StartStopped` or `RestartChild`."""

    id: str
    hold: Hold


class StartStopped(BaseRequest, frozen=True):
    """A person's start: of a child that was stopped, quarantined or is down; a back-off wait ends at once."""

    id: str


class SuspendChild(BaseRequest, frozen=True):
    """Hold back the messages of a running child."""

    id: str


class RereadChild(BaseRequest, frozen=True):
    """Have a running program read its configuration again, as its spec says how; its process goes on."""

    id: str


class ResumeChild(BaseRequest, frozen=True):
    """Let the messages of a suspended child through again."""

    id: str


class KillChild(BaseRequest, frozen=True):
    """Kill a child's instance now. What follows is decided by the rules, as for any other abnormal end."""

    id: str


class ResetChild(BaseRequest, frozen=True):
    """Forget what counts against a child: restart counts, back-off (it is tried at once), parking, quarantine (it is
    started). Id "" is the supervisor's own restart window."""

    id: str


class Reconfigure(BaseRequest, frozen=True):
    """Take a new spec. An invalid one is refused whole and nothing changes.

    Attributes:
        spec: The new spec; None stands for `ignore`: no change.
        apply: False: OTP's rule (flags and known specs replaced, instances kept; new ones added but not started;
            unlisted ones kept, last). True: the difference is carried out: unlisted children are stopped and dropped,
            changed ones replaced, new ones started; see `plan_change`.
    """

    spec: SupervisorSpec | None
    apply: bool = False


Notice = ChildStarted | ChildIgnored | ChildStartFailed | ChildExited | ChildAbandoned | ChildAsksRestart
Request = (
    StartChild
    | SpawnChild
    | TerminateChild
    | RestartChild
    | DeleteChild
    | StopChild
    | StartStopped
    | SuspendChild
    | RereadChild
    | ResumeChild
    | KillChild
    | ResetChild
    | Reconfigure
)
Event = Notice | TimerFired | Begin | StopAsked | KillAsked | Request
