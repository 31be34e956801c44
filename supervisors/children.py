"""Where a child runs: the port between a supervisor and the thing that starts one instance of a child.

A launcher starts an instance and returns at once; what becomes of it arrives as outcomes, in this order:

    Started(ref) ... Exited(reason)   |   Ignored(why)   |   StartFailed(reason)

`report` may be called on any thread and only posts to the supervisor's mailbox. Two launchers meet the port:
`LocalLauncher` here (pool and thread, one process) and `supervisors.processes.ProcessLauncher`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from actors.core.outcomes import Incarnation, Outcome
from actors.core.system import ActorSystem, Launch
from actors.exits import ExitReason
from supervisors.specs import ChildSpec


class LaunchRequest(Struct, frozen=True):
    """What a launcher needs to start one instance.

    Attributes:
        path: The child's path; stable across restarts.
        spec: Its child spec.
        incarnation: Which instance, which attempt, and how the one before ended.
    """

    path: str
    spec: ChildSpec
    incarnation: Incarnation


Report = Callable[[Outcome], None]


class ChildHandle(Protocol):
    """One launched instance. Every method may be called at any time, from the supervisor's thread, and never blocks."""

    @property
    def ref(self) -> Any:
        """The ref of the running instance, or None before `Started`."""
        ...

    @property
    def pid(self) -> int | None:
        """The process it runs in, once known."""
        ...

    def stop(self, reason: ExitReason) -> None:
        """Ask the instance to end; the end arrives as `Exited`."""
        ...

    def kill(self) -> bool:
        """End it now. True: `Exited` follows (a process). False: it was abandoned, its late effects fenced (a thread)."""
        ...

    def suspend(self) -> None:
        """Hold back its messages; system messages still work."""
        ...

    def resume(self) -> None:
        """Let its messages through again."""
        ...


class Launcher(Protocol):
    """Starts instances for one kind of placement."""

    def launch(self, request: LaunchRequest, report: Report) -> ChildHandle:
        """Start an instance and return at once; `report` gets its outcomes."""
        ...


Launchers = Mapping[str, Launcher]
"""A launcher for each `runs_in`: `pool`, `thread`, `process`."""
