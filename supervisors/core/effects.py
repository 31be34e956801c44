"""What the core tells the shell to do: effects, performed in order, and facts, put on the bus in the same order.

An effect that fails is no exception to the core: a launch that cannot even begin is fed back as `ChildStartFailed`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from actors.exits import ExitReason
from supervisors.core.events import Timer
from supervisors.errors import Fault
from supervisors.specs import ChildSpec


class Launch(Struct, frozen=True):
    """Start an instance; never blocks. Its outcome is fed as `ChildStarted`, `ChildIgnored` or `ChildStartFailed`.

    Attributes:
        id: The child; its path is the supervisor's path and this id.
        generation: Which instance, counted from 1 and never used twice for one id.
        attempt: Tries since the child last ran quietly; 0 for a first start and a start by hand.
        last_exit: How the instance before it ended, or None.
        deadline: Seconds it has to become ready, or None. The core watches it; the launcher need not.
        spec: How to start it; for a dynamic child the template with this child's arguments.
    """

    id: str
    generation: int
    attempt: int
    last_exit: ExitReason | None
    deadline: float | None
    spec: ChildSpec


class AskStop(Struct, frozen=True):
    """Ask the instance to end (`ChildHandle.stop`), which may still be starting. Its end is fed back as usual."""

    id: str
    generation: int
    reason: ExitReason


class Kill(Struct, frozen=True, gc=False):
    """End the instance now (`ChildHandle.kill`). `ChildExited` follows, or `ChildAbandoned` is fed at once."""

    id: str
    generation: int


class Suspend(Struct, frozen=True, gc=False):
    """Hold back the messages of the instance."""

    id: str
    generation: int


class Reread(Struct, frozen=True, gc=False):
    """Have the instance read its configuration again."""

    id: str
    generation: int


class Resume(Struct, frozen=True, gc=False):
    """Let the messages of the instance through again."""

    id: str
    generation: int


class ArmTimer(Struct, frozen=True):
    """Feed `TimerFired(timer)` after `delay` seconds. A delay of 0 goes to the end of the mailbox as well."""

    timer: Timer
    delay: float


class CancelTimer(Struct, frozen=True):
    """Forget the timer."""

    timer: Timer


class Ready(Struct, frozen=True):
    """Every child was started: tell the parent that this supervisor is ready. At most once, and never after `End`."""


class End(Struct, frozen=True):
    """The supervisor is at its end and has no instance left; the last effect ever.

    Before `Ready` the shell reports it to the parent as a failed start, after it as an exit, with this reason.
    """

    reason: ExitReason


class Refusal(Enum):
    """Why a management call was refused; the words are stable."""

    NOT_FOUND = "not_found"
    ALREADY_STARTED = "already_started"
    ALREADY_PRESENT = "already_present"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    NOT_RUNNING = "not_running"
    NOT_SUPPORTED = "not_supported"
    START_FAILED = "start_failed"
    MAX_CHILDREN = "max_children"
    INVALID = "invalid"
    SHUTTING_DOWN = "shutting_down"


class Done(Struct, frozen=True):
    """The call was carried out.

    Attributes:
        id: The child it was about, "" for the supervisor; for `SpawnChild` the generated id.
        generation: The instance started, 0 where none was (an ignored start included).
        info: What the child told with its start.
    """

    id: str
    generation: int = 0
    info: Any = None


class Refused(Struct, frozen=True):
    """The call was not carried out.

    Attributes:
        id: The child it was about.
        code: Why, as a machine word.
        message: Why, as a sentence.
        reason: The failed start's reason, for `start_failed`.
        faults: What is wrong with the spec, for `invalid`.
    """

    id: str
    code: Refusal
    message: str
    reason: ExitReason | None = None
    faults: tuple[Fault, ...] = ()


class Reply(Struct, frozen=True):
    """The one answer to a request."""

    request: int
    result: Done | Refused


class Fact(Struct, frozen=True):
    """Something that happened; the shell makes an event of it (its path and wall-clock time added) and does no more."""

    id: str
    generation: int


class StartedFact(Fact, frozen=True):
    """An instance became ready, `seconds` after its launch."""

    attempt: int
    seconds: float


class IgnoredFact(Fact, frozen=True):
    """An instance answered its start with `ignore`."""

    why: str


class StartFailedFact(Fact, frozen=True):
    """A start did not lead to a ready instance; `attempt` as in `Launch`."""

    reason: ExitReason
    attempt: int


class ExitedFact(Fact, frozen=True):
    """An instance that was ready has ended.

    Attributes:
        uptime: Seconds since it was ready.
        phase: `running`, or `stopping` where its supervisor had asked for the end (or was about to, in a group).
        expected: False where OTP would report the end as an error.
    """

    reason: ExitReason
    uptime: float
    phase: str
    expected: bool


class StateFact(Fact, frozen=True):
    """A child's state changed in a way that no other fact tells.

    Attributes:
        state: `stopping`: it was asked to end or killed. `start-cancelled`: it was stopped before it was ready.
            `stopped`: it stays down. `suspended`, `resumed`. `quarantined`. `abandoned`: its instance was cut off.
            `abandoned-ended`: that instance has ended after all. `removed`: its record is gone.
            `recycled`: its spec has it replaced. `restart-requested`: it asked to be.
        detail: What there is to say about it: the reason a person gave, or the child.
    """

    state: str
    detail: str = ""


class RestartFact(Fact, frozen=True):
    """A restart was decided.

    Attributes:
        attempt: As in the `Launch` to come.
        delay: Seconds until it is carried out.
        group: Ids restarted together, in start order.
        restarts: Restarts inside the supervisor's window, this one included.
        parked: Whether this is one of the slow tries of a parked child.
        reason: Why the instance ended, or its start failed.
    """

    attempt: int
    delay: float
    group: tuple[str, ...]
    restarts: int
    parked: bool
    reason: ExitReason


class LimitFact(Fact, frozen=True):
    """A restart limit was exceeded by the end of this instance.

    Attributes:
        scope: `supervisor` or `child`: whose limit.
        action: `escalate`, `park` or `quarantine`.
        restarts: Restarts inside the window, the refused one included.
        intensity: How many are allowed.
        period: In how many seconds.
        reason: The end that tripped it.
    """

    scope: str
    action: str
    restarts: int
    intensity: int
    period: float
    reason: ExitReason


AnyFact = StartedFact | IgnoredFact | StartFailedFact | ExitedFact | StateFact | RestartFact | LimitFact
Effect = Launch | AskStop | Kill | Suspend | Resume | Reread | ArmTimer | CancelTimer | Ready | End | Reply | AnyFact
