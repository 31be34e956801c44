"""Views of why a node is in its state: the causes, and what crashed actors did last."""

from __future__ import annotations

from actors.flightrecord import FlightRecord
from supervisors.views.base import Instant, View
from supervisors.views.tree import EventRow, NodeView


class CauseView(View, frozen=True):
    """One step of a cause chain, from the nearest to the leaf.

    Attributes:
        reason: "crashed: builtins.ValueError: bad port".
        kind: `normal`, `shutdown`, `killed` or `crashed`.
        detail: The machine word that narrows the kind, or "".
        error: Class of the error, or "".
        message: Its text.
        traceback: Formatted; "" where there is none.
    """

    path: str
    reason: str
    kind: str = ""
    detail: str = ""
    error: str = ""
    message: str = ""
    traceback: str = ""
    at: Instant | None = None


class FlightView(View, frozen=True):
    """The flight record of a crash.

    Attributes:
        path: Who crashed.
        at: When.
        reason: Why, in one line.
        record: What it did last.
    """

    path: str
    at: Instant
    generation: int
    reason: str
    record: FlightRecord


class WhyView(View, frozen=True):
    """Answer to `why`: why a node is in the state it is in, and what to do.

    Attributes:
        node: The node asked about, without children.
        summary: The answer in one sentence.
        causes: How the last instance ended, from the node itself down to the leaf.
        blocked_by: Nodes above or beside it that must be ready first, nearest first.
        is_sticky: A person's decision holds it; only a person's command changes that.
        hints: Commands that act on it, `actorctl …`, best first.
        events: The events that led here, oldest first.
        flight: What the instance that crashed, the leaf of the causes, did last; None where nothing was kept.
        at: The instant of an answer from the history; None for an answer of the node itself, which is of now.
    """

    node: NodeView
    summary: str
    causes: tuple[CauseView, ...] = ()
    blocked_by: tuple[str, ...] = ()
    is_sticky: bool = False
    hints: tuple[str, ...] = ()
    events: tuple[EventRow, ...] = ()
    flight: FlightView | None = None
    at: Instant | None = None
