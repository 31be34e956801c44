"""A node that outlives the command that started it: how it is started, and how the command learns what became of it.

The process is `actorctl run --background` in a session of its own, with nothing of the caller's: standard input is
empty, and what it says goes to `<home>/logs/console.log`. That it is ready is read from `run/state.json`, where it says
so itself; that it failed is its exit code.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from supervisors.node.instance import make_home
from supervisors.node.logfiles import LOGS
from supervisors.node.statefile import NodeRecord, read_state

CONSOLE: Final = "console.log"
"""What a background node writes to its standard output and error; begun anew with each start."""
LOOK_EVERY: Final = 0.02
TAIL_LINES: Final = 20
ALREADY_RUNNING: Final = 7


class Began(Struct, frozen=True):
    """What became of a start.

    Attributes:
        pid: The node's process.
        record: What it says of itself, where it is ready.
        code: Its exit code, where it has ended.
        said: The last lines it wrote, where it has ended.
        seconds: How long was waited.
    """

    pid: int
    record: NodeRecord | None = None
    code: int | None = None
    said: tuple[str, ...] = ()
    seconds: float = 0.0


def own_command() -> list[str]:
    """Return the words that call `actorctl` again, whatever the current folder and PATH are."""
    return [sys.executable, "-P", "-m", "supervisors.cli"]


def start_in_background(words: Sequence[str], home: Path, *, timeout: float, directory: str | None = None) -> Began:
    """Start a node and wait until it is ready, has ended, or `timeout` seconds are over; it goes on then.

    Args:
        words: Arguments of `actorctl run`.
        home: The home that those arguments lead to.
        timeout: Longest wait in seconds; 0 does not wait.
        directory: Folder to start it in; None is this one.

    Raises:
        HomeError: The home cannot be made or written.
        OSError: The process cannot be started.
    """
    began = time.monotonic()
    make_home(home)
    logs = home / LOGS
    logs.mkdir(mode=0o700, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=".console-", suffix=".log", dir=logs)
    console = Path(name)
    try:
        process = subprocess.Popen(
            [*own_command(), "run", "--background", *words],
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            cwd=directory,
            close_fds=True,
            start_new_session=os.name == "posix",
            creationflags=_detached(),
        )
    except BaseException:
        console.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    record, code = None, process.poll()
    while record is None and code is None and time.monotonic() - began < timeout:
        time.sleep(LOOK_EVERY)
        code = process.poll()
        said = read_state(home)
        if code is None and said is not None and said.process.pid == process.pid and said.state == "running":
            record = said
    lines = _tail(console) if code is not None else ()
    with contextlib.suppress(OSError):
        if code == ALREADY_RUNNING:
            console.unlink()  # the one that runs has its own
        else:
            console.replace(logs / CONSOLE)
    process.returncode = process.returncode if code is not None else 0  # it is nobody's to wait for from here on
    return Began(process.pid, record, code, lines, time.monotonic() - began)


def _tail(file: Path) -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        return tuple(file.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:])
    return ()


def _detached() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
