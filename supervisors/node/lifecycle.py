"""The life of a node in the foreground: lock, start, ready, drain, end, and the exit code that says how it went.

created --> starting --ready--> running --first signal, shutdown command--> draining --empty--> stopping --> stopped
               |                 |   ^                                          |
               |                 pause|resume                   second request, or time over: kill; third: die at once
               '-- start failed, the root gave up: failed

A `shutdown` command counts as a request. A further one does not hurry, it sets the drain's end, sooner and never later;
so `shutdown` with a drain of 0 kills what is left.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import math
import os
import shlex
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from actors.core.outcomes import Exited, Outcome, Started, StartFailed
from actors.errors import ActorRuntimeError
from actors.exits import ExitReason
from supervisors import core
from supervisors.errors import AlreadyRunningError, HomeError
from supervisors.node.apps import load_app
from supervisors.node.assembly import Node
from supervisors.node.awaiting import wait_for
from supervisors.node.building import build_tree, graft
from supervisors.node.cutting import KINDS as CUT_KINDS
from supervisors.node.cutting import Cuts, is_last
from supervisors.node.facts import RECORDER
from supervisors.node.faults import ConfigurationError
from supervisors.node.importing import add_import_root
from supervisors.node.instance import InstanceLock
from supervisors.node.loading import Loaded, home_flag, load_config
from supervisors.node.logfiles import LOGS, Limits
from supervisors.node.logs import configure, remove
from supervisors.node.notifying import Notifier
from supervisors.node.pidone import become_init, is_first
from supervisors.node.printing import hiding_streams
from supervisors.node.reloading import Load, check_takeable
from supervisors.node.signals import StopRequest, StopRequests
from supervisors.node.standby import TELL_EVERY, NodeExit, StandBy, report_end, say
from supervisors.selectors import SelectorError
from supervisors.specs import SupervisorSpec
from supervisors.tree import nodes
from supervisors.views import ReloadView

logger = logging.getLogger(__name__)

KILL_TIMEOUT = 10.0
"""Longest wait for a killed tree to be gone, in seconds."""

RECORD_TIMEOUT = 10.0
"""Seconds beyond the drain that the recorder has to write what it was given, where all others have ended."""

TELL_STOPPING = 5.0
"""Seconds between two words to a service manager that the end goes on."""


SWITCH_INTERVAL = 0.001
"""Seconds after which a busy thread lets others run: a fifth of the default, so a busy actor delays `tree` less."""


def run_foreground(
    *,
    config: Path | None = None,
    home: Path | None = None,
    app: str | None = None,
    service: str = "",
    is_background: bool = False,
) -> NodeExit:
    """Run a node until it ends, on the main thread; talks to standard error.

    Args:
        config: The configuration file; None: `actors.toml` here, else the built-in system.
        home: The runtime's home, in place of the configured one.
        app: `package.module:name` of a tree written in Python, run beside `/sys`.
        service: Who starts it again when it ends, `systemd:NAME`; a duplicate then waits for the other to end.
        is_background: Whether nobody reads standard error: log lines go to the files alone, where there are any.
    """
    if is_first():
        become_init()
    notifier = Notifier.of(os.environ)
    file = config

    def load() -> tuple[Loaded, SupervisorSpec]:
        nonlocal file
        found = load_config(file, flags=home_flag(home), is_app=app is not None, imports=True, spare_processes=True)
        file = found.file  # one that is gone at a reload is a fault: never the built-in system in its place
        add_import_root(found.directory)
        return found, _tree_of(found, app)

    try:
        loaded, tree = load()
    except ConfigurationError as error:
        for fault in error.faults:
            say(str(fault))
        count = len(error.faults)
        checking = "actorctl check"
        checking += f" {shlex.quote(str(config))}" if config is not None else ""
        checking += f" --home {shlex.quote(str(home))}" if home is not None else ""
        say(f"{count} fault{'s' if count != 1 else ''}; nothing was started", checking if app is None else "")
        return NodeExit.INVALID
    except ActorRuntimeError as error:
        say(str(error))
        return NodeExit.INVALID
    lock = InstanceLock(loaded.home)
    waiting = StandBy(loaded.home, notifier)
    try:
        if service:
            with waiting:
                lock.acquire(waiting.look)
        else:
            lock.acquire()
    except AlreadyRunningError as error:
        if waiting.is_ended:
            say("ended while it waited")
            return NodeExit.CLEAN
        say(str(error), f"actorctl status --home {shlex.quote(str(loaded.home))}")
        return NodeExit.ALREADY_RUNNING
    except HomeError as error:
        say(str(error), "name another with --home, or mend its owner and mode")
        return NodeExit.FAILED
    faulthandler.enable()
    sys.setswitchinterval(SWITCH_INTERVAL)
    log = loaded.config.log
    limits = Limits(int(log.max_size), float(log.keep), int(log.total), int(log.min_free))
    try:
        handler = configure(
            log.level,
            log.format,
            files=loaded.home / LOGS if log.files else None,
            limits=limits,
            has_stream=not (is_background and log.files),
        )
    except OSError as error:
        lock.release()
        say(f"cannot write log files: {error}", "mend the folder, or set log.files = false")
        return NodeExit.FAILED
    try:
        with hiding_streams():
            return _Life(loaded, tree, load, notifier, app or "", service).run()
    except (ActorRuntimeError, OSError) as error:
        say(f"the node could not be started: {error}", f"actorctl doctor --home {shlex.quote(str(loaded.home))}")
        return NodeExit.FAILED
    finally:
        remove(handler)
        lock.release()


class _Life:
    """One life of one node, on the main thread."""

    def __init__(
        self, loaded: Loaded, tree: SupervisorSpec, load: Load, notifier: Notifier, app: str, service: str
    ) -> None:
        self._notifier = notifier
        self._drain = float(loaded.config.runtime.drain)
        self._drained_by = math.inf
        self._is_hurried = self._is_recording = False
        self._lock = threading.Lock()
        self._requests = StopRequests()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._loaded = loaded
        self._tree = tree
        self._load, self._app, self._service = load, app, service
        self._cuts = Cuts()
        self._lost = ""

    def run(self) -> NodeExit:
        with self._requests:
            if not self._await_dependencies():
                return NodeExit.CLEAN
            core.new(self._tree)  # a spec with faults is refused before anything is made
            self._node = Node(
                self._loaded,
                self._tree,
                ask_shutdown=self._ask_shutdown,
                on_root=self._on_root,
                load=self._load_again,
                on_drain=self._take_drain,
                on_lost=self._take_lost,
                notifier=self._notifier,
                app=self._app,
                service=self._service,
            )
            facts = self._node.facts
            try:
                self._node.start()
                end = self._until_asked()
                if end is None:
                    end = self._stop()
                end = NodeExit.FAILED if self._lost else end
                has_failed = end in {NodeExit.FAILED, NodeExit.GAVE_UP}
                how = self._lost or end.name.lower().replace("_", "-")
                facts.change("failed" if has_failed else "stopped", how)
                return end
            finally:
                self._node.close()

    def _await_dependencies(self) -> bool:
        """Wait for what must be there first; False where a signal asked the node to end meanwhile.

        Raises:
            DependencyError: It was not there in time.
        """
        runtime = self._loaded.config.runtime
        told_at = -math.inf

        def look(missing: tuple[str, ...]) -> bool:
            nonlocal told_at
            names = ", ".join(missing)
            if time.monotonic() - told_at >= TELL_EVERY:
                told_at = time.monotonic()
                logger.info("waiting for %s, %g s at most", names, runtime.wait_for_timeout)
            self._notifier.starting(f"waiting for {names}")
            return self._requests.take(timeout=0) in {None, StopRequest.RELOAD}

        return wait_for(runtime.wait_for, float(runtime.wait_for_timeout), look)

    def _until_asked(self) -> NodeExit | None:
        """Wait until the node is asked to end (None) or its root has ended by itself."""
        facts = self._node.facts
        is_up, is_to_reload = False, False
        while True:
            if not is_up:
                self._notifier.starting("starting")
            request = self._requests.take(timeout=1.0)
            while not self._outcomes.empty():
                outcome = self._outcomes.get()
                if isinstance(outcome, Started):
                    _keep_for_good()
                    is_up = True
                    self._notifier.ready("running")
                    facts.change("running", f"in {facts.system.clock.time() - facts.started_at:.3g} s")
                    logger.info("ready: actorctl tree --home %s   (Ctrl-C drains and ends)", facts.home)
                elif isinstance(outcome, (StartFailed, Exited)):
                    return report_end(outcome)
            is_to_reload = is_to_reload or request is StopRequest.RELOAD
            if is_to_reload and is_up:  # not before: the end of a reload is told as READY
                is_to_reload = False
                self._reload()
            if request not in {None, StopRequest.RELOAD}:
                return None

    def _reload(self) -> None:
        """Reload because of a signal; what becomes of it is an event and in the log."""

        def done(view: ReloadView) -> None:
            self._notifier.ready("running" if not view.faults else f"running; reload refused: {view.faults[0]}")
            _log_reload(view)

        self._notifier.reloading()
        try:
            self._node.reloads.begin("signal HUP", "", done)
        except SelectorError as error:
            self._notifier.ready("running")
            logger.warning("%s", error)

    def _load_again(self) -> tuple[Loaded, SupervisorSpec]:
        """Read the configuration again; a tree that this node cannot run is a fault like any other."""
        loaded, tree = self._load()
        check_takeable(loaded, tree, self._loaded)
        return loaded, tree

    def _take_drain(self, drain: float) -> None:
        self._drain = drain

    def _take_lost(self, why: str) -> None:
        """Drain, because another node could start in the home, and nothing that is written there is kept."""
        self._lost = why
        logger.error("%s; the node ends", why)
        self._requests.ask_to_drain()

    def _stop(self) -> NodeExit:
        """Drain; kill what is left when the time is over or somebody hurries."""
        facts = self._node.facts
        self._hold_drain(self._drain, is_first=True)
        facts.system.bus.subscribe(self._cuts.take, CUT_KINDS)
        self._cuts.begin(nodes(facts.services))
        self._show_draining()
        self._node.stop(ExitReason.shutdown("node-stop"))
        if self._is_drained():
            self._say_cut("everything ended")
            return NodeExit.CLEAN
        logger.warning("not everything stopped in time, or hurried: killing the rest")
        self._cuts.begin(nodes(facts.services))
        self._node.kill()
        until = time.monotonic() + KILL_TIMEOUT
        while not self._root_has_ended() and (left := until - time.monotonic()) > 0:
            self._requests.take(timeout=left)
        self._say_cut("hurried" if self._is_hurried else "the drain ran out")
        return NodeExit.INTERRUPTED if self._is_hurried else NodeExit.DRAIN_RAN_OUT

    def _say_cut(self, how: str) -> None:
        """Say what had to be killed, where that was anything, in the log, the history and the state file."""
        facts, cut = self._node.facts, self._cuts.found()
        if cut:
            named = ", ".join(cut[:10]) + (f" and {len(cut) - 10} more" if len(cut) > 10 else "")
            logger.warning("killed before they ended: %s", named)
            how = f"{how}; cut: {named}"
            assert facts.state_file is not None  # it was assembled
            facts.state_file.change(cut=cut)
        self._notifier.stopping(how)
        facts.change("stopping", how)

    def _is_drained(self) -> bool:
        """Wait for the root's end; False where the time is over, which a request may shorten, or somebody hurries."""
        while not self._root_has_ended():
            left = self._drained_by - time.monotonic()
            if left <= 0:
                if self._wait_for_recorder():
                    continue
                return False
            self._notifier.stopping("draining")
            request = self._requests.take(timeout=min(left, TELL_STOPPING))
            self._is_hurried = request is StopRequest.HURRY
            if self._is_hurried:
                return False
            if request is StopRequest.DRAIN:
                self._show_draining()
        return True

    def _wait_for_recorder(self) -> bool:
        """Give the history `RECORD_TIMEOUT` seconds more, once, where nothing else is left: nobody's work is cut."""
        if self._is_recording or not is_last(nodes(self._node.facts.services), RECORDER):
            return False
        self._is_recording = True
        self._drained_by = time.monotonic() + RECORD_TIMEOUT
        logger.info("the work is done; the history is still being written, %g s at most", RECORD_TIMEOUT)
        return True

    def _root_has_ended(self) -> bool:
        while not self._outcomes.empty():
            if isinstance(self._outcomes.get(), (Exited, StartFailed)):
                return True
        return False

    def _show_draining(self) -> None:
        within = f"{max(0.0, self._drained_by - time.monotonic()):.3g} s at most"
        self._node.facts.change("draining", f"{self._lost}; {within}" if self._lost else within)

    def _hold_drain(self, drain: float, *, is_first: bool = False) -> float:
        """Let the drain end within `drain` seconds, or sooner where that was asked for; return the seconds it has.

        Args:
            drain: Seconds from now.
            is_first: Only where nobody has said anything before.
        """
        now = time.monotonic()
        with self._lock:
            if not (is_first and self._drained_by < math.inf):
                self._drained_by = min(self._drained_by, now + drain)
            return max(0.0, self._drained_by - now)

    def _on_root(self, outcome: Outcome) -> None:
        self._outcomes.put(outcome)
        self._requests.wake()

    def _ask_shutdown(self, drain: float | None) -> float:
        """Begin to drain, or shorten the drain; on any thread. Return the seconds it may still take."""
        left = self._hold_drain(self._drain if drain is None else drain)
        self._requests.ask_to_drain()
        return left


def _log_reload(view: ReloadView) -> None:
    for fault in view.faults:
        logger.error("reload refused: %s", fault)
    for item in view.items:
        if item.outcome == "failed":
            logger.error("reload: %s: %s", item.path, item.message)


def _tree_of(loaded: Loaded, app: str | None) -> SupervisorSpec:
    tree = build_tree(loaded.config, loaded.machine, loaded.directory)
    if app is None:
        return tree
    return graft(load_app(app, directory=loaded.directory), tree)


def _keep_for_good() -> None:
    """Take what the start has made out of the garbage collector's rounds.

    The tree's own objects live as long as the node: looking through them again and again would stop every thread for
    some 10 ms at a thousand actors, each time. One that ends is freed all the same, by its reference count.
    """
    gc.collect()
    gc.freeze()
