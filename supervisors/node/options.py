"""How one child is run, once the tables that concern it are laid over each other.

From below: the product's defaults, `[defaults.child]`, for a loop `[loops]`, the child's own table. `/sys` is not
concerned by `[defaults.child]`, nor is the actor of the queues of jobs: what holds the runtime together says itself how
it runs, and a default meant for a user's actors (a process each, a small memory limit) must not take it down. Pure.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from actors.addresses import is_within
from actors.core.mailbox import MailboxSpec
from actors.flightrecord import FlightRule
from actors.policies.backoff import Backoff
from supervisors.node.config import ChildDefaults, ChildOptions, Config, SupervisorConfig
from supervisors.node.entries import Entry, Role
from supervisors.node.programs import ProgramConfig
from supervisors.node.sections import BudgetConfig
from supervisors.specs import Bounds, Budget, Heartbeat, Placement, Restart, Shutdown, WhenDown

SYSTEM = "/sys"
"""The part of the tree that lies under every configuration."""


class Options(Struct, frozen=True):
    """How one child is run; fields as in `ChildSpec`."""

    runs_in: Placement
    restart: Restart
    shutdown: Shutdown
    start_timeout: float
    backoff: Backoff
    budget: Budget | None
    heartbeat: Heartbeat | None
    memory_max_bytes: int | None
    spares: int
    bounds: Bounds
    mailbox: MailboxSpec | None
    when_down: WhenDown
    held_max: int
    flight: FlightRule | None

    @property
    def is_process(self) -> bool:
        """Whether the child runs in a process of its own."""
        return self.runs_in == "process"


def options_of(config: Config, entry: Entry) -> Options:
    """Return how the children of `entry`, which is no supervisor, are run.

    Heartbeat, memory limit and spares concern processes alone, a budget what is ever restarted: where they come from a
    table further down, a child that cannot have them is left without.
    """
    levels = _levels(config, entry)
    is_program = entry.role is Role.PROGRAM
    is_silent = is_program and not getattr(entry.settings, "speaks", None)  # no heartbeat, no messages
    runs_in: Placement = "process" if is_program else _top(levels, "runs_in")
    restart = Restart(_top(levels, "restart"))
    budget: BudgetConfig | None = _top(levels, "budget")
    heartbeat = _joined([getattr(level, "heartbeat", None) for level in levels])
    mailbox = _joined([getattr(level, "mailbox", None) for level in levels])
    flight = _joined([getattr(level, "flight", None) for level in levels])
    is_process = runs_in == "process"
    return Options(
        runs_in=runs_in,
        restart=restart,
        shutdown=_top(levels, "shutdown"),
        start_timeout=_top(levels, "start_timeout"),
        backoff=_backoff(levels),
        budget=Budget(budget.restarts, budget.within) if budget and restart is not Restart.TEMPORARY else None,
        heartbeat=Heartbeat(heartbeat["every"], heartbeat["miss"]) if is_process and not is_silent else None,
        memory_max_bytes=_top(levels, "memory_max") if is_process else None,
        spares=_top(levels, "spares") if is_process and not is_program else 0,
        bounds=_bounds(levels, entry, restart) if is_process else Bounds(),
        mailbox=MailboxSpec(**mailbox) if mailbox and not is_silent else None,
        when_down=_top(levels, "when_down"),
        held_max=_top(levels, "held_max"),
        flight=FlightRule(**flight) if flight else None,
    )


def branch_heartbeat(config: Config, supervisor: SupervisorConfig) -> Heartbeat | None:
    """Return the heartbeat of a supervisor that runs in a process of its own; None for one that does not."""
    if supervisor.runs_in != "process":
        return None
    found = _joined([config.defaults.child.heartbeat, supervisor.heartbeat])
    return Heartbeat(found["every"], found["miss"])


Level = ChildDefaults | ChildOptions | ProgramConfig
"""A table that says how children are run."""


def _levels(config: Config, entry: Entry) -> list[Level]:
    """Return the tables that concern `entry`, the lowest first."""
    is_ours = is_within(entry.path, SYSTEM) or entry.role in {Role.JOBS, Role.INDEX}
    levels: list[Level] = [ChildDefaults() if is_ours else config.defaults.child]
    if entry.role is Role.LOOP and config.loops is not None:
        levels.append(config.loops)
    own = entry.settings
    if isinstance(own, ChildOptions | ProgramConfig) and entry.role is not Role.INDEX:  # [work] speaks of its workers
        levels.append(own)
    return levels


def _bounds(levels: list[Level], entry: Entry, restart: Restart) -> Bounds:
    """Lay bounds over each other; those from a table further down that a child cannot have are left out."""
    joined = _joined([getattr(level, "bounds", None) for level in levels])
    if "memory_warn" in joined:
        joined["memory_warn_bytes"] = joined.pop("memory_warn")
    if restart is Restart.TEMPORARY or entry.role is Role.PROGRAM:
        joined.pop("max_messages", None)
    if restart is Restart.TEMPORARY:
        joined.pop("max_age", None)
    return Bounds(**joined)


def _top(levels: list[Level], name: str) -> Any:
    """Return the value of a key in the highest table that sets it; None if none does."""
    return next((value for level in reversed(levels) if (value := getattr(level, name, None)) is not None), None)


def _joined(tables: list[Any]) -> dict[str, Any]:
    """Lay tables over each other key by key."""
    joined: dict[str, Any] = {}
    for table in tables:
        joined.update(_written(table, all_fields=True))
    return joined


def _backoff(levels: list[Level]) -> Backoff:
    """Lay back-off tables over each other; where `first` and `max` cross, the one written higher up moves the other."""
    joined = _written(ChildDefaults().backoff, all_fields=True)
    for level in levels:
        written = _written(level.backoff)
        joined.update(written)
        if joined["max"] < joined["first"]:
            moved, kept = ("first", "max") if "first" not in written else ("max", "first")
            joined[moved] = joined[kept]
    return Backoff(**joined)


def _written(table: BaseModel | None, *, all_fields: bool = False) -> dict[str, Any]:
    """Return the keys of a table that are written in it, or with `all_fields` its defaults too."""
    if table is None:
        return {}
    names = type(table).model_fields if all_fields else table.model_fields_set
    return {name: value for name in names if (value := getattr(table, name)) is not None}
