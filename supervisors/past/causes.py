"""Why a node was in its state at an instant: its last end before it, the causes below, what the leaf did last."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.events import CrashRecorded
from actors.history.payloads import event_of
from supervisors.past.reading import History, Past, instant_of, read_events, rows_of, text_of
from supervisors.views import CauseView, FlightView, NodeView, WhyView

EVENTS: Final = 10
"""How many events an explanation shows."""


def explain_past(history: History, past: Past, path: str) -> WhyView:
    """Return why the node at `path`, which was part of the tree then, was in its state."""
    assert past.run is not None  # there is a tree
    node = next(node for node in past.nodes if node.path == path)
    wanted = {"epoch": past.run.epoch, "at": text_of(past.at)}
    ends = rows_of(history, _END, {**wanted, "path": path}, 1)
    causes = _causes(path, ends[0]) if ends else ()
    leaf = causes[-1].path if causes else path
    return WhyView(
        node=node,
        summary=_summary(node),
        causes=causes,
        is_sticky=bool(node.stopped_by),
        events=read_events(history, path, past.run.epoch, past.at, EVENTS),
        flight=_flight(rows_of(history, _FLIGHT, {**wanted, "path": leaf}, 1), leaf),
        at=instant_of(past.at),
    )


def _summary(node: NodeView) -> str:
    said = f"it was {node.state.value}"
    if node.stopped_by:
        return f"{said}: {node.stopped_by} had stopped it" + (f": {node.stopped_why}" if node.stopped_why else "")
    parts = [said, node.why, f"the end before: {node.last_reason}" if node.last_reason else ""]
    return "; ".join(part for part in parts if part)


def _causes(path: str, row: tuple[Any, ...]) -> tuple[CauseView, ...]:
    when, kind, detail, error, message, traceback, below = row
    found = [_cause(path, kind, detail, error, message, traceback or "", float(when))]
    for step in msgspec.json.decode(below) if below else ():
        found.append(
            _cause(
                step["path"], step["kind"], step.get("detail"), step.get("error_type"), step.get("error_message"),
                step.get("traceback", ""), 0.0,
            )
        )  # fmt: skip
    return tuple(found)


def _cause(
    path: str, kind: str, detail: str | None, error: str | None, message: str | None, traceback: str, at: float
) -> CauseView:
    said = f"{kind}: {error}: {message}" if error else kind
    reason = f"{said} ({detail})" if detail else said
    return CauseView(
        path=path, reason=reason.split("\n", 1)[0], kind=kind, detail=detail or "", error=error or "",
        message=message or "", traceback=traceback, at=instant_of(at) if at else None,
    )  # fmt: skip


def _flight(rows: list[tuple[Any, ...]], path: str) -> FlightView | None:
    if not rows:
        return None
    event = event_of("CrashRecorded", float(rows[0][0]), path, rows[0][1])
    assert isinstance(event, CrashRecorded)
    return FlightView(
        path=path, at=instant_of(event.at), generation=event.generation, reason=event.reason, record=event.record
    )


_END: Final = """
SELECT epoch(happened_at), kind, detail, error_type, error_message, traceback, causes FROM exits
WHERE epoch = $epoch AND path = $path AND happened_at <= CAST($at AS TIMESTAMPTZ) ORDER BY seq DESC LIMIT 1
"""
_FLIGHT: Final = """
SELECT epoch(happened_at), payload FROM events
WHERE epoch = $epoch AND path = $path AND type = 'CrashRecorded' AND happened_at <= CAST($at AS TIMESTAMPTZ)
ORDER BY seq DESC LIMIT 1
"""
