"""The pool of spares as a node of the tree: an actor whose life the pool shares, and a branch that shows what is in it.

    /sys/spares                      SparePool, restarted by its supervisor like any child
    /sys/spares/nursery              the process that spares are copied from
    /sys/spares/Worker-1             a place for a spare of that class: the process that waits there, or why none does

The pool begins with its actor and ends with it. What breaks the pool crashes the actor; its supervisor then starts the
next, within its limits, and that one begins anew. What is below it are processes and no actors: they have no supervisor
of their own but the pool, so no management call reaches them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final
from zlib import crc32

from msgspec.structs import replace

from actors.addresses import SEGMENT_LIMIT, join, name_of
from actors.core.actor import Actor
from actors.messages import Message, on
from supervisors import core
from supervisors.branches import Record
from supervisors.children import ChildHandle, Launcher, LaunchRequest, Report, Trunk
from supervisors.core import Refusal, Refused
from supervisors.processes.places import Place, Spare, Want
from supervisors.processes.spares import Spares
from supervisors.processes.sparing import State, Stock, wait_of
from supervisors.specs import ImportStart, LocalStart
from supervisors.supervisor import Answer
from supervisors.views import NodeKind, NodeState, NodeView, SpecView, instant

TARGET: Final = "supervisors.processes.pool:SparePool"
"""What a child spec names to have the pool in the tree."""

NURSERY: Final = "nursery"


class Broke(Message[None], frozen=True):
    """The pool cannot go on as it is: `why` in a line."""

    why: str


class SparePoolError(RuntimeError):
    """The pool of spares broke; its spares were ended."""


class SparePool(Actor):
    """Keeps the spares of a node's process children.

    Args:
        spares: The pool; None where nobody handed it in.
        trunk: The tree that it is shown in.
    """

    def __init__(self, spares: Spares | None = None, trunk: Trunk | None = None) -> None:
        super().__init__()
        self._spares = spares
        self._trunk = trunk
        self._branch: PoolBranch | None = None
        self._keeper: Callable[[Exception], object] | None = None

    def on_start(self) -> None:
        if self._spares is None or self._trunk is None:
            raise SparePoolError(f"{self.path}: a pool of spares runs in a node, on its pool or on a thread of it")
        ref = self.actor_ref
        self._keeper = lambda error: ref.tell(Broke(f"{type(error).__name__}: {error}"))
        self._spares.keep(self._keeper)
        self._branch = PoolBranch(self.path, self._spares)
        self._trunk.branch_grown(self.path, self._branch)

    def on_stop(self) -> None:
        self._end()

    def on_failure(self, *_failure: object) -> None:
        self._end()

    def state_view(self) -> dict[str, object]:
        if self._spares is None:
            return {}
        figures, rules, nursery = self._spares.figures(), self._spares.rules, self._spares.nursery
        return {
            "waiting": figures.waiting,
            "wanted": figures.wanted,
            "being_made": figures.making,
            "memory_bytes": figures.size_bytes,
            "memory_max_bytes": rules.memory_max_bytes,
            "count_max": rules.count_max,
            "used": figures.used,
            "lost": figures.lost,
            "nurseries_started": nursery.started,
            "nurseries_lost": nursery.lost,
        }

    @on(Broke)
    def broke(self, message: Broke) -> None:
        raise SparePoolError(message.why)

    def _end(self) -> None:
        if self._spares is not None and self._keeper is not None:
            self._spares.let_go(self._keeper)
        if self._trunk is not None and self._branch is not None:
            self._trunk.branch_gone(self.path, self._branch)


class PoolLauncher:
    """A launcher around another: an actor that is the pool is handed the spares it keeps."""

    def __init__(self, launcher: Launcher, spares: Spares, trunk: Trunk) -> None:
        self._launcher = launcher
        self._spares = spares
        self._trunk = trunk

    def launch(self, request: LaunchRequest, report: Report) -> ChildHandle:
        """Start an instance, as the launcher inside does."""
        start = request.spec.start
        if isinstance(start, ImportStart) and start.target == TARGET:
            spec = replace(request.spec, start=LocalStart(lambda: SparePool(self._spares, self._trunk)))
            request = replace(request, spec=spec)
        return self._launcher.launch(request, report)


class PoolBranch:
    """What is in the pool: meets `supervisors.branches.Branch`. Every method may be called on any thread."""

    def __init__(self, path: str, spares: Spares) -> None:
        """Show `spares` at `path`."""
        self.path = path
        self._spares = spares

    def nodes(self, path: str, depth: int | None) -> list[NodeView]:
        """Return the nodes at and below `path`; without a view of the pool itself."""
        if path == self.path:
            return [] if depth is not None and depth <= 0 else self._views()
        return [view for view in self._views() if view.path == path]

    def top(self, depth: int | None) -> tuple[NodeView | None, list[NodeView], tuple[int, int]]:
        """Return what the pool's own line says, the nodes below it, and how many of those are ready, and in all."""
        views = self._views()
        ready = sum(view.state is NodeState.READY for view in views)
        figures, rules = self._spares.figures(), self._spares.rules
        said = NodeView(
            path=self.path,
            kind=NodeKind.SUPERVISOR,
            state=NodeState.READY,
            note=f"{figures.waiting} wait, {mebibytes(figures.size_bytes)} of {mebibytes(rules.memory_max_bytes)}",
            memory_bytes=sum(view.memory_bytes or 0 for view in views),
            hidden=len(views),
        )
        return said, [] if depth is not None and depth <= 0 else views, (ready, len(views))

    def doubt(self) -> str:
        """Return "": the pool is of this process."""
        return ""

    def record(self, path: str) -> Record | None:
        """Return what is known of the node at `path`; None where nothing is."""
        for position, view in enumerate(self._views()):
            if view.path == path:
                start, classes = self._start_of(path)
                arguments = {"classes": ", ".join(classes)} if classes else {}
                spec = SpecView(
                    id=name_of(path), start=start, arguments=arguments, restart="permanent", runs_in="process"
                )
                return Record(view, position, spec)
        return None

    def _start_of(self, path: str) -> tuple[str, tuple[str, ...]]:
        """Return what the node at `path` is a process of, and the classes it imports where that does not say it."""
        state, _, _, wants = self._spares.stocks()
        for target, stock in state.stocks.items():
            names = (place_name(target, slot, state.stocks) for slot in range(1, stock.wanted + 1))
            if any(path == join(self.path, name) for name in names):
                want = wants.get(target)
                return target, want.classes if want is not None else ()
        return "supervisors.processes.nursery", ()

    def paths(self) -> list[str]:
        """Return the paths of all nodes in the pool."""
        return [view.path for view in self._views()]

    def counts(self) -> tuple[int, int]:
        """Return (0, 0): a spare is nobody's worker before it becomes a child, so nothing above counts it."""
        return 0, 0

    def call(self, supervisor: str, request: core.Request, answer: Answer) -> None:
        """Refuse `request`: the pool keeps what is below it by itself."""
        why = f"{self.path} keeps its processes by itself: stop or restart {self.path}"
        answer(Refused("", Refusal.NOT_SUPPORTED, why))

    def inquire(self, question: Any, answer: Answer) -> None:
        """Refuse `question`, as `call`."""
        answer(Refused("", Refusal.NOT_SUPPORTED, f"{self.path} is no supervisor with child specs"))

    def refresh(self, done: Callable[[], object]) -> None:
        """Nothing is older than this moment."""
        done()

    # -- private parts ------------------------------------------------------------------------------------

    def _views(self) -> list[NodeView]:
        state, processes, places, wants = self._spares.stocks()
        views = [self._nursery(any(stock.wanted for stock in state.stocks.values()))]
        for target, stock in state.stocks.items():
            want = wants.get(target)
            for slot in range(1, stock.wanted + 1):
                place = places.get((target, slot), Place())
                views.append(self._place(state, target, stock, slot, place, processes, want))
        return views

    def _nursery(self, is_wanted: bool) -> NodeView:
        figures = self._spares.nursery
        state, why, uptime = NodeState.WAITING, "", None
        if figures.problem:
            state, why = NodeState.NOT_CONFIGURED, f"spares are new interpreters: {figures.problem}"
        elif figures.is_ready:
            state, uptime = NodeState.READY, monotonic() - figures.since
        elif figures.pid is not None:
            state = NodeState.STARTING
        elif is_wanted and figures.started:
            state = NodeState.RESTARTING
        elif not is_wanted:
            why = "until a child asks for spares"
        return NodeView(
            path=join(self.path, NURSERY),
            kind=NodeKind.WORKER,
            state=state,
            why=why,
            placement="process",
            pid=figures.pid,
            generation=figures.started,
            restart="permanent",
            restarts=figures.lost,
            last_reason=figures.problem or ("killed (its process ended)" if figures.lost else ""),
            last_exit_at=instant(figures.lost_at) if figures.lost_at else None,
            note=mebibytes(figures.size_bytes) if figures.size_bytes else "",
            memory_bytes=figures.size_bytes or None,
            uptime=uptime,
        )

    def _place(
        self,
        state: State,
        target: str,
        stock: Stock,
        slot: int,
        place: Place,
        processes: dict[int, Spare],
        want: Want | None,
    ) -> NodeView:
        """Return the view of one place for a spare."""
        now = monotonic()
        view = NodeView(
            path=join(self.path, place_name(target, slot, state.stocks)),
            kind=NodeKind.WORKER,
            state=NodeState.WAITING,
            placement="process",
            generation=place.made,
            restart="permanent",
            restarts=place.lost,
            last_reason=place.why,
            last_exit_at=instant(place.at) if place.at else None,
            note=f"spare for {want.path}" if want is not None else "",
        )
        spare = next((each for each in stock.spares if each.slot == slot), None)
        if spare is None:
            seconds, why = wait_of(state, target, now, self._spares.rules)
            if stock.failures and seconds > 0.0:
                return replace(view, state=NodeState.RESTARTING, attempt=stock.failures + 1, next_in=seconds)
            return replace(view, why=why)
        process = processes.get(spare.number)
        view = replace(view, pid=process.process.pid if process is not None else None)
        if not spare.is_ready:
            return replace(view, state=NodeState.STARTING, why="importing")
        return replace(
            view,
            state=NodeState.READY,
            memory_bytes=spare.size_bytes or None,
            uptime=max(0.0, now - spare.since),
            note=f"{view.note}, {mebibytes(spare.size_bytes)}",
        )


def mebibytes(size: int) -> str:
    """Return a size as people read it: `6.2 MiB`."""
    return f"{size / 1024 / 1024:.1f} MiB"


def place_name(target: str, slot: int, others: Iterable[str] = ()) -> str:
    """Return the name of a place for a spare of class `target`: `Worker-1`.

    It has the class's module before it where one of `others` has the same name in another module.
    """
    short = target.rpartition(":")[2]
    if all(other == target or other.rpartition(":")[2] != short for other in others):
        target = short
    text = "".join(c if c.isascii() and (c.isalnum() or c in "_-.") else "." if c == ":" else "_" for c in target)
    room = SEGMENT_LIMIT - len(f"-{slot}")
    if len(text) > room or not text.isascii():
        text = f"{text[: room - 9]}.{crc32(target.encode()):08x}"
    return f"{text}-{slot}"
