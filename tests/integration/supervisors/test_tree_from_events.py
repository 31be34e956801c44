"""The events of a running tree, folded up to an instant, say what the tree showed at that instant."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import msgspec
from support.trees import Tree, running

from actors import Actor, Message, on
from actors.policies.backoff import Backoff
from supervisors.core import events as ev
from supervisors.past.folding import fold, views
from supervisors.specs import Budget, ChildSpec, LocalStart, Restart, Strategy, SupervisorSpec
from supervisors.tree import nodes
from supervisors.views import NodeView

ROUNDS = 60
LONG = Backoff(first=1_000.0, max=1_000.0, jitter=0.0)
NOT_IN_EVENTS = ("mailbox", "handled", "failed", "dropped", "handling", "handling_for", "thread", "uptime", "next_in")


class Crash(Message[None], frozen=True):
    """Raise."""


class Worker(Actor):
    @on(Crash)
    def crash(self, _message: Crash) -> None:
        raise ValueError("asked to")


def worker(id: str, **fields: Any) -> ChildSpec:
    return ChildSpec(id, LocalStart(Worker), **fields)


def forest() -> SupervisorSpec:
    one = SupervisorSpec(
        intensity=1_000,
        children=(worker("a"), worker("b", backoff=LONG), worker("c", budget=Budget(intensity=2, period=1_000.0))),
    )
    rest = SupervisorSpec(
        Strategy.REST_FOR_ONE, intensity=3, period=1_000.0, children=(worker("a"), worker("b"), worker("c"))
    )
    all_of = SupervisorSpec(
        Strategy.ONE_FOR_ALL,
        intensity=1_000,
        children=(worker("a"), worker("b", restart=Restart.TRANSIENT), worker("c", backoff=LONG)),
    )
    many = SupervisorSpec(
        Strategy.SIMPLE_ONE_FOR_ONE, intensity=1_000, children=(worker("m", restart=Restart.TEMPORARY),)
    )
    return SupervisorSpec(
        intensity=1_000,
        children=(ChildSpec("one", one), ChildSpec("rest", rest), ChildSpec("all", all_of), ChildSpec("many", many)),
    )


class Near(float):
    """An instant that equals others close to it: an event's clock is read a moment after the tree's."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(float(self) - float(other)) < 30.0


def told(tree: tuple[NodeView, ...]) -> list[dict[str, Any]]:
    """The views as plain data, without what no event tells; instants to some seconds."""
    found = []
    for view in tree:
        plain = msgspec.structs.asdict(view)
        for name in NOT_IN_EVENTS:
            del plain[name]
        for name in ("state_at", "next_at"):
            plain[name] = Near(plain[name].timestamp()) if plain[name] is not None else None
        found.append(plain)
    return found


def happen(tree: Tree, chance: random.Random) -> None:
    """Do something to the tree: what a person does, or a crash."""
    workers = [view.path for view in nodes(tree.services) if view.kind.value == "worker"]
    path = chance.choice(workers)
    supervisor, _, id = path.rpartition("/")
    what = chance.randrange(9)
    if what <= 3:
        tree.system.ref(path).tell(Crash())
        return
    makes: dict[int, Any] = {
        4: lambda n, now, c: ev.SuspendChild(request=n, now=now, chance=c, id=id),
        5: lambda n, now, c: ev.RestartChild(request=n, now=now, chance=c, id=id, stop_first=True),
        6: lambda n, now, c: ev.StopChild(request=n, now=now, chance=c, id=id, hold=ev.Hold("ann", "a test", 5.0)),
        7: lambda n, now, c: ev.StartStopped(request=n, now=now, chance=c, id=id),
        8: lambda n, now, c: ev.SpawnChild(request=n, now=now, chance=c),
    }
    with suppress(KeyError):  # its supervisor gave up meanwhile
        tree.call("/many" if what == 8 else supervisor, makes[what])


def test_at_random_instants_of_a_tree_to_which_things_happen_the_events_say_what_it_showed():
    chance = random.Random(7)
    with running(forest()) as tree:
        tree.wait_ready()
        tree.call("/many", lambda n, now, c: ev.SpawnChild(request=n, now=now, chance=c))
        seen: list[tuple[int, float, list[dict[str, Any]]]] = []
        for _ in range(ROUNDS):
            happen(tree, chance)
            if chance.random() < 0.3:
                continue  # let the next thing happen before this one is done

            def settled() -> bool:
                count = len(tree.events)
                now = tree.system.clock.time()
                live = told(nodes(tree.services))
                if told(views(fold(tree.events[:count]), now)) != live:
                    return False
                seen.append((count, now, live))
                return True

            tree.wait(settled)

        for count, at, live in seen:
            assert told(views(fold(tree.events[:count]), at)) == live
            half = fold(tree.events[: count // 2])
            assert told(views(fold(tree.events[count // 2 : count], half), at)) == live
        assert len({tuple(node["state"] for node in live) for _, _, live in seen}) > 5
