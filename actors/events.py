"""What happens in a node, as frozen values: the one source of log lines, taps, metrics and history rows.

Each event is put on the bus once, by the one place that knows. `at` is the wall clock in seconds since the epoch (UTC),
`path` the actor it is about. `TOPIC` is the event's class in tap topics (`a1/<topic>/<path>/`) and its `type` in the
history. Fields are only ever added.
"""

from __future__ import annotations

from typing import Any, ClassVar

from actors.eventbase import Event as Event
from actors.exits import ExitReason
from actors.flightrecord import CrashRecorded as CrashRecorded
from actors.treeevents import TreeChanged as TreeChanged


class ActorStarted(Event, frozen=True):
    """An instance is ready.

    Attributes:
        generation: Which instance at this path, counted from 1.
        placement: `pool`, `thread`, `process` or `program`.
        pid: Process it runs in.
        seconds: From the start request to ready.
    """

    TOPIC: ClassVar[str] = "actor.state"

    generation: int
    placement: str
    pid: int
    seconds: float


class ActorIgnored(Event, frozen=True):
    """An instance answered its start with `ignore`: it does not run, and `why` says what it would need."""

    TOPIC: ClassVar[str] = "actor.state"

    generation: int
    why: str


class ActorStateChanged(Event, frozen=True):
    """A child's state changed other than by starting or exiting (`restarting`, `stopping`, `stopped`, `suspended`,
    `resumed`, `reread`, `quarantined`, `abandoned`, `waiting`, `restart-requested`, `recycled`)."""

    TOPIC: ClassVar[str] = "actor.state"

    generation: int
    state: str
    detail: str = ""


class ActorReported(Event, frozen=True):
    """An actor in a process of its own told how it is.

    Attributes:
        generation: Which instance.
        status: One line for people, or "".
        state: Plain data for programs.
    """

    TOPIC: ClassVar[str] = "actor.report"

    generation: int
    status: str
    state: dict[str, Any]


class ActorStartFailed(Event, frozen=True):
    """A start did not lead to a ready instance.

    Attributes:
        attempt: 0 for a first start, else which try of the restart, from 1.
    """

    TOPIC: ClassVar[str] = "actor.exit"
    SEVERITY: ClassVar[str] = "error"

    generation: int
    reason: ExitReason
    attempt: int


class ActorExited(Event, frozen=True):
    """An instance ended.

    Attributes:
        uptime: Seconds since it was ready.
        phase: `running`, or `stopping` when its supervisor had asked for the end.
        expected: False where the end is reported as an error.
    """

    TOPIC: ClassVar[str] = "actor.exit"

    generation: int
    reason: ExitReason
    uptime: float
    phase: str
    expected: bool

    @property
    def severity(self) -> str:
        """An end nobody asked for is an error."""
        return "info" if self.expected else "error"


class RestartScheduled(Event, frozen=True):
    """A supervisor decided to restart `path` (and what its strategy binds to it).

    Attributes:
        supervisor: Path of the supervisor that decided.
        strategy: Its strategy.
        generation: The instance that ended.
        attempt: Which try of this restart, from 1.
        delay: Seconds until it is carried out.
        group: Paths restarted together, in start order.
        restarts: Restarts inside the supervisor's window, this one included.
        intensity: How many are allowed.
        reason: Why the instance ended.
        parked: Whether this is one of the slow tries after the limit was reached, which count against nothing.
    """

    TOPIC: ClassVar[str] = "supervisor.restart"
    SEVERITY: ClassVar[str] = "warning"

    supervisor: str
    strategy: str
    generation: int
    attempt: int
    delay: float
    group: tuple[str, ...]
    restarts: int
    intensity: int
    reason: ExitReason
    parked: bool = False


class LimitReached(Event, frozen=True):
    """A restart budget was exceeded.

    Attributes:
        scope: `supervisor` or `child`.
        action: `escalate`, `quarantine` or `park`.
        restarts: Restarts counted inside `period` seconds.
        reason: The end that tripped it, with its cause chain.
    """

    TOPIC: ClassVar[str] = "supervisor.limit"
    SEVERITY: ClassVar[str] = "error"

    scope: str
    action: str
    restarts: int
    intensity: int
    period: float
    reason: ExitReason


class UsageHigh(Event, frozen=True):
    """A process uses more than its soft bound; said once until it has fallen well below.

    Attributes:
        resource: `memory` or `cpu`.
        used: Bytes, or processors on average.
        bound: What it should stay within.
    """

    TOPIC: ClassVar[str] = "process.usage"
    SEVERITY: ClassVar[str] = "warning"

    resource: str
    used: float
    bound: float


class DeadLettered(Event, frozen=True):
    """A message nobody took; `path` is the actor it was for."""

    TOPIC: ClassVar[str] = "deadletter"
    SEVERITY: ClassVar[str] = "warning"

    message_type: str
    why: str
    sender: str = ""


class AskFailed(Event, frozen=True):
    """An ask of a supervised actor ended without its answer; `error` is the class and text."""

    TOPIC: ClassVar[str] = "ask"
    SEVERITY: ClassVar[str] = "warning"

    message_type: str
    error: str
    seconds: float


class CommandDone(Event, frozen=True):
    """A control command ended: the audit row.

    Attributes:
        command: Its name.
        caller: Who asked (`uid 1000 pid 4121`, or a key's name).
        why: The reason the caller gave.
        code: `ok`, or the error's code.
    """

    TOPIC: ClassVar[str] = "command"

    command: str
    caller: str
    why: str
    code: str
    seconds: float
    key: str = ""

    @property
    def severity(self) -> str:
        """A command that was refused or failed is a warning."""
        return "info" if self.code == "ok" else "warning"


class RunFinished(Event, frozen=True):
    """One execution of a loop cycle, a scheduled slot or a job.

    Attributes:
        run: Name of what ran.
        outcome: `succeeded`, `failed`, `skipped`, `timed-out`, `cancelled`; of slots that came late also `missed`,
            and `merged` into a later one.
        seconds: How long it took.
        detail: One line: the result's summary, or the error.
        slot_at: Of a schedule's run: the scheduled instant, wall seconds since the epoch; else 0.
        slots: How many slots in a row it tells of, from `slot_at` on.
        waited: Seconds from when it was due (a schedule's slot with its jitter, a job's time to run) to its start; of a
            job, of its last try. None where it did not start, or was not due at a time.
        schedule: Id of the schedule it was for, or empty.
        queue: Of a job: its queue; else empty.
        kind: Of a job: its kind; else empty.
    """

    TOPIC: ClassVar[str] = "run"

    run: str
    outcome: str
    seconds: float
    detail: str = ""
    slot_at: float = 0.0
    slots: int = 1
    waited: float | None = None
    schedule: str = ""
    queue: str = ""
    kind: str = ""

    @property
    def severity(self) -> str:
        """A run that failed or took too long is an error."""
        return "error" if self.outcome in {"failed", "timed-out"} else "info"


class ScheduleChanged(Event, frozen=True):
    """A schedule was put in force, changed or taken out; `path` is the scheduler.

    Attributes:
        schedule: Its id.
        state: `added`, `changed`, `removed`, `paused`, `resumed`, `ended`, `disabled`, `unwritten`: slots
            cannot be claimed on disk and wait, `written`: they can again. Of all schedules together: `catching-up`,
            `given-up`: more was missed than is caught up, `caught-up`.
        detail: The note, or why.
    """

    TOPIC: ClassVar[str] = "cron"

    schedule: str
    state: str
    detail: str = ""

    @property
    def severity(self) -> str:
        """What nobody asked for is a warning."""
        return "warning" if self.state in {"disabled", "unwritten", "given-up"} else "info"


class BreakerChanged(Event, frozen=True):
    """The circuit breaker of that key is `closed`, `open` or `half-open` now; `path` is whose it is."""

    TOPIC: ClassVar[str] = "cron"
    SEVERITY: ClassVar[str] = "warning"

    breaker: str
    state: str


class JobsRecovered(Event, frozen=True):
    """A queue of jobs began again with what an earlier one had accepted and not done.

    Attributes:
        waiting: Jobs that no worker had begun.
        repeated: Jobs that one had begun: they are done again from the start.
        failed: Jobs that one had begun, and that are not done again: so their queue says, or it happened too often.
        disabled: Jobs of kinds that have no handler here.
    """

    TOPIC: ClassVar[str] = "job"
    SEVERITY: ClassVar[str] = "warning"

    waiting: int
    repeated: int
    failed: int = 0
    disabled: int = 0


class JobRetried(Event, frozen=True):
    """A try of a job failed, and there will be another.

    Attributes:
        job: Its id.
        kind: Its kind.
        queue: Its queue.
        attempt: The try that failed.
        delay: Seconds until the next.
        why: Why it failed.
    """

    TOPIC: ClassVar[str] = "job"
    SEVERITY: ClassVar[str] = "warning"

    job: str
    kind: str
    queue: str
    attempt: int
    delay: float
    why: str


class JobsDisabled(Event, frozen=True):
    """Jobs wait for a program that has a handler for their kind.

    Attributes:
        count: How many.
        why: Why there is none here.
    """

    TOPIC: ClassVar[str] = "job"
    SEVERITY: ClassVar[str] = "error"

    count: int
    why: str


class QueueChanged(Event, frozen=True):
    """A person paused, resumed, drained or throttled a queue of jobs.

    Attributes:
        queue: Its name.
        state: `open`, `paused` or `draining`.
        detail: The note, or the new rate.
    """

    TOPIC: ClassVar[str] = "job"

    queue: str
    state: str
    detail: str = ""


class MetricSampled(Event, frozen=True):
    """One measured value; `unit` is `bytes`, `ratio`, `seconds`, `count` or `per_second`."""

    TOPIC: ClassVar[str] = "metric"

    name: str
    value: float
    unit: str


class SpareChanged(Event, frozen=True):
    """A spare, a process that waits to become a child, or the nursery from which spares are made, changed.

    `path` is the child that it became, or the last child of its class; `/` for the nursery.

    Attributes:
        state: `ready`: it waits; `used`: it became the child; `failed`: it did not get ready; `lost`: it ended while it
            waited or was handed over; `discarded`: it was ended, `detail` says why; `nursery-started`, `nursery-lost`.
        target: Its class, `package.module:Class`; "" for the nursery.
        pid: Its process, 0 where there was none.
        detail: One line more.
    """

    TOPIC: ClassVar[str] = "spare"

    state: str
    target: str
    pid: int
    detail: str = ""

    @property
    def severity(self) -> str:
        """What was lost or failed is a warning: the child starts all the same, only later."""
        return "warning" if self.state in {"lost", "failed", "nursery-lost"} else "info"


class HistoryLost(Event, frozen=True):
    """Rows were dropped before they could be stored; `why` says where."""

    TOPIC: ClassVar[str] = "history"
    SEVERITY: ClassVar[str] = "error"

    rows: int
    why: str


class NodeChanged(Event, frozen=True):
    """The node's own state: `created`, `starting`, `running`, `paused`, `draining`, `stopping`, `stopped`, `failed`."""

    TOPIC: ClassVar[str] = "daemon"

    state: str
    detail: str = ""


class PeerRefused(Event, frozen=True):
    """A visitor at one of the node's sockets was not let in, or sent more than it may.

    Attributes:
        address: Where it came from, or "" where that is not known.
        peer: Who it was: `key NAME`, `uid 1000 pid 4121`, or the public key that is on no list.
        why: What was wrong.
        count: How often since the last event about it.
    """

    TOPIC: ClassVar[str] = "daemon"
    SEVERITY: ClassVar[str] = "warning"

    address: str
    peer: str
    why: str
    count: int = 1


class LogLevelChanged(Event, frozen=True):
    """Other log records are kept of some actors than the configuration says, or no longer.

    Attributes:
        selector: The path or glob it is about.
        level: `debug`, `info`, `warning` or `error`; "" where the configured one counts again.
        seconds: How long it will count; 0 where it ends now.
        author: Who wanted it, or "" where its time is over.
    """

    TOPIC: ClassVar[str] = "daemon"

    selector: str
    level: str
    seconds: float
    author: str = ""
    why: str = ""


EVENT_TYPES: tuple[type[Event], ...] = (
    ActorStarted,
    ActorIgnored,
    ActorStateChanged,
    ActorReported,
    ActorStartFailed,
    ActorExited,
    CrashRecorded,
    RestartScheduled,
    TreeChanged,
    LimitReached,
    UsageHigh,
    DeadLettered,
    AskFailed,
    CommandDone,
    RunFinished,
    ScheduleChanged,
    BreakerChanged,
    JobsRecovered,
    JobRetried,
    JobsDisabled,
    QueueChanged,
    MetricSampled,
    SpareChanged,
    HistoryLost,
    NodeChanged,
    PeerRefused,
    LogLevelChanged,
)
