"""Views of the tree and of one node in it: `tree`, `describe`, `why`, `events`, `status`."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import structs

from actors.addresses import parent_of
from supervisors.views.base import Instant, View
from supervisors.views.levels import LevelView
from supervisors.views.processes import SendingView, SparesView


class NodeKind(Enum):
    """What a node of the tree is."""

    SUPERVISOR = "supervisor"
    WORKER = "worker"


class NodeState(Enum):
    """What a node of the tree is doing. A crash loop is `restarting`, never `ready`."""

    WAITING = "waiting"  # for its `needs`, or for its turn in the start order
    STARTING = "starting"
    READY = "ready"
    SUSPENDED = "suspended"
    RESTARTING = "restarting"  # between two tries; `attempt` and `next_at` say which and when
    STOPPING = "stopping"
    STOPPED = "stopped"  # by a person, or with its group; `stopped_by` tells
    FINISHED = "finished"  # ended by itself and is not restarted
    NOT_CONFIGURED = "not-configured"  # answered its start with ignore; `why` says what it needs
    QUARANTINED = "quarantined"  # used up its own budget
    PARKED = "parked"  # a supervisor over its limit that retries slowly
    ABANDONED = "abandoned"  # a thread that could not be killed; its late effects are fenced
    FAILED = "failed"  # gave up
    UNKNOWN = "unknown"  # its process does not answer; `why` has what it was last


class BudgetView(View, frozen=True, gc=False):
    """A restart budget: `restarts` of `intensity` used within the last `period` seconds."""

    restarts: int
    intensity: int
    period: float

    @property
    def left(self) -> int:
        """Restarts that are still allowed before it is exceeded."""
        return max(0, self.intensity - self.restarts)


CLOCKED = ("handling_for", "next_in", "uptime")
"""The fields of a `NodeView` that the clock alone changes, in their order there: the last ones."""


class NodeView(View, frozen=True, gc=False):
    """One supervisor or worker in the tree. What the clock alone changes (`CLOCKED`) stands last.

    Attributes:
        path: Its path; `/` is the root.
        kind: Supervisor or worker.
        state: What it is doing now.
        why: One line on the state: "not configured: set io.gmail.host", "waiting on /io/browser".
        placement: `pool`, `thread`, `process` or `program`; "" for one that never ran.
        pid: Process it runs in, where it runs.
        thread: Name of its thread, where it has one of its own.
        generation: Which instance at this path, from 1; 0 before the first.
        state_at: When the present state began.
        restart: Its restart type: `permanent`, `transient`, `temporary`.
        significant: Whether its end can end its supervisor.
        strategy: A supervisor's strategy.
        limit: A supervisor's restart budget.
        budget: A child's own budget, where it has one.
        restarts: Times this child was restarted since the node started.
        attempt: While restarting: which try, from 1.
        backoff: While restarting: the whole delay before this try.
        next_at: While restarting: when the try is due.
        mailbox: Messages waiting.
        handled: Messages handled by this instance.
        failed: Messages whose handler raised.
        dropped: Messages refused or dead-lettered because the mailbox was full.
        handling: Type of the message in its handler now.
        last_reason: Why the instance before ended: "crashed: ValueError: …".
        last_exit_at: When it ended.
        stopped_by: Who stopped, suspended or killed it: "uid 1000 pid 4121".
        stopped_why: The reason that person gave.
        note: The actor's own line about itself: "next: backup in 5h12m".
        memory_bytes: Resident memory of its process (of all of a program's) at the last look; None without one.
        cpu_ratio: Processors it used on average since the look before; 1.0 is one whole processor.
        threads: Threads of its process.
        open_files: Open descriptors of its process.
        ready: Supervisors: workers below that are ready.
        total: Supervisors: workers below that should be (not configured and finished ones are not counted).
        children: In start order; empty on the wire (`TreeView.nodes` is flat) and in flat lists.
        hidden: Children left out because of `depth`.
        handling_for: Seconds the handler has taken so far.
        next_in: While restarting: seconds from now until the try.
        uptime: Seconds since it became ready; None while it is not.
    """

    path: str
    kind: NodeKind
    state: NodeState
    why: str = ""
    placement: str = ""
    pid: int | None = None
    thread: str = ""
    generation: int = 0
    state_at: Instant | None = None
    restart: str = ""
    significant: bool = False
    strategy: str = ""
    limit: BudgetView | None = None
    budget: BudgetView | None = None
    restarts: int = 0
    attempt: int = 0
    backoff: float | None = None
    next_at: Instant | None = None
    mailbox: int = 0
    handled: int = 0
    failed: int = 0
    dropped: int = 0
    handling: str = ""
    last_reason: str = ""
    last_exit_at: Instant | None = None
    stopped_by: str = ""
    stopped_why: str = ""
    note: str = ""
    memory_bytes: int | None = None
    cpu_ratio: float | None = None
    threads: int | None = None
    open_files: int | None = None
    ready: int = 0
    total: int = 0
    children: tuple[NodeView, ...] = ()
    hidden: int = 0
    handling_for: float | None = None
    next_in: float | None = None
    uptime: float | None = None


class HeaderView(View, frozen=True, gc=False):
    """The node that answered.

    Attributes:
        state: `created`, `starting`, `running`, `paused`, `draining`, `stopping`, `stopped` or `failed`.
        ready: Workers that are ready.
        total: Workers that should be.
        restarts: Restarts since the node started.
        restarts_day: Restarts within the last 24 hours, of this run of the node.
        level: Degradation level, where one is kept.
        seq: Number of the newest event this answer knows of; taps continue after it.
        epoch: Identifies this run of the node; sequence numbers start anew with it.
        at: The instant of an answer from the history; None for an answer of the node itself, which is of now.
    """

    name: str
    version: str
    pid: int
    home: str
    state: str
    uptime: float
    started_at: Instant
    ready: int = 0
    total: int = 0
    restarts: int = 0
    restarts_day: int = 0
    level: str = ""
    seq: int = 0
    epoch: str = ""
    at: Instant | None = None


class TreeView(View, frozen=True, gc=False):
    """Answer to `tree`: the tree, flat on the wire so that its depth meets no limit there.

    Attributes:
        nodes: In tree order: parents before children, children in start order; the first is the root of the answer.
            Their `children` are empty.
    """

    header: HeaderView
    nodes: tuple[NodeView, ...]

    def nested(self) -> NodeView:
        """Return the root with its `children` filled in, theirs too, and so on.

        Raises:
            ValueError: There is no node, or one stands before its parent or without it.
        """
        waiting: dict[str, list[NodeView]] = {}
        for node in reversed(self.nodes):
            below = waiting.pop(node.path, None)
            if below is not None:
                node = structs.replace(node, children=tuple(reversed(below)))
            waiting.setdefault(parent_of(node.path) or "", []).append(node)
        roots = [node for nodes in waiting.values() for node in nodes]
        if len(roots) != 1:
            raise ValueError(f"no tree: {len(self.nodes)} nodes with {len(roots)} roots")
        return roots[0]


class SpecView(View, frozen=True):
    """A child spec with its defaults filled in; secrets by their names only.

    Attributes:
        start: "package.module:Class", or a program's command line.
        arguments: Start arguments, each as text.
        shutdown: Seconds as text, `infinity` or `brutal_kill`.
        origin: Where it was written: "actors.toml:41".
    """

    id: str
    start: str
    arguments: dict[str, str] = {}
    restart: str = ""
    shutdown: str = ""
    kind: NodeKind = NodeKind.WORKER
    significant: bool = False
    runs_in: str = ""
    start_timeout: float | None = None
    backoff: str = ""
    needs: tuple[str, ...] = ()
    mailbox_capacity: int | None = None
    mailbox_full: str = ""
    heartbeat: float | None = None
    memory_max_bytes: int | None = None
    spares: int = 0
    bounds: dict[str, float] = {}
    origin: str = ""


class EventRow(View, frozen=True):
    """One event.

    Attributes:
        seq: Its number on the node's bus; the history row has the same.
        at: When it happened.
        topic: Its class in tap topics: `actor.exit`.
        type: Its class: `ActorExited`.
        path: The actor it is about.
        severity: `info`, `warning` or `error`.
        text: One line for people.
        data: The event's own fields as plain data.
    """

    seq: int
    at: Instant
    topic: str
    path: str
    type: str = ""
    severity: str = "info"
    text: str = ""
    data: dict[str, Any] = {}


class EventsView(View, frozen=True):
    """Answer to `events`: oldest first; `truncated` when older ones matched too, `head` the newest number there is."""

    items: tuple[EventRow, ...]
    head: int = 0
    truncated: bool = False


class KeptView(View, frozen=True, gc=False):
    """The last snapshot that an actor kept: how many it kept so far, its version, when, and its bytes."""

    number: int
    version: int
    kept_at: Instant
    size_bytes: int


class DescribeView(View, frozen=True):
    """Answer to `describe`: one node with its spec, recent events and, on request, its state.

    Attributes:
        node: With its direct children.
        state: What the actor's `state_view()` gave; None when not asked for, or when it did not answer.
        links: Paths or addresses it is linked to.
        monitors: Those it watches.
        monitored_by: Those that watch it.
        handlers: Message types it takes.
        spares: Those of its class, where its spec asks for any.
        sending: What is on its way to it, where it runs in another process and anything is, or was turned away.
        drift: In what it differs from what the configuration files say now; empty where it does not.
        kept: Its last snapshot in the file of state; None where it keeps none.
        log_level: What is kept of its log for a while; None where that is as configured.
        at: The instant of an answer from the history, which knows of spec, links and handlers nothing; else None.
    """

    node: NodeView
    spec: SpecView | None = None
    state: dict[str, Any] | None = None
    links: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    monitored_by: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    spares: SparesView | None = None
    sending: SendingView | None = None
    events: tuple[EventRow, ...] = ()
    drift: tuple[str, ...] = ()
    log_level: LevelView | None = None
    kept: KeptView | None = None
    at: Instant | None = None


class HistoryView(View, frozen=True, gc=False):
    """The recorder: `state` is that of its actor; `pending_rows` wait to be stored; `lost_rows` never will be."""

    state: str
    path: str = ""
    size_bytes: int = 0
    stored_rows: int = 0
    pending_rows: int = 0
    lost_rows: int = 0
    last_write_at: Instant | None = None


class StatusView(View, frozen=True):
    """Answer to `status`: the node on one page.

    Attributes:
        counts: Workers by state.
        unhealthy: Nodes in a state a person should look at, without children.
        cpu_ratio: CPU use of the node's own process over the last sample, 1.0 is one core; None before two samples.
        problems: Lines on what is wrong, empty when all is well; `status --check` answers 5 when there are any.
        http: Address of health and metrics, or "".
    """

    header: HeaderView
    counts: dict[str, int] = {}
    unhealthy: tuple[NodeView, ...] = ()
    dead_letters: int = 0
    history: HistoryView | None = None
    memory_bytes: int | None = None
    cpu_ratio: float | None = None
    threads: int | None = None
    processes: int | None = None
    problems: tuple[str, ...] = ()
    http: str = ""
