"""The worker of the how-to, in Node.js, as a child: it gets tasks, fails one, asks for its restart, is killed."""

from __future__ import annotations

import queue
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from support.launching import launching
from support.node_programs import FOLDER
from support.processes import TIMEOUT, halt, instance, wait_gone
from support.waiting import until

from actors import ActorExitedError
from actors.core.inspection import ViewState, read_state
from actors.events import ActorExited, ActorReported, ActorStarted, Event
from actors.jobs.workers import Reload, Task
from supervisors.api import program
from supervisors.errors import SpecError
from supervisors.running import RunningTree, start_tree
from supervisors.specs import Heartbeat, SupervisorSpec
from transport.failures import RemoteError

WORKER = Path(__file__).parents[4] / "docs" / "howto" / "worker.js"


class Work:
    """A tree with the worker at `/worker`, and what it publishes."""

    def __init__(self, tree: RunningTree) -> None:
        self.tree = tree
        self.ref = tree.ref("/worker")
        self._events: queue.Queue[Event] = queue.Queue()
        tree.system.bus.subscribe(lambda _seq, event: self._events.put(event))

    def task(self, name: str, **data: Any) -> Any:
        """Have it do a task."""
        return self.ref.ask(Task(name, data), timeout=TIMEOUT)

    def next(self, kind: type[Event]) -> Any:
        """Wait for the next event of this kind."""
        while not isinstance(event := self._events.get(timeout=TIMEOUT), kind):
            pass
        return event

    def process(self) -> psutil.Process:
        """The process it runs in."""
        (found,) = (child for child in psutil.Process().children() if str(WORKER) in child.cmdline())
        return instance(found.pid)


@pytest.fixture
def spec() -> Any:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("Node.js, or its packages, are not installed: make node")
    return program(
        node,
        str(WORKER),
        id="worker",
        environment={"NODE_PATH": str(FOLDER / "node_modules")},
        speaks="actors",
        arguments={"greeting": "hello"},
        heartbeat=Heartbeat(0.2, 600),
        start_timeout=TIMEOUT,
        shutdown=TIMEOUT,
    )


@pytest.fixture
def work(spec: Any, tmp_path: Path) -> Iterator[Work]:
    with start_tree(SupervisorSpec(intensity=10, children=(spec,)), run=tmp_path / "run") as tree:
        yield Work(tree)


def test_it_answers_tasks_in_their_order_and_has_its_arguments(work: Work) -> None:
    answers = [work.ref.ask(Task("echo", {"n": n}), block=False) for n in range(2_000)]  # more than a window

    assert [answer.get(timeout=TIMEOUT)["n"] for answer in answers] == list(range(2_000))
    assert work.task("settings") == {"greeting": "hello"}


def test_a_task_that_fails_fails_its_asker_alone(work: Work) -> None:
    with pytest.raises(RemoteError, match="no disk") as caught:
        work.task("fail", why="no disk")
    with pytest.raises(RemoteError, match="no task"):
        work.task("fly")

    assert "worker.js" in str(caught.value.__cause__)
    assert work.task("echo", n=1) == {"n": 1}
    assert read_state(work.ref.ask(ViewState(), timeout=TIMEOUT))["failed"] == 2


def test_it_tells_how_far_it_is(work: Work) -> None:
    assert work.task("count", to=3) == {"counted": 3}

    reports = [work.next(ActorReported) for _ in range(3)]
    assert [(r.path, r.generation, r.status, r.state["n"]) for r in reports] == [
        ("/worker", 1, f"counted {n} of 3", n) for n in (1, 2, 3)
    ]


def test_it_takes_new_settings(work: Work) -> None:
    work.ref.ask(Reload({"greeting": "good day"}), timeout=TIMEOUT)

    assert work.task("settings") == {"greeting": "good day"}


def test_it_is_restarted_when_it_asks_for_it(work: Work) -> None:
    work.task("restart", why="leaking")

    ended = work.next(ActorExited)
    assert (ended.reason.kind.value, ended.reason.detail) == ("shutdown", "restart-requested: leaking")
    assert work.next(ActorStarted).generation == 2
    assert work.task("echo", n=2) == {"n": 2}


def test_it_comes_back_when_it_was_killed_and_the_task_in_hand_fails_at_once(work: Work) -> None:
    process = work.process()
    halt(process.pid)
    task = work.ref.ask(Task("echo"), block=False)
    process.send_signal(signal.SIGKILL)

    with pytest.raises(ActorExitedError):
        task.get(timeout=TIMEOUT)
    assert "SIGKILL" in work.next(ActorExited).reason.detail
    assert work.next(ActorStarted).generation == 2
    assert work.task("echo", n=3) == {"n": 3}


def test_it_holds_its_messages_back_while_it_is_suspended(work: Work) -> None:
    child = work.tree.system.registry.get("/worker")
    child.suspend()
    task = work.ref.ask(Task("echo", {"n": 4}), block=False)
    until(lambda: child.statistics().is_suspended and child.statistics().depth == 1, what="a beat that tells of it")
    assert not task.done

    child.resume()

    assert task.get(timeout=TIMEOUT) == {"n": 4}


def test_it_ends_in_order_when_its_tree_does(spec: Any, tmp_path: Path) -> None:
    with start_tree(SupervisorSpec(children=(spec,)), run=tmp_path / "run") as tree:
        work = Work(tree)
        process = work.process()
        tasks = [work.ref.ask(Task("echo", {"n": n}), block=False) for n in range(3)]
        assert [task.get(timeout=TIMEOUT)["n"] for task in tasks] == [0, 1, 2]

    ended = work.next(ActorExited)
    assert (ended.reason.kind.value, ended.expected) == ("shutdown", True)
    assert wait_gone(process) == []


def test_one_that_stays_silent_is_taken_for_hung_and_restarted(spec: Any, tmp_path: Path) -> None:
    restless = replace(spec, heartbeat=Heartbeat(0.2, 30))
    with start_tree(SupervisorSpec(intensity=10, children=(restless,)), run=tmp_path / "run") as tree:
        work = Work(tree)
        halt(work.process().pid)

        assert "heartbeat" in work.next(ActorExited).reason.detail
        assert work.next(ActorStarted).generation == 2


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"speaks": "esperanto"}, "speaks"),
        ({"arguments": {"a": 1}}, "arguments"),
        ({"speaks": "actors", "nice": 3}, "nice"),
        ({"speaks": "actors", "forks": True}, "forks"),
        ({"heartbeat": Heartbeat(1.0)}, "heartbeat"),
    ],
)
def test_what_a_worker_cannot_have_is_a_fault_of_its_spec(options: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError) as caught:
        start_tree(SupervisorSpec(children=(program("sh", id="w", **options),)))

    assert key in str(caught.value)


def test_over_tcp_it_proves_itself_with_the_keys_it_is_handed(spec: Any, tmp_path: Path) -> None:
    with launching(tmp_path / "run", tcp=True) as host:
        ref = host.launch(spec).started()

        assert host.launcher.endpoint.startswith("tcp://127.0.0.1:")
        assert ref.ask(Task("echo", {"n": 1}), timeout=TIMEOUT) == {"n": 1}
        assert ref.ask(Task("settings", {}), timeout=TIMEOUT) == {"greeting": "hello"}


def test_over_tcp_one_that_leaves_its_keys_out_reaches_nothing_and_its_start_fails(spec: Any, tmp_path: Path) -> None:
    keyless = tmp_path / "worker.js"
    text = WORKER.read_text(encoding="utf-8")
    assert "if (handover.server_key)" in text
    keyless.write_text(text.replace("if (handover.server_key)", "if (false)"), encoding="utf-8")
    start = replace(spec.start, command=(spec.start.command[0], str(keyless)))
    with launching(tmp_path / "run", tcp=True) as host:
        child = host.launch(replace(spec, start=start, start_timeout=5.0))

        assert child.start_failed().detail == "start-timeout"
        assert host.launcher.statistics().strangers == 0
