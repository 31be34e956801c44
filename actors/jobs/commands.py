"""One external command, run to its end: text in, bytes out, bounded in time and output, nothing left behind.

The command is a list of words, never a shell line. It gets a session of its own, and its whole process group is killed
when it takes too long, writes too much, or nobody waits any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import BinaryIO

from msgspec import Struct

from actors.errors import ActorRuntimeError
from actors.jobs.offload import Cancel

_FIRST_LOOK = 0.005
_LOOK = 0.1


class CommandError(ActorRuntimeError, OSError):
    """A command could not be started, was ended, or failed.

    Attributes:
        argv0: The program.
        status: Its exit status; negative for a signal, None where it did not get that far.
    """

    def __init__(self, argv0: str, why: str, status: int | None = None) -> None:
        super().__init__(f"{argv0}: {why}")
        self.argv0 = argv0
        self.status = status


class Output(Struct, frozen=True):
    """What a successful command wrote, and the seconds it took."""

    stdout: bytes
    stderr: bytes
    seconds: float


def find_program(command: Sequence[str]) -> str:
    """Return the absolute path of the program `command` names.

    Raises:
        CommandError: It is not on the path or may not be run.
    """
    found = shutil.which(command[0])
    if found is None:
        raise CommandError(command[0], "is not installed, or not on the PATH")
    return found


def run(command: Sequence[str], *, stdin: bytes = b"", timeout: float, cancel: Cancel, limit: int = 16 << 20) -> Output:
    """Return the output of `command` after it ended with status 0; blocks.

    Args:
        command: Program and arguments.
        stdin: What it reads.
        timeout: Seconds it may take.
        cancel: Ends it when set.
        limit: Most bytes on each of its outputs.

    Raises:
        CommandError: It was not found, took too long, wrote too much, or ended with another status.
        CancelledWorkError: `cancel` was set; the command was killed.
    """
    program = find_program(command)
    began = time.monotonic()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                [program, *command[1:]], stdin=given, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            raise CommandError(command[0], f"could not be started: {error.strerror or error}") from error
        try:
            why = _wait(process, out, err, began + timeout, cancel, limit)
        finally:
            _kill(process)
        if why:
            raise CommandError(command[0], why, process.returncode)
        if process.returncode != 0:
            last = _read(err, limit)[-500:].decode("utf-8", "replace").strip()
            raise CommandError(command[0], f"ended with {_status(process.returncode)}: {last}", process.returncode)
        return Output(_read(out, limit), _read(err, limit), time.monotonic() - began)


def _wait(
    process: subprocess.Popen[bytes], out: BinaryIO, err: BinaryIO, deadline: float, cancel: Cancel, limit: int
) -> str:
    """Wait for the end; return why it is to be killed instead, or ""."""
    look = _FIRST_LOOK
    while not _has_ended(process):
        if max(os.fstat(out.fileno()).st_size, os.fstat(err.fileno()).st_size) > limit:
            return f"wrote more than {limit} bytes and was killed"
        if time.monotonic() >= deadline:
            return "took too long and was killed"
        cancel.wait(look)
        cancel.check()
        look = min(_LOOK, look * 2)
    size = max(os.fstat(out.fileno()).st_size, os.fstat(err.fileno()).st_size)
    return f"wrote more than {limit} bytes" if size > limit else ""


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the command ended; leaves it to be reaped, so that its process group's number is still its own."""
    if sys.platform != "win32" and hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started, as far as that stayed in its process group; reap it."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group may be empty already
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(file: BinaryIO, limit: int) -> bytes:
    file.seek(0)
    return file.read(limit)


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
