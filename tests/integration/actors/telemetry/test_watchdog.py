"""The watchdog sees actors that are really stuck, on threads and while awaiting, and asks for restarts."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support.working import Stage

from actors import Actor, Message, on
from actors.events import ActorStateChanged
from actors.telemetry.watchdog import Watchdog

PATH = "/sys/watchdog"


class Hang(Message[None], frozen=True):
    pass


class Ping(Message[str], frozen=True):
    pass


class Blocked(Actor):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    @on(Hang)
    def hang(self, _: Hang) -> None:
        self._gate.wait(100)

    @on(Ping)
    def ping(self, _: Ping) -> str:
        return "pong"


class Awaiting(Actor):
    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self._gate = gate

    @on(Hang)
    async def hang(self, _: Hang) -> None:
        while not self._gate.is_set():
            await asyncio.sleep(0.01)


@pytest.fixture
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.parametrize(("kind", "placement"), [(Blocked, "thread"), (Blocked, "pool"), (Awaiting, "thread")])
def test_a_stuck_actor_is_told_of_until_it_gets_free(stage, gate, kind, placement):
    stuck = stage.start("/a", kind, gate=gate, placement=placement)
    stage.start(PATH, Watchdog, every=0.05, stuck_after=0.2)
    stuck.tell(Hang())

    event = stage.event(ActorStateChanged, path="/a", state="stuck")

    assert event.detail.startswith("handling Hang for ")
    gate.set()
    stage.event(ActorStateChanged, path="/a", state="recovered")
    assert len(stage.found(ActorStateChanged, path="/a", state="stuck")) == 1


def test_a_growing_mailbox_is_told_of(stage, gate):
    stuck = stage.start("/a", Blocked, gate=gate)
    stage.start(PATH, Watchdog, every=0.05, stuck_after=600.0, mailbox_limit=10)
    stuck.tell(Hang())

    def growing() -> ActorStateChanged | None:
        if stuck.statistics().depth < 500:  # it grows from one look to the next, and never full
            for _ in range(20):
                stuck.tell(Ping())
        return next(iter(stage.found(ActorStateChanged, path="/a", state="growing")), None)

    assert "messages wait" in stage.wait(growing, "the growing mailbox").detail


def test_only_the_paths_it_may_restart_are_asked_for_and_once(stage, gate):
    asked = []
    for path in ("/io/a", "/agents/b"):
        stage.start(path, Blocked, gate=gate).tell(Hang())
    watchdog = stage.start(
        PATH,
        Watchdog,
        every=0.05,
        stuck_after=0.2,
        restart=["/io/*"],
        restarter=lambda path, why: asked.append((path, why)),
    )

    for path in ("/io/a", "/agents/b"):
        stage.event(ActorStateChanged, path=path, state="stuck")
    looks = watchdog.target._actor.state_view()["looks"]
    stage.wait(lambda: watchdog.target._actor.state_view()["looks"] > looks + 3 or None, "more looks")

    ((path, why),) = asked
    assert path == "/io/a"
    assert why.startswith("watchdog: stuck, handling Hang for ")


def test_paths_that_are_not_watched_are_left_alone(stage, gate):
    stage.start("/io/a", Blocked, gate=gate).tell(Hang())
    stage.start("/agents/b", Blocked, gate=gate).tell(Hang())
    stage.start(PATH, Watchdog, every=0.05, stuck_after=0.2, watch=["/agents/**"])

    stage.event(ActorStateChanged, path="/agents/b", state="stuck")

    assert stage.found(ActorStateChanged, path="/io/a") == []


def test_limits_that_are_none_fail_the_start(stage):
    assert "positive" in stage.failed(PATH, Watchdog, stuck_after=0.0).crash.message
