"""Dry runs: what a control verb would do, asked of each target's supervisor in whatever process it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.addresses import is_within, join, name_of, parent_of
from supervisors import core
from supervisors.core import Done, Refused
from supervisors.processes.questions import Outlook, Question, What, inquire, outlook_in
from supervisors.supervisor import Services
from supervisors.views import (
    BudgetView,
    CommandView,
    NodeKind,
    NodeState,
    NodeView,
    PlanView,
    TargetOutcome,
    TargetView,
)
from transport.errors import MalformedFrameError


class Plans:
    """Collects the plans of one verb's targets and answers once; any thread."""

    def __init__(
        self,
        verb: str,
        calls: Mapping[str, core.Request],
        targets: Sequence[NodeView],
        tree: Sequence[NodeView],
        services: Services,
        answer: Callable[[CommandView], object],
    ) -> None:
        """Prepare the questions.

        Args:
            verb: What would be done.
            calls: The management call that it is, by the path of its target.
            targets: To what, in the order of the answer.
            tree: Every node.
            services: What the supervisors of this process share.
            answer: Gets the plans, once; it must only post.
        """
        self._verb = verb
        self._calls = calls
        self._targets = targets
        self._tree = tree
        self._services = services
        self._answer: Callable[[CommandView], object] | None = answer
        self._found: dict[str, TargetView] = {}
        self._lock = threading.Lock()
        self._timer: Any = None

    def gather(self, timeout: float) -> None:
        """Ask; whose supervisor has not answered after `timeout` seconds is answered for without a plan."""
        for target in self._targets:
            above = parent_of(target.path) or "/"
            question = Question(above, What.OUTLOOK, name_of(target.path), self._calls[target.path])
            if not inquire(self._services, question, partial(self._take, target)):
                self._take(target, Refused("", core.Refusal.NOT_FOUND, f"no supervisor runs at {above}"))
        if not self._targets:
            self._close()
            return
        with self._lock:
            if self._answer is not None:
                self._timer = self._services.system.schedule(timeout, self._close)

    def _take(self, target: NodeView, result: Done | Refused) -> None:
        try:
            view = self._view(target, outlook_in(result) if isinstance(result, Done) else result.message)
        except MalformedFrameError as error:
            view = self._view(target, str(error))
        with self._lock:
            self._found[target.path] = view
            is_last = len(self._found) == len(self._targets)
        if is_last:
            self._close()

    def _view(self, target: NodeView, outlook: Outlook | str) -> TargetView:
        """Return the plan for `target`; `outlook` may say why there is none."""
        above = parent_of(target.path) or "/"
        if isinstance(outlook, str):
            return TargetView(
                path=target.path,
                outcome=TargetOutcome.FAILED,
                state=target.state,
                code="conflict",
                message=f"nothing can be said of it: {outlook}",
                hint=f"actorctl why {above}",
            )
        plan = PlanView(
            stops=tuple([p for id in outlook.stops for p in self._workers(join(above, id), running=True)[::-1]]),
            starts=tuple([p for id in outlook.starts for p in self._workers(join(above, id), running=False)]),
            supervisor=above,
            limit=BudgetView(restarts=outlook.used, intensity=outlook.intensity, period=outlook.period),
            gives_up=outlook.gives_up,
        )
        return TargetView(
            path=target.path,
            outcome=TargetOutcome.PLANNED,
            state=target.state,
            plan=plan,
            message=outlook.refusal,
        )

    def _workers(self, path: str, *, running: bool) -> tuple[str, ...]:
        """Return the workers at `path` and below, in start order: those that run, or that a start would bring up."""
        found = [node for node in self._tree if node.kind is NodeKind.WORKER and is_within(node.path, path)]
        if running:
            return tuple([node.path for node in found if node.state in _RUNNING])
        return tuple([node.path for node in found if node.path == path or not node.stopped_by])

    def _close(self) -> None:
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        items = [
            self._found.get(target.path) or self._view(target, "its supervisor's process did not answer in time")
            for target in self._targets
        ]
        answer(CommandView(command=self._verb, items=tuple(items)))


_RUNNING = frozenset({NodeState.READY, NodeState.SUSPENDED, NodeState.STARTING, NodeState.STOPPING})
