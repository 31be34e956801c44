"""What to supervise and how: child specs and supervisor specs, as immutable values, and what is wrong with them.

A tree is a value: a `SupervisorSpec` holds child specs, and a child that is itself a supervisor has a `SupervisorSpec`
as its `start`. Nothing starts by making one. Making one never raises for a bad combination either: `validate_tree`
looks at a whole tree and reports every fault at once, and a supervisor refuses a spec that has any.

Words and defaults are OTP's (`supervisor(3)`): strategy one_for_one, intensity 1 in 5 s, restart permanent, shutdown
5 s for a worker and `infinity` for a supervisor. An unknown field is a `TypeError` where the spec is written, rather
than ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from actors.flightrecord import FlightRule
from actors.policies.backoff import Backoff
from supervisors.programs import ProgramStart


class Restart(Enum):
    """When a child that ended by itself is started again."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """After an abnormal end only."""
    TEMPORARY = "temporary"
    """Never; its record goes with its instance."""


class Strategy(Enum):
    """Which children a restart binds together."""

    ONE_FOR_ONE = "one_for_one"
    """The child that ended, alone."""
    ONE_FOR_ALL = "one_for_all"
    """Every child."""
    REST_FOR_ONE = "rest_for_one"
    """The child that ended and those started after it."""
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"
    """Dynamic: any number of children made from one template, each on its own, started on request."""


class ChildType(Enum):
    """What a child is: the default of `shutdown` and the counts depend on it."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class AutoShutdown(Enum):
    """Whether the supervisor ends when significant children have ended by themselves and stay away."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class OnLimit(Enum):
    """What a supervisor does when its restart intensity is exceeded."""

    ESCALATE = "escalate"
    """Stop the children, end with `shutdown (gave-up)`, let the parent decide: OTP's answer."""
    PARK = "park"
    """Keep the offender away and try it again slowly, for ever; siblings that its strategy does not bind live on.

    Where the strategy binds none, a child (but a temporary one) whose very first start fails is retried by the same
    rules, and the supervisor starts without it. Everywhere else a failing first start ends the supervisor's start, as
    in OTP.
    """


Shutdown = float | Literal["infinity", "brutal_kill"]
"""How a child is stopped: asked, then killed after so many seconds; asked and waited for; killed at once."""

WhenDown = Literal["refuse", "hold"]
"""What becomes of messages for a child that is being restarted."""

Placement = Literal["pool", "thread", "process"]
"""Where a child runs: on the shared pool, on its own thread, in its own process."""


class LocalStart(Struct, frozen=True):
    """Start a child inside this process by calling `make(*args, **kwargs)`; it returns the actor.

    Attributes:
        make: An actor class, or a function that returns an actor. Called on the child's own thread or pool.
        args: Positional arguments; a dynamic supervisor appends those of each start.
        kwargs: Keyword arguments; a dynamic supervisor lays those of each start over them.
    """

    make: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class ImportStart(Struct, frozen=True):
    """Start a child by its import path: the form that can cross into another process.

    Attributes:
        target: `package.module:Class`.
        kwargs: Keyword arguments; plain data that msgpack can carry.
    """

    target: str
    kwargs: Mapping[str, Any] = {}


class Budget(Struct, frozen=True, gc=False):
    """A child's own limit beside its supervisor's: more than `intensity` restarts in `period` seconds quarantine it.

    Attributes:
        intensity: Restarts allowed; 0 or more.
        period: Length of the window, in seconds; positive.
    """

    intensity: int
    period: float


class Heartbeat(Struct, frozen=True, gc=False):
    """How often a process child must show that it lives.

    Attributes:
        every: Seconds from one beat to the next; positive.
        misses: Beats that may be missing before it counts as hung; 1 or more.
    """

    every: float
    misses: int = 2


class Bounds(Struct, frozen=True, gc=False):
    """What a process may use, and how long it may run, beside `memory_max_bytes`; None is no bound.

    Attributes:
        memory_warn_bytes: Resident memory above which an event says so, once until it fell below.
        cpu_warn: Processors used on average over 10 s above which an event says so; 1.0 is one whole processor.
        cpu_max: Processors used on average over 10 s above which it is ended (`cpu-limit`) and restarted by the rules.
        max_age: Seconds after which a ready instance is replaced in order; that counts for no restart limit.
        max_messages: Messages after which an instance is replaced likewise; looked at with each heartbeat.
    """

    memory_warn_bytes: int | None = None
    cpu_warn: float | None = None
    cpu_max: float | None = None
    max_age: float | None = None
    max_messages: int | None = None


_BY_TYPE: Any = object()  # replaced in __post_init__ by what the child's type makes the default

WORKER_SHUTDOWN = 5.0
WORKER_START_TIMEOUT = 30.0


class ChildSpec(Struct, frozen=True):
    """How to start, restart and stop one child. Immutable; complete: every default is filled in when it is made.

    Attributes:
        id: Its name below its supervisor; one path segment, unique there. A template's id is the stem of the ids that
            its children get (`task` gives `task#1`, `task#2`).
        start: How an instance is made; a `SupervisorSpec` makes the child a supervisor.
        restart: When it is started again after it ended by itself.
        shutdown: How it is stopped. Seconds (0 is legal: asked, then killed at once), `infinity` or `brutal_kill`.
            Default: 5 s for a worker, `infinity` for a supervisor.
        type: Worker or supervisor. Default: supervisor exactly if `start` is a `SupervisorSpec`.
        significant: Whether its end can end the supervisor (`auto_shutdown`). Not for permanent children.
        runs_in: `pool`, `thread` or `process`; a program is a process without being told.
        start_timeout: Seconds until it must be ready; None: no limit. Default: 30 s for a worker, None for a supervisor
            (its children have deadlines of their own).
        backoff: Delays between restarts. Default: none, as in OTP.
        budget: Its own restart limit; None: its supervisor's alone.
        restart_on_gave_up: Whether a transient child that is a supervisor and gave up is restarted. False is OTP's
            rule: giving up is a `shutdown`, so it stays down.
        mailbox: Capacity and answer to full, where it differs from the actor's own.
        heartbeat: For process children; None: no heartbeat is asked for.
        memory_max_bytes: Resident memory above which a process child is ended; None: no limit.
        spares: Processes of its class that wait, imported, to take the place of one that ended; for process children.
        bounds: What else a process may use, and how long it may run.
        when_down: What becomes of messages while it is being restarted: `refuse` makes them dead letters and fails asks
            at once, `hold` keeps them for the next instance, in order. What is in the mailbox of an instance that ends
            is lost with it either way.
        held_max: Most messages held; 1 or more. The next one is a dead letter, an ask fails.
        needs: Ids of siblings, or absolute paths, that must be started before it. They order the start (and, reversed,
            the stop); they do not bind restarts, the strategy does.
        flight: What is kept of its crash; None: as the node keeps it.
    """

    id: str
    start: StartSpec
    restart: Restart = Restart.PERMANENT
    shutdown: Shutdown = _BY_TYPE
    type: ChildType = _BY_TYPE
    significant: bool = False
    runs_in: Placement = "pool"
    start_timeout: float | None = _BY_TYPE
    backoff: Backoff = Backoff()
    budget: Budget | None = None
    restart_on_gave_up: bool = False
    mailbox: Any = None
    heartbeat: Heartbeat | None = None
    memory_max_bytes: int | None = None
    spares: int = 0
    bounds: Bounds = Bounds()
    when_down: WhenDown = "refuse"
    held_max: int = 1_000
    needs: tuple[str, ...] = ()
    flight: FlightRule | None = None

    def __post_init__(self) -> None:
        if self.type is _BY_TYPE:
            is_supervisor = isinstance(self.start, SupervisorSpec)
            force_setattr(self, "type", ChildType.SUPERVISOR if is_supervisor else ChildType.WORKER)
        if isinstance(self.start, ProgramStart) and self.runs_in == "pool":
            force_setattr(self, "runs_in", "process")
        if self.shutdown is _BY_TYPE:
            force_setattr(self, "shutdown", "infinity" if self.type is ChildType.SUPERVISOR else WORKER_SHUTDOWN)
        if self.start_timeout is _BY_TYPE:
            timeout = None if self.type is ChildType.SUPERVISOR else WORKER_START_TIMEOUT
            force_setattr(self, "start_timeout", timeout)

    @property
    def placement(self) -> str:
        """The word for where it runs that people are shown: `runs_in`, or `program`."""
        is_program = isinstance(self.start, ProgramStart) and not self.start.speaks
        return "program" if is_program else self.runs_in


class SupervisorSpec(Struct, frozen=True):
    """A supervisor and its children.

    Attributes:
        strategy: Which children a restart binds together.
        intensity: Restarts allowed within `period`; 0 or more. One more and `on_limit` says what happens.
        period: Length of the window, in seconds; positive.
        auto_shutdown: Whether ends of significant children end the supervisor.
        on_limit: Escalate to the parent, or park the offender.
        park_every: Seconds between tries of a parked child; positive.
        max_children: Most children of a dynamic supervisor; None: no limit.
        children: Child specs in start order; a dynamic supervisor has exactly one, its template.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    on_limit: OnLimit = OnLimit.ESCALATE
    park_every: float = 60.0
    max_children: int | None = None
    children: tuple[ChildSpec, ...] = ()


StartSpec = LocalStart | ImportStart | ProgramStart | SupervisorSpec
"""How an instance of a child is made."""
