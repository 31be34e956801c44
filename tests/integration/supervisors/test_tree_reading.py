"""A running tree, read again and again: each reading says what its actors and supervisors are doing then."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
from support.trees import TIMEOUT, running
from support.waiting import until

from actors import Actor, Message, on
from actors.events import ActorStateChanged
from supervisors.specs import ChildSpec, LocalStart, SupervisorSpec
from supervisors.tree import encoded, nodes
from supervisors.views import NodeState, NodeView


class Note(Message[None], frozen=True):
    """Nothing to do."""


class Crash(Message[None], frozen=True):
    """Raise."""


class Block(Message[None], frozen=True, local=True):
    """Wait for `until`, after setting `entered`."""

    entered: threading.Event
    until: threading.Event


class Worker(Actor):
    @on(Note)
    def note(self, _message: Note) -> None: ...

    @on(Crash)
    def crash(self, _message: Crash) -> None:
        raise ValueError("x" * 2_000 + "\nsecond line")

    @on(Block)
    def block(self, message: Block) -> None:
        message.entered.set()
        assert message.until.wait(TIMEOUT)


def family(count: int = 3) -> SupervisorSpec:
    workers = tuple(ChildSpec(f"w{n}", LocalStart(Worker), runs_in="thread") for n in range(count))
    return SupervisorSpec(children=(ChildSpec("s", SupervisorSpec(intensity=100, children=workers)),))


def read_once(tree, holds: Callable[[dict[str, NodeView]], object]) -> dict[str, NodeView]:
    """Read the tree once `holds` of it: a message counts as handled, and is out of hand, a moment after its answer."""
    until(lambda: holds({node.path: node for node in nodes(tree.services)}))
    return read(tree)


def read(tree) -> dict[str, NodeView]:
    """Read the tree both ways; they differ in what the clock alone changes."""
    found = {node.path: node for node in nodes(tree.services)}
    wire = encoded(tree.services)
    assert wire is not None
    sent = {node.path: node for node in msgspec.msgpack.decode(wire, type=list[NodeView])}
    assert list(sent) == list(found)
    for path, node in sent.items():
        assert (node.uptime is None) == (found[path].uptime is None)
        assert msgspec.structs.replace(node, uptime=None, handling_for=None) == msgspec.structs.replace(
            found[path], uptime=None, handling_for=None
        )
    return found


def is_idle(node: NodeView, handled: int) -> bool:
    return node.handled == handled and not node.handling


def test_each_reading_has_the_messages_handled_so_far():
    with running(family()) as tree:
        tree.wait_ready()
        for count in range(1, 4):
            tree.ask("/s/w1", Note())

            found = read_once(tree, lambda nodes, count=count: is_idle(nodes["/s/w1"], handled=count))
            assert [node.handled for node in found.values()] == [0, 0, 0, count, 0]


def test_what_is_in_hand_and_what_waits_is_seen_and_gone_again():
    entered, gate = threading.Event(), threading.Event()
    with running(family()) as tree:
        tree.wait_ready()
        read(tree)
        tree.tell("/s/w0", Block(entered, gate))
        assert entered.wait(TIMEOUT)
        tree.tell("/s/w0", Note())
        busy = read(tree)["/s/w0"]
        gate.set()
        tree.ask("/s/w0", Note())
        idle = read_once(tree, lambda nodes: is_idle(nodes["/s/w0"], handled=3))["/s/w0"]

    assert (busy.handling, busy.mailbox) == ("Block", 1)
    assert busy.handling_for is not None
    assert (idle.handling, idle.mailbox, idle.handled) == ("", 0, 3)
    assert idle.handling_for is None


def test_a_restart_and_a_persons_stop_are_in_the_next_reading():
    with running(family()) as tree:
        tree.wait_ready()
        first = read(tree)
        tree.tell("/s/w2", Crash())
        tree.wait_generation("/s/w2", 2)
        crashed = read(tree)["/s/w2"]
        tree.hold("/s", "w0", "for a test")
        tree.wait_event(ActorStateChanged, "/s/w0")
        held = read_once(tree, lambda nodes: nodes["/s/w0"].state is NodeState.STOPPED)

    assert (first["/s"].ready, first["/"].total) == (3, 3)
    assert (crashed.generation, crashed.restarts) == (2, 1)
    assert crashed.last_reason.startswith("crashed: builtins.ValueError: xxx")
    assert len(crashed.last_reason) < 600
    assert (held["/s"].ready, held["/s"].total) == (2, 3)
