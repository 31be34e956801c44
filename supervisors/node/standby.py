"""What a node says to standard error itself, and a duplicate of a node that waits for the other one to end."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from enum import IntEnum
from pathlib import Path

from actors.core.outcomes import Exited, StartFailed
from supervisors.node.notifying import Notifier
from supervisors.node.signals import StopRequest, StopRequests
from transport.identity import ProcessIdentity

TELL_EVERY = 60.0
"""Seconds between two lines of a duplicate that waits."""


class NodeExit(IntEnum):
    """How a node ended, as a process exit code."""

    CLEAN = 0
    FAILED = 1
    DRAIN_RAN_OUT = 6
    ALREADY_RUNNING = 7
    INVALID = 8
    GAVE_UP = 9
    INTERRUPTED = 130


class StandBy:
    """Waits for another node of the same home to end, until a signal asks this one to; for the main thread."""

    def __init__(self, home: Path, notifier: Notifier) -> None:
        self._home = home
        self._notifier = notifier
        self._told_at = -math.inf
        self._requests = StopRequests()
        self.is_ended = False

    def look(self, holder: ProcessIdentity | None) -> bool:
        """Say once a minute who is waited for; False when this one is to end."""
        if time.monotonic() - self._told_at >= TELL_EVERY:
            self._told_at = time.monotonic()
            who = f"process {holder.pid}" if holder is not None else "another process"
            say(f"{who} runs the node of {self._home} already; waiting for it to end")
        self._notifier.starting("waiting for the node that runs already to end")
        request = self._requests.take(timeout=0)
        self.is_ended = self.is_ended or request in {StopRequest.DRAIN, StopRequest.HURRY}
        return not self.is_ended

    def __enter__(self) -> StandBy:
        self._requests.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.__exit__(None, None, None)


def report_end(outcome: StartFailed | Exited) -> NodeExit:
    """Say why the root ended by itself, down to the leaf's traceback."""
    reason = outcome.reason
    is_start = isinstance(outcome, StartFailed)
    say(f"the tree {'could not be started' if is_start else 'ended'}: {reason}")
    leaf = reason
    for cause in reason.chain():
        say(f"  because {cause.path}: {cause.reason}")
        leaf = cause.reason
    if leaf.crash is not None and leaf.crash.traceback:
        say(leaf.crash.traceback.rstrip())
    if is_start:
        return NodeExit.FAILED
    return NodeExit.GAVE_UP if reason.detail == "gave-up" else NodeExit.CLEAN


def say(text: str, hint: str = "") -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more; the exit code still tells
        sys.stderr.write(f"{text}\n" + (f"hint: {hint}\n" if hint else ""))
