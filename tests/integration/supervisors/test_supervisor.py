"""The supervisor's shell over real actors: what reality adds to the rules, which are tried in the core's own tests."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
from support.trees import SHUTDOWN, TIMEOUT, running

from actors.core.actor import Actor
from actors.core.outcomes import Exited, Ignore, Started, StartFailed
from actors.errors import ActorExitedError
from actors.events import (
    ActorExited,
    ActorIgnored,
    ActorStarted,
    ActorStartFailed,
    ActorStateChanged,
    LimitReached,
    RestartScheduled,
)
from actors.exits import ExitKind
from actors.messages import Message, on
from actors.policies.backoff import Backoff
from supervisors.core import Done, Refusal
from supervisors.core import events as ev
from supervisors.specs import Budget, ChildSpec, LocalStart, Restart, Strategy, SupervisorSpec
from supervisors.supervisor import Supervisor
from supervisors.views import NodeState


class Crash(Message[None], frozen=True):
    pass


class Name(Message[str], frozen=True):
    pass


class Block(Message[None], frozen=True):
    pass


class Sleep(Message[None], frozen=True):
    pass


class Worker(Actor):
    """Answers, crashes, or blocks until its gate opens."""

    gate = threading.Event()
    inside = threading.Event()
    cancelled = threading.Event()
    finished = threading.Event()

    @on(Crash)
    def crash(self, message: Crash) -> None:
        raise ValueError("asked to crash")

    @on(Name)
    def name(self, message: Name) -> str:
        return f"{self.path}@{self.incarnation.generation}"

    @on(Block)
    def block(self, message: Block) -> None:
        self.inside.set()
        gate, finished = self.gate, self.finished
        gate.wait(TIMEOUT)
        try:
            self.system.ref("/sink").tell(Name())
        finally:
            finished.set()

    @on(Sleep)
    async def sleep(self, message: Sleep) -> None:
        self.inside.set()
        try:
            await asyncio.sleep(TIMEOUT * 10)
        finally:
            self.cancelled.set()


@pytest.fixture(autouse=True)
def _fresh_gates() -> Any:
    Worker.gate, Worker.inside, Worker.cancelled, Worker.finished = (threading.Event() for _ in range(4))
    yield
    Worker.gate.set()


def child(id: str, **options: Any) -> ChildSpec:
    return ChildSpec(id, LocalStart(options.pop("make", Worker)), **options)


def terminate_a(n: int, now: float, chance: float) -> ev.Request:
    return ev.TerminateChild(request=n, now=now, chance=chance, id="a")


def tree_of(*children: ChildSpec, **options: Any) -> SupervisorSpec:
    return SupervisorSpec(children=children, intensity=options.pop("intensity", 10), **options)


def order(tree: Any, kind: type) -> list[str]:
    return [event.path for event in tree.events if type(event) is kind]


@pytest.mark.parametrize("placement", ["pool", "thread"])
def test_children_start_in_order_with_whole_subtrees_and_stop_in_reverse(placement: Any) -> None:
    spec = tree_of(
        child("a", runs_in=placement),
        ChildSpec("sub", tree_of(child("b", runs_in=placement), child("c", runs_in=placement))),
        child("d", runs_in=placement),
    )

    with running(spec) as tree:
        tree.wait_ready()
        tree.root.stop(SHUTDOWN)
        end = tree.wait_end()

    assert isinstance(end, Exited)
    assert end.reason == SHUTDOWN
    assert order(tree, ActorStarted) == ["/a", "/sub/b", "/sub/c", "/sub", "/d"]
    assert order(tree, ActorExited) == ["/d", "/sub/c", "/sub/b", "/sub", "/a"]


@pytest.mark.parametrize("placement", ["pool", "thread"])
def test_a_crashed_child_is_restarted_and_its_path_goes_on_working(placement: Any) -> None:
    with running(tree_of(child("a", runs_in=placement))) as tree:
        tree.wait_ready()
        ref = tree.system.ref("/a")
        with pytest.raises(ValueError, match="asked to crash"):
            ref.ask(Crash(), timeout=TIMEOUT)
        tree.wait_generation("/a", 2)

        assert ref.ask(Name(), timeout=TIMEOUT) == "/a@2"
        assert tree.node("/a").state is NodeState.READY
        assert tree.node("/a").restarts == 1
        exited = tree.of(ActorExited, "/a")[0]
        assert exited.reason.crash.type_name == "builtins.ValueError"
        assert "asked to crash" in exited.reason.crash.traceback
        assert tree.of(RestartScheduled, "/a")[0].delay == 0


def test_asks_waiting_in_a_crashed_actor_are_answered_at_once() -> None:
    with running(tree_of(child("a", runs_in="thread"))) as tree:
        tree.wait_ready()
        tree.tell("/a", Block())
        assert Worker.inside.wait(TIMEOUT)
        tree.tell("/a", Crash())
        waiting = tree.system.ref("/a").ask(Name(), block=False)
        Worker.gate.set()

        with pytest.raises(ActorExitedError):
            waiting.get(timeout=TIMEOUT)


def test_one_for_all_restarts_everybody_in_order() -> None:
    spec = tree_of(child("a"), child("b"), child("c"), strategy=Strategy.ONE_FOR_ALL)

    with running(spec) as tree:
        tree.wait_ready()
        tree.tell("/b", Crash())
        tree.wait_generation("/c", 2)

    assert order(tree, ActorStarted) == ["/a", "/b", "/c", "/a", "/b", "/c"]
    assert order(tree, ActorExited)[:3] == ["/b", "/c", "/a"]


def test_a_failing_first_start_stops_what_was_started_and_says_why() -> None:
    class Broken(Actor):
        def on_start(self) -> None:
            raise RuntimeError("no network")

    with running(tree_of(child("a"), child("b", make=Broken), child("c"))) as tree:
        end = tree.wait_end()

    assert isinstance(end, StartFailed)
    leaf = end.reason.chain()[-1]
    assert (leaf.path, leaf.reason.crash.message) == ("/b", "no network")  # type: ignore[union-attr]
    assert order(tree, ActorStarted) == ["/a"]
    assert order(tree, ActorExited) == ["/a"]
    assert len(tree.of(ActorStartFailed, "/b")) == 1


def test_a_child_that_ignores_its_start_shows_what_it_needs() -> None:
    class Unconfigured(Actor):
        def on_start(self) -> Ignore:
            return Ignore("not configured: set io.gmail.host")

    with running(tree_of(child("a", make=Unconfigured), child("b"))) as tree:
        tree.wait_ready()

        node = tree.node("/a")
        assert (node.state, node.why) == (NodeState.NOT_CONFIGURED, "not configured: set io.gmail.host")
        assert tree.node("/").ready == tree.node("/").total == 1
        assert tree.of(ActorIgnored, "/a")[0].why == "not configured: set io.gmail.host"


def test_giving_up_reaches_the_root_with_the_leafs_traceback() -> None:
    spec = tree_of(ChildSpec("sub", tree_of(child("leaf"), intensity=1, period=60.0)), intensity=0, period=60.0)

    with running(spec) as tree:
        tree.wait_ready()
        tree.tell("/sub/leaf", Crash())
        tree.wait_generation("/sub/leaf", 2)
        tree.tell("/sub/leaf", Crash())
        end = tree.wait_end()

    assert isinstance(end, Exited)
    assert (end.reason.kind, end.reason.detail) == (ExitKind.SHUTDOWN, "gave-up")
    chain = end.reason.chain()
    assert [cause.path for cause in chain] == ["/sub", "/sub/leaf"]
    assert "asked to crash" in chain[-1].reason.crash.traceback  # type: ignore[union-attr]
    assert [event.path for event in tree.events if isinstance(event, LimitReached)] == ["/sub", "/"]


def test_a_hung_start_is_cut_off_at_its_deadline() -> None:
    class Hung(Actor):
        def on_start(self) -> None:
            Worker.gate.wait(TIMEOUT * 2)

    with running(tree_of(child("a", make=Hung, runs_in="thread", start_timeout=0.05))) as tree:
        end = tree.wait_end()

    assert isinstance(end, StartFailed)
    assert end.reason.chain()[0].reason.detail == "start-timeout"


def test_a_thread_that_does_not_stop_is_abandoned_and_its_late_effects_are_fenced() -> None:
    spec = tree_of(child("sink"), child("a", runs_in="thread", shutdown=0.05, restart=Restart.PERMANENT))

    with running(spec) as tree:
        tree.wait_ready()
        tree.tell("/a", Block())
        assert Worker.inside.wait(TIMEOUT)
        result = tree.call(
            "/", lambda n, now, c: ev.RestartChild(request=n, now=now, chance=c, id="a", stop_first=True)
        )
        assert isinstance(result, Done)
        Worker.gate.set()
        assert Worker.finished.wait(TIMEOUT)

        assert tree.ask("/a", Name()) == "/a@2"
        assert "abandoned" in [e.state for e in tree.of(ActorStateChanged, "/a")]
        sink = tree.system.registry.get("/sink")
        assert sink is not None
        assert (sink.statistics().handled, sink.statistics().depth) == (0, 0)


@pytest.mark.parametrize("placement", ["pool", "thread"])
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.SIMPLE_ONE_FOR_ONE])
def test_an_abandoned_start_counts_until_its_thread_has_ended_after_all(strategy: Any, placement: Any) -> None:
    class Hung(Actor):
        def on_start(self) -> None:
            Worker.gate.wait(TIMEOUT)

    spec = child("a", make=Hung, runs_in=placement, start_timeout=0.05, restart=Restart.TEMPORARY)
    is_dynamic = strategy is Strategy.SIMPLE_ONE_FOR_ONE
    sub = tree_of(*([spec] if is_dynamic else []), strategy=strategy)

    with running(tree_of(ChildSpec("sub", sub))) as tree:
        tree.wait_ready()
        if is_dynamic:
            make: Any = lambda n, now, c: ev.SpawnChild(request=n, now=now, chance=c)  # noqa: E731
        else:
            make = lambda n, now, c: ev.StartChild(request=n, now=now, chance=c, spec=spec)  # noqa: E731
        result = tree.call("/sub", make)
        assert result.code is Refusal.START_FAILED
        supervisor = tree.services.supervisors["/sub"]
        assert len(supervisor.published.ledger.abandoned) == 1

        Worker.gate.set()

        tree.wait(lambda: not supervisor.published.ledger.abandoned)
        ended = lambda: {e.path for e in list(tree.events) if getattr(e, "state", "") == "abandoned-ended"}  # noqa: E731
        (path,) = tree.wait(ended)  # it is said after the state was published
        assert path.startswith("/sub/")


def test_killing_an_awaiting_actor_cancels_its_handler() -> None:
    with running(tree_of(child("a"))) as tree:
        tree.wait_ready()
        tree.tell("/a", Sleep())
        assert Worker.inside.wait(TIMEOUT)
        result = tree.call("/", lambda n, now, c: ev.KillChild(request=n, now=now, chance=c, id="a"))

        assert isinstance(result, Done)
        assert Worker.cancelled.wait(TIMEOUT)
        tree.wait_generation("/a", 2)
        assert tree.of(ActorExited, "/a")[0].reason.kind is ExitKind.KILLED


def test_what_a_person_stopped_stays_stopped_through_a_group_restart() -> None:
    with running(tree_of(child("a"), child("b"), strategy=Strategy.ONE_FOR_ALL)) as tree:
        tree.wait_ready()
        assert isinstance(tree.hold("/", "b", "maintenance"), Done)
        tree.tell("/a", Crash())
        tree.wait_generation("/a", 2)

        node = tree.node("/b")
        assert (node.state, node.stopped_by, node.stopped_why) == (NodeState.STOPPED, "tester", "maintenance")

        tree.call("/", lambda n, now, c: ev.StartStopped(request=n, now=now, chance=c, id="b"))

        assert tree.ask("/b", Name()) == "/b@2"


def test_a_hold_survives_the_restart_of_the_supervisor_above() -> None:
    spec = tree_of(ChildSpec("sub", tree_of(child("a"), child("b"), intensity=0)))

    with running(spec) as tree:
        tree.wait_ready()
        tree.hold("/sub", "b")
        tree.tell("/sub/a", Crash())
        tree.wait_generation("/sub", 2)

        assert tree.node("/sub/b").state is NodeState.STOPPED
        assert tree.node("/sub/b").stopped_by == "tester"


def test_a_back_off_shows_its_try_and_a_stop_cancels_it() -> None:
    spec = tree_of(child("a", backoff=Backoff(first=300.0, max=300.0, jitter=0.0)))

    with running(spec) as tree:
        tree.wait_ready()
        tree.tell("/a", Crash())
        tree.wait_event(RestartScheduled, "/a")

        node = tree.node("/a")
        assert (node.state, node.attempt) == (NodeState.RESTARTING, 1)
        assert node.next_in is not None
        assert 200 < node.next_in <= 300

        tree.root.stop(SHUTDOWN)
        assert isinstance(tree.wait_end(), Exited)


def test_a_child_over_its_own_budget_is_quarantined_while_its_sibling_lives() -> None:
    with running(tree_of(child("a", budget=Budget(1, 60.0)), child("b"))) as tree:
        tree.wait_ready()
        tree.tell("/a", Crash())
        tree.wait_generation("/a", 2)
        tree.tell("/a", Crash())
        tree.wait_event(LimitReached, "/a")

        assert tree.node("/a").state is NodeState.QUARANTINED
        assert tree.ask("/b", Name()) == "/b@1"

        tree.call("/", lambda n, now, c: ev.ResetChild(request=n, now=now, chance=c, id="a"))

        assert tree.ask("/a", Name()) == "/a@3"


def test_a_supervisor_whose_own_actor_fails_takes_its_children_along_and_is_restarted() -> None:
    spec = tree_of(ChildSpec("sub", tree_of(child("a"))))

    with running(spec) as tree:
        tree.wait_ready()
        tree.services.supervisors["/sub"].actor_ref.tell_system(ev.Timer)  # no message a supervisor knows
        tree.services.supervisors["/sub"].published = None  # type: ignore[assignment]  # as a defect would leave it
        tree.tell("/sub/a", Crash())
        tree.wait_generation("/sub", 2)

        assert tree.of(ActorExited, "/sub")[0].reason.kind is ExitKind.CRASHED
        assert tree.ask("/sub/a", Name()) == "/sub/a@1"


def test_a_management_call_to_a_supervisor_that_has_ended_is_refused_at_once() -> None:
    answers: list[Any] = []
    with running(tree_of(child("a"))) as tree:
        tree.wait_ready()
        root = tree.services.supervisors["/"]
        tree.root.stop(SHUTDOWN)
        tree.wait_end()

        root.call(terminate_a, answers.append)

    assert [answer.code for answer in answers] == [Refusal.SHUTTING_DOWN]


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_every_management_call_is_answered_once_whenever_the_supervisor_ends(how: str) -> None:
    for _ in range(20):
        with running(tree_of(child("a"))) as tree:
            tree.wait_ready()
            root = tree.services.supervisors["/"]
            asking = Asking(root)
            if how == "crash":
                root.published = None  # type: ignore[assignment]  # as a defect would leave it
            tree.root.stop(SHUTDOWN)
            tree.wait_end()

            assert asking.finish() == []


class Asking:
    """Somebody who makes management calls, with a few under way at any time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._over = threading.Event()
        self._begun = threading.Event()
        self._answers: list[list[Any]] = []
        self._changed = threading.Condition()
        self._room = threading.Semaphore(8)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(TIMEOUT)

    def _run(self) -> None:
        while not self._over.is_set() and self._room.acquire(timeout=TIMEOUT):
            mine: list[Any] = []
            self._answers.append(mine)
            self._supervisor.call(terminate_a, partial(self._take, mine))
            self._begun.set()

    def _take(self, mine: list[Any], answer: Any) -> None:
        with self._changed:
            mine.append(answer)
            self._room.release()
            self._changed.notify_all()

    def finish(self) -> list[list[Any]]:
        """Stop asking; return the answers of the calls that did not get exactly one, waiting for those to come."""
        self._over.set()
        self._thread.join(TIMEOUT)
        with self._changed:
            self._changed.wait_for(lambda: all(self._answers), TIMEOUT)
        return [answers for answers in self._answers if len(answers) != 1]


def test_the_root_started_outcome_comes_once() -> None:
    with running(tree_of(child("a"))) as tree:
        tree.wait_ready()
        tree.root.stop(SHUTDOWN)
        tree.wait_end()

    assert [type(outcome) for outcome in tree.outcomes] == [Started, Exited]
