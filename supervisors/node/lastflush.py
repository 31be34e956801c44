"""A recorder is stopped only after the history published so far has reached it.

The recorder starts first and stops last, so what the others did as they ended is stored before it goes. What happens
after that (its own end, the node's) waits in the spool for the next start.
"""

from __future__ import annotations

import threading
from typing import Any

from actors.core.mailbox import ActorStatistics
from actors.exits import ExitReason
from actors.history.feed import HistoryFeed
from supervisors.children import ChildHandle, Launcher, LaunchRequest, Report
from supervisors.usage import Usage

FLUSH_TIMEOUT = 3.0
"""Longest wait for the recorder to have stored everything, in seconds; shorter than a child's time to stop."""


class LastFlush:
    """A launcher around another: the child at `path` gets its stop after a flush of `feed`."""

    def __init__(self, launcher: Launcher, path: str, feed: HistoryFeed) -> None:
        self._launcher = launcher
        self._path = path
        self._feed = feed

    def launch(self, request: LaunchRequest, report: Report) -> ChildHandle:
        """Start an instance, as the launcher inside does."""
        handle = self._launcher.launch(request, report)
        return _FlushedHandle(handle, self._feed) if request.path == self._path else handle


class _FlushedHandle:
    """The handle of the recorder."""

    def __init__(self, handle: ChildHandle, feed: HistoryFeed) -> None:
        self._handle = handle
        self._feed = feed

    @property
    def ref(self) -> Any:
        return self._handle.ref

    @property
    def pid(self) -> int | None:
        return self._handle.pid

    @property
    def note(self) -> str:
        return self._handle.note

    @property
    def usage(self) -> Usage | None:
        return self._handle.usage

    def figures(self) -> ActorStatistics | None:
        return self._handle.figures()

    def stop(self, reason: ExitReason) -> None:
        """Flush on a thread of its own, since a supervisor never waits, then ask the recorder to end."""

        def flush_and_stop() -> None:
            self._feed.flush(FLUSH_TIMEOUT)
            self._feed.leave()
            self._handle.stop(reason)

        threading.Thread(target=flush_and_stop, name="history-last-flush", daemon=True).start()

    def kill(self) -> bool:
        return self._handle.kill()

    def suspend(self) -> None:
        self._handle.suspend()

    def resume(self) -> None:
        self._handle.resume()

    def reread(self) -> None:
        self._handle.reread()
