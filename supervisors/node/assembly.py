"""The composition root: from a configuration to the parts of a running node, wired together.

Nothing below reads files, environment or arguments: what they need is handed in here. Parts are made in the order in
which they need each other and closed in the reverse order, however far the making came.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from actors.core.flight import FlightRecorder
from actors.core.outcomes import Incarnation, Outcome
from actors.core.system import ActorSystem
from actors.exits import ExitReason
from actors.history.connecting import feed_recorder
from actors.history.rows import NodeRun
from supervisors.children import LocalLauncher
from supervisors.node.access import Access
from supervisors.node.desired import FILE_NAME as DESIRED
from supervisors.node.desired import DesiredState
from supervisors.node.desk import PERMISSIONS, ControlDesk
from supervisors.node.facts import RECORDER, NodeFacts
from supervisors.node.health import HealthServer
from supervisors.node.homeguard import HomeGuard
from supervisors.node.lastflush import LastFlush
from supervisors.node.loading import Loaded
from supervisors.node.logs import log_event
from supervisors.node.notifying import Notifier
from supervisors.node.operations import Operations
from supervisors.node.ports import check_port
from supervisors.node.pulse import Pulse
from supervisors.node.recent import RecentEvents
from supervisors.node.reloading import Load, Reloads
from supervisors.node.replaying import Replays
from supervisors.node.restarting import Restarts
from supervisors.node.statefile import StateFile, clock_problem, record_of_start
from supervisors.processes.blackbox import remove_boxes
from supervisors.processes.host import ProcessLauncher
from supervisors.processes.pool import PoolLauncher
from supervisors.processes.sparing import Rules
from supervisors.specs import SupervisorSpec
from supervisors.supervisor import Services, Subtree
from supervisors.telling import KEYFRAME_EVERY
from supervisors.tree import count_ready
from transport.control.server import ControlServer
from transport.endpoints import (
    Endpoints,
    ipc_endpoint,
    ipc_is_usual,
    private_directory,
    remove_endpoints,
    remove_socket,
    tcp_endpoint,
    write_endpoints,
)
from transport.identity import ProcessIdentity
from transport.reactor import Reactor
from transport.security import ServerKeys
from transport.taps import TapPublisher

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT = 5.0
"""Longest wait for the history to be stored when the node ends, in seconds; the rest waits in the spool."""


class Node:
    """One node: made, started, stopped and closed by the life cycle, on the main thread.

    Args:
        loaded: Its configuration.
        tree: What it supervises.
        ask_shutdown: Called for the `shutdown` command with its drain in seconds or None; returns the drain.
        on_root: Gets the outcomes of the root supervisor, on any thread; it only posts.
        load: Reads the configuration again, for a reload.
        on_drain: Gets another `runtime.drain` at a reload.
        on_lost: Gets why the home is no longer the node's, on any thread; it only posts.
        notifier: Who starts it, where that wants to be told how it is.
        app: The tree written in Python that it runs, or "".
        service: Who starts it again, `systemd:NAME`, or "".
    """

    def __init__(
        self,
        loaded: Loaded,
        tree: SupervisorSpec,
        *,
        ask_shutdown: Callable[[float | None], float],
        on_root: Callable[[Outcome], None],
        load: Load,
        on_drain: Callable[[float], object],
        on_lost: Callable[[str], object],
        notifier: Notifier,
        app: str = "",
        service: str = "",
    ) -> None:
        self._closing = ExitStack()
        self._app, self._service = app, service
        self._load, self._on_drain, self._notifier = load, on_drain, notifier
        self._on_lost = on_lost
        try:
            self._make(loaded, tree, ask_shutdown, on_root)
        except BaseException:
            self._closing.close()
            raise

    def _make(
        self,
        loaded: Loaded,
        tree: SupervisorSpec,
        ask_shutdown: Callable[[float | None], float],
        on_root: Callable[[Outcome], None],
    ) -> None:
        config = loaded.config
        runtime = config.runtime
        home = loaded.home
        run = private_directory(home / "run")
        closing = self._closing

        system = ActorSystem(runtime.name, pool_threads=runtime.pool_threads)
        system.home = home.absolute()
        closing.callback(system.shutdown, FLUSH_TIMEOUT)
        system.flight = FlightRecorder(system)
        logging.getLogger().addHandler(system.flight.log)
        closing.callback(logging.getLogger().removeHandler, system.flight.log)
        remove_boxes(run)
        services = Services(system, {})
        system.restarter = Restarts(services)
        desired = DesiredState(home / DESIRED, services.holds)
        desired.load()
        started_at = system.clock.time()
        epoch = int(started_at * 1000)
        self.facts = facts = NodeFacts(
            name=runtime.name,
            version=version("actorctl"),
            home=home,
            epoch=epoch,
            system=system,
            services=services,
            config_rows=loaded.rows(),
            config_file=str(loaded.file or ""),
            ask_shutdown=ask_shutdown,
        )
        record = record_of_start(
            name=runtime.name,
            version=facts.version,
            home=home,
            epoch=str(epoch),
            config=facts.config_file,
            app=self._app,
            service=self._service,
            at=started_at,
        )
        closing.callback(facts.leveling.close)
        _say_what_is_odd(home)
        facts.state_file = StateFile(run, record, lambda: (*count_ready(services), facts.restarts.total))
        health = config.health
        self.pulse = pulse = Pulse(
            facts,
            self._notifier,
            every=health.probe,
            wedged_after=health.wedged_after,
            heartbeat=health.heartbeat,
        )
        closing.callback(pulse.close)
        recent = RecentEvents()
        system.bus.subscribe(recent.keep)
        system.bus.subscribe(facts.restarts.take, facts.restarts.kinds)
        system.bus.subscribe(log_event)

        reactor = Reactor("node")
        closing.callback(reactor.close)
        reactor.every(KEYFRAME_EVERY, services.order_keyframes)
        pulse.watch(reactor)
        access = Access(run, system.bus.publish, system.clock.time)
        keys = self._server_keys(reactor, access, runtime.transport)
        control = self._endpoint(run, "control", runtime.transport, runtime.control)
        taps = self._endpoint(run, "taps", runtime.transport, runtime.taps)

        processes = ProcessLauncher(
            system, run, spares=Rules(count_max=runtime.spares_max, memory_max_bytes=runtime.spares_memory)
        )
        facts.processes = processes
        closing.callback(processes.close)
        tapping = Reactor("taps", beside=reactor)  # so that encoding for many readers holds up no command
        closing.callback(tapping.close)
        pulse.watch(tapping)
        self._publisher = TapPublisher(tapping, taps, system.bus, node=runtime.name, epoch=str(epoch), keys=keys)
        closing.callback(remove_socket, self._publisher.endpoint)
        closing.callback(self._publisher.close)
        replays = Replays(
            node=runtime.name,
            epoch=epoch,
            head=lambda: system.bus.head,
            ask=lambda query: system.ref(RECORDER).ask(query, block=False, timeout=query.timeout + 5.0),
            feed=lambda: facts.feed,
            snapshot=self._publisher.snapshot,
        )
        self.reloads = Reloads(facts, loaded, tree, self._load, self._on_drain)
        operations = Operations(services, desired)
        desk = ControlDesk(facts, recent, operations, access, replays, self._publisher.statistics, self.reloads)
        closing.callback(desk.close)
        server = ControlServer(
            reactor,
            control,
            desk.handle,
            permissions=PERMISSIONS,
            on_done=desk.audit,
            judge=access.judge,
            allowance=access.allowance(runtime.request_rate),
            keys=keys,
        )
        closing.callback(remove_socket, server.endpoint)
        closing.callback(server.close)

        if health.enabled:
            host, port = _address(health.listen)
            shown = HealthServer(host, port, facts, pulse)
            closing.callback(shown.close)
            facts.state_file.change(http=shown.address)
        self.feed = feed_recorder(
            system.bus,
            system.ref(RECORDER),
            run=NodeRun(runtime.name, epoch, services.pid, facts.version, started_at),
            home=home,
            recorder_path=RECORDER,
        )
        facts.feed = self.feed
        closing.callback(self.feed.close, 0.5)
        self.feed.start()

        services.launchers = {
            "pool": PoolLauncher(LocalLauncher(system, "pool"), processes.spares, services.trunk),
            "thread": LocalLauncher(system, "thread"),
            "process": LastFlush(processes, RECORDER, self.feed),
        }
        write_endpoints(
            run,
            Endpoints(
                process=ProcessIdentity.own(),
                name=runtime.name,
                version=facts.version,
                control=server.endpoint,
                taps=self._publisher.endpoint,
                started_at=started_at,
                epoch=str(epoch),
                server_key=keys.pair.public if keys is not None else "",
            ),
        )
        closing.callback(remove_endpoints, run, str(epoch))
        guard = HomeGuard(
            run,
            {name: (run / name).read_bytes() for name in ("endpoints.json", "node.pid")},
            (server.endpoint, self._publisher.endpoint),
            self._on_lost,
            lambda why: facts.change(facts.state, why),
        )
        pulse.with_each(guard.look)
        self._services = services
        self._tree = tree
        self._root = Subtree(on_root)

    def start(self) -> None:
        """Begin to start the tree; `on_root` gets what becomes of it."""
        self.facts.change("created", f"process {self._services.pid}")
        self.facts.change("starting", f"epoch {self.facts.epoch}")
        self._root.run(self._tree, "/", self._services, Incarnation())

    def stop(self, reason: ExitReason) -> None:
        """Ask the tree to stop in order."""
        self._root.stop(reason)

    def kill(self) -> None:
        """Kill everything in the tree at once."""
        self._root.kill()

    def close(self) -> None:
        """Close every part, in reverse order; the history that is not stored waits in its spool."""
        self.pulse.begin_close()
        self._closing.close()

    def _server_keys(self, reactor: Reactor, access: Access, transport: str) -> ServerKeys | None:
        """Return the node's CURVE keys, peers checked against its grants; None where the directory decides."""
        if transport == "ipc" or (transport == "auto" and ipc_is_usual()):
            return None
        own = access.guard()
        assert access.gatekeeper is not None  # `guard` made it
        reactor.authenticate(access.gatekeeper.answer, access.unrecognised)
        return own

    def _endpoint(self, run: Path, name: str, transport: str, address: str) -> str:
        if transport == "ipc" or (transport == "auto" and ipc_is_usual()):
            return ipc_endpoint(run, name)
        if address == "auto":
            return tcp_endpoint()
        host, port = _address(address)
        check_port(f"runtime.{name}", host, port)
        return tcp_endpoint(host, port)


def _address(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`; of `auto`, loopback and any free port."""
    if text == "auto":
        return "127.0.0.1", 0
    host, _, port = text.rpartition(":")
    return host, int(port)


def _say_what_is_odd(home: Path) -> None:
    """Warn of what a node can live with and its operator should not: others may write here, the clock went back."""
    if os.name == "posix" and home.stat().st_mode & 0o022:
        logger.warning("%s can be written by others, who could take the place of this node: chmod go-w %s", home, home)
    problem = clock_problem(home, time.time())
    if problem:
        logger.warning("%s", problem)
