"""Which instant the retention goes by, where the clock may be wrong.

A clock that leaps ahead makes every row look old, and what is deleted does not come back when the clock does. So a leap
is doubted at first: ages are counted by the instant before it and the time lived through since. It is believed once the
clock has gone on from there for a day, by its own account and through restarts of the node. A clock that fell behind
only keeps rows for longer, and is believed in the same way.

    in step ── differs by more than a day ──► doubted ── a day on from there ──► in step, by the clock
       ▲                                         │
       └──────── differs by no more than a day ──┘

A node that was off for more than a day therefore forgets by age a day later than it could. Not covered: a second leap
ahead between two runs of the node, within a doubt.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.history.retention import DAY
from actors.history.store import HistoryStore

LEAP = DAY
"""Seconds by which the clock may differ from what is expected without being doubted."""

BELIEVED_AFTER = DAY
"""Seconds that a clock that leapt has to go on for."""

KEEP_INTERVAL = 3_600.0
"""Seconds between two times that it is written down while nothing changes."""

FILE = "clock.json"
"""Where it is kept, in the folder of what is published."""

_log = logging.getLogger(__name__)


class Reckoning(Struct, frozen=True, omit_defaults=True):
    """What is believed of the clock; all in seconds since the epoch.

    Attributes:
        believed: The instant that rows are too old by.
        doubted: Seconds that a clock which leapt has gone on for since; None while it is in step.
        seen: What it said last, while it is doubted.
    """

    believed: float
    doubted: float | None = None
    seen: float = 0.0

    def instant(self, wall: float) -> float:
        """Return the instant to count ages by: never later than what the clock says."""
        return min(wall, self.believed)


def reckon(known: Reckoning, wall: float, lived: float | None) -> Reckoning:
    """Return what is believed now that the clock says `wall`.

    Args:
        known: What was believed before.
        wall: Seconds since the epoch.
        lived: Seconds since then by a clock that nobody sets; None where another process looked then.
    """
    expected = known.believed + (lived or 0.0)
    if abs(wall - expected) <= LEAP:
        return Reckoning(wall)
    if known.doubted is None:
        return Reckoning(expected, 0.0, wall)
    gone_on = wall - known.seen if lived is None else lived
    if abs(wall - known.seen - gone_on) > LEAP or gone_on < -LEAP:
        return Reckoning(expected, 0.0, wall)  # it leapt again
    doubted = known.doubted + max(gone_on, 0.0)
    return Reckoning(wall) if doubted >= BELIEVED_AFTER else Reckoning(expected, doubted, wall)


class TrustedClock:
    """Keeps a `Reckoning` up to date, and in a file. One thread.

    Args:
        folder: Where the file is; what cannot be read or written there is done without.
        newest: What the clock said when something was last stored; None for an empty history.
        now: Wall clock, seconds since the epoch.
        monotonic: A clock that nobody sets, seconds.
    """

    def __init__(
        self, folder: Path, newest: float | None, *, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._path = folder / FILE
        self._now, self._monotonic = now, monotonic
        self._lived: float | None = None
        self._known = self._kept() or Reckoning(now() if newest is None else newest)
        self._keep_at = 0.0
        self.look()

    def look(self) -> float:
        """Look at the clock, and return the instant to count ages by."""
        wall, monotonic = self._now(), self._monotonic()
        known = reckon(self._known, wall, None if self._lived is None else monotonic - self._lived)
        if known.doubted is not None and self._known.doubted is None:
            _log.warning(
                "the clock says %s, the history expected %s: until it has gone on from there for a day, rows are too "
                "old by the latter",
                _said(wall),
                _said(known.believed),
            )
        is_due = (known.doubted is None) != (self._known.doubted is None) or monotonic >= self._keep_at
        self._known, self._lived = known, monotonic
        if is_due:
            self._keep_at = monotonic + KEEP_INTERVAL
            self._keep()
        return known.instant(wall)

    def _keep(self) -> None:
        """Write down what is believed, for the next process."""
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(self._known) + b"\n")
            os.replace(temporary, self._path)
        except OSError as error:
            _log.warning("what is believed of the clock is not kept: %s", error)

    def _kept(self) -> Reckoning | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Reckoning)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return None


def clock_of(store: HistoryStore) -> TrustedClock:
    """Return the clock of an open history, looked at for the first time. On the thread that owns `store`."""
    ((newest,),) = store.execute("SELECT epoch(max(stored_at)) FROM main.batches")
    return TrustedClock(store.folder, newest, now=time.time, monotonic=time.monotonic)


def _said(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s since 1970"
