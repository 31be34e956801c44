"""Why a node is in the state it is in: a sentence, the cause chain to the leaf, what it waits for, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from actors.addresses import is_within, join, parent_of
from actors.events import CrashRecorded
from actors.exits import ExitReason
from supervisors.node.recent import RecentEvents
from supervisors.views import CauseView, FlightView, Instant, NodeKind, NodeState, NodeView, WhyView, instant

EVENTS = 10
"""How many events an explanation shows."""


def explain(
    node: NodeView,
    tree: Sequence[NodeView],
    recent: RecentEvents,
    *,
    reason: ExitReason | None,
    needs: Sequence[str],
) -> WhyView:
    """Return the explanation of `node`; `reason` is its last end, as its supervisor knows it, `needs` its spec's."""
    below = [n for n in tree if n.path != node.path and is_within(n.path, node.path) and n.state not in _WELL]
    end = recent.last_end(node.path)
    if reason is None and end is not None:
        reason = end.reason
    at = instant(end.at) if end is not None else None
    causes = _causes(node.path, reason, at) if reason is not None else ()
    return WhyView(
        node=node,
        summary=_summary(node, below),
        causes=causes,
        blocked_by=_blocked_by(node, tree, needs),
        is_sticky=bool(node.stopped_by),
        hints=_hints(node, below),
        events=recent.about(node.path, EVENTS),
        flight=flight_of(recent.last_crash(causes[-1].path if causes else node.path)),
    )


def flight_of(event: CrashRecorded | None) -> FlightView | None:
    """Return the view of a flight record."""
    at = instant(event.at) if event is not None else None
    if event is None or at is None:
        return None
    return FlightView(path=event.path, at=at, generation=event.generation, reason=event.reason, record=event.record)


def _summary(node: NodeView, below: Sequence[NodeView]) -> str:
    match node.state:
        case NodeState.READY | NodeState.STARTING if below:
            worst = ", ".join(f"{n.path} ({n.state.value})" for n in below[:3])
            return f"{node.state.value}, but {len(below)} below it are not: {worst}"
        case NodeState.READY:
            often = "once" if node.restarts == 1 else f"{node.restarts} times"
            last = f"; it was restarted {often}, last end: {node.last_reason}" if node.restarts else ""
            return f"nothing is wrong: it is ready{last}"
        case NodeState.NOT_CONFIGURED:
            return node.why
        case NodeState.RESTARTING:
            when = f"try {node.attempt} in {node.next_in:.3g} s" if node.next_in is not None else "now"
            return f"it ended ({node.last_reason}) and is being restarted: {when}"
        case NodeState.PARKED:
            when = f"{node.next_in:.3g} s" if node.next_in is not None else "a while"
            return f"its supervisor's restart limit was reached, so it is tried slowly, next in {when}"
        case NodeState.QUARANTINED:
            return f"it used up its own restart budget and stays away; last end: {node.last_reason}"
        case NodeState.STOPPED if node.stopped_by:
            why = f": {node.stopped_why}" if node.stopped_why else ""
            return f"{node.stopped_by} stopped it{why}; it stays stopped until somebody starts it"
        case NodeState.STOPPED:
            return f"it is stopped{': ' + node.why if node.why else ''}"
        case NodeState.FINISHED:
            return f"it ended by itself ({node.last_reason}) and, being {node.restart}, is not restarted"
        case NodeState.UNKNOWN:
            return f"nobody knows: {node.why}"
        case NodeState.ABANDONED:
            return "its thread could not be ended: it was cut off, what it still does has no effect"
        case NodeState.WAITING:
            return "it has not been started yet: what stands before it in the start order is not ready"
        case NodeState.SUSPENDED:
            return f"it is suspended: {node.mailbox} messages wait until it is resumed"
        case NodeState.FAILED:
            return f"its start failed: {node.why or node.last_reason}"
        case _:
            return f"it is {node.state.value}{': ' + node.why if node.why else ''}"


def _causes(path: str, reason: ExitReason, at: Instant | None) -> tuple[CauseView, ...]:
    steps = [(path, reason), *((cause.path, cause.reason) for cause in reason.chain())]
    return tuple(
        CauseView(
            path=where,
            reason=str(step).split("\n", 1)[0],
            kind=step.kind.value,
            detail=step.detail,
            error=step.crash.type_name if step.crash is not None else "",
            message=step.crash.message if step.crash is not None else "",
            traceback=step.crash.traceback if step.crash is not None else "",
            at=at if number == 0 else None,
        )
        for number, (where, step) in enumerate(steps)
    )


def _blocked_by(node: NodeView, tree: Sequence[NodeView], needs: Sequence[str]) -> tuple[str, ...]:
    """Nodes that must be ready before this one: what it needs, and what stands above it."""
    if node.state in _WELL or node.stopped_by:
        return ()
    states = {n.path: n.state for n in tree}
    found: list[str] = []
    parent = parent_of(node.path) or "/"
    for need in needs:
        path = need if need.startswith("/") else join(parent, need)
        if states.get(path) is not NodeState.READY:
            found.append(path)
    above = parent_of(node.path)
    while above is not None:
        if states.get(above) is not NodeState.READY:
            found.append(above)
        above = parent_of(above)
    return tuple(found)


def _hints(node: NodeView, below: Sequence[NodeView]) -> tuple[str, ...]:
    path = node.path
    match node.state:
        case NodeState.STOPPED | NodeState.FAILED | NodeState.FINISHED:
            return (f"actorctl start {path}",)
        case NodeState.QUARANTINED | NodeState.PARKED | NodeState.RESTARTING:
            return (f"actorctl reset {path}", f"actorctl events {path}")
        case NodeState.SUSPENDED:
            return (f"actorctl resume {path}",)
        case NodeState.ABANDONED:
            return (f"actorctl start {path}", f"actorctl describe {path}")
        case NodeState.UNKNOWN:
            return (f"actorctl restart {path}", f"actorctl describe {path}")
        case NodeState.NOT_CONFIGURED:
            return ("actorctl config show",)
        case _ if below and node.kind is NodeKind.SUPERVISOR:
            return tuple(f"actorctl why {n.path}" for n in below[:3])
        case _:
            return (f"actorctl events {path}",)


_WELL = frozenset({NodeState.READY, NodeState.NOT_CONFIGURED, NodeState.FINISHED})
"""States that need no explanation as part of a larger one."""
