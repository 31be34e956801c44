"""What a Windows service does while it runs: starts the node, ends it, pauses it, and reports how far it is.

The Service Control Manager wants to hear of a state before it loses its patience, and again while a change goes on,
each time with a higher check point. Here this is said through ports, so that it is tried without Windows; `winservice`
joins them to pywin32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

STOPPED, START_PENDING, STOP_PENDING, RUNNING, PAUSED = 1, 2, 3, 4, 7
"""Service states, by their numbers in winsvc.h."""
HINT: Final = 15.0
"""Seconds until the next report, as the Service Control Manager is told."""
LOOK_EVERY: Final = 1.0


class Report(Protocol):
    """Tells the Service Control Manager."""

    def __call__(self, state: int, *, check_point: int = 0, hint: float = 0.0, exit_code: int = 0) -> None:
        """Say the state; `exit_code` is the service's own, at the end."""
        ...


class NodeProcess(Protocol):
    """The node that the service runs."""

    def wait(self, timeout: float) -> int | None:
        """Wait for its end for `timeout` seconds; return its exit code, None while it runs."""
        ...

    def is_ready(self) -> bool:
        """Whether its tree is up."""
        ...

    def ask(self, command: str) -> None:
        """Have it carry out `shutdown`, `pause` or `unpause`."""
        ...

    def kill(self) -> None:
        """End it and all it started."""
        ...


class ServiceHost:
    """The life of one service; `run` on its main thread, the rest on any.

    Args:
        start: Starts the node.
        report: Tells the Service Control Manager.
        stop_seconds: Longest time from the request to stop to the end.
    """

    def __init__(self, start: Callable[[], NodeProcess], report: Report, stop_seconds: float) -> None:
        self._start = start
        self._report = report
        self._stop_seconds = stop_seconds
        self._is_asked = False
        self._node: NodeProcess | None = None

    def run(self) -> int:
        """Run the node until it ends, and return its exit code.

        An end that nobody asked for, but for a clean one, is an error of the service, so that its recovery, after 5, 10
        and 60 seconds, is the Service Control Manager's to carry out.
        """
        self._report(START_PENDING, check_point=1, hint=HINT)
        node = self._node = self._start()
        point, is_up, waited = 2, False, 0.0
        while True:
            code = node.wait(LOOK_EVERY)
            if code is not None:
                is_clean = code == 0 or self._is_asked
                self._report(STOPPED, exit_code=0 if is_clean else code)
                return code
            if self._is_asked:
                waited += LOOK_EVERY
                if waited > self._stop_seconds:
                    node.kill()
                self._report(STOP_PENDING, check_point=point, hint=HINT)
                point += 1
            elif not is_up:
                is_up = node.is_ready()
                if is_up:
                    self._report(RUNNING)
                else:
                    self._report(START_PENDING, check_point=point, hint=HINT)
                    point += 1

    def stop(self) -> None:
        """Drain and end the node: for STOP, SHUTDOWN and PRESHUTDOWN."""
        self._is_asked = True
        self._report(STOP_PENDING, check_point=1, hint=HINT)
        if self._node is not None:
            self._node.ask("shutdown")

    def pause(self) -> None:
        """Pause the node."""
        if self._node is not None:
            self._node.ask("pause")
            self._report(PAUSED)

    def resume(self) -> None:
        """Let the node go on."""
        if self._node is not None:
            self._node.ask("unpause")
            self._report(RUNNING)
