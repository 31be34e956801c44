"""Which children a restart binds together, and in which order they stop and start. Pure.

`plan_restart` is for the two strategies that bind siblings and, for completeness, for the two that do not. Source:
Erlang/OTP `supervisor`, "Restart Strategies"; "every remaining record" is literal there, so a group restart starts
children that had finished, were terminated or had answered `ignore`. Not OTP's: those that a person stopped, or that
are in quarantine, stay away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from supervisors.specs import Restart, Strategy


class Member(Struct, frozen=True):
    """What a plan needs to know of one child.

    Attributes:
        id: Its name.
        restart: Its restart type.
        has_instance: Whether there is something to stop, or to wait for until it has ended.
        stays_away: Whether no restart may start it (stopped by a person, quarantined).
    """

    id: str
    restart: Restart
    has_instance: bool
    stays_away: bool = False


class Plan(Struct, frozen=True):
    """What a restart does.

    Attributes:
        group: Every child it binds, in start order.
        stop: What to stop, in the order of stopping (reverse start order).
        start: What to start after all of those have ended, in start order.
        drop: Temporary children whose records go.
    """

    group: tuple[str, ...]
    stop: tuple[str, ...]
    start: tuple[str, ...]
    drop: tuple[str, ...]


_ONE_FOR_ALL, _REST_FOR_ONE = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE  # members of an Enum are slow to look up


def binds_siblings(strategy: Strategy) -> bool:
    """Whether the restart of one child can touch others."""
    return strategy is _ONE_FOR_ALL or strategy is _REST_FOR_ONE


def bound(strategy: Strategy, children: Sequence[Member], at: int) -> Sequence[Member]:
    """Return the children that the restart of `children[at]` binds, itself included, in start order."""
    match strategy:
        case Strategy.ONE_FOR_ONE | Strategy.SIMPLE_ONE_FOR_ONE:
            return children[at : at + 1]
        case Strategy.ONE_FOR_ALL:
            return children
        case Strategy.REST_FOR_ONE:
            return children[at:]
        case _:
            assert_never(strategy)


def plan_restart(strategy: Strategy, children: Sequence[Member], pivot: str) -> Plan:
    """Plan the restart of `pivot` and of the siblings that its strategy binds to it.

    Args:
        strategy: The supervisor's strategy.
        children: All its children, in start order.
        pivot: The child that ended, or whose start failed. It is to be restarted: not temporary.

    Raises:
        ValueError: `pivot` is not among `children`.
    """
    at = next((i for i, child in enumerate(children) if child.id == pivot), None)
    if at is None:
        raise ValueError(f"{pivot!r} is none of the children")
    group = bound(strategy, children, at)
    return Plan(
        group=tuple(c.id for c in group),
        stop=tuple(c.id for c in reversed(group) if c.has_instance),
        start=tuple(c.id for c in group if c.restart is not Restart.TEMPORARY and not c.stays_away),
        drop=tuple(c.id for c in group if c.restart is Restart.TEMPORARY),
    )
