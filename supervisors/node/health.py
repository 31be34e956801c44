"""`/health` and `/metrics` over HTTP on loopback, answered on threads that no actor can hold up.

    /health   200 while the node runs and supervision works, else 503; JSON with a truth value for each component
    /live     200 while supervision works: what a prober that restarts the node should ask
    /ready    200 while the node runs and every worker is ready
    /metrics  Prometheus text

What is answered is read from what supervisors have published; nobody is asked. Whoever can reach the port can read:
paths and figures, no payloads and no secrets. It binds to loopback unless configured otherwise.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from msgspec import Struct

from actors.addresses import name_of, parent_of
from supervisors.node.facts import UP, NodeFacts
from supervisors.node.metrics import CONTENT_TYPE, exposition
from supervisors.node.ports import check_port
from supervisors.node.pulse import Pulse
from supervisors.selectors import UNHEALTHY
from supervisors.tree import count_ready, nodes
from supervisors.views import NodeView

TIMEOUT: Final = 5.0
"""Longest wait for a visitor's request, in seconds."""
VISITORS: Final = 16
"""Visitors served at a time; more are turned away."""


class Health(Struct, frozen=True):
    """How a node is.

    Attributes:
        status: `healthy`; `degraded`: it runs, and something in it does not; `down`: it does not run, or would restart
            nothing.
        state: The node's own state.
        supervised: Whether a crash would be restarted.
        watchdog_age: Seconds since every supervisor answered.
        components: For each child of the root, and for what the node itself needs, whether it is well.
    """

    status: str
    name: str
    version: str
    state: str
    supervised: bool
    watchdog_age: float
    uptime: float
    ready: int
    total: int
    components: dict[str, bool]
    problems: tuple[str, ...]

    @property
    def is_up(self) -> bool:
        """Whether it does its work."""
        return self.status != "down"


def look(facts: NodeFacts, pulse: Pulse) -> Health:
    """Return how the node is; asks nobody."""
    tree = nodes(facts.services)
    unhealthy = [node for node in tree if node.state in UNHEALTHY]
    components = {f"/{name}": True for name in _tops(tree)}
    components.update({_top_of(node): False for node in unhealthy if node.path != "/"})
    feed = facts.feed.statistics() if facts.feed is not None else None
    components["history"] = feed is None or not feed.problem
    supervised = pulse.is_supervised
    problems = [f"{node.path} is {node.state.value}: {node.last_reason or node.why}" for node in unhealthy]
    if not supervised:
        problems.insert(0, "supervision does not answer: nothing would be restarted")
    is_up = supervised and facts.state in UP
    ready, total = count_ready(facts.services)
    return Health(
        status="down" if not is_up else "healthy" if all(components.values()) else "degraded",
        name=facts.name,
        version=facts.version,
        state=facts.state,
        supervised=supervised,
        watchdog_age=round(pulse.age, 3),
        uptime=round(max(0.0, facts.system.clock.time() - facts.started_at), 3),
        ready=ready,
        total=total,
        components=components,
        problems=tuple(problems[:100]),
    )


def _tops(tree: tuple[NodeView, ...]) -> list[str]:
    return [name_of(node.path) for node in tree if parent_of(node.path) == "/"]


def _top_of(node: NodeView) -> str:
    return "/" + node.path.split("/")[1]


class HealthServer:
    """Serves the pages until it is closed; made on the main thread.

    Args:
        host: Where to listen.
        port: 0 takes a free one.
        facts: The node.
        pulse: Its pulse.

    Raises:
        PortTakenError: The port is somebody else's.
    """

    def __init__(self, host: str, port: int, facts: NodeFacts, pulse: Pulse) -> None:
        check_port("health.listen", host, port)
        places = threading.BoundedSemaphore(VISITORS)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in host else 2
            block_on_close = False

            def process_request(self, request: Any, client_address: Any) -> None:
                if places.acquire(blocking=False):
                    super().process_request(request, client_address)
                else:
                    self.shutdown_request(request)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    places.release()

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing: a visitor that went away is no news."""

        self._server = Server((host.strip("[]"), port), _handler(facts, pulse))
        bound = self._server.server_address
        self.address = f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{bound[1]}"
        """Where it listens."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the port go."""
        self._server.shutdown()
        self._thread.join(TIMEOUT)
        self._server.server_close()


def _handler(facts: NodeFacts, pulse: Pulse) -> type[BaseHTTPRequestHandler]:
    def health() -> tuple[bool, str, bytes]:
        found = look(facts, pulse)
        return found.is_up, "application/json", _json(found)

    def live() -> tuple[bool, str, bytes]:
        found = look(facts, pulse)
        return found.supervised, "application/json", _json(found)

    def ready() -> tuple[bool, str, bytes]:
        found = look(facts, pulse)
        return found.is_up and facts.state == "running" and found.ready == found.total, "application/json", _json(found)

    def metrics() -> tuple[bool, str, bytes]:
        return True, CONTENT_TYPE, exposition(facts, pulse)

    pages: dict[str, Callable[[], tuple[bool, str, bytes]]] = {
        "/health": health,
        "/live": live,
        "/ready": ready,
        "/metrics": metrics,
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT
        server_version = "actorctl"
        sys_version = ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the library's name
            page = pages.get(self.path.partition("?")[0].rstrip("/") or "/")
            if page is None:
                text = f"there is no such page; there are {', '.join(pages)}\n".encode()
                self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", text)
                return
            is_well, kind, body = page()
            self._answer(HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, kind, body)

        do_HEAD = do_GET  # noqa: N815  # the library's name

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a prober asks every few seconds."""

    return Handler


def _json(health: Health) -> bytes:
    fields = {name: getattr(health, name) for name in health.__struct_fields__}
    return json.dumps(fields, indent=2).encode() + b"\n"
