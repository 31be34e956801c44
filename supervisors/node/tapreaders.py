"""Who reads the taps, and how far they are behind: what the readers themselves report.

A publisher cannot know what becomes of a message once ZeroMQ has it, so each reader that wants to be seen tells the
node every few seconds where it is. A reader that has not reported for `FORGET` seconds is gone. Readers that never
report are only seen as subscriptions.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from supervisors.requests import TapReportArguments
from supervisors.views import TapReaderView, instant

FORGET: Final = 30.0
"""Seconds after its last report that a reader is forgotten."""

READERS_MAX: Final = 1_000
"""Readers kept; beyond that the one that has not reported for longest is forgotten."""


class TapReaders:
    """The readers that report. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[float, TapReaderView]] = OrderedDict()

    def report(self, said: TapReportArguments, caller: str, head: int, now: float) -> None:
        """Take a report.

        Args:
            said: What the reader says.
            caller: Who it was found to be: two with the same name are two readers.
            head: The newest number on the bus.
            now: Seconds since the epoch.
        """
        at = instant(now)
        assert at is not None  # made from a float
        key = (caller, said.reader)
        with self._lock:
            before = self._kept.pop(key, None)
            if said.is_leaving:
                return
            view = TapReaderView(
                reader=said.reader,
                caller=caller,
                joined_at=before[1].joined_at if before is not None else at,
                reported_at=at,
                mode=said.mode,
                path=said.path,
                classes=said.classes,
                read=said.read,
                replayed=said.replayed,
                missed=said.missed,
                unfilled=said.unfilled,
                behind=max(0, head - said.heard_seq),
                lag=said.lag,
            )
            self._kept[key] = now, view
            while len(self._kept) > READERS_MAX:
                self._kept.popitem(last=False)

    def readers(self, now: float) -> tuple[TapReaderView, ...]:
        """Return those who reported within `FORGET` seconds before `now`, the latest first."""
        with self._lock:
            for key, (at, _) in list(self._kept.items()):
                if now - at > FORGET:
                    del self._kept[key]
            return tuple(view for _, view in reversed(self._kept.values()))
