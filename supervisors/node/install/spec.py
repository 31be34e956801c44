"""What a service manager is to know of a node, and the steps of making it known, as values. Pure but for `perform`.

A manager turns a `ServiceSpec` into steps: files to write, commands to run. A dry run shows the same steps that
otherwise are carried out, so what was shown is what is done. A step that fails takes back the files of those before it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from actors.errors import ActorRuntimeError

RECOVERY: Final = (5, 10, 60)
"""Seconds before the first, second and every further restart."""
RECOVERY_RESET: Final = 3600
"""Seconds of quiet after which the next restart counts as the first again."""
STOP_SLACK: Final = 30
"""Seconds beyond the drain that a stop may take: what is left is killed, the history is written."""
FINAL_EXITS: Final = (2, 7, 8, 10)
"""Exit codes after which another start ends the same: usage, already running, invalid configuration, not allowed."""
COMMAND_TIMEOUT: Final = 120.0


class ServiceSpec(Struct, frozen=True):
    """One node as a service.

    Attributes:
        name: Of the service; letters, digits, `-`, `_`, `.` and `@`.
        about: A line for people.
        command: What is executed, absolute.
        directory: Folder it is executed in.
        home: The node's home.
        drain: Seconds that the node may drain.
        is_system: For the whole machine, or for the user who installs it.
        user: Who it runs as, of a service for the machine; "" is its owner (root).
        after: Services that are started before it.
        writable: Folders beside the home that it may write to.
        environment: Variables it is started with.
    """

    name: str
    about: str
    command: tuple[str, ...]
    directory: str
    home: str
    drain: float
    is_system: bool = False
    user: str = ""
    after: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    environment: dict[str, str] = {}

    @property
    def stop_seconds(self) -> int:
        """Longest time from the request to stop to the end."""
        return int(self.drain) + STOP_SLACK


class WriteFile(Struct, frozen=True):
    """Write a file; what is there is replaced."""

    path: str
    text: str
    mode: int = 0o644
    encoding: str = "utf-8"


class RemoveFile(Struct, frozen=True):
    """Remove a file, if it is there."""

    path: str


class Run(Struct, frozen=True):
    """Run a command to its end.

    Attributes:
        words: The program and its arguments.
        may_fail: Whether its exit code is of no concern: what it would undo may not be there.
        is_shown: Whether what it prints is the answer.
    """

    words: tuple[str, ...]
    may_fail: bool = False
    is_shown: bool = False


Step = WriteFile | RemoveFile | Run


class ServiceError(ActorRuntimeError):
    """A service manager refused, or is not there; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Manager(Protocol):
    """A service manager, by its files and commands. Pure."""

    @property
    def kind(self) -> str:
        """`systemd`, `launchd`, `pywin32`, `winsw` or `schtasks`."""
        ...

    def install(self, spec: ServiceSpec) -> tuple[Step, ...]:
        """Return how `spec` is made known and set to start with the machine, or with the user."""
        ...

    def uninstall(self, name: str) -> tuple[Step, ...]:
        """Return how the service is ended and forgotten."""
        ...

    def control(self, verb: str, name: str) -> tuple[Step, ...]:
        """Return how `start`, `stop`, `restart`, `status` and `logs` are done.

        `pause` and `continue` too, where the manager knows them; else none, and the node is asked itself.
        """
        ...

    def notes(self, spec: ServiceSpec) -> tuple[str, ...]:
        """Return what whoever installs it should know."""
        ...


def run_command(words: Sequence[str]) -> tuple[int, str]:
    """Run a command to its end and return its exit code and what it printed.

    Raises:
        ServiceError: There is no such program, or it does not end.
    """
    try:
        done = subprocess.run(
            list(words), capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise ServiceError(f"there is no {words[0]} on this machine", "actorctl service install --dry-run") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{words[0]}: {error}") from error
    return done.returncode, (done.stdout + done.stderr).strip()


def perform(
    steps: Sequence[Step], run: Callable[[Sequence[str]], tuple[int, str]] = run_command
) -> tuple[list[str], int]:
    """Carry out `steps` in order; return what the commands that are shown printed, and the last one's exit code.

    Raises:
        ServiceError: A step failed; files that were written are as they were before.
    """
    undo: list[tuple[Path, bytes | None]] = []
    shown: list[str] = []
    code = 0
    try:
        for step in steps:
            match step:
                case WriteFile(path=path):
                    file = Path(path)
                    undo.append((file, file.read_bytes() if file.exists() else None))
                    _write(file, step)
                case RemoveFile(path=path):
                    Path(path).unlink(missing_ok=True)
                case Run(words=words, may_fail=may_fail, is_shown=is_shown):
                    found, said = run(words)
                    if is_shown:
                        shown.append(said)
                        code = found
                    elif found and not may_fail:
                        why = f"{' '.join(words)} ended with {found}: {said or 'it said nothing'}"
                        raise ServiceError(why, _remedy(said))
    except (OSError, ServiceError) as error:
        for file, before in reversed(undo):
            with contextlib.suppress(OSError):
                if before is None:
                    file.unlink(missing_ok=True)
                else:
                    file.write_bytes(before)
        if isinstance(error, OSError):
            hint = "install it for your user: --user" if isinstance(error, PermissionError) else ""
            raise ServiceError(f"{error.filename}: {error.strerror}; nothing was installed", hint) from error
        raise
    return shown, code


def _remedy(said: str) -> str:
    """Return what helps against what a manager said as it refused, where that is known."""
    return next((remedy for words, remedy in _REMEDIES if words in said.lower()), "")


_REMEDIES: Final = (
    ("not been booted with systemd", "without a service manager: actorctl up"),
    (
        "failed to connect to bus",
        "your user has no session of systemd here: log in as that user, or install it --system",
    ),
    ("authentication required", "with sudo, or for your user alone: --user"),
    ("access denied", "with sudo, or for your user alone: --user"),
    ("access is denied", "in a console with administrator rights"),
)
"""What service managers say, in small letters, and what helps."""


def _write(file: Path, step: WriteFile) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_bytes(step.text.encode(step.encoding))
    beside.chmod(step.mode)
    beside.replace(file)
