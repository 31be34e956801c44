"""What can be asked of a supervisor without changing anything, in whatever process of the tree it runs.

A question is answered from the supervisor's published state, so neither it nor its children are disturbed. One about a
supervisor in another process goes there as a management call does, from process to process; its answer is plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeVar, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from supervisors import core
from supervisors.branches import branch_at
from supervisors.core import Counts, Done, Refusal, Refused, State, WhichChild
from supervisors.processes.plans import pack_spec, unpack_spec
from supervisors.specs import ChildSpec
from supervisors.supervisor import Services
from transport.errors import MalformedFrameError

T = TypeVar("T")

Answer = Callable[[Done | Refused], None]
"""Gets the answer, once, on a thread that must not be held up: `Done` with plain data as its `info`, or why not."""


class What(Enum):
    """What is asked."""

    OUTLOOK = "outlook"
    """What a management call would do."""
    CHILDREN = "children"
    """Its children, newest first."""
    COUNTS = "counts"
    """How many children it has, by kind."""
    SPEC = "spec"
    """The complete spec of one child."""


class Question(Struct, frozen=True):
    """One question to the supervisor at `supervisor`.

    Attributes:
        supervisor: Its path.
        what: What is asked.
        id: The child it is about, "" where it is about none.
        request: The management call whose outlook is asked for.
    """

    supervisor: str
    what: What
    id: str = ""
    request: core.Request | None = None


class Outlook(Struct, frozen=True):
    """What a management call would do, as `supervisors.core.Forecast` says, and the limit it would count against.

    Attributes:
        stops: Children that would be stopped, in that order.
        starts: Children that would be started, in that order.
        used: Restarts within the window after it.
        intensity: How many are allowed.
        period: Length of the window, in seconds.
        gives_up: Whether the supervisor would escalate.
        refusal: Why the call would be refused, or "".
    """

    stops: tuple[str, ...]
    starts: tuple[str, ...]
    used: int
    intensity: int
    period: float
    gives_up: bool
    refusal: str = ""


def inquire(services: Services, question: Question, answer: Answer) -> bool:
    """Have `question` answered, wherever its supervisor runs; never waits.

    Returns:
        False: there is no such supervisor, and nobody will answer.
    """
    found = services.supervisors.get(question.supervisor)
    if found is not None:
        answer(answer_from(found.published, question, services.system.clock.monotonic()))
        return True
    branch = branch_at(services, question.supervisor)
    if branch is None:
        return False
    branch.inquire(question, answer)
    return True


def answer_from(state: State, question: Question, now: float) -> Done | Refused:
    """Answer `question` from the supervisor's state at `now`."""
    match question.what:
        case What.OUTLOOK:
            return _outlook(state, question, now)
        case What.CHILDREN:
            return Done("", 0, msgspec.to_builtins(core.which_children(state)))
        case What.COUNTS:
            return Done("", 0, msgspec.to_builtins(core.count_children(state)))
        case What.SPEC:
            spec = core.get_childspec(state, question.id)
            if spec is None:
                return Refused(question.id, Refusal.NOT_FOUND, f"there is no child {question.id}")
            return Done(question.id, 0, pack_spec(spec))
        case _:
            assert_never(question.what)


def _outlook(state: State, question: Question, now: float) -> Done | Refused:
    if question.request is None:
        return Refused(question.id, Refusal.INVALID, "it does not say which call")
    request = replace(question.request, request=1, now=now)
    forecast = core.what_would(state, request, question.id)
    spec = state.spec
    outlook = Outlook(
        forecast.stops,
        forecast.starts,
        max(0, spec.intensity - forecast.budget_left),
        spec.intensity,
        float(spec.period),
        forecast.limit == "escalate",
        forecast.refusal.message if forecast.refusal is not None else "",
    )
    return Done(question.id, 0, msgspec.to_builtins(outlook))


def outlook_in(answer: Done) -> Outlook:
    """Return the outlook in an answer; see `children_in` for errors."""
    return _in(answer, Outlook)


def children_in(answer: Done) -> list[WhichChild]:
    """Return the children in an answer.

    Raises:
        MalformedFrameError: It holds none, for what is in another process may be of another version.
    """
    return _in(answer, list[WhichChild])


def counts_in(answer: Done) -> Counts:
    """Return the counts in an answer; see `children_in` for errors."""
    return _in(answer, Counts)


def spec_in(answer: Done) -> ChildSpec:
    """Return the spec in an answer; see `children_in` for errors."""
    return unpack_spec(answer.info)


def _in(answer: Done, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer.info, kind)
    except msgspec.ValidationError as error:
        raise MalformedFrameError(f"this is no answer to a question: {error}") from None
