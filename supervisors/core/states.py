"""The supervisor's state: its own phase, and the state of each child. `docs/explanation/supervision.md` draws both.

Supervisor: `Fresh` until `Begin`, `StartingUp` while the children start one after another, `Active`, `GoingDown` while
they stop, `Over`. Active with a `Round` means that a group is being restarted (or a new spec carried out): until that
is done, ends of other children and requests that would start something wait in `deferred`, as they would wait in an
OTP supervisor's mailbox; stops and kills are served at once.

Child: see the classes. A child with an instance is `Starting`, `Running`, `Ended` or `Stopping`; one without is `Down`,
`Held`, `Quarantined` or `Restarting`. An abandoned instance counts as gone.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from actors.exits import ExitReason
from supervisors.core.events import Event, Hold
from supervisors.core.pages import Pages
from supervisors.intensity import EMPTY, RestartWindow
from supervisors.specs import ChildSpec, SupervisorSpec


class DownWhy(Enum):
    """Why a child has no instance and none is on its way, in the word that a tree shows."""

    WAITING = "waiting"
    """Its turn in a start, or the retry of its group, has not come."""
    NOT_STARTED = "not started"
    """Added by a new spec."""
    FINISHED = "finished"
    """It ended by itself and is not to be restarted."""
    IGNORED = "ignored"
    """It answered its start with `ignore`."""
    TERMINATED = "stopped"
    """A management call stopped it, or its supervisor is going down."""
    FAILED = "failed"
    """A start by hand failed, or the start that ended the supervisor."""
    ABANDONED = "abandoned"
    """It was being stopped and could not be killed; the thread may live on, cut off."""


class Down(Struct, frozen=True):
    """No instance. A group restart starts it again whatever the reason; else only a call does."""

    why: DownWhy
    detail: str = ""


class Held(Struct, frozen=True):
    """A person stopped it: no restart of any kind starts it."""

    hold: Hold


class Quarantined(Struct, frozen=True):
    """It used up its own budget: no restart of any kind starts it, a reset or a start by hand does."""

    reason: ExitReason


class Origin(Enum):
    """On whose behalf an instance is starting: decides what its failure means."""

    INITIAL = "initial"
    """The supervisor's own start: a failure ends it."""
    RESTART = "restart"
    """A restart of this child alone: a failure is tried again."""
    GROUP = "group"
    """A group restart: a failure makes this child the pivot of the next try."""
    HAND = "hand"
    """A call, or a new spec: a failure is answered and not tried again."""


class Starting(Struct, frozen=True):
    """Launched and not yet ready.

    Attributes:
        since: When it was launched.
        due: When it must be ready, or None.
        origin: On whose behalf.
        request: The call to answer, or None.
        is_new: Whether its record goes if this start fails (`StartChild`, `SpawnChild`).
    """

    since: float
    due: float | None
    origin: Origin
    request: int | None = None
    is_new: bool = False


class Running(Struct, frozen=True, gc=False):
    """Ready at `since`."""

    since: float
    suspended: bool = False


class Ended(Struct, frozen=True):
    """Its end is known; what follows is decided when the round in progress is done."""

    since: float
    reason: ExitReason


class Restarting(Struct, frozen=True):
    """No instance; the next try is at `next_at`.

    Attributes:
        next_at: Monotonic instant of the try.
        serial: The serial of its timer; 0 once that has fired and the try waits for a round to be done.
        parked: Whether these are the slow tries after the supervisor's limit was reached.
    """

    next_at: float
    serial: int
    parked: bool = False


class Then(Enum):
    """What becomes of a child when the stop in progress is done."""

    DOWN = "down"
    """It stays down (a temporary one's record goes)."""
    WAIT = "wait"
    """It is started again by the round."""
    HOLD = "hold"
    """A person stopped it."""
    START = "start"
    """It is started again at once."""
    RECYCLE = "recycle"
    """It is started again at once, and that counts for nothing."""
    RESTART = "restart"
    """It is restarted by the rules, as if it had ended by itself."""
    DROP = "drop"
    """Its record goes."""
    FAIL = "fail"
    """Its start took too long: that failure is handled."""


class Stopping(Struct, frozen=True):
    """Asked to end, or killed, and not yet gone.

    Attributes:
        ready_at: When it was ready, or None if it never was.
        then: What follows.
        serial: The serial of its stop timer, 0 for none.
        killed: Whether it was killed already.
        requests: Calls to answer when it is gone.
        hold: For `Then.HOLD`.
        start: The start that took too long (`Then.FAIL`), or that the stop interrupted.
    """

    ready_at: float | None
    then: Then
    serial: int = 0
    killed: bool = False
    requests: tuple[int, ...] = ()
    hold: Hold | None = None
    start: Starting | None = None


ChildState = Running | Starting | Restarting | Stopping | Ended | Down | Held | Quarantined

UP = (Running, Starting)
"""States in which an instance can be asked to stop."""


class Child(Struct, frozen=True):
    """One child's record.

    Attributes:
        id: Its name.
        spec: Its child spec; of a dynamic child the template with this child's arguments.
        position: Grows in start order.
        generation: The newest instance's, 0 before the first.
        state: What it does now.
        attempt: Restarts decided since it last ran quietly for `backoff.reset_after`.
        restarts: Restarts decided since it was last reset.
        parked: Whether its restarts are the slow ones, until it ran quietly or was reset.
        last_exit: How its last instance ended, or why its last start failed.
        window: Its own restart window.
    """

    id: str
    spec: ChildSpec
    position: int
    generation: int
    state: ChildState
    attempt: int = 0
    restarts: int = 0
    parked: bool = False
    last_exit: ExitReason | None = None
    window: RestartWindow = EMPTY


class RoundKind(Enum):
    """What a round carries out."""

    INITIAL = "initial"
    GROUP = "group"
    CHANGE = "change"
    HAND = "hand"
    """One start by a call, under a strategy that binds siblings: ends of others wait until it is done."""


class Round(Struct, frozen=True):
    """Stops, then starts, strictly one after another.

    Attributes:
        kind: What for.
        stops: Ids to stop, in the order of stopping.
        starts: Ids to start, in the order of starting.
        at: How many of the two lists together are done; the next one is in progress.
        request: The `Reconfigure` to answer when it is done, or None.
        pivot: Of a group that is stopped and then waits: the child whose next try brings it back, else "".
    """

    kind: RoundKind
    stops: tuple[str, ...]
    starts: tuple[str, ...]
    at: int = 0
    request: int | None = None
    pivot: str = ""


class Fresh(Struct, frozen=True):
    """Nothing has happened yet."""


class StartingUp(Struct, frozen=True):
    """The children start one after another."""

    round: Round


class Active(Struct, frozen=True):
    """Up. `round` is the group restart or change in progress, or None."""

    round: Round | None


class GoingDown(Struct, frozen=True):
    """The children are being stopped; then the supervisor ends with `reason`.

    Attributes:
        reason: Its exit reason to be.
        stops: Ids to stop, in the order of stopping; those of a dynamic supervisor are asked all at once.
        at: How many of them are done.
        serial: Of the shared stop timer of a dynamic supervisor, 0 for none.
    """

    reason: ExitReason
    stops: tuple[str, ...] = ()
    at: int = 0
    serial: int = 0


class Over(Struct, frozen=True):
    """Ended with `reason`; nothing changes any more."""

    reason: ExitReason


Phase = Active | StartingUp | GoingDown | Over | Fresh

IDLE = Active(None)
"""Up, with no round in progress."""


class Ledger(Struct, frozen=True):
    """What a supervisor remembers beside its present records: the numbers that are used, the instances cut off.

    Attributes:
        abandoned: Instances cut off and not known to have ended: (id, generation).
        retired: Last generation of ids whose record is gone, so that none is used twice.
        retired_floor: Generations up to this one are used by ids that `retired` no longer lists.
        last_position: Highest position given.
        spawned: How many ids a dynamic supervisor has generated.
    """

    abandoned: frozenset[tuple[str, int]] = frozenset()
    retired: Pages[int] = Pages()
    retired_floor: int = 0
    last_position: int = 0
    spawned: int = 0


class State(Struct, frozen=True):
    """The whole supervisor.

    Attributes:
        path: Its path, for cause chains.
        spec: Its present spec (`children` as configured; what runs is in `children` below).
        children: Every record, by id.
        phase: What the supervisor does now.
        window: Its restart window.
        deferred: Ends and requests that wait for the round to be done, in order of arrival.
        ledger: Numbers used, instances cut off.
        serial: Timers armed so far.
        start_serial: Serial of the armed start timer, 0 for none.
        start_due: When the armed start timer fires.
    """

    path: str
    spec: SupervisorSpec
    children: Pages[Child] = Pages()
    phase: Phase = Fresh()
    window: RestartWindow = EMPTY
    deferred: tuple[Event, ...] = ()
    ledger: Ledger = Ledger()
    serial: int = 0
    start_serial: int = 0
    start_due: float = 0.0
