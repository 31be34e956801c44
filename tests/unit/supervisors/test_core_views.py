"""Views: the words a tree shows for each state of a supervisor and its children."""

from __future__ import annotations

import pytest
from support.supervision import World, child, crashed, supervisor

from actors.exits import NORMAL, SHUTDOWN
from actors.policies.backoff import Backoff
from supervisors.core import (
    Begin,
    Hold,
    StopChild,
    SuspendChild,
    TerminateChild,
    budget_left,
    describe,
    view_child,
    view_children,
)
from supervisors.specs import Budget, Restart, Strategy


def test_the_words_of_a_supervisor_follow_its_phases():
    world = World(supervisor(child("a"), child("b"), strategy=Strategy.ONE_FOR_ALL), obeys=False, begins=False)

    def word() -> str:
        return describe(world.state, world.now).state

    seen = [word()]
    world.feed(Begin(now=world.now))
    seen.append(word())
    world.started("a")
    world.started("b")
    seen.append(word())
    world.exited("a")
    seen.append(word())
    world.exited("b", SHUTDOWN)
    world.started("a")
    world.started("b")
    seen.append(word())
    world.stop()
    seen.append(word())
    world.exited("b", SHUTDOWN)
    world.exited("a", SHUTDOWN)
    seen.append(word())

    assert seen == ["not started", "starting", "running", "restarting", "running", "stopping", "ended"]
    assert describe(world.state, world.now).reason == SHUTDOWN


def test_a_view_of_the_supervisor_has_its_budget_and_counts():
    world = World(supervisor(child("a"), intensity=3, period=5.0))
    world.exited("a")

    view = describe(world.state, world.now)

    assert (view.path, view.strategy, view.restarts, view.intensity, view.period) == ("/s", "one_for_one", 1, 3, 5.0)
    assert view.counts.active == 1
    assert budget_left(world.state, world.now) == 2
    assert budget_left(world.state, world.now + 5.1) == 3


@pytest.mark.parametrize(
    ("happening", "word", "detail"),
    [
        ("nothing", "running", ""),
        ("suspend", "suspended", ""),
        ("finish", "finished", ""),
        ("terminate", "stopped", ""),
        ("hold", "stopped", "by ann: noisy"),
        ("hold without why", "stopped", "by ann"),
        ("crash", "restarting", ""),
        ("quarantine", "quarantined", "more restarts than its own budget allows"),
    ],
)
def test_the_word_of_a_child_says_its_state(happening: str, word: str, detail: str):
    budget = Budget(0, 5.0) if happening == "quarantine" else None
    world = World(supervisor(child("a", Restart.TRANSIENT, backoff=Backoff(first=5.0), budget=budget)))
    match happening:
        case "suspend":
            world.call(SuspendChild, "a")
        case "finish":
            world.exited("a", NORMAL)
        case "terminate":
            world.call(TerminateChild, "a")
        case "hold":
            world.call(StopChild, "a", Hold("ann", "noisy"))
        case "hold without why":
            world.call(StopChild, "a", Hold("ann"))
        case "crash" | "quarantine":
            world.exited("a", crashed())

    (view,) = view_children(world.state)

    assert (view.state, view.detail) == (word, detail)
    assert view == view_child(world.state, "a")


def test_starting_and_stopping_are_shown_with_how():
    world = World(supervisor(child("a", shutdown=1.0)), obeys=False)
    starting = view_child(world.state, "a")
    world.started("a")
    world.now += 1
    world.call(TerminateChild, "a")
    asked = view_child(world.state, "a")
    world.pass_time(1.0)
    killed = view_child(world.state, "a")

    assert starting is not None
    assert asked is not None
    assert killed is not None
    assert (starting.state, starting.since) == ("starting", 100.0)
    assert (asked.state, asked.detail) == ("stopping", "")
    assert (killed.state, killed.detail) == ("stopping", "killed")


def test_a_running_child_shows_since_when_and_its_history():
    world = World(supervisor(child("a"), intensity=9))
    world.now += 3
    reason = crashed()
    world.exited("a", reason)

    view = view_child(world.state, "a")

    assert view is not None
    assert (view.since, view.generation, view.attempt, view.restarts) == (103.0, 2, 1, 1)
    assert view.last_exit == reason
    assert view.next_at is None


def test_an_unknown_child_has_no_view():
    assert view_child(World(supervisor()).state, "a") is None
