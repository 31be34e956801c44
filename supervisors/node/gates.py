"""Replacing a worker without failing who asks it: its messages are held meanwhile, and what it has it works off first.

A worker whose turn comes gets no new messages from then on: they are held, and it works off what it has, for as long as
its `shutdown` allows. What was held is delivered to the next instance. So an ask under way is answered, by the old one
or by the new one. Workers of a subtree that runs in another process are replaced without that: their messages are not
this process's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final

from actors.addresses import join
from actors.core.holding import Holding
from supervisors import core
from supervisors.branches import post_call
from supervisors.children import LocalHandle
from supervisors.processes.handle import ProcessChild
from supervisors.specs import ChildSpec
from supervisors.supervisor import Services
from supervisors.tree import find

ANSWER_TIMEOUT: Final = 600.0
"""Longest wait for a supervisor to carry out one change, in seconds: its children have start and stop times."""
LOOK_EVERY: Final = 0.01
HELD_MAX: Final = 100_000
"""Most messages held for one worker while it is replaced."""


class Gates:
    """Holds messages for workers of one supervisor while they are replaced; entered, they have nothing left to do."""

    def __init__(self, services: Services, parent: str, specs: Sequence[ChildSpec]) -> None:
        self._services = services
        self._system = services.system
        self._patience = max((patience_of(spec) for spec in specs), default=0.0)
        self._specs = {join(parent, spec.id): spec for spec in specs}
        self._held: dict[str, Holding] = {}
        self._own: set[str] = set()

    def __enter__(self) -> None:
        registry = self._system.registry
        for path in self._specs:
            if find(self._services, path) is None or registry.reach(path) is None:
                continue  # in another process, or not there
            holding = registry.holding(path)
            if holding is None:
                holding = Holding(self._system, path, HELD_MAX)
                self._own.add(path)
                registry.hold(path, holding)
            holding.close()
            self._held[path] = holding
        until = time.monotonic() + self._patience
        looks = 0
        while self._held and looks < 3 and time.monotonic() < until:
            looks = looks + 1 if all(self._is_idle(path) for path in self._held) else 0
            time.sleep(LOOK_EVERY)

    def __exit__(self, *_error: object) -> None:
        registry = self._system.registry
        for path, holding in self._held.items():
            is_there = registry.reach(path) is not None
            if path in self._own:
                if is_there:
                    holding.open()
                else:
                    holding.end(registry.why_absent(path))
                registry.hold(path, None)
            elif is_there:
                holding.open()

    def _is_idle(self, path: str) -> bool:
        found = find(self._services, path)
        held = found[0].handles.get(found[1].id) if found is not None else None
        if held is None:
            return True
        if isinstance(held[1], ProcessChild):
            return held[1].gateway.statistics().asking == 0
        if isinstance(held[1], LocalHandle) and held[1].is_awaiting:
            return False
        figures = held[1].figures()
        return figures is None or (figures.depth == 0 and figures.handling is None)


def patience_of(spec: ChildSpec) -> float:
    return spec.shutdown if isinstance(spec.shutdown, int | float) else 0.0 if spec.shutdown == "brutal_kill" else 60.0


def call(services: Services, path: str, request: core.Request) -> core.Done | core.Refused:
    """Put a management call to the supervisor at `path` and wait for its answer."""
    answers: SimpleQueue[core.Done | core.Refused] = SimpleQueue()
    if not post_call(services, path, request, answers.put):
        return core.Refused("", core.Refusal.NOT_FOUND, f"the supervisor {path} is not running")
    try:
        return answers.get(timeout=ANSWER_TIMEOUT)
    except Empty:
        return core.Refused("", core.Refusal.STOPPING, f"{path} gave no answer within {ANSWER_TIMEOUT:g} s")


def why_refused(result: core.Refused) -> str:
    """Return why, in one line."""
    return f"{result.message}: {result.reason}" if result.reason is not None else result.message
