"""Exit codes, and how `actorctl` says that something failed.

Every failure has a stable machine word, one paragraph that says what failed and why, and a hint: the next command.

    error: there is no actor at /io/gmial
    hint: did you mean /io/gmail?
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from actors.errors import ActorRuntimeError
from supervisors.views import ErrorView


class ExitCode(IntEnum):
    """What `actorctl` ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    CONDITION = 5
    TIMEOUT = 6
    CONFLICT = 7
    INVALID = 8
    PARTIAL = 9
    DENIED = 10
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS: Final[dict[ExitCode, tuple[str, str]]] = {
    ExitCode.OK: ("did it; also: an empty list, and a reader that closed the pipe", "clean stop"),
    ExitCode.FAILED: ("the operation failed", "unexpected crash"),
    ExitCode.USAGE: ("usage error: unknown command or option, missing or malformed argument", "usage error"),
    ExitCode.NOT_FOUND: ("no such actor, query or topic", ""),
    ExitCode.UNREACHABLE: ("the node cannot be reached: not running, stale, another user's, or a wrong key", ""),
    ExitCode.CONDITION: ("a condition is not met: status --check, doctor, tap --strict", ""),
    ExitCode.TIMEOUT: (
        "timed out; the message says what is still pending",
        "the drain ran out and workers were killed",
    ),
    ExitCode.CONFLICT: ("conflict: already running, or already in progress", "already running"),
    ExitCode.INVALID: ("the configuration is invalid", "the configuration is invalid"),
    ExitCode.PARTIAL: ("done for some of several targets", "the root supervisor reached its restart limit"),
    ExitCode.DENIED: ("not allowed", ""),
    ExitCode.INTERNAL: ("a bug in actorctl or in the node", "wedged, ended by its own watchdog"),
    ExitCode.INTERRUPTED: ("interrupted by Ctrl-C", "interrupted"),
    ExitCode.TERMINATED: ("terminated", "terminated"),
}
"""For `actorctl` and for the node's own process; "" where the code does not occur."""

_BY_CODE: Final = {
    "failed": ExitCode.FAILED,
    "usage": ExitCode.USAGE,
    "not_found": ExitCode.NOT_FOUND,
    "unreachable": ExitCode.UNREACHABLE,
    "condition": ExitCode.CONDITION,
    "timeout": ExitCode.TIMEOUT,
    "conflict": ExitCode.CONFLICT,
    "invalid": ExitCode.INVALID,
    "partial": ExitCode.PARTIAL,
    "denied": ExitCode.DENIED,
    "internal": ExitCode.INTERNAL,
}


class CommandError(ActorRuntimeError):
    """A command cannot be carried out.

    Attributes:
        code: One of the stable words of `ErrorView`.
        message: What failed and why.
        hint: The next command to try, or what to do; "" where there is nothing to say.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code if code in _BY_CODE else "failed"  # of a newer node
        self.message = message
        self.hint = hint

    @property
    def exit_code(self) -> ExitCode:
        """What the process ends with."""
        return _BY_CODE[self.code]

    def view(self) -> ErrorView:
        """Return the form that `-o json` prints on stderr."""
        return ErrorView(code=self.code, message=self.message, hint=self.hint, exit_code=int(self.exit_code))


def usage(message: str, hint: str = "") -> CommandError:
    """Return a usage error."""
    return CommandError("usage", message, hint)
