"""`wait`: answer when a condition on the tree holds, or when its time is over, saying for whom it does not yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from actors.events import ActorExited, ActorIgnored, ActorStarted, ActorStartFailed, ActorStateChanged, RestartScheduled
from supervisors.requests import WaitArguments
from supervisors.selectors import SelectorError, check_selector, select
from supervisors.supervisor import Services
from supervisors.tree import nodes
from supervisors.views import NodeKind, NodeState, NodeView, WaitView

_LIFE = (ActorStarted, ActorIgnored, ActorStartFailed, ActorExited, ActorStateChanged, RestartScheduled)
PAUSE = 0.02
"""Seconds between two looks at most that often: a storm of events is looked at once."""


class Waiting:
    """One `wait`. Looks at the tree now and after each life-cycle event, until it may answer.

    Raises:
        SelectorError: The condition or a selector is malformed.
    """

    def __init__(
        self, services: Services, wanted: WaitArguments, answer: Callable[[WaitView], object], call: Any
    ) -> None:
        self._services = services
        self._wanted = wanted
        self._answer: Callable[[WaitView], object] | None = answer
        self._is_met = _condition(wanted.condition)
        for selector in wanted.selectors:
            check_selector(selector)
        self._since = services.system.clock.monotonic()
        self._lock = threading.Lock()
        self._is_armed = False
        self._call = call
        self._subscription: Any = None
        self._end_look_on: Callable[[], object] = lambda: None
        self._deadline: Any = None

    def begin(self) -> None:
        """Look for the first time; the answer may come at once."""
        system = self._services.system
        self._subscription = system.bus.subscribe(lambda _seq, _event: self._arm(), _LIFE)
        self._deadline = system.schedule(max(0.0, self._wanted.timeout), lambda: self._look(is_last=True))
        self._end_look_on = self._services.trunk.look_on(self._arm)
        self._call.on_cancel(lambda _why: self._give_up())
        self._look()

    def _arm(self) -> None:
        with self._lock:
            if self._is_armed or self._answer is None:
                return
            self._is_armed = True
        self._services.system.schedule(PAUSE, self._look)

    def _look(self, *, is_last: bool = False) -> None:
        with self._lock:
            self._is_armed = False
            if self._answer is None:
                return
        pending, matched, is_met = self._pending()
        if not is_met and not is_last:
            return
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is None:
            return
        self._end()
        answer(
            WaitView(
                condition=self._wanted.condition,
                is_met=is_met,
                seconds=self._services.system.clock.monotonic() - self._since,
                matched=matched,
                pending=tuple(pending),
            )
        )

    def _pending(self) -> tuple[list[NodeView], int, bool]:
        """Return the nodes the condition does not hold for, how many were looked at, and whether it holds."""
        tree = nodes(self._services)
        is_gone = self._wanted.condition == "gone"
        try:
            chosen = select(tree, self._wanted.selectors) if self._wanted.selectors else tree
        except SelectorError:
            return [], 0, is_gone  # nothing is there (yet)
        if is_gone:
            return list(chosen), len(chosen), not chosen
        if not self._wanted.selectors:
            chosen = tuple(
                n for n in chosen if n.kind is NodeKind.SUPERVISOR or n.state is not NodeState.NOT_CONFIGURED
            )
        pending = [node for node in chosen if not self._is_met(node)]
        return pending, len(chosen), bool(chosen) and not pending

    def _give_up(self) -> None:
        with self._lock:
            self._answer = None
        self._end()

    def _end(self) -> None:
        self._end_look_on()
        for held in (self._subscription, self._deadline):
            if held is not None:
                held.cancel()


def _condition(text: str) -> Callable[[NodeView], bool]:
    """Return the test that `state=STATE`, `state!=STATE` or `gone` describes.

    Raises:
        SelectorError: It is none of them.
    """
    if text == "gone":
        return lambda _node: False
    for sign, wanted in (("!=", False), ("=", True)):
        key, found, value = text.partition(sign)
        if found and key == "state" and value in {state.value for state in NodeState}:
            return lambda node: (node.state.value == value) is wanted
    states = ", ".join(state.value for state in NodeState)
    raise SelectorError("usage", f"{text!r} is no condition", f"state=STATE, state!=STATE or gone; states: {states}")
