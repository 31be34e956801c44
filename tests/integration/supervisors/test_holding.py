"""Messages for a child that is being restarted: refused, or held in order for the next instance."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from support.process_actors import Add, AskOther, Fail, Get
from support.subtrees import TIMEOUT, Watched, apart, running, worker
from support.waiting import until

from actors import ActorExitedError, AskTimeoutError, MailboxFullError
from actors.events import ActorStateChanged, DeadLettered, RestartScheduled
from actors.policies.backoff import Backoff
from supervisors.branches import post_call
from supervisors.core import StartStopped
from supervisors.specs import Budget, ChildSpec

SLOW = Backoff(first=600.0, max=600.0, jitter=0.0)
"""The child stays in `restarting` until it is started by hand."""


def held(id: str = "one", **options: object) -> ChildSpec:
    return worker(id, when_down="hold", backoff=SLOW, **options)


def crash(tree: Watched, path: str = "/one") -> None:
    """End the actor and wait until its restart is waited for."""
    with pytest.raises(ValueError, match="boom"):
        tree.ask(path, Fail("boom"))
    tree.wait_event(RestartScheduled, path)


def start(tree: Watched, path: str) -> None:
    """Cut the wait for the restart short, as `actorctl start` does."""
    answers: list[object] = []
    parent, _, id = path.rpartition("/")
    assert post_call(tree.tree.services, parent or "/", StartStopped(request=0, now=0.0, id=id), answers.append)
    until(lambda: answers, TIMEOUT)


def letters(tree: Watched) -> list[tuple[object, str]]:
    return [(letter.message, letter.why) for letter in tree.tree.system.dead_letters.recent()]


@pytest.mark.parametrize("placement", ["pool", "thread", "process"])
def test_held_messages_reach_the_next_instance_in_order(placement: str) -> None:
    with running(held(runs_in=placement)) as tree:
        crash(tree)
        ref = tree.tree.ref("/one")
        for number in range(1, 50):
            ref.tell(Add(number))
        asked = ref.ask(Add(1000), block=False, timeout=TIMEOUT)
        ref.tell(Add(50))
        assert not asked.done

        start(tree, "/one")

        assert asked.get(timeout=TIMEOUT) == sum(range(1, 50)) + 1000
        assert tree.ask("/one", Get()) == [*range(1, 50), 1000, 50]
        assert letters(tree) == []


def test_refused_messages_are_dead_letters_and_asks_fail_at_once() -> None:
    with running(worker("one", backoff=SLOW)) as tree:
        crash(tree)
        tree.tree.ref("/one").tell(Add(1))
        with pytest.raises(ActorExitedError, match="restarting"):
            tree.ask("/one", Add(2))
        assert letters(tree) == [(Add(1), "restarting")]


def test_more_than_may_be_held_is_refused() -> None:
    with running(held(held_max=2)) as tree:
        crash(tree)
        ref = tree.tree.ref("/one")
        for number in (1, 2, 3):
            ref.tell(Add(number))
        with pytest.raises(MailboxFullError):
            ref.ask(Add(4), timeout=TIMEOUT)
        assert letters(tree) == [(Add(3), "too many held")]
        start(tree, "/one")
        assert tree.ask("/one", Get()) == [1, 2]


def test_an_ask_whose_time_is_over_is_not_handled() -> None:
    with running(held()) as tree:
        crash(tree)
        with pytest.raises(AskTimeoutError):
            tree.tree.ref("/one").ask(Add(1), timeout=0.01)
        start(tree, "/one")
        assert tree.ask("/one", Get()) == []
        assert letters(tree) == [(Add(1), "deadline passed")]


STOPS: dict[str, tuple[Callable[[Watched], object], str]] = {
    "stopped": (lambda tree: tree.tree.terminate_child("/one"), "stopped"),
    "its supervisor ended": (lambda tree: tree.tree.stop(), ""),
}


@pytest.mark.parametrize("how", STOPS)
def test_held_messages_are_refused_when_the_child_will_not_come_back(how: str) -> None:
    stop, why = STOPS[how]
    with running(held()) as tree:
        crash(tree)
        ref = tree.tree.ref("/one")
        ref.tell(Add(1))
        asked = ref.ask(Add(2), block=False, timeout=TIMEOUT)

        stop(tree)

        with pytest.raises(ActorExitedError):
            asked.get(timeout=TIMEOUT)
        ((message, said),) = letters(tree)
        assert message == Add(1)
        assert why in said
        if how == "stopped":
            tree.tree.ref("/one").tell(Add(3))
            assert letters(tree)[-1] == (Add(3), "stopped")


def test_held_messages_are_refused_when_the_child_gives_up() -> None:
    fragile = worker("one", when_down="hold", budget=Budget(0, 60.0))
    with running(fragile) as tree:
        with pytest.raises(ValueError, match="boom"):
            tree.ask("/one", Fail("boom"))
        tree.wait_event(ActorStateChanged, "/one", lambda event: event.state == "quarantined")
        tree.tree.ref("/one").tell(Add(1))
        assert letters(tree) == [(Add(1), "quarantined")]


def test_messages_for_a_subtree_process_that_is_made_anew_are_held_for_all_below() -> None:
    far = apart("far", worker("a"), apart("deep", worker("x")), when_down="hold", backoff=SLOW)
    with running(far) as tree:
        tree.process("/far").send_signal(signal.SIGKILL)
        tree.wait_event(RestartScheduled, "/far")
        for number in (1, 2, 3):
            tree.tree.ref("/far/deep/x").tell(Add(number))
        tree.tree.ref("/far/nobody").tell(Add(9))
        asked = tree.tree.ref("/far/a").ask(Add(5), block=False, timeout=TIMEOUT)

        start(tree, "/far")

        assert asked.get(timeout=TIMEOUT) == 5
        assert tree.ask("/far/deep/x", Get()) == [1, 2, 3]
        assert tree.wait_event(DeadLettered, "/far/nobody").message_type == "Add"


def test_messages_from_another_process_are_held_too() -> None:
    with running(held(), apart("far", worker("a"))) as tree:
        crash(tree)
        asked = tree.tree.ref("/far/a").ask(AskOther("/one", 7), block=False, timeout=TIMEOUT)
        until(lambda: tree.tree.ref("/one").statistics().depth == 1, TIMEOUT)
        start(tree, "/one")
        assert asked.get(timeout=TIMEOUT) == 7
