"""`run/state.json`: what a node last said of itself, for people, scripts and the next start.

It is replaced in one step at every change of the node's state and with every heartbeat, and it stays when the node is
gone: after kill -9 it says `running`, and the process that it names is gone. A node that cannot write it runs on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from transport.endpoints import write_private
from transport.identity import ProcessIdentity

logger = logging.getLogger(__name__)

FILE_NAME: Final = "state.json"
API: Final = "actors/v1"
CLOCK_SLACK: Final = 5.0
"""Seconds that the clock may be behind the last run before anybody is told."""


class NodeRecord(Struct, frozen=True):
    """The contents of `state.json`. Instants are seconds since the epoch.

    Attributes:
        process: The node's process.
        state: `created`, `starting`, `running`, `paused`, `draining`, `stopping`, `stopped` or `failed`.
        detail: What there is to say of it.
        changed_at: Since when.
        written_at: When this file was written; at most a heartbeat ago while the node lives.
        config: The configuration file, or "".
        app: The tree written in Python, `module:name`, or "".
        directory: Folder in which the node was started.
        service: Who starts it again: `systemd:NAME`, `launchd:NAME`, `windows:NAME`, or "" for nobody.
        http: Address of health and metrics, or "".
        ready: Workers that are ready.
        total: Workers that should be.
        restarts: Restarts since the start.
        cut: Paths of what had to be killed at the end, with what it was doing.
    """

    process: ProcessIdentity
    name: str
    version: str
    home: str
    epoch: str
    state: str
    detail: str = ""
    started_at: float = 0.0
    changed_at: float = 0.0
    written_at: float = 0.0
    config: str = ""
    app: str = ""
    directory: str = ""
    service: str = ""
    http: str = ""
    ready: int = 0
    total: int = 0
    restarts: int = 0
    cut: tuple[str, ...] = ()
    api: str = API

    @property
    def is_over(self) -> bool:
        """Whether the node ended by itself or was ended in order."""
        return self.state in {"stopped", "failed"}


class StateFile:
    """Keeps `state.json` as the node is. Methods may be called on any thread.

    Args:
        run: The folder it lies in.
        record: What it says at first.
        counts: Returns workers ready, workers wanted, and restarts.
    """

    def __init__(self, run: Path, record: NodeRecord, counts: Callable[[], tuple[int, int, int]]) -> None:
        self._path = run / FILE_NAME
        self._record = record
        self._counts = counts
        self._lock = threading.Lock()
        self._is_told = False

    @property
    def record(self) -> NodeRecord:
        """What it says."""
        return self._record

    def change(self, **fields: Any) -> None:
        """Take new values of `NodeRecord`'s fields, and write them."""
        with self._lock:
            self._record = msgspec.structs.replace(self._record, **fields)
            self._write()

    def refresh(self) -> None:
        """Write it anew with what is counted now."""
        self.change()

    def _write(self) -> None:
        ready, total, restarts = self._counts()
        self._record = msgspec.structs.replace(
            self._record, ready=ready, total=total, restarts=restarts, written_at=time.time()
        )
        try:
            write_private(self._path, msgspec.json.format(msgspec.json.encode(self._record)) + b"\n")
            self._is_told = False
        except OSError as error:
            if not self._is_told:  # once until it can be written again
                logger.warning("%s cannot be written: %s", self._path, error)
            self._is_told = True


def read_state(home: Path) -> NodeRecord | None:
    """Return what the node of `home` last said of itself, None where it never did or it cannot be read."""
    try:
        return msgspec.json.decode((home / "run" / FILE_NAME).read_bytes(), type=NodeRecord)
    except (OSError, ValueError):
        return None


def clock_problem(home: Path, now: float) -> str:
    """Return what to say where the clock is before the last run of a node in `home`, or ""."""
    before = read_state(home)
    if before is None or before.written_at <= now + CLOCK_SLACK:
        return ""
    was, is_now = (time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) for at in (before.written_at, now))
    return (
        f"the clock says {is_now}, and the last run here was alive at {was}: schedules wait until it has caught up, "
        "and the history is out of order; set the clock, then start again"
    )


def record_of_start(
    *, name: str, version: str, home: Path, epoch: str, config: str, app: str, service: str, at: float
) -> NodeRecord:
    """Return the record of a node that begins at `at`, in this process."""
    return NodeRecord(
        ProcessIdentity.own(),
        name,
        version,
        str(home),
        epoch,
        "created",
        started_at=at,
        changed_at=at,
        config=config,
        app=app,
        directory=os.getcwd(),
        service=service,
    )
