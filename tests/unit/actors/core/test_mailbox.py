"""Bounds of mailboxes: what a full one answers, and that no sender is left hanging."""

from __future__ import annotations

import threading

import pytest
from support.waiting import until

from actors import Actor, ActorExitedError, ActorSystem, MailboxFullError, MailboxSpec, Message, on
from actors.exits import SHUTDOWN
from actors.testing import PATIENCE, Collector, launch


class Hold(Message[None], frozen=True, local=True):
    until: threading.Event
    entered: threading.Event


class Note(Message[int], frozen=True):
    n: int


class Flood(Message[str], frozen=True):
    pass


class Keeper(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[int] = []

    @on(Hold)
    def hold(self, message: Hold) -> None:
        message.entered.set()
        assert message.until.wait(PATIENCE)

    @on(Note)
    def note(self, message: Note) -> int:
        self.notes.append(message.n)
        return len(self.notes)

    @on(Flood)
    def flood(self, _message: Flood) -> str:
        try:
            for n in range(1000):
                self.actor_ref.tell(Note(n))
        except MailboxFullError as error:
            return str(error)
        return "never full"


class Gate:
    """Keeps an actor inside a handler until it is opened."""

    def __init__(self, ref) -> None:
        self.opened = threading.Event()
        self._entered = threading.Event()
        ref.tell(Hold(self.opened, self._entered))
        assert self._entered.wait(PATIENCE)

    def open(self) -> None:
        self.opened.set()


def test_a_mailbox_that_rejects_tells_the_sender_and_counts(system: ActorSystem, placement):
    ref = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(2, "reject")).ref
    gate = Gate(ref)
    ref.tell(Note(1))
    ref.tell(Note(2))

    with pytest.raises(MailboxFullError, match=r"/a is full \(2 messages\)"):
        ref.tell(Note(3))
    with pytest.raises(MailboxFullError):
        ref.ask(Note(3), timeout=PATIENCE)
    figures = ref.statistics()
    gate.open()

    assert (figures.depth, figures.rejected, figures.dropped) == (2, 2, 0)
    until(lambda: ref.statistics().depth == 0)
    assert ref.ask(Note(4), timeout=PATIENCE) == 3  # only the accepted ones were handled


def test_a_mailbox_that_drops_keeps_the_message_as_a_dead_letter_and_counts(system: ActorSystem, placement):
    ref = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(1, "dead-letter")).ref
    gate = Gate(ref)
    ref.tell(Note(1))

    ref.tell(Note(2))
    with pytest.raises(MailboxFullError):
        ref.ask(Note(3), timeout=PATIENCE)
    figures = ref.statistics()
    gate.open()

    assert (figures.dropped, figures.rejected) == (2, 0)
    assert [(letter.message, letter.why) for letter in system.dead_letters.recent()] == [
        (Note(2), "mailbox full"),
        (Note(3), "mailbox full"),
    ]


def test_a_sender_that_blocks_goes_on_when_there_is_room_and_nothing_is_lost(system: ActorSystem, placement):
    launched = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(2, "block"))
    gate = Gate(launched.ref)
    done = Collector()

    def send(of: int) -> None:
        for n in range(50):
            launched.ref.tell(Note(of + n))
        done(of)

    senders = [threading.Thread(target=send, args=(k * 1000,)) for k in range(4)]
    for sender in senders:
        sender.start()
    _wait_blocked(launched.ref, 4)
    gate.open()
    done.wait_count(4)
    for sender in senders:
        sender.join()

    assert launched.ref.ask(Note(-1), timeout=PATIENCE) == 201
    notes = launched.ref._actor_weakref().notes
    for k in range(4):
        assert [n for n in notes if k * 1000 <= n < k * 1000 + 1000] == [k * 1000 + n for n in range(50)]


def test_a_blocked_sender_gives_up_after_the_time_the_mailbox_states(system: ActorSystem):
    ref = launch(system, Keeper, path="/a", mailbox=MailboxSpec(1, "block", block_timeout=0.02)).ref
    gate = Gate(ref)
    ref.tell(Note(1))

    with pytest.raises(MailboxFullError):
        ref.tell(Note(2))
    gate.open()

    assert ref.statistics().blocked == 1


def test_a_blocked_sender_is_let_go_when_the_actor_ends(system: ActorSystem, placement):
    launched = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(1, "block"))
    gate = Gate(launched.ref)
    launched.ref.tell(Note(1))
    answered = Collector()

    def ask() -> None:
        try:
            launched.ref.ask(Note(2), timeout=PATIENCE)
        except ActorExitedError as error:
            answered(error)

    asker = threading.Thread(target=ask)
    asker.start()
    _wait_blocked(launched.ref, 1)
    launched.stop(SHUTDOWN)
    gate.open()

    answered.expect(ActorExitedError)
    asker.join()


def test_an_actor_that_fills_its_own_mailbox_is_told_at_once(system: ActorSystem, placement):
    ref = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(10, "block")).ref

    assert "full (10 messages)" in ref.ask(Flood(), timeout=PATIENCE)
    assert "full (10 messages)" in ref.ask(Flood())  # run by this thread where it is on the pool


def test_actors_that_fill_each_other_on_one_pool_thread_do_not_stop_the_pool(system: ActorSystem):
    ended = Collector()

    class Chatter(Actor):
        mailbox = MailboxSpec(3, "block", block_timeout=0.05)
        other: object = None

        def on_receive(self, message):
            try:
                for _ in range(10):
                    self.other.tell(0)
            except MailboxFullError:
                ended(self.path)

    one = launch(system, Chatter, path="/one").ref
    two = launch(system, Chatter, path="/two").ref
    one._actor_weakref().other = two
    two._actor_weakref().other = one

    one.tell(1)

    ended.expect(str)
    bystander = launch(system, Keeper, path="/bystander").ref
    assert bystander.ask(Note(1), timeout=PATIENCE) == 1
    one.stop()
    two.stop()


def test_the_class_says_how_much_waits_and_the_launch_may_say_otherwise(system: ActorSystem):
    class Small(Keeper):
        mailbox = MailboxSpec(1, "reject")

    own = launch(system, Small, path="/own").ref
    other = launch(system, Small, path="/other", mailbox=MailboxSpec(2, "reject")).ref

    for ref, capacity in ((own, 1), (other, 2)):
        gate = Gate(ref)
        for n in range(capacity):
            ref.tell(Note(n))
        with pytest.raises(MailboxFullError):
            ref.tell(Note(9))
        gate.open()


def test_a_stop_is_taken_by_a_full_mailbox(system: ActorSystem, placement):
    launched = launch(system, Keeper, path="/a", placement=placement, mailbox=MailboxSpec(1, "reject"))
    gate = Gate(launched.ref)
    launched.ref.tell(Note(1))

    stopped = launched.ref.stop(block=False)
    gate.open()

    assert stopped.get(timeout=PATIENCE)


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"full": "drop"}, {"block_timeout": 0.0}])
def test_a_mailbox_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MailboxSpec(**wrong)


def _wait_blocked(ref, n: int) -> None:
    """Wait until `n` senders wait: each has said so before it sleeps."""
    until(lambda: len(ref._pressure.waiters if ref._pressure else ()) >= n, what=f"{n} blocked senders")
