"""What the tree looks like now: the published states of all supervisors, read without asking any of them.

Every supervisor publishes the immutable state of its core after each step, so a reading costs the tree nothing and is
answered in a restart storm as fast as in peace. States of different supervisors may be a step apart. Lines that are as
they were are not made again (`supervisors.lines`): a reading costs what has changed, and a look at the rest.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.addresses import join, name_of, parent_of
from actors.core.redacting import Plainer
from actors.hiding import REDACTED
from supervisors.branches import Branch, branch_at
from supervisors.core import Active, Child, Fresh, StartingUp, State
from supervisors.lines import Below, Line, Lines, Moment, Run, counts, find_line
from supervisors.programs import ProgramStart
from supervisors.specs import ChildSpec, ChildType, ImportStart, LocalStart, SupervisorSpec
from supervisors.supervisor import Services, Supervisor
from supervisors.views import BudgetView, NodeKind, NodeState, NodeView, SpecView

CLOCK_TRIES: Final = 10

ARGUMENTS_BUDGET: Final = 8_000
"""Characters of the arguments of one actor that are shown."""

DRIFT: Final = 0.01
"""Seconds by which the wall clock moves against the monotonic one before instants in kept lines are made anew."""


def nodes(services: Services, path: str = "/", depth: int | None = None) -> tuple[NodeView, ...]:
    """Return the node at `path` and everything below it, `depth` levels down, parents before their children.

    Empty where there is no such node. The views' own `children` are empty. May be called on any thread.
    """
    reading = _Reading(services)
    reading.read(path, depth)
    found: list[NodeView] = []
    for block in reading.blocks:
        block.show(reading.moment.now, found)
    return tuple(found)


def encoded(services: Services, path: str = "/", depth: int | None = None) -> bytes | None:
    """Return the bytes that `nodes` has on the wire; None where there is no such node. May be called on any thread."""
    reading = _Reading(services)
    reading.read(path, depth)
    if not reading.blocks:
        return None
    count = sum(map(len, reading.blocks))
    parts = [_ARRAY_32 + count.to_bytes(4, "big")]
    for block in reading.blocks:
        block.write(reading.moment.now, parts)
    return b"".join(parts)


_ARRAY_32: Final = b"\xdd"
"""What a msgpack array of up to 2**32 - 1 items begins with, before their number."""


def top(services: Services, path: str) -> NodeView | None:
    """Return the view of the supervisor at `path` by what it knows itself; None where it does not run."""
    supervisor = services.supervisors.get(path)
    return _Reading(services).root(supervisor, 0) if supervisor is not None else None


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


def count_ready(services: Services, path: str = "/") -> tuple[int, int]:
    """Return how many workers at and below the supervisor at `path` are ready, and how many should be."""
    ready = total = 0
    waiting = [path] if path in services.supervisors else []
    while waiting:
        path = waiting.pop()
        supervisor = services.supervisors.get(path)
        if supervisor is None:
            branch: Branch | None = services.trunk.branches.get(path)
            of_ready, of_total = branch.counts() if branch is not None else (0, 1)  # down: it counts for all below it
            ready += of_ready
            total += of_total
            continue
        kept, children = supervisor.lines, supervisor.published.children
        if kept.children is children:
            for block in kept.blocks:
                if isinstance(block, Run):
                    ready += block.ready
                    total += block.total
                elif block.child is not None:
                    waiting.append(join(path, block.child.id))
            continue
        for child in children.values():
            if _is_supervisor(child):
                waiting.append(join(path, child.id))
            else:
                is_ready, is_expected = counts(child)
                ready += is_ready
                total += is_expected
    return ready, total


def spec_view(spec: ChildSpec) -> SpecView:
    """Return `spec` as plain text fields; arguments that are secret by their name, or are a secret, are hidden."""
    start = spec.start
    if isinstance(start, SupervisorSpec):
        target, arguments = f"supervisor {start.strategy.value}", {}
    elif isinstance(start, ImportStart):
        target, arguments = start.target, _shown(start.kwargs)
    elif isinstance(start, ProgramStart):
        target, arguments = shlex.join(start.command), _program_arguments(start)
    else:
        assert isinstance(start, LocalStart)  # the last of the four
        make: Any = start.make
        target = f"{getattr(make, '__module__', '?')}:{getattr(make, '__qualname__', repr(make))}"
        arguments = _shown({str(at): value for at, value in enumerate(start.args)})
        arguments |= _shown(start.kwargs)
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
        bounds={name: float(value) for name, value in msgspec.structs.asdict(spec.bounds).items() if value is not None},
    )


def _shown(arguments: Mapping[str, Any]) -> dict[str, str]:
    shown = Plainer(ARGUMENTS_BUDGET).variables(dict(arguments))
    return {key: value if value == REDACTED else repr(value) for key, value in shown.items()}


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
    return sorted(state.children.values(), key=_position)


def _position(child: Child) -> int:
    return child.position


def _is_supervisor(child: Child) -> bool:
    return child.spec.type is ChildType.SUPERVISOR


def _moment(services: Services) -> Moment:
    """Return this moment; both clocks are read anew where another thread ran between the two."""
    clock = services.system.clock
    for _ in range(CLOCK_TRIES):
        now = clock.monotonic()
        wall = clock.time() - now
        if clock.monotonic() - now < DRIFT / 10:
            break
    return Moment(now, wall, services.pid)


class _Reading:
    """One reading of the tree.

    Attributes:
        moment: When it is made.
        blocks: What was read, parents before their children; nothing where there is no such node.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.moment = _moment(services)
        self.blocks: list[Run | Line] = []

    def read(self, path: str, depth: int | None) -> None:
        """Read the node at `path` and `depth` levels below it."""
        found = find(self._services, path)
        root = self._services.supervisors.get("/") if path == "/" else None
        branch = branch_at(self._services, path)
        if root is not None:
            self.root(root, depth)
        elif found is not None:
            supervisor, child = found
            if _is_supervisor(child):
                self._supervisor(supervisor, child, None, depth)
            else:
                self.blocks.append(self._line(supervisor, child, None))
        elif branch is not None:
            self.blocks += [Line(view, ()) for view in branch.nodes(path, depth)]

    def root(self, root: Supervisor, depth: int | None) -> NodeView:
        """Read a supervisor as the top of its own tree, and `depth` levels below it; return its view."""
        phase = root.published.phase
        if isinstance(phase, Active):
            shown = NodeState.READY
        else:
            shown = NodeState.STARTING if isinstance(phase, (Fresh, StartingUp)) else NodeState.STOPPING
        self.blocks.append(_UNREAD)
        below = self._below(root, depth)
        view = NodeView(path=root.published.path, kind=NodeKind.SUPERVISOR, state=shown, placement="pool", generation=1,
                        pid=self._services.pid, restart="permanent", **below.fields())  # fmt: skip
        self.blocks[0] = Line(view, ())
        return view

    def _supervisor(self, parent: Supervisor, child: Child, kept: Line | None, depth: int | None) -> Line:
        """Read a child that is a supervisor, and all below it."""
        place = len(self.blocks)
        self.blocks.append(_UNREAD)
        path = join(parent.published.path, child.id)
        depth = None if depth is None else depth - 1
        running = self._services.supervisors.get(path)
        branch: Branch | None = self._services.trunk.branches.get(path)
        if running is not None:
            below = self._below(running, depth)
        elif branch is not None:
            below = self._branch(branch, depth)
        else:
            start = child.spec.start
            below = Below(start.strategy.value if isinstance(start, SupervisorSpec) else "")
        line = self.blocks[place] = self._line(parent, child, kept, below)
        return line

    def _below(self, supervisor: Supervisor, depth: int | None) -> Below:
        """Read what is below a supervisor, and return what its own line says of it."""
        state = supervisor.published
        spec = state.spec
        hidden = ready = total = 0
        if depth is not None and depth <= 0:
            hidden = len(state.children)
            ready, total = count_ready(self._services, state.path)
        else:
            wall, blocks = self._kept(supervisor, state)
            for at, block in enumerate(blocks):
                if isinstance(block, Run):
                    self.blocks.append(block)
                else:
                    assert block.child is not None  # the root alone is nobody's child
                    block = blocks[at] = self._supervisor(supervisor, block.child, block, depth)
                ready += block.ready
                total += block.total
            supervisor.lines = Lines(wall, state.children, tuple(blocks))
        used = state.window.count(self.moment.now, spec.period)
        limit = BudgetView(restarts=used, intensity=spec.intensity, period=float(spec.period))
        return Below(spec.strategy.value, True, limit, ready, total, hidden)

    def _branch(self, branch: Branch, depth: int | None) -> Below:
        """Take what a subtree in another process last said of its nodes, and return what its top's line says of it."""
        said, views, (ready, total) = branch.top(depth)
        self.blocks += [Line(view, ()) for view in views]
        is_cut = depth is not None and depth <= 0
        if said is None:
            return Below("", True, None, ready, total, 0, branch.doubt())
        return Below(
            said.strategy,
            True,
            said.limit,
            ready,
            total,
            said.hidden if is_cut else 0,
            branch.doubt(),
            said.note,
            said.memory_bytes,
            is_apart=total > 0 and branch.counts() == (0, 0),
        )

    def _kept(self, supervisor: Supervisor, state: State) -> tuple[float, list[Run | Line]]:
        """Return the blocks of a supervisor's children, and the `wall` of the oldest line in them.

        They are those of the last reading, with what has changed made anew; of children that are supervisors, they are
        as they were then, or hold their place.
        """
        kept = supervisor.lines

        def look(line: Line) -> Line:
            assert line.child is not None  # as above
            return self._line(supervisor, line.child, line)

        if abs(kept.wall - self.moment.wall) > DRIFT:
            kept = Lines(self.moment.wall)
        if kept.children is state.children:
            return kept.wall, [block.again(look) if isinstance(block, Run) else block for block in kept.blocks]
        known = [block.lines if isinstance(block, Run) else [block] for block in kept.blocks]
        old = {line.child.id: line for lines in known for line in lines if line.child is not None}
        blocks: list[Run | Line] = []
        for is_supervisor, children in groupby(_in_order(state), _is_supervisor):
            lines: list[Line] = []
            for child in children:
                line = old.get(child.id)
                if line is None or line.child is not child:
                    line = Line(_UNREAD_VIEW, (), child) if is_supervisor else self._line(supervisor, child, line)
                lines.append(line)
            blocks += lines if is_supervisor else [Run(lines).again(look)]
        return kept.wall, blocks

    def _line(self, supervisor: Supervisor, child: Child, kept: Line | None, below: Below | None = None) -> Line:
        held = supervisor.handles.get(child.id)
        handle = held[1] if held is not None and held[0] == child.generation else None
        return find_line(self.moment, kept, child, handle, join(supervisor.published.path, child.id), below)


_UNREAD_VIEW: Final = NodeView(path="", kind=NodeKind.SUPERVISOR, state=NodeState.WAITING)
_UNREAD: Final = Line(_UNREAD_VIEW, ())
"""Keeps a supervisor's place before its children until they have been read."""
