"""An actor of another process that is really slow: it holds up nobody else there, and never makes its sender grow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    """The figures of the messages for `path`; zeros where none is on its way and none ever found its lane full."""
    found = tree.tree.services.launchers["process"].lane(path)
    return found or LaneStatistics(path, 0, 0, 0, 0, 0, 0)


def opened(gate: Path) -> None:
    """Let the slow actor go on, once it has come to wait."""
    with open(gate, "wb") as fifo:
        fifo.write(b"x")


def added(tree: Watched, path: str) -> list[int]:
    """What `path` was told and has handled; whatever was sent to it before is handled, or was turned away."""
    answers: list[list[int]] = []

    def is_answered() -> bool:
        with suppress(MailboxFullError):  # as a tell would be, while what was sent before fills the mailbox
            answers.append(tree.ask(path, Get()))
        return bool(answers)

    until(is_answered, what=f"{path} has room")
    return answers[0]


def wait_accounted(tree: Watched, path: str, count: int) -> None:
    """Wait until `count` of the numbers for `path` are dead letters here: those of its process come when they come."""

    def dead() -> int:
        return sum(letter.message_type.endswith("Add") for letter in tree.of(DeadLettered, path))

    until(lambda: dead() >= count, what=f"{count} dead letters")
    assert dead() == count


def test_it_holds_up_no_other_actor_of_its_process_and_no_sender_that_may_be_refused(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/reject")
    slow.tell(WaitFor(str(gate)))
    sent = refused = 0
    while sent < MESSAGES or not refused:
        try:
            slow.tell(Add(sent))
        except MailboxFullError:
            refused += 1
        if sent % 10 == 0:
            tree.tree.ref("/far/quick").tell(Add(sent))
        sent += 1

    assert tree.ask("/far/quick", Get()) == list(range(0, sent, 10))
    figures = lane(tree, "/far/reject")
    assert figures.rejected == refused
    assert figures.waiting <= 50
    assert figures.under_way <= 1_000
    opened(gate)
    handled = added(tree, "/far/reject")
    assert handled == sorted(handled)
    wait_accounted(tree, "/far/reject", sent - refused - len(handled))


def test_what_finds_no_room_is_a_dead_letter_where_its_mailbox_says_so(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/dead-letter")
    slow.tell(WaitFor(str(gate)))
    sent = 0
    while sent < MESSAGES or not lane(tree, "/far/dead-letter").dropped:
        slow.tell(Add(sent))
        sent += 1

    opened(gate)
    handled = added(tree, "/far/dead-letter")
    assert handled == sorted(handled)
    wait_accounted(tree, "/far/dead-letter", sent - len(handled))


def test_a_sender_that_may_wait_is_held_up_and_nothing_is_lost(tree: Watched, gate: Path) -> None:
    slow = tree.tree.ref("/far/block")
    slow.tell(WaitFor(str(gate)))

    with ThreadPoolExecutor() as threads:
        sending = threads.submit(lambda: [slow.tell(Add(n)) for n in range(MESSAGES)])
        until(lambda: lane(tree, "/far/block").blocked, what="the sender is held up")
        assert tree.ask("/far/quick", Add(1)) == 1
        assert not sending.done()
        opened(gate)
        sending.result(TIMEOUT)

    assert tree.ask("/far/block", Get()) == list(range(MESSAGES))
