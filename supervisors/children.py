"""Where a child runs: the port between a supervisor and the thing that starts one instance of a child.

A launcher starts an instance and returns at once; what becomes of it arrives as outcomes, in this order:

    Started(ref) ... Exited(reason)   |   Ignored(why)   |   StartFailed(reason)

`report` may be called on any thread and only posts to the supervisor's mailbox. Two launchers meet the port:
`LocalLauncher` here (pool and thread, one process) and `supervisors.processes.ProcessLauncher`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal, Protocol

from msgspec import Struct

from actors.core.actor import Actor
from actors.core.mailbox import ActorStatistics
from actors.core.outcomes import Exited, Incarnation, Outcome, StartFailed
from actors.core.system import ActorSystem, Launch
from actors.exits import KILLED, ExitReason
from supervisors.core.events import Hold
from supervisors.specs import ChildSpec, ImportStart, LocalStart
from supervisors.usage import Usage

CANCEL_TIMEOUT = 1.0
"""Seconds that a killed coroutine has to let itself be cancelled."""


class Trunk(Protocol):
    """The tree that a subtree in another process hangs on. Every method may be called on any thread, never waits."""

    def holds_within(self, path: str) -> dict[str, Hold]:
        """Return what a person stopped at `path` and below it, by path."""
        ...

    def branch_grown(self, path: str, branch: Any) -> None:
        """From now on what is at and below `path` is asked of `branch`, a `supervisors.branches.Branch`."""
        ...

    def branch_changed(self) -> None:
        """What a branch knows of its nodes has changed."""
        ...

    def branch_gone(self, path: str, branch: Any) -> None:
        """The process of `branch` has ended."""
        ...


class LaunchRequest(Struct, frozen=True):
    """What a launcher needs to start one instance.

    Attributes:
        path: The child's path; stable across restarts.
        spec: Its child spec.
        incarnation: Which instance, which attempt, and how the one before ended.
        trunk: What a subtree in a process of its own hangs on; None where there is no tree around.
    """

    path: str
    spec: ChildSpec
    incarnation: Incarnation
    trunk: Trunk | None = None


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

    @property
    def usage(self) -> Usage | None:
        """What its process used at the last look; None where it shares one, and before the first look."""
        ...

    @property
    def note(self) -> str:
        """What the instance last said of itself in a line, "" where it said nothing."""
        ...

    def figures(self) -> ActorStatistics | None:
        """What the instance last said of its mailbox; None before it said anything. Never asks, never blocks."""
        ...

    def stop(self, reason: ExitReason) -> None:
        """Ask the instance to end; the end arrives as `Exited`."""
        ...

    def kill(self) -> bool:
        """End it now. True: `Exited` follows. False: it was abandoned (a busy thread), its late effects are fenced."""
        ...

    def suspend(self) -> None:
        """Hold back its messages; system messages still work."""
        ...

    def resume(self) -> None:
        """Let its messages through again."""
        ...

    def reread(self) -> None:
        """Have it read its configuration again, where it is a program whose spec says how."""
        ...


class Launcher(Protocol):
    """Starts instances for one kind of placement."""

    def launch(self, request: LaunchRequest, report: Report) -> ChildHandle:
        """Start an instance and return at once; `report` gets its outcomes."""
        ...


Launchers = Mapping[str, Launcher]
"""A launcher for each `runs_in`: `pool`, `thread`, `process`."""


class LocalHandle(Struct, frozen=True, eq=False):
    """An instance on the pool or on a thread of this process."""

    pid: ClassVar[int | None] = None
    note: ClassVar[str] = ""
    usage: ClassVar[None] = None

    _launch: Launch
    _report: Report

    @property
    def ref(self) -> Any:
        return self._launch.ref

    @property
    def is_awaiting(self) -> bool:
        """Whether one of its coroutines runs."""
        return self._launch.is_awaiting

    def figures(self) -> ActorStatistics | None:
        ref = self._launch.ref
        return ref.statistics() if ref is not None else None

    def stop(self, reason: ExitReason) -> None:
        self._launch.stop(reason)

    def kill(self) -> bool:
        """End an instance that nobody is inside of, cancel one that awaits, cut off a thread that is busy in it."""
        launch = self._launch
        if launch.is_awaiting:
            launch.stop(KILLED)
            launch.owner.schedule(CANCEL_TIMEOUT, self._abandon)
            return True
        was_started = launch.is_started
        launch.after_all = partial(self._report, Exited(KILLED))
        if launch.abandon():
            self._report(Exited(KILLED) if was_started else StartFailed(KILLED))
            return True
        return False

    def _abandon(self) -> None:
        """Give up a coroutine that would not be cancelled; nothing happens where it has ended."""
        if not self._launch.is_finished:
            was_started = self._launch.is_started
            self._launch.abandon()
            self._report(Exited(KILLED) if was_started else StartFailed(KILLED))

    def suspend(self) -> None:
        ref = self._launch.ref
        if ref is not None:
            ref.suspend()

    def resume(self) -> None:
        ref = self._launch.ref
        if ref is not None:
            ref.resume()

    def reread(self) -> None:
        """Nothing: an actor is no program."""


class LocalLauncher:
    """Starts instances in this process: the actor is made and started on its own thread, or on the pool."""

    def __init__(self, system: ActorSystem, placement: Literal["pool", "thread"]) -> None:
        self._system = system
        self._placement = placement

    def launch(self, request: LaunchRequest, report: Report) -> LocalHandle:
        spec = request.spec
        start = spec.start
        launch = self._system.spawn(
            start.make if isinstance(start, LocalStart) and not start.args and not start.kwargs else maker_of(spec),
            path=request.path,
            placement=self._placement,
            incarnation=request.incarnation,
            mailbox=spec.mailbox,
            flight=spec.flight,
            on_outcome=report,
        )
        return LocalHandle(launch, report)


def maker_of(spec: ChildSpec) -> Callable[[], Any]:
    """Return the function that makes an instance's actor; an import happens when it is called, not here.

    Raises:
        TypeError: The spec's start is a supervisor's or a program.
    """
    start = spec.start
    if isinstance(start, LocalStart):
        return partial(start.make, *start.args, **start.kwargs) if start.args or start.kwargs else start.make
    if isinstance(start, ImportStart):
        return partial(_make_imported, start.target, start.kwargs)
    raise TypeError(f"{spec.id}: neither a supervisor nor a program is a local child")


def _make_imported(target: str, kwargs: Mapping[str, Any]) -> Any:
    made = resolve(target)(**kwargs)
    if not isinstance(made, Actor):
        raise TypeError(f"{target} made a {type(made).__name__}, which is no Actor")
    return made


@lru_cache(maxsize=1024)
def resolve(target: str) -> Callable[..., Any]:
    """Return what `package.module:name` names; it can be called.

    Raises:
        ValueError: The text is not of that form.
        ImportError: The module cannot be imported, or has no such name.
        TypeError: What it names cannot be called.
    """
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        raise ValueError(f"{target!r} is no import path: package.module:Class")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImportError(f"module {module} has no {name}") from None
    if not callable(found):
        raise TypeError(f"{target} is a {type(found).__name__}, which makes no actor")
    return found  # type: ignore[no-any-return]  # callable, as checked
