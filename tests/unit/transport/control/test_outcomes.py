"""Outcomes of commands with a key: remembered within stated bounds, so that each is carried out once."""

from __future__ import annotations

from transport.control.outcomes import ANSWER_BYTES, LIMIT, LIMIT_BYTES, TTL, Outcomes
from transport.control.protocol import Response

KEY = ("uid 1", "k")
ROUTE = (b"peer",)
ANSWER = Response("1", True, "done")


def test_a_command_that_is_running_is_found_with_those_who_wait():
    outcomes = Outcomes()
    outcomes.begin(KEY, b"digest", 0.0).waiting.append((ROUTE, "1"))

    found = outcomes.find(KEY, 1.0)

    assert found is not None
    assert (found.is_done, found.digest, found.waiting) == (False, b"digest", [(ROUTE, "1")])


def test_finishing_gives_who_waited_and_keeps_the_answer():
    outcomes = Outcomes()
    outcomes.begin(KEY, b"", 0.0).waiting.append((ROUTE, "1"))

    assert outcomes.finish(KEY, ANSWER, 10, 1.0) == [(ROUTE, "1")]
    found = outcomes.find(KEY, 2.0)
    assert found is not None
    assert (found.is_done, found.response, found.waiting) == (True, ANSWER, [])


def test_only_the_first_answer_counts():
    outcomes = Outcomes()
    outcomes.begin(KEY, b"", 0.0)
    outcomes.finish(KEY, ANSWER, 10, 1.0)

    assert outcomes.finish(KEY, Response("1", True, "other"), 10, 1.0) == []
    assert outcomes.find(KEY, 1.0).response is ANSWER


def test_an_answer_too_large_to_keep_is_known_to_have_been_given():
    outcomes = Outcomes()
    outcomes.begin(KEY, b"", 0.0)
    outcomes.finish(KEY, ANSWER, ANSWER_BYTES + 1, 1.0)

    found = outcomes.find(KEY, 1.0)
    assert (found.is_done, found.response, found.size) == (True, None, ANSWER_BYTES + 1)


def test_an_outcome_is_forgotten_some_time_after_it_was_given():
    outcomes = Outcomes()
    outcomes.begin(KEY, b"", 0.0)
    outcomes.finish(KEY, ANSWER, 10, TTL - 1)

    assert outcomes.find(KEY, 2 * TTL - 2) is not None
    assert outcomes.find(KEY, 2 * TTL) is None


def test_beyond_the_count_the_oldest_that_are_done_are_forgotten_and_none_that_run():
    outcomes = Outcomes()
    outcomes.begin(("u", "running"), b"", 0.0)
    for n in range(LIMIT + 10):
        outcomes.begin(("u", str(n)), b"", 1.0)
        outcomes.finish(("u", str(n)), ANSWER, 10, 1.0)

    assert len(outcomes) == LIMIT
    assert outcomes.find(("u", "running"), 1.0) is not None
    assert outcomes.find(("u", "0"), 1.0) is None
    assert outcomes.find(("u", str(LIMIT + 9)), 1.0) is not None


def test_beyond_the_bytes_the_oldest_answers_are_forgotten():
    outcomes = Outcomes()
    count = LIMIT_BYTES // ANSWER_BYTES
    for n in range(count + 3):
        outcomes.begin(("u", str(n)), b"", 1.0)
        outcomes.finish(("u", str(n)), ANSWER, ANSWER_BYTES, 1.0)

    assert len(outcomes) == count
    assert outcomes.find(("u", "2"), 1.0) is None
    assert outcomes.find(("u", "3"), 1.0) is not None


def test_an_unknown_key_finishes_nothing():
    assert Outcomes().finish(KEY, ANSWER, 10, 0.0) == []
