"""A node without a tree: a real control server, taps and endpoints file that answer from prepared views.

It lets the command line be tried from outside over the real wire. What a command would do to a tree it only writes
down (`requests`); its answers come from `sample_tree`, or from `answers`, which a test may replace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from msgspec import structs
from support.sample_tree import sample_header, sample_nodes

from actors.addresses import is_within
from actors.core.bus import EventBus
from actors.events import Event
from supervisors.node.tapreaders import TapReaders
from supervisors.requests import (
    COMMANDS,
    DescribeArguments,
    EventsArguments,
    SendArguments,
    SqlArguments,
    TapReportArguments,
    TargetArguments,
    TreeArguments,
    WaitArguments,
    WhyArguments,
)
from supervisors.selectors import SelectorError, find, select
from supervisors.views import (
    AnswerView,
    CauseView,
    ColumnView,
    CommandView,
    ConfigEntry,
    ConfigView,
    DescribeView,
    EventRow,
    EventsView,
    HistoryCopyView,
    HistoryPrunedView,
    HistoryView,
    JobLineView,
    JobView,
    KeysView,
    KeyView,
    LevelsView,
    LevelView,
    NodeState,
    NodeView,
    PauseView,
    PingView,
    PlanView,
    PrunedView,
    ReloadItem,
    ReloadView,
    ReportedView,
    ScheduleChangeView,
    ScheduleDetailView,
    ScheduleView,
    SentView,
    ShutdownView,
    SlotView,
    SpecView,
    SqlView,
    StatusView,
    TapReaderView,
    TapsView,
    TargetOutcome,
    TargetView,
    TreeView,
    View,
    WaitView,
    WhyView,
    from_wire,
    instant,
    to_wire,
)
from supervisors.views.work import QueueView
from transport.control.protocol import Request
from transport.control.responder import Responder
from transport.control.server import ControlServer
from transport.endpoints import (
    Endpoints,
    ipc_endpoint,
    private_directory,
    tcp_endpoint,
    write_endpoints,
)
from transport.identity import ProcessIdentity
from transport.keystore import KeyStore
from transport.reactor import Reactor
from transport.security import Gatekeeper, ServerKeys
from transport.taps import TapPublisher

Answer = Callable[[Any], View]

TRACEBACK = """\
Traceback (most recent call last):
  File "io.py", line 9, in fetch
    raise ValueError("bad port")
ValueError: bad port
"""

LEVELS = LevelsView(
    level="info",
    items=(LevelView(selector="/io/gmail", level="debug", ends_at=instant(1.8e9), author="uid 1000", why="slow"),),
)
KEYS = KeysView(items=(KeyView(name="laptop", role="viewer", public="rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"),))


class FakeNode:
    """Serves control RPC in `home` until it is closed.

    Attributes:
        home: Its home.
        nodes: The tree it shows, flat.
        requests: Every request taken, oldest first.
        answers: What answers each command; an answer may raise `RefusalError`.
        bus: What is published here goes out on the tap.
        shows_published: Whether that is among the answers to `events` too.
        before_events: Called before `events` is answered.
    """

    def __init__(self, home: Path, *, is_tcp: bool = False) -> None:
        """Serve.

        Args:
            home: Its home.
            is_tcp: On loopback ports with CURVE keys instead of sockets in the home.
        """
        self.home = home
        self.nodes: tuple[NodeView, ...] = sample_nodes()
        self.requests: list[Request] = []
        self.answers: dict[str, Answer] = {
            "ping": lambda _: PingView(name="openclaw", version="0.1.0", pid=os.getpid(), epoch="01JD8Z"),
            "status": self._status,
            "tree": self._tree,
            "describe": self._describe,
            "why": self._why,
            "events": self._events,
            "wait": self._wait,
            "sql": self._sql,
            "history-prune": lambda _: HistoryPrunedView(items=_PRUNED, used_bytes=4096),
            "history-copy": lambda a: HistoryCopyView(folder=f"/nowhere/{a.name}"),
            "taps": self._taps_view,
            "tap-report": self._tap_report,
            "config": lambda _: ConfigView(items=(ConfigEntry(key="runtime.name", value="openclaw"),)),
            "send": lambda a: SentView(path=self._at(a.path).path, message=a.message, mailbox=1),
            "ask": self._ask,
            "keys": lambda _: KEYS,
            "grant": lambda _: KEYS,
            "revoke": lambda _: KEYS,
            "shutdown": lambda _: ShutdownView(drain=30.0, workers=3),
            "reload": lambda _: ReloadView(items=(ReloadItem(path="/io/gmail", action="replace", outcome="done"),)),
            "levels": lambda _: LEVELS,
            "level": lambda _: LEVELS,
            "pause": lambda _: PauseView(state="paused", workers=3),
            "unpause": lambda _: PauseView(state="running", workers=3),
            **{
                verb: self._control(verb)
                for verb in ("start", "stop", "restart", "suspend", "resume", "reread", "kill", "reset")
            },
        }
        self.readers = TapReaders()
        self.shows_published = False
        self.before_events: list[Callable[[], object]] = []
        self._lock = Lock()
        self._published: list[EventRow] = []
        self._reactor = Reactor("fake-node")
        run = private_directory(home / "run")
        keys = None
        if is_tcp:
            store = KeyStore(run)
            keys = ServerKeys(store.ensure())
            self._reactor.authenticate(Gatekeeper(store.grants()).answer)
        control, taps = (tcp_endpoint() if is_tcp else ipc_endpoint(run, name) for name in ("control", "taps"))
        self._server = ControlServer(self._reactor, control, self._handle, keys=keys)
        self.bus = EventBus()
        self._taps = TapPublisher(self._reactor, taps, self.bus, node="openclaw", epoch="01JD8Z", keys=keys, beat=0.1)
        self.bus.subscribe(self._keep)
        self.endpoints = Endpoints(
            process=ProcessIdentity.own(),
            name="openclaw",
            version="0.1.0",
            control=self._server.endpoint,
            taps=self._taps.endpoint,
            started_at=time.time(),
            epoch="01JD8Z",
            server_key=keys.pair.public if keys is not None else "",
        )
        write_endpoints(run, self.endpoints)

    def close(self) -> None:
        """Stop serving; the endpoints file stays, as after kill -9."""
        self._taps.close()
        self._server.close()
        self._reactor.close()

    def asked(self, command: str) -> list[Request]:
        """Return the requests for `command`."""
        with self._lock:
            return [request for request in self.requests if request.command == command]

    def _handle(self, request: Request, responder: Responder) -> None:
        with self._lock:
            self.requests.append(request)
        if request.command not in COMMANDS:
            responder.fail("usage", f"no command {request.command}")
            return
        arguments = from_wire(request.args, COMMANDS[request.command].arguments)
        try:
            responder.reply(to_wire(self.answers[request.command](arguments)))
        except SelectorError as error:
            responder.fail(error.code, str(error), error.hint)
        except RefusalError as error:
            responder.fail(error.code, str(error), error.hint)

    def _keep(self, seq: int, event: Event) -> None:
        row = EventRow(
            seq=seq, at=at(event.at), topic=event.TOPIC, type=type(event).__name__, path=event.path, text="published"
        )
        with self._lock:
            self._published.append(row)

    def _at(self, path: str) -> NodeView:
        return find(self.nodes, path)

    def _tree(self, arguments: TreeArguments) -> TreeView:
        root = self._at(arguments.path)
        depth = root.path.rstrip("/").count("/") + (arguments.depth if arguments.depth is not None else 99)
        below = [node for node in self.nodes if is_within(node.path, root.path)]
        kept = [node for node in below if _depth(node) <= depth]
        shown = tuple(
            structs.replace(node, hidden=sum(is_within(n.path, node.path) and n is not node for n in below))
            if _depth(node) == depth
            else node
            for node in kept
        )
        return TreeView(header=sample_header(), nodes=shown)

    def _status(self, _: Any) -> StatusView:
        return StatusView(
            header=sample_header(),
            counts={"ready": 14, "restarting": 1, "failed": 1},
            unhealthy=tuple(select(self.nodes, ["@unhealthy"])),
            dead_letters=2,
            history=HistoryView(state="ready", path="history.duckdb", size_bytes=1_300_000_000, stored_rows=881_205),
            memory_bytes=96_000_000,
            cpu_ratio=0.021,
            threads=14,
            processes=5,
            problems=("/io/browser is restarting", "/work/task#3 failed"),
        )

    def _describe(self, arguments: DescribeArguments) -> DescribeView:
        node = self._at(arguments.path)
        children = tuple(n for n in self.nodes if n.path != node.path and _parent(n.path) == node.path)
        return DescribeView(
            node=structs.replace(node, children=children),
            spec=SpecView(
                id="gmail",
                start="actors.services.mail:MailService",
                arguments={"host": "imap.example.org", "password": "***"},
                restart="permanent",
                shutdown="10",
                runs_in="process",
                needs=("/sys",),
                mailbox_capacity=1000,
                mailbox_full="reject",
                memory_max_bytes=2 * 1024**3,
                origin="actors.toml:41",
            ),
            state={"unread": 3, "label": "INBOX"} if arguments.state else None,
            handlers=("Fetch", "Send"),
            events=self._rows()[-arguments.events :] if arguments.events else (),
        )

    def _why(self, arguments: WhyArguments) -> WhyView:
        node = self._at(arguments.path)
        return WhyView(
            node=node,
            summary=f"{node.path} ended 4 times within 5m; the next try is in 41s",
            causes=(
                CauseView(
                    path=node.path,
                    reason="crashed: builtins.ValueError: bad port",
                    kind="crashed",
                    error="builtins.ValueError",
                    message="bad port",
                    traceback=TRACEBACK,
                    at=instant(1_795_183_331.0),
                ),
            ),
            blocked_by=("/io/browser",) if node.state is NodeState.WAITING else (),
            is_sticky=node.state is NodeState.STOPPED,
            hints=(f"actorctl reset {node.path}", f"actorctl describe {node.path}"),
            events=self._rows(),
        )

    def _rows(self) -> tuple[EventRow, ...]:
        return (
            EventRow(
                seq=881_204,
                at=at(1_795_183_331.482),
                topic="actor.exit",
                type="ActorExited",
                path="/io/browser",
                severity="error",
                text="killed (memory-limit) after 2h11m",
                data={"uptime": 7860.0},
            ),
            EventRow(
                seq=881_205,
                at=at(1_795_183_331.483),
                topic="supervisor.restart",
                type="RestartScheduled",
                path="/io/browser",
                severity="warning",
                data={"supervisor": "/io", "attempt": 4, "delay": 80.0, "strategy": "one_for_one"},
            ),
        )

    def _events(self, arguments: EventsArguments) -> EventsView:
        for answer in self.before_events:
            answer()
        with self._lock:
            published = tuple(self._published) if self.shows_published else ()
        rows = [row for row in (*self._rows(), *published) if not arguments.types or row.topic in arguments.types]
        return EventsView(
            items=tuple(rows[-arguments.limit :]), head=self.bus.head, truncated=len(rows) > arguments.limit
        )

    def _control(self, verb: str) -> Answer:
        def answer(arguments: TargetArguments) -> CommandView:
            items = []
            for node in select(self.nodes, arguments.selectors):
                if arguments.dry_run:
                    plan = PlanView(stops=(node.path,), starts=(node.path,), supervisor="/io", gives_up=False)
                    items.append(TargetView(path=node.path, outcome=TargetOutcome.PLANNED, plan=plan))
                elif not arguments.wait:
                    items.append(TargetView(path=node.path, outcome=TargetOutcome.ACCEPTED))
                else:
                    items.append(TargetView(path=node.path, outcome=TargetOutcome.DONE, state=node.state, seconds=0.2))
            return CommandView(command=verb, items=tuple(items))

        return answer

    def _wait(self, arguments: WaitArguments) -> WaitView:
        nodes = select(self.nodes, arguments.selectors) if arguments.selectors else self.nodes
        word = arguments.condition.partition("=")[2]
        pending = tuple(node for node in nodes if node.state.value != word)
        seconds = arguments.timeout if pending else 0.1
        return WaitView(
            condition=arguments.condition, is_met=not pending, seconds=seconds, matched=len(nodes), pending=pending
        )

    def _ask(self, arguments: SendArguments) -> AnswerView:
        reply: Any = arguments.payload
        if arguments.message in {"FindJobs", "WaitJob"}:
            job = JobView(id="job-2", state="failed", kind="mail.send", queue="mail", attempt=3, attempts=3, why="gone")
            wanted = arguments.payload.get("selection", {}).get("states") or ["succeeded"]
            state = wanted[0] if arguments.message == "FindJobs" else "succeeded"
            reply = {"items": [structs.replace(job, state=state)]}
        elif arguments.message == "AddJobs" or arguments.message == "ChangeJobs":
            reply = {"ids": ["job-2"]}
        elif arguments.message in {"ReadLines", "GrepJobs"}:
            line = JobLineView(id="job-2", line=7, attempt=3, at=1_795_183_331.0, level="warning", text="no answer yet")
            reply = {"items": [line], "state": "failed"}
        elif arguments.message == "WhyJob":
            reply = "it is due in 3 s"
        elif arguments.message in {"ListQueues", "ChangeQueue"}:
            reply = {"items": [QueueView(name="mail", state="paused", note="the server moves", waiting=3, failed=1)]}
        elif arguments.message in {"RetryJobs", "DropJobs"}:
            reply = ["job-2"]
        elif arguments.path == "/sys/scheduler":
            reply = _SCHEDULES[arguments.message]
        else:
            self._at(arguments.path)
        return AnswerView(path=arguments.path, message=arguments.message, reply=reply)

    def _tap_report(self, arguments: TapReportArguments) -> ReportedView:
        self.readers.report(arguments, "uid 1000 pid 7", self.bus.head, time.time())
        return ReportedView(head=self.bus.head)

    def _taps_view(self, _: Any) -> TapsView:
        figures = self._taps.statistics()
        return TapsView(
            items=(
                *self.readers.readers(time.time()),
                TapReaderView(
                    reader="dashboard",
                    caller="uid 1000 pid 7",
                    joined_at=at(1_795_183_331.0),
                    reported_at=at(1_795_183_391.0),
                    mode="lossless",
                    read=120,
                    replayed=20,
                    missed=20,
                ),
            ),
            seen=figures.seen,
            published=figures.published,
            subscriptions=figures.subscriptions,
        )

    def _sql(self, arguments: SqlArguments) -> SqlView:
        return SqlView(
            columns=(ColumnView(name="path", type="VARCHAR"), ColumnView(name="restarts", type="BIGINT")),
            rows=(("/io/browser", 4), ("/io/gmail", 1))[: arguments.limit],
            is_truncated=arguments.limit < 2,
            seconds=0.006,
        )


_PRUNED = (
    PrunedView(
        table="metrics", outcome="gone", rows=7, size_bytes=999, file="sealed/metrics/day=2026-11-20/part-0-1.parquet"
    ),
    PrunedView(table="events", outcome="gone", rows=3),
)
_BACKUP = ScheduleView(
    id="backup",
    when="0 2 * * *",
    timezone="Europe/Berlin",
    tags=("maintenance",),
    next_at=1_795_222_800.0,
    state="paused",
    note="the disk is being replaced (by ada)",
    last_at=1_795_136_400.0,
    last_state="failed",
    last_why="OSError: no space left",
    runs=8,
    ends={"succeeded": 6, "failed": 1, "skipped": 1},
)
_CHANGE = ScheduleChangeView(id="backup", state="changed", run="backup@2026-11-21T07:15:00Z")
_SLOT = SlotView(
    schedule="backup", slot_at=1_795_136_400.0, state="failed", why="OSError: no space left", ended_at=1_795_136_441.0
)
_SCHEDULES: dict[str, Any] = {
    "ListSchedules": [_BACKUP, ScheduleView(id="poll", when="every 30 s", state="running")],
    "GetSchedule": ScheduleDetailView(
        view=_BACKUP, schedule={"id": "backup", "cron": "0 2 * * *", "handler": "my_jobs:backup", "jitter": 5.0}
    ),
    "PutSchedule": _CHANGE,
    "WhySchedule": ["paused: the disk is being replaced (by ada)", "the next slot is 2026-11-22T02:00:00Z"],
    "Backfill": {"runs": ["backup@2026-11-20T02:00:00Z#1"], "left_out": 2, "why": ""},
    "ListSlots": [_SLOT],
    **{
        verb: [_CHANGE]
        for verb in ("RemoveSchedules", "PauseSchedules", "ResumeSchedules", "CancelRuns", "RunSchedules")
    },
}


class RefusalError(Exception):
    """An answer of a fake node that is an error."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def at(seconds: float) -> datetime:
    """Return the instant of `seconds` since the epoch."""
    found = instant(seconds)
    assert found is not None
    return found


@contextmanager
def fake_node(home: Path, *, is_tcp: bool = False) -> Iterator[FakeNode]:
    """Serve a fake node in `home`."""
    node = FakeNode(home, is_tcp=is_tcp)
    try:
        yield node
    finally:
        node.close()


def _depth(node: NodeView) -> int:
    return node.path.rstrip("/").count("/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
