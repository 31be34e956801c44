"""The errors that supervisors raise: faulty specs, and management calls that were refused."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.exits import ExitReason


class Fault(Struct, frozen=True):
    """One thing that is wrong with a spec or a configuration, found before anything starts.

    Attributes:
        key: The field or key: `restart` of a spec, `actors."/io/gmail".restart` of a file; "" for a whole file.
        message: What is wrong with it. Never holds a secret.
        hint: What would be right, or "".
        path: Path of the supervisor or child that a spec is for, `/io/gmail`; "" where a file says it all.
        file: The file it stands in, as the user named it; `environment ACTORS_…` or `flag --…` for values from there;
            "" for a tree that was built in Python.
        line: Line in that file, counted from 1; 0 where there is no line.
        column: Column of a syntax error, counted from 1; 0 elsewhere.
    """

    key: str
    message: str
    hint: str = ""
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def place(self) -> str:
        """`actors.toml:12` or `actors.toml:12:7`; without a line just the file, without a file the path."""
        if not self.file:
            return self.path
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}:{self.column}" if self.column else place

    @property
    def subject(self) -> str:
        """What it is about within its place: path and key, as far as the place does not say them."""
        return " ".join(part for part in (self.path if self.file else "", self.key) if part)

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.place, self.subject, self.message) if part)
        return f"{text} (hint: {self.hint})" if self.hint else text


class SupervisorError(ActorRuntimeError):
    """Root of the errors raised by supervisors."""


class SpecError(SupervisorError, ValueError):
    """A spec is refused; `faults` names everything that is wrong with it, not the first thing alone."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class ChildNotFoundError(SupervisorError, LookupError):
    """The supervisor has no child of that id."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ChildConflictError(SupervisorError, RuntimeError):
    """The child is in a state that does not allow the call; `code` is the refusal's machine word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ChildStartError(SupervisorError, RuntimeError):
    """A child started by hand did not become ready; `reason` says why."""

    def __init__(self, message: str, reason: ExitReason) -> None:
        super().__init__(message)
        self.reason = reason


class AlreadyRunningError(SupervisorError, RuntimeError):
    """Another process runs in this home; `pid` is None where it could not be told."""

    def __init__(self, home: str, pid: int | None) -> None:
        super().__init__(f"already running in {home}" + (f" (pid {pid})" if pid is not None else ""))
        self.home = home
        self.pid = pid


class HomeError(SupervisorError, OSError):
    """The runtime's home cannot be made or written; `why` is the operating system's word."""

    def __init__(self, home: str, why: str) -> None:
        super().__init__(f"{home} cannot be used as home: {why}")
        self.home = home
        self.why = why
