"""What the tree looks like now: the published states of all supervisors, read without asking any of them.

Every supervisor publishes the immutable state of its core after each step, so a snapshot costs the tree nothing and is
answered in a restart storm as fast as in peace. States of different supervisors may be a step apart.
"""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
from msgspec import Struct

from actors.addresses import join, name_of, parent_of
from actors.core.mailbox import ActorStatistics
from actors.exits import ExitReason
from supervisors.branches import Branch, branch_at
from supervisors.core import (
    Active,
    Child,
    Down,
    DownWhy,
    Ended,
    Fresh,
    Held,
    Quarantined,
    Restarting,
    Running,
    Starting,
    StartingUp,
    State,
    Stopping,
)
from supervisors.programs import ProgramStart
from supervisors.specs import ChildSpec, ChildType, ImportStart, LocalStart, SupervisorSpec
from supervisors.supervisor import Services, Supervisor
from supervisors.views import BudgetView, NodeKind, NodeState, NodeView, SpecView, instant

_UP = frozenset({NodeState.READY, NodeState.SUSPENDED})
_NOT_EXPECTED = frozenset({NodeState.NOT_CONFIGURED, NodeState.FINISHED})
"""States of workers that are rightly not running, and so do not count as missing."""

_DOWN = {
    DownWhy.WAITING: NodeState.WAITING,
    DownWhy.NOT_STARTED: NodeState.STOPPED,
    DownWhy.FINISHED: NodeState.FINISHED,
    DownWhy.IGNORED: NodeState.NOT_CONFIGURED,
    DownWhy.TERMINATED: NodeState.STOPPED,
    DownWhy.FAILED: NodeState.FAILED,
    DownWhy.ABANDONED: NodeState.ABANDONED,
}


def nodes(services: Services, path: str = "/", depth: int | None = None) -> tuple[NodeView, ...]:
    """Return the node at `path` and everything below it, `depth` levels down, parents before their children.

    Empty where there is no such node. The views' own `children` are empty. May be called on any thread.
    """
    reading = _Reading(services)
    if path == "/":
        root = services.supervisors.get("/")
        return tuple(reading.root(root, depth)) if root is not None else ()
    found = find(services, path)
    if found is not None:
        return tuple(reading.child(found[0], found[1], depth)[0])
    branch = branch_at(services, path)
    return tuple(branch.nodes(path, depth)) if branch is not None else ()


def top(services: Services, path: str) -> NodeView | None:
    """Return the view of the supervisor at `path` by what it knows itself; None where it does not run."""
    supervisor = services.supervisors.get(path)
    return _Reading(services).root(supervisor, 0)[0] if supervisor is not None else None


def is_up(state: NodeState) -> bool:
    """Whether a worker in this state counts as ready."""
    return state in _UP


def is_expected(state: NodeState) -> bool:
    """Whether a worker in this state counts among those that should be ready."""
    return state not in _NOT_EXPECTED


def find(services: Services, path: str) -> tuple[Supervisor, Child] | None:
    """Return the supervisor of the child at `path` and the child's record, where they are of this process.

    None for the root, for unknown paths, and for what runs in a subtree process (`supervisors.branches.record_of`).
    """
    parent = parent_of(path)
    supervisor = services.supervisors.get(parent) if parent is not None else None
    child = supervisor.published.children.get(name_of(path)) if supervisor is not None else None
    return (supervisor, child) if supervisor is not None and child is not None else None


def paths(services: Services) -> list[str]:
    """Return the path of every node there is, parents before their children."""
    found: list[str] = []
    branches = services.trunk.branches
    waiting = ["/"] if "/" in services.supervisors else []
    while waiting:
        path = waiting.pop()
        found.append(path)
        supervisor = services.supervisors.get(path)
        if supervisor is not None:
            waiting.extend(join(path, child.id) for child in reversed(_in_order(supervisor.published)))
        elif path in branches:
            found.extend(branches[path].paths())
    return found


def count_ready(services: Services) -> tuple[int, int]:
    """Return how many workers are ready, and how many should be; makes no views, so it costs little."""
    ready = total = 0
    for path, supervisor in list(services.supervisors.items()):
        for child in supervisor.published.children.values():
            state = child.state
            if child.spec.type is ChildType.SUPERVISOR:
                below = join(path, child.id)
                total += below not in services.supervisors and below not in services.trunk.branches
            elif isinstance(state, Running):
                ready += 1
                total += 1
            elif not (isinstance(state, Down) and _DOWN[state.why] in _NOT_EXPECTED):
                total += 1
    for branch in list(services.trunk.branches.values()):
        of_ready, of_total = branch.counts()
        ready += of_ready
        total += of_total
    return ready, total


def spec_view(spec: ChildSpec) -> SpecView:
    """Return `spec` as plain text fields; arguments by their `repr`, in which secrets show their names only."""
    start = spec.start
    if isinstance(start, SupervisorSpec):
        target, arguments = f"supervisor {start.strategy.value}", {}
    elif isinstance(start, ImportStart):
        target, arguments = start.target, {key: repr(value) for key, value in start.kwargs.items()}
    elif isinstance(start, ProgramStart):
        target, arguments = shlex.join(start.command), _program_arguments(start)
    else:
        assert isinstance(start, LocalStart)  # the last of the four
        make: Any = start.make
        target = f"{getattr(make, '__module__', '?')}:{getattr(make, '__qualname__', repr(make))}"
        arguments = {str(at): repr(value) for at, value in enumerate(start.args)}
        arguments |= {key: repr(value) for key, value in start.kwargs.items()}
    backoff = spec.backoff
    text = "none" if backoff.first == 0 else f"{backoff.first:g} s, x{backoff.factor:g}, at most {backoff.max:g} s"
    return SpecView(
        id=spec.id,
        start=target,
        arguments=arguments,
        restart=spec.restart.value,
        shutdown=spec.shutdown if isinstance(spec.shutdown, str) else f"{spec.shutdown:g} s",
        kind=NodeKind.SUPERVISOR if spec.type is ChildType.SUPERVISOR else NodeKind.WORKER,
        significant=spec.significant,
        runs_in=spec.placement,
        start_timeout=spec.start_timeout,
        backoff=text,
        needs=spec.needs,
        mailbox_capacity=spec.mailbox.capacity if spec.mailbox is not None else None,
        mailbox_full=spec.mailbox.full if spec.mailbox is not None else "",
        heartbeat=spec.heartbeat.every if spec.heartbeat is not None else None,
        memory_max_bytes=spec.memory_max_bytes,
        spares=spec.spares,
    )


def _program_arguments(start: ProgramStart) -> dict[str, str]:
    """What differs from the defaults; of variables and secrets the names alone."""
    told = {name: value for name, value in _differing(start).items() if name != "command"}
    for name in ("environment", "secrets"):
        if name in told:
            told[name] = ", ".join(getattr(start, name))
    return told


def _differing(value: Struct) -> dict[str, str]:
    """The fields of a value that differ from their defaults, those of values in it too."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(value):
        inner = getattr(value, field.name)
        if isinstance(inner, Struct):
            text = ", ".join(f"{name}={text}" for name, text in _differing(inner).items())
            if text:
                found[field.name] = text
        elif inner != field.default and inner not in ({}, ()):
            found[field.name] = repr(inner)
    return found


def _in_order(state: State) -> list[Child]:
    return sorted(state.children.values(), key=lambda child: child.position)


class _Counts(Struct, gc=False):
    """What a supervisor's view says of all below it."""

    ready: int = 0
    total: int = 0


class _Reading:
    """One reading of the tree: the instant it is made at, and the clock's offset to the wall."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._now = services.system.clock.monotonic()
        self._wall = services.system.clock.time() - self._now

    def root(self, root: Supervisor, depth: int | None) -> list[NodeView]:
        state = root.published
        if isinstance(state.phase, Active):
            shown = NodeState.READY
        else:
            shown = NodeState.STARTING if isinstance(state.phase, (Fresh, StartingUp)) else NodeState.STOPPING
        below, fields, _ = self._below(root, depth)
        view = NodeView(path=state.path, kind=NodeKind.SUPERVISOR, state=shown, placement="pool", generation=1,
                        pid=self._services.pid, restart="permanent", **fields)  # fmt: skip
        return [view, *below]

    def child(self, supervisor: Supervisor, child: Child, depth: int | None) -> tuple[list[NodeView], _Counts]:
        """The views of a child and of all below it, and what its supervisor counts."""
        now = self._now
        spec = child.spec
        held = supervisor.handles.get(child.id)
        handle = held[1] if held is not None and held[0] == child.generation else None
        fields = _lasting(supervisor, child).copy()
        path: str = fields["path"]
        is_supervisor = fields["kind"] is NodeKind.SUPERVISOR
        generation = child.generation
        if generation:
            fields["placement"] = spec.placement
            fields["generation"] = generation
            fields["restarts"] = child.restarts
        _put_state(fields, child, now, self._wall)
        if child.last_exit is not None:
            fields["last_reason"] = _one_line(child.last_exit)
        if spec.budget is not None:
            count = child.window.count(now, spec.budget.period)
            fields["budget"] = BudgetView(
                restarts=count, intensity=spec.budget.intensity, period=float(spec.budget.period)
            )
        if handle is not None:
            fields["pid"] = handle.pid or self._services.pid
        below: list[NodeView] = []
        if is_supervisor:
            running = self._services.supervisors.get(path)
            branch: Branch | None = self._services.trunk.branches.get(path)
            if running is not None:
                below, more, counts = self._below(running, None if depth is None else depth - 1)
                fields |= more
            elif branch is not None:
                below, counts = _put_branch(fields, branch, None if depth is None else depth - 1)
            else:
                counts = _Counts(0, 1)
                if isinstance(spec.start, SupervisorSpec):
                    fields["strategy"] = spec.start.strategy.value
        else:
            shown = fields["state"]
            counts = _Counts(shown in _UP, shown not in _NOT_EXPECTED)
            if handle is not None:
                if handle.note:
                    fields["note"] = handle.note
                _put_activity(fields, handle.figures(), now)
        return [NodeView(**fields), *below], counts

    def _below(self, supervisor: Supervisor, depth: int | None) -> tuple[list[NodeView], dict[str, Any], _Counts]:
        """The views below a supervisor, and the fields of its own view that its own state gives."""
        state = supervisor.published
        spec = state.spec
        views: list[NodeView] = []
        counts = _Counts()
        children = _in_order(state)
        for child in children:
            found, of_child = self.child(supervisor, child, depth)
            views += found
            counts.ready += of_child.ready
            counts.total += of_child.total
        used = state.window.count(self._now, spec.period)
        fields: dict[str, Any] = {
            "strategy": spec.strategy.value,
            "limit": BudgetView(restarts=used, intensity=spec.intensity, period=float(spec.period)),
            "ready": counts.ready,
            "total": counts.total,
        }
        if depth is not None and depth <= 0:
            fields["hidden"] = len(children)
            views = []
        return views, fields, counts


def _put_branch(fields: dict[str, Any], branch: Branch, depth: int | None) -> tuple[list[NodeView], _Counts]:
    """Put what a subtree in another process last said of its top; return the views below it and its counts."""
    said, below, (ready, total) = branch.top(depth)
    if said is not None:
        fields["strategy"] = said.strategy
        fields["limit"] = said.limit
    fields["ready"] = ready
    fields["total"] = total
    if depth is not None and depth <= 0:
        fields["hidden"] = said.hidden if said is not None else 0
    doubt = branch.doubt()
    if doubt and fields["state"] in _UP:
        fields["state"] = NodeState.UNKNOWN
        fields["why"] = doubt
    return below, _Counts(ready, total)


def _lasting(supervisor: Supervisor, child: Child) -> dict[str, Any]:
    """The fields that hold for as long as the child has this spec, kept beside the supervisor."""
    kept = supervisor.views.get(child.id)
    if kept is not None and kept[0] is child.spec:
        return kept[1]
    spec = child.spec
    fields: dict[str, Any] = {
        "path": join(supervisor.published.path, child.id),
        "kind": NodeKind.SUPERVISOR if spec.type is ChildType.SUPERVISOR else NodeKind.WORKER,
        "restart": spec.restart.value,
        "significant": spec.significant,
    }
    supervisor.views[child.id] = (spec, fields)
    return fields


def _put_state(fields: dict[str, Any], child: Child, now: float, wall: float) -> None:
    """Put the state, and what a reader must know of it, from the core's state of the child."""
    state = child.state
    if isinstance(state, Running):
        fields["state"] = NodeState.SUSPENDED if state.suspended else NodeState.READY
        fields["uptime"] = max(0.0, now - state.since)
        fields["state_at"] = instant(wall + state.since)
    elif isinstance(state, Starting):
        fields["state"] = NodeState.STARTING
        fields["attempt"] = child.attempt
        fields["state_at"] = instant(wall + state.since)
    elif isinstance(state, Restarting):
        fields["state"] = NodeState.PARKED if state.parked else NodeState.RESTARTING
        fields["attempt"] = child.attempt
        fields["next_in"] = max(0.0, state.next_at - now)
        fields["next_at"] = instant(wall + state.next_at)
    elif isinstance(state, Ended):
        fields["state"] = NodeState.RESTARTING
        fields["attempt"] = child.attempt
        fields["why"] = "its group is being restarted"
    elif isinstance(state, Stopping):
        fields["state"] = NodeState.STOPPING
        fields["why"] = "killed" if state.killed else ""
    elif isinstance(state, Held):
        hold = state.hold
        fields["state"] = NodeState.STOPPED
        fields["stopped_by"] = hold.author
        fields["stopped_why"] = hold.why
        fields["state_at"] = instant(hold.at) if hold.at else None
    elif isinstance(state, Quarantined):
        fields["state"] = NodeState.QUARANTINED
        fields["why"] = f"restarted too often: {_one_line(state.reason)}"
    else:
        assert isinstance(state, Down)  # the last of the eight
        fields["state"] = _DOWN[state.why]
        fields["why"] = state.detail


def _put_activity(fields: dict[str, Any], figures: ActorStatistics | None, now: float) -> None:
    """Put what the running instance says of its mailbox; nothing for one that has not said anything yet."""
    if figures is None:
        return
    fields["mailbox"] = figures.depth
    fields["handled"] = figures.handled
    fields["failed"] = figures.failed
    fields["dropped"] = figures.dropped + figures.rejected
    if figures.handling is not None:
        fields["handling"] = figures.handling
        if figures.handling_since is not None:
            fields["handling_for"] = max(0.0, now - figures.handling_since)


def _one_line(reason: ExitReason) -> str:
    return str(reason).split("\n", 1)[0]
