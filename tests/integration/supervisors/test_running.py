"""A tree inside a program: OTP's management calls over real actors and a real process."""

from __future__ import annotations

from typing import Any

import pytest
from support.waiting import until

from actors import Actor, ActorExitedError, ExitKind, Ignore, Message, on
from supervisors.api import supervisor
from supervisors.errors import ChildConflictError, ChildNotFoundError, ChildStartError, SpecError
from supervisors.running import RunningTree, TreeStartError, start_tree
from supervisors.specs import ChildSpec, ImportStart, LocalStart, Restart, Strategy, SupervisorSpec


class Name(Message[str], frozen=True):
    pass


class Worker(Actor):
    def __init__(self, label: str = "") -> None:
        super().__init__()
        self.label = label

    @on(Name)
    def name(self, message: Name) -> str:
        return f"{self.path} {self.label}".strip()


class Crash(Message[None], frozen=True):
    pass


class Fragile(Worker):
    @on(Crash)
    def crash(self, message: Crash) -> None:
        raise ValueError("crashed")


class Broken(Actor):
    def on_start(self) -> None:
        raise OSError("no such device")


class Unconfigured(Actor):
    def on_start(self) -> Ignore:
        return Ignore("not configured: set it")


def child(id: str, make: type[Actor] = Worker, **options: object) -> ChildSpec:
    return ChildSpec(id, LocalStart(make), **options)  # type: ignore[arg-type]


def ids(tree: RunningTree, path: str = "/") -> list[str]:
    return [found.id for found in tree.which_children(path)]


def test_children_are_started_terminated_restarted_and_deleted_by_hand() -> None:
    with start_tree(SupervisorSpec(children=(child("a"),))) as tree:
        tree.start_child("/", child("b"))
        assert tree.ref("/b").ask(Name(), timeout=60) == "/b"
        assert ids(tree) == ["b", "a"]

        with pytest.raises(ChildConflictError, match="b"):
            tree.start_child("/", child("b"))
        with pytest.raises(ChildConflictError):
            tree.delete_child("/b")
        tree.terminate_child("/b")
        assert not tree.ref("/b").is_alive()
        assert tree.count_children().active == 1
        tree.terminate_child("/b")
        tree.restart_child("/b")
        assert tree.ref("/b").ask(Name(), timeout=60) == "/b"
        tree.terminate_child("/b")
        tree.delete_child("/b")

        assert ids(tree) == ["a"]
        with pytest.raises(ChildNotFoundError):
            tree.restart_child("/b")


def test_a_child_that_fails_to_start_by_hand_is_not_kept() -> None:
    with start_tree(SupervisorSpec()) as tree:
        with pytest.raises(ChildStartError, match="no such device") as caught:
            tree.start_child("/", child("broken", Broken))

        assert caught.value.reason.kind is ExitKind.CRASHED
        assert ids(tree) == []


def test_a_child_that_ignores_its_start_is_kept_unless_temporary() -> None:
    with start_tree(SupervisorSpec()) as tree:
        tree.start_child("/", child("kept", Unconfigured))
        tree.start_child("/", child("gone", Unconfigured, restart=Restart.TEMPORARY))

        assert ids(tree) == ["kept"]
        assert tree.count_children().active == 0


def test_a_dynamic_supervisor_spawns_children_with_arguments_of_their_own() -> None:
    template = child("worker")
    spec = SupervisorSpec(
        children=(ChildSpec("pool", SupervisorSpec(Strategy.SIMPLE_ONE_FOR_ONE, children=(template,))),)
    )

    with start_tree(spec) as tree:
        first = tree.spawn_child("/pool", "one").id
        second = tree.spawn_child("/pool", label="two").id

        assert tree.ref(f"/pool/{first}").ask(Name(), timeout=60) == f"/pool/{first} one"
        assert tree.ref(f"/pool/{second}").ask(Name(), timeout=60) == f"/pool/{second} two"
        assert tree.count_children("/pool").active == 2


def test_a_tree_that_does_not_start_names_the_child_and_leaves_nothing_running() -> None:
    with pytest.raises(TreeStartError, match="no such device") as caught:
        start_tree(SupervisorSpec(children=(child("a"), child("broken", Broken))))

    assert caught.value.reason.chain()[-1].path == "/broken"


def test_a_faulty_spec_is_refused_before_anything_starts() -> None:
    with pytest.raises(SpecError, match="a"):
        start_tree(SupervisorSpec(children=(child("a"), child("a"))))


def test_a_process_child_answers_like_any_other() -> None:
    spec = ChildSpec("p", ImportStart("actors.jobs.running:JobProcess"), runs_in="process")

    with start_tree(SupervisorSpec(children=(spec,))) as tree:
        node = next(node for node in tree.nodes() if node.path == "/p")
        assert node.pid != tree.services.pid
        assert tree.ref("/p").is_alive()


def test_a_child_whose_supervisor_gave_up_is_stopped_and_not_restarting() -> None:
    above = SupervisorSpec(children=(child("a", Fragile),), intensity=1, period=600.0)
    with start_tree(above) as tree:
        fragile = tree.ref("/a")
        for generation in (1, 2):
            until(lambda generation=generation: fragile.generation == generation)
            with pytest.raises(ValueError, match="crashed"):
                fragile.ask(Crash(), timeout=60)
        assert tree.wait_end(60)

        with pytest.raises(ActorExitedError, match="/a is stopped"):
            fragile.ask(Name(), timeout=60)


@pytest.mark.parametrize(
    "spec", ["nonsense", None, Worker, SupervisorSpec()], ids=["text", "none", "class", "supervisor"]
)
def test_what_is_no_spec_is_refused_and_the_tree_lives_on(spec: Any) -> None:
    with start_tree(SupervisorSpec(children=(child("a"),))) as tree:
        with pytest.raises(TypeError, match=r"spec is what supervisors\.api\.child"):
            tree.start_child("/", spec)
        with pytest.raises(TypeError, match="spec is a SupervisorSpec"):
            tree.reconfigure("/", child("b"))  # type: ignore[arg-type]

        assert tree.ref("/a").ask(Name(), timeout=60) == "/a"


def test_a_tree_is_a_supervisor_spec_or_what_the_api_makes_and_nothing_else() -> None:
    with start_tree(supervisor("/", children=[child("a")])) as tree:
        assert [node.path for node in tree.nodes()] == ["/", "/a"]
    with pytest.raises(TypeError, match="spec is a SupervisorSpec"):
        start_tree(child("a"))
    with pytest.raises(TypeError, match="spec is a SupervisorSpec"):
        start_tree("/")  # type: ignore[arg-type]
