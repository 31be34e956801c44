"""The inside of a subtree process: a supervisor with its children, and what its launcher's side is told of them.

The supervisor runs as in any tree: children on the pool, on threads, in processes of their own. Each event of a node's
life marks that node; soon after, on the reactor, the nodes marked are reported as they are then. A management call is
answered after what it changed was reported, so whoever asked finds the tree as the answer says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from actors.addresses import join
from actors.core.outcomes import Incarnation, Outcome
from actors.core.system import ActorSystem
from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    Event,
    LimitReached,
    RestartScheduled,
)
from actors.exits import ExitReason, to_record
from supervisors import core
from supervisors.branches import Record, post_call, record_of, refresh, standing_of
from supervisors.children import resolve
from supervisors.core import Held, Refusal, Refused
from supervisors.processes.placements import Placements
from supervisors.processes.plans import pack_result, targets_of, unpack_plan, unpack_request
from supervisors.processes.protocol import Handover, Inquire, Manage, Managed, Ready, Refresh, Report, Word
from supervisors.processes.questions import Question, What, inquire
from supervisors.specs import ChildSpec, Strategy
from supervisors.supervisor import Services, Subtree
from supervisors.telling import KEYFRAME_EVERY
from supervisors.tree import find, nodes, spec_view, top
from supervisors.views import NodeView
from transport.reactor import Reactor

if TYPE_CHECKING:
    from supervisors.processes.host import ProcessLauncher

PAGE: Final = 500
"""Nodes in one page of a report."""

REFRESH_TIMEOUT: Final = 0.5
"""Seconds that processes below have to report before this one does without them."""

DOUBT_EVERY: Final = 1.0
"""Seconds between two looks whether processes below still answer."""

_LIFE: Final = (
    ActorStarted,
    ActorIgnored,
    ActorStartFailed,
    ActorExited,
    ActorStateChanged,
    RestartScheduled,
    LimitReached,
)


class BranchSide:
    """The subtree of this process: stands where a worker's child has its launched actor."""

    is_awaiting = False

    def __init__(
        self, system: ActorSystem, reactor: Reactor, handover: Handover, plan: bytes, say: Callable[[Word], None]
    ) -> None:
        """Make the subtree's services.

        Args:
            system: This process's actors.
            reactor: Runs what this side does of its own.
            handover: What the process was told.
            plan: What to supervise.
            say: Sends a word to the launcher's side; may be called on any thread.

        Raises:
            MalformedFrameError: `plan` is none.
        """
        self._system = system
        self._reactor = reactor
        self._path = handover.path
        self._say = say
        self._plan = unpack_plan(plan)
        self._placements = Placements(system, lambda: _launcher(system, handover))
        self._services = Services(system, self._placements)
        self._services.holds.update(self._plan.holds)
        self._services.trunk.look_on(lambda: self._mark(None))
        self._marked: set[str] = set()
        self._is_flush_due = False
        self._said: dict[str, ChildSpec] = {}
        self._far: dict[str, Record] = {}
        self._subtree: Subtree | None = None
        self._doubts: dict[str, bool] = {}
        system.bus.subscribe(self._see, _LIFE)
        reactor.every(DOUBT_EVERY, self._look_for_doubts)
        reactor.every(KEYFRAME_EVERY, self._services.order_keyframes)

    def launch(self, incarnation: Incarnation, report: Callable[[Outcome], None]) -> None:
        """Start the supervisor; `report` gets its outcomes. On the main thread, which some modules must be imported on.

        The modules of the actors are imported first: a message for one that is just being made is understood then.
        """
        for target in targets_of(self._plan.spec):
            with contextlib.suppress(BaseException):  # whoever makes the actor meets it again, and says so
                resolve(target)
        self._subtree = Subtree(report)
        self._subtree.run(self._plan.spec, self._path, self._services, incarnation)

    def stop(self, reason: ExitReason) -> None:
        """Stop the children in order, then the supervisor ends with `reason`."""
        assert self._subtree is not None  # launched before there is anybody to stop it
        self._subtree.stop(reason)

    def say_ready(self, ready: Ready) -> None:
        """Say that the whole subtree is up, after what its nodes are; on any thread."""

        def say() -> None:
            self._report_all(0)
            self._say(ready)

        self._reactor.post(say)

    def close(self) -> None:
        """End what the launcher of nested processes holds."""
        self._placements.close()

    def take(self, word: Manage | Inquire | Refresh) -> None:
        """Take a word of the launcher's side; on the reactor."""
        match word:
            case Refresh(number):
                self._refresh(number)
            case Inquire():
                self._inquire(word)
            case Manage():
                self._manage(word)

    # -- management calls ------------------------------------------------------------------------------

    def _manage(self, word: Manage) -> None:
        request = unpack_request(word.request)
        path = self._target(word.supervisor, request)

        def answer(result: core.Done | core.Refused) -> None:
            self._reactor.post(lambda: self._managed(word.number, path, request, result))

        if not post_call(self._services, word.supervisor, request, answer):
            why = f"no supervisor runs at {word.supervisor}"
            answer(Refused("", Refusal.NOT_FOUND, why))

    def _inquire(self, word: Inquire) -> None:
        def answer(result: core.Done | core.Refused) -> None:
            self._reactor.post(lambda: self._say(Managed(word.number, pack_result(result))))

        request = unpack_request(word.request) if word.request else None
        question = Question(word.supervisor, What(word.what), word.id, request)
        if not inquire(self._services, question, answer):
            answer(Refused("", Refusal.NOT_FOUND, f"no supervisor runs at {word.supervisor}"))

    def _target(self, supervisor: str, request: core.Request) -> str:
        """Return the path of the child that `request` is about; the supervisor's own where it is about no one child."""
        id = getattr(request, "id", "") or getattr(getattr(request, "spec", None), "id", "")
        return join(supervisor, id) if id else supervisor

    def _managed(self, number: int, path: str, request: core.Request, result: core.Done | core.Refused) -> None:
        self._keep_hold(path, request, result)
        if isinstance(request, core.Reconfigure | core.SpawnChild):
            self._report_all(0)
        else:
            self._marked.add(path)
            self._flush()
        self._say(Managed(number, pack_result(result)))

    def _keep_hold(self, path: str, request: core.Request, result: core.Done | core.Refused) -> None:
        """Have supervisors here keep stopped what a person stopped, when they are restarted; who asked stores it."""
        standing = standing_of(self._services, path)
        if standing.is_unknown or standing.is_dynamic:
            return
        if standing.hold is not None:
            self._services.holds[path] = standing.hold
        elif not standing.is_there or (
            isinstance(request, core.StartStopped | core.RestartChild) and isinstance(result, core.Done)
        ):
            self._services.holds.pop(path, None)

    # -- reports -------------------------------------------------------------------------------------

    def _see(self, _number: int, event: Event) -> None:
        self._mark(event.path)

    def _look_for_doubts(self) -> None:
        """Report what is below when a process there falls silent, or speaks again."""
        branches = list(self._services.trunk.branches.items())
        doubts = {path: bool(branch.doubt()) for path, branch in branches}
        for path in doubts.keys() | self._doubts.keys():
            if doubts.get(path, False) != self._doubts.get(path, False):
                self._mark(path)
        self._doubts = doubts

    def _mark(self, path: str | None) -> None:
        """Have `path`, or None for whatever is in processes below, looked at soon; on any thread."""
        if path is not None:
            self._marked.add(path)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._reactor.post(self._flush)

    def _flush(self) -> None:
        """Report the nodes that are marked as they are now; on the reactor."""
        self._is_flush_due = False
        marked: set[str] = set()
        while self._marked:
            marked.add(self._marked.pop())
        records: dict[str, Record] = {}
        gone: list[str] = []
        for path in sorted(marked):
            if path == self._path:
                continue
            found = self._branch(path)
            if not found:
                gone.append(path)
            for record in found:
                records[record.view.path] = record
        self._add_far(records, gone)
        for path in gone:
            self._said.pop(path, None)
        top_view = msgspec.msgpack.encode(top(self._services, self._path)) if self._path in marked else b""
        if not (records or gone or top_view):
            return
        listed = list(records.values())
        for at in range(0, max(1, len(listed)), PAGE):
            page = msgspec.msgpack.encode(listed[at : at + PAGE])
            self._say(Report(top_view if at == 0 else b"", page, tuple(gone) if at == 0 else ()))

    def _add_far(self, records: dict[str, Record], gone: list[str]) -> None:
        """Add what changed in processes below."""
        seen: dict[str, Record] = {}
        for branch in list(self._services.trunk.branches.values()):
            for path in branch.paths():
                record = branch.record(path)
                if record is None:
                    continue
                seen[path] = record
                if self._far.get(path) is not record:
                    records[path] = record
        gone.extend(path for path in self._far if path not in seen and path not in records)
        self._far = seen

    def _branch(self, path: str) -> list[Record]:
        """Return the record of the node at `path`, with those of all below it where it is a supervisor; [] for none."""
        found = find(self._services, path)
        if found is None:
            record = record_of(self._services, path)
            return [record] if record is not None else []
        return [record for view in nodes(self._services, path) if (record := self._record(view)) is not None]

    def _record(self, view: NodeView) -> Record | None:
        path = view.path
        found = find(self._services, path)
        if found is None:
            return None  # of a process below, which is added as that said it, or gone meanwhile
        supervisor, child = found
        is_new = self._said.get(path) is not child.spec
        if is_new:
            self._said[path] = child.spec
        state = child.state
        is_dynamic = supervisor.published.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        return Record(
            replace(view, hidden=0),
            position=child.position,
            spec=spec_view(child.spec) if is_new else None,
            hold=state.hold if isinstance(state, Held) else None,
            is_open=path in self._services.supervisors or path in self._services.trunk.branches,
            is_dynamic=is_dynamic,
            last_exit=to_record(child.last_exit) if child.last_exit is not None else None,
        )

    def _refresh(self, number: int) -> None:
        """Report everything, once the processes below have said what their nodes are, or did not in time."""
        waiting = [len(self._services.trunk.branches)]

        def report() -> None:
            if waiting[0] >= 0:
                waiting[0] = -1
                self._report_all(number)

        def heard() -> None:
            waiting[0] -= 1
            if waiting[0] == 0:
                report()

        if not refresh(self._services, lambda: self._reactor.post(heard)):
            report()
            return
        self._reactor.call_later(REFRESH_TIMEOUT, report)

    def _report_all(self, number: int) -> None:
        self._marked.clear()
        records: dict[str, Record] = {}
        for child in self._children_of_top():
            for record in self._branch(child):
                records[record.view.path] = record
        self._far = {}
        self._add_far(records, [])
        self._said = {path: spec for path, spec in self._said.items() if path in records}
        top_view = msgspec.msgpack.encode(top(self._services, self._path))
        listed = list(records.values())
        last = max(0, len(listed) - 1) // PAGE
        for at in range(last + 1):
            page = msgspec.msgpack.encode(listed[at * PAGE : (at + 1) * PAGE])
            self._say(Report(top_view if at == 0 else b"", page, (), at + 1, at == last, number))

    def _children_of_top(self) -> list[str]:
        supervisor: Any = self._services.supervisors.get(self._path)
        if supervisor is None:
            return []
        return [join(self._path, child.id) for child in supervisor.published.children.values()]


def _launcher(system: ActorSystem, handover: Handover) -> ProcessLauncher:
    """Return a launcher for processes below this one; loaded when the first is needed."""
    from supervisors.processes.host import ProcessLauncher

    run = Path(handover.run)
    return ProcessLauncher(system, run, name=handover.name, tcp=bool(handover.server_key), window=handover.window)
