"""Lanes, credit and frames of a channel, with the wire replaced by a list and the socket's thread by a call."""

from __future__ import annotations

import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.context import enter_loop, leave_loop
from actors.core.mailbox import MailboxSpec
from actors.errors import MailboxFullError
from transport.channels import CREDIT, FRAME_BYTES, Channel, Parcel
from transport.codec import pack, pack_envelope, unpack_frame
from transport.envelope import Kind, envelope
from transport.errors import CodecError, PeerLostError

TIMEOUT = 60.0


class Wire:
    """One side of a channel whose socket thread runs when the test says so."""

    def __init__(self, **options) -> None:
        self.frames: list[bytes] = []
        self.due: deque = deque()
        self.channel = Channel("peer", self.frames.append, self.due.append, **options)

    def run(self) -> list[tuple[Kind, str, bytes]]:
        """Do what was scheduled; return the envelopes sent since the last call."""
        while self.due:
            self.due.popleft()()
        sent = [(e.kind, e.type_name or e.target, e.payload) for frame in self.frames for e in unpack_frame(frame)]
        self.frames.clear()
        return sent

    def tell(self, text: str, size: int = 0) -> bool:
        data = pack_envelope(envelope(Kind.TELL, text, payload=b"x" * size))
        return self.channel.post(Parcel("/a", text, data))


def texts(sent):
    return [name for _, name, _ in sent]


def test_what_queued_up_shares_a_frame_and_the_system_lane_goes_first():
    wire = Wire()
    wire.tell("one")
    wire.tell("two")
    wire.channel.send(envelope(Kind.SYSTEM, "", "first"))

    sent = wire.run()

    assert texts(sent) == ["first", "one", "two"]
    assert wire.channel.statistics().frames == 1


def test_no_more_than_the_window_is_under_way_until_the_peer_accepts():
    wire = Wire(window=2)
    for text in "abcde":
        wire.tell(text)

    assert texts(wire.run()) == ["a", "b"]
    wire.channel.credited(CREDIT, pack(1))
    assert texts(wire.run()) == ["c"]
    wire.channel.credited(CREDIT, pack(3))
    assert texts(wire.run()) == ["d", "e"]
    assert wire.channel.statistics().under_way == 2


def test_the_system_lane_needs_no_credit():
    wire = Wire(window=1)
    wire.tell("a")
    wire.tell("b")
    wire.run()

    wire.channel.send(envelope(Kind.SYSTEM, "", "stop"))

    assert texts(wire.run()) == ["stop"]


def test_acceptance_is_told_each_quarter_of_the_window_so_a_sender_never_waits_for_ever():
    wire = Wire(window=8)

    wire.channel.accept(1)
    assert wire.run() == []
    wire.channel.accept(1)

    assert wire.run() == [(Kind.SYSTEM, CREDIT, pack(2))]


@pytest.mark.parametrize("word", [pack(3), pack(-1), pack("2"), pack(True), pack([1]), b"", b"\xc1", pack(2) + b"\0"])
def test_an_impossible_word_of_the_peer_is_refused_and_changes_nothing(word):
    wire = Wire()
    wire.tell("a")
    wire.tell("b")
    wire.run()

    with pytest.raises(CodecError):
        wire.channel.credited(CREDIT, word)

    assert wire.channel.statistics().under_way == 2


def test_credit_cannot_be_taken_back():
    wire = Wire()
    wire.tell("a")
    wire.run()
    wire.channel.credited(CREDIT, pack(1))

    with pytest.raises(CodecError, match="accepted 0"):
        wire.channel.credited(CREDIT, pack(0))


def test_a_full_lane_that_rejects_says_so_to_the_sender():
    wire = Wire(mailbox=MailboxSpec(capacity=2, full="reject"))
    wire.tell("a")
    wire.tell("b")

    with pytest.raises(MailboxFullError):
        wire.tell("c")

    assert texts(wire.run()) == ["a", "b"]
    assert wire.channel.statistics().rejected == 1


def test_a_full_lane_that_dead_letters_tells_the_caller_to_keep_the_message():
    wire = Wire(mailbox=MailboxSpec(capacity=1, full="dead-letter"))

    assert wire.tell("a")
    assert not wire.tell("b")
    assert wire.channel.statistics().dropped == 1


def test_a_sender_that_waits_goes_on_when_there_is_room():
    wire = Wire(mailbox=MailboxSpec(capacity=1))
    wire.tell("a")
    done = threading.Event()
    sender = threading.Thread(target=lambda: (wire.tell("b"), done.set()))
    sender.start()
    while not wire.channel.statistics().blocked:
        assert sender.is_alive()

    assert not done.is_set()
    wire.run()

    assert done.wait(TIMEOUT)
    sender.join(TIMEOUT)
    assert texts(wire.run()) == ["b"]


def test_a_sender_that_waited_in_vain_gets_the_error():
    wire = Wire(mailbox=MailboxSpec(capacity=1, block_timeout=0.01))
    wire.tell("a")

    with pytest.raises(MailboxFullError):
        wire.tell("b")


def test_an_event_loops_thread_never_waits_for_room():
    wire = Wire(mailbox=MailboxSpec(capacity=1, block_timeout=600))
    wire.tell("a")
    enter_loop()
    try:
        with pytest.raises(MailboxFullError):
            wire.tell("b")
    finally:
        leave_loop()


def test_a_lane_is_bounded_in_bytes_too_but_takes_one_large_message():
    wire = Wire(mailbox=MailboxSpec(full="reject"), capacity_bytes=1000)

    wire.tell("large", size=5000)
    with pytest.raises(MailboxFullError):
        wire.tell("small")
    wire.run()
    wire.tell("small")

    assert texts(wire.run()) == ["small"]
    assert wire.channel.statistics().waiting_bytes == 0


def test_large_messages_do_not_add_up_to_a_frame_nobody_takes():
    wire = Wire()
    for text in "abc":
        wire.tell(text, size=FRAME_BYTES)
    wire.channel.send(envelope(Kind.SYSTEM, "", "s", b"x" * FRAME_BYTES))

    assert texts(wire.run()) == ["s", "a", "b", "c"]
    assert wire.channel.statistics().frames == 4


def test_closing_gives_back_what_the_peer_did_not_accept_and_lets_waiting_senders_go():
    wire = Wire(window=2, mailbox=MailboxSpec(capacity=1))
    wire.tell("a")
    wire.run()
    wire.channel.credited(CREDIT, pack(1))
    wire.tell("b")
    wire.run()
    wire.tell("c")
    wire.run()
    wire.tell("d")
    failed: list[Exception] = []

    def send() -> None:
        try:
            wire.tell("e")
        except PeerLostError as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    while not wire.channel.statistics().blocked:
        assert sender.is_alive()
    under_way, waiting = wire.channel.close("its process ended")
    sender.join(TIMEOUT)

    assert [p.message for p in under_way] == ["b", "c"]
    assert [p.message for p in waiting] == ["d"]
    assert len(failed) == 1
    with pytest.raises(PeerLostError, match="its process ended"):
        wire.tell("f")
    wire.channel.send(envelope(Kind.SYSTEM, "", "late"))
    assert wire.run() == []


@given(st.lists(st.sampled_from(["tell", "run", "accept"]), max_size=60), st.integers(1, 5))
def test_messages_arrive_in_order_whatever_the_credit_and_none_is_lost(steps, window):
    wire = Wire(window=window)
    arrived: list[str] = []
    accepted = told = 0
    for step in steps:
        if step == "tell":
            wire.tell(str(told))
            told += 1
        elif step == "run":
            arrived += texts(wire.run())
        elif accepted < len(arrived):
            accepted += 1
            wire.channel.credited(CREDIT, pack(accepted))
        assert len(arrived) - accepted <= window
    under_way, waiting = wire.channel.close("end")

    assert arrived + [p.message for p in waiting] == [str(n) for n in range(told)]
    assert [p.message for p in under_way] == arrived[accepted:]
