"""A tree with a node in every state, as views: what a fake node serves and golden texts are made from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from supervisors.views import BudgetView, HeaderView, NodeKind, NodeState, NodeView, TreeView

STARTED_AT = datetime(2026, 11, 20, 9, 50, tzinfo=UTC)


def worker(path: str, state: NodeState = NodeState.READY, **fields: Any) -> NodeView:
    """Return a worker; a ready one has run for 11 hours on a thread of its own."""
    if state is NodeState.READY:
        fields = {"uptime": 39_960.0, "placement": "thread", "generation": 1, "restart": "permanent", **fields}
    return NodeView(path=path, kind=NodeKind.WORKER, state=state, **fields)


def supervisor(path: str, ready: int, total: int, **fields: Any) -> NodeView:
    """Return a running one_for_one supervisor."""
    fields = {"strategy": "one_for_one", "uptime": 40_000.0, "generation": 1, **fields}
    return NodeView(path=path, kind=NodeKind.SUPERVISOR, state=NodeState.READY, ready=ready, total=total, **fields)


def budget(restarts: int, intensity: int, period: float) -> BudgetView:
    """Return a restart budget."""
    return BudgetView(restarts=restarts, intensity=intensity, period=period)


def sample_nodes() -> tuple[NodeView, ...]:
    """Return the sample tree, flat."""
    return (
        supervisor("/", 14, 22, limit=budget(2, 10, 60.0)),
        supervisor("/sys", 3, 3, significant=True, limit=budget(0, 5, 60.0)),
        worker("/sys/recorder", placement="process", pid=4122, note="lag 0.3s"),
        worker("/sys/scheduler", note="next: backup in 5h12m", handled=1200),
        worker("/sys/watchdog", placement="pool", note="last tick 4s"),
        supervisor("/io", 1, 5, limit=budget(3, 5, 300.0)),
        worker("/io/gmail", placement="process", pid=4130, mailbox=2, handled=5120, restarts=1, last_reason="shutdown"),
        worker(
            "/io/browser",
            NodeState.RESTARTING,
            placement="process",
            pid=9911,
            generation=4,
            restarts=3,
            attempt=4,
            backoff=80.0,
            next_in=41.0,
            next_at=datetime(2026, 11, 20, 14, 2, 52, tzinfo=UTC),
            last_reason="killed (memory-limit)",
            last_exit_at=datetime(2026, 11, 20, 14, 2, 11, tzinfo=UTC),
        ),
        worker("/io/tts", NodeState.NOT_CONFIGURED, why="not configured: set io.tts.command"),
        worker(
            "/io/stt",
            NodeState.STOPPED,
            stopped_by="uid 1000 pid 77",
            stopped_why="maintenance",
            mailbox=3,
        ),
        worker("/io/twilio", NodeState.QUARANTINED, budget=budget(5, 5, 60.0), last_reason="crashed: ValueError: bad"),
        worker("/io/disk", NodeState.ABANDONED, placement="thread", why="it did not stop within 10s"),
        supervisor("/agents", 10, 11, limit=budget(0, 15, 300.0)),
        *(worker(f"/agents/{number:02}") for number in range(10)),
        worker("/agents/10", NodeState.WAITING, why="on /io/browser"),
        supervisor("/work", 0, 3, strategy="rest_for_one"),
        worker("/work/task#1", NodeState.STARTING, placement="process"),
        worker("/work/task#2", NodeState.SUSPENDED, placement="process", pid=4140, stopped_by="uid 1000 pid 77"),
        worker("/work/task#3", NodeState.FAILED, last_reason="crashed: OSError: disk full"),
        worker("/work/once", NodeState.FINISHED, placement="pool"),
    )


def sample_header() -> HeaderView:
    """Return the header of the sample node."""
    return HeaderView(
        name="openclaw",
        version="0.1.0",
        pid=4121,
        home="/srv/.actors",
        state="running",
        uptime=273_120.0,
        started_at=STARTED_AT,
        ready=14,
        total=22,
        restarts=9,
        restarts_day=4,
        seq=881_205,
        epoch="01JD8Z",
    )


def sample_tree() -> TreeView:
    """Return the sample tree as a node answers `tree`."""
    return TreeView(header=sample_header(), nodes=sample_nodes())
