"""The flight recorder: as an actor crashes, its last messages are kept with the crash.

While it runs, a cell does no more than to put each message it takes up into a ring (`ring_of`); nothing is looked at.
As it crashes, references are gathered on its own thread (`FlightRecorder.crashed`), within microseconds, so that a
restart does not wait. Making the record of them, by `redacting`, is the work of the recorder's thread, or is done at
once in a process that is about to end with its actor (`is_prompt`). It goes onto the bus as `CrashRecorded`.

A storm of crashes is bounded: `BURST` records within `WINDOW` seconds, and as many again in the next; what went without
one is counted by path and told with the path's next record.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from actors.core.redacting import Plainer
from actors.core.tracing import message_of
from actors.exits import ExitReason
from actors.flightrecord import CrashRecorded, FlightRecord, FlightRule, FrameRecord, LastMessage, StackRecord
from actors.hiding import masked

if TYPE_CHECKING:
    from actors.core.ref import ActorRef
    from actors.core.system import ActorSystem

THROUGHPUT: Final = 64
"""Messages an actor handles in one turn before others get theirs. It counts down across turns (`_ringed`), and its low
bits are the place in the ring: that costs a turn's loop one step and no number of its own."""

BURST: Final = 20
WINDOW: Final = 10.0
"""Seconds in which at most `BURST` records are made."""

STACKS_EVERY: Final = 1.0
"""Seconds between two records that have the stacks of all threads."""

THREADS_LIMIT: Final = 24
FRAMES_LIMIT: Final = 12
LOG_LIMIT: Final = 20
LINE_LIMIT: Final = 300
BUDGET: Final = 24_000
"""Characters for messages, and as many for variables; with stacks and log a record stays below 100 kB."""

DEFAULT_RULE: Final = FlightRule()

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())


def ring_of(cell: ActorRef[Any]) -> list[Any]:
    """Return the ring of `cell`, made now: a power of two of places, one where nothing is kept."""
    launch = cell._launch
    recorder = launch.owner.flight if launch is not None else None
    if launch is None or recorder is None:
        ring: list[Any] = [None]
    elif recorder.make_ring is not None:
        ring = recorder.make_ring(launch.flight or recorder.rule)
    else:
        ring = [None] * places((launch.flight or recorder.rule).messages)
    cell._ring = ring
    return ring


def keep(cell: ActorRef[Any], item: Any) -> None:
    """Put a message that is taken up into the ring of the flight recorder."""
    ring = cell._ring
    if ring is None:
        ring = ring_of(cell)
    cell._ringed = left = (cell._ringed or THROUGHPUT) - 1
    ring[left & (len(ring) - 1)] = item


def places(messages: int) -> int:
    """Return the places of a ring for so many messages: the next power of two."""
    return 1 << max(0, messages - 1).bit_length()


class Crashed(Struct, frozen=True, eq=False):
    """What was gathered of one crash."""

    at: float
    path: str
    generation: int
    rule: FlightRule
    error: BaseException
    trace: TracebackType | None
    messages: tuple[Any, ...]
    in_hand: Any
    handler: str
    handled: int
    seconds: float
    waiting: int
    state: dict[str, Any] | None
    stacks: tuple[tuple[str, list[tuple[str, int, str]]], ...]
    log: tuple[logging.LogRecord, ...]
    suppressed: int


class FlightRecorder:
    """Makes the records of one system. Every method may be called on any thread.

    Attributes:
        rule: For actors whose spec has none.
        log: The last log lines.
        is_prompt: Whether records are made on the crashing thread: for a process that ends with its actor.
        make_ring: Makes the ring of an actor in place of a plain list.
    """

    def __init__(self, system: ActorSystem, rule: FlightRule = DEFAULT_RULE, *, is_prompt: bool = False) -> None:
        self.rule = rule
        self.log = RecentLines()
        self.is_prompt = is_prompt
        self.make_ring: Callable[[FlightRule], list[Any]] | None = None
        self._clock = system.clock
        self._publish = system.bus.publish
        self._lock = threading.Lock()
        self._window = 0.0
        self._made = 0
        self._stacks_at = 0.0
        self._suppressed: dict[str, int] = {}
        self._waiting: queue.SimpleQueue[Crashed | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def crashed(self, cell: ActorRef[Any], error: BaseException, trace: TracebackType | None) -> None:
        """Gather what is known of the actor of `cell`, which crashed with `error`; its turn is held. Never raises."""
        try:
            now = self._clock.monotonic()
            if self._is_due(cell.path, now):
                self._take(gathered(self, cell, error, trace, now, self._suppressed.pop(cell.path, 0)))
        except Exception:
            logger.exception("the flight record of %s was lost", cell.path)

    def close(self, timeout: float) -> bool:
        """End the thread once what waits is told; return whether that took less than `timeout` seconds.

        What crashes afterwards is recorded on its own thread.
        """
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._waiting.put(None)
        thread.join(timeout)
        return not thread.is_alive()

    def wants_stacks(self, now: float) -> bool:
        """Whether the stacks of all threads are due."""
        if now - self._stacks_at < STACKS_EVERY:
            return False
        self._stacks_at = now
        return True

    def _is_due(self, path: str, now: float) -> bool:
        if now - self._window >= WINDOW:
            self._window, self._made = now, 0
        self._made += 1
        if self._made <= BURST:
            return True
        if path in self._suppressed or len(self._suppressed) < 1_000:
            self._suppressed[path] = self._suppressed.get(path, 0) + 1
        return False

    def _take(self, crash: Crashed) -> None:
        with self._lock:
            is_here = self.is_prompt or self._is_closed
            if not is_here:
                self._waiting.put(crash)
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="flight-recorder", daemon=True)
                    thread.start()
                    self._thread = thread  # only now: the next crash tries again where the machine had no thread for it
        if is_here:
            self._tell(crash)

    def _run(self) -> None:
        while (crash := self._waiting.get()) is not None:
            self._tell(crash)

    def _tell(self, crash: Crashed) -> None:
        try:
            line = str(ExitReason.crashed(crash.error)).split("\n", 1)[0][:LINE_LIMIT]
            self._publish(CrashRecorded(crash.at, crash.path, crash.generation, line, record_of(crash)))
        except Exception:
            logger.exception("the flight record of %s was lost", crash.path)


def gathered(
    recorder: FlightRecorder,
    cell: ActorRef[Any],
    error: BaseException,
    trace: TracebackType | None,
    now: float,
    missed: int,
) -> Crashed:
    """Return references to what is known of a crashing actor; formats nothing."""
    launch = cell._launch
    assert launch is not None  # only supervised actors are recorded
    rule = launch.flight or recorder.rule
    ring, newest = cell._ring or (), cell._ringed
    kept = [ring[(newest + back) & (len(ring) - 1)] for back in range(min(rule.messages, len(ring)))]
    messages = tuple([message for message in reversed(kept) if message is not None])
    in_hand = cell._handling
    message = message_of(in_hand)
    handler = cell._table.get(type(message)) if message is not None and cell._table is not None else None
    state = None
    if rule.state:
        try:
            state = cell._actor.state_view()
        except BaseException as failed:  # the actor's own code; whatever it raises must not end its thread
            state = {"error": f"state_view() raised {type(failed).__name__}"}
    return Crashed(
        at=recorder._clock.time(),
        path=cell.path,
        generation=launch.incarnation.generation,
        rule=rule,
        error=error,
        trace=trace,
        messages=messages,
        in_hand=in_hand,
        handler=getattr(handler, "__qualname__", "") if handler is not None else "",
        handled=cell._handled,
        seconds=max(0.0, time.monotonic() - cell._turn_at) if in_hand is not None and cell._turn_at else 0.0,
        waiting=len(cell._queue or ()),
        state=state,
        stacks=stacks() if rule.stacks and recorder.wants_stacks(now) else (),
        log=recorder.log.records(),
        suppressed=missed,
    )


def record_of(crash: Crashed) -> FlightRecord:
    """Return the record of what was gathered: plain, bounded, without secrets."""
    plainer = Plainer(BUDGET)
    messages = []
    for item in crash.messages:
        message = message_of(item)
        in_hand = item is crash.in_hand
        messages.append(LastMessage(type(message).__name__, fields_of(plainer, message), in_hand=in_hand))
    state = fields_of(plainer, crash.state) if crash.state is not None else None
    cut = plainer.cut
    frames: tuple[FrameRecord, ...] = ()
    if crash.rule.locals:
        plainer = Plainer(BUDGET)
        frames = tuple(frames_of(plainer, crash.trace))
        cut |= plainer.cut
    return FlightRecord(
        messages=tuple(messages),
        handled=crash.handled,
        handler=crash.handler,
        seconds=crash.seconds,
        waiting=crash.waiting,
        state=state,
        frames=frames,
        stacks=tuple([
            StackRecord(name, tuple(f"{file}:{line} {function}" for file, line, function in frames))
            for name, frames in crash.stacks
        ]),
        log=tuple(map(line_of, crash.log)),
        suppressed=crash.suppressed,
        cut=cut,
    )  # fmt: skip


def fields_of(plainer: Plainer, message: Any) -> dict[str, Any]:
    """Return a message's fields; one that changes while it is looked at is shown as far as that went."""
    try:
        return plainer.fields(message)
    except BaseException as failed:  # values with code of their own
        return {"…": f"could not be shown: {type(failed).__name__}"}


def frames_of(plainer: Plainer, traceback: TracebackType | None) -> Iterator[FrameRecord]:
    """Yield the newest frames of a traceback with their variables, outermost first."""
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    for frame, line in found[-FRAMES_LIMIT:]:
        code = frame.f_code
        try:
            variables = plainer.variables(frame.f_locals)
        except BaseException as failed:  # as above
            variables = {"…": f"could not be shown: {type(failed).__name__}"}
        yield FrameRecord(f"{code.co_filename}:{line}", code.co_qualname if _HAS_QUALNAME else code.co_name, variables)


_HAS_QUALNAME: Final = sys.version_info >= (3, 11)


def stacks() -> tuple[tuple[str, list[tuple[str, int, str]]], ...]:
    """Return the newest frames of every thread, innermost last: (file, line, function)."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = []
    for ident, top in list(sys._current_frames().items())[:THREADS_LIMIT]:
        frames: list[tuple[str, int, str]] = []
        frame: FrameType | None = top
        while frame is not None and len(frames) < FRAMES_LIMIT:
            frames.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
            frame = frame.f_back
        found.append((names.get(ident, str(ident)), frames[::-1]))
    return tuple(found)


class RecentLines(logging.Handler):
    """Keeps the last log records of a process; formatted only when they are asked for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._kept: deque[logging.LogRecord] = deque(maxlen=LOG_LIMIT)

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep `record`; without the lock, as that is one step."""
        self._kept.append(record)
        return True

    def records(self) -> tuple[logging.LogRecord, ...]:
        """Return the last records, oldest first."""
        return tuple(self._kept)


def line_of(record: logging.LogRecord) -> str:
    """Return a log record as one short line."""
    try:
        text = record.getMessage()
    except Exception:
        text = "<unreadable>"
    clock = time.strftime("%H:%M:%S", time.gmtime(record.created))
    line = f"{clock}.{int(record.msecs):03d}Z {record.levelname} {getattr(record, 'path', record.name)}  {text}"
    return masked(line.split("\n", 1)[0])[:LINE_LIMIT].encode("utf-8", "backslashreplace").decode("utf-8")
