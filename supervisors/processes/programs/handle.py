"""One program as its supervisor holds it: the life of a process child, its words spoken by a keeper and by probes.

    ProgramChild --order, stop, terminate, kill--> keeper --> program
        ^   ^  '--asks--> probes (a thread each)
        |   '--READY=1, STATUS=, WATCHDOG=1---- NotifySocket
        '--lines------------------------------- Capture

The machine is that of every process child: the keeper's `started` greets, being ready is found out by the spec's way,
and how the program ended is known when keeper, tree and output are done.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from actors.core.outcomes import Started
from actors.exits import ExitReason
from supervisors.children import LaunchRequest, Report
from supervisors.processes import states
from supervisors.processes.capture import Captured
from supervisors.processes.life import Life, Shared
from supervisors.processes.programs import core
from supervisors.processes.programs.keeper import HAS_PROC, below
from supervisors.processes.programs.keeping import (
    Keeping,
    environment_of,
    identity_of,
    order_of,
    spawn_keeper,
    start_error,
)
from supervisors.processes.programs.notifying import NotifySocket, Said
from supervisors.processes.programs.probing import ask
from supervisors.processes.programs.rereading import reread
from supervisors.processes.trees import descendants, environment_with
from supervisors.programs import Probe, ProgramStart, signal_number
from transport.reactor import Timer

KEEPER_GRACE: Final = 2.0
"""Seconds a keeper has to kill what it keeps before it is killed itself, with all that can be seen of it."""

TAKES_NO_MESSAGES: Final = "a program takes no messages"


class ProgramChild(Life):
    """A program: meets `supervisors.children.ChildHandle`."""

    def __init__(self, shared: Shared, request: LaunchRequest, report: Report, mark: str, run: Path) -> None:
        super().__init__(shared, request, report, mark)
        start = request.spec.start
        assert isinstance(start, ProgramStart)  # as the launcher looked
        self._start = start
        self._run = run
        self._limits = replace(self._limits, heartbeat=start.watchdog or inf, misses=1)
        self._main: int | None = None
        self._environment: dict[str, str] = {}
        self._notify: NotifySocket | None = None
        self._reports: int | None = None
        self._unread = b""
        self._pattern = re.compile(start.ready.log) if start.ready.log else None
        self._is_told = False
        """Whether what makes it ready, a line or `READY=1`, has come."""
        self._is_here = False
        """Whether the process that is the program is known."""
        self._is_gone = False
        self._is_suspended = False
        self._health = core.Health()
        self._failure: ExitReason | None = None
        self._end: core.End | None = None
        self._next: Timer | None = None
        self._note = ""

    # -- for the supervisor, on any thread ------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The program's process, None before it was executed."""
        return self._main

    @property
    def note(self) -> str:
        """What it last said of itself by `STATUS=`."""
        return self._note

    def suspend(self) -> None:
        """Stop all its processes (`SIGSTOP`); probes and watchdog pause."""
        self._shared.reactor.post(lambda: self._suspend(True))

    def reread(self) -> None:
        """Have it read its configuration again, as its spec says."""

        def begin() -> None:
            if not self._is_gone and self._main is not None:
                note = partial(setattr, self, "_note")
                reread(self.path, self._start, self._main, self._environment, self._say, note)

        self._shared.reactor.post(begin)

    def resume(self) -> None:
        """Let its processes go on."""
        self._shared.reactor.post(lambda: self._suspend(False))

    # -- on the launcher's worker ---------------------------------------------------------------------

    def spawn(self) -> Callable[[], None]:
        """Start the keeper; return what takes it over on the reactor's thread.

        Raises:
            Exception: There can be no process, no such user, or a secret is not there.
        """
        start = self._start
        more = {}
        identity = identity_of(start)
        notify = None
        if start.notifies:
            notify = NotifySocket(self._run, identity.uid)
            more["NOTIFY_SOCKET"] = notify.address
            if start.watchdog is not None:
                more["WATCHDOG_USEC"] = str(int(start.watchdog * 1_000_000))
        try:
            environment = environment_of(start, more)
            keeping = spawn_keeper(self.path, self.mark, order_of(start, environment))
        except BaseException:
            if notify is not None:
                notify.close()
            raise
        process = keeping.process
        assert process.stdout is not None
        assert process.stderr is not None
        pidfd = None
        if self._shared.pidfds:
            with contextlib.suppress(OSError):  # no descriptor is left: a thread waits for it
                pidfd = os.pidfd_open(process.pid)
        captured = self._shared.capture.add(
            self.path, None, process.stdout, process.stderr, on_line=self._on_line, shares_tail=True
        )
        return lambda: self._take_over(keeping, environment, notify, pidfd, captured)

    # -- its kind of child ----------------------------------------------------------------------------

    def send_start(self) -> None:
        """Nothing: the keeper had its order."""

    def send_stop(self, reason: ExitReason) -> None:
        """Send the stop signal to the program."""
        self._say(f"stop {self._stop_signal}")

    def send_bye(self) -> None:
        """Nothing: the keeper waits for no word."""

    def dump_stacks(self) -> None:
        """Give it the chance that TERM gives: no signal has every program write its stacks."""
        self.terminate()

    def terminate(self) -> None:
        """Send TERM to the program and all it started."""
        self._say("terminate")

    def kill_tree(self) -> None:
        """Have the keeper kill all it keeps; one that does not end is killed with all that can be seen of it."""
        self._say("kill")
        self._shared.reactor.call_later(KEEPER_GRACE, super().kill_tree)

    def report_started(self) -> None:
        """Tell the supervisor; whoever sends to the path is told that it is a program."""
        self._shared.system.registry.set_absent(self.path, TAKES_NO_MESSAGES)
        self._report(Started(None, self._main))
        if self._start.alive is not None:
            self._after(self._start.alive.every, self._ask_again)

    def let_go(self, reason: ExitReason) -> None:
        """Give up the notify socket, where there was no process to give it up with."""
        self._close_notify()

    def lost(self) -> None:
        """Hear the keeper's last word; where it had none, end the program's own group too."""
        self._read_reports()
        self._is_gone = True
        self._close_reports()
        self._close_notify()
        if self._next is not None:
            self._next.cancel()
        if self._end is None and self._failure is None and self._main is not None:
            main = self._main
            self._shared.ender.post(lambda: _kill_session(main))

    def pids(self) -> Sequence[int]:
        """Return all its processes, without the keeper."""
        if self._process is None or self._main is None:
            return ()
        return below(self._process.pid) if HAS_PROC else [member.pid for member in descendants(self._process.pid)]

    def ended(self, returncode: int, tail: str) -> None:
        """Have the machine hear how the program ended, now that all of it is gone."""
        if self._failure is not None:
            reason = self._failure
        elif self._end is not None:
            reason = core.end_of(self._end, self._state, self._start.success_exit, self._stop_signal)
        else:
            reason = ExitReason.killed("keeper-lost")
        if reason.is_abnormal:
            reason = core.with_last_lines(reason, tail)
        self.feed(states.Greeted(self._now()))
        self.feed(states.ActorEnded(self._now(), reason))
        was_asked = isinstance(self._state, states.Killing) and self._state.why.crash is None
        self.feed(states.ProcessEnded(returncode, "" if was_asked else tail))

    # -- the keeper's words ---------------------------------------------------------------------------

    def _take_over(
        self,
        keeping: Keeping,
        environment: dict[str, str],
        notify: NotifySocket | None,
        pidfd: int | None,
        captured: Captured,
    ) -> None:
        self._environment = environment_with(self.mark, environment)
        self._notify = notify
        self._reports = keeping.reports
        self.spawned(keeping.process, pidfd, captured)
        self._shared.reactor.watch(keeping.reports, self._read_reports)
        if notify is not None:
            self._shared.reactor.watch(notify.fileno(), self._hear)

    def _read_reports(self) -> None:
        while self._reports is not None:
            try:
                data = os.read(self._reports, 4096)
            except BlockingIOError:
                return
            if not data:
                self._close_reports()
                return
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                self._take(*line.decode().split(" ", 1))

    def _take(self, word: str, rest: str) -> None:
        match word:
            case "started":
                self._main = int(rest)
                self.feed(states.Greeted(self._now()))
                if not self._start.forks:
                    self._arrive()
            case "main":
                self._main = int(rest)
                self._arrive()
            case "failed":
                self._failure = ExitReason.crashed(start_error(self._start, rest), "start-failed")
            case "ended":
                status, left = rest.split()
                self._end = core.End.of_status(int(status), int(left))
            case _:
                raise AssertionError(f"a keeper does not say {word}")

    def _close_reports(self) -> None:
        if self._reports is not None:
            self._shared.reactor.unwatch(self._reports)
            os.close(self._reports)
            self._reports = None

    def _say(self, line: str) -> None:
        if self._is_gone or self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # it is gone, or so long stopped that its pipe is full: KILL comes anyway
            os.write(self._process.stdin.fileno(), line.encode() + b"\n")

    # -- being ready, being alive ---------------------------------------------------------------------

    def _arrive(self) -> None:
        """The process that is the program runs: find out when it is ready."""
        if self._is_here:
            return
        self._is_here = True
        ready = self._start.ready
        if ready.delay is not None:
            self._after(ready.delay, self._become_ready)
        elif ready.probe is not None:
            self._ask(ready.probe)
        elif self._is_told or not (ready.log or ready.notify):
            self._become_ready()

    def _tell_ready(self) -> None:
        self._is_told = True
        if self._is_here:
            self._become_ready()

    def _become_ready(self) -> None:
        self._health = core.Health(True)
        self.feed(states.Ready(self._now()))

    def _on_line(self, line: str) -> None:
        """Look for the line that makes it ready; on the capture's thread."""
        pattern = self._pattern
        if pattern is not None and pattern.search(line):
            self._pattern = None
            self._shared.reactor.post(self._tell_ready)

    def _ask(self, probe: Probe) -> None:
        """Ask on a thread of its own, one at a time: a program that does not answer holds up nobody."""
        environment, directory = self._environment, self._start.directory

        def asking() -> None:
            problem = ask(probe, environment, directory)
            self._shared.reactor.post(lambda: self._answered(problem))

        threading.Thread(target=asking, name="program-probe", daemon=True).start()

    def _answered(self, problem: str) -> None:
        if self._is_gone:
            return
        start, was_ready = self._start, self._health.ready
        if not self._is_suspended:
            self._health, hung = core.answered(self._health, problem, start.alive)
            if hung is not None:
                self.feed(states.Unhealthy(self._now(), hung))
                return
        if was_ready and start.alive is not None:
            self._after(start.alive.every, self._ask_again)
        elif self._health.ready:
            self._become_ready()
        else:
            self._after(start.ready.every, self._ask_again)

    def _ask_again(self) -> None:
        if self._health.ready:
            assert self._start.alive is not None  # what armed this
            self._ask(self._start.alive.probe)
        else:
            assert self._start.ready.probe is not None
            self._ask(self._start.ready.probe)

    def _after(self, delay: float, call: Callable[[], None]) -> None:
        if not self._is_gone:
            self._next = self._shared.reactor.call_later(delay, call)

    # -- what it says of itself -------------------------------------------------------------------------

    def _hear(self) -> None:
        if self._notify is not None:
            for said in self._notify.take():
                self._heed(said)

    def _heed(self, said: Said) -> None:
        if said.status is not None:
            self._note = said.status
        elif said.is_stopping or said.is_reloading:
            self._note = "stopping" if said.is_stopping else "reloading"
        if said.main_pid is not None and said.main_pid != self._main:
            self._say(f"main {said.main_pid}")
        if said.watchdog == "1":
            self.feed(states.Beat(self._now()))
        elif said.watchdog == "trigger":
            self.feed(states.Unhealthy(self._now(), ExitReason.killed("watchdog-triggered")))
        if said.is_ready and self._start.ready.notify:
            self._tell_ready()

    def _close_notify(self) -> None:
        if self._notify is not None:
            self._shared.reactor.unwatch(self._notify.fileno())
            self._notify.close()
            self._notify = None

    def _suspend(self, is_wanted: bool) -> None:
        self._is_suspended = is_wanted
        self._say("pause" if is_wanted else "resume")
        self._beat_for_it()

    def _beat_for_it(self) -> None:
        """While it is suspended its silence is no fault."""
        if self._start.watchdog is not None and not self._is_gone:
            self.feed(states.Beat(self._now()))
            if self._is_suspended:
                self._shared.reactor.call_later(self._start.watchdog / 3, self._beat_for_it)

    @property
    def _stop_signal(self) -> int:
        return signal_number(self._start.stop_signal) or int(signal.SIGTERM)


def _kill_session(leader: int) -> None:
    """Kill the processes of the session that `leader` began; for a program whose keeper was killed."""
    import psutil

    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
