"""Supervisors with all their children in processes of their own: the tree is one, whichever process has its parts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from support.process_actors import Add, AskOther, Do, Fail, Get, Seen, TellOther, WatchOther
from support.processes import halt, wait_gone
from support.subtrees import TIMEOUT, Watched, apart, near, running, two_levels, worker
from support.waiting import until

from actors import ActorExitedError, AskTimeoutError, ExitKind
from actors.events import ActorExited, ActorStarted, DeadLettered, RestartScheduled
from supervisors.branches import post_call
from supervisors.core import Hold, StopChild
from supervisors.errors import ChildConflictError, ChildNotFoundError, ChildStartError, SpecError
from supervisors.running import TreeStartError, start_tree
from supervisors.specs import ChildSpec, ImportStart, LocalStart, Restart, Strategy, SupervisorSpec
from supervisors.views import NodeState


@pytest.fixture(scope="module")
def standing() -> Iterator[Watched]:
    with running(*two_levels()) as tree:
        yield tree


@pytest.fixture
def tree(standing: Watched) -> Watched:
    """A tree that tests share, of which each leaves the nodes as they were."""
    standing.forget()
    standing.wait_ready(8)
    return standing


def test_messages_find_their_actor_whichever_process_has_it(tree: Watched) -> None:
    assert tree.ask("/far/a", Add(1)) == 1
    assert tree.ask("/far/deep/y", Add(2)) == 2
    assert tree.ask("/main", AskOther("/far/deep/y", 3)) == 5
    assert tree.ask("/far/deep/y", AskOther("/main", 4)) == 4
    assert tree.ask("/far/deep/y", AskOther("/far/b", 5)) == 5
    assert tree.ask("/far/a", AskOther("/far/deep/y", 6)) == 11
    tree.ask("/far/deep/x", TellOther("/main", 7))
    until(lambda: tree.ask("/main", Get()) == [4, 7], TIMEOUT)


def test_the_tree_shows_every_process_and_what_is_in_it(tree: Watched) -> None:
    nodes = tree.wait_ready(8)

    assert list(nodes) == [
        "/", "/main", "/far", "/far/a", "/far/b", "/far/deep", "/far/deep/x", "/far/deep/y",
    ]  # fmt: skip
    pids = {path: node.pid for path, node in nodes.items()}
    assert pids["/main"] == os.getpid()
    assert pids["/far"] == pids["/far/a"] == pids["/far/b"] != os.getpid()
    assert pids["/far/deep"] == pids["/far/deep/x"] == pids["/far/deep/y"] not in (pids["/far"], os.getpid())
    assert (nodes["/far"].placement, nodes["/far/deep"].placement) == ("process", "process")
    assert (nodes["/"].ready, nodes["/far"].ready, nodes["/far/deep"].ready) == (5, 4, 2)
    assert nodes["/far"].limit is not None
    assert [node.hidden for node in tree.tree.nodes() if node.path == "/far/deep"] == [0]


def test_management_calls_reach_supervisors_of_other_processes() -> None:
    with running(*two_levels()) as tree:
        manage = tree.tree
        manage.terminate_child("/far/deep/x")
        assert tree.node("/far/deep/x").state is NodeState.STOPPED
        assert manage.restart_child("/far/deep/x").generation == 2
        assert tree.wait_state("/far/deep/x", "ready").generation == 2

        manage.start_child("/far/deep", worker("z"))
        assert list(tree.nodes())[-1] == "/far/deep/z"
        assert tree.ask("/far/deep/z", Add(9)) == 9
        manage.start_child("/far", apart("more", worker("one")))
        assert tree.ask("/far/more/one", Add(1)) == 1
        with pytest.raises(ChildConflictError):
            manage.start_child("/far/deep", worker("z"))
        with pytest.raises(ChildNotFoundError):
            manage.terminate_child("/far/deep/nobody")
        with pytest.raises(ChildNotFoundError):
            manage.terminate_child("/far/nobody/at-all")
        with pytest.raises(ChildStartError) as failed:
            manage.start_child("/far/deep", worker("w", "FailingStart"))
        assert failed.value.reason.kind is ExitKind.CRASHED
        with pytest.raises(SpecError, match="plain data"):
            manage.start_child("/far/deep", worker("w", kwargs={"start": object()}))

        manage.terminate_child("/far/deep/z")
        manage.delete_child("/far/deep/z")
        assert "/far/deep/z" not in tree.nodes()


def test_a_crash_below_is_restarted_there_and_told_once_here(tree: Watched) -> None:
    with pytest.raises(ValueError, match="boom"):
        tree.ask("/far/deep/x", Fail("boom"))

    started = tree.wait_event(ActorStarted, "/far/deep/x")
    assert started.pid == tree.node("/far/deep").pid
    (ended,) = tree.of(ActorExited, "/far/deep/x")
    assert "boom" in ended.reason.crash.traceback
    (restart,) = tree.of(RestartScheduled, "/far/deep/x")
    assert restart.supervisor == "/far/deep"
    until(lambda: tree.node("/far/deep/x").generation == started.generation, TIMEOUT)
    assert tree.node("/far/deep/x").restarts == 1
    assert tree.node("/far/deep/x").last_reason == "crashed: builtins.ValueError: boom"
    assert tree.ask("/far/deep/x", Add(1)) == 1


def test_giving_up_below_is_an_end_with_its_causes_here() -> None:
    fragile = apart("deep", worker("x", restart=Restart.PERMANENT), intensity=0)
    with running(worker("main"), apart("far", fragile, intensity=0)) as tree:
        with pytest.raises(ValueError, match="leaf"):
            tree.ask("/far/deep/x", Fail("leaf"))

        ended = tree.wait_event(ActorExited, "/far")
        assert (ended.reason.kind, ended.reason.detail) == (ExitKind.SHUTDOWN, "gave-up")
        assert [cause.path for cause in ended.reason.chain()] == ["/far/deep", "/far/deep/x"]
        assert "ValueError: leaf" in ended.reason.chain()[-1].reason.crash.traceback
        tree.wait_event(ActorStarted, "/far", lambda e: e.generation == 2)
        assert tree.ask("/far/deep/x", Add(1)) == 1


def test_a_killed_process_ends_all_below_it_and_is_made_anew() -> None:
    with running(*two_levels()) as tree:
        far, deep = tree.process("/far"), tree.process("/far/deep")
        waiting = tree.tree.ref("/far/deep/x").ask(Do("sleep"), block=False, timeout=TIMEOUT)

        far.send_signal(signal.SIGKILL)

        with pytest.raises(ActorExitedError):
            waiting.get(timeout=TIMEOUT)
        assert wait_gone(far, deep) == []
        tree.wait_event(ActorStarted, "/far", lambda e: e.generation == 2)
        (ended,) = tree.of(ActorExited, "/far")
        assert (ended.reason.kind, ended.reason.detail) == (ExitKind.KILLED, "signal SIGKILL")
        for path in ("/far/a", "/far/b", "/far/deep", "/far/deep/x", "/far/deep/y"):
            (ended,) = tree.of(ActorExited, path)
            assert (ended.reason.kind, ended.reason.detail) == (ExitKind.KILLED, "process-ended")
            assert ended.reason.chain()[0].path in ("/far", "/far/deep")
            assert not ended.expected
        tree.wait_ready(8)
        assert tree.process("/far").pid != far.pid
        assert tree.ask("/far/deep/x", Add(1)) == 1


def test_a_killed_process_in_the_middle_of_the_tree_leaves_the_others_alone() -> None:
    with running(*two_levels()) as tree:
        tree.ask("/far/a", Add(5))
        tree.process("/far/deep").send_signal(signal.SIGKILL)

        tree.wait_event(ActorStarted, "/far/deep", lambda e: e.generation == 2)
        tree.wait_ready(8)
        assert tree.ask("/far/a", Add(1)) == 6
        assert tree.of(ActorExited, "/far") == []
        assert len(tree.of(ActorExited, "/far/deep/x")) == 1


def test_a_stopped_process_is_shown_as_unknown_and_holds_up_nobody() -> None:
    with running(*two_levels()) as tree:
        deep = tree.process("/far/deep")
        halt(deep.pid)
        try:
            assert "last known: ready" in tree.wait_state("/far/deep/x", "unknown").why
            tree.wait_state("/far/a", "ready")
            tree.wait_state("/far/deep", "unknown")
            tree.wait_nodes(lambda nodes: (nodes["/far"].ready, nodes["/far"].total) == (2, 4))
            assert tree.ask("/far/a", Add(1)) == 1
        finally:
            deep.resume()
        tree.wait_ready(8)


def test_a_stop_ends_everything_in_order_and_leaves_no_socket(tmp_path) -> None:
    run = tmp_path / "run"
    with running(*two_levels(), run=run) as tree:
        processes = [tree.process("/far"), tree.process("/far/deep")]
        tree.tree.terminate_child("/far")

        assert wait_gone(*processes) == []
        order = [event.path for event in tree.events if type(event) is ActorExited]
        assert order == ["/far/deep/y", "/far/deep/x", "/far/deep", "/far/b", "/far/a", "/far"]
        assert all(e.reason.kind is ExitKind.SHUTDOWN for e in tree.events if type(e) is ActorExited)
        assert list(tree.nodes()) == ["/", "/main", "/far"]
        with pytest.raises(ActorExitedError, match="stopped"):
            tree.ask("/far/deep/x", Add(1))
        tree.tree.restart_child("/far")
        assert tree.ask("/far/deep/x", Add(1)) == 1
        tree.process("/far").send_signal(signal.SIGKILL)
        tree.wait_event(ActorStarted, "/far", lambda e: e.generation == 3)
    assert list(run.glob("*.sock")) == []


def test_a_failed_start_below_fails_the_start_of_the_tree() -> None:
    spec = SupervisorSpec(children=(apart("far", worker("a"), apart("deep", worker("x", "FailingStart"))),))
    with pytest.raises(TreeStartError, match="/far/deep/x") as failed:
        start_tree(spec)
    assert [cause.path for cause in failed.value.reason.chain()] == ["/far", "/far/deep", "/far/deep/x"]


def test_dead_letters_of_every_process_arrive_once(tree: Watched) -> None:
    tree.ask("/far/deep/x", Do("dead_letter"))
    tree.wait_event(DeadLettered, "/nowhere")
    tree.ask("/far/deep/x", TellOther("/far/deep/nobody", 1))
    tree.wait_event(DeadLettered, "/far/deep/nobody")
    assert len(tree.of(DeadLettered, "/nowhere")) == 1
    assert [letter.message for letter in tree.tree.system.dead_letters.recent(2)] == [Add(5), Add(1)]


def test_monitors_fire_for_ends_in_other_processes() -> None:
    watcher = worker("watcher", "Watcher")
    with running(watcher, *two_levels(), near("near", worker("watcher", "Watcher"))) as tree:
        for path in ("/far/deep/x", "/far/b"):
            tree.ask("/watcher", WatchOther(path))
        tree.tree.start_child("/far", worker("watcher", "Watcher"))
        tree.ask("/far/watcher", WatchOther("/far/deep/y"))
        tree.ask("/far/watcher", WatchOther("/main"))
        with pytest.raises(ValueError, match="boom"):
            tree.ask("/far/deep/x", Fail("boom"))
        until(lambda: len(tree.ask("/watcher", Seen())) == 1, TIMEOUT)
        tree.tree.terminate_child("/main")
        tree.process("/far/deep").send_signal(signal.SIGKILL)
        until(lambda: len(tree.ask("/far/watcher", Seen())) == 2, TIMEOUT)
        tree.process("/far").send_signal(signal.SIGKILL)
        until(lambda: len(tree.ask("/watcher", Seen())) == 2, TIMEOUT)

        assert [kind for _, kind, _ in tree.ask("/watcher", Seen())] == ["crashed", "killed"]


def test_links_pass_ends_between_processes_whichever_side_made_them() -> None:
    pair = (worker("linked", "Linked"), worker("counter"))
    with running(worker("near"), apart("one", *pair), apart("two", *pair)) as tree:
        tree.ask("/one/linked", WatchOther("/two/counter"))
        tree.ask("/two/linked", WatchOther("/near"))
        until(lambda: tree.ask("/near", Add(0)) == 0, TIMEOUT)
        with pytest.raises(ValueError, match="boom"):
            tree.ask("/two/counter", Fail("boom"))
        ended = tree.wait_event(ActorExited, "/one/linked")
        assert (ended.reason.kind, ended.reason.crash.message) == (ExitKind.CRASHED, "boom")

        tree.wait_event(ActorStarted, "/one/linked")
        tree.wait_event(ActorStarted, "/two/counter")
        tree.ask("/one/linked", WatchOther("/two/counter"))
        tree.process("/one").send_signal(signal.SIGKILL)
        tree.wait_event(ActorExited, "/two/counter", lambda e: "boom" not in str(e.reason))
        assert tree.of(ActorExited, "/near") == []
        tree.process("/two").send_signal(signal.SIGKILL)
        ended = tree.wait_event(ActorExited, "/near")
        assert ended.reason.kind is ExitKind.KILLED


def test_what_a_person_stopped_below_stays_stopped_when_a_process_is_made_anew() -> None:
    with running(*two_levels()) as tree:
        hold = Hold("somebody", "for good", 1.0)
        answers: list[object] = []
        request = StopChild(request=0, now=0.0, id="x", hold=hold)
        assert post_call(tree.tree.services, "/far/deep", request, answers.append)
        until(lambda: answers, TIMEOUT)
        assert (tree.node("/far/deep/x").state, tree.node("/far/deep/x").stopped_by) == (NodeState.STOPPED, "somebody")

        tree.process("/far/deep").send_signal(signal.SIGKILL)
        tree.wait_event(ActorStarted, "/far/deep")
        tree.wait_state("/far/deep/x", "stopped")
        tree.tree.services.holds["/far/deep/x"] = hold  # as whoever asked keeps it
        tree.process("/far").send_signal(signal.SIGKILL)
        tree.wait_event(ActorStarted, "/far")
        assert tree.wait_state("/far/deep/x", "stopped").stopped_why == "for good"
        assert tree.of(ActorStarted, "/far/deep/x") == []


def test_children_made_from_a_template_run_in_the_subtrees_process() -> None:
    dynamic = apart("pool", worker("task", restart=Restart.TEMPORARY), strategy=Strategy.SIMPLE_ONE_FOR_ONE)
    with running(dynamic) as tree:
        id = tree.tree.spawn_child("/pool", start=40).id
        assert tree.ask(f"/pool/{id}", Add(2)) == 42
        assert tree.node(f"/pool/{id}").pid == tree.node("/pool").pid


def test_what_cannot_cross_is_refused_before_anything_starts() -> None:
    class Inner:
        pass

    bad = apart(
        "far",
        ChildSpec("a", LocalStart(lambda: None)),
        ChildSpec("b", ImportStart("some.module:Class", {"start": {1, 2}})),
        near("near", ChildSpec("c", LocalStart(Inner))),
    )
    with pytest.raises(SpecError) as refused:
        start_tree(SupervisorSpec(children=(bad,)))

    assert [(fault.path, fault.key) for fault in refused.value.faults] == [
        ("/far/a", "start"),
        ("/far/b", "start.start"),
        ("/far/near/c", "start"),
    ]


def test_what_otp_tells_of_a_supervisor_is_told_of_one_in_another_process_too() -> None:
    with running(*two_levels()) as tree:
        below = tree.tree.which_children("/far/deep", timeout=TIMEOUT)
        counts = tree.tree.count_children("/far", timeout=TIMEOUT)
        spec = tree.tree.get_childspec("/far/deep/x", timeout=TIMEOUT)

        assert [(child.id, child.instance) for child in below] == [("y", "running"), ("x", "running")]
        assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 3, 1, 2)
        assert spec == worker("x")
        for path in ("/far/deep/none", "/far/none/x"):
            with pytest.raises(ChildNotFoundError):
                tree.tree.get_childspec(path, timeout=TIMEOUT)
        with pytest.raises(ChildNotFoundError, match="/far/deep/x"):
            tree.tree.which_children("/far/deep/x", timeout=TIMEOUT)


def test_a_supervisor_whose_process_does_not_answer_is_not_waited_for_without_end() -> None:
    with running(*two_levels()) as tree:
        process = tree.process("/far/deep")
        halt(process.pid)
        try:
            with pytest.raises(AskTimeoutError):
                tree.tree.count_children("/far/deep", timeout=0.2)
        finally:
            process.send_signal(signal.SIGCONT)

        assert tree.tree.count_children("/far/deep", timeout=TIMEOUT).active == 2
