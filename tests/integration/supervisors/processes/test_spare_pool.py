"""The pool of spares as a node: it shows what is in it, and ends and begins with its actor."""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.launching import Launching, launching
from support.process_actors import Add
from support.processes import TIMEOUT, instance, is_alive, wait_gone
from support.subtrees import apart, running, worker
from support.waiting import until

from actors import Exited, Incarnation, Outcome, Started
from actors.addresses import name_of
from actors.events import SpareChanged
from actors.exits import SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.children import ChildHandle, LaunchRequest, LocalLauncher
from supervisors.node.sparepool import POOL
from supervisors.processes import sparing
from supervisors.processes.marks import marked
from supervisors.processes.pool import PoolBranch, PoolLauncher
from supervisors.processes.sparing import Rules
from supervisors.specs import ChildSpec, ChildType, ImportStart
from supervisors.trunk import BranchTable
from supervisors.views import NodeState, NodeView

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the nursery is Linux's"),
    pytest.mark.usefixtures("unhurried"),
]


class Watching:
    """A launcher with the events of its spares."""

    def __init__(self, host: Launching) -> None:
        self.host = host
        self.events: queue.Queue[SpareChanged] = queue.Queue()
        host.system.bus.subscribe(lambda _number, event: self.events.put(event), (SpareChanged,))

    def start(self, target: str = "Counter", **options: Any) -> Any:
        return self.host.start(target, **{"spares": 1, **options})

    def event(self, state: str) -> SpareChanged:
        """Wait for the next event of that state."""
        while True:
            event = self.events.get(timeout=TIMEOUT)
            if event.state == state:
                return event

    def wait_ready(self) -> int:
        """Wait for a spare that waits; return its process."""
        until(lambda: self.host.launcher.spare_figures().waiting)
        return next(s.process.pid for found in self.host.launcher.spares._waiting.values() for s in found)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with launching(tmp_path / "run") as host:
        yield Watching(host)
        mark = host.launcher.mark
    assert marked(mark) == []


class Kept:
    """The actor that keeps the pool of a launcher, and the tree it is shown in."""

    def __init__(self, host: Launching) -> None:
        self.trunk = BranchTable({})
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self._launcher = PoolLauncher(LocalLauncher(host.system, "pool"), host.launcher.spares, self.trunk)

    def start(self) -> ChildHandle:
        spec = ChildSpec("spares", ImportStart(POOL), type=ChildType.SUPERVISOR)
        handle = self._launcher.launch(LaunchRequest("/sys/spares", spec, Incarnation()), self.outcomes.put)
        assert isinstance(self.outcomes.get(timeout=TIMEOUT), Started)
        return handle

    def nodes(self) -> dict[str, NodeView]:
        branch: PoolBranch = self.trunk.branches["/sys/spares"]
        return {name_of(view.path): view for view in branch.nodes("/sys/spares", None)}

    def wait_ready(self, *names: str) -> dict[str, NodeView]:
        """Wait until the processes `names` are ready; return all nodes."""
        until(lambda: all(name in self.nodes() and self.nodes()[name].state is NodeState.READY for name in names))
        return self.nodes()


COUNTER = "Counter-1"


def test_the_pool_shows_its_nursery_and_each_spare_with_memory_and_restarts(watching):
    kept = Kept(watching.host)
    kept.start()
    watching.start().started()
    before = kept.wait_ready("nursery", COUNTER)
    os.kill(before[COUNTER].pid, signal.SIGKILL)
    watching.event("lost")
    until(lambda: kept.nodes()[COUNTER].generation == 2 and kept.nodes()[COUNTER].state is NodeState.READY)
    os.kill(before["nursery"].pid, signal.SIGKILL)
    until(lambda: kept.nodes()["nursery"].restarts == 1)
    after = kept.wait_ready("nursery", COUNTER)

    assert before["nursery"].restarts == before[COUNTER].restarts == 0
    assert before["nursery"].memory_bytes > 0
    assert before[COUNTER].memory_bytes > 0
    assert (after[COUNTER].restarts, after[COUNTER].last_reason) == (1, "it ended")
    assert after[COUNTER].pid != before[COUNTER].pid
    assert after["nursery"].pid not in (None, before["nursery"].pid)
    said, below, counts = kept.trunk.branches["/sys/spares"].top(None)
    assert (len(below), counts) == (2, (2, 2))
    assert said.memory_bytes == sum(view.memory_bytes for view in below)
    assert kept.trunk.branches["/sys/spares"].record(f"/sys/spares/{COUNTER}").spec.start.endswith(":Counter")


def test_the_pool_ends_with_its_actor_and_the_next_one_begins_anew(watching):
    kept = Kept(watching.host)
    handle = kept.start()
    child = watching.start()
    ref = child.started()
    before = kept.wait_ready("nursery", COUNTER)
    processes = [instance(view.pid) for view in before.values()]

    handle.stop(SHUTDOWN)
    assert isinstance(kept.outcomes.get(timeout=TIMEOUT), Exited)
    until(lambda: not any(map(is_alive, processes)))
    assert ref.ask(Add(2), timeout=TIMEOUT) == 2
    assert kept.trunk.branches == {}
    assert watching.host.launcher.spare_figures().waiting == 0
    kept.start()
    after = kept.wait_ready("nursery", COUNTER)

    assert {view.pid for view in after.values()}.isdisjoint(view.pid for view in before.values())
    assert watching.host.launcher.spare_figures().lost == 0


def test_what_breaks_the_pool_is_a_crash_of_its_actor_and_the_next_one_has_spares(watching, monkeypatch):
    kept = Kept(watching.host)
    kept.start()
    watching.start().started()
    before = kept.wait_ready("nursery", COUNTER)
    nursery = instance(before["nursery"].pid)
    step = sparing.step

    def breaks(*_arguments: Any) -> Any:
        monkeypatch.setattr(sparing, "step", step)
        raise RuntimeError("planted")

    monkeypatch.setattr(sparing, "step", breaks)
    os.kill(before[COUNTER].pid, signal.SIGKILL)
    outcome = kept.outcomes.get(timeout=TIMEOUT)
    kept.start()
    after = kept.wait_ready("nursery", COUNTER)

    assert isinstance(outcome, Exited)
    assert "planted" in str(outcome.reason)
    assert after["nursery"].pid != before["nursery"].pid
    assert wait_gone(nursery) == []


def test_a_pool_that_nobody_keeps_begins_anew_by_itself_after_it_broke(watching, monkeypatch):
    watching.start().started()
    spare = watching.wait_ready()
    step = sparing.step

    def breaks(*_arguments: Any) -> Any:
        monkeypatch.setattr(sparing, "step", step)
        raise RuntimeError("planted")

    monkeypatch.setattr(sparing, "step", breaks)
    os.kill(spare, signal.SIGKILL)

    assert watching.event("lost").pid == spare
    assert watching.event("ready").pid != spare


def test_a_place_without_a_spare_says_why(tmp_path):
    with launching(tmp_path / "run", spares=Rules(count_max=1, backoff=Backoff(3600.0, 1.0, 3600.0))) as host:
        watching, kept = Watching(host), Kept(host)
        kept.start()
        watching.start("Counter", spares=2).started()
        full = kept.wait_ready(COUNTER)
        os.kill(full[COUNTER].pid, signal.SIGKILL)
        until(lambda: kept.nodes()[COUNTER].state is NodeState.RESTARTING)
        lost = kept.nodes()[COUNTER]

        assert full["Counter-2"].state is NodeState.WAITING
        assert full["Counter-2"].why == "no room: 1 spares in all are the most"
        assert (lost.last_reason, lost.restarts) == ("it ended", 1)
        assert lost.next_in > 600.0


def test_a_subtree_whose_process_was_killed_is_replaced_by_a_spare(tmp_path):
    with running(apart("far", worker("a"), worker("b"), spares=1)) as tree:
        launcher = tree.tree.services.launchers["process"]
        until(lambda: launcher.spare_figures().waiting == 1)
        before = tree.node("/far")
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: tree.node("/far").generation == 2 and is_ready(tree.nodes().get("/far/b")))

        assert launcher.spare_figures("/far").origin == "spare"
        assert tree.ask("/far/a", Add(2)) == 2
        until(lambda: launcher.spare_figures().waiting == 1)
        assert launcher.spare_figures().used == 1


def is_ready(node: NodeView | None) -> bool:
    return node is not None and node.state is NodeState.READY
