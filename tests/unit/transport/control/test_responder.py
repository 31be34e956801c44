"""The answering side of one call: answered once, in parts as credit allows, and never after its end."""

from __future__ import annotations

import threading

import pytest

from transport.control.protocol import Request, Response, decode_response
from transport.control.responder import BUFFER, Responder
from transport.errors import EncodingError, ErrorCode, OutboxFullError
from transport.security import Peer, Role


class Desk:
    """Keeps what a responder hands over."""

    def __init__(self, max_response_bytes: int = 10_000) -> None:
        self.max_response_bytes = max_response_bytes
        self.parts: list[Response] = []
        self.final: list[tuple[Response, bool]] = []

    def deliver(self, responder: Responder, data: bytes) -> None:
        self.parts.append(decode_response(data))

    def finished(self, responder: Responder, response: Response, data: bytes, *, is_late: bool) -> None:
        assert decode_response(data) == response
        self.final.append((response, is_late))


def make(credit: int = 0, deadline: float | None = None, **options) -> tuple[Desk, Responder]:
    desk = Desk(**options)
    return desk, Responder(desk, Request("1", "watch", credit=credit), Peer("uid 1 pid 2", Role.ADMIN), deadline)


def test_a_call_is_answered_once():
    desk, responder = make()

    assert responder.reply({"x": 1}) is True
    assert responder.reply({"x": 2}) is False
    assert responder.fail(ErrorCode.FAILED, "no") is False
    assert [late for _, late in desk.final] == [False, True, True]
    assert desk.final[0][0] == Response("1", True, {"x": 1})
    assert responder.is_open is False


def test_of_many_threads_that_answer_one_wins():
    desk, responder = make()
    barrier = threading.Barrier(8)
    won = []

    def answer(n: int) -> None:
        barrier.wait()
        won.append(responder.reply(n))

    threads = [threading.Thread(target=answer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert won.count(True) == 1
    assert [late for _, late in desk.final].count(False) == 1


def test_an_answer_that_cannot_be_encoded_becomes_an_error():
    desk, responder = make()

    responder.reply({"x": object()})

    assert desk.final[0][0].error.code == "internal"
    assert "cannot be encoded" in desk.final[0][0].error.message


def test_an_answer_that_is_too_large_becomes_an_error_that_says_so():
    desk, responder = make(max_response_bytes=100)

    responder.reply("x" * 200)

    assert "100 are allowed" in desk.final[0][0].error.message


def test_parts_go_out_as_credit_allows_and_the_end_behind_them():
    desk, responder = make(credit=2)
    for n in range(4):
        assert responder.part(n) is True
    responder.reply("end")

    assert [part.result for part in desk.parts] == [0, 1]
    assert desk.final == []
    responder.grant(1)
    assert [part.result for part in desk.parts] == [0, 1, 2]
    assert desk.final == []
    responder.grant(5)
    assert [(part.result, part.part, part.more) for part in desk.parts] == [(n, n + 1, True) for n in range(4)]
    assert [response.result for response, _ in desk.final] == ["end"]


def test_parts_beyond_the_buffer_are_refused_and_the_earlier_ones_kept():
    desk, responder = make(credit=1)
    for n in range(BUFFER + 1):
        responder.part(n)

    with pytest.raises(OutboxFullError):
        responder.part("one too many")
    responder.grant(BUFFER)
    assert [part.result for part in desk.parts] == list(range(BUFFER + 1))


def test_a_part_that_cannot_be_encoded_leaves_the_stream_as_it_was():
    desk, responder = make(credit=5)
    responder.part(1)

    with pytest.raises(EncodingError):
        responder.part(object())
    responder.part(2)
    assert [(part.part, part.result) for part in desk.parts] == [(1, 1), (2, 2)]


def test_a_call_takes_no_parts():
    _, responder = make()

    with pytest.raises(ValueError, match="takes one answer"):
        responder.part(1)


def test_credit_makes_it_ready_and_says_so():
    _, responder = make(credit=1)
    told = []
    responder.on_ready(lambda: told.append(True))
    responder.part(1)

    assert responder.is_ready is False
    assert responder.wait_ready(0) is False
    responder.grant(1)
    assert responder.is_ready is True
    assert told == [True]


def test_a_producer_that_waits_is_woken_by_credit_and_by_the_end():
    for wake in (lambda r: r.grant(1), lambda r: r.expire("cancelled")):
        _, responder = make(credit=1)
        responder.part(1)
        results = []
        waiting = threading.Thread(target=lambda: results.append(responder.wait_ready(30)))  # noqa: B023
        waiting.start()
        wake(responder)
        waiting.join(30)

        assert results == [responder.is_ready]


def test_a_cancelled_call_tells_its_handler_why_and_takes_no_more():
    desk, responder = make(credit=5)
    told = []
    responder.on_cancel(told.append)

    assert responder.expire("cancelled") is True
    assert responder.expire("timed out") is False
    assert responder.part(1) is False
    responder.on_cancel(told.append)
    assert told == ["cancelled", "cancelled"]
    assert desk.parts == []


def test_an_answer_after_the_deadline_is_handed_over_as_late():
    desk, responder = make()
    responder.expire("timed out")

    assert responder.reply("done all the same") is False
    assert desk.final == [(Response("1", True, "done all the same"), True)]


def test_a_last_answer_that_waits_for_credit_can_still_be_cancelled_but_not_time_out():
    desk, responder = make(credit=1)
    responder.part(1)
    responder.part(2)
    responder.reply("end")

    assert responder.expire("timed out") is False
    assert responder.expire("cancelled") is True
    responder.grant(5)
    assert [part.result for part in desk.parts] == [1]
    assert desk.final == []


def test_a_callback_that_fails_stops_no_other():
    _, responder = make(credit=1)
    told = []

    def fails(*args: object) -> None:
        raise RuntimeError("bad callback")

    responder.on_ready(fails)
    responder.on_ready(lambda: told.append("ready"))
    responder.on_cancel(fails)
    responder.on_cancel(told.append)
    responder.grant(1)
    responder.expire("cancelled")

    assert told == ["ready", "cancelled"]


def test_the_time_left_is_never_below_nothing():
    assert make()[1].remaining is None
    assert make(deadline=0.0)[1].remaining == 0.0
    assert make(deadline=100.0)[1].remaining > 50
