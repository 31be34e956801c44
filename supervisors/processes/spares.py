"""Spares: processes that have started, imported the class of a child, and wait to become it.

    reactor    keeps the book (`supervisors.processes.sparing`), hears spares out, notices their ends
    worker     makes them: copies of the nursery, or new interpreters where there is none; hands them over
    ender      ends those that are not wanted
    keeper     the actor whose life the pool shares (`supervisors.processes.pool`); none outside a node

A spare is a process child that has not been told yet which one it is: it has no connection, no token, no actor, and
holds nothing but its pipe to the launcher. Its hand-over is the `Handover` every process child gets; whatever a child
is held to is applied from there. Nobody's child dies with the nursery or with a spare.

A spare is never handed over where a file that it imported, the environment or the module search path has changed.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

import msgspec
from msgspec.structs import replace

from actors.core.system import ActorSystem
from actors.events import SpareChanged
from actors.exits import said
from supervisors.processes import sparing
from supervisors.processes.capture import Capture
from supervisors.processes.copies import PAUSE
from supervisors.processes.figures import NurseryFigures, SpareFigures, figures_of
from supervisors.processes.making import Maker
from supervisors.processes.measures import own_bytes
from supervisors.processes.places import Place, Places, Spare, Want, clear_up, surroundings, unchanged
from supervisors.processes.protocol import FirstWord, Handover, Prepare, Prepared, Start
from supervisors.processes.spawning import Made, Worker
from transport.reactor import Reactor, Timer

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

WORD_LIMIT: Final = 1_048_576
"""Most bytes a spare may say about itself."""


class Spares:
    """The spares of one launcher, and its nursery.

    Attributes:
        rules: What they are held to.
    """

    def __init__(
        self,
        system: ActorSystem,
        reactor: Reactor,
        worker: Worker,
        ender: Worker,
        capture: Capture,
        mark: Callable[[], str],
        rules: sparing.Rules,
        endpoint: str,
        *,
        pidfds: bool,
    ) -> None:
        """Make the pool; nothing is started before spares are wanted.

        Args:
            system: The node's actors: its bus gets the events.
            reactor, worker, ender, capture: The launcher's.
            mark: Returns a new mark, all of one length; called on the worker's thread.
            rules: What the spares are held to.
            endpoint: Where spares connect already; "": nowhere.
            pidfds: Whether the end of the nursery is noticed by pidfd.
        """
        self._system = system
        self._reactor = reactor
        self._worker = worker
        self._ender = ender
        self._capture = capture
        self.rules = rules
        self._endpoint = endpoint
        self._maker = Maker(worker, reactor, mark, self._publish, pidfds=pidfds)
        self._state = sparing.State()
        self._timer: Timer | None = None
        self._spares: dict[int, Spare] = {}
        self._wants: dict[str, Want] = {}
        self._places = Places()
        self._keeper: Callable[[Exception], object] | None = None
        self._is_shut = False
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Spare]] = {}
        self._used: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._closing = False

    # -- on any thread --------------------------------------------------------------------------------

    def want(self, path: str, target: str, count: int, classes: tuple[str, ...] = ()) -> None:
        """Keep `count` spares of class `target`, or that import `classes`; a child at `path` is launched."""

        def wanted() -> None:
            self._wants[target] = Want(path, count, classes)
            self._feed(sparing.Wanted(monotonic(), target, count))

        if count or target in self._wants:
            self._reactor.post(wanted)

    def unused(self, target: str) -> None:
        """Class `target` has no child any more."""

        def is_unused() -> None:
            want = self._wants.get(target)
            if want is not None:
                self._wants[target] = replace(want, count=0)
                self._feed(sparing.Unused(monotonic(), target))

        if target in self._wants:
            self._reactor.post(is_unused)

    def keep(self, keeper: Callable[[Exception], object]) -> None:
        """Have the pool begin anew, whoever kept it before; `keeper` gets what breaks it, on the reactor."""

        def begin() -> None:
            if self._keeper is not None:
                self._shut("the pool begins anew")
            self._keeper = keeper
            self._open()

        self._reactor.post(begin)

    def let_go(self, keeper: Callable[[Exception], object]) -> None:
        """End the pool with its `keeper`: spares and nursery end, and there are none until somebody keeps it again."""

        def end() -> None:
            if self._keeper is keeper:
                self._keeper = None
                self._shut("the pool is stopped")

        self._reactor.post(end)

    @property
    def nursery(self) -> NurseryFigures:
        """What is known of the nursery now."""
        return self._maker.figures()

    def stocks(self) -> tuple[sparing.State, dict[int, Spare], dict[tuple[str, int], Place], dict[str, Want]]:
        """Return the book, the processes by number, the places, and what is wanted: as they are now, on any thread."""
        return self._state, self._spares.copy(), self._places.copy(), self._wants.copy()

    def figures(self, target: str | None = None) -> SpareFigures:
        """Return the figures of class `target`, or of all."""
        nursery = self._maker.nursery
        return figures_of(self._state, self._used, self._lost, nursery.pid, nursery.started, target)

    # -- on the worker's thread -------------------------------------------------------------------------

    def take(self, target: str, path: str, handover: Handover, start: Start) -> Spare | None:
        """Hand a spare of class `target` over to be the child at `path`; None where there is none that will do."""
        while True:
            with self._lock:
                waiting = self._waiting.get(target)
                if not waiting:
                    return None
                spare = waiting.popleft()
            assert spare.prepared is not None  # it waits, so it was heard
            if spare.made_in != surroundings() or not unchanged(spare.prepared):
                self._count(self._lost, target)
                self._reactor.post(lambda: self._feed(sparing.Outdated(monotonic(), target)))
                continue
            spare.captured.rename(path)
            if not spare.process.say(replace(handover, directory=os.getcwd(), start=start)):
                self._reactor.post(partial(self._end, spare, "it was gone when it was handed over", True))
                continue
            spare.is_taken = True
            spare.process.origin = "spare"
            self._count(self._used, target)
            self._publish("used", path, target, spare.process.pid)
            return spare

    def copy(self, path: str, word: FirstWord) -> Made | None:
        """Make a process from the nursery and say `word` to it; None where there is no nursery that could."""
        return self._maker.copy(path, word)

    def close(self) -> None:
        """End the nursery; spares end by `end_all`."""
        self._closing = True
        self._maker.close()

    def _make(self, order: sparing.Make) -> None:
        """Make a spare, now or once it is known whether there is a nursery."""

        def made(process: Made | None, problem: str) -> None:
            if process is None:
                self._count(self._lost, order.target)
                self._publish("failed", self._path_of(order.target), order.target, 0, problem)
                self._reactor.post(lambda: self._unmade(order, problem))
                return
            captured = self._capture.add(title, process.pid, process.stdout, process.stderr)
            spare = Spare(order, process, captured)
            self._reactor.post(lambda: self._adopt(spare))

        title = f"spare of {order.target}"
        want = self._wants.get(order.target)
        classes = want.classes if want is not None else ()
        word = Prepare(order.target, self._system.name, self._endpoint, os.getpid(), tuple(sys.path), classes=classes)
        self._maker.make(title, word, made)

    # -- on the reactor's thread --------------------------------------------------------------------------

    def handed_over(self, spare: Spare) -> None:
        """Forget a spare that became a child."""
        self._reactor.unwatch(spare.process.stdin.fileno())
        self._spares.pop(spare.number, None)
        self._feed(sparing.Taken(monotonic(), spare.number))

    def lost_in_handover(self, path: str, target: str, pid: int) -> None:
        """Say that a spare ended, or never spoke, after it was handed over to be the child at `path`."""
        self._count(self._lost, target)
        self._publish("lost", path, target, pid, "during its hand-over: a new interpreter is started in its place")

    def end_all(self) -> None:
        """End every spare; on the reactor's thread, when the launcher closes."""
        self._closing = True
        self._end_those_there("the launcher closes")
        self._maker.forget()

    def _open(self) -> None:
        """Begin to keep what is wanted."""
        self._is_shut = False
        self._worker.post(self._maker.wake)
        for target, want in self._wants.items():
            if want.count:
                self._feed(sparing.Wanted(monotonic(), target, want.count))

    def _shut(self, why: str) -> None:
        """End the spares and the nursery; what is wanted is remembered."""
        self._is_shut = True
        self._end_those_there(why)
        self._state = sparing.State(last=self._state.last)
        self._worker.post(self._maker.rest)

    def _end_those_there(self, why: str) -> None:
        self._disarm()
        for spare in tuple(self._spares.values()):
            self._end(spare, why, False)

    def _broke(self, error: Exception) -> None:
        """Give up a pool whose book or processes are not to be trusted: its keeper, or time, begins a new one."""
        if self._closing or self._is_shut:
            return
        logger.error("the pool of spares broke", exc_info=error)
        self._shut(f"the pool broke: {said(error)}")
        if self._keeper is not None:
            self._keeper(error)
        else:
            self._reactor.call_later(PAUSE, self._open)

    def _guarded(self, call: Callable[[], None]) -> Callable[[], None]:
        """Return `call` with its errors an end of the pool."""

        def guarded() -> None:
            try:
                call()
            except Exception as error:
                self._broke(error)

        return guarded

    def _feed(self, event: sparing.Event) -> None:
        if self._closing or self._is_shut:
            return
        try:
            self._state, effects = sparing.step(self._state, event, self.rules)
            for effect in effects:
                if isinstance(effect, sparing.Make):
                    self._places.note_made(effect)
                    self._worker.post(partial(self._make, effect))
                else:
                    spare = self._spares.get(effect.number)
                    if spare is not None:
                        self._end(spare, effect.why, effect.is_failure)
            self._rearm()
        except Exception as error:
            self._broke(error)

    def _unmade(self, order: sparing.Make, problem: str) -> None:
        """Take note of a spare that there can be no process for."""
        self._places.note_lost(order.target, order.slot, problem, self._system.clock.time())
        self._feed(sparing.Failed(monotonic(), order.number))

    def _rearm(self) -> None:
        self._disarm()
        due = sparing.next_look(self._state, self.rules)
        if due != float("inf"):
            delay = max(0.0, due - monotonic())
            self._timer = self._reactor.call_later(delay, lambda: self._feed(sparing.Tick(monotonic())))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _adopt(self, spare: Spare) -> None:
        book = (each.number for stock in self._state.stocks.values() for each in stock.spares)
        if self._closing or spare.number not in book:
            self._end(spare, "it is not wanted any more", False)
            return
        self._spares[spare.number] = spare
        os.set_blocking(spare.process.stdin.fileno(), True)
        self._reactor.watch(spare.process.stdin.fileno(), self._guarded(lambda: self._hear(spare)))

    def _hear(self, spare: Spare) -> None:
        """Take what a spare says, or that it ended."""
        if spare.is_taken:
            return
        try:
            data = os.read(spare.process.stdin.fileno(), 65_536)
        except OSError:
            data = b""
        spare.heard += data
        size = int.from_bytes(spare.heard[:4], "big") if len(spare.heard) >= 4 else 0
        if not data:
            self._end(spare, "it ended", True)
        elif spare.prepared is not None or size > WORD_LIMIT:
            self._end(spare, "it says what nobody asked", True)
        elif len(spare.heard) >= 4 + size:
            self._take_word(spare, spare.heard[4:])

    def _take_word(self, spare: Spare, data: bytes) -> None:
        try:
            spare.prepared = msgspec.msgpack.decode(data, type=Prepared)
        except msgspec.MsgspecError as error:
            self._end(spare, f"it says what nobody understands: {error}", True)
            return
        if spare.prepared.problem:
            self._end(spare, spare.prepared.problem, True)
            return
        self._ender.post(lambda: self._measure(spare))

    def _measure(self, spare: Spare) -> None:
        """Measure a spare that is ready; on the ender."""
        size = own_bytes(spare.process.pid)
        self._reactor.post(self._guarded(lambda: self._ready(spare, size)))

    def _ready(self, spare: Spare, size_bytes: int) -> None:
        if self._spares.get(spare.number) is not spare:
            return  # it ended meanwhile
        with self._lock:
            self._waiting.setdefault(spare.target, deque()).append(spare)
        assert spare.prepared is not None
        path = self._path_of(spare.target)
        self._publish("ready", path, spare.target, spare.process.pid, f"{spare.process.origin}, {size_bytes} bytes")
        self._feed(sparing.Ready(monotonic(), spare.number, size_bytes))

    def _end(self, spare: Spare, why: str, is_failure: bool) -> None:
        """End a spare that will not become a child, and say so."""
        if spare.is_taken:
            return
        with self._lock:
            waiting = self._waiting.get(spare.target)
            if waiting is not None and spare in waiting:
                waiting.remove(spare)
        if self._spares.pop(spare.number, None) is not None:
            self._reactor.unwatch(spare.process.stdin.fileno())
        self._ender.post(lambda: self._clear_up(spare))
        if self._closing:
            return
        if is_failure:
            self._count(self._lost, spare.target)
            self._places.note_lost(spare.target, spare.slot, why, self._system.clock.time())
        was_ready = spare.prepared is not None and not spare.prepared.problem
        state = ("lost" if was_ready else "failed") if is_failure else "discarded"
        self._publish(state, self._path_of(spare.target), spare.target, spare.process.pid, why)
        if is_failure:
            self._feed(sparing.Failed(monotonic(), spare.number))

    def _clear_up(self, spare: Spare) -> None:
        """End a spare's process and what it left; on the ender."""
        clear_up(spare)
        self._capture.finish(spare.captured, lambda _tail: None)

    # -- private parts ------------------------------------------------------------------------------------

    def _path_of(self, target: str) -> str:
        want = self._wants.get(target)
        return want.path if want is not None else "/"

    def _count(self, counts: dict[str, int], target: str) -> None:
        with self._lock:
            counts[target] = counts.get(target, 0) + 1

    def _publish(self, state: str, path: str, target: str, pid: int, detail: str = "") -> None:
        self._system.bus.publish(SpareChanged(self._system.clock.time(), path, state, target, pid, detail))
