"""An actor of another process that is really slow: it holds up nobody else there, and never makes its sender grow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process_actors import Add, Get, WaitFor
from support.subtrees import TIMEOUT, Watched, apart, running, worker
from support.waiting import until

from actors import MailboxFullError, MailboxSpec
from actors.events import DeadLettered
from transport.lanes import LaneStatistics

MESSAGES = 5_000


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a slow actor waits for."""
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    return fifo


@pytest.fixture
def tree() -> Iterator[Watched]:
    """Actors of one process that answer to full in each of the three ways, and one that is quick."""
    slow = [
        worker(full, mailbox=MailboxSpec(capacity=50, full=full, block_timeout=TIMEOUT))
        for full in ("block", "reject", "dead-letter")
    ]
    with running(apart("far", *slow, worker("quick"))) as watched:
        watched.wait_ready(6)
        yield watched


def lane(tree: Watched, path: str) -> LaneStatistics:
    found = tree.tree.services.launchers["process"].lane(path)
    assert found is not None, f"nothing is on its way to {path}"
    return found


def opened(gate: Path) -> None:
    """Let the slow actor go on, once it has come to wait."""
    with open(gate, "wb") as fifo:
        fifo.write(b"x")


def wait_for_room(tree: Watched, path: str) -> None:
    """Wait until nothing waits here for `path` any more: an ask is refused while its mailbox is full."""

    def is_empty() -> bool:
        found = tree.tree.services.launchers["process"].lane(path)
        return found is None or found.waiting == 0

    until(is_empty)


def test_it_holds_up_no_other_actor_of_its_process_and_no_sender_that_may_be_refused(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/reject")
    slow.tell(WaitFor(str(gate)))
    refused = 0
    for n in range(MESSAGES):
        try:
            slow.tell(Add(n))
        except MailboxFullError:
            refused += 1
        if n % 10 == 0:
            tree.tree.ref("/far/quick").tell(Add(n))

    assert tree.ask("/far/quick", Get()) == list(range(0, MESSAGES, 10))
    figures = lane(tree, "/far/reject")
    assert figures.rejected == refused > 0
    assert figures.waiting <= 50
    assert figures.under_way <= 1_000
    opened(gate)
    wait_for_room(tree, "/far/reject")
    handled = tree.ask("/far/reject", Get())
    dead = [event for event in tree.events if isinstance(event, DeadLettered)]
    assert handled == sorted(handled)
    assert len(handled) + len(dead) + refused == MESSAGES


def test_what_finds_no_room_is_a_dead_letter_where_its_mailbox_says_so(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/dead-letter")
    slow.tell(WaitFor(str(gate)))
    for n in range(MESSAGES):
        slow.tell(Add(n))

    dropped = lane(tree, "/far/dead-letter").dropped
    assert dropped > 0
    opened(gate)
    wait_for_room(tree, "/far/dead-letter")
    handled = tree.ask("/far/dead-letter", Get())
    dead = [event for event in tree.events if isinstance(event, DeadLettered)]
    assert len(dead) >= dropped
    assert len(handled) + len(dead) == MESSAGES


def test_a_sender_that_may_wait_is_held_up_and_nothing_is_lost(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/block")
    slow.tell(WaitFor(str(gate)))
    sent = 0
    while not sent or lane(tree, "/far/block").waiting < 50:
        slow.tell(Add(sent))
        sent += 1
    assert tree.ask("/far/quick", Add(1)) == 1
    opened(gate)
    for n in range(sent, MESSAGES):
        slow.tell(Add(n))

    assert tree.ask("/far/block", Get()) == list(range(MESSAGES))
