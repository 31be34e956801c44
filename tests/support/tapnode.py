"""The parts of a node that serve taps, past events included, around a bus that a test publishes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.wire import PATIENCE, PatientClient, joined, reactor

from actors.core.system import ActorSystem
from actors.history.connecting import feed_recorder
from actors.history.feed import HistoryFeed
from actors.history.recorder import Recorder
from actors.history.rows import NodeRun
from supervisors.node.desk import PERMISSIONS
from supervisors.node.replaying import Replays
from supervisors.node.tapreaders import TapReaders
from supervisors.requests import COMMANDS, ReplayArguments, SnapshotArguments, TapReportArguments
from supervisors.views import ReportedView, TapReaderView, from_wire, to_wire
from transport.control.client import ControlClient
from transport.control.protocol import Request
from transport.control.responder import Responder
from transport.control.server import ControlServer
from transport.endpoints import ipc_endpoint
from transport.reactor import Reactor
from transport.taps import TapPublisher, TapReader

RECORDER = "/sys/recorder"


class TapNode:
    """Bus, publisher, history and control of one run of a node.

    Attributes:
        bus: What is published here goes out on the tap and into the history.
        publisher: The tap's.
        replays: Answers `replay` and `snapshot`.
        readers: Who has reported.
        reported: Set with each report.
    """

    def __init__(
        self, stack: ExitStack, loop: Reactor, run: Path, *, epoch: int = 1, is_recording: bool = True, **taps: Any
    ) -> None:
        self._stack = stack
        self.epoch = epoch
        self.system = ActorSystem("n")
        stack.callback(self.system.shutdown, PATIENCE)
        self.bus = self.system.bus
        self.feed: HistoryFeed | None = None
        if is_recording:
            self.record(run)
        options = {"node": "n", "epoch": str(epoch), "beat": 0.02, **taps}
        self.publisher = TapPublisher(loop, ipc_endpoint(run, "taps"), self.bus, **options)
        stack.callback(self.publisher.close)
        self.replays = Replays(
            node="n",
            epoch=epoch,
            head=lambda: self.bus.head,
            ask=lambda query: self.system.ref(RECORDER).ask(query, block=False, timeout=PATIENCE),
            feed=lambda: self.feed,
            snapshot=self.publisher.snapshot,
        )
        stack.callback(self.replays.close)
        self.readers = TapReaders()
        self.reported = threading.Event()
        self.server = ControlServer(loop, ipc_endpoint(run, "control"), self._handle, permissions=PERMISSIONS)
        stack.callback(self.server.close)

    def record(self, run: Path) -> None:
        """Begin to keep a history."""
        up = threading.Event()
        self.system.spawn(
            lambda: Recorder(str(run / "history.duckdb")),
            path=RECORDER,
            placement="thread",
            on_outcome=lambda _outcome: up.set(),
        )
        assert up.wait(PATIENCE)
        node_run = NodeRun("n", self.epoch, 1, "0", float(self.epoch))
        self.feed = feed_recorder(self.bus, self.system.ref(RECORDER), run=node_run, home=None)
        self._stack.callback(self.feed.close, PATIENCE)
        self.feed.start()

    def seen(self) -> tuple[TapReaderView, ...]:
        """Return the readers that report."""
        return self.readers.readers(self.system.clock.time())

    def tap(self, **options: Any) -> TapReader:
        """Return a reader of its taps, joined."""
        return joined(self.publisher.endpoint, **options)

    def client(self) -> ControlClient:
        """Return a control client."""
        return PatientClient(self.server.endpoint, caller="test")

    def _handle(self, request: Request, responder: Responder) -> None:
        arguments: Any = from_wire(request.args, COMMANDS[request.command].arguments)
        match arguments:
            case ReplayArguments():
                self.replays.replay(arguments, responder)
            case SnapshotArguments():
                self.replays.snapshot(arguments, responder)
            case TapReportArguments():
                self.readers.report(arguments, request.caller, self.bus.head, self.system.clock.time())
                self.reported.set()
                responder.reply(to_wire(ReportedView(head=self.bus.head)))
            case _:
                responder.fail("usage", f"not here: {request.command}")


@contextmanager
def tap_node(run: Path, **options: Any) -> Iterator[TapNode]:
    """Serve taps in `run` until the block ends."""
    with reactor("node") as loop, ExitStack() as stack:
        yield TapNode(stack, loop, run, **options)
