"""The launcher of process children: one for a node, with the socket, the threads and the warden that they share.

    supervisor --launch--> ProcessLauncher --> Worker (spawns)                one thread
                              |    ^       --> Worker (kills, clears up)      one thread
                              |    |       --> Reactor (socket, exits, time)  one thread
                              v    |       --> Capture (stdout, stderr)       one thread
                         ProcessChild      --> Warden                         one small process

The launcher holds the ROUTER that its children connect to; who may speak there is the `Door`'s to say. Where sockets in
a private directory are not to be had it is tcp on the loopback address, with a CURVE key pair for each child.

The end of a process is noticed by its pidfd in the reactor's poll, elsewhere by a thread that waits for it; never by
looking again and again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zmq
from msgspec.structs import replace

from actors.addresses import is_within
from actors.core.context import enter_loop, leave_loop
from actors.core.outcomes import StartFailed
from actors.core.system import ActorSystem, PathTakenError
from actors.exits import ExitReason
from supervisors.children import LaunchRequest, Report
from supervisors.processes import sparing
from supervisors.processes.capture import Capture
from supervisors.processes.census import Census
from supervisors.processes.door import Door
from supervisors.processes.figures import LauncherStatistics, SpareFigures
from supervisors.processes.forgotten import closed_at_exit, was_closed
from supervisors.processes.handle import ProcessChild
from supervisors.processes.life import Life, LookAround, Shared
from supervisors.processes.programs.handle import ProgramChild
from supervisors.processes.protocol import Handover
from supervisors.processes.spares import Spares
from supervisors.processes.spawning import Worker, spawn, spawn_worker
from supervisors.processes.states import KillAsked, SpawnFailed
from supervisors.processes.subtree import SubtreeChild
from supervisors.processes.trees import Owner, sweep_leftovers
from supervisors.processes.wardens import WardenKeeper
from supervisors.programs import ProgramStart
from supervisors.specs import SupervisorSpec
from transport.channels import WINDOW, LaneStatistics
from transport.endpoints import ipc_endpoint, ipc_is_usual, remove_socket, remove_sockets, tcp_endpoint
from transport.identity import ProcessIdentity
from transport.reactor import Reactor
from transport.security import KeyPair, ServerKeys
from transport.sockets import Socket, SocketSpec

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())

OUTBOX: Final = 1_000_000
"""Frames that may wait for the wire; credit bounds what fills it before."""

SAMPLE_EVERY: Final = 0.5
"""Seconds between two looks at the memory of children that have a limit."""


class ProcessLauncher:
    """Starts children in processes of their own. Every public method may be called on any thread.

    Attributes:
        spares: The processes that wait, for whoever keeps them.
    """

    def __init__(
        self,
        system: ActorSystem,
        run: Path,
        *,
        name: str = "processes",
        tcp: bool | None = None,
        pidfds: bool = True,
        window: int = WINDOW,
        sample_every: float = SAMPLE_EVERY,
        spares: sparing.Rules = sparing.Rules(),  # noqa: B008 (frozen)
    ) -> None:
        """Open the socket and start the threads.

        What an earlier launcher of the same directory left, killed with its warden, is ended first.

        Args:
            system: The node's actors.
            run: The node's run directory; made private if need be.
            name: Stem of the socket's name there.
            tcp: Whether to use tcp with CURVE; by default only where private sockets are not to be had.
            pidfds: Whether to notice ends by pidfd where the system has them.
            window: Messages that may be under way to and from a child before they are accepted.
            sample_every: Seconds between two looks at the memory of children that have a limit; positive.
            spares: What spares are held to.

        Raises:
            EndpointError: The directory is not private, or its path is too long.
        """
        home = hashlib.sha256(os.fsencode(run.absolute()) + name.encode()).hexdigest()[:12]
        sweep_leftovers(home)
        self._run = run
        self._owner = Owner(home, ProcessIdentity.own(), secrets.token_hex(4))
        self._window = window
        self._name = name
        self._door = Door(system)
        self._lives: set[Life] = set()  # of the reactor's thread
        self._on_empty: Callable[[], None] | None = None
        self._serial = itertools.count(1)
        self._launched = self._undelivered = 0
        self._lock = threading.Lock()
        self._closing = False
        self._reactor = Reactor(name)
        self._reactor.run(enter_loop)
        self._keys: KeyPair | None = None
        try:
            self._socket = self._open(run, name, not ipc_is_usual() if tcp is None else tcp)
        except BaseException:
            self._reactor.close()
            raise
        self._spawner = Worker("processes-spawn")
        self._shared = Shared(
            system=system,
            reactor=self._reactor,
            ender=Worker("processes-end"),
            capture=Capture(),
            transmit=self._transmit,
            socket=self._socket,
            census=Census(self._owner.mark),
            ended=self._forget,
            spawn_again=self._spawn_again,
            pidfds=pidfds and hasattr(os, "pidfd_open"),
            window=window,
        )
        self._warden = WardenKeeper(self._owner.mark, self._spawner, self._reactor, pidfds=self._shared.pidfds)
        self.spares = Spares(
            system,
            self._reactor,
            self._spawner,
            self._shared.ender,
            self._shared.capture,
            self._new_mark,
            spares,
            "" if self._socket.endpoint.startswith("tcp:") else self._socket.endpoint,
            pidfds=self._shared.pidfds,
        )
        self._reactor.every(sample_every, LookAround(self._lives))
        closed_at_exit(self)

    @property
    def endpoint(self) -> str:
        """Where children connect."""
        return self._socket.endpoint

    @property
    def mark(self) -> str:
        """What the marks of all its children share; see `supervisors.processes.marks`."""
        return self._owner.mark

    def launch(self, request: LaunchRequest, report: Report) -> Life:
        """Start a child and return at once; `report` gets its outcomes, on the reactor's thread."""
        start = request.spec.start
        if isinstance(start, ProgramStart) and not start.speaks:
            return self._launch_program(request, report)
        token = secrets.token_bytes(32)
        mark = self._new_mark()
        kind = SubtreeChild if isinstance(request.spec.start, SupervisorSpec) else ProcessChild
        child = kind(self._shared, request, report, mark)
        stem = f"{self._name}.{int(mark.rpartition('.')[2])}"
        if isinstance(child, SubtreeChild):
            child.on_over = lambda: self._shared.ender.post(lambda: remove_sockets(self._run, stem))
        self._launched += 1
        if self._refuses(request, report, child.prepare()):
            return child
        keys = KeyPair.make() if self._keys is not None else None
        child.handover = handover = Handover(
            self._socket.endpoint,
            token,
            request.path,
            request.incarnation.generation,
            self._owner.process.pid,
            self._shared.system.name,
            tuple(sys.path),
            self._window,
            run=str(self._run.absolute()),
            name=stem,
            home=str(self._shared.system.home or ""),
            server_key=self._keys.public if self._keys is not None else "",
            public_key=keys.public if keys is not None else "",
            secret_key=keys.secret if keys is not None else "",
        )

        def expect() -> None:
            self._expect(child, token, handover.public_key)
            self._spawner.post(lambda: self._spawn(child, handover, child.spares > 0))  # a spare says hello at once

        child.begin()
        self._reactor.post(expect)
        self.spares.want(child.path, child.target, child.spares, child.classes)
        return child

    def _launch_program(self, request: LaunchRequest, report: Report) -> ProgramChild:
        child = ProgramChild(self._shared, request, report, self._new_mark(), self._run)
        self._launched += 1
        unsuited = None if hasattr(os, "fork") else RuntimeError("a program as a child needs a POSIX system")
        if not self._refuses(request, report, unsuited):
            child.begin()
            self._reactor.post(lambda: self._lives.add(child))
            self._spawner.post(lambda: self._spawn_program(child))
        return child

    def _refuses(self, request: LaunchRequest, report: Report, problem: Exception | None) -> bool:
        """Report a failed start where `problem`, a taken path or the launcher's end stands in the way."""
        if request.path in self._shared.system.registry:
            problem = PathTakenError(request.path)
        if self._closing:
            problem = problem or RuntimeError("the launcher of process children is closed")
        if problem is None:
            return False
        reason = ExitReason.crashed(problem)
        self._reactor.post(lambda: report(StartFailed(reason)))
        return True

    def spare_figures(self, path: str | None = None) -> SpareFigures:
        """Return the figures of all spares, or of those of the class of the child at `path`; all 0 where none runs."""
        if path is None:
            return self.spares.figures()
        child = next((found for found in tuple(self._lives) if found.path == path), None)
        if not isinstance(child, ProcessChild):
            return self.spares.figures("")
        return replace(self.spares.figures(child.target), origin=child.origin)

    def lane(self, path: str) -> LaneStatistics | None:
        """Return the figures of what is on its way to `path` in a process of this launcher; None where nothing is."""
        own = [life for life in tuple(self._lives) if isinstance(life, ProcessChild) and is_within(path, life.path)]
        return own[0].lane(path) if own else None

    def statistics(self) -> LauncherStatistics:
        """Return the figures of this moment."""
        spares = self.spares.figures()
        return LauncherStatistics(
            len(self._lives),
            self._launched,
            self._door.refused,
            self._door.strangers,
            self._undelivered,
            self._warden.started,
            spares.nurseries,
            spares.waiting,
        )

    def close(self, timeout: float = 10.0) -> bool:
        """Kill what still runs, and end socket, threads and warden.

        Supervisors stop their children in order before this; here those left are killed. Their ends are reported.

        Returns:
            Whether all of it ended within `timeout` seconds; True where it was closed before.
        """
        with self._lock:
            if self._closing:
                return True
            self._closing = True
        was_closed(self)
        until = time.monotonic() + timeout
        is_empty = threading.Event()

        def left() -> float:
            return max(0.0, until - time.monotonic())

        def kill_all() -> None:
            self._on_empty = is_empty.set
            self.spares.end_all()
            for child in tuple(self._lives):
                child.feed(KillAsked(time.monotonic()))
                child.feed(KillAsked(time.monotonic()))
            self._note_empty()

        self._reactor.post(kill_all)
        ended = is_empty.wait(left())
        self._spawner.post(self.spares.close)
        self._spawner.post(lambda: self._warden.close(min(left(), 2.0)))
        ended &= self._spawner.close(left())
        self._reactor.run(self.spares.end_all)  # those that were still being made
        ended &= self._shared.ender.close(left())
        ended &= self._shared.capture.close(left())
        self._reactor.run(self._warden.forget)
        self._reactor.run(leave_loop)
        ended &= self._reactor.close(left())
        remove_socket(self._socket.endpoint)
        return ended

    # -- the worker's thread --------------------------------------------------------------------------

    def _spawn(self, child: ProcessChild, handover: Handover, warm: bool) -> None:
        """Make a process for `child`; `warm`: a spare or a copy will do, else it is a new interpreter."""
        if self._closing or child.is_unwanted:
            reason = ExitReason.shutdown("stopped before it was spawned")
            self._reactor.post(lambda: child.feed(SpawnFailed(reason)))
            return
        try:
            self._warden.ensure()
            spare = self.spares.take(child.target, child.path, handover, child.start) if warm else None
            if spare is not None:
                process = spare.process
            elif child.worker is not None:
                process = spawn_worker(child.worker, child.mark, handover)
            else:
                copy = self.spares.copy(child.path, handover) if warm else None
                process = copy or spawn(child.path, child.mark, handover)
        except Exception as error:  # no process, no such program, no secret
            reason = ExitReason.crashed(error)
            self._reactor.post(lambda: child.feed(SpawnFailed(reason)))
            return
        pidfd = None
        if self._shared.pidfds:
            with contextlib.suppress(OSError):  # no descriptor is left: a thread waits for it
                pidfd = os.pidfd_open(process.pid)
        capture = self._shared.capture
        captured = spare.captured if spare else capture.add(child.path, process.pid, process.stdout, process.stderr)

        def taken_over() -> None:
            if spare is not None:
                self.spares.handed_over(spare)
            child.take_over(process, pidfd, captured)

        self._reactor.post(taken_over)

    def _new_mark(self) -> str:
        return f"{self._owner.mark}{next(self._serial):010d}"

    def _spawn_program(self, child: ProgramChild) -> None:
        if self._closing or child.is_unwanted:
            reason = ExitReason.shutdown("stopped before it was spawned")
        else:
            try:
                self._warden.ensure()
                self._reactor.post(child.spawn())
                return
            except Exception as error:
                reason = ExitReason.crashed(error)
        self._reactor.post(lambda: child.feed(SpawnFailed(reason)))

    # -- the reactor's thread -------------------------------------------------------------------------

    def _open(self, run: Path, name: str, tcp: bool) -> Socket:
        endpoint = tcp_endpoint() if tcp else ipc_endpoint(run, name)
        keys = None
        if tcp:
            self._keys = KeyPair.make()
            self._reactor.authenticate(self._door.gatekeeper.answer, self._door.refusals.unrecognised)
            keys = ServerKeys(self._keys)
        spec = SocketSpec(zmq.ROUTER, bind=endpoint, name=name, outbox=OUTBOX, send_high_water=0, keys=keys)
        return self._reactor.open(
            spec, lambda _socket, frames: self._door.take(frames[0], frames[1:]), self._not_delivered
        )

    def _expect(self, child: ProcessChild, token: bytes, public_key: str) -> None:
        self._lives.add(child)
        self._door.expect(child, token, public_key)

    def _spawn_again(self, child: Life) -> None:
        """Start a new interpreter for a child whose spare was lost; its first word is the same."""
        assert isinstance(child, ProcessChild)  # no other kind is handed a spare
        handover = child.handover
        assert handover is not None  # it was launched
        self.spares.lost_in_handover(child.path, child.target, child.pid or 0)
        self._door.expect_again(child)
        child.mark = self._new_mark()
        self._spawner.post(lambda: self._spawn(child, handover, False))

    def _forget(self, child: Life) -> None:
        self._lives.discard(child)
        if isinstance(child, ProcessChild):
            self._door.forget(child)
            if all(other.target != child.target for other in self._door):
                self.spares.unused(child.target)
        self._note_empty()

    def _note_empty(self) -> None:
        if self._on_empty is not None and not self._lives:
            self._on_empty()

    def _not_delivered(self, _frames: object, why: str) -> None:
        self._undelivered += 1
        logger.debug("a frame for a child was not delivered: %s", why)

    def _transmit(self, identity: bytes, frame: bytes) -> None:
        self._socket.send([identity, frame])
