"""The node's pulse: a thread of its own that sees whether supervision still works, and says so to whoever asks.

With every probe each supervisor of this process, and the thread that owns the control socket, is asked for an answer;
actors are not, so a busy one changes nothing. The age of the last answer of all is what "supervised" means: while it is
small, a crash would be restarted.

    probe answered by all --> heartbeat file, state.json, WATCHDOG=1 to systemd, the dead man's timer wound up
    no answer for `wedged_after` --> stacks to standard error and logs/wedged.log, state `failed`, the end with 70

Where even this thread cannot run, the dead man's timer (`deadman`) ends the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from supervisors import core
from supervisors.node.deadman import WEDGED_EXIT, Deadman
from supervisors.node.facts import NodeFacts
from supervisors.node.notifying import Notifier
from transport.endpoints import write_private
from transport.reactor import Reactor

logger = logging.getLogger(__name__)

HEARTBEAT_FILE: Final = "heartbeat"
STALE_PROBES: Final = 3
"""Probes that may be missed before supervision counts as not working."""
CLOSE_TIMEOUT: Final = 60.0
"""Longest time for the parts of the node to be closed, in seconds."""
STOOD_STILL: Final = 5.0
"""Seconds by which this thread must have overslept for the process to have been stopped, or starved."""
LATE: Final = 10.0
"""Most seconds by which the dead man's timer waits longer than this thread does."""


class Pulse:
    """Probes, and what hangs on them; made on the main thread, `close` it last.

    Args:
        facts: The node.
        notifier: The service manager.
        every: Seconds between two probes.
        wedged_after: Seconds without an answer after which the process is ended; 0 is never.
        heartbeat: Seconds between two writings of the heartbeat file and of `state.json`.
    """

    def __init__(
        self,
        facts: NodeFacts,
        notifier: Notifier,
        *,
        every: float,
        wedged_after: float,
        heartbeat: float,
    ) -> None:
        self._facts = facts
        self._reactors: tuple[Reactor, ...] = ()
        self._looks: tuple[Callable[[], object], ...] = ()
        self._notifier = notifier
        watchdog = notifier.watchdog / 2 if notifier.watchdog else every
        self._every = min(every, watchdog)
        self._wedged_after = wedged_after
        self._heartbeat = heartbeat
        self._run = facts.home / "run"
        self._answered_at = time.monotonic()
        self._beaten_at = 0.0
        self._waits: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._closing_at: float | None = None
        self._deadman = Deadman(wedged_after + min(LATE, wedged_after)) if wedged_after else None
        self._thread = threading.Thread(target=self._work, name="pulse", daemon=True)
        self._thread.start()

    @property
    def age(self) -> float:
        """Seconds since every supervisor answered."""
        return time.monotonic() - self._answered_at

    @property
    def stale_after(self) -> float:
        """The age from which on supervision counts as not working, in seconds."""
        return STALE_PROBES * self._every + 1.0

    @property
    def is_supervised(self) -> bool:
        """Whether a crash would be restarted."""
        return self.age < self.stale_after and "/" in self._facts.services.supervisors

    def watch(self, reactor: Reactor) -> None:
        """Ask the thread of `reactor` for an answer too."""
        self._reactors = (*self._reactors, reactor)

    def with_each(self, look: Callable[[], object]) -> None:
        """Call `look` with each probe, on the pulse's own thread; it must not block."""
        self._looks = (*self._looks, look)

    def begin_close(self) -> None:
        """Say that the node is being closed: from now on that has to come to its end, and nothing is probed."""
        self._closing_at = time.monotonic()

    def close(self) -> None:
        """End the thread, and the timer; remove the heartbeat file."""
        self._ended.set()
        self._thread.join(5.0)
        if self._deadman is not None:
            self._deadman.stop()
        with contextlib.suppress(OSError):
            (self._run / HEARTBEAT_FILE).unlink()

    # -- on the pulse's own thread ---------------------------------------------------------------------

    def _work(self) -> None:
        self._say()
        while True:
            self._probe()
            slept_at = time.monotonic()
            if self._ended.wait(self._every):
                return
            now = time.monotonic()
            if now - slept_at > self._every + STOOD_STILL:  # the whole process was stopped, and nobody could answer
                self._answered_at += now - slept_at
            if self._closing_at is not None:
                if now - self._closing_at > CLOSE_TIMEOUT:
                    self._end("the node did not close")
            elif self._wedged_after and self.age > self._wedged_after:
                with self._lock:
                    silent = ", ".join(sorted(self._waits)[:5])
                self._end(f"no answer for {self.age:.0f} s from {silent}")
            self._say()

    def _probe(self) -> None:
        """Ask everybody, unless some of the last time have not answered."""
        if self._closing_at is not None:
            return
        supervisors = dict(self._facts.services.supervisors)
        with self._lock:
            if self._waits:
                return
            self._waits = {*supervisors, *(f"thread {reactor.name}" for reactor in self._reactors)}
        for path, supervisor in supervisors.items():
            supervisor.call(_nothing, self._answer_of(path))
        for reactor in self._reactors:
            answer = self._answer_of(f"thread {reactor.name}")
            if not reactor.is_closed:
                reactor.post(lambda answer=answer: answer(None))  # type: ignore[misc]  # bound early
            else:
                answer(None)

    def _answer_of(self, name: str) -> Callable[[object], None]:
        def answered(_result: object) -> None:
            with self._lock:
                self._waits.discard(name)
                if not self._waits:
                    self._answered_at = time.monotonic()

        return answered

    def _say(self) -> None:
        if self._deadman is not None:
            self._deadman.wind()
        if self._closing_at is None and self.age >= self.stale_after:
            return  # nobody is told that all is well
        self._notifier.alive()
        for look in self._looks if self._closing_at is None else ():
            look()
        now = time.monotonic()
        if self._closing_at is None and now - self._beaten_at >= self._heartbeat:
            self._beaten_at = now
            with contextlib.suppress(OSError):  # the state file says that it could not be written
                write_private(self._run / HEARTBEAT_FILE, f"{time.time():.3f} {os.getpid()}\n".encode())
            if self._facts.state_file is not None:
                self._facts.state_file.refresh()

    def _end(self, why: str) -> None:
        """End this process, which no longer does its work; never returns."""
        text = f"wedged: {why}; the process ends with {WEDGED_EXIT}\n"
        logger.critical(text.rstrip())
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            faulthandler.dump_traceback(all_threads=True)
        with contextlib.suppress(OSError), open(self._facts.home / "logs" / "wedged.log", "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} process {os.getpid()} {text}")
            faulthandler.dump_traceback(log, all_threads=True)
        if self._facts.state_file is not None:
            writer = threading.Thread(  # a disk that does not answer may be what is wrong
                target=self._facts.state_file.change,
                kwargs={"state": "failed", "detail": f"wedged: {why}"},
                daemon=True,
            )
            writer.start()
            writer.join(1.0)
        os._exit(WEDGED_EXIT)


def _nothing(number: int, now: float, chance: float) -> core.Request:
    """The management call that changes nothing and is answered at once."""
    return core.Reconfigure(request=number, now=now, chance=chance, spec=None)


def read_heartbeat(home: Path) -> float | None:
    """Return when the node of `home` last wrote its heartbeat, seconds since the epoch; None where there is none."""
    try:
        return float((home / "run" / HEARTBEAT_FILE).read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
