"""A process child that is a supervisor with all its children, as its own supervisor holds it.

It is started, watched and ended as any process child. Besides, it is a branch of the tree: from its greeting to its end
messages for paths below its own go to its process, and so do management calls; what it reports is what a tree shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from zlib import crc32

from actors.addresses import Address
from actors.core.mailbox import DEFAULT_MAILBOX, MailboxSpec
from actors.events import Event
from actors.exits import ExitReason
from supervisors.children import LaunchRequest, Report
from supervisors.processes.branch import ProcessBranch
from supervisors.processes.handle import ProcessChild
from supervisors.processes.life import Shared
from supervisors.processes.plans import Plan, pack_plan, targets_of
from supervisors.processes.protocol import Managed, Start, Word
from supervisors.processes.protocol import Report as NodeReport
from supervisors.specs import ChildSpec, SupervisorSpec
from transport.remote import RemoteRef


class SubtreeChild(ProcessChild):
    """One subtree in a process of its own: meets `supervisors.children.ChildHandle`.

    Attributes:
        branch: What is known of its nodes.
        on_over: Called when it has ended, on the reactor.
    """

    longest_beat = 1.0

    def __init__(self, shared: Shared, request: LaunchRequest, report: Report, mark: str) -> None:
        super().__init__(shared, request, report, mark)
        assert request.trunk is not None  # a supervisor asked for it
        self._trunk = request.trunk
        self.branch = ProcessBranch(request.path, shared.system, request.trunk, self._say)
        self.on_over: Callable[[], object] = lambda: None
        self._ref_of = partial(_ref_below, self)

    def figures(self) -> None:
        """None: a supervisor's mailbox holds nothing a person could act on."""

    def mailbox_of(self, path: str) -> MailboxSpec:
        """As its spec says, where the tree was made with the actor at `path`; later ones have the default."""
        below: ChildSpec | None = self._request.spec
        for name in path.removeprefix(self.path).strip("/").split("/"):
            start = below.start if below is not None else None
            children = start.children if isinstance(start, SupervisorSpec) else ()
            below = next((child for child in children if child.id == name), None)
        return (below.mailbox if below is not None else None) or DEFAULT_MAILBOX

    def suspend(self) -> None:
        """Nothing: a supervisor has no messages of its own to hold back, and its duty does not pause."""

    def resume(self) -> None:
        """Nothing, as `suspend`."""

    def _start_word(self, target: str | None = None, plan: bytes = b"") -> Start:
        spec = self._request.spec.start
        assert isinstance(spec, SupervisorSpec)  # what makes a child a subtree
        holds = self._trunk.holds_within(self.path)
        word = super()._start_word("", pack_plan(Plan(spec, holds), self.path))
        self.classes = tuple(sorted(set(targets_of(spec))))
        self.target = stock_of(self.classes)
        return word

    def send_start(self) -> None:
        """Tell the process what to supervise; from now on it has what is below its path."""
        self._shared.system.registry.route(self.path, self._ref_of)
        self._trunk.branch_grown(self.path, self.branch)
        self.branch.hear()
        super().send_start()

    def let_go(self, reason: ExitReason) -> None:
        """Say of everything below that it has ended."""
        self._shared.system.registry.unroute(self.path, self._ref_of)
        super().let_go(reason)
        self.branch.end(reason)
        self.on_over()

    def _on_runtime(self, what: Any) -> None:
        self.branch.hear()
        super()._on_runtime(what)

    def _take_event(self, event: Event) -> None:
        self.branch.note(event)
        super()._take_event(event)

    def _take_word(self, word: Word) -> None:
        if isinstance(word, NodeReport | Managed):
            self.branch.take(word)
        else:
            super()._take_word(word)


def stock_of(classes: tuple[str, ...]) -> str:
    """Return the name of the spares that import `classes`: one name for each set of them."""
    return f"subtree.{crc32(' '.join(classes).encode()):08x}"


def _ref_below(child: SubtreeChild, path: str) -> RemoteRef:
    """Return the ref of whoever is at `path`, below the child's own."""
    return child.gateway.ref(Address(child._shared.system.name, path))
