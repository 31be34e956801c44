"""Real reactors, sockets and nodes' ends for tests of transport, each closed again."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transport.control.client import ControlClient
from transport.reactor import Reactor
from transport.taps import TapReader

PATIENCE = 60.0
"""Seconds a test waits for what must happen; only a failing test waits so long."""


@contextmanager
def reactor(name: str = "test", **options: Any) -> Iterator[Reactor]:
    """A reactor that is closed, and seen to end, when the test is over."""
    made = Reactor(name, **options)
    try:
        yield made
    finally:
        assert made.close(PATIENCE), f"{name} did not end"


@contextmanager
def run_directory() -> Iterator[Path]:
    """A private directory with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp" if os.name == "posix" else None) as name:
        yield Path(name)


class PatientClient(ControlClient):
    """A control client that gives a machine under load all the time it needs."""

    def __init__(self, endpoint: str, **options: Any) -> None:
        super().__init__(endpoint, **{"connect": PATIENCE, **options})

    def call(self, command: str, args: Any = None, *, timeout: float = PATIENCE, **options: Any) -> Any:
        return super().call(command, args, timeout=timeout, **options)


def joined(endpoint: str, **options: Any) -> TapReader:
    """A reader of taps, which has joined however long that took."""
    return TapReader(endpoint, **{"connect": PATIENCE, "join": PATIENCE, **options})


class Inbox:
    """What arrived, for a test to wait for."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def __call__(self, *what: Any) -> None:
        self._queue.put(what[-1])

    def get(self) -> Any:
        """Return the next that arrives."""
        return self._queue.get(timeout=PATIENCE)

    def take(self, count: int) -> list[Any]:
        """Return the next `count`."""
        return [self.get() for _ in range(count)]

    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return self._queue.empty()


def wait_until(condition: Callable[[], bool], what: str = "condition") -> None:
    """Wait for a condition that no event tells of; fails after `PATIENCE` seconds."""
    ticks = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError(f"{what} did not come true within {PATIENCE:g} s")


def open_descriptors() -> int:
    """How many file descriptors this process holds."""
    import psutil

    process = psutil.Process()
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
