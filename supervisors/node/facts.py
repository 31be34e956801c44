"""What a node knows of itself, for its control commands: name, state, tree, history feed, configuration."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
from msgspec import Struct

from actors.addresses import is_within
from actors.core.context import never_waiting
from actors.core.inspection import ViewState, read_state
from actors.core.system import ActorSystem
from actors.events import NodeChanged
from actors.exits import said
from actors.history.feed import HistoryFeed
from actors.history.protocol import (
    QUERY_BYTES_LIMIT,
    CancelQuery,
    Query,
    QueryFailed,
    QueryProgress,
    QueryResult,
)
from actors.history.protocol import Statistics as AskRecorder
from supervisors.node.asking import message_types
from supervisors.node.leveling import Leveling
from supervisors.node.restarts import RestartCount
from supervisors.node.showing import ConfigRow
from supervisors.node.sparepool import PATH as SPARES
from supervisors.node.statefile import StateFile
from supervisors.processes.host import ProcessLauncher
from supervisors.requests import SqlArguments
from supervisors.selectors import UNHEALTHY, SelectorError
from supervisors.supervisor import Services
from supervisors.views import (
    ColumnView,
    HeaderView,
    HistoryView,
    NodeKind,
    NodeView,
    SendingView,
    SparesView,
    SqlView,
    StatusView,
    instant,
    to_wire,
)
from transport.control.server import Responder

RECORDER = "/sys/recorder"
UP: Final = frozenset({"running", "paused"})
"""States of a node that does its work, or would."""
STATE_TIMEOUT = 2.0
"""Longest wait for an actor's view of its state, in seconds."""


class ProcessFigures(Struct, frozen=True, gc=False):
    """What the node's own process uses."""

    rss_bytes: int
    cpu_seconds: float
    threads: int


class NodeFacts:
    """The facts of one running node. Attributes are set by the life cycle, on the main thread; any thread reads.

    Attributes:
        name: Its name.
        version: Version of the program.
        home: Its home.
        epoch: Number of this run: milliseconds since the epoch at its start, so it grows from run to run.
        started_at: When it started, seconds since the epoch.
        state: `created`, `starting`, `running`, `paused`, `draining`, `stopping`, `stopped` or `failed`.
        state_file: Where it is kept for others; None until the node is assembled.
        restarts: Counts the restarts decided.
        leveling: Log levels for a while.
        changing: Held by a reload or rolling restart for as long as it takes.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        home: Path,
        epoch: int,
        system: ActorSystem,
        services: Services,
        config_rows: Sequence[ConfigRow],
        config_file: str,
        ask_shutdown: Callable[[float | None], float],
    ) -> None:
        self.name = name
        self.version = version
        self.home = home
        self.epoch = epoch
        self.started_at = system.clock.time()
        self.state = "created"
        self.state_file: StateFile | None = None
        self.restarts = RestartCount()
        self.system = system
        self.services = services
        self.config_rows = config_rows
        self.config_file = config_file
        self.ask_shutdown = ask_shutdown
        self.leveling = Leveling(services)
        self.changing = threading.Lock()
        self.feed: HistoryFeed | None = None
        self.processes: ProcessLauncher | None = None
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins the interval
        self._lock = threading.Lock()
        self._changes = threading.RLock()

    def change(self, state: str, detail: str = "") -> None:
        """Move to `state`, and say so on the bus and in the state file; on any thread."""
        with self._changes:
            self.state = state
            now = self.system.clock.time()
            self.system.bus.publish(NodeChanged(now, "/", state, detail))
            if self.state_file is not None:
                self.state_file.change(state=state, detail=detail, changed_at=now)

    def note(self, detail: str) -> None:
        """Say what happened to the node in the state that it is in."""
        with self._changes:
            self.change(self.state, detail)

    def change_while_up(self, state: str, detail: str = "") -> None:
        """Move to `state` as `change` does, from `running` or `paused` alone.

        Raises:
            SelectorError: `conflict`: it starts or ends, and goes on doing so.
        """
        with self._changes:
            self.check_up()
            self.change(state, detail)

    def check_up(self) -> None:
        """See that the node runs, paused or not.

        Raises:
            SelectorError: `conflict`: it starts or ends.
        """
        if self.state not in UP:
            hint = "actorctl wait" if self.state in {"created", "starting"} else "actorctl daemon status"
            raise SelectorError("conflict", f"the node is {self.state}", hint)

    def status(self, header: HeaderView, tree: Sequence[NodeView]) -> StatusView:
        """Return the node on one page."""
        workers = [node for node in tree if node.kind is NodeKind.WORKER and not is_within(node.path, SPARES)]
        unhealthy = tuple(node for node in tree if node.state in UNHEALTHY)
        history = self._history(tree)
        problems = [f"{node.path} is {node.state.value}: {node.last_reason or node.why}" for node in unhealthy]
        if self.state not in UP:
            problems.insert(0, f"the node is {self.state}")
        if history is not None and history.lost_rows:
            problems.append(f"{history.lost_rows} rows of history were lost")
        if history is not None and self.feed is not None and self.feed.statistics().problem:
            problems.append(f"history is not being stored: {self.feed.statistics().problem}")
        with self._lock:
            cpu = self._process.cpu_percent() / 100.0
        return StatusView(
            header=header,
            counts=dict(Counter(node.state.value for node in workers)),
            unhealthy=unhealthy,
            dead_letters=self.system.dead_letters.count,
            history=history,
            memory_bytes=self._process.memory_info().rss,
            cpu_ratio=cpu,
            threads=threading.active_count(),
            processes=len({node.pid for node in workers if node.pid is not None and node.pid != os.getpid()}),
            problems=tuple(problems),
            http=self.state_file.record.http if self.state_file is not None else "",
        )

    def process_figures(self) -> ProcessFigures:
        """Return what the node's own process uses."""
        times = self._process.cpu_times()
        return ProcessFigures(self._process.memory_info().rss, times.user + times.system, threading.active_count())

    def spares_of(self, path: str) -> SparesView | None:
        """Return the spares of the class of the child at `path`; None where it runs in no process of its own."""
        figures = self.processes.spare_figures(path) if self.processes is not None else None
        if figures is None or not figures.origin:
            return None
        return SparesView(
            wanted=figures.wanted,
            waiting=figures.waiting,
            making=figures.making,
            size_bytes=figures.size_bytes,
            used=figures.used,
            lost=figures.lost,
            nursery_pid=figures.nursery,
            nurseries=figures.nurseries,
            last_start=figures.origin,
        )

    def sending_to(self, path: str) -> SendingView | None:
        """Return what is on its way to the actor at `path`; None where nothing is, or it runs in this process."""
        lane = self.processes.lane(path) if self.processes is not None else None
        if lane is None:
            return None
        return SendingView(
            waiting=lane.waiting,
            waiting_bytes=lane.waiting_bytes,
            under_way=lane.under_way,
            rejected=lane.rejected,
            dropped=lane.dropped,
            blocked=lane.blocked,
        )

    def handlers_of(self, path: str) -> tuple[str, ...]:
        """Return the names of the message types that the actor at `path` takes."""
        try:
            return tuple(sorted(message_types(self.services, path)))
        except (ImportError, TypeError, ValueError):
            return ()

    def state_of(self, path: str, answer: Callable[[dict[str, Any] | None], object]) -> None:
        """Ask the actor at `path` for its `state_view()`; `answer` gets it, or None where none came in time."""
        ref = self.services.system.ref(path)
        if path in self.services.supervisors or not ref.is_alive():
            answer(None)
            return
        with never_waiting():
            future = ref.ask(ViewState(), block=False, timeout=STATE_TIMEOUT)
        late = self.system.schedule(STATE_TIMEOUT, lambda: future.fail(TimeoutError(path)))

        def answered() -> None:
            late.cancel()
            try:
                state = read_state(future.get(timeout=0))
            except Exception as error:  # shown in its place: the rest of the description is still wanted
                state = {"error": said(error)}
            answer(state)

        future.add_done_callback(answered)

    def query(self, wanted: SqlArguments, responder: Responder) -> None:
        """Put a query to the recorder and answer the call when it has run; or interrupt one, or tell how far it is."""
        if wanted.verb != "run":
            self._about_query(wanted, responder)
            return
        query = Query(
            wanted.query,
            wanted.parameters,
            limit_rows=wanted.limit,
            limit_bytes=wanted.size or QUERY_BYTES_LIMIT,
            timeout=wanted.timeout,
            memory_bytes=wanted.memory,
            key=wanted.key,
        )
        future = self.system.ref(RECORDER).ask(query, block=False, timeout=wanted.timeout + 5.0)

        def answered() -> None:
            try:
                found = future.get(timeout=0)
            except Exception as error:
                responder.fail("conflict", f"the recorder gave no answer: {error}", f"actorctl why {RECORDER}")
                return
            if isinstance(found, QueryFailed):
                responder.fail(_SQL_CODES.get(found.problem.value, "failed"), found.message, found.hint)
                return
            assert isinstance(found, QueryResult)
            columns = tuple([ColumnView(name=n, type=t) for n, t in zip(found.columns, found.types, strict=True)])
            rows = tuple([tuple(row) for row in found.rows])
            view = SqlView(columns=columns, rows=rows, is_truncated=found.truncated, seconds=found.seconds)
            responder.reply(to_wire(view))

        future.add_done_callback(answered)

    def _about_query(self, wanted: SqlArguments, responder: Responder) -> None:
        """Interrupt a query that runs, or tell how far it is."""
        asked = CancelQuery(wanted.key) if wanted.verb == "cancel" else QueryProgress(wanted.key)
        future = self.system.ref(RECORDER).ask(asked, block=False, timeout=wanted.timeout)

        def answered() -> None:
            try:
                found: bool | float = future.get(timeout=0)
            except Exception as error:
                responder.fail("conflict", f"the recorder gave no answer: {error}", f"actorctl why {RECORDER}")
                return
            kind = "BOOLEAN" if wanted.verb == "cancel" else "DOUBLE"
            view = SqlView(columns=(ColumnView(name=wanted.verb, type=kind),), rows=((found,),))
            responder.reply(to_wire(view))

        future.add_done_callback(answered)

    def _history(self, tree: Sequence[NodeView]) -> HistoryView | None:
        recorder = next((node for node in tree if node.path == RECORDER), None)
        feed = self.feed
        if recorder is None or feed is None:
            return None
        figures = feed.statistics()
        path, size, last = "", 0, 0.0
        if recorder.state.value == "ready":
            try:
                found = self.system.ref(RECORDER).ask(AskRecorder(), timeout=1.0)
                path, size, last = found.path, found.file_bytes + found.wal_bytes, found.last_stored_at
            except Exception:  # a recorder that is busy or restarting: the feed's own figures are shown
                path = ""
        return HistoryView(
            state=recorder.state.value,
            path=path,
            size_bytes=size,
            stored_rows=figures.acknowledged_rows,
            pending_rows=max(0, figures.rows - figures.acknowledged_rows - figures.lost_rows),
            lost_rows=figures.lost_rows + figures.dropped_events,
            last_write_at=instant(last) if last else None,
        )


_SQL_CODES = {"timeout": "timeout", "cancelled": "conflict", "refused": "denied", "invalid": "usage"}
"""Error codes for a query's `QueryProblem`."""
