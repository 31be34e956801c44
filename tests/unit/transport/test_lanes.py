"""A lane for each actor: runs, windows and bounds of their own, with the wire replaced by a list."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.mailbox import MailboxSpec
from actors.errors import MailboxFullError
from transport.channels import CREDIT, CREDITS, FRAME_BYTES, Channel, Parcel
from transport.codec import pack, pack_envelope, pack_frame, run_length, split_run, unpack, unpack_frame
from transport.credit import CREDITS_BYTES
from transport.envelope import Kind, envelope
from transport.errors import CodecError, MalformedFrameError
from transport.lanes import RUN_MAX
from transport.limits import Limits
from transport.packing import pack_answer, pack_ask


class Wire:
    """One side of a channel that counts by actor, whose socket thread runs when the test says so."""

    def __init__(self, **options) -> None:
        self.frames: list[bytes] = []
        self.due: deque = deque()
        self.channel = Channel("peer", self.frames.append, self.due.append, **options)
        self.channel.count_by_target()

    def run(self) -> list[tuple[str, object]]:
        """Do what was scheduled; return path and message of each tell sent since the last call."""
        return [found for envelope_ in self.envelopes() for found in told(envelope_)]

    def envelopes(self):
        while self.due:
            self.due.popleft()()
        sent = [e for frame in self.frames for e in unpack_frame(frame)]
        self.frames.clear()
        return sent

    def tell(self, path: str, message: object, name: str = "m:T") -> bool:
        data = pack(message)
        return self.channel.append(path, name, message, data) or self.channel.post_tell(path, name, message, data)

    def ask(self, path: str, message: object, number: int, wanted=None) -> bool:
        return self.channel.post(Parcel(path, message, pack_ask(path, "", pack(message), number, None), number, wanted))

    def credit(self, **counts: int) -> None:
        self.channel.credited(CREDITS, pack({f"/{name}": count for name, count in counts.items()}))

    def lane(self, path: str):
        return next(lane for lane in self.channel.lanes() if lane.path == path)


def told(e):
    payloads = split_run(e.payload) if e.kind is Kind.RUN else [e.payload]
    return [(e.target, unpack(payload, Limits())) for payload in payloads]


def test_tells_of_one_type_for_one_actor_share_an_envelope_and_keep_their_order_with_the_others():
    wire = Wire()
    for n in range(3):
        wire.tell("/a", n)
    wire.ask("/a", "ask", 7)
    wire.tell("/a", 3)
    wire.tell("/a", 4, "m:Other")

    sent = wire.envelopes()

    assert [(e.kind, e.type_name) for e in sent] == [
        *((Kind.RUN, "m:T"), (Kind.ASK, ""), (Kind.RUN, "m:T"), (Kind.RUN, "m:Other")),
    ]
    assert [message for e in sent for _, message in told(e)] == [0, 1, 2, "ask", 3, 4]
    assert wire.channel.statistics().frames == 1


def test_an_actor_that_accepts_nothing_holds_up_no_other():
    wire = Wire(window=10)
    for n in range(100):
        wire.tell("/slow", n)
    first = wire.run()
    for n in range(5):
        wire.tell("/quick", n)

    assert first == [("/slow", n) for n in range(10)]
    assert wire.run() == [("/quick", n) for n in range(5)]
    assert (wire.lane("/slow").waiting, wire.lane("/slow").under_way) == (90, 10)


def test_a_tell_behind_a_window_that_is_used_up_wakes_nobody():
    wire = Wire(window=2)
    for n in range(5):
        wire.tell("/a", n)
    wire.run()

    wire.tell("/a", 5)
    wire.tell("/a", 6, "m:Other")
    assert not wire.due

    wire.credit(a=2)
    assert wire.run() == [("/a", 2), ("/a", 3)]


def test_each_lane_is_bounded_by_itself_and_says_what_it_turned_away():
    wire = Wire(window=1, mailbox=MailboxSpec(capacity=3, full="reject"))
    for n in range(3):
        wire.tell("/slow", n)
    with pytest.raises(MailboxFullError):
        wire.tell("/slow", 3)
    wire.tell("/quick", 0)

    slow = wire.lane("/slow")
    assert (slow.waiting, slow.rejected, wire.lane("/quick").rejected) == (3, 1, 0)


def test_lanes_that_dead_letter_and_lanes_of_bytes_are_bounded_too():
    lossy = Wire(mailbox=MailboxSpec(capacity=1, full="dead-letter"))
    assert lossy.tell("/a", 0)
    assert not lossy.tell("/a", 1)
    assert lossy.lane("/a").dropped == 1

    narrow = Wire(mailbox=MailboxSpec(full="reject"), capacity_bytes=1000)
    narrow.tell("/a", b"x" * 900)
    with pytest.raises(MailboxFullError):
        narrow.tell("/a", b"x" * 200)
    narrow.tell("/b", b"x" * 900)


def test_all_lanes_together_are_bounded_in_bytes():
    wire = Wire(mailbox=MailboxSpec(full="reject"), capacity_bytes=1000)
    for name in "abcd":
        wire.tell(f"/{name}", b"x" * 990)
    wire.tell("/e", b"x")

    with pytest.raises(MailboxFullError):
        wire.tell("/e", b"x" * 100)


def test_runs_end_where_a_frame_does():
    wire = Wire(window=10_000)
    for n in range(RUN_MAX + 5):
        wire.tell("/many", n)
    for _ in range(4):
        wire.tell("/large", b"x" * (FRAME_BYTES // 3))

    sent = wire.envelopes()

    assert max(run_length(e.payload) for e in sent) == RUN_MAX
    assert all(len(e.payload) <= FRAME_BYTES + 10 for e in sent)
    assert Counter(e.target for e in sent for _ in told(e)) == {"/many": RUN_MAX + 5, "/large": 4}


def test_an_ask_that_nobody_waits_for_any_more_is_not_sent_and_takes_no_credit():
    wire = Wire(window=1)
    wire.ask("/a", "unwanted", 1, wanted=lambda: False)
    wire.ask("/a", "wanted", 2)

    assert [e.id for e in wire.envelopes()] == [2]
    assert wire.channel.statistics().sent == 1


@pytest.mark.parametrize(
    "word",
    [
        pack({"/a": 3}),
        pack({"/a": 0}),
        pack({"/a": -1}),
        pack({"/b": 1}),
        pack({"/a": True}),
        pack({"/a": "1"}),
        pack({}),
        pack([1]),
        b"",
        b"\xc1",
        pack({"/a": 1}) + b"\0",
        pack({"x" * CREDITS_BYTES: 1}),
    ],
    ids=range(12),
)
def test_an_impossible_word_of_credit_is_refused_and_changes_nothing(word):
    wire = Wire()
    wire.tell("/a", 1)
    wire.tell("/a", 2)
    wire.run()

    with pytest.raises(CodecError):
        wire.channel.credited(CREDITS, word)

    assert wire.lane("/a").under_way == 2


def test_a_peer_that_counts_by_actor_cannot_count_in_all():
    wire = Wire()
    wire.tell("/a", 1)
    wire.run()

    with pytest.raises(MalformedFrameError):
        wire.channel.credited(CREDIT, pack(1))


def test_what_was_accepted_is_told_by_actor_once_a_quarter_of_a_window_has_come_together():
    wire = Wire(window=16)
    wire.channel.accept(2, "/a")
    wire.channel.accept(1, "/b")
    assert wire.envelopes() == []

    wire.channel.accept(1, "/b")

    (word,) = wire.envelopes()
    assert (word.type_name, unpack(word.payload, Limits())) == (CREDITS, {"/a": 2, "/b": 2})
    wire.channel.settle()
    assert wire.envelopes() == []


def test_a_lane_that_holds_nothing_is_forgotten():
    wire = Wire()
    for n in range(100):
        wire.tell(f"/a{n}", n)
    wire.run()
    wire.credit(**{f"a{n}": 1 for n in range(100)})

    assert wire.channel.lanes() == []


@given(
    st.lists(st.tuples(st.sampled_from(["tell", "other", "ask", "run", "accept"]), st.sampled_from("ab")), max_size=80),
    st.integers(1, 6),
)
def test_messages_arrive_in_order_and_each_is_accounted_for_once_whatever_the_credit(steps, window):
    wire = Wire(window=window)
    sent: dict[str, list[int]] = {"/a": [], "/b": []}
    arrived: dict[str, list[int]] = {"/a": [], "/b": []}
    accepted = {"/a": 0, "/b": 0}
    for number, (step, name) in enumerate(steps, 1):
        path = f"/{name}"
        if step == "run":
            for target, message in wire.run():
                arrived[target].append(message)
        elif step == "accept":
            if accepted[path] < len(arrived[path]):
                accepted[path] += 1
                wire.credit(**{name: 1})
        else:
            sent[path].append(number)
            if step == "ask":
                wire.ask(path, number, number)
            else:
                wire.tell(path, number, f"m:{step}")
        for target in sent:
            assert len(arrived[target]) - accepted[target] <= window
    under_way, waiting = wire.channel.close("end")

    for path in sent:
        assert arrived[path] + [p.message for p in waiting if p.path == path] == sent[path]
        assert [p.message for p in under_way if p.path == path] == arrived[path][accepted[path] :]


@pytest.mark.parametrize("deadline", [None, 1.5, 2])
def test_an_ask_packed_by_hand_is_the_envelope_it_stands_for(deadline):
    made = envelope(Kind.ASK, "/a/é", "m:T", b"x" * 300, id=77, deadline=deadline)

    assert pack_ask("/a/é", "m:T", b"x" * 300, 77, deadline) == pack_envelope(made)


@pytest.mark.parametrize("size", [0, 255, 256, 65_535, 65_536])
def test_an_answer_packed_by_hand_is_the_envelope_it_stands_for(size):
    made = envelope(Kind.REPLY, payload=b"x" * size, correlation=2**40)

    assert pack_answer(Kind.REPLY, b"x" * size, 2**40) == pack_envelope(made)
    assert unpack_frame(pack_frame([made])) == [made]


@pytest.mark.parametrize(
    "run", [b"", b"\x90", b"\xdc", b"\xdc\x00\x00", b"\xdc\x01\x01", b"\xdd\x00\x00\x00\x01", b"\xc4"]
)
def test_a_run_of_no_or_too_many_messages_is_refused_before_it_is_decoded(run):
    with pytest.raises(MalformedFrameError):
        run_length(run)
