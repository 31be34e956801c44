"""How a child is run, as tables of the configuration say it: what actors, loops, workers and queues have in common."""

from __future__ import annotations

from typing import Annotated

from supervisors.node.fields import Choice, PositiveDuration, Size, StopTime, Truth, Whole
from supervisors.node.sections import (
    BackoffConfig,
    BoundsConfig,
    BudgetConfig,
    HeartbeatConfig,
    RestartWord,
    Section,
    key,
)

Placement = Annotated[str, Choice("pool", "thread", "process")]
WhenDownWord = Annotated[str, Choice("refuse", "hold")]
FullWord = Annotated[str, Choice("block", "reject", "dead-letter")]


class MailboxConfig(Section):
    """`mailbox`: its bound, and the answer to full."""

    capacity: Annotated[int, Whole(1, 100_000_000)] | None = key("Messages that may wait; 100,000 when unset.", None)
    block_timeout: PositiveDuration | None = key("Longest wait of a sender on a full mailbox; 30 s when unset.", None)
    full: FullWord | None = key(
        "Full: the sender waits, gets an error, or the message becomes a dead letter; `block` when unset.", None
    )


class FlightConfig(Section):
    """`flight`: what is kept of a crash."""

    messages: Annotated[int, Whole(0, 64)] | None = key("How many of the last messages; 4 when unset.", None)
    state: Truth | None = key("Whether the actor's `state_view()` is asked for; not when unset.", None)
    locals: Truth | None = key("Whether the traceback's frames come with their variables; not when unset.", None)
    stacks: Truth | None = key("Whether the stacks of all threads are kept; they are when unset.", None)


class ChildOptions(Section):
    """How a child is run; what is not set comes from `[defaults.child]`."""

    runs_in: Placement | None = key("Shared pool, a thread of its own, or a process of its own.", None)
    restart: RestartWord | None = key("Restart always, only after an abnormal end, or never.", None)
    shutdown: StopTime | None = key("Time to stop when asked; then it is killed.", None)
    start_timeout: PositiveDuration | None = key("Time to become ready.", None)
    backoff: BackoffConfig | None = key("Delay before restarts; unset parts come from the defaults.", None)
    budget: BudgetConfig | None = key("The child's own restart limit, beyond which it is quarantined.", None)
    heartbeat: HeartbeatConfig | None = key("Liveness of a process; unset parts come from the defaults.", None)
    memory_max: Size | None = key("Resident memory at which a process is restarted.", None)
    spares: Annotated[int, Whole(0, 100)] | None = key(
        "Processes that wait, imported, to replace one that ended.", None
    )
    bounds: BoundsConfig | None = key("What else a process may use, and how long it may run.", None)
    when_down: WhenDownWord | None = key("What becomes of messages while it is being restarted.", None)
    held_max: Annotated[int, Whole(1, 10_000_000)] | None = key('Most messages held with `when_down = "hold"`.', None)
    mailbox: MailboxConfig | None = key(
        "Bound of the mailbox; the class's own when there is no such table here or in the defaults.", None
    )
    flight: FlightConfig | None = key("What is kept of a crash; unset parts come from the defaults.", None)
