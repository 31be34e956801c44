"""The node's side of control RPC: the handler table, from a command's arguments to its view.

`handle` is what the control server calls on the socket's thread; it only passes the work on to a few threads, so that
a large tree or a slow answer never stops the socket. Handlers that wait (`ask`, `sql`, verbs, `wait`) arm a callback.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec

from actors.errors import ActorRuntimeError
from actors.events import CommandDone
from supervisors.branches import refresh
from supervisors.node.access import Access, AccessError
from supervisors.node.asking import ask_actor, send_to_actor
from supervisors.node.explaining import explain
from supervisors.node.facts import NodeFacts
from supervisors.node.historycare import HISTORY, history_handlers
from supervisors.node.looking import kept_at, last_exit_and_needs, spec_view_at
from supervisors.node.operations import Operations
from supervisors.node.pausing import Pauses
from supervisors.node.recent import RecentEvents, find_known
from supervisors.node.reloading import Reloads
from supervisors.node.replaying import Replays
from supervisors.node.rolling import Rolling
from supervisors.node.tapreaders import TapReaders
from supervisors.node.waiting import Waiting
from supervisors.requests import (
    COMMANDS,
    ConfigArguments,
    DescribeArguments,
    EventsArguments,
    GrantArguments,
    ReloadArguments,
    ReplayArguments,
    RevokeArguments,
    SendArguments,
    ShutdownArguments,
    SnapshotArguments,
    SqlArguments,
    TapReportArguments,
    TargetArguments,
    TreeArguments,
    WaitArguments,
    WhyArguments,
)
from supervisors.selectors import STARTING, SelectorError, not_found
from supervisors.tree import count_ready, encoded, nodes, paths
from supervisors.views import (
    CommandView,
    ConfigEntry,
    ConfigView,
    DescribeView,
    HeaderView,
    PingView,
    ReportedView,
    ShutdownView,
    TapsView,
    TreeView,
    View,
    from_wire,
    instant,
    to_wire,
)
from transport.codec import join_map
from transport.control.protocol import Request
from transport.control.server import Responder
from transport.security import Peer, Role
from transport.taps import TapStatistics

logger = logging.getLogger(__name__)

THREADS = 4
"""Commands worked on at a time; more wait their turn."""

REFRESH_TIMEOUT = 0.03
"""Seconds that subtree processes have to say what their nodes are now; then what they said last is shown."""

_ADMINISTRATION = frozenset({"config", "keys", "grant", "revoke", "shutdown", "pause", "unpause", "reload", *HISTORY})

PERMISSIONS: Mapping[str, Role] = {
    name: Role.ADMIN if name in _ADMINISTRATION else Role.OPERATOR if command.is_change else Role.VIEWER
    for name, command in COMMANDS.items()
}
"""The role each command needs."""


class ControlDesk:
    """Answers control commands for one node."""

    def __init__(
        self,
        node: NodeFacts,
        recent: RecentEvents,
        operations: Operations,
        access: Access,
        replays: Replays | None = None,
        tap_figures: Callable[[], TapStatistics] | None = None,
        reloads: Reloads | None = None,
    ) -> None:
        """Answer for `node`; where it serves no taps, without `replays` and `tap_figures`, what asks for them fails.

        Likewise without `reloads` where its configuration cannot be read again.
        """
        self._reloads = reloads
        self._node = node
        self._recent = recent
        self._operations = operations
        self._access = access
        self._replays = replays
        self._tap_figures = tap_figures
        self._tap_readers = TapReaders()
        self._roll = Rolling(node).run
        self._pauses = Pauses(node, operations)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="control")
        self._handlers: dict[str, Callable[[Any, Request, Responder], View | None]] = {
            "ping": self._ping,
            "status": self._status,
            "tree": self._tree,
            "describe": self._describe,
            "why": self._why,
            "events": self._events,
            "wait": self._wait,
            "sql": self._sql,
            **history_handlers(node.system),
            "snapshot": self._snapshot,
            "replay": self._replay,
            "taps": self._taps,
            "tap-report": self._tap_report,
            "config": self._config,
            "send": self._send,
            "ask": self._ask,
            "shutdown": self._shutdown,
            "level": lambda arguments, request, _: node.leveling.take(arguments, request.caller, request.reason),
            "levels": lambda *_: node.leveling.view(),
            "reload": self._reload,
            "pause": partial(self._pause, True),
            "unpause": partial(self._pause, False),
            "keys": self._keys,
            "grant": self._grant,
            "revoke": self._revoke,
        }
        for verb in ("start", "stop", "restart", "suspend", "resume", "reread", "kill", "reset"):
            self._handlers[verb] = partial(self._operate, verb)

    def handle(self, request: Request, responder: Responder) -> None:
        """Take a command; called on the socket's thread."""
        command = COMMANDS.get(request.command)
        if command is None:
            known = ", ".join(COMMANDS)
            responder.fail("usage", f"there is no command {request.command!r}", f"commands: {known}")
            return
        try:
            self._threads.submit(self._work, command.arguments, request, responder)
        except RuntimeError:  # the desk is closed
            responder.fail("unreachable", "the node is stopping")

    def audit(self, request: Request, peer: Peer, code: str, seconds: float) -> None:
        """Put a finished command on the bus, if it is one that changes something or asks in SQL."""
        command = COMMANDS.get(request.command)
        is_query = request.command == "sql" and request.args.get("verb") != "progress"
        if command is None or command.is_change or is_query or code == "denied":
            selectors = request.args.get("selectors") or (request.args.get("path"),)
            path = selectors[0] if isinstance(selectors, (list, tuple)) and selectors else "/"
            system = self._node.system
            system.bus.publish(
                CommandDone(
                    system.clock.time(), path if isinstance(path, str) and path.startswith("/") else "/",
                    request.command, request.caller, request.reason, code, seconds, request.key,
                )
            )  # fmt: skip

    def close(self) -> None:
        """Take no further command; those in work go on."""
        if self._replays is not None:
            self._replays.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _work(self, kind: type, request: Request, responder: Responder) -> None:
        if not responder.is_open:
            return
        try:
            arguments: Any = from_wire(request.args, kind)
        except msgspec.ValidationError as error:
            responder.fail("usage", f"{request.command}: {error}", "use the actorctl of the node's own version")
            return
        try:
            view = self._handlers[request.command](arguments, request, responder)
        except (SelectorError, AccessError) as error:
            if isinstance(error, SelectorError) and error.code == "not_found" and self._node.state in STARTING:
                responder.fail("conflict", f"the node is starting: {error} yet", "actorctl wait")
            else:
                responder.fail(error.code, str(error), error.hint)
        except OSError as error:
            responder.fail("failed", f"{request.command}: {error}", "actorctl doctor")
        except ActorRuntimeError as error:
            responder.fail("failed", f"{request.command}: {error}")
        except Exception as error:
            logger.exception("the command %s failed", request.command)
            responder.fail("internal", f"{request.command}: {type(error).__name__}: {error}", "actorctl doctor")
        else:
            if view is not None:
                responder.reply(to_wire(view))

    # Reading commands.

    def _ping(self, _arguments: Any, _request: Request, _responder: Responder) -> View:
        node = self._node
        return PingView(name=node.name, version=node.version, pid=node.services.pid, epoch=str(node.epoch))

    def _header(self, ready: int, total: int) -> HeaderView:
        node = self._node
        now = node.system.clock.time()
        started = instant(node.started_at)
        assert started is not None  # made from a float
        return HeaderView(
            name=node.name,
            version=node.version,
            pid=node.services.pid,
            home=str(node.home),
            state=node.state,
            uptime=max(0.0, now - node.started_at),
            started_at=started,
            ready=ready,
            total=total,
            restarts=node.restarts.total,
            restarts_day=node.restarts.within_day(now),
            seq=node.system.bus.head,
            epoch=str(node.epoch),
        )

    def _tree(self, arguments: TreeArguments, _request: Request, responder: Responder) -> View | None:
        self._refresh()
        services = self._node.services
        found = encoded(services, arguments.path, arguments.depth)
        if found is None:
            raise not_found(arguments.path, paths(services))
        header = self._header(*count_ready(services))
        responder.reply(msgspec.Raw(join_map({"header": to_wire(header)}, "nodes", found)))  # a `TreeView`
        return None

    def _refresh(self) -> None:
        """Have subtrees in other processes say what their nodes are now; what they do not say in time is left out."""
        heard = threading.Semaphore(0)
        services = self._node.services
        until = time.monotonic() + REFRESH_TIMEOUT
        for _ in range(refresh(services, heard.release)):
            if not heard.acquire(timeout=max(0.0, until - time.monotonic())):
                return

    def _status(self, _arguments: Any, _request: Request, _responder: Responder) -> View:
        self._refresh()
        tree = nodes(self._node.services)
        header = self._header(*count_ready(self._node.services))
        return self._node.status(header, tree)

    def _describe(self, arguments: DescribeArguments, _request: Request, responder: Responder) -> View | None:
        services = self._node.services
        self._refresh()
        tree = nodes(services, arguments.path, 1)
        if not tree:
            raise not_found(arguments.path, paths(services))
        spec = spec_view_at(services, arguments.path)
        view = DescribeView(
            node=TreeView(header=self._header(0, 0), nodes=tree).nested(),
            spec=spec,
            handlers=self._node.handlers_of(arguments.path),
            spares=self._node.spares_of(arguments.path) if spec is not None and spec.spares else None,
            sending=self._node.sending_to(arguments.path),
            events=self._recent.about(arguments.path, arguments.events),
            drift=self._reloads.drift(arguments.path) if self._reloads is not None else (),
            log_level=self._node.leveling.of(arguments.path),
            kept=kept_at(self._node.system.home, arguments.path),
        )
        if not arguments.state:
            return view
        self._node.state_of(arguments.path, lambda state: _reply_with_state(responder, view, state))
        return None

    def _why(self, arguments: WhyArguments, _request: Request, _responder: Responder) -> View:
        services = self._node.services
        tree = nodes(services)
        node = find_known(tree, arguments.path, self._recent)
        reason, needs = last_exit_and_needs(services, node.path)
        return explain(node, tree, self._recent, reason=reason, needs=needs)

    def _events(self, arguments: EventsArguments, _request: Request, _responder: Responder) -> View:
        return self._recent.select(arguments, self._node.system.bus.head)

    def _wait(self, arguments: WaitArguments, _request: Request, responder: Responder) -> View | None:
        Waiting(self._node.services, arguments, lambda view: responder.reply(to_wire(view)), responder).begin()
        return None

    def _config(self, arguments: ConfigArguments, _request: Request, _responder: Responder) -> View:
        rows = [
            ConfigEntry(key=row.key, value=row.value, origin=str(row.origin))
            for row in self._node.config_rows
            if row.key.startswith(arguments.prefix)
        ]
        return ConfigView(items=tuple(rows), file=self._node.config_file)

    def _sql(self, arguments: SqlArguments, _request: Request, responder: Responder) -> View | None:
        self._node.query(arguments, responder)
        return None

    # Taps.

    def _snapshot(self, arguments: SnapshotArguments, _request: Request, responder: Responder) -> View | None:
        if self._replays is None:
            _no_taps(responder)
        else:
            self._replays.snapshot(arguments, responder)
        return None

    def _replay(self, arguments: ReplayArguments, _request: Request, responder: Responder) -> View | None:
        if self._replays is None:
            _no_taps(responder)
        else:
            self._replays.replay(arguments, responder)
        return None

    def _taps(self, _arguments: Any, _request: Request, responder: Responder) -> View | None:
        if self._tap_figures is None:
            _no_taps(responder)
            return None
        figures = self._tap_figures()
        return TapsView(
            items=self._tap_readers.readers(self._node.system.clock.time()),
            seen=figures.seen,
            published=figures.published,
            dropped=figures.dropped,
            topics=figures.topics,
            subscriptions=figures.subscriptions,
        )

    def _tap_report(self, arguments: TapReportArguments, request: Request, _responder: Responder) -> View:
        system = self._node.system
        head = system.bus.head
        self._tap_readers.report(arguments, request.caller, head, system.clock.time())
        return ReportedView(head=head)

    # Commands that change something.

    def _operate(self, verb: str, arguments: TargetArguments, request: Request, responder: Responder) -> View | None:
        def answer(view: CommandView) -> None:
            responder.reply(to_wire(view))

        run = self._roll if verb == "restart" and arguments.rolling else self._operations.run
        run(verb, arguments, request.caller, request.reason, answer)
        return None

    def _send(self, arguments: SendArguments, _request: Request, _responder: Responder) -> View:
        return send_to_actor(self._node.services, arguments)

    def _ask(self, arguments: SendArguments, _request: Request, responder: Responder) -> View | None:
        ask_actor(self._node.services, arguments, responder)
        return None

    def _keys(self, _arguments: Any, _request: Request, _responder: Responder) -> View:
        return self._access.view()

    def _grant(self, arguments: GrantArguments, _request: Request, _responder: Responder) -> View:
        return self._access.grant(arguments.name, arguments.role, arguments.public)

    def _revoke(self, arguments: RevokeArguments, _request: Request, _responder: Responder) -> View:
        return self._access.revoke(arguments.name)

    def _reload(self, arguments: ReloadArguments, request: Request, responder: Responder) -> View | None:
        if self._reloads is None:
            responder.fail("not_found", "this node has no configuration to read again")
            return None

        self._reloads.begin(request.caller, request.reason, lambda view: responder.reply(to_wire(view)), arguments)
        return None

    def _pause(self, is_pause: bool, _arguments: Any, request: Request, responder: Responder) -> View | None:
        run = self._pauses.pause if is_pause else self._pauses.resume
        run(request.caller, request.reason, lambda view: responder.reply(to_wire(view)))
        return None

    def _shutdown(self, arguments: ShutdownArguments, _request: Request, _responder: Responder) -> View:
        drain = self._node.ask_shutdown(arguments.drain)
        return ShutdownView(drain=drain, workers=count_ready(self._node.services)[0])


def _no_taps(responder: Responder) -> None:
    responder.fail("not_found", "this node serves no taps")


def _reply_with_state(responder: Responder, view: DescribeView, state: dict[str, Any] | None) -> None:
    responder.reply(to_wire(msgspec.structs.replace(view, state=state)))
