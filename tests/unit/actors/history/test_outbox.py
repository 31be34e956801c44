from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.history.outbox import Outbox
from actors.history.protocol import Outcome, Store, Stored
from actors.history.spool import Frame


class MemorySpool:
    """A spool that is a list; `room` is how many payloads it takes."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.damaged_bytes = 0
        self._payloads: list[bytes] = []
        self._read = 0
        self._released: set[int] = set()

    @property
    def unread_bytes(self) -> int:
        return sum(len(payload) for payload in self._payloads[self._read :])

    def append(self, payload: bytes) -> bool:
        if len(self._payloads) - len(self._released) >= self.room:
            return False
        self._payloads.append(payload)
        return True

    def read_next(self) -> Frame | None:
        if self._read >= len(self._payloads):
            return None
        self._read += 1
        return Frame(self._read, self._payloads[self._read - 1])

    def release(self, number: int) -> None:
        self._released.add(number)


def outbox(spool: Any = None, *, memory: int = 100_000, in_flight: int = 4) -> Outbox:
    return Outbox("node#7", spool, memory_bytes=memory, in_flight=in_flight, answer_timeout=10.0)


def yes(batch: Store, outcome: Outcome = Outcome.STORED) -> Stored:
    return Stored(batch.source, batch.batch, outcome)


def test_batches_are_numbered_from_one_and_sent_in_order():
    box = outbox()
    for _ in range(3):
        box.put(b"rows", 1)

    assert [batch.batch for batch in box.due(0.0)] == [1, 2, 3]
    assert box.due(1.0) == []


def test_no_more_are_sent_than_may_be_in_flight():
    box = outbox(in_flight=2)
    for _ in range(5):
        box.put(b"rows", 1)
    first = box.due(0.0)

    box.settle(yes(first[0]), 1.0)

    assert [batch.batch for batch in first] == [1, 2]
    assert [batch.batch for batch in box.due(1.0)] == [3]


def test_a_batch_says_what_was_acknowledged_when_it_was_sent():
    box = outbox(in_flight=1)
    for _ in range(3):
        box.put(b"rows", 1)
    (first,) = box.due(0.0)
    box.settle(yes(first), 0.0)

    (second,) = box.due(0.0)
    assert (first.acknowledged, second.acknowledged) == (0, 1)
    assert box.acknowledged_through == 1


def test_a_batch_without_an_answer_is_sent_again():
    box = outbox()
    box.put(b"rows", 1)
    (batch,) = box.due(0.0)

    assert box.due(9.9) == []
    assert box.next_due_in(9.0) == pytest.approx(1.0)
    assert box.due(10.0) == [batch]
    assert box.resent == 1


def test_a_refused_batch_waits_as_long_as_it_was_told():
    box = outbox()
    box.put(b"rows", 1)
    (batch,) = box.due(0.0)

    box.settle(Stored(batch.source, batch.batch, Outcome.REFUSED, why="disk full", retry_after=5.0), 1.0)

    assert box.due(5.9) == []
    assert box.due(6.0) == [batch]


def test_after_a_failed_send_nothing_is_sent_for_a_while():
    box = outbox()
    box.put(b"rows", 1)
    box.not_sent(box.due(0.0), 1.0)
    box.put(b"rows", 1)

    assert box.due(0.9) == []
    assert [batch.batch for batch in box.due(1.0)] == [1, 2]


def test_a_new_recorder_gets_everything_unanswered_at_once():
    box = outbox()
    for _ in range(3):
        box.put(b"rows", 1)
    box.due(0.0)
    box.not_sent([], 100.0)

    box.send_again()

    assert [batch.batch for batch in box.due(0.0)] == [1, 2, 3]


def test_an_answer_that_comes_twice_counts_once():
    box = outbox()
    box.put(b"rows", 5)
    (batch,) = box.due(0.0)

    assert box.settle(yes(batch), 0.0) == 5
    assert box.settle(yes(batch, Outcome.DUPLICATE), 0.0) == 0
    assert box.is_empty


def test_what_memory_has_no_room_for_is_spooled_and_comes_back_in_order():
    box = outbox(MemorySpool(), memory=1_000)
    for _ in range(10):
        box.put(b"x" * 200, 1)

    assert box.waiting_bytes <= 1_000
    seen = []
    while not box.is_empty:
        for batch in box.due(0.0):
            seen.append(batch.batch)
            box.settle(yes(batch), 0.0)
    assert seen == list(range(1, 11))
    assert box.lost_rows == 0


def test_what_nothing_has_room_for_is_counted_and_its_number_given_again():
    box = outbox(MemorySpool(room=1), memory=500)
    for _ in range(5):
        box.put(b"x" * 200, 3)

    assert box.lost_rows == 9
    assert box.batches_made == 2


def test_without_a_spool_what_memory_has_no_room_for_is_lost():
    box = outbox(memory=500)
    for _ in range(3):
        box.put(b"x" * 200, 3)

    assert (box.waiting_batches, box.lost_rows) == (1, 6)


def test_the_end_writes_to_the_spool_what_is_not_there_yet():
    spool = MemorySpool()
    box = outbox(spool)
    for _ in range(3):
        box.put(b"rows", 1)
    box.due(0.0)

    box.spill()

    again = outbox(spool)
    assert [(batch.source, batch.batch) for batch in again.due(0.0)] == [("node#7", n) for n in (1, 2, 3)]


def test_a_spooled_batch_that_cannot_be_read_is_passed_over():
    spool = MemorySpool()
    spool.append(b"\xc1 no batch")
    box = outbox(spool)
    box.put(b"rows", 1)

    assert [batch.batch for batch in box.due(0.0)] == [1]
    assert spool.damaged_bytes > 0


steps = st.lists(st.sampled_from(["put", "send", "store", "refuse", "again", "fail"]), max_size=80)


@settings(deadline=None)
@given(steps, st.integers(0, 6), st.integers(1, 5))
def test_every_row_is_acknowledged_lost_or_waiting_and_none_is_acknowledged_twice(actions, room, in_flight):
    spool = MemorySpool(room)
    box = outbox(spool, memory=1_000, in_flight=in_flight)
    put = acknowledged = 0
    now = 0.0
    flying: list[Store] = []
    for action in actions:
        now += 1.0
        match action:
            case "put":
                put += 1
                box.put(b"x" * 200, 1)
            case "send":
                flying += box.due(now)
            case "store":
                acknowledged += sum(box.settle(yes(batch), now) for batch in flying)
            case "refuse":
                for batch in flying:
                    box.settle(Stored(batch.source, batch.batch, Outcome.REFUSED, retry_after=2.0), now)
            case "again":
                box.send_again()
            case "fail":
                box.not_sent(box.due(now), now + 3.0)
        assert box.waiting_bytes <= 1_000
    waiting = 0
    while not box.is_empty:
        now += 20.0
        waiting += sum(box.settle(yes(batch), now) for batch in box.due(now))

    assert put == acknowledged + waiting + box.lost_rows
    assert box.acknowledged_through == box.batches_made == put - box.lost_rows
