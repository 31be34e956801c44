"""The branch of the error tree that belongs to the history."""

from __future__ import annotations

from enum import Enum

from actors.errors import ActorRuntimeError


class HistoryError(ActorRuntimeError):
    """Root of the errors of the history."""


class HistoryLockedError(HistoryError, BlockingIOError):
    """Another process holds the history file.

    Attributes:
        path: The file.
        pid: The process that holds it; None where the system did not say.
    """

    def __init__(self, path: str, pid: int | None, holder: str = "") -> None:
        who = f"process {pid}" if pid is not None else "another process"
        named = f" ({holder})" if holder else ""
        super().__init__(
            f"history file {path} is held by {who}{named}; a running node answers `actorctl sql` itself, "
            "any other program has to close the file"
        )
        self.path = path
        self.pid = pid
        self.holder = holder


class HistoryVersionError(HistoryError, ValueError):
    """The history file has a schema newer than this program knows; nothing in it was changed."""

    def __init__(self, path: str, version: int, known: int) -> None:
        super().__init__(
            f"history file {path} has schema version {version}, this program knows up to {known}; "
            "run the newer program, or move the file away"
        )
        self.path = path
        self.version = version
        self.known = known


class HistoryBackupError(HistoryError, ValueError):
    """A backup cannot be made, is not sound, or cannot be put back.

    Attributes:
        path: The backup, or the history it was to become.
        why: What stood in the way.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class HistoryUnavailableError(HistoryError, OSError):
    """The history file cannot be opened, made or read, and not because it is damaged.

    Attributes:
        path: The file.
        why: What stood in the way.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"history file {path}: {why}")
        self.path = path
        self.why = why


class QueryProblem(Enum):
    """Why a query has no result."""

    REFUSED = "refused"
    """It may not be run here: not a single reading statement, or it calls what is not allowed."""
    INVALID = "invalid"
    """It cannot be run: syntax, unknown names, wrong parameters, an error while it ran."""
    TIMEOUT = "timeout"
    """It took longer than it was allowed to, and was interrupted."""
    MEMORY = "memory"
    """It needed more memory than queries may take."""
    BUSY = "busy"
    """As many queries as are allowed at once are running already."""
    CANCELLED = "cancelled"
    """Who asked has interrupted it."""
    UNAVAILABLE = "unavailable"
    """The history cannot be read at the moment."""


class QueryError(HistoryError):
    """A query has no result.

    Attributes:
        problem: Which kind of reason.
        message: What happened.
        hint: What would be right, or "".
    """

    def __init__(self, problem: QueryProblem, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.problem = problem
        self.message = message
        self.hint = hint
