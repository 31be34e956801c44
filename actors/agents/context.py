"""What a task gets to work with, what it returns, and how it is declared."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.jobs.offload import Cancel, Offload
from actors.jobs.requests import Fault
from actors.messages import Message

R = TypeVar("R")

Option = str | int | float | bool | list[str] | None


class TaskFailedError(ActorRuntimeError):
    """A task did not reach its aim, for a reason outside itself; the loop lives on and rests."""


class Result(Struct, frozen=True):
    """What a run did, in one line; `idle` when there was nothing to do."""

    summary: str
    idle: bool = False


class Outside(Protocol):
    """The part of the loop actor that its task may use."""

    def publish_metric(self, name: str, value: float, unit: str) -> None:
        """Publish one measured value about the loop."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def is_there(self, path: str) -> bool:
        """Whether an actor runs at `path`."""
        ...

    def actors(self) -> int:
        """How many actors run in this system."""
        ...

    async def ask(self, path: str, message: Message[R], timeout: float) -> R:
        """Ask the actor at `path`."""
        ...


class Context:
    """One loop's workplace; lives as long as the loop's instance.

    Attributes:
        name: The loop's name.
        home: The runtime's directory.
        root: The directory the user named.
        options: The task's options, defaults filled in.
        memory: The task's own between runs; lost when the loop restarts.
        queue: Path of the queues of jobs.
        keeper: Path of the keeper of the index.
        timeout: Seconds one run may take; the loop ends it then.
        outside: Messages, metrics, clock.
    """

    def __init__(
        self,
        *,
        name: str,
        home: Path,
        root: Path,
        options: Mapping[str, Option],
        queue: str,
        keeper: str,
        timeout: float,
        outside: Outside,
    ) -> None:
        self.name = name
        self.home = home
        self.root = root
        self.options = options
        self.memory: dict[str, Any] = {}
        self.queue = queue
        self.keeper = keeper
        self.timeout = timeout
        self.outside = outside
        self._offload = Offload(name, limit=2)

    async def blocking(self, function: Callable[..., R], *arguments: object) -> R:
        """Return what the blocking `function(cancel, *arguments)` returns, run off the event loop."""
        cancel = Cancel()
        return await self._offload.run(function, cancel, *arguments, cancel=cancel)

    async def request(self, path: str, message: Message[R | Fault]) -> R:
        """Return a service's answer to `message`.

        Raises:
            TaskFailedError: It answered with a fault.
            AskTimeoutError, ActorExitedError: It did not answer.
        """
        answer: Any = await self.outside.ask(path, message, self.timeout)
        if isinstance(answer, Fault):
            raise TaskFailedError(f"{path}: {answer.error}")
        found: R = answer
        return found

    def metric(self, name: str, value: float, unit: str) -> None:
        """Publish one measured value about the loop."""
        self.outside.publish_metric(name, value, unit)

    def text(self, option: str) -> str:
        """Return an option that is text."""
        return str(self.options[option])

    def number(self, option: str) -> float:
        """Return an option that is a number."""
        value = self.options[option]
        assert isinstance(value, int | float)  # checked when the loop was made
        return float(value)

    def words(self, option: str) -> list[str]:
        """Return an option that is a list of words; a text is split as a shell would, without its expansions."""
        value = self.options[option]
        return list(value) if isinstance(value, list) else shlex.split(str(value))


class Task(Struct, frozen=True):
    """Something a loop can do.

    Attributes:
        run: The work of one cycle.
        options: Every option with its default; None marks one that must be set.
        any_service: Whether one of the services a loop requires is enough.
    """

    run: Callable[[Context], Awaitable[Result]]
    options: dict[str, Option] = {}
    any_service: bool = False


def check_options(task: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Option]:
    """Return `given` with the defaults of `known` filled in.

    Raises:
        ValueError: An option is unknown, of another kind than its default, or a number below 0.
    """
    for name, value in given.items():
        if name not in known:
            choice = ", ".join(sorted(known)) or "none"
            raise ValueError(f"task {task} has no option {name!r}; it has: {choice}")
        default = known[name]
        if isinstance(default, int | float) and not isinstance(default, bool):
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"option {name} of task {task} is a number from 0 up, got {value!r}")
        elif isinstance(value, list):
            if not all(isinstance(word, str) for word in value):
                raise ValueError(f"option {name} of task {task} is a list of texts, got {value!r}")
        elif not isinstance(value, str):
            raise ValueError(f"option {name} of task {task} is text or a list of texts, got {value!r}")
    return {**known, **given}


def missing_options(options: Mapping[str, Option]) -> list[str]:
    """Return the names of options that must be set and are not."""
    return [name for name, value in options.items() if value is None or value in ("", [])]
