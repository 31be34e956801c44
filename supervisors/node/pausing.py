"""Pause of a whole node: every worker's messages wait, the node's own (`/sys`) go on, and nothing is stopped.

What is started while the node is paused is suspended as soon as it is ready. Those that somebody suspended before stay
suspended when the node goes on. A pause does not outlive the node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from actors.addresses import is_within, name_of, parent_of
from actors.events import ActorStarted, Event
from supervisors import core
from supervisors.branches import post_call
from supervisors.node.facts import NodeFacts
from supervisors.node.operations import Operations
from supervisors.requests import TargetArguments
from supervisors.tree import nodes
from supervisors.views import CommandView, NodeKind, NodeState, PauseView, TargetOutcome

SYSTEM = "/sys"
TIMEOUT = 10.0
"""Longest wait for the workers, in seconds."""


class Pauses:
    """Pauses a node and lets it go on. Methods may be called on any thread."""

    def __init__(self, node: NodeFacts, operations: Operations) -> None:
        self._node = node
        self._operations = operations
        self._lock = threading.Lock()
        self._paused: set[str] | None = None
        node.system.bus.subscribe(self._take, (ActorStarted,))

    def pause(self, author: str, why: str, answer: Callable[[PauseView], object]) -> None:
        """Suspend every worker beside `/sys`; `answer` gets what became of it, once.

        Raises:
            SelectorError: `conflict`: the node starts or ends.
        """
        with self._lock:
            self._node.check_up()
            if self._paused is None:
                self._node.change_while_up("paused", "; ".join(part for part in (f"by {author}", why) if part))
                self._paused = set()
            paths = [
                node.path
                for node in nodes(self._node.services)
                if node.kind is NodeKind.WORKER and node.state is NodeState.READY and not is_within(node.path, SYSTEM)
            ]
            self._paused.update(paths)
        self._run("suspend", paths, author, why, answer)

    def resume(self, author: str, why: str, answer: Callable[[PauseView], object]) -> None:
        """Let every worker go on that the pause suspended; `answer` gets what became of it, once.

        Raises:
            SelectorError: `conflict`: the node starts or ends.
        """
        with self._lock:
            self._node.check_up()
            if self._paused is not None:
                detail = "; ".join(part for part in (f"resumed by {author}", why) if part)
                self._node.change_while_up("running", detail)
            paths, self._paused = self._paused, None
            there = {node.path for node in nodes(self._node.services) if node.state is NodeState.SUSPENDED}
        self._run("resume", sorted((paths or set()) & there), author, why, answer)

    def _run(self, verb: str, paths: list[str], author: str, why: str, answer: Callable[[PauseView], object]) -> None:
        def done(view: CommandView) -> None:
            failed = tuple(item.path for item in view.items if item.outcome is not TargetOutcome.DONE)
            answer(PauseView(state=self._node.state, workers=len(view.items) - len(failed), pending=failed))

        if not paths:
            answer(PauseView(state=self._node.state))
            return
        self._operations.run(verb, TargetArguments(selectors=tuple(paths), timeout=TIMEOUT), author, why, done)

    def _take(self, _seq: int, event: Event) -> None:
        """Suspend what has just started, while the node is paused."""
        if self._paused is None or is_within(event.path, SYSTEM):
            return
        with self._lock:
            if self._paused is None:
                return
            self._paused.add(event.path)
        parent = parent_of(event.path)
        if parent is not None:
            request = core.SuspendChild(request=0, now=0.0, id=name_of(event.path))
            post_call(self._node.services, parent, request, lambda _result: None)
