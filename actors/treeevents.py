"""A supervisor's part of the tree in plain data: what makes the events enough to rebuild the tree of any instant."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from actors.eventbase import Event


class ChildRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a supervisor knew of one child at an instant. Instants are seconds since the epoch; 0.0 stands for none.

    Attributes:
        id: Its name.
        position: Grows in start order.
        state: One word, as in `tree`: `ready`, `restarting`, `quarantined`, …
        generation: Which instance, from 1; 0 before the first.
        kind: `worker` or `supervisor`.
        restart: Its restart type.
        placement: Where it runs; "" for one that never ran.
        strategy: Of a supervisor.
        significant: Whether its end can end its supervisor.
        pid: Process it runs in; 0 where it does not run.
        since: When the present state began, where that is known.
        why: One line on the state.
        attempt: While starting or restarting: which try.
        restarts: Times it was restarted.
        next_at: While restarting: when the next try is due.
        last_reason: How the instance before ended, in one line.
        stopped_by: Who stopped it.
        stopped_why: The reason that person gave.
        intensity: Restarts its own budget allows; -1 where it has none.
        period: Seconds of that budget.
        window: When the restarts that count against that budget were.
    """

    id: str
    position: int
    state: str
    generation: int = 0
    kind: str = "worker"
    restart: str = "permanent"
    placement: str = ""
    strategy: str = ""
    significant: bool = False
    pid: int = 0
    since: float = 0.0
    why: str = ""
    attempt: int = 0
    restarts: int = 0
    next_at: float = 0.0
    last_reason: str = ""
    stopped_by: str = ""
    stopped_why: str = ""
    intensity: int = -1
    period: float = 0.0
    window: tuple[float, ...] = ()


class TreeChanged(Event, frozen=True):
    """What no other event tells of a supervisor and its children: with those, the tree of any instant can be rebuilt.

    Attributes:
        state: The supervisor's own: `starting`, `ready`, `stopping`, `ended`.
        generation: Which instance of the supervisor.
        pid: Process it runs in.
        strategy: Its strategy.
        intensity: Restarts it allows.
        period: In how many seconds.
        children: Those that changed, as they are now.
        whole: Whether the list of children begins anew: those that neither this event nor later ones name are gone.
        window: When the restarts that count were; None where that is as other events tell.
    """

    TOPIC: ClassVar[str] = "supervisor.tree"

    state: str
    generation: int
    pid: int
    strategy: str
    intensity: int
    period: float
    children: tuple[ChildRecord, ...] = ()
    whole: bool = False
    window: tuple[float, ...] | None = None
