"""Making processes the fast way: as copies of the nursery, which this keeps, or else as new interpreters.

Everything runs on the worker's thread; only watching the nursery is the reactor's.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from msgspec.structs import replace

from supervisors.processes.copies import PAUSE, Nursery, NurseryError
from supervisors.processes.figures import NurseryFigures
from supervisors.processes.measures import own_bytes
from supervisors.processes.protocol import FirstWord, Handover
from supervisors.processes.spawning import Made, Worker, spawn
from transport.reactor import Reactor

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

HATCH_TIMEOUT: Final = 20.0
"""Seconds a nursery may take to get ready before it counts as hung and is ended."""

Answer: TypeAlias = Callable[[Made | None, str], None]
"""Gets the process; or None and why there is none."""

Publish: TypeAlias = Callable[[str, str, str, int, str], None]
"""Publishes a `SpareChanged`: state, path, target, pid, detail."""


class Maker:
    """Makes processes for one launcher."""

    def __init__(
        self, worker: Worker, reactor: Reactor, mark: Callable[[], str], publish: Publish, *, pidfds: bool
    ) -> None:
        """Make the maker; the nursery is started when it is first wanted.

        Args:
            worker: Runs everything here.
            reactor: Watches the nursery.
            mark: Returns a new mark, all of one length.
            publish: Says what becomes of the nursery.
            pidfds: Whether its end is noticed by pidfd; else only when it is wanted.
        """
        self._worker = worker
        self._reactor = reactor
        self._mark = mark
        self._publish = publish
        self._pidfds = pidfds
        self.nursery = Nursery(mark)
        self._unmade: list[Callable[[], None]] = []
        self._watched: set[int] = set()  # the reactor's
        self._closing = False
        self._is_resting = False
        self._released: set[int] = set()
        self._lost = 0
        self._lost_at = 0.0
        self._size = 0

    def figures(self) -> NurseryFigures:
        """Return what is known of the nursery; on any thread."""
        nursery = self.nursery
        pid = nursery.pid
        return NurseryFigures(
            pid,
            nursery.is_ready,
            nursery.started_at,
            nursery.started,
            self._lost,
            self._lost_at,
            self._size if pid is not None else 0,
            nursery.problem,
        )

    def rest(self) -> None:
        """End the nursery, and make nothing until `wake`; what was made lives on."""
        self._is_resting = True
        if self.nursery.pid is not None:
            self._released.add(self.nursery.pid)
        self.nursery.kill()
        self.nursery.forgive()
        self._unmade.clear()

    def wake(self) -> None:
        """Make what is wanted again."""
        self._is_resting = False

    def copy(self, title: str, word: FirstWord) -> Made | None:
        """Make a process from the nursery and say `word` to it; None where there is no nursery that could."""
        if not self.nursery.is_ready:
            return None
        try:
            made = self.nursery.grow(title)
        except NurseryError as error:
            logger.warning("%s is made as a new interpreter: %s", title, error)
            return None
        environment = {**self.nursery.changed_environment(), **word.environment}
        if isinstance(word, Handover):
            made.say(replace(word, environment=environment, directory=os.getcwd()))
        else:
            made.say(replace(word, environment=environment))
        return made

    def make(self, title: str, word: FirstWord, answer: Answer) -> None:
        """Make a process, from the nursery as soon as it is ready, or a new interpreter where there can be none."""
        if self._closing or self._is_resting:
            return
        try:
            self.keep_nursery()
        except OSError as error:
            logger.warning("there is no nursery now: %s", error)
        if self.nursery.is_hatching:
            self._unmade.append(partial(self.make, title, word, answer))
            return
        try:
            process = self.copy(title, word) or spawn(title, self._mark(), word)
        except OSError as error:
            answer(None, f"there can be no process: {error}")
        else:
            answer(process, "")

    def close(self) -> None:
        """End the nursery; what was made lives on."""
        self._closing = True
        self.nursery.kill()

    def keep_nursery(self) -> None:
        """See that there is a nursery, now and when it ends.

        Raises:
            OSError: There can be no process.
        """
        if self._closing or self._is_resting:
            return
        if self.nursery.is_hatching and self.nursery.age > HATCH_TIMEOUT:
            self.nursery.kill()
        if not self.nursery.ensure():
            return
        pid, link = self.nursery.pid, self.nursery.link
        assert pid is not None  # it was started just now
        assert link is not None
        self._publish("nursery-started", "/", "", pid, "")
        self._watch_once(os.dup(link.fileno()), self._hatched)  # the nursery's own may be closed while it is polled
        if self._pidfds:
            self._watch_once(os.pidfd_open(pid), partial(self._gone, pid))

    # -- the nursery's life -----------------------------------------------------------------------------

    def _hatched(self) -> None:
        """It said that it is ready, or why it never will be; or it ended."""
        self.nursery.listen()
        if self.nursery.problem:
            logger.warning("spares are new interpreters, since there is no nursery: %s", self.nursery.problem)
        elif self.nursery.pid is not None:
            self._size = own_bytes(self.nursery.pid)
        self._make_unmade()

    def _gone(self, pid: int) -> None:
        if self._closing:
            return
        if pid in self._released:
            self._released.remove(pid)
            return
        self._lost += 1
        self._lost_at = time.time()
        self._publish("nursery-lost", "/", "", pid, self.nursery.problem)
        if self.nursery.pid == pid:
            self.nursery.lost()
        try:
            self.keep_nursery()
        except OSError as error:
            logger.warning("there is no nursery now: %s", error)
        self._make_unmade()
        if self.nursery.pid is None and not self.nursery.problem:
            self._reactor.post(self._try_later)

    def _make_unmade(self) -> None:
        if not self.nursery.is_hatching:
            calls, self._unmade = self._unmade, []
            for call in calls:
                call()

    # -- on the reactor's thread --------------------------------------------------------------------------

    def _try_later(self) -> None:
        self._reactor.call_later(PAUSE, partial(self._worker.post, self.keep_nursery))

    def forget(self) -> None:
        """Watch the nursery no longer."""
        for fd in tuple(self._watched):
            self._unwatch(fd)

    def _watch_once(self, fd: int, call: Callable[[], None]) -> None:
        """Make `call` on the worker's thread once `fd`, which is closed then, is readable."""

        def readable() -> None:
            self._unwatch(fd)
            self._worker.post(call)

        def watch() -> None:
            if self._closing:
                os.close(fd)
                return
            self._watched.add(fd)
            self._reactor.watch(fd, readable)

        self._reactor.post(watch)

    def _unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.remove(fd)
            self._reactor.unwatch(fd)
            os.close(fd)
