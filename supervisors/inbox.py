"""What the mailbox of a supervisor holds: outcomes, timers, management calls, orders from above.

Each becomes one event of the core. None of them leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.core.outcomes import Outcome
from actors.exits import ExitReason
from actors.messages import Message
from supervisors.core import events as ev

MakeRequest = Callable[[int, float, float], ev.Request]
"""Builds the core's request from its number, the time and a chance."""


class StopOrder(Message[None], frozen=True, local=True):
    """From the parent or the node: stop the children in order and end with `reason`."""

    reason: ExitReason


class KillOrder(Message[None], frozen=True, local=True):
    """From the parent or the node: kill every child and end."""


class KeyframeOrder(Message[None], frozen=True, local=True):
    """From the node: tell the whole list of children, for readers of the history."""


class Call(Message[None], frozen=True, local=True):
    """A management call; who asked is kept beside the mailbox, which an end empties unread."""

    request: int
    make: MakeRequest


class Abandoned(Message[None], frozen=True, local=True):
    """A kill met a thread: the instance was cut off."""

    id: str
    generation: int


class Notice(Message[None], frozen=True, local=True):
    """An outcome of one instance, as its launcher reported it."""

    id: str
    generation: int
    outcome: Outcome


class TimeOver(Message[None], frozen=True, local=True):
    """The time of an armed timer is over."""

    timer: ev.Timer
