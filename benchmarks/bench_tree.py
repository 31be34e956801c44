"""How long does a client wait for the tree while it is large and in trouble? Target: 50 ms at the 99th percentile.

A node's control server over 5,000 pool actors under 50 supervisors, with everything that a node runs on each event
(the newest events, the count of restarts, the history's feed; the recorder, another process in a node, stores at once).
A client in a process of its own asks it again and again, one call after another. An *answer* is a whole call: the
request written, the node's work, the bytes back over the socket, and those read into views (`TreeView`), as `actorctl`
has them before it draws. Measured for `tree` of everything and of one supervisor, while nothing happens and while 100
of the actors are crashed ten times a second and restarted at once; every call counts but the first five.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from measuring import percentile, save, say

from actors.core.actor import Actor
from actors.core.outcomes import Incarnation
from actors.core.system import ActorSystem
from actors.history.feed import HistoryFeed
from actors.history.protocol import Outcome, Stored
from actors.history.rows import NodeRun
from actors.messages import Message, on
from supervisors.children import LocalLauncher
from supervisors.node.access import Access
from supervisors.node.desired import DesiredState
from supervisors.node.desk import PERMISSIONS, ControlDesk
from supervisors.node.facts import NodeFacts
from supervisors.node.lifecycle import SWITCH_INTERVAL
from supervisors.node.operations import Operations
from supervisors.node.recent import RecentEvents
from supervisors.specs import ChildSpec, LocalStart, SupervisorSpec
from supervisors.supervisor import Services, Subtree
from supervisors.views import TreeView
from transport.control.client import ControlClient
from transport.control.server import ControlServer
from transport.endpoints import ipc_endpoint
from transport.reactor import Reactor

SUPERVISORS, CHILDREN, CRASHING, ASKS = 50, 100, 100, 200


class Crash(Message[None], frozen=True):
    """Ask the actor to crash."""


class Quiet(Actor):
    """Does nothing until it is told to crash."""

    @on(Crash)
    def crash(self, _message: Crash) -> None:
        raise ValueError("crashed")


def main() -> None:
    """Measure and report."""
    logging.disable(logging.CRITICAL)
    sys.setswitchinterval(SWITCH_INTERVAL)  # as a node runs
    run = Path(tempfile.mkdtemp(prefix="bench-tree-")) / "run"
    run.mkdir()
    system = ActorSystem("bench")
    services = Services(system, {"pool": LocalLauncher(system, "pool")})
    facts = NodeFacts(
        name="bench", version="0", home=run.parent, epoch=1, system=system, services=services, config_rows=(),
        config_file="", ask_shutdown=lambda drain: drain or 0.0,
    )  # fmt: skip
    recent = RecentEvents()
    system.bus.subscribe(recent.keep)
    system.bus.subscribe(facts.restarts.take, facts.restarts.kinds)
    feed = HistoryFeed(
        system.bus,
        lambda batch: feed.stored(Stored(batch.source, batch.batch, Outcome.STORED)),
        run=NodeRun("bench", 1, os.getpid(), "0", 0.0),
        home=None,
    )
    feed.start()
    reactor = Reactor("bench")
    operations = Operations(services, DesiredState(run / "desired.json", services.holds))
    desk = ControlDesk(facts, recent, operations, Access(run))
    server = ControlServer(reactor, ipc_endpoint(run, "control"), desk.handle, permissions=PERMISSIONS)
    family = tuple(ChildSpec(f"a{n}", LocalStart(Quiet)) for n in range(CHILDREN))
    children = tuple(
        ChildSpec(f"s{n}", SupervisorSpec(intensity=10**6, period=1.0, children=family)) for n in range(SUPERVISORS)
    )
    ready = threading.Event()
    Subtree(lambda _outcome: ready.set()).run(SupervisorSpec(children=children), "/", services, Incarnation())
    assert ready.wait(60)
    gc.collect()
    gc.freeze()  # as a node does when its tree is up
    crashes = [0]
    crashing = threading.Event()

    def shoot() -> None:
        refs = [system.ref(f"/s{n % SUPERVISORS}/a{n // SUPERVISORS}") for n in range(CRASHING)]
        while crashing.is_set():
            for ref in refs:
                ref.tell(Crash())
                crashes[0] += 1
            time.sleep(0.1)

    result: dict[str, Any] = {"actors": SUPERVISORS * CHILDREN, "asks": ASKS}
    # A client of its own process, so that its decoding does not share the node's interpreter.
    for name in ("quiet", "crash loop"):
        if name == "crash loop":
            crashing.set()
            threading.Thread(target=shoot, daemon=True).start()
        before, since = crashes[0], time.monotonic()
        whole = _ask_from_outside(server.endpoint, "/")
        page = _ask_from_outside(server.endpoint, "/s7")
        rate = (crashes[0] - before) / (time.monotonic() - since)
        result[name] = {"whole_ms": whole, "page_ms": page, "crashes_per_s": rate}
        say(
            f"{name:<11} whole tree p50 {whole['p50']:6.1f}  p99 {whole['p99']:6.1f} ms   one supervisor "
            f"p50 {page['p50']:5.1f}  p99 {page['p99']:5.1f} ms   ({rate:.0f} crashes/s)"
        )
    crashing.clear()
    save("tree", result)
    os._exit(0)


def _ask_from_outside(endpoint: str, path: str) -> dict[str, float]:
    reader, writer = os.pipe()
    pid = (
        os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, __file__, "ask", endpoint, path, str(writer)])
        if (os.set_inheritable(writer, True) is None)
        else 0
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        p50, p99 = (float(word) for word in file.read().split())
    os.waitpid(pid, 0)
    return {"p50": p50, "p99": p99}


def ask(endpoint: str, path: str, out: int) -> None:
    """The client process: ask again and again, write p50 and p99 in milliseconds."""
    times = []
    with ControlClient(endpoint) as client:
        for number in range(ASKS + 5):
            since = time.perf_counter()
            client.call("tree", {"path": path}, timeout=30.0, answer=TreeView)
            if number >= 5:
                times.append((time.perf_counter() - since) * 1000)
    os.write(out, f"{percentile(times, 0.5)} {percentile(times, 0.99)}".encode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        ask(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
