"""Branches: parts of the tree whose supervisors run in other processes, as those above see them.

A branch is what the launcher of such a child knows: what its process last said of its nodes, and the way to carry a
management call there. `post_call` finds the supervisor of a path wherever it runs; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from actors.addresses import name_of, parent_of
from actors.exits import ExitRecord
from supervisors import core
from supervisors.errors import SpecError
from supervisors.specs import Strategy
from supervisors.supervisor import Answer, Services
from supervisors.views import NodeView, SpecView


class Record(Struct, frozen=True, omit_defaults=True):
    """One node of a branch, as its process said.

    Attributes:
        view: What a tree shows of it; what its supervisor counts is filled in by the reader.
        position: Grows in start order among siblings.
        spec: Its child spec; None in a report where it is the one said before.
        hold: Who stopped it, where a person did.
        is_open: Of a supervisor: whether it runs, so that there are nodes below it.
        is_dynamic: Whether its record goes with its supervisor's instance.
        last_exit: How the instance before ended, or why the last start failed.
    """

    view: NodeView
    position: int = 0
    spec: SpecView | None = None
    hold: core.Hold | None = None
    is_open: bool = False
    is_dynamic: bool = False
    last_exit: ExitRecord | None = None


class Branch(Protocol):
    """A part of the tree in another process. Every method may be called on any thread and never waits."""

    @property
    def path(self) -> str:
        """The path of its topmost supervisor."""
        ...

    def nodes(self, path: str, depth: int | None) -> list[NodeView]:
        """Return the node at `path`, which may be the branch's own, and `depth` levels below it, parents first."""
        ...

    def top(self, depth: int | None) -> tuple[NodeView | None, list[NodeView], tuple[int, int]]:
        """Return the topmost supervisor's own view, what is below it, and its workers: those ready, and in all."""
        ...

    def doubt(self) -> str:
        """Return why what is known may not be so any more, "" where the process answers."""
        ...

    def record(self, path: str) -> Record | None:
        """Return what is known of the node at `path`, below the branch's own; None where nothing is."""
        ...

    def paths(self) -> list[str]:
        """Return the paths of all nodes below the branch's own, parents before their children."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return how many workers are ready, and how many should be."""
        ...

    def call(self, supervisor: str, request: core.Request, answer: Answer) -> None:
        """Carry out `request` on the supervisor at `supervisor`; `answer` is called once, and must only post.

        Raises:
            SpecError: A spec in it cannot be carried to another process.
        """
        ...

    def inquire(self, question: Any, answer: Answer) -> None:
        """Have a `supervisors.processes.questions.Question` answered there; `answer` is called once, must only post."""
        ...

    def refresh(self, done: Callable[[], object]) -> None:
        """Ask the process for what its nodes are now; `done` is called when it has said so, or has ended."""
        ...


def branch_at(services: Services, path: str) -> Branch | None:
    """Return the branch that the node at `path` belongs to, or is the top of; None where this process has it."""
    known = services.trunk.branches
    if known:
        at: str | None = path
        while at is not None:
            branch: Branch | None = known.get(at)
            if branch is not None:
                return branch
            at = parent_of(at)
    return None


def record_of(services: Services, path: str) -> Record | None:
    """Return what is known of the node at `path` in another process; None where there is none."""
    branch = branch_at(services, path)
    return branch.record(path) if branch is not None else None


class Standing(Struct, frozen=True):
    """How a child stands, wherever it runs.

    Attributes:
        is_there: Whether its supervisor has a record of it.
        is_dynamic: Whether that record goes with the supervisor's instance.
        hold: Who stopped it, where a person did.
        is_unknown: Whether its supervisor is not there to say.
    """

    is_there: bool = False
    is_dynamic: bool = False
    hold: core.Hold | None = None
    is_unknown: bool = False


def standing_of(services: Services, path: str) -> Standing:
    """Return how the child at `path` stands."""
    above = parent_of(path)
    supervisor = services.supervisors.get(above) if above is not None else None
    if supervisor is not None:
        state = supervisor.published
        child = state.children.get(name_of(path))
        is_dynamic = state.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        held = child.state.hold if child is not None and isinstance(child.state, core.Held) else None
        return Standing(child is not None, is_dynamic, held)
    branch = branch_at(services, above) if above is not None else None
    if branch is None:
        return Standing(is_unknown=True)
    record = branch.record(path)
    return Standing(True, record.is_dynamic, record.hold) if record is not None else Standing()


def refresh(services: Services, done: Callable[[], object]) -> int:
    """Ask every branch for what its nodes are now; `done` is called for each that has said so. Returns how many."""
    found: list[Branch] = list(services.trunk.branches.values())
    for branch in found:
        branch.refresh(done)
    return len(found)


def post_call(services: Services, supervisor: str, request: core.Request, answer: Answer) -> bool:
    """Carry out `request` on the supervisor at the path `supervisor`, wherever it runs.

    Args:
        services: What the supervisors of this process share.
        supervisor: The path of the supervisor.
        request: The call; its number, instant and chance are the supervisor's to fill in.
        answer: Called once, on a thread that must not be held up.

    Returns:
        False: there is no such supervisor, and nothing was done.
    """
    found = services.supervisors.get(supervisor)
    if found is not None:
        found.call(partial(_numbered, request), answer)
        return True
    branch = branch_at(services, supervisor)
    if branch is None:
        return False
    try:
        branch.call(supervisor, request, answer)
    except SpecError as error:
        answer(core.Refused("", core.Refusal.INVALID, str(error), None, error.faults))
    return True


def _numbered(request: core.Request, number: int, now: float, chance: float) -> core.Request:
    return replace(request, request=number, now=now, chance=chance)
