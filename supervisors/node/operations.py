"""What the control verbs do to the tree: targets become management calls, their answers become one view.

Nothing here waits: a verb posts its calls and is answered when the last of them is, or when its time is over; targets
not there by then are `pending` and go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from actors.addresses import name_of, parent_of
from supervisors.branches import post_call, standing_of
from supervisors.core import effects as fx
from supervisors.core import events as ev
from supervisors.node.desired import DesiredState
from supervisors.node.planning import Plans
from supervisors.requests import TargetArguments
from supervisors.selectors import SelectorError, select
from supervisors.supervisor import Services
from supervisors.tree import nodes
from supervisors.views import (
    CommandView,
    NodeKind,
    NodeState,
    NodeView,
    TargetOutcome,
    TargetView,
)

Make = Callable[[str, ev.Hold], ev.Request]
Answer = Callable[[CommandView], None]
Settle = Callable[..., None]
"""Takes one target's result, and what went wrong in keeping it."""

_CODES = {
    fx.Refusal.NOT_FOUND: "not_found",
    fx.Refusal.INVALID: "invalid",
    fx.Refusal.START_FAILED: "failed",
}
"""Error codes of refusals; every other refusal is a `conflict`."""

_UNCHANGED: Mapping[str, frozenset[fx.Refusal]] = {
    "start": frozenset({fx.Refusal.RUNNING, fx.Refusal.ALREADY_STARTED}),
    "kill": frozenset({fx.Refusal.NOT_RUNNING}),
    "rolling": frozenset({fx.Refusal.NOT_RUNNING}),
}
"""Refusals that mean the target is already where the verb would bring it."""


class Operations:
    """Carries out control verbs; any thread may call, answers come on a supervisor's thread or the timer's."""

    def __init__(self, services: Services, desired: DesiredState) -> None:
        self._services = services
        self._desired = desired
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="desired")

    def run(self, verb: str, wanted: TargetArguments, author: str, why: str, answer: Answer) -> None:
        """Carry out `verb` on what `wanted` selects and give `answer` the outcome, once.

        Raises:
            SelectorError: The selectors are malformed, select nothing, or select what the verb cannot be used on.
        """
        if not wanted.selectors:
            raise SelectorError("usage", f"{verb} takes at least one path", f"actorctl {verb} /PATH")
        tree = nodes(self._services)
        targets = _topmost(verb, select(tree, wanted.selectors), tree)
        if wanted.dry_run:
            calls = {t.path: _MAKE[verb](name_of(t.path), ev.Hold("", "", 0.0)) for t in targets}
            Plans(verb, calls, targets, tree, self._services, answer).gather(wanted.timeout)
            return
        hold = ev.Hold(author, why, self._services.system.clock.time())
        gathering = Gathering(verb, targets, self._services, answer)
        for target in targets:
            self._post(verb, target, hold, partial(gathering.settle, target.path))
        if not targets or not wanted.wait:
            gathering.close(TargetOutcome.ACCEPTED)
        else:
            gathering.arm(wanted.timeout)

    def _post(self, verb: str, target: NodeView, hold: ev.Hold, settle: Settle) -> None:
        parent = parent_of(target.path) or ""
        id = name_of(target.path)

        def judged(result: fx.Done | fx.Refused) -> None:  # on any thread: it only posts
            self._writer.submit(self._record, verb, target.path, hold, result, settle)

        if not post_call(self._services, parent, _MAKE[verb](id, hold), judged):
            settle(fx.Refused(id, fx.Refusal.NOT_FOUND, f"the supervisor of {target.path} is not running"))

    def _record(self, verb: str, path: str, wanted: ev.Hold, result: fx.Done | fx.Refused, settle: Settle) -> None:
        """Keep what the core decided, in the order in which it did, before the client hears of it."""
        problem = ""
        try:
            standing = standing_of(self._services, path)
            if standing.is_unknown:  # its supervisor ended since: what it answered last holds for the next one
                if isinstance(result, fx.Done) and verb == "stop":
                    self._desired.hold(path, wanted)
                elif isinstance(result, fx.Done) and verb in {"start", "restart"}:
                    self._desired.release(path)
            elif standing.is_dynamic:
                pass  # its children are gone with their supervisor, so nothing of them can outlive it
            elif standing.hold is not None:
                self._desired.hold(path, standing.hold)
            elif not standing.is_there or (verb in {"start", "restart"} and isinstance(result, fx.Done)):
                self._desired.release(path)
        except OSError as error:
            problem = f"done, but it could not be kept and will not outlive a restart: {error}"
        settle(result, problem)


class Gathering:
    """Collects the answers of one verb's targets; closed once, by the last answer or by time."""

    def __init__(self, verb: str, targets: Sequence[NodeView], services: Services, answer: Answer) -> None:
        self._verb = verb
        self._services = services
        self._answer: Answer | None = answer
        self._order = [target.path for target in targets]
        self._since = services.system.clock.monotonic()
        self._results: dict[str, TargetView] = {}
        self._lock = threading.Lock()
        self._timer: Any = None

    def arm(self, timeout: float) -> None:
        """Close after `timeout` seconds with what there is."""
        with self._lock:
            if self._answer is not None:
                self._timer = self._services.system.schedule(timeout, partial(self.close, TargetOutcome.PENDING))

    def settle(self, path: str, result: fx.Done | fx.Refused, problem: str = "") -> None:
        """Take one target's answer; `problem` is what went wrong in keeping it."""
        seconds = self._services.system.clock.monotonic() - self._since
        if problem:
            view = TargetView(path=path, outcome=TargetOutcome.FAILED, code="failed", message=problem, seconds=seconds)
        elif isinstance(result, fx.Done):
            view = TargetView(path=path, outcome=TargetOutcome.DONE, seconds=seconds)
        elif result.code in _UNCHANGED.get(self._verb, ()):
            view = TargetView(path=path, outcome=TargetOutcome.UNCHANGED, message=result.message, seconds=seconds)
        else:
            view = TargetView(
                path=path,
                outcome=TargetOutcome.FAILED,
                code=_CODES.get(result.code, "conflict"),
                message=result.message if result.reason is None else f"{result.message}: {result.reason}",
                hint=f"actorctl why {path}",
                seconds=seconds,
            )
        with self._lock:
            self._results[path] = view
            is_last = len(self._results) == len(self._order)
        if is_last:
            self.close(TargetOutcome.PENDING)

    def close(self, missing: TargetOutcome) -> None:
        """Answer, if nobody has; targets without an answer get the outcome `missing`."""
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        states = {node.path: node.state for node in nodes(self._services)}
        items = []
        for path in self._order:
            view = self._results.get(path) or TargetView(path=path, outcome=missing)
            items.append(_with_state(view, states.get(path)))
        answer(CommandView(command=self._verb, items=tuple(items)))


_MAKE: Mapping[str, Make] = {
    "start": lambda id, _: ev.StartStopped(request=0, now=0.0, id=id),
    "stop": lambda id, hold: ev.StopChild(request=0, now=0.0, id=id, hold=hold),
    "restart": lambda id, _: ev.RestartChild(request=0, now=0.0, id=id, stop_first=True),
    "reread": lambda id, _: ev.RereadChild(request=0, now=0.0, id=id),
    "suspend": lambda id, _: ev.SuspendChild(request=0, now=0.0, id=id),
    "resume": lambda id, _: ev.ResumeChild(request=0, now=0.0, id=id),
    "kill": lambda id, _: ev.KillChild(request=0, now=0.0, id=id),
    "reset": lambda id, _: ev.ResetChild(request=0, now=0.0, id=id),
}
"""The management call of each verb; whoever takes it fills in its number and instant."""

_OF_WORKERS = frozenset({"suspend", "resume", "reread"})


def _topmost(verb: str, chosen: Sequence[NodeView], tree: Sequence[NodeView]) -> list[NodeView]:
    """Return the targets: nodes below another chosen one go with it, the root stands for its children.

    Raises:
        SelectorError: Only supervisors were chosen for a verb that is for workers.
    """
    if verb in _OF_WORKERS:
        workers = [node for node in chosen if node.kind is NodeKind.WORKER]
        if chosen and not workers:
            path = chosen[0].path.rstrip("/")
            raise SelectorError(
                "usage", f"{chosen[0].path} is a supervisor, which has no messages", f"actorctl {verb} '{path}/**'"
            )
        return workers
    if any(node.path == "/" for node in chosen):
        chosen = [node for node in tree if parent_of(node.path) == "/"]
    named = {node.path for node in chosen}
    return [node for node in chosen if not _has_above(node.path, named)]


def _has_above(path: str, named: set[str]) -> bool:
    above = parent_of(path)
    while above is not None:
        if above in named:
            return True
        above = parent_of(above)
    return False


def _with_state(view: TargetView, state: NodeState | None) -> TargetView:
    return TargetView(
        path=view.path,
        outcome=view.outcome,
        state=state,
        code=view.code,
        message=view.message,
        hint=view.hint,
        seconds=view.seconds,
        plan=view.plan,
    )
