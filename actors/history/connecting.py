"""A feed that asks a recorder through its ref: the usual wiring of the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from actors.clock import Clock
from actors.errors import ActorExitedError
from actors.history.feed import Bus, HistoryFeed
from actors.history.figures import DEFAULT_LIMITS, FeedLimits
from actors.history.protocol import Outcome, Store, Stored
from actors.history.rows import NodeRun


class Answer(Protocol):
    """What asking without waiting returns (`actors.core.future.Future`)."""

    def add_done_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback` once the answer, or an error, is there."""
        ...

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the answer or raise the error."""
        ...


class RecorderRef(Protocol):
    """What a feed needs of the recorder's ref, wherever the recorder runs."""

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message`; with `block=False` return an `Answer` at once."""
        ...


def feed_recorder(
    bus: Bus,
    recorder: RecorderRef,
    *,
    run: NodeRun,
    home: Path | None,
    limits: FeedLimits = DEFAULT_LIMITS,
    clock: Clock | None = None,
    path: str = "/",
    recorder_path: str = "",
) -> HistoryFeed:
    """Return a feed of `bus` that sends its batches to `recorder` and takes the answers; `start()` is the caller's.

    An ask that fails (nobody there, restarting, time-out) is a batch that is sent again, `limits.retry_after` later.

    Args:
        bus: As for `HistoryFeed`, like those not named here.
        recorder: A ref that survives restarts of the recorder (a path ref).
        run: This run of the node.
        home: Directory of the spool file, or None.
        limits: The bounds.
        clock: Time.
        path: Path the feed's own events are about.
        recorder_path: When an actor with this path starts, everything unanswered is sent again at once.
    """

    def send(batch: Store) -> None:
        answer: Answer = recorder.ask(batch, block=False)
        answer.add_done_callback(lambda: take(batch, answer))

    def take(batch: Store, answer: Answer) -> None:
        is_absent = False
        try:
            stored = answer.get(timeout=0.0)
            if not isinstance(stored, Stored):
                raise TypeError(f"the recorder answered with {type(stored).__qualname__}")
        except Exception as error:  # whatever ended the ask, the batch is not known to be stored
            is_absent = isinstance(error, ActorExitedError)
            why = f"{type(error).__name__}: {error}"
            stored = Stored(batch.source, batch.batch, Outcome.REFUSED, why=why, retry_after=limits.retry_after)
        feed.stored(stored, is_absent=is_absent)

    feed = HistoryFeed(
        bus, send, run=run, home=home, limits=limits, clock=clock, path=path, recorder_path=recorder_path
    )
    return feed
