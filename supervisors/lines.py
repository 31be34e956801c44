"""The lines of a tree: each node as readers see it, kept from one reading to the next.

A line is made of what the supervisor published of a child, of the figures of its mailbox, and of the sums of what lies
below it. While those are the same, so is the line: its view, and the bytes that the view has on the wire. What the
clock alone changes (`views.CLOCKED`) stays open in both and is filled in at each reading.

Lines are made and read on any thread: none is changed after it was made, but for its bytes, which come out the same
whoever makes them first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from actors.core.cell import Cell
from actors.core.inspection import resting
from actors.core.mailbox import ActorStatistics
from supervisors.children import ChildHandle
from supervisors.core import Child, Down, Ended, Held, Quarantined, Restarting, Running, Starting, Stopping
from supervisors.core.pages import Pages
from supervisors.telling import STATE_OF_DOWN, one_line
from supervisors.views import BudgetView, NodeKind, NodeState, NodeView, instant, to_wire

_UP: Final = frozenset({NodeState.READY, NodeState.SUSPENDED})
_NOT_EXPECTED: Final = frozenset({NodeState.NOT_CONFIGURED, NodeState.FINISHED})

Clocks = tuple[tuple[str, float, float], ...]
"""Fields of a view that the clock changes, in the order of `CLOCKED`: (name, sign, at), `sign * (now - at)` seconds."""

Piece = tuple[bytes, float, float]
"""Bytes of a view up to a number that the clock changes, and that number's clock; sign 0.0 where none follows."""

_double: Final = struct.Struct(">d").pack
_DOUBLE_BYTES: Final = 8
_ZERO: Final = _double(0.0)
_MARK_BYTES: Final = 1
"""Before a short text, and before a number."""


class Moment(Struct, frozen=True, gc=False):
    """When and where a reading is made.

    Attributes:
        now: Monotonic instant.
        wall: What to add to a monotonic instant for seconds since the epoch.
        pid: This process, in which an instance runs that has none of its own.
    """

    now: float
    wall: float
    pid: int


class Below(Struct, frozen=True, gc=False):
    """What the line of a supervisor says beside the record that its parent has of it.

    Attributes:
        strategy: Its strategy.
        is_running: Whether it runs; one that does not counts as one worker that should.
        limit: Its restart budget, where it is known.
        ready: Workers below that are ready.
        total: Workers below that should be.
        hidden: Children that the answer leaves out.
        doubt: Why what is known may not be so any more, or "".
        note: A line about it, or "".
        memory_bytes: What all below takes, where that is known.
        is_apart: Whether what is below counts for nothing further up.
    """

    strategy: str
    is_running: bool = False
    limit: BudgetView | None = None
    ready: int = 0
    total: int = 1
    hidden: int = 0
    doubt: str = ""
    note: str = ""
    memory_bytes: int | None = None
    is_apart: bool = False

    def fields(self) -> dict[str, Any]:
        """Return what it gives to the supervisor's view, whatever its state."""
        if not self.is_running:
            return {"strategy": self.strategy}
        counts = {"ready": self.ready, "total": self.total, "hidden": self.hidden}
        said = {"note": self.note, "memory_bytes": self.memory_bytes} if self.note else {}
        return {"strategy": self.strategy, "limit": self.limit, **counts, **said}


class Line:
    """One node of the tree as it is shown, and what it was made of.

    Attributes:
        ready: Workers that are ready, here and below.
        total: Workers that should be.
        child: The record it was made of; None for the root.
        cell: The actor whose rest keeps the line as it is; None where there is none, or none in this process.
        mark: What `resting` says of the cell while the line holds; -1 for a line that must be looked at each time.
    """

    __slots__ = ("_clocks", "_made_of", "_pieces", "_view", "cell", "child", "mark", "ready", "total")

    def __init__(
        self,
        view: NodeView,
        clocks: Clocks,
        child: Child | None = None,
        made_of: tuple[object, ...] = (),
        cell: Cell | None = None,
        mark: int = -1,
        ready: int = 0,
        total: int = 0,
    ) -> None:
        """Make the line of `view`, which has the fields of `clocks` at any number."""
        self._view = view
        self._clocks = clocks
        self._made_of = made_of
        self._pieces: tuple[Piece, ...] | None = None
        self.child = child
        self.cell = cell
        self.mark = mark
        self.ready = ready
        self.total = total

    def __len__(self) -> int:
        return 1

    def is_of(self, child: Child, made_of: tuple[object, ...], mark: int) -> bool:
        """Whether a line made of these would say the same. A record that changed is another one."""
        return self.child is child and self.mark == mark and self._made_of == made_of

    def show(self, now: float, into: list[NodeView]) -> None:
        """Append the view at the monotonic instant `now`."""
        view = self._view
        if self._clocks:
            read = {field: max(0.0, sign * (now - at)) for field, sign, at in self._clocks}
            view = structs.replace(view, **read)
        into.append(view)

    def write(self, now: float, into: list[bytes]) -> None:
        """Append the bytes of that view on the wire."""
        for piece, sign, at in self.pieces():
            into.append(piece)
            if sign:
                into.append(_double(max(0.0, sign * (now - at))))

    def pieces(self) -> tuple[Piece, ...]:
        """Return the bytes of the view, cut at each number that the clock changes: those fields stand last."""
        if self._pieces is not None:
            return self._pieces
        data = msgspec.msgpack.encode(to_wire(self._view))
        numbers: list[int] = []
        end = len(data)
        for field, _, _ in reversed(self._clocks):
            numbers.append(end - _DOUBLE_BYTES)
            end -= _MARK_BYTES + len(field) + _MARK_BYTES + _DOUBLE_BYTES
        pieces: list[Piece] = []
        begin = 0
        for _, sign, at in self._clocks:
            number = numbers.pop()
            pieces.append((data[begin:number], sign, at))
            begin = number + _DOUBLE_BYTES
        self._pieces = found = tuple(pieces) or ((data, 0.0, 0.0),)
        return found


class Run:
    """Workers that stand side by side in the tree: looked at, and written, all at once.

    Attributes:
        lines: Theirs, in start order.
        ready: How many of them are ready.
        total: How many should be.
    """

    __slots__ = ("_cells", "_is_calm", "_marks", "_pieces", "lines", "ready", "total")

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.ready = sum([line.ready for line in lines])
        self.total = sum([line.total for line in lines])
        self._cells = [line.cell for line in lines]
        self._marks = [line.mark for line in lines]
        self._is_calm = -1 not in self._marks
        self._pieces: list[Piece] | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def again(self, look: Callable[[Line], Line]) -> Run:
        """Return the run as it is now, given that the records are the same; `look` does it for a single line."""
        marks = resting(self._cells)
        if self._is_calm and marks == self._marks:
            return self
        found = zip(self.lines, marks, strict=True)
        lines = [line if line.mark == mark and mark >= 0 else look(line) for line, mark in found]
        return self if lines == self.lines else Run(lines)

    def show(self, now: float, into: list[NodeView]) -> None:
        """Append the views at the monotonic instant `now`."""
        for line in self.lines:
            line.show(now, into)

    def write(self, now: float, into: list[bytes]) -> None:
        """Append the bytes of those views on the wire."""
        pieces = self._pieces
        if pieces is None:
            pieces = self._pieces = [piece for line in self.lines for piece in line.pieces()]
        parts = [b""] * (2 * len(pieces))
        parts[::2] = [text for text, _, _ in pieces]
        parts[1::2] = [
            b"" if not sign else _double(read) if (read := sign * (now - at)) > 0.0 else _ZERO for _, sign, at in pieces
        ]
        into += parts


class Lines(Struct, frozen=True):
    """The lines of one supervisor's children, as they were at the last reading.

    Attributes:
        wall: The moment's `wall`.
        children: The records they were made of.
        blocks: In start order: workers side by side, and each child that is a supervisor.
    """

    wall: float = 0.0
    children: Pages[Child] | None = None
    blocks: tuple[Run | Line, ...] = ()


def find_line(
    moment: Moment,
    kept: Line | None,
    child: Child,
    handle: ChildHandle | None,
    path: str,
    below: Below | None = None,
) -> Line:
    """Return the line of a child: `kept`, its line at the last reading, where that still holds.

    Args:
        moment: When.
        kept: None where there is none, or the wall clock was moved.
        child: Its supervisor's record of it.
        handle: Its instance, where there is one.
        path: Its path.
        below: Of a supervisor.
    """
    ref = handle.ref if handle is not None and below is None else None
    cell = ref if isinstance(ref, Cell) else None
    mark = resting([cell])[0]  # before the figures: what happens in between is seen at the next reading
    figures = handle.figures() if handle is not None else None
    budget = child.spec.budget
    restarts = child.window.count(moment.now, budget.period) if budget is not None else 0
    is_elsewhere = handle is not None and cell is None
    if is_elsewhere or restarts or (figures is not None and (figures.depth or figures.handling is not None)):
        mark = -1
    pid = handle.pid if handle is not None else None
    note = handle.note if handle is not None and below is None else ""
    usage = handle.usage if handle is not None and below is None else None
    made_of = figures, pid, note, restarts, below, usage
    if kept is not None and kept.is_of(child, made_of, mark):
        return kept
    fields, clocks = _fields_of(child, figures, moment.wall)
    fields["path"] = path
    if handle is not None:
        fields["pid"] = pid or moment.pid
        fields["note"] = note
    if usage is not None:
        fields["memory_bytes"], fields["cpu_ratio"] = usage.rss_bytes, usage.cpu_ratio
        fields["threads"], fields["open_files"] = usage.threads, usage.open_files
    if budget is not None:
        fields["budget"] = BudgetView(restarts=restarts, intensity=budget.intensity, period=float(budget.period))
    if below is None:
        kind = NodeKind.WORKER
        ready, total = counts(child)
    else:
        kind = NodeKind.SUPERVISOR
        fields |= below.fields()
        if below.doubt and is_up(fields["state"]):
            fields["state"], fields["why"] = NodeState.UNKNOWN, below.doubt
        ready, total = (0, 0) if below.is_apart else (below.ready, below.total)
    return Line(NodeView(kind=kind, **fields), clocks, child, made_of, cell, mark, ready, total)


def counts(child: Child) -> tuple[int, int]:
    """Return whether a worker is ready and whether it should be, as 0 or 1 each.

    It is what `is_up` and `is_expected` say of its line.
    """
    state = child.state
    if isinstance(state, Running):
        return 1, 1
    return 0, not (isinstance(state, Down) and STATE_OF_DOWN[state.why] in _NOT_EXPECTED)


def is_up(state: NodeState) -> bool:
    """Whether a worker in this state counts as ready."""
    return state in _UP


def is_expected(state: NodeState) -> bool:
    """Whether a worker in this state counts among those that should be ready.

    One that ended by itself, or is not configured, is rightly not running.
    """
    return state not in _NOT_EXPECTED


def _fields_of(child: Child, figures: ActorStatistics | None, wall: float) -> tuple[dict[str, Any], Clocks]:
    """Return what a child's record and its figures give to its view."""
    spec = child.spec
    fields: dict[str, Any] = {"restart": spec.restart.value, "significant": spec.significant}
    clocks: Clocks = ()
    if child.generation:
        fields["placement"] = spec.placement
        fields["generation"] = child.generation
        fields["restarts"] = child.restarts
    if child.last_exit is not None:
        fields["last_reason"] = one_line(child.last_exit)
    if figures is not None:
        clocks += _put_activity(fields, figures)
    return fields, clocks + _put_state(fields, child, wall)


def _put_state(fields: dict[str, Any], child: Child, wall: float) -> Clocks:
    """Put the state, and what a reader must know of it, from the core's state of the child."""
    state = child.state
    if isinstance(state, Running):
        fields["state"] = NodeState.SUSPENDED if state.suspended else NodeState.READY
        fields["state_at"] = instant(wall + state.since)
        fields["uptime"] = 0.0
        return (("uptime", 1.0, state.since),)
    if isinstance(state, Starting):
        fields["state"] = NodeState.STARTING
        fields["attempt"] = child.attempt
        fields["state_at"] = instant(wall + state.since)
    elif isinstance(state, Restarting):
        fields["state"] = NodeState.PARKED if state.parked else NodeState.RESTARTING
        fields["attempt"] = child.attempt
        fields["next_at"] = instant(wall + state.next_at)
        fields["next_in"] = 0.0
        return (("next_in", -1.0, state.next_at),)
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
        fields["why"] = f"restarted too often: {one_line(state.reason)}"
    else:
        assert isinstance(state, Down)  # the last of the eight
        fields["state"] = STATE_OF_DOWN[state.why]
        fields["why"] = state.detail
    return ()


def _put_activity(fields: dict[str, Any], figures: ActorStatistics) -> Clocks:
    """Put what the running instance says of its mailbox."""
    fields["mailbox"] = figures.depth
    fields["handled"] = figures.handled
    fields["failed"] = figures.failed
    fields["dropped"] = figures.dropped + figures.rejected
    if figures.handling is not None:
        fields["handling"] = figures.handling
        if figures.handling_since is not None:
            fields["handling_for"] = 0.0
            return (("handling_for", 1.0, figures.handling_since),)
    return ()
